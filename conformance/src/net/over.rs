//! Servers and clients of a runtime that has sockets, as subjects of the suite.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, TryLockError, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use outlast_core::client::DialerConfig;
use outlast_core::registry::RegistryConfig;
use outlast_core::{CloseCode, Config};
use outlast_service::net::socket2::{self, SockRef};
use outlast_service::net::{Client, Net, Running, Server};
use outlast_service::{Handle, Limits, Runtime};

use super::service::{Desk, SLACK};
use super::{Controls, FarEnds, Feed, Socket, Started};
use crate::driver::Cmd;

/// A task that a runtime is given.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Servers and clients over the sockets of `N`, whose tasks some thread runs as long as this lives.
///
/// A runtime crate's whole test is then
/// `suite! { Loopback::new(Over::new("mine over sockets", Mine)) }`.
pub struct Over<N> {
    name: &'static str,
    net: Gated<N>,
    spawn: Arc<dyn Fn(Task) + Send + Sync>,
    held: Option<fn() -> usize>,
    far_ends: Option<FarEnds>,
}

impl<N> std::fmt::Debug for Over<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Over").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<N: Net> Over<N> {
    /// A runtime that takes tasks from any thread.
    pub fn new(name: &'static str, net: N) -> Self {
        let outside = net.clone();
        Self::with(name, net, move |task| outside.spawn(task))
    }

    /// A runtime that takes tasks from threads of its own only, and from others with `spawn`.
    pub fn with(name: &'static str, net: N, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        let gated = Gated { net, gate: Arc::default() };
        Self { name, net: gated, spawn: Arc::new(spawn), held: None, far_ends: None }
    }

    /// Knows the memory that the process holds; cases that look at it fail without.
    #[must_use]
    pub const fn counting(mut self, held: fn() -> usize) -> Self {
        self.held = Some(held);
        self
    }

    /// Has these far ends: those of the layer that `N` has.
    #[must_use]
    pub fn far_ends(mut self, far_ends: FarEnds) -> Self {
        self.far_ends = Some(far_ends);
        self
    }

    fn spawner(&self) -> impl Fn(Task) + Send + Sync + 'static {
        let (spawn, gate) = (Arc::clone(&self.spawn), Arc::clone(&self.net.gate));
        move |task| spawn(Box::pin(Passing { gate: Arc::clone(&gate), task }))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner()(Box::pin(task));
    }
}

impl<N: Net> super::Runtime for Over<N> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn serve(
        &mut self,
        config: Config,
        sessions: RegistryConfig,
        feed: &Feed,
    ) -> (SocketAddr, Started) {
        let desk = Desk::server(feed, self.spawner());
        let handlers = desk.clone();
        let limits = Limits { sessions, ..Limits::one_source() };
        let builder = Server::on(self.net.clone()).config(config).limits(limits);
        let (tell, told) = mpsc::sync_channel(1);
        self.spawn(async move {
            let server = builder.bind("127.0.0.1:0").await.expect("a port of loopback");
            let running = server.start(move |_| handlers.handler()).expect("a valid configuration");
            tell.send(running).expect("the case");
        });
        let running = told.recv().expect("the server");
        let address = running.local_addr();
        (
            address,
            Box::new(AServer { desk, spawn: Box::new(self.spawner()), running: Some(running) }),
        )
    }

    fn dial(&mut self, address: SocketAddr, config: Config, feed: &Feed) -> Started {
        let desk = Desk::client(feed, self.spawner());
        // Most cases cut the connection, and wait for the next.
        let eager =
            DialerConfig { backoff_base: 1_000, backoff_cap: 10_000, ..DialerConfig::default() };
        let builder = Client::on(self.net.clone()).address(address.to_string()).config(config);
        let (handle, runner) = builder.reconnect(eager).connect(desk.handler()).expect("a client");
        self.spawn(async move {
            // How it ended was told to the feed.
            let _ = runner.await;
        });
        Box::new(AClient { desk, handle })
    }

    fn starve(&mut self, time: Duration) {
        self.net.gate.close_for(time);
    }

    fn slack(&self) -> usize {
        SLACK
    }

    fn far_ends(&self) -> FarEnds {
        let bare: FarEnds = Arc::new(|stream, _| Ok(Box::new(Socket::new(stream)?)));
        self.far_ends.clone().unwrap_or(bare)
    }

    fn held_bytes(&self) -> Option<fn() -> usize> {
        self.held
    }
}

