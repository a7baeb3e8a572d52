//! Two real ends, two wires, and an oracle that knows what was sent.
//!
//! As long as nobody put foreign bytes on a wire, every message arrives once, in order and
//! unchanged, however the connection is cut, and neither end ever accuses the other. After foreign
//! bytes only the bounds hold: no panic, no more memory than configured, no accounts that do not
//! add up.

use std::collections::VecDeque;

use outlast_core::auth::{SessionKey, verify_resume_proof};
use outlast_core::state::{LinkState, SessionState};
use outlast_core::wire::{Grant, Hello, RequestId};
use outlast_core::{
    Acceptor, Attach, CONTROL_MAX, CloseCode, Config, Event, Greeting, HANDSHAKE_MAX, Head,
    Instant, Release, SendError, Session,
};

use crate::snapshot;

/// Which end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The one that dials.
    Client,
    /// The one that is dialled.
    Server,
}

impl Who {
    /// The opposite end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// How a message that was begun stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Whole,
    Aborted,
}

/// One message on its way: its content follows from its number.
#[derive(Debug, Clone, Copy)]
struct Item {
    number: u64,
    len: usize,
    fate: Fate,
}

/// What a message of this number holds at this offset.
#[must_use]
pub fn content(number: u64, offset: usize) -> u8 {
    let [low, ..] = number.wrapping_mul(31).wrapping_add(offset as u64 * 7).to_le_bytes();
    low
}

/// One end and what its application knows.
pub struct End {
    /// The real thing.
    pub session: Session<Vec<u8>>,
    /// Received and not yet whole.
    inbox: Vec<u8>,
    /// What the peer sent and this end has not seen.
    expected: VecDeque<Item>,
    /// Bytes of the front of `expected` that came.
    seen: usize,
    /// Requests of the peer that want an answer.
    pub requests: Vec<RequestId>,
    /// Fragments of the message that is not complete.
    pub partial: Vec<u8>,
}

impl End {
    fn new(session: Session<Vec<u8>>) -> Self {
        Self {
            session,
            inbox: Vec::new(),
            expected: VecDeque::new(),
            seen: 0,
            requests: Vec::new(),
            partial: Vec::new(),
        }
    }
}

/// Everything there is.
pub struct World {
    /// Virtual time.
    pub now: Instant,
    config: [Config; 2],
    client: End,
    server: Option<End>,
    /// What is under way to the client and to the server.
    wires: [Vec<u8>; 2],
    /// Whether the wires are those of a connection that is whole; a broken one swallows everything.
    connected: bool,
    number: u64,
    sessions: u64,
    /// Foreign bytes were on a wire: no more promises of delivery.
    pub tainted: bool,
    /// Somebody ended the session on purpose.
    pub over: bool,
}

impl World {
    /// A client that has not dialled; nothing if a configuration is out of range.
    #[must_use]
    pub fn new(client: Config, server: Config) -> Option<Self> {
        server.validate().ok()?;
        let session = Session::client(client, Vec::new()).ok()?;
        Some(Self {
            now: Instant::from_micros(1_000_000),
            config: [client, server],
            client: End::new(session),
            server: None,
            wires: [Vec::new(), Vec::new()],
            connected: false,
            number: 0,
            sessions: 0,
            tainted: false,
            over: false,
        })
    }

    /// That end, if it exists.
    pub fn end(&mut self, who: Who) -> Option<&mut End> {
        match who {
            Who::Client => Some(&mut self.client),
            Who::Server => self.server.as_mut(),
        }
    }

    /// The configuration of that end.
    #[must_use]
    pub const fn config(&self, who: Who) -> &Config {
        &self.config[who as usize]
    }

    /// The bytes under way to that end.
    pub fn wire_to(&mut self, who: Who) -> &mut Vec<u8> {
        &mut self.wires[who as usize]
    }

    /// One line about both ends, for somebody who looks for a cause.
    #[must_use]
    pub fn describe(&self) -> String {
        let of = |end: &End| {
            let (session, inbox) = (&end.session, end.inbox.len());
            let positions = [
                session.acknowledged().get(),
                session.transmitted().get(),
                session.sent().get(),
                session.received().get(),
            ];
            let (state, link) = (session.state(), session.link_state());
            format!("{state:?}/{link:?} acked,high,sent,received {positions:?} inbox {inbox}")
        };
        let server = self.server.as_ref().map(of).unwrap_or_default();
        let wires = [self.wires[0].len(), self.wires[1].len()];
        let flags = [self.connected, self.tainted, self.over];
        format!("client {} | server {server} | wires {wires:?} {flags:?}", of(&self.client))
    }

