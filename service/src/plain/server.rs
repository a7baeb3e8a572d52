//! A server for connections without sessions, without its listener: the same door, the same limits
//! and the same access list as a server of sessions has.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use outlast_core::ConfigError;
use outlast_core::admission::Turned;
use outlast_formats::{Format, Packet};

use super::PlainConfig;
use super::drive::{Drive, Side};
use super::error::{PlainCause, PlainClosed, PlainError};
use super::group::{Home, PlainServerEvent};
use super::handle::PlainHandle;
use super::handler::PlainHandler;
use super::shared::{Order, PlainInfo, Shared};
use crate::access::AccessList;
use crate::directory::Directory;
use crate::door::{Door, Stay, Visit};
use crate::entropy;
use crate::events::Events;
use crate::groups::Groups;
use crate::limits::Limits;
use crate::overview::{Refusals, Report};
use crate::security::{SecurityEvent, SecurityKind, SecurityLog};
use crate::server::{HANDSHAKE_PATIENCE, LONGEST_GRACE};
use crate::statistics::{Ledger, Present, Statistics};
use crate::traffic::Traffic;
use crate::transport::{Clock, Runtime, Transport};

type Formats = Box<dyn Fn() -> Box<dyn Format> + Send + Sync>;
type Factory<H> = Box<dyn Fn(&PlainInfo) -> H + Send + Sync>;

/// What a server has counted, and what it has now.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainServerStats {
    /// Connections now.
    pub connections: usize,
    /// Connections let in.
    pub accepted: u64,
    /// Connections turned away.
    pub refused: u64,
    /// The same, by reason.
    pub refusals: Refusals,
    /// How often a connection sent more than it may: see [`Limits::traffic`].
    pub throttled: u64,
}

/// A server whose connections have no sessions. Clones are the same server.
pub struct PlainServer<R: Runtime, H> {
    inner: Arc<Inner<R, H>>,
}

impl<R: Runtime, H> Clone for PlainServer<R, H> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R: Runtime, H> std::fmt::Debug for PlainServer<R, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainServer").finish_non_exhaustive()
    }
}

struct Inner<R, H> {
    runtime: R,
    clock: Clock,
    config: PlainConfig,
    formats: Formats,
    factory: Factory<H>,
    common: Arc<Common>,
}

#[derive(Debug)]
struct Common {
    door: Arc<Door>,
    traffic: Arc<Traffic>,
    patience_ms: AtomicU64,
    draining: AtomicBool,
    directory: Directory<Shared>,
    home: Arc<Home>,
    security: OnceLock<SecurityLog>,
}

/// A server, from any task.
#[derive(Debug, Clone)]
pub struct PlainServerHandle {
    common: Arc<Common>,
}

/// The server and all its connections are gone.
impl<R, H> Drop for Inner<R, H> {
    fn drop(&mut self) {
        self.common.home.events.end();
    }
}