/// A server that runs until this is dropped.
struct AServer {
    desk: Desk,
    spawn: Box<dyn Fn(Task)>,
    running: Option<Running>,
}

impl Controls for AServer {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.desk.command(session, command)
    }
}

impl Drop for AServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            (self.spawn)(Box::pin(running.shutdown(Duration::ZERO)));
        }
    }
}

/// A client that runs until this is dropped.
struct AClient {
    desk: Desk,
    handle: Handle,
}

impl Controls for AClient {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.desk.command(session, command)
    }
}

impl Drop for AClient {
    fn drop(&mut self) {
        self.handle.end(CloseCode::GOING_AWAY);
    }
}

/// A runtime whose tasks can be kept from running for a while.
#[derive(Debug, Clone, Default)]
struct Gated<N> {
    net: N,
    gate: Arc<Gate>,
}

/// Open most of the time. Who finds it closed waits as a task does: threads that run the tasks of
/// others too are not held up.
#[derive(Debug, Default)]
struct Gate {
    open: RwLock<()>,
    waiting: Mutex<Vec<Waker>>,
}

impl Gate {
    /// Held by a task while it runs.
    fn pass(&self, cx: &Context<'_>) -> Option<RwLockReadGuard<'_, ()>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match self.open.try_read() {
            Ok(passing) => Some(passing),
            Err(TryLockError::Poisoned(passing)) => Some(passing.into_inner()),
            Err(TryLockError::WouldBlock) => {
                waiting.push(cx.waker().clone());
                None
            }
        }
    }

    fn close_for(&self, time: Duration) {
        let closed = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // Nobody is woken by this: it only lasts so long.
        let nobody = mpsc::sync_channel::<()>(1);
        assert!(nobody.1.recv_timeout(time).is_err());
        drop(closed);
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// A task that passes the gate whenever it runs.
struct Passing {
    gate: Arc<Gate>,
    task: Task,
}

impl Future for Passing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let gate = Arc::clone(&self.gate);
        let Some(_open) = gate.pass(cx) else {
            return Poll::Pending;
        };
        self.task.as_mut().poll(cx)
    }
}

impl<N: Runtime> Runtime for Gated<N> {
    type Timer = N::Timer;

    fn now(&self) -> Instant {
        self.net.now()
    }

    fn timer(&self) -> N::Timer {
        self.net.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.net.spawn(Passing { gate: Arc::clone(&self.gate), task: Box::pin(task) });
    }
}

impl<N: Net> Net for Gated<N> {
    type Stream = N::Stream;
    type Listener = N::Listener;

    fn connect(
        &self,
        socket: socket2::Socket,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<N::Stream>> + Send {
        self.net.connect(socket, address)
    }

    fn connect_named(
        &self,
        socket: socket2::Socket,
        address: SocketAddr,
        name: &str,
    ) -> impl Future<Output = io::Result<N::Stream>> + Send {
        self.net.connect_named(socket, address, name)
    }

    fn listener(&self, listener: std::net::TcpListener) -> io::Result<N::Listener> {
        self.net.listener(listener)
    }

    fn accept(
        &self,
        listener: &N::Listener,
    ) -> impl Future<Output = io::Result<(N::Stream, SocketAddr)>> + Send {
        self.net.accept(listener)
    }

    fn socket(stream: &N::Stream) -> SockRef<'_> {
        N::socket(stream)
    }

    fn lookup(&self, name: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send {
        self.net.lookup(name)
    }
}