    /// Lets `time` microseconds pass at both ends.
    pub fn wait(&mut self, time: u64) {
        self.now = self.now.after(time);
        let now = self.now;
        for who in [Who::Client, Who::Server] {
            if let Some(end) = self.end(who) {
                end.session.handle_timeout(now);
            }
            self.check(who);
        }
    }

    /// Breaks the connection: everything under way is lost. Either end may not notice.
    pub fn cut(&mut self, client_notices: bool, server_notices: bool) {
        let now = self.now;
        self.connected = false;
        self.wires = [Vec::new(), Vec::new()];
        for (who, notices) in [(Who::Client, client_notices), (Who::Server, server_notices)] {
            if let Some(end) = self.end(who).filter(|_| notices) {
                end.inbox.clear();
                end.session.detach(now);
            }
        }
    }

    /// A new connection with its handshake, up to WELCOME on its way. The server may still hold the
    /// old one.
    pub fn dial(&mut self) {
        self.cut(true, false);
        let now = self.now;
        let (mut hello_bytes, mut out) = ([0; HANDSHAKE_MAX], [0; HANDSHAKE_MAX]);
        let fresh = self.client.session.state() == SessionState::New;
        let attach = Attach { seed: 7, ..Attach::default() };
        let Ok(len) = self.client.session.attach(now, &attach, &mut hello_bytes) else {
            assert!(self.over || self.tainted, "a client that can neither go on nor begin");
            return;
        };
        let mut acceptor = Acceptor::new(now, &self.config[1]);
        let mut input = &hello_bytes[..len];
        let greeting = acceptor.handle_input(now, &mut input);
        let Ok(Some(Greeting::Hello(hello))) = greeting else {
            panic!("an honest HELLO was not taken: {greeting:?}");
        };
        let written = if fresh {
            self.sessions += 1;
            let grant = Grant { sid: self.sessions, epoch: 1, key_id: 1, key: [1; 16] };
            self.client.expected.clear();
            self.client.seen = 0;
            let accepted =
                Session::server(now, self.config[1], &hello, grant, 3, Vec::new(), &mut out);
            accepted.map(|accepted| {
                self.server = Some(End::new(accepted.session));
                accepted.written
            })
        } else {
            self.resume(&hello, &mut out)
        };
        match written {
            Ok(written) => {
                self.connected = true;
                self.wire_to(Who::Client).extend_from_slice(&out[..written]);
            }
            Err(code) => {
                // Whose client missed the end is told that all is well; here nobody remembers.
                let ended = |end: &End| end.session.state() == SessionState::Ended;
                let ended = self.server.as_ref().is_some_and(ended);
                assert!(self.over || self.tainted || ended, "an honest client was refused: {code}");
                self.over = true;
            }
        }
    }

    fn resume(&mut self, hello: &Hello<'_>, out: &mut [u8]) -> Result<usize, CloseCode> {
        let Some(server) = self.server.as_mut() else {
            return Err(CloseCode::NO_SESSION);
        };
        let claim = hello.resume.expect("a session that exists is claimed");
        let session = &mut server.session;
        let key = [claim.key_id; 16];
        let proved = verify_resume_proof(&SessionKey::new(key), &claim, &[], false);
        assert!(proved || self.tainted, "an honest proof does not fit");
        session.fence(self.now, &mut [0; CONTROL_MAX]);
        server.inbox.clear();
        session.accept(self.now, hello, 5, out)
    }

    /// One end writes up to `room` bytes to its wire; returns how many it wrote.
    pub fn transmit(&mut self, who: Who, room: usize) -> usize {
        let now = self.now;
        let mut out = vec![0; room];
        let Some(end) = self.end(who) else { return 0 };
        let written = end.session.poll_transmit(now, &mut out);
        assert!(written <= room, "wrote beyond the buffer");
        if self.connected {
            self.wire_to(who.other()).extend_from_slice(&out[..written]);
        }
        self.check(who);
        written
    }

