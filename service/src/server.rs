//! A server: greets connections, finds or makes their sessions, and keeps those that have none.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use outlast_core::admission::{Source, Ticket, Turned};
use outlast_core::registry::{Admission, Lease, Peer, Registry};
use outlast_core::wire::{CloseFlags, Grant, Hello};
use outlast_core::{CloseCode, Config, ConfigError, HANDSHAKE_MAX, Instant, Session};

use crate::auth::Authenticator;
use crate::door::{Door, Stay, Visit};
use crate::drive::{Drive, Driven};
use crate::entropy;
use crate::figures::SessionInfo;
use crate::greet::{self, Greeted};
use crate::ground::Ground;
use crate::handler::Handler;
use crate::home::{Home, Hosted};
use crate::limits::ServerConfig;
use crate::memory::Memory;
use crate::overview::{Common, ServerHandle, lock};
use crate::owner::{Owner, core_config};
use crate::places::Places;
use crate::security::{SecurityLog, is_denial};
use crate::shared::Shared;
use crate::statistics::Ledger;
use crate::trace::Span;
use crate::traffic::{Allowance, Traffic};
use crate::transport::{Clock, Runtime, Timer, Transport};

/// A server without its listener, which a runtime crate adds. Clones are the same server.
pub struct Server<R: Runtime, H> {
    pub(crate) inner: Arc<Inner<R, H>>,
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

pub(crate) struct Inner<R, H> {
    pub(crate) runtime: R,
    pub(crate) clock: Clock,
    pub(crate) wanted: Config,
    /// What its sessions stand on.
    ground: Arc<Ground>,
    busy_retry_ms: u32,
    authenticator: Option<Arc<dyn Authenticator>>,
    rotate_keys: bool,
    spread: Option<Duration>,
    pub(crate) security: Option<SecurityLog>,
    factory: Factory<H>,
    pub(crate) state: Mutex<Places<H>>,
    pub(crate) common: Arc<Common>,
}

impl<R: Runtime, H: Handler> Server<R, H> {
    /// A server that makes a handler for each session with `factory`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new(
        runtime: R,
        config: ServerConfig,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        let ServerConfig { session: wanted, limits, outgoing, groups, .. } = config;
        let ServerConfig { authenticator, rotate_keys, security, statistics, spread, .. } = config;
        wanted.validate()?;
        outgoing.validate()?;
        let mut sessions = limits.sessions;
        // What WELCOME promises is what is kept, and what a handshake may take is asked for once.
        sessions.max_ttl_s = wanted.retention_s;
        sessions.handshake_ms = wanted.handshake_timeout_ms;
        sessions.validate()?;
        limits.connections.validate()?;
        let registry = Registry::new(sessions, entropy::random_u64(), Vec::new());
        limits.memory.validate()?;
        let memory = Memory::new(limits.memory);
        let patience_ms = limits.patience_ms();
        let traffic = Traffic::new(limits.traffic, limits.connections.v6_prefix);
        let door = Door::new(limits.connections, limits.access, entropy::random_u64());
        let clock = Clock::new(runtime.now());
        let ledger = Ledger::of(&runtime).turned(statistics);
        let home = Home::new(clock, groups.unwrap_or_default(), ledger);
        let common = Common::new(door, traffic, memory, patience_ms, home);
        let memory = Arc::clone(&common.memory);
        let traffic = Arc::clone(&common.traffic);
        let ground = Ground::new(&runtime, clock, outgoing).of_server(memory, traffic);
        let inner = Inner {
            clock,
            runtime,
            wanted,
            ground: Arc::new(ground),
            busy_retry_ms: sessions.busy_retry_ms,
            authenticator,
            rotate_keys,
            spread,
            security,
            factory: Box::new(factory),
            state: Mutex::new(Places::new(registry)),
            common: Arc::new(common),
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
        let Inner { common, runtime, .. } = &*self.inner;
        loop {
            let room = pin!(common.door.ready(|| common.draining.load(Ordering::Acquire)));
            let until = runtime.now() + HANDSHAKE_PATIENCE;
            if let Some(ready) = crate::client::before(runtime, until, room).await {
                return ready;
            }
            // Connections that say nothing must not keep out those that would.
            common.door.make_room();
        }
    }

