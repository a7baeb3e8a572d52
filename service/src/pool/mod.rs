//! Several sessions with one server, for those who want any of them.
//!
//! A session carries many requests at the same time, so one is mostly enough. A pool is for more
//! than one connection takes: a server that does one thing at a time for each session, or a link
//! whose connections are slow one by one.
//!
//! There is no order between what goes over different sessions: who needs order uses one
//! [`Lease`], or one [`Handle`].

mod error;
mod slots;

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use outlast_core::wire::Route;
use outlast_core::{CloseCode, ConfigError};

use crate::client::Runner;
use crate::error::{RequestError, SendError};
use crate::handle::{Handle, Response};
use crate::overview::lock;
use crate::transport::{Runtime, Sleeper, Timers};
pub use error::PoolError;
use slots::{Chosen, Slots};

/// How many sessions a pool has, and how they are shared.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct PoolConfig {
    /// Sessions at most: 1 to 4,096. Another is opened when none is idle and none is being opened.
    pub connections: usize,
    /// Sessions that are opened at once, however little there is to do: 0 to `connections`.
    pub keep: usize,
    /// Uses of one session at the same time, that is leases, requests, and sends that wait for room:
    /// 1 to 65,536.
    pub in_use: usize,
    /// Callers that may wait for a session: 0 to 1,048,576. More are [refused](PoolError::Full).
    pub waiting: usize,
    /// How long a caller waits for a session that says nothing else.
    pub patience: Duration,
    /// A session that is over for good is replaced after this.
    pub replace_after: Duration,
}

impl Default for PoolConfig {
    /// Up to 4 sessions, 1 of them at once, each for 256; 1,024 may wait for 5 s; replaced after 1 s.
    fn default() -> Self {
        Self {
            connections: 4,
            keep: 1,
            in_use: 256,
            waiting: 1_024,
            patience: Duration::from_secs(5),
            replace_after: Duration::from_secs(1),
        }
    }
}

impl PoolConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let most = self.connections as u64;
        ConfigError::check("connections", most, 1, 4_096)?;
        ConfigError::check("keep", self.keep as u64, 0, most)?;
        ConfigError::check("in_use", self.in_use as u64, 1, 65_536)?;
        ConfigError::check("waiting", self.waiting as u64, 0, 1 << 20)
    }
}

/// What a pool has, and has counted.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Sessions there are, connected or not.
    pub total: usize,
    /// Those that are connected.
    pub connected: usize,
    /// Those of them that are in use.
    pub active: usize,
    /// Those of them that are not.
    pub idle: usize,
    /// Uses, of all sessions.
    pub in_use: usize,
    /// Callers that wait for a session.
    pub waiting: usize,
    /// Callers that ever did.
    pub waits: u64,
    /// Callers that waited in vain.
    pub timed_out: u64,
    /// Callers that were turned away because too many waited.
    pub refused: u64,
    /// Sessions that were over for good, and are replaced.
    pub died: u64,
}

/// Sessions with one server. Clones are the same pool; when the last is dropped, and the last
/// [`Lease`], its sessions end at once. [`shutdown`](Self::shutdown) is the gentle end.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

type Make = Box<dyn Fn(usize) -> io::Result<(Handle, Runner)> + Send + Sync>;

struct Inner {
    config: PoolConfig,
    timers: Box<dyn Timers>,
    make: Make,
    slots: Mutex<Slots>,
}

impl Pool {
    /// A pool whose sessions are made by `make`, which is told the session's place in the pool, and
    /// run in tasks of the runtime. Clients with sockets have `ClientBuilder::pool`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, or what `make` says of the first.
    pub fn new<R: Runtime>(
        runtime: &R,
        config: PoolConfig,
        make: impl Fn(usize) -> io::Result<(Handle, Runner)> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
        config.validate().map_err(invalid)?;
        let slots = Mutex::new(Slots::new(config));
        let (timers, make) = (Box::new(Sleeper::of(runtime)), Box::new(make));
        let inner = Arc::new(Inner { config, timers, make, slots });
        for _ in 0..config.keep {
            let place = lock(&inner.slots).reserve();
            let (handle, runner) = (inner.make)(place)?;
            lock(&inner.slots).fill(place, handle.clone());
            inner.tend(place, Some((handle, runner)));
        }
        Ok(Self { inner })
    }

