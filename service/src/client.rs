//! A client: dials, keeps one session over any number of connections, and says when it is over.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use outlast_core::client::{
    Action, Attempt, Closed as Parting, Dial, DialState, Dialer, DialerConfig,
};
use outlast_core::client::{StopReason, Target};
use outlast_core::wire::AuthData;
use outlast_core::{
    Attach, CloseCode, Config, ConfigError, HANDSHAKE_MAX, Instant, Position, Session,
};

use crate::auth::{Credentials, Proving};
use crate::drive::{Drive, Driven};
use crate::error::{Closed, Why};
use crate::ground::Ground;
use crate::handle::Handle;
use crate::handler::{DialError, Handler, Incoming};
use crate::outgoing::Outgoing;
use crate::owner::{Owner, core_config};
use crate::shared::Shared;
use crate::state::{LinkState, Watch, Watcher};
use crate::trace::{Span, Trace};
use crate::transport::{Clock, Runtime, Timer, Transport};

/// How a client makes connections. A runtime crate implements it for its sockets.
pub trait Connector: Send + 'static {
    /// The stream it makes.
    type Io: Transport;

    /// Dials the address with this number in the client's list. Addresses that a server names in
    /// DRAIN or WELCOME are not followed.
    fn connect(
        &mut self,
        address: usize,
    ) -> impl Future<Output = io::Result<Dialed<Self::Io>>> + Send;
}

/// A connection that was made.
#[derive(Debug)]
pub struct Dialed<T> {
    /// The stream.
    pub io: T,
    /// The other end's address.
    pub remote: Option<SocketAddr>,
}

/// What a client is made from.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// Limits and intervals of the session; [`Config::CLIENT`] if not given.
    pub session: Option<Config>,
    /// When to dial again, and when to give up.
    pub dialer: DialerConfig,
    /// How it sends.
    pub outgoing: Outgoing,
    /// What the server wants to see.
    pub credentials: Option<Arc<dyn Credentials>>,
    /// Entropy for back-off and nonces. Clients that start together must differ in it.
    pub seed: u64,
    /// Who is called when the client does something else.
    pub watcher: Option<Watcher>,
}

/// The task of a client: spawn it, or poll it. It resolves when the session is over for good.
///
/// Dropped before, it takes the session along: handles are told
/// [`GOING_AWAY`](CloseCode::GOING_AWAY), or [`INTERNAL`](CloseCode::INTERNAL) if the handler
/// panicked. The server hears nothing and keeps the session for as long as it promised.
#[must_use = "a client does nothing unless its runner is spawned or awaited"]
pub struct Runner {
    task: Pin<Box<dyn Future<Output = Closed> + Send>>,
    span: Span,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// A client's handle and its task.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new<R: Runtime, C: Connector, H: Handler>(
        runtime: R,
        config: ClientConfig,
        connector: C,
        handler: H,
    ) -> Result<(Handle, Self), ConfigError> {
        let wanted = config.session.unwrap_or(Config::CLIENT);
        config.dialer.validate()?;
        let session = Session::client(core_config(wanted), Vec::new())?;
        config.outgoing.validate()?;
        let clock = Clock::new(runtime.now());
        let ground = Arc::new(Ground::new(&runtime, clock, config.outgoing));
        let shared = Arc::new(Shared::dialling(Watch::dialling(config.watcher), ground));
        let owner = Box::new(Owner::new(session, handler, Arc::clone(&shared), wanted.release));
        let client = Client {
            dialer: Dialer::new(config.dialer, config.seed),
            seed: config.seed,
            wanted,
            credentials: config.credentials,
            runtime,
            clock,
            connector,
            owner: Some(owner),
            failed_by: None,
            dialled: 0,
            trace: Trace::default(),
        };
        let (task, span) = (Box::pin(client.run()), Span::of_client());
        Ok((Handle::new(shared), Self { task, span }))
    }
}

impl Future for Runner {
    type Output = Closed;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        let Self { task, span } = &mut *self;
        span.within(|| task.as_mut().poll(cx))
    }
}

struct Client<R, C, H> {
    dialer: Dialer,
    seed: u64,
    wanted: Config,
    credentials: Option<Arc<dyn Credentials>>,
    runtime: R,
    clock: Clock,
    connector: C,
    owner: Option<Box<Owner<H>>>,
    /// Why the last connection failed, if there was one.
    failed_by: Option<CloseCode>,
    /// Number of the last attempt.
    dialled: u32,
    trace: Trace,
}

