//! A server as small as it can be: the core's registry decides, this carries it out.

use std::hash::{Hash, Hasher};

use outlast_core::registry::{
    Admission, Entropy, Entry, Lease, Parting, Peer, Registry, RegistryConfig,
};
use outlast_core::state::SessionState;
use outlast_core::wire::{Close, CloseFlags, Hello};
use outlast_core::{
    Acceptor, CloseCode, Greeting, HANDSHAKE_MAX, Instant, Release, Session, SnapshotError,
};

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
    /// The connection on which its WELCOME went out.
    pub first_wire: u32,
    /// What the registry gave for the latest connection.
    pub lease: Lease,
    /// Whether the registry was told that the client is there, and that the session is over.
    told: (bool, bool),
    /// The number of the key that replaces the present one once the client has it.
    next_key: Option<u8>,
    /// Something happened that could not be stored yet, so that nothing may be written: a snapshot
    /// is taken only while everything received is released.
    pub unsaved: bool,
    /// Snapshot and application, as stored.
    stored: Option<(Vec<u8>, App)>,
}

/// The server's sessions.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The sessions, dead ones included.
    pub sessions: Vec<Served>,
    /// How many there have been.
    pub count: u32,
    registry: Registry<Vec<Entry>>,
}

// What the registry knows of a session follows from its state there, its lease and the session:
// attach number and generation are in the lease, key and positions in the session.
impl Hash for Desk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.sessions.hash(state);
        self.count.hash(state);
        for served in &self.sessions {
            self.registry.state(served.lease.index()).hash(state);
            self.registry.sid(served.lease.index()).hash(state);
        }
    }
}

impl PartialEq for Desk {
    fn eq(&self, other: &Self) -> bool {
        let states = |desk: &Self| -> Vec<_> {
            let registry = &desk.registry;
            let index = |served: &Served| served.lease.index();
            desk.sessions
                .iter()
                .map(|s| (registry.state(index(s)), registry.sid(index(s))))
                .collect()
        };
        self.sessions == other.sessions
            && self.count == other.count
            && states(self) == states(other)
    }
}

impl Eq for Desk {}

impl Default for Desk {
    fn default() -> Self {
        let many = 1 << 16;
        let config = RegistryConfig {
            max_entries: many,
            max_per_owner: many,
            max_unconfirmed: many,
            max_detached: many,
            max_detached_per_owner: many,
            max_ttl_s: 100_000_000,
            handshake_ms: 1_000_000_000,
            ..RegistryConfig::default()
        };
        Self { sessions: Vec::new(), count: 0, registry: Registry::new(config, 7, Vec::new()) }
    }
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

    /// Begins to replace the key of a session; whether that was possible.
    pub(super) fn rotate(&mut self, sid: u64) -> bool {
        let Some(served) = self.sessions.iter_mut().find(|served| served.sid == sid) else {
            return false;
        };
        let session = &mut served.end.session;
        let usable = matches!(session.state(), SessionState::Attached) && session.room() >= 20;
        if !usable || served.next_key.is_some() {
            return false;
        }
        let key = session.grant().key.map(|byte| byte.wrapping_add(1));
        let Some(key_id) = self.registry.rotate(served.lease, key) else {
            return false;
        };
        served.next_key = Some(key_id);
        session.rotate_key(key_id, key).is_ok()
    }

    /// Tells the registry what it has to know of what has happened.
    pub(super) fn report(&mut self, now: Instant) {
        for served in &mut self.sessions {
            let (lease, session) = (served.lease, &served.end.session);
            if session.is_confirmed() && !served.told.0 {
                served.told.0 = self.registry.confirmed(lease);
            }
            let grant = session.grant();
            if served.next_key == Some(grant.key_id) {
                self.registry.confirm_key(lease, grant.key_id);
                served.next_key = None;
            }
            let code = match session.state() {
                SessionState::Ended => CloseCode::OK,
                SessionState::Dead => session.death().map_or(CloseCode::INTERNAL, |d| d.code),
                SessionState::New
                | SessionState::Attached
                | SessionState::Detached
                | SessionState::Exported => continue,
            };
            if !served.told.1 {
                served.told.1 = true;
                self.registry.ended(now, lease, code, session.received().get());
            }
        }
        while let Some(expired) = self.registry.poll_expired(now) {
            if let Some(served) = self.find_mut(expired.sid) {
                served.told.1 = true;
                served.end.session.kill(expired.code);
            }
        }
    }

    /// A connection is gone, perhaps one that does not own its session any more.
    pub(super) fn lose(&mut self, now: Instant, sid: u64, lease: Lease) {
        if let Some(served) = self.sessions.iter().find(|served| served.sid == sid) {
            let session = &served.end.session;
            let finished = session.state() == SessionState::Ended;
            let rx_next = session.received().get();
            self.registry.detached(now, lease, Parting { rx_next, finished });
        }
    }

    /// How long the registry keeps a session without a connection, in microseconds.
    #[must_use]
    pub const fn retention_us() -> u64 {
        600 * 1_000_000
    }
}