impl<R: Runtime, H: PlainHandler> PlainServer<R, H> {
    /// A server that speaks `format` and makes a handler for each connection with `factory`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new<F: Format + Clone + Sync>(
        runtime: R,
        config: PlainConfig,
        limits: Limits,
        format: F,
        factory: impl Fn(&PlainInfo) -> H + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        Self::with_groups(Groups::default(), runtime, config, limits, format, factory)
    }

    /// As [`new`](Self::new), with these groups for its connections: those of another server, or
    /// ones with other limits.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn with_groups<F: Format + Clone + Sync>(
        groups: Groups,
        runtime: R,
        config: PlainConfig,
        limits: Limits,
        format: F,
        factory: impl Fn(&PlainInfo) -> H + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        limits.connections.validate()?;
        let patience_ms = limits.patience_ms();
        let Limits { connections, access, traffic, .. } = limits;
        let traffic = Arc::new(Traffic::new(traffic, connections.v6_prefix));
        let door = Arc::new(Door::new(connections, access, entropy::random_u64()));
        let common = Common {
            door,
            traffic,
            patience_ms: AtomicU64::new(patience_ms),
            draining: AtomicBool::new(false),
            directory: Directory::default(),
            home: Arc::new(Home::new(groups, Ledger::of(&runtime))),
            security: OnceLock::new(),
        };
        let inner = Inner {
            clock: Clock::new(runtime.now()),
            runtime,
            config,
            formats: Box::new(move || Box::new(format.clone())),
            factory: Box::new(factory),
            common: Arc::new(common),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sets where it is told who was kept out and who broke the format. The first one stays.
    #[must_use]
    pub fn security_log(self, log: SecurityLog) -> Self {
        let _ = self.inner.common.security.set(log);
        self
    }

    /// Sets whether [`PlainServerHandle::statistics`] has the times that handlers take; it does
    /// otherwise. What each connection counts for itself is counted anyway.
    #[must_use]
    pub fn statistics(self, count: bool) -> Self {
        self.inner.common.home.ledger.turn(count);
        self
    }

    /// A handle to look at and steer the server with.
    #[must_use]
    pub fn handle(&self) -> PlainServerHandle {
        PlainServerHandle { common: Arc::clone(&self.inner.common) }
    }

    /// Waits until another connection should be accepted; false once none should any more.
    pub async fn ready(&self) -> bool {
        let Inner { common, runtime, .. } = &*self.inner;
        loop {
            let room = pin!(common.door.ready(|| common.draining.load(Ordering::Acquire)));
            let until = runtime.now() + HANDSHAKE_PATIENCE;
            if let Some(ready) = crate::client::before(runtime, until, room).await {
                return ready;
            }
        }
    }

    /// Serves an accepted connection in a task of its own, or drops it: these formats have no word
    /// for a refusal.
    pub fn spawn_connection<T: Transport>(
        &self,
        io: T,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) {
        let inner = &self.inner;
        let (runtime, door) = (&inner.runtime, &inner.common.door);
        let turned = match door.enter(inner.clock.core(runtime.now()), remote) {
            Ok(visit) => return self.open(visit, io, local, remote),
            Err(turned) => turned,
        };
        let patience = Duration::from_millis(inner.common.patience_ms.load(Ordering::Relaxed));
        let may_wait = turned != Turned::Denied && !patience.is_zero();
        let Some(patient) = may_wait.then(|| door.may_wait()).flatten() else {
            return inner.turn_away(remote, turned);
        };
        let server = self.clone();
        runtime.spawn(async move {
            let Inner { common, runtime, clock, .. } = &*server.inner;
            let until = runtime.now() + patience.min(LONGEST_GRACE);
            let waiting = pin!(common.door.wait_to_enter(runtime, *clock, remote));
            let entered = crate::client::before(runtime, until, waiting).await;
            drop(patient);
            match entered {
                Some(visit) => server.open(visit, io, local, remote),
                None => server.inner.turn_away(remote, turned),
            }
        });
    }

    /// It was let in: serves it in a task of its own.
    fn open<T: Transport>(
        &self,
        visit: Visit,
        io: T,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) {
        if let Some(stay) = visit.opened() {
            self.inner.common.home.let_in();
            let inner = Arc::clone(&self.inner);
            self.inner.runtime.spawn(serve(inner, io, local, remote, stay));
        }
    }

    /// Accepts no more, lets connections send what is queued and owed for at most `grace`, then
    /// closes what is left.
    pub async fn drain(&self, grace: Duration) {
        let Inner { common, runtime, .. } = &*self.inner;
        common.draining.store(true, Ordering::Release);
        common.door.wake_all();
        common.order(Order::Finish);
        for (order, grace) in [(None, grace), (Some(PlainCause::Local), Duration::from_secs(2))] {
            if let Some(cause) = order {
                common.order(Order::Close(cause));
            }
            let until = runtime.now() + grace.min(LONGEST_GRACE);
            let emptied = pin!(common.door.emptied());
            if crate::client::before(runtime, until, emptied).await.is_some() {
                return;
            }
        }
    }

    /// Ends at once: accepts no more and closes every connection.
    pub fn abort(&self) {
        let common = &self.inner.common;
        common.draining.store(true, Ordering::Release);
        common.door.wake_all();
        common.order(Order::Close(PlainCause::Local));
    }
}

