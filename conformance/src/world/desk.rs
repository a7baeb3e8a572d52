//! A server as small as it can be: which connection is for which session, and what is told to a
//! client whose session is gone.

use outlast_core::auth::{SessionKey, verify_resume_proof};
use outlast_core::wire::{Close, CloseFlags, Grant, Hello, Resume};
use outlast_core::{
    Acceptor, CloseCode, Greeting, HANDSHAKE_MAX, Instant, Release, Session,
};

use outlast_core::state::SessionState;

use super::{End, Rules, Seat, World};
use crate::model::{App, Wrong};

/// What a server keeps beyond its own life.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Store {
    /// Nothing; it never crashes.
    Nothing,
    /// What an application sends, what it has released, and attachments, each before it can be
    /// noticed from outside. Acknowledgements and transmissions are not stored.
    Durable,
    /// A copy taken at some time, perhaps long ago.
    Old,
}

/// The server's end of one session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Served {
    /// The session's number.
    pub sid: u64,
    /// Session and application.
    pub end: End,
    /// The key that replaces the present one once the client has it.
    next_key: Option<(u8, [u8; 16])>,
    /// Snapshot and application, as stored.
    stored: Option<(Vec<u8>, App)>,
}

/// The server's sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Desk {
    /// The sessions, dead ones included: those answer for themselves.
    pub sessions: Vec<Served>,
    /// How many there have been.
    pub count: u32,
}

impl Desk {
    /// The session with this number.
    #[must_use]
    pub fn find(&self, sid: u64) -> Option<&Served> {
        self.sessions.iter().find(|served| served.sid == sid)
    }

    pub(crate) fn find_mut(&mut self, sid: u64) -> Option<&mut Served> {
        self.sessions.iter_mut().find(|served| served.sid == sid)
    }
}

impl Served {
    /// Whether the claim was made with one of the keys.
    fn is_proved_by(&self, claim: &Resume) -> bool {
        let Grant { key_id, key, .. } = self.end.session.grant();
        [Some((key_id, key)), self.next_key].into_iter().flatten().any(|(id, key)| {
            id == claim.key_id && verify_resume_proof(&SessionKey::new(key), claim, &[], false)
        })
    }

    /// Replaces the key; whether it could be begun.
    pub(crate) fn rotate(&mut self) -> bool {
        let Grant { key_id, key, .. } = self.end.session.grant();
        let next = (key_id.wrapping_add(1), key.map(|byte| byte.wrapping_add(1)));
        let begun = self.end.session.rotate_key(next.0, next.1).is_ok();
        if begun {
            self.next_key = Some(next);
        }
        begun
    }

    /// Stores the session as it is now.
    pub(crate) fn persist(&mut self) {
        let mut bytes = vec![0; self.end.session.snapshot_len(0)];
        if let Ok(len) = self.end.session.snapshot(600, &[], &mut bytes) {
            bytes.truncate(len);
            self.stored = Some((bytes, self.end.app.committed()));
        }
    }

    /// The session as it was stored.
    pub(crate) fn restore(&mut self, rules: &Rules) -> Result<(), Wrong> {
        let Some((bytes, app)) = self.stored.clone() else {
            return Ok(());
        };
        let durable = rules.store == Store::Durable;
        let restored = Session::restore(rules.server, &bytes, durable, Vec::new());
        let session = restored.map_err(|error| Wrong(format!("restoring: {error}")))?.session;
        self.end = End::new(session, app);
        if !durable {
            self.end.app.life += 1;
        }
        Ok(())
    }
}