    /// Serves an accepted connection in a task of its own, or turns it away.
    pub fn spawn_connection<T: Transport>(&self, io: T, remote: Option<SocketAddr>) {
        self.spawn_connection_between(io, None, remote);
    }

    /// As [`spawn_connection`](Self::spawn_connection), for those who know the address of this end,
    /// which [`SessionInfo::local`] shows.
    pub fn spawn_connection_between<T: Transport>(
        &self,
        mut io: T,
        local: Option<SocketAddr>,
        remote: Option<SocketAddr>,
    ) {
        let inner = Arc::clone(&self.inner);
        let runtime = inner.runtime.clone();
        let door = Arc::clone(&inner.common.door);
        let turned = match door.enter(inner.now(), remote) {
            Ok(visit) => {
                inner.common.home.let_in(false);
                return runtime.spawn(inner.receive(io, [local, remote], visit));
            }
            Err(turned) => turned,
        };
        let patience = Duration::from_millis(inner.common.patience_ms.load(Ordering::Relaxed));
        let may_wait = turned != Turned::Denied && !patience.is_zero();
        if let Some(patient) = may_wait.then(|| door.may_wait()).flatten() {
            let until = runtime.now() + patience.min(LONGEST_GRACE);
            return runtime.spawn(async move {
                let runtime = inner.runtime.clone();
                let waiting = pin!(door.wait_to_enter(&runtime, inner.clock, remote));
                let entered = crate::client::before(&runtime, until, waiting).await;
                drop(patient);
                match entered {
                    Some(visit) => inner.receive(io, [local, remote], visit).await,
                    None if inner.turn_away(remote, turned) => inner.say_no(&mut io, turned).await,
                    None => {}
                }
            });
        }
        if inner.turn_away(remote, turned) {
            runtime.spawn(async move { inner.say_no(&mut io, turned).await });
        }
    }

    /// Sees to the sessions that have no connection: does at once what handles ask of them and ends
    /// those whose time is over. Runs until the server has drained.
    pub async fn keep_house(&self) {
        let common = &self.inner.common;
        while !common.draining.load(Ordering::Acquire) || common.door.stats().connections > 0 {
            self.inner.expire();
            let at = self.inner.runtime.now() + Duration::from_secs(1);
            let mut timer = self.inner.runtime.timer();
            poll_fn(|cx| {
                for lease in common.bell.heard(cx.waker()) {
                    self.inner.attend(lease);
                    // What came meanwhile waits for its turn.
                    cx.waker().wake_by_ref();
                }
                timer.poll_until(cx, at)
            })
            .await;
        }
    }

    /// Announces the end, gives connections `grace` to leave, then closes what is left. Clients go
    /// at times of their own within [`ServerConfig::spread`].
    ///
    /// New connections are refused from now on. Sessions survive in their clients, which resume at
    /// a server that has them, or are told that they are lost.
    pub async fn drain(&self, grace: Duration) {
        let inner = &self.inner;
        inner.common.draining.store(true, Ordering::Release);
        inner.common.door.wake_all();
        let spread = inner.spread.map_or(grace / 2, |spread| spread.min(grace));
        let spread = u32::try_from(spread.as_millis()).unwrap_or(u32::MAX);
        inner.for_each_out(|orders| orders.drain = Some((spread, spread)));
        let now = inner.runtime.now();
        if !inner.emptied_before(now + grace.min(LONGEST_GRACE)).await {
            inner.for_each_out(|orders| orders.close = Some((CloseCode::GOING_AWAY, false)));
            inner.emptied_before(inner.runtime.now() + Duration::from_secs(2)).await;
        }
        inner.retire();
    }

    /// Ends at once: refuses what comes, closes every connection and ends every session on this
    /// side. The connections' tasks need one more turn each to say so to their peers.
    pub fn abort(&self) {
        let common = &self.inner.common;
        common.draining.store(true, Ordering::Release);
        self.inner.retire();
        self.inner.for_each_out(|orders| orders.close = Some((CloseCode::GOING_AWAY, false)));
        common.door.show_all_out();
    }
}

impl<R: Runtime, H: Handler> Inner<R, H> {
    pub(crate) fn now(&self) -> Instant {
        self.clock.core(self.runtime.now())
    }

