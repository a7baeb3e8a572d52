//! A server: greets connections, finds or makes their sessions, and keeps those that have none.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use outlast_core::auth::TokenDigest;
use outlast_core::registry::{Admission, Entry, Lease, Parting, Registry, RegistryConfig};
use outlast_core::wire::Hello;
use outlast_core::{CloseCode, Config, ConfigError, HANDSHAKE_MAX, Instant, Session};

use crate::drive::{Drive, Driven};
use crate::error::Closed;
use crate::greet::{self, Greeted};
use crate::handler::Handler;
use crate::overview::{Common, Counted, ServerHandle, SessionInfo, lock};
use crate::owner::{Owner, core_config};
use crate::shared::Shared;
use crate::transport::{Clock, Runtime, Transport, sleep_until};

/// How many of what a server takes.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. More are told to come back later.
    pub max_connections: usize,
    /// Handshakes at once. More wait in the listener's backlog.
    pub max_handshakes: usize,
    /// Sessions, with and without connection, and what allows them.
    pub sessions: RegistryConfig,
}

impl Default for Limits {
    fn default() -> Self {
        let sessions = RegistryConfig {
            max_per_owner: 65_536,
            max_unconfirmed: 4_096,
            max_detached_per_owner: 65_536,
            ..RegistryConfig::default()
        };
        Self { max_connections: 65_536, max_handshakes: 512, sessions }
    }
}

/// A server without its listener, which a runtime crate adds. Clones are the same server.
pub struct Server<R: Runtime, H> {
    inner: Arc<Inner<R, H>>,
}

impl<R: Runtime, H> Clone for Server<R, H> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<R: Runtime, H> std::fmt::Debug for Server<R, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

type Factory<H> = Box<dyn Fn(&SessionInfo) -> H + Send + Sync>;

struct Inner<R, H> {
    runtime: R,
    clock: Clock,
    wanted: Config,
    limits: Limits,
    token: Option<TokenDigest>,
    factory: Factory<H>,
    state: Mutex<State<H>>,
    common: Arc<Common>,
}

struct State<H> {
    registry: Registry<Vec<Entry>>,
    /// By index of the registry's entry.
    places: Vec<Place<H>>,
}

/// Where a session is.
enum Place<H> {
    Empty,
    /// Without a connection.
    Here(Box<Owner<H>>),
    /// With the task of a connection, and who waits to take it over.
    Out(Arc<Shared>, Option<Waker>),
}

