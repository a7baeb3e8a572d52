//! What each action does.

use outlast_core::state::{LinkState, SessionState};
use outlast_core::{Attach, CONTROL_MAX, CloseCode, HANDSHAKE_MAX, Instant, Scope, Session};

use super::{Action, End, Party, Rules, Seat, Served, Store, Wire, World};
use crate::link::{Got, Pipe};
use crate::model::Wrong;

impl World {
    /// Performs one action and checks what must hold after every step; whether anything changed.
    ///
    /// # Errors
    ///
    /// What does not hold.
    pub fn step(&mut self, rules: &Rules, action: Action) -> Result<bool, Wrong> {
        let changed = self.perform(rules, action)?;
        self.settle(rules)?;
        self.collect();
        self.check(rules)?;
        Ok(changed)
    }

    fn perform(&mut self, rules: &Rules, action: Action) -> Result<bool, Wrong> {
        match action {
            Action::Dial => self.dial(),
            Action::Write { wire, by, buffer, take } => {
                Ok(self.write(rules, wire, by, buffer, take))
            }
            Action::Read { wire, by, most } => self.read(rules, wire, by, most),
            Action::Send(party) => self.with(rules, party, |end, _| {
                Ok(end.app.opened && end.app.send_next(&mut end.session)?)
            }),
            Action::Answer(party) => {
                self.with(rules, party, |end, _| end.app.answer_next(&mut end.session))
            }
            Action::Release(party) => {
                self.with(rules, party, |end, now| Ok(end.app.release_next(&mut end.session, now)))
            }
            Action::Finish(party) => {
                self.with(rules, party, |end, _| end.app.finish(&mut end.session))
            }
            Action::Cut { wire, up, down } => Ok(self.cut(wire, up, down)),
            Action::Stall { wire, from, on } => Ok(self.wire_mut(wire).is_some_and(|wire| {
                wire.written_by_mut(from).stall(on);
                true
            })),
            Action::Blacken { wire, from } => Ok(self.wire_mut(wire).is_some_and(|wire| {
                wire.written_by_mut(from).blacken();
                true
            })),
            Action::Elapse(micros) => {
                self.elapse(micros);
                Ok(true)
            }
            Action::Rotate => {
                let id = self.client.session.id();
                Ok(id.is_some_and(|id| self.desk.rotate(id)))
            }
            Action::Remember => Ok(self.served_mut().is_some_and(|served| {
                served.persist();
                true
            })),
            Action::Crash => self.restart(rules).map(|()| true),
            Action::Drain => {
                let now = self.now;
                // The grace outlives the connection: an application that is never asked has no
                // place in the books, and refusals have cases of their own.
                Ok(self.served_mut().is_some_and(|served| {
                    served.end.session.drain(now, CloseCode::GOING_AWAY, u32::MAX, 50).is_ok()
                }))
            }
        }
    }

    pub(super) fn served_mut(&mut self) -> Option<&mut Served> {
        let id = self.client.session.id()?;
        self.desk.find_mut(id)
    }

    /// Lets an application act; what a durable one did is stored before anything else happens.
    fn with(
        &mut self,
        rules: &Rules,
        party: Party,
        act: impl FnOnce(&mut End, Instant) -> Result<bool, Wrong>,
    ) -> Result<bool, Wrong> {
        let now = self.now;
        match party {
            Party::Client if is_usable(&self.client.session) => act(&mut self.client, now),
            Party::Client => Ok(false),
            Party::Server => {
                let Some(served) = self.served_mut() else {
                    return Ok(false);
                };
                if !is_usable(&served.end.session) {
                    return Ok(false);
                }
                let changed = act(&mut served.end, now)?;
                if changed && rules.store == Store::Durable {
                    served.persist();
                }
                Ok(changed)
            }
        }
    }

    /// The client opens a connection, and forgets the one it has.
    fn dial(&mut self) -> Result<bool, Wrong> {
        let now = self.now;
        if !matches!(
            self.client.session.state(),
            SessionState::New | SessionState::Attached | SessionState::Detached
        ) {
            return Ok(false);
        }
        self.drop_client_wire();
        let attach = Attach { seed: self.dials, ..Attach::default() };
        let mut out = [0; HANDSHAKE_MAX];
        let written = self
            .client
            .session
            .attach(now, &attach, &mut out)
            .map_err(|error| Wrong(format!("dialling: {error}")))?;
        self.dials += 1;
        self.client.outbox = out[..written].to_vec();
        self.client.wire = Some(self.dials);
        let seat =
            Seat::Greeting(outlast_core::Acceptor::new(now, &self.server_config()), Vec::new());
        let (up, down) = (Pipe::default(), Pipe::default());
        self.wires.push(Wire { id: self.dials, up, down, seat });
        Ok(true)
    }

    /// What an accepting server goes by before it knows more.
    const fn server_config(&self) -> outlast_core::Config {
        let _ = self;
        outlast_core::Config::SERVER
    }

