//! A client of another system's server: dials, and dials again when the connection is lost. What
//! was under way then is lost with it.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use outlast_core::client::{Action, Attempt, Dial, DialState, Dialer, DialerConfig, Target};
use outlast_core::{ConfigError, Instant};
use outlast_formats::Format;

use super::PlainConfig;
use super::drive::{Drive, Side};
use super::error::{PlainCause, PlainClosed};
use super::handle::PlainHandle;
use super::handler::{PlainEvent, PlainHandler, PlainPeer};
use super::shared::{Order, Shared};
use crate::client::{Connector, Dialed};
use crate::state::{LinkState, Watch, Watcher};
use crate::transport::{Clock, Runtime, Timer};

/// What a client is made from.
#[derive(Debug, Clone, Default)]
pub struct PlainClientConfig {
    /// Limits and deadlines of its connections.
    pub connection: PlainConfig,
    /// When to dial again, and when to give up. There is no session to replace.
    pub dialer: DialerConfig,
    /// Entropy for back-off. Clients that start together must differ in it.
    pub seed: u64,
    /// Who is called when the client does something else.
    pub watcher: Option<Watcher>,
}

/// The task of a client: spawn it, or poll it. It resolves when nothing more will be tried, with
/// how
/// the last connection ended, if there was one.
#[must_use = "a client does nothing unless its runner is spawned or awaited"]
pub struct PlainRunner {
    task: Pin<Box<dyn Future<Output = Option<PlainClosed>> + Send>>,
}

impl std::fmt::Debug for PlainRunner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainRunner").finish_non_exhaustive()
    }
}

impl Future for PlainRunner {
    type Output = Option<PlainClosed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.task.as_mut().poll(cx)
    }
}

impl PlainRunner {
    /// A client's handle and its task.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn new<R: Runtime, C: Connector, F: Format + Clone, H: PlainHandler>(
        runtime: R,
        config: PlainClientConfig,
        connector: C,
        format: F,
        handler: H,
    ) -> Result<(PlainHandle, Self), ConfigError> {
        config.connection.validate()?;
        config.dialer.validate()?;
        let encoder = Box::new(format.clone());
        let shared = Shared::new(0, config.connection, encoder, &runtime);
        let shared = Arc::new(shared.watched(Watch::dialling(config.watcher)));
        let clock = Clock::new(runtime.now());
        let dialer = Dialer::new(config.dialer, config.seed);
        let handle = PlainHandle::new(Arc::clone(&shared));
        let retire = Retire(Arc::clone(&shared));
        let handler = Some(handler);
        let client =
            Client { dialer, runtime, clock, connector, format, handler, shared, dialled: 0 };
        let task = async move {
            let _retire = retire;
            client.run().await
        };
        Ok((handle, Self { task: Box::pin(task) }))
    }
}

/// However the task ends: nobody waits for a connection any more.
struct Retire(Arc<Shared>);

impl Drop for Retire {
    fn drop(&mut self) {
        self.0.retire();
    }
}

struct Client<R, C, F, H> {
    dialer: Dialer,
    runtime: R,
    clock: Clock,
    connector: C,
    format: F,
    handler: Option<H>,
    shared: Arc<Shared>,
    /// Number of the last attempt.
    dialled: u32,
}

impl<R: Runtime, C: Connector, F: Format + Clone, H: PlainHandler> Client<R, C, F, H> {
    fn now(&self) -> Instant {
        self.clock.core(self.runtime.now())
    }

    async fn run(mut self) -> Option<PlainClosed> {
        self.dialer.handle_start(self.now(), false);
        loop {
            let now = self.now();
            if self.is_ordered_to_end() {
                self.dialer.handle_stop();
            }
            match self.dialer.poll_action(now) {
                Some(Action::Dial(dial)) => self.attempt(dial).await,
                Some(Action::Stop(_)) => return self.shared.lock().closed,
                Some(Action::Abort(_) | Action::Leave(_) | Action::Replace(_)) => {}
                None => self.wait().await,
            }
        }
    }