/// One connection, to its end.
async fn serve<R: Runtime, T: Transport, H: PlainHandler>(
    inner: Arc<Inner<R, H>>,
    io: T,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
    _stay: Stay,
) {
    let id = entropy::random_u64().max(1);
    let Inner { runtime, common, .. } = &*inner;
    let shared = Shared::new(id, inner.config, (inner.formats)(), runtime);
    let shared = Arc::new(shared.of_server(Arc::clone(&common.home)));
    let addresses = (local, remote);
    let info = {
        let mut inner = shared.lock();
        (inner.info.local, inner.info.remote) = addresses;
        inner.info()
    };
    let handler = (inner.factory)(&info);
    let _entry = Entry { common, shared: &shared };
    common.directory.insert(id, Arc::clone(&shared));
    common.home.connected(id, remote);
    let formats = [(inner.formats)(), (inner.formats)()];
    let drive =
        Drive::new(io, runtime, Side::Accepted, addresses, Arc::clone(&shared), formats, handler)
            .within(&common.traffic, inner.clock);
    if common.draining.load(Ordering::Acquire) {
        // It came in behind those who were told to go.
        shared.order(Order::Finish);
    }
    drive.await;
    inner.look_back(&shared);
    shared.retire();
}

impl<R: Runtime, H> Inner<R, H> {
    fn suspect(&self, event: SecurityEvent<'_>) {
        if let Some(log) = self.common.security.get() {
            log.record(self.clock.core(self.runtime.now()), event);
        }
    }

    /// A connection is dropped: these formats have no word for a refusal.
    fn turn_away(&self, remote: Option<SocketAddr>, turned: Turned) {
        if let Some(kind) = SecurityKind::of_turned(turned) {
            self.suspect(SecurityEvent::new(kind, remote));
        }
        self.common.home.refused(remote, turned);
        if self.common.door.turn_away(turned) {
            self.common.door.refused();
        }
    }

    /// A connection is over: whether it was ended for what its peer did.
    fn look_back(&self, shared: &Shared) {
        let (info, closed) = {
            let inner = shared.lock();
            (inner.info, inner.closed)
        };
        let (kind, error) = match closed.map(|closed| closed.cause) {
            Some(PlainCause::Malformed(error)) => {
                (SecurityKind::Violation, io::Error::new(io::ErrorKind::InvalidData, error))
            }
            Some(PlainCause::Transport(
                kind @ (io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData),
            )) => (SecurityKind::TransportFailed, kind.into()),
            _ => return,
        };
        let event = SecurityEvent::new(kind, info.remote).with_error(&error);
        self.suspect(SecurityEvent { session: Some(info.id), ..event });
    }
}

/// A connection in the directory.
struct Entry<'a> {
    common: &'a Common,
    shared: &'a Shared,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let Self { common, shared } = self;
        common.directory.remove(shared.id);
        // Its task ended it, or was dropped, and said so before.
        let closed = shared.lock().closed;
        let dropped = PlainClosed { cause: PlainCause::Dropped, unsent: 0 };
        common.home.closed(shared.id, closed.unwrap_or(dropped));
    }
}

impl Common {
    fn all(&self) -> Vec<Arc<Shared>> {
        self.directory.all().into_iter().map(|(_, shared)| shared).collect()
    }

    fn order(&self, order: Order) {
        self.all().iter().for_each(|shared| shared.order(order));
    }
}

impl PlainServerHandle {
    /// Every connection.
    #[must_use]
    pub fn connections(&self) -> Vec<PlainInfo> {
        let all = self.common.all();
        all.iter().map(|shared| PlainHandle::new(Arc::clone(shared)).info()).collect()
    }

    /// At most so many of them, in no order, but mostly the same ones each time.
    #[must_use]
    pub fn some_connections(&self, most: usize) -> Vec<PlainInfo> {
        let some = self.common.directory.some(most).into_iter();
        some.map(|shared| PlainHandle::new(shared).info()).collect()
    }