impl<R: Runtime, C: Connector, H: Handler> Client<R, C, H> {
    fn now(&self) -> Instant {
        self.clock.core(self.runtime.now())
    }

    async fn run(mut self) -> Closed {
        self.dialer.handle_start(self.now(), false);
        loop {
            let now = self.now();
            match self.dialer.poll_action(now) {
                // Without a pause between attempts this is where an order to end is seen.
                Some(Action::Dial(_)) if self.ordered_to_end(now) => self.dialer.handle_stop(),
                Some(Action::Dial(dial)) => self.attempt(dial).await,
                // The attempt was given up and the connection left where they were carried.
                Some(Action::Abort(_) | Action::Leave(_)) => {}
                Some(Action::Replace(code)) => self.replace(now, code),
                Some(Action::Stop(reason)) => return self.stop(reason),
                None => self.wait().await,
            }
        }
    }

    /// One attempt, and the connection that comes of it.
    async fn attempt(&mut self, dial: Dial) {
        let address = match dial.target {
            Target::Listed(index) => index as usize,
            Target::Hinted => 0,
        };
        let deadline = self.clock.std(dial.deadline);
        self.dialled = dial.attempt.get();
        self.turn(LinkState::Connecting { attempt: self.dialled });
        self.trace.dials(self.now(), self.dialled);
        let dialed = match self.dial(address, deadline).await {
            Some(Ok(dialed)) => dialed,
            _ if self.ordered_to_end(self.now()) => return self.dialer.handle_stop(),
            failed => {
                let late = || Failed::Unreachable(io::ErrorKind::TimedOut.into());
                let why = failed.and_then(Result::err).unwrap_or_else(late);
                self.failed_by = None;
                self.dialer.handle_failure(self.now(), dial.attempt);
                return match why {
                    Failed::Unreachable(error) => {
                        self.failed(dial.attempt, DialError::Unreachable(&error));
                    }
                    Failed::Transport(error) => {
                        self.failed(dial.attempt, DialError::Transport(&error));
                    }
                };
            }
        };
        let Some(mut owner) = self.owner.take() else {
            return;
        };
        let now = self.now();
        let mut greeting = vec![0; HANDSHAKE_MAX];
        let seed = self.fresh_seed();
        match self.greet(now, &mut owner, &dialed.io, seed, &mut greeting) {
            Some(len) => greeting.truncate(len),
            None => {
                owner.give_up(now, Why::Refused, CloseCode::AUTH_FAILED);
                self.owner = Some(owner);
                self.dialer.handle_stop();
                return;
            }
        }
        owner.opened_at = None;
        owner.asked_to_leave = false;
        self.dialer.handle_transport(dial.attempt);
        let before = moved(&owner);
        let Dialed { io, remote } = dialed;
        owner.shared.lock().set_remote(remote);
        let mut drive = Drive::new(owner, io, self.runtime.clone(), &greeting);
        let driven = carry(&self.runtime, self.clock, &mut drive, deadline).await;
        self.ended(dial.attempt, driven, before);
    }

    fn turn(&self, state: LinkState) {
        if let Some(owner) = &self.owner {
            owner.shared.turn(state);
        }
    }

    /// Dials until `deadline`, or until the application wants no session any more.
    async fn dial(
        &mut self,
        address: usize,
        deadline: std::time::Instant,
    ) -> Option<Result<Dialed<C::Io>, Failed>> {
        let Self { connector, owner, runtime, clock, .. } = self;
        let mut connecting = pin!(async move {
            let mut dialed = connector.connect(address).await.map_err(Failed::Unreachable)?;
            let ready = poll_fn(|cx| dialed.io.poll_ready(cx)).await;
            ready.map(|()| dialed).map_err(Failed::Transport)
        });
        let dialing = pin!(poll_fn(|cx| {
            if let Poll::Ready(dialed) = connecting.as_mut().poll(cx) {
                return Poll::Ready(Some(dialed));
            }
            let Some(owner) = owner.as_deref_mut() else {
                return Poll::Ready(None);
            };
            if end_of(owner, clock.core(runtime.now())).is_some() {
                return Poll::Ready(None);
            }
            if !owner.sleep(cx.waker(), None) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }));
        before(runtime, deadline, dialing).await.flatten()
    }