    /// The client lets go of its connection: what it wrote may still arrive.
    fn drop_client_wire(&mut self) {
        let now = self.now;
        if let Some(old) = self.client.wire.take()
            && let Some(wire) = self.wire_mut(old)
        {
            wire.up.end();
            wire.down.cut(0);
        }
        self.client.session.detach(now);
        self.client.inbox.clear();
        self.client.outbox.clear();
    }

    fn write(&mut self, rules: &Rules, wire: u32, by: Party, buffer: usize, take: usize) -> bool {
        let now = self.now;
        let Some(at) = self.wires.iter().position(|w| w.id == wire) else {
            return false;
        };
        let Wire { up, down, seat, .. } = &mut self.wires[at];
        match (by, seat) {
            (Party::Client, _) if self.client.wire == Some(wire) => {
                pump(now, &mut self.client, up, rules.capacity, buffer, take)
            }
            (Party::Server, Seat::Bound(sid, _)) => match self.desk.find_mut(*sid) {
                Some(served) if served.end.wire == Some(wire) && !served.unsaved => {
                    pump(now, &mut served.end, down, rules.capacity, buffer, take)
                }
                Some(_) | None => false,
            },
            (Party::Server, seat @ Seat::Refused(_)) => {
                if let Seat::Refused(bytes) = seat {
                    let count = down.write(&bytes[..bytes.len().min(take)], rules.capacity);
                    bytes.drain(..count);
                    if bytes.is_empty() {
                        down.end();
                        *seat = Seat::Gone;
                    }
                }
                true
            }
            (Party::Client | Party::Server, _) => false,
        }
    }

    fn read(&mut self, rules: &Rules, wire: u32, by: Party, most: usize) -> Result<bool, Wrong> {
        let Some(found) = self.wire_mut(wire) else {
            return Ok(false);
        };
        let pipe = found.written_by_mut(by.other());
        let most = if most == 0 { pipe.front_frame() } else { most };
        let got = pipe.read(most);
        match (by, got) {
            (_, Got::Nothing) => Ok(false),
            (Party::Client, _) if self.client.wire != Some(wire) => Ok(true),
            (Party::Client, Got::End) => {
                self.drop_client_wire();
                Ok(true)
            }
            (Party::Client, Got::Bytes(bytes)) => {
                feed(rules, self.now, &mut self.client, &bytes)?;
                Ok(true)
            }
            (Party::Server, got) => self.read_seat(rules, wire, got).map(|()| true),
        }
    }

    fn read_seat(&mut self, rules: &Rules, wire: u32, got: Got) -> Result<(), Wrong> {
        let now = self.now;
        let Some(found) = self.wire_mut(wire) else {
            return Ok(());
        };
        let bytes = match got {
            Got::Bytes(bytes) => bytes,
            Got::Nothing => return Ok(()),
            Got::End => {
                let seat = std::mem::replace(&mut found.seat, Seat::Gone);
                found.down.end();
                if let Seat::Bound(sid, lease) = seat {
                    self.desk.lose(now, sid, lease);
                    if !self.is_fenced(wire, sid) {
                        self.drop_server_end(sid);
                    }
                }
                return Ok(());
            }
        };
        match &mut found.seat {
            Seat::Greeting(acceptor, inbox) => {
                let acceptor = acceptor.clone();
                let mut all = std::mem::take(inbox);
                all.extend_from_slice(&bytes);
                self.greet(rules, wire, acceptor, &all)
            }
            Seat::Bound(sid, _) => {
                let sid = *sid;
                if self.is_fenced(wire, sid) {
                    self.seen.fenced_bytes += bytes.len() as u32;
                    return Ok(());
                }
                let Some(served) = self.desk.find_mut(sid) else {
                    return Ok(());
                };
                feed(rules, now, &mut served.end, &bytes)?;
                if rules.store == Store::Durable && !served.end.app.manual {
                    served.persist();
                }
                Ok(())
            }
            Seat::Refused(_) | Seat::Gone => Ok(()),
        }
    }

    /// Whether another connection has taken over from this one: then its bytes mean nothing.
    pub(super) fn is_fenced(&self, wire: u32, sid: u64) -> bool {
        self.desk.find(sid).is_none_or(|served| served.end.wire != Some(wire))
    }

    fn drop_server_end(&mut self, sid: u64) {
        let now = self.now;
        if let Some(served) = self.desk.find_mut(sid) {
            served.end.session.detach(now);
            served.end.wire = None;
            served.end.inbox.clear();
            served.end.outbox.clear();
        }
    }

    fn cut(&mut self, wire: u32, up: usize, down: usize) -> bool {
        let Some(found) = self.wire_mut(wire) else {
            return false;
        };
        let lossy = found.up.len() > up || found.down.len() > down;
        found.up.cut(up);
        found.down.cut(down);
        self.seen.lossy_cuts += u32::from(lossy);
        true
    }

    fn elapse(&mut self, micros: u64) {
        self.now = self.now.after(micros);
        let now = self.now;
        self.client.session.handle_timeout(now);
        for served in &mut self.desk.sessions {
            served.end.session.handle_timeout(now);
        }
        self.expire_greetings(now);
    }