    /// The session that is used least, for as long as the lease is held. Waits for one as long as
    /// [`patience`](PoolConfig::patience) says.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`], [`PoolError::Full`], [`PoolError::Over`].
    pub async fn get(&self) -> Result<Lease, PoolError> {
        self.get_timeout(self.inner.config.patience).await
    }

    /// As [`get`](Self::get), waiting for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_timeout(&self, limit: Duration) -> Result<Lease, PoolError> {
        let mut turn = Turn { inner: &self.inner, number: None };
        let mut timer = None;
        poll_fn(|cx| {
            if let Poll::Ready(chosen) = turn.poll(cx.waker()) {
                return Poll::Ready(chosen);
            }
            let timer = timer.get_or_insert_with(|| self.inner.timers.sleep(limit));
            timer.as_mut().poll(cx).map(|()| {
                lock(&self.inner.slots).timed_out += 1;
                Err(PoolError::TimedOut)
            })
        })
        .await
    }

    /// As [`get`](Self::get), without waiting.
    ///
    /// # Errors
    ///
    /// [`PoolError::Full`] if there is none to be had now; [`PoolError::Over`].
    pub fn try_get(&self) -> Result<Lease, PoolError> {
        let mut slots = lock(&self.inner.slots);
        let grow = slots.grow();
        let chosen = slots.try_choose();
        drop(slots);
        self.inner.open(grow);
        Ok(self.inner.lease(chosen?))
    }

    /// Asks over whichever session, and waits for the answer. What a session that is over has not
    /// sent is asked over another.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::Request`].
    pub async fn request(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<Response, PoolError> {
        let route = route.into();
        for _ in 0..self.inner.config.connections {
            match self.get().await?.request(route, payload).await {
                Err(RequestError::NotSent(SendError::Closed(_))) => {}
                done => return done.map_err(PoolError::Request),
            }
        }
        let lease = self.get().await?;
        lease.request(route, payload).await.map_err(PoolError::Request)
    }

    /// As [`request`](Self::request), for at most `limit`, in which waiting for a session counts.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request); [`PoolError::TimedOut`] if no session was to be had by then,
    /// [`RequestError::TimedOut`] in [`PoolError::Request`] if one was.
    pub async fn request_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Response, PoolError> {
        let (route, begun) = (route.into(), self.inner.timers.now());
        let left = || limit.saturating_sub(self.inner.since(begun));
        loop {
            let lease = self.get_timeout(left()).await?;
            match lease.request_timeout(route, payload, left()).await {
                Err(RequestError::NotSent(SendError::Closed(_))) if !left().is_zero() => {}
                done => return done.map_err(PoolError::Request),
            }
        }
    }

    /// Sends a one-way message over whichever session, once there is room.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::Send`].
    pub async fn send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), PoolError> {
        let lease = self.get().await?;
        lease.send(route, payload).await.map_err(PoolError::Send)
    }

    /// As [`send`](Self::send), for at most `limit`, in which waiting for a session counts.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TimedOut`] in [`PoolError::Send`].
    pub async fn send_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<(), PoolError> {
        let mut timer = self.inner.timers.sleep(limit);
        let lease = self.get_timeout(limit).await?;
        let mut sending = pin!(lease.send(route, payload));
        poll_fn(|cx| match sending.as_mut().poll(cx) {
            Poll::Ready(sent) => Poll::Ready(sent.map_err(PoolError::Send)),
            Poll::Pending => {
                timer.as_mut().poll(cx).map(|()| Err(PoolError::Send(SendError::TimedOut)))
            }
        })
        .await
    }

    /// What it has, and has counted.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        lock(&self.inner.slots).stats()
    }

    /// Gives out no session any more, finishes them all, waits for at most `grace` until everything
    /// has arrived and the server has finished, too, and ends what is left.
    pub async fn shutdown(&self, grace: Duration) {
        let (handles, waiting) = lock(&self.inner.slots).shut();
        waiting.into_iter().for_each(Waker::wake);
        handles.iter().for_each(Handle::finish);
        let (mut timer, mut late) = (self.inner.timers.sleep(grace), false);
        for handle in &handles {
            let mut closed = pin!(handle.closed());
            poll_fn(|cx| {
                if !late && timer.as_mut().poll(cx).is_ready() {
                    late = true;
                    handles.iter().for_each(|handle| handle.end(CloseCode::GOING_AWAY));
                }
                closed.as_mut().poll(cx).map(drop)
            })
            .await;
        }
    }
}