    /// Writes HELLO to `out`; `None` if what is to be shown must not be, or does not fit.
    fn greet(
        &self,
        now: Instant,
        owner: &mut Owner<H>,
        io: &C::Io,
        seed: u32,
        out: &mut [u8],
    ) -> Option<usize> {
        let Some(credentials) = &self.credentials else {
            let channel_binding = io.channel_binding();
            let attach = Attach { seed, channel_binding, ..Attach::default() };
            return owner.session.attach(now, &attach, out).ok();
        };
        let mut proving = Box::new(Proving {
            prover: credentials.prover(),
            client_id: credentials.client_id().to_vec(),
            channel_binding: io.channel_binding().to_vec(),
            encrypted: io.is_encrypted(),
        });
        let mut data = [0; HANDSHAKE_MAX];
        let (prover, context) = proving.parts();
        let len = prover.start(&context, &mut data)?;
        let attach = Attach {
            seed,
            auth: Some(AuthData { method: prover.method(), data: data.get(..len)? }),
            mutual: !prover.is_satisfied(),
            channel_binding: context.channel_binding,
            client_id: Some(context.client_id).filter(|id| !id.is_empty()),
            ..Attach::default()
        };
        let written = owner.session.attach(now, &attach, out).ok()?;
        owner.introduce(proving);
        Some(written)
    }

    /// A connection ended: what that means for the next.
    fn ended(&mut self, attempt: Attempt, driven: Driven<H>, before: Moved) {
        let Driven { owner, ending, error } = driven;
        let now = self.now();
        if let Some(opened_at) = owner.opened_at {
            self.dialer.handle_welcome(opened_at, attempt, true);
            if moved(&owner) != before {
                self.dialer.handle_progress(attempt);
            }
        }
        let death = owner.session.death();
        if let Some(death) = death {
            let parting = Parting {
                session_ended: true,
                no_retry: ending.no_retry,
                retry_ms: ending.retry_ms,
                ..Parting::by(death.code)
            };
            self.dialer.handle_close(now, attempt, parting);
        } else if owner.over {
            let parting = Parting { session_ended: true, ..Parting::by(CloseCode::OK) };
            self.dialer.handle_close(now, attempt, parting);
        } else if ending.by_peer {
            let Some(end) = owner.ending.or(Some(ending)) else {
                return;
            };
            self.failed_by = Some(end.code);
            let parting =
                Parting { no_retry: end.no_retry, retry_ms: end.retry_ms, ..Parting::by(end.code) };
            self.dialer.handle_close(now, attempt, parting);
        } else if owner.asked_to_leave && ending.code == CloseCode::GOING_AWAY {
            // The session drew the moment, and has left.
            //= CLI-4
            self.dialer.handle_drain(now, attempt, 0, false);
        } else {
            self.failed_by = Some(ending.code);
            self.dialer.handle_failure(now, attempt);
        }
        // A session that was lost has said so, and why.
        let failed = owner.opened_at.is_none() && !owner.over;
        self.owner = Some(owner);
        if failed {
            let error = match &error {
                _ if ending.by_peer => DialError::Refused(ending.code),
                // It has words of its own.
                Some(error) if error.get_ref().is_some() => DialError::Transport(error),
                Some(_) | None => DialError::NoWelcome(ending.code),
            };
            self.failed(attempt, error);
        }
        if self.ordered_to_end(now) {
            self.dialer.handle_stop();
        }
    }

    /// Tells the handler of an attempt that failed.
    //= CLI-13
    fn failed(&mut self, attempt: Attempt, error: DialError<'_>) {
        let now = self.now();
        let stopped = self.dialer.state() == DialState::Stopped;
        let due = self.dialer.poll_timeout().filter(|_| !stopped);
        let wait = |at: Instant| at.saturating_since(now);
        self.trace.failed(now, attempt.get(), &error);
        let event = Incoming::DialFailed { attempt: attempt.get(), error, retry_in: due.map(wait) };
        if let Some(owner) = self.owner.as_deref_mut() {
            owner.tell(now, event);
        }
    }

