//! One end: its connections, its sessions, and the work of a driver.

use std::collections::VecDeque;

use outlast_core::registry::{Admission, Entropy, Entry, Lease, Parting, Peer, Registry};
use outlast_core::state::{LinkState, SessionState};
use outlast_core::wire::{Close, CloseFlags, Hello};
use outlast_core::{
    Acceptor, Attach, CloseCode, Config, Greeting, HANDSHAKE_MAX, Instant, Session,
};

use super::CAPACITY;
use super::caller::Caller;
use super::commands::observe;
use crate::driver::Seen;
use crate::link::{Got, Pipe};

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) id: u32,
    pub(super) to: Pipe,
    pub(super) from: Pipe,
    pub(super) seat: Seat,
    pub(super) inbox: Vec<u8>,
    pub(super) outbox: Vec<u8>,
}

#[derive(Debug)]
pub(super) enum Seat {
    Greeting(Acceptor),
    /// Index of the session.
    Bound(usize),
    Gone,
}

#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: Session<Vec<u8>>,
    pub(super) lease: Option<Lease>,
    pub(super) wire: Option<u32>,
    pub(super) partial: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct End {
    pub(super) now: Instant,
    pub(super) config: Config,
    pub(super) is_server: bool,
    pub(super) wires: Vec<Wire>,
    pub(super) sessions: Vec<Held>,
    pub(super) registry: Registry<Vec<Entry>>,
    pub(super) seen: VecDeque<Seen>,
    pub(super) dialled: VecDeque<u32>,
    /// A client's.
    pub(super) caller: Option<Caller>,
    pub(super) count: u32,
}

impl End {
    pub(super) fn accept(&mut self) -> u32 {
        let acceptor = Acceptor::new(self.now, &self.config);
        self.add_wire(Seat::Greeting(acceptor), Vec::new())
    }

    fn add_wire(&mut self, seat: Seat, outbox: Vec<u8>) -> u32 {
        self.count += 1;
        let (to, from) = (Pipe::default(), Pipe::default());
        self.wires.push(Wire { id: self.count, to, from, seat, inbox: Vec::new(), outbox });
        self.count
    }

    /// Everything that can be done now.
    pub(super) fn turn(&mut self, now: Instant) {
        self.now = now;
        for at in 0..self.wires.len() {
            self.read(at);
        }
        for at in 0..self.sessions.len() {
            self.sessions[at].session.handle_timeout(now);
            self.tell(at, &[]);
            self.report(at);
        }
        while let Some(expired) = self.registry.poll_expired(now) {
            let sid = expired.sid;
            for held in self.sessions.iter_mut().filter(|held| held.session.id() == Some(sid)) {
                held.session.kill(expired.code);
            }
        }
        for at in 0..self.wires.len() {
            self.write(at);
        }
        self.dial();
    }

    fn read(&mut self, at: usize) {
        let now = self.now;
        let wire = &mut self.wires[at];
        let got = wire.to.read(usize::MAX);
        if let Seat::Greeting(acceptor) = &mut wire.seat
            && let Err(error) = acceptor.handle_timeout(now)
        {
            self.refuse(at, &Close::new(error.code()));
            return;
        }
        match got {
            Got::Nothing => {}
            Got::End => self.lose(at),
            Got::Bytes(bytes) => {
                wire.inbox.extend(bytes);
                let bytes = std::mem::take(&mut wire.inbox);
                match wire.seat {
                    Seat::Greeting(_) => self.greet(at, &bytes),
                    Seat::Bound(session) if self.sessions[session].wire == Some(wire.id) => {
                        let rest = self.tell(session, &bytes);
                        self.wires[at].inbox = rest;
                        if !self.wires[at].inbox.is_empty() {
                            self.sessions[session].session.handle_partial(now);
                        }
                    }
                    Seat::Bound(_) | Seat::Gone => {}
                }
            }
        }
    }