    fn is_ordered_to_end(&self) -> bool {
        self.shared.lock().order.is_some()
    }

    /// One attempt, and the connection that comes of it.
    async fn attempt(&mut self, dial: Dial) {
        let address = match dial.target {
            Target::Listed(index) => index as usize,
            Target::Hinted => 0,
        };
        self.dialled = dial.attempt.get();
        self.shared.turn(LinkState::Connecting { attempt: self.dialled });
        let until = self.clock.std(dial.deadline);
        let dialed = {
            let mut connecting = pin!(self.connector.connect(address));
            let shared = &self.shared;
            let dialing = pin!(poll_fn(|cx| {
                // Before each look, so that no order falls between.
                shared.lock().sleep(cx.waker());
                if shared.lock().order.is_some() {
                    return Poll::Ready(None);
                }
                connecting.as_mut().poll(cx).map(Some)
            }));
            crate::client::before(&self.runtime, until, dialing).await
        };
        match dialed {
            Some(Some(Ok(dialed))) => self.carry(dial.attempt, dialed).await,
            Some(None) => self.shared.turn(LinkState::Disconnected),
            Some(Some(Err(error))) => self.failed(dial.attempt, &error),
            None => self.failed(dial.attempt, &io::ErrorKind::TimedOut.into()),
        }
    }

    async fn carry(&mut self, attempt: Attempt, dialed: Dialed<C::Io>) {
        let Some(handler) = self.handler.take() else {
            return;
        };
        self.dialer.handle_transport(attempt);
        self.dialer.handle_welcome(self.now(), attempt, false);
        let formats: [Box<dyn Format>; 2] =
            [Box::new(self.format.clone()), Box::new(self.format.clone())];
        let Dialed { io, remote } = dialed;
        let shared = Arc::clone(&self.shared);
        let before = shared.lock().info.packets_in;
        let addresses = (None, remote);
        let drive =
            Drive::new(io, &self.runtime, Side::Dialled, addresses, shared, formats, handler);
        let driven = drive.await;
        self.handler = Some(driven.handler);
        if self.shared.lock().info.packets_in > before {
            self.dialer.handle_progress(attempt);
        }
        if driven.closed.cause != PlainCause::Local {
            self.dialer.handle_failure(self.now(), attempt);
        }
    }

    fn failed(&mut self, attempt: Attempt, error: &io::Error) {
        self.shared.turn(LinkState::Disconnected);
        let now = self.now();
        self.dialer.handle_failure(now, attempt);
        let stopped = self.dialer.state() == DialState::Stopped;
        let due = self.dialer.poll_timeout().filter(|_| !stopped);
        let retry_in = due.map(|at| at.saturating_since(now));
        let (mut out, mut sent) = (Vec::new(), 0);
        let mut peer =
            PlainPeer { shared: &self.shared, format: None, out: &mut out, sent: &mut sent };
        if let Some(handler) = &mut self.handler {
            let attempt = attempt.get();
            handler.handle(&mut peer, PlainEvent::DialFailed { attempt, error, retry_in });
        }
    }

    /// Waits for the dialer's next moment, or for the order to end.
    #[expect(clippy::needless_pass_by_ref_mut, reason = "a connector need not be shared")]
    async fn wait(&mut self) {
        let at = self.dialer.poll_timeout().map(|at| self.clock.std(at));
        let attempt = self.dialled.saturating_add(1);
        self.shared.turn(LinkState::Waiting { attempt, until: at });
        let mut timer = self.runtime.timer();
        let shared = &self.shared;
        poll_fn(|cx| {
            let mut inner = shared.lock();
            inner.sleep(cx.waker());
            let ordered = matches!(inner.order, Some(Order::Finish | Order::Close(_)));
            drop(inner);
            if ordered {
                return Poll::Ready(());
            }
            at.map_or(Poll::Pending, |at| timer.poll_until(cx, at))
        })
        .await;
    }
}