/// A name that is unlike others and yet the same in every run.
fn grant(count: u32) -> Grant {
    let sid = 0x0001_0000_0000_0000 + u64::from(count);
    let [a, b, c, d] = count.to_le_bytes();
    Grant { sid, epoch: 1, key_id: 1, key: [a, b, c, d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
}

/// What the client of a session that is over is told, however often it asks.
//= RSM-12
fn epitaph(session: &Session<Vec<u8>>) -> Close<'static> {
    let code = session.death().map_or(CloseCode::OK, |death| death.code);
    Close {
        flags: CloseFlags::SESSION_ENDED,
        rx_next: Some(session.received().get()),
        ..Close::new(code)
    }
}

impl World {
    /// The server reads the beginning of a connection.
    pub(super) fn greet(
        &mut self,
        rules: &Rules,
        wire: u32,
        mut acceptor: Acceptor,
        bytes: &[u8],
    ) -> Result<(), Wrong> {
        let mut input = bytes;
        let seat = match acceptor.handle_input(self.now, &mut input) {
            Ok(None) => {
                let rest = input.to_vec();
                Seat::Greeting(acceptor, rest)
            }
            Ok(Some(Greeting::Auth { .. })) => return Err(Wrong("an answer to nothing".into())),
            Err(error) => return Err(Wrong(format!("a client's greeting: {error}"))),
            Ok(Some(Greeting::Hello(hello))) => {
                let mut out = [0; HANDSHAKE_MAX];
                match self.admit(rules, &hello, wire, &mut out) {
                    Ok((sid, written)) => {
                        if let Some(served) = self.desk.find_mut(sid) {
                            served.end.wire = Some(wire);
                            served.end.inbox.clear();
                            served.end.outbox = out[..written].to_vec();
                        }
                        Seat::Bound(sid)
                    }
                    Err(close) => {
                        self.seen.refusals += 1;
                        let written = acceptor.refuse(&close, &mut out);
                        Seat::Refused(out[..written].to_vec())
                    }
                }
            }
        };
        if let Some(wire) = self.wire_mut(wire) {
            wire.seat = seat;
        }
        Ok(())
    }

    fn admit(
        &mut self,
        rules: &Rules,
        hello: &Hello<'_>,
        wire: u32,
        out: &mut [u8],
    ) -> Result<(u64, usize), Close<'static>> {
        match hello.resume {
            Some(claim) => self.resume(rules, hello, &claim, wire, out),
            None => {
                let grant = grant(self.desk.count + 1);
                let seed = grant.sid as u32;
                let accepted =
                    Session::server(self.now, rules.server, hello, grant, seed, Vec::new(), out)
                        .map_err(Close::new)?;
                self.desk.count += 1;
                let manual = rules.server.release == Release::Manual;
                let app = App::new(rules.down, rules.up, manual);
                let end = End::new(accepted.session, app);
                let mut served = Served { sid: grant.sid, end, next_key: None, stored: None };
                if rules.store == Store::Durable {
                    served.persist();
                }
                self.desk.sessions.push(served);
                Ok((grant.sid, accepted.written))
            }
        }
    }

    /// Another connection for a session that exists.
    fn resume(
        &mut self,
        rules: &Rules,
        hello: &Hello<'_>,
        claim: &Resume,
        wire: u32,
        out: &mut [u8],
    ) -> Result<(u64, usize), Close<'static>> {
        let now = self.now;
        let Some(served) = self.desk.find_mut(claim.sid) else {
            return Err(Close::new(CloseCode::NO_SESSION));
        };
        if !served.is_proved_by(claim) {
            return Err(Close::new(CloseCode::NO_SESSION));
        }
        let session = &mut served.end.session;
        if matches!(session.state(), SessionState::Dead | SessionState::Ended) {
            return Err(epitaph(session));
        }
        if claim.attach <= session.attach_count() {
            let last_attach = Some(session.attach_count());
            return Err(Close { last_attach, ..Close::new(CloseCode::STALE_ATTACH) });
        }
        self.fence(claim.sid, wire);
        let Some(served) = self.desk.find_mut(claim.sid) else {
            return Err(Close::new(CloseCode::INTERNAL));
        };
        let seed = claim.attach;
        match served.end.session.accept(now, hello, seed, out) {
            Ok(written) => {
                if served.next_key.is_some_and(|(id, _)| id == claim.key_id) {
                    served.next_key = None;
                }
                if rules.store == Store::Durable {
                    served.persist();
                }
                self.seen.resumes += 1;
                Ok((claim.sid, written))
            }
            Err(code) => Err(Close { code, ..epitaph(&served.end.session) }),
        }
    }

    /// The old connection of a session ends before anything is said about the new one.
    fn fence(&mut self, sid: u64, new: u32) {
        let now = self.now;
        let Some(served) = self.desk.find_mut(sid) else {
            return;
        };
        let old = served.end.wire.take().filter(|old| *old != new);
        let mut farewell = std::mem::take(&mut served.end.outbox);
        let mut out = [0; HANDSHAKE_MAX];
        let written = served.end.session.fence(now, &mut out);
        farewell.extend_from_slice(&out[..written]);
        served.end.inbox.clear();
        if let Some(old) = old
            && let Some(wire) = self.wire_mut(old)
        {
            wire.down.write(&farewell, usize::MAX);
            wire.down.end();
            self.seen.takeovers += 1;
        }
    }

    /// The server's sessions as they come back after a crash; every connection is gone.
    pub(super) fn restart(&mut self, rules: &Rules) -> Result<(), Wrong> {
        for wire in &mut self.wires {
            wire.seat = Seat::Gone;
            wire.up.cut(0);
            wire.down.cut(0);
        }
        for served in &mut self.desk.sessions {
            served.restore(rules)?;
        }
        self.client.app.peer_lives += u8::from(rules.store == Store::Old);
        self.seen.crashes += 1;
        Ok(())
    }

    /// Deadlines of connections that were never let in.
    pub(super) fn expire_greetings(&mut self, now: Instant) {
        for wire in &mut self.wires {
            if let Seat::Greeting(acceptor, _) = &mut wire.seat
                && acceptor.handle_timeout(now).is_err()
            {
                wire.seat = Seat::Gone;
                wire.down.end();
            }
        }
    }
}