impl Served {
    /// Stores the session as it is now, as soon as that is possible.
    pub(crate) fn persist(&mut self) {
        let mut bytes = vec![0; self.end.session.snapshot_len(0)];
        let taken = self.end.session.snapshot(600, &[], &mut bytes);
        // A session that is over is not restored; there is nothing to store.
        self.unsaved = matches!(taken, Err(SnapshotError::Unreleased));
        if let Ok(len) = taken {
            bytes.truncate(len);
            self.stored = Some((bytes, self.end.app.committed()));
        }
    }

    /// The session as it was stored.
    fn restore(&mut self, rules: &Rules) -> Result<(), Wrong> {
        let Some((bytes, app)) = self.stored.clone() else {
            return Ok(());
        };
        // That a session ended well was stored before CLOSE could be noticed.
        if self.end.session.state() == SessionState::Ended {
            self.end.session.detach(Instant::from_micros(0));
            self.end = End::new(self.end.session.clone(), self.end.app.clone());
            self.unsaved = false;
            return Ok(());
        }
        let durable = rules.store == Store::Durable;
        let restored = Session::restore(rules.server, &bytes, durable, Vec::new());
        let session = restored.map_err(|error| Wrong(format!("restoring: {error}")))?.session;
        self.end = End::new(session, app);
        self.unsaved = false;
        if !durable {
            self.end.app.life += 1;
        }
        Ok(())
    }
}

/// A name that is unlike others and yet the same in every run.
fn entropy(count: u32) -> Entropy {
    let sid = 0x0001_0000_0000_0000 + u64::from(count);
    let [a, b, c, d] = count.to_le_bytes();
    Entropy { sid, key: [a, b, c, d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12] }
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
            Ok(None) => Seat::Greeting(acceptor, input.to_vec()),
            Ok(Some(Greeting::Auth { .. })) => return Err(Wrong("an answer to nothing".into())),
            Err(error) => return Err(Wrong(format!("a client's greeting: {error}"))),
            Ok(Some(Greeting::Hello(hello))) => {
                let mut out = [0; HANDSHAKE_MAX];
                match self.admit(rules, &hello, wire, &mut out) {
                    Ok((sid, lease, written)) => {
                        if let Some(served) = self.desk.find_mut(sid) {
                            served.end.wire = Some(wire);
                            served.end.inbox.clear();
                            served.end.outbox = out[..written].to_vec();
                        }
                        Seat::Bound(sid, lease)
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
    ) -> Result<(u64, Lease, usize), Close<'static>> {
        let peer = Peer { principal: None, source: 1, channel_binding: &[], encrypted: false };
        let fresh = entropy(self.desk.count + 1);
        let admission = self.desk.registry.admit(self.now, hello, &peer, fresh);
        match admission.map_err(|refusal| refusal.close())? {
            Admission::New { lease, grant, ttl_s: _ } => {
                let seed = grant.sid as u32;
                let accepted =
                    Session::server(self.now, rules.server, hello, grant, seed, Vec::new(), out)
                        .map_err(Close::new)?;
                self.desk.count += 1;
                let manual = rules.server.release == Release::Manual;
                let app = App::new(rules.down, rules.up, manual);
                let end = End::new(accepted.session, app);
                let told = (false, false);
                let sid = grant.sid;
                let mut served = Served {
                    sid,
                    end,
                    first_wire: wire,
                    lease,
                    told,
                    next_key: None,
                    unsaved: false,
                    stored: None,
                };
                if rules.store == Store::Durable {
                    served.persist();
                }
                self.desk.sessions.push(served);
                Ok((sid, lease, accepted.written))
            }
            Admission::Resume { lease, fence, .. } => {
                self.resume(rules, hello, wire, lease, fence, out)
            }
        }
    }

    /// Another connection for a session that exists, whose claim was proved.
    fn resume(
        &mut self,
        rules: &Rules,
        hello: &Hello<'_>,
        wire: u32,
        lease: Lease,
        fence: bool,
        out: &mut [u8],
    ) -> Result<(u64, Lease, usize), Close<'static>> {
        let now = self.now;
        let internal = Close::new(CloseCode::INTERNAL);
        let sid = self.desk.registry.sid(lease.index()).ok_or(internal)?;
        if fence {
            self.fence(sid, wire);
        }
        let served = self.desk.find_mut(sid).ok_or(internal)?;
        served.lease = lease;
        // The claim was made with a key, and not by guessing: the registry has checked it.
        let accepted = served.end.session.accept(now, hello, lease.attach(), out);
        match accepted {
            Ok(written) => {
                if rules.store == Store::Durable {
                    served.persist();
                }
                self.seen.resumes += 1;
                Ok((sid, lease, written))
            }
            Err(code) => {
                let rx_next = Some(served.end.session.received().get());
                Err(Close { flags: CloseFlags::SESSION_ENDED, rx_next, ..Close::new(code) })
            }
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

    /// The server's sessions as they come back after a crash; every connection is gone. The
    /// registry comes back with them.
    pub(super) fn restart(&mut self, rules: &Rules) -> Result<(), Wrong> {
        for wire in &mut self.wires {
            wire.seat = Seat::Gone;
            wire.up.cut(0);
            wire.down.cut(0);
        }
        for served in &mut self.desk.sessions {
            served.restore(rules)?;
            let parting = Parting { rx_next: served.end.session.received().get(), finished: false };
            self.desk.registry.detached(self.now, served.lease, parting);
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
