//! What a server shows: its sessions, its counters, and what can be sent to many.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use outlast_core::admission::Turned;
use outlast_core::registry::RegistryConfig;
use outlast_core::wire::Route;
use outlast_core::{CloseCode, ConfigError};

use crate::access::AccessList;
use crate::board::Board;
use crate::directory::Directory;
use crate::door::Door;
use crate::error::SendError;
use crate::events::Events;
use crate::figures::SessionInfo;
use crate::greet::Refusal;
use crate::groups::Groups;
use crate::handle::Handle;
use crate::home::{Home, ServerEvent, WhyRefused};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::places::Bell;
use crate::shared::Shared;
use crate::traffic::Traffic;

/// What a server has counted, and what it has now.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections now.
    pub connections: usize,
    /// Of these, how many are in their handshake.
    pub handshakes: usize,
    /// Sessions now, with and without connection.
    pub sessions: usize,
    /// Connections let in.
    pub accepted: u64,
    /// Connections turned away before a byte of theirs was read: see [`Limits::connections`].
    ///
    /// [`Limits::connections`]: crate::Limits::connections
    pub refused: u64,
    /// The same, by reason.
    pub refusals: Refusals,
    /// Handshakes that failed.
    pub failed_handshakes: u64,
    /// Of these, how many began with TLS where none is spoken: those clients have the wrong port,
    /// or this server lacks a certificate.
    pub tls_hellos: u64,
    /// How often a connection sent more than it may: see [`Limits::traffic`].
    ///
    /// [`Limits::traffic`]: crate::Limits::traffic
    pub throttled: u64,
    /// Bytes that sessions hold now for what is under way: see [`Limits::memory`].
    ///
    /// [`Limits::memory`]: crate::Limits::memory
    pub memory: usize,
    /// How often these became as many as they may.
    pub times_full: u64,
    /// Sessions begun.
    pub created: u64,
    /// Sessions resumed on another connection.
    pub resumed: u64,
    /// Sessions that go on from a snapshot of an earlier server's.
    pub restored: u64,
    /// Snapshots that were there and could not be gone on from: too old, or too large for what is
    /// configured now. Their clients are told that their sessions are lost.
    pub not_restored: u64,
    /// How often snapshots of all sessions were stored.
    pub stored: u64,
    /// How often they could not be stored.
    pub not_stored: u64,
    /// Failed authentications and failed claims to a session.
    pub denied: u64,
}

/// Connections turned away before a byte of theirs was read, by reason.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// The server had as many connections as it may have.
    pub full: u64,
    /// Their source had.
    pub source_full: u64,
    /// Their source connects too often.
    pub source_rate: u64,
    /// All sources together do.
    pub total_rate: u64,
    /// Their source failed to authenticate too often.
    pub locked_out: u64,
    /// Their address may not connect.
    pub denied: u64,
}

impl Refusals {
    /// All of them, by name.
    #[must_use]
    pub const fn all(&self) -> [(WhyRefused, u64); 6] {
        [
            (WhyRefused::Full, self.full),
            (WhyRefused::SourceFull, self.source_full),
            (WhyRefused::SourceRate, self.source_rate),
            (WhyRefused::TotalRate, self.total_rate),
            (WhyRefused::LockedOut, self.locked_out),
            (WhyRefused::Denied, self.denied),
        ]
    }

    /// Those that came since `earlier`.
    pub(crate) const fn since(&self, earlier: &Self) -> Self {
        Self {
            full: self.full.saturating_sub(earlier.full),
            source_full: self.source_full.saturating_sub(earlier.source_full),
            source_rate: self.source_rate.saturating_sub(earlier.source_rate),
            total_rate: self.total_rate.saturating_sub(earlier.total_rate),
            locked_out: self.locked_out.saturating_sub(earlier.locked_out),
            denied: self.denied.saturating_sub(earlier.denied),
        }
    }

    pub(crate) const fn count(&mut self, turned: Turned) {
        let counter = match turned {
            Turned::Full | Turned::MakeRoom | Turned::TableFull => &mut self.full,
            Turned::SourceFull => &mut self.source_full,
            Turned::SourceRate(_) => &mut self.source_rate,
            Turned::TotalRate(_) => &mut self.total_rate,
            Turned::LockedOut(_) => &mut self.locked_out,
            Turned::Denied => &mut self.denied,
        };
        *counter += 1;
    }
}

/// What became of a message to many.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "some may not have had room"]
pub struct Report<I = u64, E = SendError> {
    /// How many it was queued for.
    pub sent: usize,
    /// Whom it was not queued for, and why.
    pub failed: Vec<(I, E)>,
}