    /// One end receives up to `count` bytes and handles what is whole; returns how many it got.
    pub fn deliver(&mut self, who: Who, count: usize) -> usize {
        let (now, tainted) = (self.now, self.tainted);
        let wire = self.wire_to(who);
        let count = count.min(wire.len());
        let bytes: Vec<u8> = wire.drain(..count).collect();
        let Some(end) = self.end(who) else {
            return count;
        };
        end.inbox.extend_from_slice(&bytes);
        let inbox = std::mem::take(&mut end.inbox);
        let mut input = inbox.as_slice();
        // Each event takes a frame, or is one of a few that wait.
        let most = input.len() / 4 + 16;
        for turn in 0.. {
            assert!(turn < most, "events without end");
            match end.session.handle_input(now, &mut input) {
                Ok(Some(event)) => observe(end, &event, tainted),
                Ok(None) => break,
                Err(violation) => {
                    assert!(tainted, "an honest end was accused: {violation}");
                    break;
                }
            }
        }
        end.inbox = input.to_vec();
        self.note_end(who);
        self.check(who);
        count
    }

    /// A session that is over stays over; if nobody wanted that, it is a finding.
    fn note_end(&mut self, who: Who) {
        let Some(end) = self.end(who) else { return };
        let (state, death) = (end.session.state(), end.session.death());
        if state == SessionState::Dead {
            assert!(self.over || self.tainted, "{who:?} died: {death:?}");
        }
        if matches!(state, SessionState::Dead | SessionState::Ended) {
            self.over = true;
        }
    }

    /// Sends one message; `verb` writes it with the given content.
    pub fn send(
        &mut self,
        who: Who,
        len: usize,
        whole: bool,
        verb: impl FnOnce(&mut Session<Vec<u8>>, &[u8]) -> Result<(), SendError>,
    ) -> bool {
        let number = self.number;
        let payload: Vec<u8> = (0..len).map(|offset| content(number, offset)).collect();
        let Some(end) = self.end(who) else {
            return false;
        };
        let sent = verb(&mut end.session, &payload).is_ok();
        if sent && let Some(peer) = self.end(who.other()) {
            let fate = if whole { Fate::Whole } else { Fate::Open };
            peer.expected.push_back(Item { number, len, fate });
            self.number += 1;
        }
        sent
    }

    /// Continues or gives up the message that `who` began.
    pub fn go_on(&mut self, who: Who, len: usize, last: bool, abort: bool) -> bool {
        let Some(peer) = self.end(who.other()) else {
            return false;
        };
        let Some(item) = peer.expected.back().copied().filter(|item| item.fate == Fate::Open)
        else {
            return false;
        };
        let (from, to) = (item.len, item.len + len);
        let part: Vec<u8> = (from..to).map(|offset| content(item.number, offset)).collect();
        let Some(end) = self.end(who) else {
            return false;
        };
        let result =
            if abort { end.session.abort() } else { end.session.push_fragment(&part, last) };
        if result.is_ok()
            && let Some(item) = self.end(who.other()).and_then(|peer| peer.expected.back_mut())
        {
            item.len += if abort { 0 } else { len };
            item.fate = match (abort, last) {
                (true, _) => Fate::Aborted,
                (false, true) => Fate::Whole,
                (false, false) => Fate::Open,
            };
        }
        result.is_ok()
    }

    /// Accounts that must add up after whatever happened.
    fn check(&mut self, who: Who) {
        let (config, now) = (*self.config(who), self.now);
        let Some(end) = self.end(who) else { return };
        let session = &end.session;
        let (acked, high, sent) =
            (session.acknowledged().get(), session.transmitted().get(), session.sent().get());
        assert!(acked <= high && high <= sent, "positions: {acked} {high} {sent}");
        assert_eq!(sent - acked, session.unacknowledged() as u64);
        assert!(session.unacknowledged() <= config.send_buffer as usize, "beyond the buffer");
        let requests = usize::from(config.max_requests) + usize::from(config.max_requests_out);
        let most = 2 * config.send_buffer as usize + requests + 64;
        assert!(session.held_bytes() <= most, "{} bytes held", session.held_bytes());
        if session.has_output() {
            let due = session.poll_timeout().is_some_and(|at| at <= now);
            assert!(due, "output waits and no time is named");
        }
    }