    /// Greets a connection that was let in, and serves it in a task of its own.
    async fn receive<T: Transport>(self: Arc<Self>, io: T, addresses: Addresses, visit: Visit) {
        let greeted = Arc::clone(&self).greet(io, addresses, &visit).await;
        // The task of a handshake is large, that of an idle connection should not be.
        let Some((lease, mut drive)) = greeted else {
            return;
        };
        match visit.opened().and_then(Stay::into_ticket) {
            Some(ticket) => {
                let stay = Inside { inner: self, ticket: Some(ticket) };
                let runtime = stay.inner.runtime.clone();
                let span = Span::of_session(drive.session_id(), addresses[1]);
                let connection = Connection { drive, lease, stay, done: false, span };
                runtime.spawn(connection);
            }
            // It had to make room in the same moment: its client may come again.
            None => drive.leave(self.now()).into_iter().for_each(|driven| {
                self.ended(lease, driven);
            }),
        }
    }

    /// Tells a connection that it is not let in, unless its transport would first have to shake
    /// hands.
    async fn say_no<T: Transport>(&self, io: &mut T, turned: Turned) {
        if io.is_established() {
            greet::refuse(&self.runtime, io, &self.turned_away(turned)).await;
        }
        self.common.door.refused();
    }

    /// The handshake, up to a session that is ready to be driven.
    async fn greet<T: Transport>(
        self: Arc<Self>,
        mut io: T,
        addresses: Addresses,
        visit: &Visit,
    ) -> Option<(Lease, Drive<R, T, H>)> {
        let outcome = {
            let introduced = pin!(self.introduce(&mut io, addresses));
            visit.unless_shown_out(introduced).await.unwrap_or_else(|| Err(self.busy()))
        };
        match outcome {
            Ok((lease, owner, greeting)) => {
                Some((lease, Drive::new(owner, io, self.runtime.clone(), &greeting)))
            }
            Err(close) => {
                self.common.failed_handshakes.fetch_add(1, Ordering::Relaxed);
                self.common.home.handshake_failed(addresses[1], close.code);
                //= REG-12
                if is_denial(close.code) {
                    visit.failed(self.now());
                }
                greet::refuse(&self.runtime, &mut io, &close).await;
                None
            }
        }
    }

    /// Hears who the client is and finds or makes its session.
    async fn introduce<T: Transport>(
        &self,
        io: &mut T,
        addresses: Addresses,
    ) -> Result<Opening<H>, greet::Refusal> {
        let [_, remote] = addresses;
        let config = core_config(self.wanted);
        let asked = greet::Asked {
            authenticator: self.authenticator.as_deref(),
            remote,
            tls_hellos: &self.common.tls_hellos,
        };
        let greeted = greet::hear(&self.runtime, self.clock, &config, io, asked).await;
        let greeted = greeted.map_err(|failed| self.suspect_handshake(remote, failed))?;
        let resumes = greeted.hello().resume.is_some();
        let draining = self.common.draining.load(Ordering::Acquire);
        let short = !resumes && self.common.memory.is_short();
        if draining || short || !self.common.door.has_room(resumes) {
            return Err(self.busy());
        }
        let source =
            remote.map_or(0, |remote| Source::new(remote.ip(), self.common.door.v6_prefix()).get());
        let peer = Peer {
            principal: Some(greeted.principal).filter(|principal| *principal != 0),
            source,
            channel_binding: io.channel_binding(),
            encrypted: io.is_encrypted(),
        };
        let claimed = greeted.hello().resume.map(|claim| claim.sid);
        self.open(&greeted, &peer, addresses).await.inspect_err(|close| {
            self.suspect_session(remote, peer.principal, claimed, close.code);
        })
    }

    pub(crate) fn busy(&self) -> greet::Refusal {
        greet::Refusal { retry_ms: self.busy_retry_ms, ..greet::refusal(CloseCode::BUSY) }
    }

    /// What a connection is told that may not come in.
    fn turned_away(&self, turned: Turned) -> greet::Refusal {
        let micros = turned.wait().unwrap_or(0);
        let wait_ms = u32::try_from(micros.div_ceil(1000)).unwrap_or(u32::MAX);
        let mut busy = self.busy();
        if wait_ms > 0 {
            busy.retry_ms = wait_ms;
        }
        busy
    }