    /// A connection ended.
    fn lose(&mut self, at: usize) {
        let now = self.now;
        let wire = &mut self.wires[at];
        wire.from.end();
        let id = wire.id;
        if let Seat::Bound(index) = std::mem::replace(&mut wire.seat, Seat::Gone) {
            let held = &mut self.sessions[index];
            if held.wire == Some(id) {
                held.wire = None;
                held.session.detach(now);
                if let Some(caller) = &mut self.caller {
                    caller.left(now, &held.session);
                }
                if let Some(lease) = held.lease {
                    let rx_next = held.session.received().get();
                    let finished = held.session.state() == SessionState::Ended;
                    self.registry.detached(now, lease, Parting { rx_next, finished });
                }
            }
        }
    }

    fn refuse(&mut self, at: usize, close: &Close<'_>) {
        let mut out = [0; HANDSHAKE_MAX];
        let wire = &mut self.wires[at];
        if let Seat::Greeting(acceptor) = &mut wire.seat {
            let written = acceptor.refuse(close, &mut out);
            wire.outbox.extend_from_slice(&out[..written]);
        }
        wire.seat = Seat::Gone;
    }

    fn greet(&mut self, at: usize, bytes: &[u8]) {
        let mut input = bytes;
        let now = self.now;
        let Seat::Greeting(acceptor) = &mut self.wires[at].seat else {
            return;
        };
        match acceptor.handle_input(now, &mut input) {
            Ok(None) => self.wires[at].inbox = input.to_vec(),
            Ok(Some(Greeting::Auth { .. })) => self.refuse(at, &Close::new(CloseCode::BAD_STATE)),
            Err(error) => self.refuse(at, &Close::new(error.code())),
            Ok(Some(Greeting::Hello(hello))) => {
                let mut out = [0; HANDSHAKE_MAX];
                match self.admit(&hello, &mut out) {
                    Ok((session, written)) => {
                        let wire = &mut self.wires[at];
                        wire.seat = Seat::Bound(session);
                        wire.outbox.extend_from_slice(&out[..written]);
                        self.sessions[session].wire = Some(wire.id);
                    }
                    Err(close) => self.refuse(at, &close),
                }
            }
        }
    }