impl<I, E> Default for Report<I, E> {
    /// To nobody.
    fn default() -> Self {
        Self { sent: 0, failed: Vec::new() }
    }
}

impl<I, E> Report<I, E> {
    /// What became of it for one more.
    pub(crate) fn note(&mut self, id: I, result: Result<(), E>) {
        match result {
            Ok(()) => self.sent += 1,
            Err(error) => self.failed.push((id, error)),
        }
    }
}

/// What does not depend on the handlers' type.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) door: Arc<Door>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) draining: AtomicBool,
    /// The server has ended: a session that loses its connection is over.
    pub(crate) retired: AtomicBool,
    pub(crate) failed_handshakes: AtomicU64,
    pub(crate) tls_hellos: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) restored: AtomicU64,
    pub(crate) not_restored: AtomicU64,
    pub(crate) stored: AtomicU64,
    pub(crate) not_stored: AtomicU64,
    pub(crate) directory: Directory<Shared>,
    pub(crate) home: Arc<Home>,
    pub(crate) bell: Arc<Bell>,
    /// Where messages to everybody are put up.
    pub(crate) board: Arc<Board>,
    /// Limits of sessions that hold from the next admission on.
    pub(crate) sessions: Mutex<Option<RegistryConfig>>,
    /// How long a connection waits to be let in.
    pub(crate) patience_ms: AtomicU64,
}

impl Common {
    /// A session has begun.
    pub(crate) fn enter(&self, id: u64, shared: &Arc<Shared>) {
        self.directory.insert(id, Arc::clone(shared));
        self.home.ledger.sessions.enter();
        self.board.enlist(id, shared);
    }

    /// A session is over.
    pub(crate) fn forget(&self, id: u64) {
        let shared = self.directory.remove(id);
        if shared.is_some() {
            self.home.ledger.sessions.leave();
        }
        shared.iter().for_each(|shared| shared.leave_board());
    }

    pub(crate) fn new(
        door: Door,
        traffic: Traffic,
        memory: Memory,
        patience_ms: u64,
        home: Home,
    ) -> Self {
        Self {
            door: Arc::new(door),
            traffic: Arc::new(traffic),
            memory: Arc::new(memory),
            draining: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            failed_handshakes: AtomicU64::new(0),
            tls_hellos: AtomicU64::new(0),
            created: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            restored: AtomicU64::new(0),
            not_restored: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            not_stored: AtomicU64::new(0),
            directory: Directory::default(),
            home: Arc::new(home),
            bell: Arc::default(),
            board: Arc::default(),
            sessions: Mutex::new(None),
            patience_ms: AtomicU64::new(patience_ms),
        }
    }

    /// A connection is not let in; whether it may be told so.
    pub(crate) fn turn_away(&self, remote: Option<SocketAddr>, turned: Turned) -> bool {
        self.home.refused(remote, turned);
        self.door.turn_away(turned)
    }

    /// The registry has no session for a client.
    pub(crate) fn not_admitted(&self, close: Refusal) -> Refusal {
        if close.code == CloseCode::BUSY {
            self.home.no_session();
        }
        close
    }
}

/// A server, from any task.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pub(crate) common: Arc<Common>,
}