impl<R: Runtime, H: Handler> Server<R, H> {
    /// A server that makes a handler for each session with `factory`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new(
        runtime: R,
        config: Config,
        limits: Limits,
        token: Option<&[u8]>,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        config.validate()?;
        let mut limits = limits;
        // What WELCOME promises is what is kept, and what a handshake may take is asked for once.
        limits.sessions.max_ttl_s = config.retention_s;
        limits.sessions.handshake_ms = config.handshake_timeout_ms;
        let registry = Registry::new(limits.sessions, greet::entropy_u64(), Vec::new());
        let inner = Inner {
            clock: Clock::new(runtime.now()),
            runtime,
            wanted: config,
            limits,
            token: token.map(TokenDigest::of),
            factory: Box::new(factory),
            state: Mutex::new(State { registry, places: Vec::new() }),
            common: Arc::new(Common::default()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A handle to look at and steer the server with.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { common: Arc::clone(&self.inner.common) }
    }

    /// Waits until another connection should be accepted; false once none should any more.
    pub async fn ready(&self) -> bool {
        let inner = &self.inner;
        poll_fn(|cx| {
            let mut waiting = lock(&inner.common.waiting);
            if inner.common.draining.load(Ordering::Acquire) {
                return Poll::Ready(false);
            }
            if inner.common.handshakes.load(Ordering::Acquire) < inner.limits.max_handshakes {
                return Poll::Ready(true);
            }
            waiting.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Serves an accepted connection in a task of its own.
    pub fn spawn_connection<T: Transport>(&self, io: T, remote: Option<SocketAddr>) {
        let inner = Arc::clone(&self.inner);
        let common = &inner.common;
        common.accepted.fetch_add(1, Ordering::Relaxed);
        common.handshakes.fetch_add(1, Ordering::AcqRel);
        let full =
            common.connections.fetch_add(1, Ordering::AcqRel) >= inner.limits.max_connections;
        let runtime = inner.runtime.clone();
        runtime.clone().spawn(async move {
            let counted = Counted { common: Arc::clone(&inner.common) };
            let greeted = Arc::clone(&inner).greet(io, remote, full).await;
            counted.greeted();
            if let Some((lease, drive)) = greeted {
                // The task of a handshake is large, that of an idle connection should not be.
                runtime.spawn(Connection { drive, lease, inner, _counted: counted, done: false });
            }
        });
    }

    /// Ends sessions whose time is over. Runs until the server has drained.
    pub async fn keep_house(&self) {
        let common = &self.inner.common;
        while !common.draining.load(Ordering::Acquire)
            || common.connections.load(Ordering::Acquire) > 0
        {
            self.inner.expire();
            let at = self.inner.runtime.now() + Duration::from_secs(1);
            sleep_until(&self.inner.runtime, at).await;
        }
    }

    /// Announces the end, gives connections `grace` to leave, then closes what is left.
    ///
    /// New connections are refused from now on. Sessions survive in their clients, which resume at
    /// a server that has them, or are told that they are lost.
    pub async fn drain(&self, grace: Duration) {
        let inner = &self.inner;
        inner.common.draining.store(true, Ordering::Release);
        inner.common.wake_all();
        let spread = u32::try_from(grace.as_millis() / 2).unwrap_or(u32::MAX);
        inner.for_each_out(|orders| orders.drain = Some((spread, spread)));
        if !inner.emptied_before(inner.runtime.now() + grace).await {
            inner.for_each_out(|orders| orders.close = Some((CloseCode::GOING_AWAY, false)));
            inner.emptied_before(inner.runtime.now() + Duration::from_secs(2)).await;
        }
    }
}

impl<R: Runtime, H: Handler> Inner<R, H> {
    fn now(&self) -> Instant {
        self.clock.core(self.runtime.now())
    }

    /// The handshake, up to a session that is ready to be driven.
    async fn greet<T: Transport>(
        self: Arc<Self>,
        mut io: T,
        remote: Option<SocketAddr>,
        full: bool,
    ) -> Option<(Lease, Drive<R, T, H>)> {
        let busy = full || self.common.draining.load(Ordering::Acquire);
        if busy {
            self.common.refused.fetch_add(1, Ordering::Relaxed);
        }
        let config = core_config(self.wanted);
        let heard = greet::hear(&self.runtime, self.clock, &config, &mut io).await;
        let refuse_all = busy.then_some(CloseCode::BUSY);
        let outcome = match heard {
            Ok(greeted) => match refuse_all.or_else(|| self.check_token(&greeted)) {
                Some(code) => Err(greet::refusal(code)),
                None => self.open(&greeted, remote).await,
            },
            Err(code) => Err(greet::refusal(code)),
        };
        match outcome {
            Ok((lease, owner, greeting)) => {
                let confirm = self.confirmer(lease);
                let drive =
                    Drive::new(owner, io, self.runtime.clone(), self.clock, remote, greeting)
                        .on_confirmed(confirm);
                Some((lease, drive))
            }
            Err(close) => {
                self.common.failed_handshakes.fetch_add(1, Ordering::Relaxed);
                greet::refuse(&self.runtime, &mut io, &close).await;
                None
            }
        }
    }

    //= AUT-9
    fn check_token(&self, greeted: &Greeted) -> Option<CloseCode> {
        let wanted = self.token.as_ref()?;
        let hello = greeted.hello();
        match hello.auth {
            Some(auth) if auth.method == outlast_core::auth::METHOD_BEARER => {
                (!wanted.matches(&TokenDigest::of(auth.data))).then_some(CloseCode::AUTH_FAILED)
            }
            Some(_) | None => Some(CloseCode::AUTH_REQUIRED),
        }
    }

    /// Makes or finds the session that the greeting is about.
    async fn open(
        &self,
        greeted: &Greeted,
        remote: Option<SocketAddr>,
    ) -> Result<(Lease, Box<Owner<H>>, Vec<u8>), greet::Refusal> {
        let hello = greeted.hello();
        let entropy = greet::entropy();
        let source = remote.map_or(0, |remote| source_of(remote.ip()));
        let peer = outlast_core::registry::Peer {
            principal: None,
            source,
            channel_binding: &[],
            encrypted: false,
        };
        let admission = {
            let mut state = lock(&self.state);
            let now = self.now();
            state.registry.admit(now, &hello, &peer, entropy).map_err(|refusal| refusal.close())?
        };
        let mut greeting = vec![0; HANDSHAKE_MAX];
        match admission {
            Admission::New { lease, grant, .. } => {
                let owner = self.create(lease, &hello, grant, remote, &mut greeting)?;
                Ok((lease, owner, greeting))
            }
            Admission::Resume { lease, .. } => {
                let mut owner = self.take_over(lease).await?;
                let now = self.now();
                match owner.session.accept(now, &hello, greet::seed(), &mut greeting) {
                    Ok(len) => {
                        greeting.truncate(len);
                        self.common.resumed.fetch_add(1, Ordering::Relaxed);
                        Ok((lease, owner, greeting))
                    }
                    Err(code) => Err(self.bury(lease, owner, code)),
                }
            }
        }
    }

    fn create(
        &self,
        lease: Lease,
        hello: &Hello<'_>,
        grant: outlast_core::wire::Grant,
        remote: Option<SocketAddr>,
        greeting: &mut Vec<u8>,
    ) -> Result<Box<Owner<H>>, greet::Refusal> {
        let (now, config, seed) = (self.now(), core_config(self.wanted), greet::seed());
        let made = Session::server(now, config, hello, grant, seed, Vec::new(), greeting);
        let accepted = made.map_err(|code| {
            lock(&self.state).registry.ended(now, lease, code, 0);
            greet::refusal(code)
        })?;
        greeting.truncate(accepted.written);
        let info = SessionInfo { id: grant.sid, remote, connected: true };
        let shared = Arc::new(Shared::new(remote));
        let handler = (self.factory)(&info);
        let release = self.wanted.release;
        let owner = Owner::new(accepted.session, handler, Arc::clone(&shared), release);
        self.common.created.fetch_add(1, Ordering::Relaxed);
        lock(&self.common.directory).insert(grant.sid, Arc::clone(&shared));
        let mut state = lock(&self.state);
        let index = lease.index() as usize;
        if state.places.len() <= index {
            state.places.resize_with(index + 1, || Place::Empty);
        }
        state.places[index] = Place::Out(shared, None);
        Ok(Box::new(owner))
    }

    /// Takes a session over, from a connection that has it if need be.
    ///
    /// The old connection gives it back before anything is read from it: what it had read and not
    /// handled is lost with it, and the peer is told to send that again.
    //= DRV-6
    //= DRV-16
    //= RSM-8
    async fn take_over(&self, lease: Lease) -> Result<Box<Owner<H>>, greet::Refusal> {
        let limit = Duration::from_millis(self.wanted.handshake_timeout_ms.into());
        let until = self.runtime.now() + limit;
        let taking = poll_fn(|cx| {
            let mut state = lock(&self.state);
            let Some(place) = state.places.get_mut(lease.index() as usize) else {
                return Poll::Ready(Err(greet::refusal(CloseCode::NO_SESSION)));
            };
            match std::mem::replace(place, Place::Empty) {
                Place::Here(owner) => {
                    *place = Place::Out(Arc::clone(&owner.shared), None);
                    // The connection that was told to go may have ended by itself before it read
                    // that; the next one must not obey in its place.
                    owner.shared.order(|orders| orders.fence = false);
                    Poll::Ready(Ok(owner))
                }
                Place::Out(shared, waiter) => {
                    let newest = waiter.is_none_or(|waiter| waiter.will_wake(cx.waker()));
                    *place = Place::Out(Arc::clone(&shared), Some(cx.waker().clone()));
                    // Under the lock: a late order would hit the connection that comes after.
                    if newest {
                        shared.order(|orders| orders.fence = true);
                    }
                    drop(state);
                    Poll::Pending
                }
                Place::Empty => Poll::Ready(Err(greet::refusal(CloseCode::NO_SESSION))),
            }
        });
        crate::client::before(&self.runtime, until, taking)
            .await
            .unwrap_or_else(|| Err(greet::refusal(CloseCode::BUSY)))
    }

    /// The resume failed in a way that ends the session.
    fn bury(&self, lease: Lease, mut owner: Box<Owner<H>>, code: CloseCode) -> greet::Refusal {
        let now = self.now();
        let mut close = greet::refusal(code);
        if owner.session.death().is_some() {
            close.rx_next = Some(owner.session.received().get());
            let _ = owner.handle_input(now, None, &mut &[][..]);
        }
        self.put_back(lease, owner, false);
        close
    }

    /// A connection ended: its session stays, or is over.
    fn ended(&self, lease: Lease, driven: Driven<H>) {
        self.put_back(lease, driven.owner, driven.fenced);
    }

    fn put_back(&self, lease: Lease, owner: Box<Owner<H>>, fenced: bool) {
        let now = self.now();
        let rx_next = owner.session.received().get();
        let mut state = lock(&self.state);
        let state = &mut *state;
        let over = owner.over || owner.session.death().is_some();
        if over {
            let code = owner.session.death().map_or(CloseCode::OK, |death| death.code);
            state.registry.ended(now, lease, code, rx_next);
        } else if !fenced {
            state.registry.detached(now, lease, Parting { rx_next, finished: false });
        }
        let Some(place) = state.places.get_mut(lease.index() as usize) else {
            return;
        };
        let waiter = match place {
            Place::Out(_, waiter) => waiter.take(),
            Place::Empty | Place::Here(_) => None,
        };
        if over {
            if let Some(id) = owner.session.id() {
                lock(&self.common.directory).remove(&id);
            }
            *place = Place::Empty;
        } else {
            *place = Place::Here(owner);
        }
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Tells the registry once the client is known to have its session.
    fn confirmer(self: &Arc<Self>, lease: Lease) -> Box<dyn FnOnce() + Send> {
        let inner = Arc::clone(self);
        Box::new(move || {
            lock(&inner.state).registry.confirmed(lease);
        })
    }

    /// Ends sessions whose retention is over or which had to make room.
    fn expire(&self) {
        loop {
            let now = self.now();
            let mut state = lock(&self.state);
            let state = &mut *state;
            let Some(expired) = state.registry.poll_expired(now) else {
                return;
            };
            lock(&self.common.directory).remove(&expired.sid);
            let Some(place) = state.places.get_mut(expired.index as usize) else {
                continue;
            };
            match std::mem::replace(place, Place::Empty) {
                Place::Here(mut owner) => {
                    owner.session.kill(expired.code);
                    let _ = owner.handle_input(now, None, &mut &[][..]);
                }
                Place::Out(shared, _) => {
                    shared.order(|orders| orders.close = Some((expired.code, true)));
                }
                Place::Empty => {}
            }
        }
    }

    fn for_each_out(&self, order: impl Fn(&mut crate::shared::Orders)) {
        let out: Vec<Arc<Shared>> = lock(&self.state)
            .places
            .iter()
            .filter_map(|place| match place {
                Place::Out(shared, _) => Some(Arc::clone(shared)),
                Place::Empty | Place::Here(_) => None,
            })
            .collect();
        for shared in out {
            shared.order(&order);
        }
    }

    /// Waits for the last connection to go; false if `until` comes first.
    async fn emptied_before(&self, until: std::time::Instant) -> bool {
        let common = &self.common;
        let emptied = poll_fn(|cx| {
            let mut waiting = lock(&common.waiting);
            if common.connections.load(Ordering::Acquire) == 0 {
                return Poll::Ready(());
            }
            waiting.push(cx.waker().clone());
            Poll::Pending
        });
        crate::client::before(&self.runtime, until, emptied).await.is_some()
    }
}

/// A connection with a session, to its end.
struct Connection<R: Runtime, T, H> {
    drive: Drive<R, T, H>,
    lease: Lease,
    inner: Arc<Inner<R, H>>,
    _counted: Counted,
    /// The session was given back.
    done: bool,
}

impl<R: Runtime, T: Transport, H: Handler> Future for Connection<R, T, H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let driven = ready!(Pin::new(&mut this.drive).poll(cx));
        this.done = true;
        this.inner.ended(this.lease, driven);
        Poll::Ready(())
    }
}

/// A handler that panics takes its session along, and nothing else: nobody waits for it.
impl<R: Runtime, T, H> Drop for Connection<R, T, H> {
    fn drop(&mut self) {
        if !self.done {
            self.inner.abandoned(self.lease);
        }
    }
}

impl<R: Runtime, H> Inner<R, H> {
    /// The task of a connection is gone, and the session with it.
    fn abandoned(&self, lease: Lease) {
        let now = self.clock.core(self.runtime.now());
        let mut state = lock(&self.state);
        let state = &mut *state;
        state.registry.ended(now, lease, CloseCode::INTERNAL, 0);
        let Some(place) = state.places.get_mut(lease.index() as usize) else {
            return;
        };
        if let Place::Out(shared, waiter) = std::mem::replace(place, Place::Empty) {
            let code = CloseCode::INTERNAL;
            let closed = Closed { code, complete: false, peer_received: None };
            let wake = shared.lock().close(closed);
            wake.into_iter().chain(waiter).for_each(Waker::wake);
            lock(&self.common.directory).retain(|_, other| !Arc::ptr_eq(other, &shared));
        }
    }
}

/// What stands for an address in limits: IPv4 in IPv6 counts as IPv4, IPv6 by its /64.
fn source_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()) | 1 << 63,
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}