    /// Makes or finds the session that the greeting is about.
    //= AUT-10
    async fn open(
        &self,
        greeted: &Greeted,
        peer: &Peer<'_>,
        addresses: Addresses,
    ) -> Result<Opening<H>, greet::Refusal> {
        let hello = greeted.hello();
        let entropy = entropy::for_session();
        let admission = {
            let mut state = lock(&self.state);
            let now = self.now();
            if let Some(limits) = lock(&self.common.sessions).take() {
                state.registry.reconfigure(limits);
            }
            let admitted = state.registry.admit(now, &hello, peer, entropy);
            let admission =
                admitted.map_err(|refusal| self.common.not_admitted(refusal.close()))?;
            if let Admission::Resume { lease, .. } = admission {
                state.claim(lease);
            }
            admission
        };
        let mut greeting = greeted.proof.clone();
        let ahead = greeting.len();
        greeting.resize(ahead + HANDSHAKE_MAX, 0);
        let welcome = &mut greeting[ahead..];
        let (lease, owner, written) = match admission {
            Admission::New { lease, grant, .. } => {
                let (home, now) = (&self.common.home, self.now());
                let info = SessionInfo::new(home, grant.sid, addresses, peer.principal, now);
                let (owner, written) = self.create(lease, &hello, grant, &info, welcome)?;
                (lease, owner, written)
            }
            Admission::Resume { lease, .. } => {
                let taken = self.take_over(lease).await;
                let mut owner = taken.map_err(|refusal| self.epitaph(&hello, peer, refusal))?;
                let now = self.now();
                match owner.session.accept(now, &hello, entropy::seed(), welcome) {
                    Ok(written) => {
                        self.common.resumed.fetch_add(1, Ordering::Relaxed);
                        owner.shared.lock().set_remote(addresses[1]);
                        if self.rotate_keys {
                            self.rotate_key(lease, &mut owner);
                        }
                        (lease, owner, written)
                    }
                    Err(code) => return Err(self.bury(lease, owner, code)),
                }
            }
        };
        if self.common.retired.load(Ordering::Acquire) {
            // It came in behind those who were told to go.
            owner.shared.order(|orders| orders.close = Some((CloseCode::GOING_AWAY, false)));
        }
        greeting.truncate(ahead + written);
        Ok((lease, owner, greeting))
    }

    fn create(
        &self,
        lease: Lease,
        hello: &Hello<'_>,
        grant: Grant,
        info: &SessionInfo,
        welcome: &mut [u8],
    ) -> Result<(Box<Owner<H>>, usize), greet::Refusal> {
        let (now, config, seed) = (self.now(), core_config(self.wanted), entropy::seed());
        let made = Session::server(now, config, hello, grant, seed, Vec::new(), welcome);
        let accepted = made.map_err(|code| {
            lock(&self.state).registry.ended(now, lease, code, 0);
            greet::refusal(code)
        })?;
        let owner = self.own(accepted.session, info);
        self.common.created.fetch_add(1, Ordering::Relaxed);
        self.common.enter(grant.sid, &owner.shared);
        lock(&self.state).send_out(lease, Arc::clone(&owner.shared));
        Ok((owner, accepted.written))
    }

    /// An owner, with a handler, for a session that is new here.
    pub(crate) fn own(&self, session: Session<Vec<u8>>, info: &SessionInfo) -> Box<Owner<H>> {
        let (principal, ground) = (info.principal.unwrap_or(0), Arc::clone(&self.ground));
        let (home, now) = (Arc::clone(&self.common.home), self.now());
        home.let_in(true);
        let (id, local) = (info.id, home.intern(info.local));
        let hosted = Hosted { home, id, local, opened_at: now };
        let shared = Shared::new(info.remote, principal, ground);
        let shared = Arc::new(shared.of_server(hosted));
        let handler = (self.factory)(info);
        let mut owner = Owner::new(session, handler, Arc::clone(&shared), self.wanted.release);
        owner.allowance = Allowance::of_new(&self.common.traffic, now, info.remote);
        Box::new(owner)
    }

    /// The resume failed in a way that ends the session.
    fn bury(&self, lease: Lease, mut owner: Box<Owner<H>>, code: CloseCode) -> greet::Refusal {
        let now = self.now();
        let mut close = greet::refusal(code);
        //= CLS-6
        if owner.session.death().is_some() {
            close.flags = CloseFlags::SESSION_ENDED;
            //= REG-19
            let received = owner.session.received().get();
            close.rx_next = Some(received).filter(|_| !owner.rx_unknown);
            owner.guarded(|owner| {
                let _ = owner.handle_input(now, &mut &[][..]);
            });
        }
        self.put_back(lease, owner);
        close
    }