    /// Whether the application wants no session any more: the only order that is obeyed while there
    /// is no connection, and the only one that outlasts a session.
    fn ordered_to_end(&mut self, now: Instant) -> bool {
        let Some(owner) = self.owner.as_deref_mut() else {
            return true;
        };
        let Some(code) = end_of(owner, now) else {
            return false;
        };
        owner.session.end(now, code);
        owner.give_up(now, Why::Stopped, code);
        true
    }

    /// Waits for the dialer's next moment.
    async fn wait(&mut self) {
        let at = self.dialer.poll_timeout().map(|at| self.clock.std(at));
        let attempt = self.dialled.saturating_add(1);
        self.turn(LinkState::Waiting { attempt, until: at });
        let mut timer = self.runtime.timer();
        poll_fn(|cx| {
            let now = self.now();
            if self.ordered_to_end(now) {
                self.dialer.handle_stop();
                return Poll::Ready(());
            }
            let Some(owner) = self.owner.as_deref() else {
                return Poll::Ready(());
            };
            if !owner.sleep(cx.waker(), None) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            at.map_or(Poll::Pending, |at| timer.poll_until(cx, at))
        })
        .await;
    }

    fn replace(&mut self, now: Instant, code: CloseCode) {
        if let Some(owner) = self.owner.as_deref_mut()
            && let Ok(session) = Session::client(core_config(self.wanted), Vec::new())
        {
            owner.give_up(now, Why::Lost, code);
            owner.replace(session);
        }
    }

    fn stop(&mut self, reason: StopReason) -> Closed {
        let (why, code) = match reason {
            StopReason::Requested => (Why::Stopped, CloseCode::OK),
            StopReason::Finished => (Why::Finished, CloseCode::OK),
            StopReason::SessionLost(code) => (Why::Lost, code),
            StopReason::Refused(code) => (Why::Refused, code),
            StopReason::GaveUp { .. } => {
                (Why::GaveUp(self.failed_by), self.failed_by.unwrap_or(CloseCode::GOING_AWAY))
            }
        };
        let now = self.now();
        let unknown = Closed::of(why, code);
        let Some(mut owner) = self.owner.take() else {
            return unknown;
        };
        owner.give_up(now, why, code);
        owner.shared.turn(LinkState::Closed);
        let inner = owner.shared.lock();
        inner.closed().cloned().unwrap_or(unknown)
    }

    fn fresh_seed(&mut self) -> u32 {
        let mut jitter = outlast_core::backoff::Jitter::new(self.seed);
        self.seed = jitter.next_u64();
        (self.seed >> 32) as u32
    }
}

/// Why there is no connection.
enum Failed {
    /// None was made.
    Unreachable(io::Error),
    /// One was made, and its transport found that it is no good.
    Transport(io::Error),
}

/// With which code the application wants the session to end, if it does. There is no connection.
fn end_of<H: Handler>(owner: &mut Owner<H>, now: Instant) -> Option<CloseCode> {
    if owner.shared.is_dirty() {
        owner.take_orders(now);
        owner.settle(now);
    }
    owner.ordered_end
}

/// Drives a connection to its end, which is `deadline` unless it is open by then.
//= CLI-7
async fn carry<R: Runtime, T: Transport, H: Handler>(
    runtime: &R,
    clock: Clock,
    drive: &mut Drive<R, T, H>,
    deadline: std::time::Instant,
) -> Driven<H> {
    let mut timer = runtime.timer();
    poll_fn(|cx| {
        if let Poll::Ready(driven) = Pin::new(&mut *drive).poll(cx) {
            return Poll::Ready(driven);
        }
        if drive.is_greeting()
            && timer.poll_until(cx, deadline).is_ready()
            && let Some(mut driven) = drive.leave(clock.core(runtime.now()))
        {
            driven.ending.code = CloseCode::HS_TIMEOUT;
            return Poll::Ready(driven);
        }
        Poll::Pending
    })
    .await
}

/// How far both directions have come: what was received, and what the peer has taken.
type Moved = (Position, Position);

fn moved<H: Handler>(owner: &Owner<H>) -> Moved {
    (owner.session.received(), owner.session.acknowledged())
}

/// The future's output, unless `at` comes first. It is borrowed, since each layer that holds one by
/// value doubles the memory of the whole.
pub(crate) async fn before<R: Runtime, T>(
    runtime: &R,
    at: std::time::Instant,
    mut future: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let mut timer = runtime.timer();
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => timer.poll_until(cx, at).map(|()| None),
    })
    .await
}