    fn admit(
        &mut self,
        hello: &Hello<'_>,
        out: &mut [u8],
    ) -> Result<(usize, usize), Close<'static>> {
        let now = self.now;
        let peer = Peer { principal: None, source: 1, channel_binding: &[], encrypted: false };
        let sid = 0x0001_0000_0000_0000 + u64::from(self.count);
        let entropy = Entropy { sid, key: [self.count as u8; 16] };
        let seed = self.count;
        match self.registry.admit(now, hello, &peer, entropy).map_err(|refusal| refusal.close())? {
            Admission::New { lease, grant, ttl_s: _ } => {
                let storage = Vec::new();
                let accepted = Session::server(now, self.config, hello, grant, seed, storage, out);
                let accepted = accepted.map_err(|code| {
                    self.registry.ended(now, lease, code, 0);
                    Close::new(code)
                })?;
                let (lease, partial) = (Some(lease), Vec::new());
                let session = accepted.session;
                self.sessions.push(Held { session, lease, wire: None, partial });
                Ok((self.sessions.len() - 1, accepted.written))
            }
            Admission::Resume { lease, fence, .. } => self.resume(hello, lease, fence, out),
        }
    }

    /// Another connection for a session that exists, whose claim was proved.
    fn resume(
        &mut self,
        hello: &Hello<'_>,
        lease: Lease,
        fence: bool,
        out: &mut [u8],
    ) -> Result<(usize, usize), Close<'static>> {
        let (now, seed) = (self.now, self.count);
        let sid = self.registry.sid(lease.index());
        let found = self.sessions.iter().position(|held| held.session.id() == sid);
        let index = found.ok_or(Close::new(CloseCode::INTERNAL))?;
        if fence {
            self.fence(index);
        }
        let held = &mut self.sessions[index];
        held.lease = Some(lease);
        match held.session.accept(now, hello, seed, out) {
            Ok(written) => Ok((index, written)),
            Err(code) => {
                let rx_next = Some(held.session.received().get());
                let flags = CloseFlags::SESSION_ENDED;
                Err(Close { flags, rx_next, ..Close::new(code) })
            }
        }
    }

    fn fence(&mut self, index: usize) {
        let now = self.now;
        let mut out = [0; HANDSHAKE_MAX];
        let held = &mut self.sessions[index];
        let written = held.session.fence(now, &mut out);
        let old = held.wire.take();
        if let Some(wire) = self.wires.iter_mut().find(|wire| Some(wire.id) == old) {
            wire.outbox.extend_from_slice(&out[..written]);
            wire.seat = Seat::Gone;
        }
    }

    /// Hands bytes to a session, notes what comes of them, and returns what is left.
    fn tell(&mut self, index: usize, bytes: &[u8]) -> Vec<u8> {
        let now = self.now;
        let held = &mut self.sessions[index];
        let mut input = bytes;
        loop {
            let event = match held.session.handle_input(now, &mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                // An event tells it as well.
                Err(_) => continue,
            };
            let session = held.session.id().unwrap_or(0);
            let (what, done) = observe(&event, &mut held.partial);
            if let Some(position) = done
                && self.config.release == outlast_core::Release::Manual
            {
                held.session.release(now, position);
            }
            if let Some(caller) = &mut self.caller {
                caller.note(now, &event);
            }
            self.seen.push_back(Seen { session, what });
        }
        input.to_vec()
    }

    /// Tells the registry what it has to know.
    fn report(&mut self, index: usize) {
        let held = &self.sessions[index];
        let Some(lease) = held.lease else {
            return;
        };
        if held.session.is_confirmed() {
            self.registry.confirmed(lease);
        }
        let code = match held.session.state() {
            SessionState::Ended => CloseCode::OK,
            SessionState::Dead => held.session.death().map_or(CloseCode::INTERNAL, |d| d.code),
            SessionState::New
            | SessionState::Attached
            | SessionState::Detached
            | SessionState::Exported => return,
        };
        self.registry.ended(self.now, lease, code, held.session.received().get());
    }

    fn write(&mut self, at: usize) {
        let now = self.now;
        let wire = &mut self.wires[at];
        let mut is_closing = matches!(wire.seat, Seat::Gone);
        if let Seat::Bound(index) = wire.seat {
            let session = &mut self.sessions[index].session;
            while wire.outbox.is_empty() && session.has_output() {
                let mut out = [0; 4096];
                let written = session.poll_transmit(now, &mut out);
                let taken = wire.from.write(&out[..written], CAPACITY);
                wire.outbox.extend_from_slice(&out[taken..written]);
                if written == 0 {
                    break;
                }
            }
            is_closing = session.is_closing() && !session.has_output();
            if session.link_state() == LinkState::Closed {
                wire.to.cut(0);
                self.lose(at);
                return;
            }
        }
        let taken = wire.from.write(&wire.outbox, CAPACITY);
        wire.outbox.drain(..taken);
        if is_closing && wire.outbox.is_empty() {
            wire.from.end();
        }
    }

    /// A client opens a connection when its dialer says so.
    fn dial(&mut self) {
        if !self.caller.as_mut().is_some_and(|caller| caller.wants_connection(self.now)) {
            return;
        }
        let seed = self.count + 1;
        let Some(held) = self.sessions.first_mut() else {
            return;
        };
        let mut out = [0; HANDSHAKE_MAX];
        let attach = Attach { seed, ..Attach::default() };
        if let Ok(written) = held.session.attach(self.now, &attach, &mut out) {
            let wire = self.add_wire(Seat::Bound(0), out[..written].to_vec());
            self.sessions[0].wire = Some(wire);
            self.dialled.push_back(wire);
            self.write(self.wires.len() - 1);
        }
    }
}