impl Inner {
    fn since(&self, begun: Instant) -> Duration {
        self.timers.now().saturating_duration_since(begun)
    }

    fn lease(self: &Arc<Self>, chosen: Chosen) -> Lease {
        Lease { inner: Arc::clone(self), chosen }
    }

    /// Opens a session for this place, if there is one.
    fn open(self: &Arc<Self>, place: Option<usize>) {
        if let Some(place) = place {
            self.tend(place, None);
        }
    }

    /// Runs the sessions of a place, one after the other, in a task that does not keep the pool.
    fn tend(self: &Arc<Self>, place: usize, first: Option<(Handle, Runner)>) {
        let pool = Arc::downgrade(self);
        self.timers.spawn(Box::pin(tend(pool, place, first)));
    }

    fn notify(&self) {
        let waker = lock(&self.slots).first_waiting();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// The last user is gone.
impl Drop for Inner {
    fn drop(&mut self) {
        let (handles, waiting) = lock(&self.slots).shut();
        handles.iter().for_each(|handle| handle.end(CloseCode::GOING_AWAY));
        waiting.into_iter().for_each(Waker::wake);
    }
}

async fn tend(pool: Weak<Inner>, place: usize, mut next: Option<(Handle, Runner)>) {
    // The first of a place is made at once.
    let mut at_once = next.is_none();
    loop {
        if let Some((handle, runner)) = next.take() {
            run(&pool, place, &handle, runner).await;
        }
        let pause = {
            let Some(inner) = pool.upgrade() else {
                return;
            };
            if !lock(&inner.slots).empty(place) {
                return;
            }
            inner.timers.sleep(inner.config.replace_after)
        };
        if !std::mem::take(&mut at_once) {
            pause.await;
        }
        let Some(inner) = pool.upgrade() else {
            return;
        };
        if let Ok((handle, runner)) = (inner.make)(place) {
            if !lock(&inner.slots).fill(place, handle.clone()) {
                return;
            }
            next = Some((handle, runner));
        }
    }
}

/// Runs a session to its end, and tells those who wait when it may be of use to them.
async fn run(pool: &Weak<Inner>, place: usize, handle: &Handle, mut runner: Runner) {
    let mut states = handle.states();
    poll_fn(|cx| {
        let polled = Pin::new(&mut runner).poll(cx);
        while let Poll::Ready(Some(state)) = states.poll_changed(cx) {
            if let Some(inner) = pool.upgrade().filter(|_| state.is_connected()) {
                lock(&inner.slots).connected(place);
                inner.notify();
            }
        }
        polled.map(drop)
    })
    .await;
}

/// A caller and its place among those who wait. Dropped, the next may have its turn.
struct Turn<'a> {
    inner: &'a Arc<Inner>,
    number: Option<u64>,
}

impl Turn<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<Result<Lease, PoolError>> {
        let mut slots = lock(&self.inner.slots);
        let grow = slots.grow();
        let polled = slots.poll_choose(&mut self.number, waker);
        let next = if polled.is_ready() { slots.first_waiting() } else { None };
        drop(slots);
        self.inner.open(grow);
        next.into_iter().for_each(Waker::wake);
        polled.map(|chosen| chosen.map(|chosen| self.inner.lease(chosen)))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let next = lock(&self.inner.slots).forget(number);
            next.into_iter().for_each(Waker::wake);
        }
    }
}

/// The use of a session of a pool, until it is dropped.
#[must_use = "a session is in use for as long as its lease is held"]
pub struct Lease {
    inner: Arc<Inner>,
    chosen: Chosen,
}

impl Deref for Lease {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.chosen.handle
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let next = lock(&self.inner.slots).give_back(&self.chosen);
        next.into_iter().for_each(Waker::wake);
    }
}