    /// Tells applications what waits to be told, and lets go of connections that are of no use.
    fn settle(&mut self, rules: &Rules) -> Result<(), Wrong> {
        let now = self.now;
        feed(rules, now, &mut self.client, &[])?;
        self.client.app.opened |= self.client.session.id().is_some();
        if self.client.wire.is_some() && self.client.session.link_state() == LinkState::Closed {
            self.seen.silences += 1;
            self.drop_client_wire();
        }
        let mut closed = Vec::new();
        for served in &mut self.desk.sessions {
            feed(rules, now, &mut served.end, &[])?;
            served.end.app.opened |= served.end.session.is_confirmed();
            if served.end.session.link_state() == LinkState::Closed {
                closed.extend(served.end.wire.map(|wire| (wire, served.sid)));
            }
        }
        for (wire, sid) in closed {
            self.seen.silences += 1;
            if let Some(wire) = self.wire_mut(wire) {
                wire.seat = Seat::Gone;
                wire.down.end();
            }
            if let Some(lease) = self.desk.find(sid).map(|served| served.lease) {
                self.desk.lose(now, sid, lease);
            }
            self.drop_server_end(sid);
        }
        self.desk.report(now);
        for served in &mut self.desk.sessions {
            feed(rules, now, &mut served.end, &[])?;
        }
        Ok(())
    }

    /// Forgets what nobody can notice any more.
    fn collect(&mut self) {
        let (mine, known) = (self.client.wire, self.client.session.id());
        self.desk.sessions.retain(|served| match known {
            Some(id) => served.sid == id,
            // Its WELCOME is on its way to a client that does not know the name yet.
            None => mine == Some(served.first_wire),
        });
        let mut wires = std::mem::take(&mut self.wires);
        for wire in &mut wires {
            if let Seat::Bound(sid, _) = wire.seat
                && self.desk.find(sid).is_none()
            {
                wire.seat = Seat::Gone;
                wire.down.end();
            }
        }
        wires.retain(|wire| {
            mine == Some(wire.id)
                || match &wire.seat {
                    Seat::Greeting(..) => true,
                    Seat::Bound(sid, _) => !self.is_fenced(wire.id, *sid),
                    Seat::Refused(_) | Seat::Gone => false,
                }
        });
        self.wires = wires;
    }
}

/// Whether an application may still use a session.
fn is_usable(session: &Session<Vec<u8>>) -> bool {
    matches!(session.state(), SessionState::Attached | SessionState::Detached)
}

/// Hands bytes to a session and what comes of them to its application.
fn feed(rules: &Rules, now: Instant, end: &mut End, bytes: &[u8]) -> Result<(), Wrong> {
    let mut data = std::mem::take(&mut end.inbox);
    let waiting = bytes.is_empty();
    data.extend_from_slice(bytes);
    let mut input = if waiting { &[][..] } else { &data[..] };
    loop {
        match end.session.handle_input(now, &mut input) {
            Ok(None) => break,
            Ok(Some(event)) => end.app.take(&event)?,
            Err(error) if rules.may_lose && error.code().scope() == Scope::Session => {}
            Err(error) => {
                let role = end.session.role();
                return Err(Wrong(format!("{role:?} punished an honest peer: {error}")));
            }
        }
    }
    end.inbox = if waiting { data } else { input.to_vec() };
    Ok(())
}

/// Moves bytes from a session to its transport; whether anything moved.
fn pump(
    now: Instant,
    end: &mut End,
    pipe: &mut Pipe,
    capacity: usize,
    buffer: usize,
    take: usize,
) -> bool {
    let mut moved = false;
    let mut take = take;
    if end.outbox.is_empty() {
        if buffer == 0 {
            moved |= pump_parts(now, end, pipe, capacity, &mut take);
        } else {
            let mut out = vec![0; buffer];
            let written = end.session.poll_transmit(now, &mut out);
            end.outbox.extend_from_slice(&out[..written]);
            moved |= written > 0;
        }
    }
    let offered = end.outbox.len().min(take);
    let count = pipe.write(&end.outbox[..offered], capacity);
    end.outbox.drain(..count);
    moved |= count > 0;
    let flushed = end.outbox.is_empty() && !end.session.has_output();
    if end.session.is_closing() && flushed && !pipe.is_ended() {
        pipe.end();
        moved = true;
    }
    moved
}

/// As a driver with a vectored write does: control frames are copied, the ring is lent.
fn pump_parts(
    now: Instant,
    end: &mut End,
    pipe: &mut Pipe,
    capacity: usize,
    take: &mut usize,
) -> bool {
    let mut control = [0; CONTROL_MAX];
    let parts = end.session.poll_transmit_parts(now, &mut control);
    let (frames, ring) = (parts.control.to_vec(), parts.ring.concat());
    let count = pipe.write(&frames[..frames.len().min(*take)], capacity);
    *take -= count;
    end.outbox = frames[count..].to_vec();
    let offered = if end.outbox.is_empty() { ring.len().min(*take) } else { 0 };
    let written = pipe.write(&ring[..offered], capacity);
    *take -= written;
    end.session.handle_transmitted(now, written);
    count + written > 0
}