    /// The connection with this number.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<PlainHandle> {
        self.common.directory.get(id).map(PlainHandle::new)
    }

    /// The groups that its connections join.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.common.home.groups
    }

    /// What happens from now on, for whoever reads it: `capacity` events are kept, at least one. A
    /// server that nobody reads of spends nothing on it. It is over when the server and all its
    /// connections are.
    #[must_use]
    pub fn events(&self, capacity: usize) -> Events<PlainServerEvent> {
        self.common.home.events.subscribe(capacity)
    }

    /// Sends a packet to one connection, without waiting.
    ///
    /// # Errors
    ///
    /// As [`PlainHandle::try_send`]; [`PlainError::NoSuchConnection`].
    pub fn send_to(&self, id: u64, packet: &Packet<'_>) -> Result<(), PlainError> {
        self.get(id).ok_or(PlainError::NoSuchConnection(id))?.try_send(packet)
    }

    /// Sends a packet to a set of connections, without waiting for any of them.
    pub fn send_to_many(
        &self,
        ids: impl IntoIterator<Item = u64>,
        packet: &Packet<'_>,
    ) -> Report<u64, PlainError> {
        let mut report = Report::default();
        for id in ids {
            report.note(id, self.send_to(id, packet));
        }
        report
    }

    /// Sends a packet to every connection that `whom` chooses, without waiting for any of them.
    pub fn broadcast(
        &self,
        packet: &Packet<'_>,
        mut whom: impl FnMut(u64) -> bool,
    ) -> Report<u64, PlainError> {
        let mut report = Report::default();
        for (id, shared) in self.common.directory.all() {
            if whom(id) {
                report.note(id, shared.try_send(packet));
            }
        }
        report
    }

    /// Ends a connection now; false if there is none with this number.
    pub fn close(&self, id: u64) -> bool {
        self.get(id).map(|connection| connection.close()).is_some()
    }

    /// Ends every connection that there is now, and says how many. The server goes on.
    pub fn close_all(&self) -> usize {
        let all = self.common.all();
        all.iter().for_each(|shared| shared.order(Order::Close(PlainCause::Local)));
        all.len()
    }

    /// Goes by other limits from now on; connections that there are stay. What is said of sessions
    /// has no effect here.
    ///
    /// # Errors
    ///
    /// The first item out of range; then nothing has changed.
    pub fn set_limits(&self, limits: &Limits) -> Result<(), ConfigError> {
        limits.connections.validate()?;
        self.common.patience_ms.store(limits.patience_ms(), Ordering::Relaxed);
        self.common.door.set_access(limits.access.clone());
        if self.common.traffic.set(limits.traffic) {
            // Who waits need not wait any longer.
            self.common.all().iter().for_each(|shared| shared.notify(shared.lock()));
        }
        self.common.door.reconfigure(limits.connections);
        Ok(())
    }

    /// Lets other addresses in from now on. Connections that there are stay.
    pub fn set_access(&self, access: AccessList) {
        self.common.door.set_access(access);
    }

    fn present(&self, anew: bool) -> Present {
        let common = &self.common;
        Present {
            draining: common.draining.load(Ordering::Acquire),
            connections_peak: common.door.peak(anew).into(),
            door: common.door.stats(),
            refusals: common.door.refusals(),
            throttled: common.traffic.exceeded(),
            memory: 0,
            carried: common.directory.carried(),
        }
    }

    /// As [`ServerHandle::statistics`](crate::ServerHandle::statistics): packets are its messages,
    /// and what is said of sessions stays zero.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.common.home.ledger.read_since_reset(self.present(false))
    }

    /// As [`ServerHandle::statistics_since_start`](crate::ServerHandle::statistics_since_start).
    #[must_use]
    pub fn statistics_since_start(&self) -> Statistics {
        self.common.home.ledger.read(self.present(false))
    }

    /// As [`ServerHandle::reset_statistics`](crate::ServerHandle::reset_statistics).
    pub fn reset_statistics(&self) {
        self.common.home.ledger.reset(self.present(true));
    }

    /// Whether the server takes nobody any more: it drains, or has ended.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.common.draining.load(Ordering::Acquire)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> PlainServerStats {
        let door = self.common.door.stats();
        PlainServerStats {
            connections: door.connections as usize,
            accepted: door.admitted,
            refused: door.turned,
            refusals: self.common.door.refusals(),
            throttled: self.common.traffic.exceeded(),
        }
    }
}