    /// Brings everything to rest without further faults. What honest ends sent must arrive.
    pub fn settle(&mut self) {
        const ROUNDS: usize = 2_000;
        for _ in 0..ROUNDS {
            if self.over || self.tainted || self.is_quiet() {
                return;
            }
            if !self.connected || !self.is_up() {
                self.dial();
            }
            self.finish_open();
            let mut moved = 0;
            for who in [Who::Client, Who::Server] {
                moved += self.transmit(who, 4_096) + self.deliver(who, usize::MAX);
                self.release_all(who);
            }
            if moved == 0 {
                self.wait(20_000);
            }
        }
        panic!("no rest after {ROUNDS} rounds");
    }

    fn is_up(&mut self) -> bool {
        let up = |end: &mut End| {
            let session = &end.session;
            let gone = matches!(session.link_state(), LinkState::Idle | LinkState::Closed);
            !gone && (!session.is_closing() || session.has_output())
        };
        let client = self.end(Who::Client).is_some_and(up);
        client && self.end(Who::Server).is_some_and(up)
    }

    fn is_quiet(&mut self) -> bool {
        [Who::Client, Who::Server].into_iter().all(|who| {
            self.end(who).is_some_and(|end| {
                let attached = end.session.state() == SessionState::Attached;
                attached && end.expected.is_empty() && end.session.unacknowledged() == 0
            })
        })
    }

    fn finish_open(&mut self) {
        for who in [Who::Client, Who::Server] {
            let _ = self.go_on(who, 1, true, false) || self.go_on(who, 0, true, true);
        }
    }

    /// In manual release, the application takes everything it has been told of.
    pub fn release_all(&mut self, who: Who) {
        let now = self.now;
        if self.config(who).release == Release::Manual
            && let Some(end) = self.end(who)
        {
            let position = end.session.received();
            end.session.release(now, position);
        }
        self.note_end(who);
    }

    /// One process is replaced by one that knows only the snapshot. All positions in it are moved
    /// by `shift`; the peer's must be, too.
    pub fn restart(&mut self, who: Who, shift: u64) {
        let (now, config) = (self.now, *self.config(who));
        let Some(end) = self.end(who) else { return };
        let mut bytes = vec![0; end.session.snapshot_len(end.partial.len())];
        let Ok(len) = end.session.snapshot(60, &end.partial, &mut bytes) else {
            return;
        };
        assert_eq!(len, bytes.len(), "the announced length is the length");
        if shift != 0 {
            snapshot::shift_positions(&mut bytes, shift);
        }
        let restored = Session::restore(config, &bytes, false, Vec::new());
        let restored = restored.expect("an own snapshot can be restored");
        assert_eq!(restored.partial, end.partial);
        assert_eq!(restored.session.unacknowledged(), end.session.unacknowledged());
        end.session = restored.session;
        end.session.detach(now);
        self.cut(true, true);
    }
}

/// Compares an event with what the peer is known to have sent.
fn observe(end: &mut End, event: &Event<'_>, tainted: bool) {
    if let Event::Request { id, .. } = event {
        end.requests.push(*id);
    }
    if let Event::Fragment { head: Head::Request { id, .. }, last: true, .. } = event {
        end.requests.push(*id);
    }
    if let Event::Fragment { payload, last, .. } = event {
        end.partial.extend_from_slice(payload);
        if *last {
            end.partial.clear();
        }
    }
    if let Event::Aborted { .. } = event {
        end.partial.clear();
    }
    if !tainted {
        judge(end, event);
    }
}

fn judge(end: &mut End, event: &Event<'_>) {
    let (offset, payload, last) = match event {
        Event::Message { payload, .. }
        | Event::Request { payload, .. }
        | Event::Response { payload, .. } => (0, *payload, true),
        Event::Fragment { offset, payload, last, .. } => (*offset as usize, *payload, *last),
        Event::Aborted { .. } => {
            let item = end.expected.pop_front().expect("nothing was begun");
            assert_eq!(item.fate, Fate::Aborted, "given up by nobody");
            end.seen = 0;
            return;
        }
        _ => return,
    };
    let item = *end.expected.front().expect("delivered twice, or never sent");
    assert_eq!(offset, end.seen, "a fragment is missing or came twice");
    for (index, byte) in payload.iter().enumerate() {
        assert_eq!(*byte, content(item.number, offset + index), "out of order or changed");
    }
    end.seen += payload.len();
    if last {
        assert_eq!((item.fate, end.seen), (Fate::Whole, item.len));
        end.expected.pop_front();
        end.seen = 0;
    }
}