impl ServerHandle {
    /// Every session, with and without connection.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        self.common.directory.all().iter().filter_map(|(_, shared)| shared.info()).collect()
    }

    /// At most so many of them, in no order, but mostly the same ones each time.
    #[must_use]
    pub fn some_sessions(&self, most: usize) -> Vec<SessionInfo> {
        self.common.directory.some(most).iter().filter_map(|shared| shared.info()).collect()
    }

    /// What the session with this number shows of itself.
    #[must_use]
    pub fn info(&self, id: u64) -> Option<SessionInfo> {
        self.common.directory.get(id)?.info()
    }

    /// The session with this number.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Handle> {
        self.common.directory.get(id).map(Handle::new)
    }

    /// The groups that its sessions join.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.common.home.groups
    }

    /// What happens from now on, for whoever reads it: `capacity` events are kept, at least one. A
    /// server that nobody reads of spends nothing on it. It is over when the server and all its
    /// connections are.
    #[must_use]
    pub fn events(&self, capacity: usize) -> Events<ServerEvent> {
        self.common.home.events.subscribe(capacity)
    }

    /// Sends a one-way message to one session, without waiting.
    ///
    /// # Errors
    ///
    /// As [`Handle::try_send`]; [`SendError::NoSuchSession`].
    pub fn send_to(
        &self,
        id: u64,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.get(id).ok_or(SendError::NoSuchSession(id))?.try_send(route, payload)
    }

    /// Sends a one-way message to a set of sessions, without waiting for any of them.
    pub fn send_to_many(
        &self,
        ids: impl IntoIterator<Item = u64>,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Report {
        let route = route.into();
        let mut report = Report::default();
        for id in ids {
            report.note(id, self.send_to(id, route, payload));
        }
        report
    }

    /// Sends a one-way message to every session, without waiting for any of them.
    ///
    /// A frame of up to 4 KiB is encoded once for all sessions that are quiet, up to 64 KiB ahead
    /// of each, and written to them by one task, all that came until then with one write; for the
    /// others it is queued one by one. Where small messages wait for others
    /// ([`Outgoing::batch`](crate::Outgoing::batch)) that task waits for them.
    pub fn broadcast(&self, route: impl Into<Route>, payload: &[u8]) -> Report {
        self.send_to_all(None, route.into(), payload)
    }

    /// As [`broadcast`](Self::broadcast), to every session but one: whom the message is from,
    /// mostly.
    pub fn broadcast_except(&self, id: u64, route: impl Into<Route>, payload: &[u8]) -> Report {
        self.send_to_all(Some(id), route.into(), payload)
    }

    fn send_to_all(&self, except: Option<u64>, route: Route, payload: &[u8]) -> Report {
        let (board, directory) = (&self.common.board, &self.common.directory);
        board.open(directory);
        let (sent, others) = if self.common.memory.is_full() {
            // Each is asked whether there is room nevertheless.
            (0, directory.all())
        } else {
            let seat = except.and_then(|id| directory.get(id)?.seat());
            board.post(route, payload, seat.as_ref())
        };
        let mut report = Report { sent, failed: Vec::new() };
        for (id, shared) in others.into_iter().filter(|(id, _)| Some(*id) != except) {
            report.note(id, Handle::new(shared).try_send(route, payload));
        }
        report
    }

    /// Closes the present connection of a session, which lives on and may be resumed; false if
    /// there is no such session.
    pub fn disconnect(&self, id: u64, code: CloseCode) -> bool {
        self.get(id).map(|session| session.disconnect(code)).is_some()
    }

    /// Ends a session now, whatever was not delivered; false if there is no such session.
    pub fn end(&self, id: u64, code: CloseCode) -> bool {
        self.get(id).map(|session| session.end(code)).is_some()
    }

    /// Ends every session that there is now, and says how many. The server goes on.
    pub fn end_all(&self, code: CloseCode) -> usize {
        let all = self.common.directory.all();
        let count = all.len();
        all.into_iter().for_each(|(_, shared)| Handle::new(shared).end(code));
        count
    }

    /// Goes by other limits from now on. Connections and sessions that there are stay, even if
    /// there are more of them than may come in now; those that wait for room look again.
    ///
    /// # Errors
    ///
    /// The first item out of range; then nothing has changed.
    pub fn set_limits(&self, limits: &Limits) -> Result<(), ConfigError> {
        limits.connections.validate()?;
        limits.sessions.validate()?;
        limits.memory.validate()?;
        self.common.memory.set(limits.memory);
        *lock(&self.common.sessions) = Some(limits.sessions);
        self.common.patience_ms.store(limits.patience_ms(), Ordering::Relaxed);
        self.common.door.set_access(limits.access.clone());
        if self.common.traffic.set(limits.traffic) {
            // Who waits need not wait any longer.
            self.common.directory.all().iter().for_each(|(_, shared)| shared.call());
        }
        self.common.door.reconfigure(limits.connections);
        Ok(())
    }

    /// Lets other addresses in from now on. Connections that there are stay.
    pub fn set_access(&self, access: AccessList) {
        self.common.door.set_access(access);
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let common = &self.common;
        let door = common.door.stats();
        ServerStats {
            connections: door.connections as usize,
            handshakes: door.handshakes as usize,
            sessions: common.directory.len(),
            accepted: door.admitted,
            refused: door.turned,
            refusals: common.door.refusals(),
            failed_handshakes: common.failed_handshakes.load(Ordering::Relaxed),
            throttled: common.traffic.exceeded(),
            memory: common.memory.used(),
            times_full: common.memory.times_full(),
            tls_hellos: common.tls_hellos.load(Ordering::Relaxed),
            created: common.created.load(Ordering::Relaxed),
            resumed: common.resumed.load(Ordering::Relaxed),
            restored: common.restored.load(Ordering::Relaxed),
            not_restored: common.not_restored.load(Ordering::Relaxed),
            stored: common.stored.load(Ordering::Relaxed),
            not_stored: common.not_stored.load(Ordering::Relaxed),
            denied: door.failures,
        }
    }
}

impl Drop for Common {
    fn drop(&mut self) {
        self.board.clear();
    }
}

/// A lock whose holder may have panicked: every change under it is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