    /// A connection ended: its session stays, or is over.
    fn ended(&self, lease: Lease, driven: Driven<H>) {
        self.suspect_driven(&driven);
        self.put_back(lease, driven.owner);
    }

    /// Waits for the last connection to go; false if `until` comes first.
    pub(crate) async fn emptied_before(&self, until: std::time::Instant) -> bool {
        let emptied = pin!(self.common.door.emptied());
        crate::client::before(&self.runtime, until, emptied).await.is_some()
    }
}

/// How long connections wait in the backlog before the oldest handshakes make room for them.
pub(crate) const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(250);
/// A grace beyond this is for ever, as far as clocks go.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(86_400 * 365);

/// This end's address and the other one's, as far as they are known.
type Addresses = [Option<SocketAddr>; 2];

/// A session, and the bytes that open it.
type Opening<H> = (Lease, Box<Owner<H>>, Vec<u8>);

/// A connection with a session, to its end.
struct Connection<R: Runtime, T, H> {
    drive: Drive<R, T, H>,
    lease: Lease,
    /// Behind the drive: it counts until its transport is dropped.
    stay: Inside<R, H>,
    /// The session was given back.
    done: bool,
    span: Span,
}

/// An open connection, until it is dropped.
struct Inside<R, H> {
    inner: Arc<Inner<R, H>>,
    ticket: Option<Ticket>,
}

impl<R, H> Drop for Inside<R, H> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.inner.common.door.left(ticket);
        }
    }
}

impl<R: Runtime, T: Transport, H: Handler> Future for Connection<R, T, H> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let polled = this.span.within(|| Pin::new(&mut this.drive).poll(cx));
        if let Some(news) = this.drive.take_news() {
            this.stay.inner.heed(this.lease, news);
        }
        let mut driven = ready!(polled);
        // Before the session is put back: its client may have been heard in the last moment, and
        // what is not confirmed is not kept.
        //= REG-8
        if let Some(news) = driven.owner.take_news() {
            this.stay.inner.heed(this.lease, news);
        }
        this.done = true;
        this.stay.inner.ended(this.lease, driven);
        Poll::Ready(())
    }
}

/// A handler that panics takes its session along, and nothing else.
impl<R: Runtime, T, H> Drop for Connection<R, T, H> {
    fn drop(&mut self) {
        if !self.done {
            self.stay.inner.abandoned(self.lease);
        }
    }
}

#[cfg(all(test, target_pointer_width = "64"))]
mod tests {
    use super::*;
    use crate::figures::Shown;

    #[derive(Clone)]
    struct Still;

    /// As large as what runtimes have: a pointer.
    struct Hand(#[expect(dead_code)] Box<u8>);

    impl Runtime for Still {
        type Timer = Hand;

        fn now(&self) -> std::time::Instant {
            std::time::Instant::now()
        }

        fn timer(&self) -> Hand {
            Hand(Box::new(0))
        }

        fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
    }

    impl Timer for Hand {
        fn poll_until(&mut self, _: &mut Context<'_>, _: std::time::Instant) -> Poll<()> {
            Poll::Pending
        }
    }

    /// What every connection has that is idle. Whoever needs more bytes takes them from those that
    /// are not: docs/performance.md says what each step costs.
    #[test]
    fn an_idle_connection_takes_little() {
        // As large as tokio's socket, with room to say that it is not there.
        type Io = (Box<u8>, [usize; 4]);
        // A task of tokio's is 104 bytes larger, and a multiple of 128.
        assert!(size_of::<Connection<Still, Io, ()>>() <= 152);
        // What malloc gives is a multiple of 16, and its own 8 bytes are among them. Behind each of
        // tokio's two blocks up to 112 bytes stay free: an owner ends where the next may begin, and
        // what is shown fits in between.
        assert!(size_of::<Owner<()>>() <= 488);
        assert!(size_of::<Shared>() + 2 * size_of::<usize>() <= 248);
        assert!(size_of::<Shown>() <= 104);
    }
}
