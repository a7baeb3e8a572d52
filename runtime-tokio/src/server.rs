//! A server over TCP.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use outlast_core::Config;
use outlast_service::{
    Authenticator, Handler, Limits, ServerConfig, ServerHandle, SessionInfo, Tokens,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::client::invalid;
use crate::runtime::{Tcp, Tokio};
use crate::socket::SocketOptions;

/// Describes a server. See [`Server::builder`].
#[derive(Debug, Clone)]
pub struct ServerBuilder {
    config: ServerConfig,
    socket: SocketOptions,
}

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    options: ServerBuilder,
}

impl Server {
    /// Starts to describe a server.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder { config: ServerConfig::default(), socket: SocketOptions::default() }
    }

    /// The address it listens at, with the port that the system chose if none was given.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Makes a handler for each session with `factory` and serves, in tasks of the current tokio
    /// runtime, until [`Running::shutdown`].
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub fn start<H: Handler>(
        self,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<Running> {
        let Self { listener, options } = self;
        let ServerBuilder { config, socket } = options;
        let server = outlast_service::Server::new(Tokio, config, factory).map_err(invalid)?;
        let handle = server.handle();
        let local = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let house = tokio::spawn({
                let server = server.clone();
                async move { server.keep_house().await }
            });
            let stop = {
                let accepting = pin!(accept(&listener, &server, &socket));
                // Who drops its `Running` lets the server run on.
                let stopping = pin!(async {
                    match stopped.await {
                        Ok(stop) => stop,
                        Err(_) => std::future::pending().await,
                    }
                });
                tokio::select! {
                    () = accepting => Stop::Drain(Duration::ZERO),
                    stop = stopping => stop,
                }
            };
            drop(listener);
            match stop {
                Stop::Drain(grace) => server.drain(grace).await,
                Stop::Abort => server.abort(),
            }
            house.abort();
        });
        Ok(Running { handle, local, stop: Some(stop), task: Some(task) })
    }

    /// As [`start`](Self::start), and never returns unless it fails to. Dropping the future stops
    /// the server at once: nothing is accepted any more, every connection is closed
    /// ([`GOING_AWAY`](outlast_core::CloseCode::GOING_AWAY)), and the sessions are over on this
    /// side. [`Running::shutdown`] is the gentle end.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range.
    pub async fn serve<H: Handler>(
        self,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<()> {
        let mut running = self.start(factory)?;
        let _guard = AbortOnDrop(running.stop.take());
        running.finished().await;
        Ok(())
    }
}

impl ServerBuilder {
    /// Sets the limits and intervals of sessions; [`Config::SERVER`] otherwise.
    #[must_use]
    pub const fn config(mut self, config: Config) -> Self {
        self.config.session = config;
        self
    }

    /// Sets how many connections and sessions there may be, in total and of each source.
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets socket options.
    #[must_use]
    pub const fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Sets a token that clients must show, over any transport: without encryption everybody on
    /// the way can read it. [`authenticator`](Self::authenticator) has the other ways.
    #[must_use]
    pub fn token(self, token: impl AsRef<[u8]>) -> Self {
        self.authenticator(Tokens::new([(token.as_ref(), 0)]).allow_plaintext())
    }

    /// Sets what clients must show: [`Tokens`], [`SharedKeys`](crate::SharedKeys), or a method of
    /// one's own.
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.config.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// Sets whether sessions get another key each time they are resumed; they do otherwise.
    #[must_use]
    pub const fn rotate_keys(mut self, rotate: bool) -> Self {
        self.config.rotate_keys = rotate;
        self
    }

    /// Listens at `address`, such as `127.0.0.1:7411` or `[::]:0`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, the name has no address, or the operating system
    /// refuses.
    pub async fn bind(self, address: impl tokio::net::ToSocketAddrs) -> io::Result<Server> {
        self.config.session.validate().map_err(invalid)?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in tokio::net::lookup_host(address).await? {
            match self.socket.listen(address) {
                Ok(listener) => {
                    return Ok(Server { listener, options: self });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// How a server is to end.
#[derive(Debug)]
enum Stop {
    /// Announce it and give clients so long to leave.
    Drain(Duration),
    /// Close everything now.
    Abort,
}

/// Ends the server at once when it is dropped.
struct AbortOnDrop(Option<oneshot::Sender<Stop>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = self.0.take() {
            // A server that has ended by itself needs no telling.
            let _ = stop.send(Stop::Abort);
        }
    }
}

/// A server that runs. Dropping it leaves it running.
#[derive(Debug)]
#[must_use = "without it the server cannot be shut down; dropped, it leaves the server running"]
pub struct Running {
    handle: ServerHandle,
    local: SocketAddr,
    stop: Option<oneshot::Sender<Stop>>,
    /// None once it has ended.
    task: Option<tokio::task::JoinHandle<()>>,
}

impl Running {
    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// A handle to look at it and to send with.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Stops accepting, announces the end, gives clients `grace` to leave, and closes what is left.
    /// After that every session is over on this side, those without connection too.
    pub async fn shutdown(mut self, grace: Duration) {
        if let Some(stop) = self.stop.take() {
            // A server that has ended by itself needs no telling.
            let _ = stop.send(Stop::Drain(grace));
        }
        self.finished().await;
    }

    /// Waits for the end of the server. Dropping the future changes nothing: it can be one branch
    /// of a `select!`, with [`shutdown`](Self::shutdown) behind it.
    pub async fn finished(&mut self) {
        if let Some(task) = &mut self.task {
            // A panic of the accept loop was reported where it happened.
            let _ = task.await;
            self.task = None;
        }
    }
}

/// Shortest and longest pause after the system ran out of something.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts for ever: an error of one connection is its own, and one of the system passes.
async fn accept<H: Handler>(
    listener: &TcpListener,
    server: &outlast_service::Server<Tokio, H>,
    socket: &SocketOptions,
) {
    let mut pause = PAUSES.0;
    let mut reserve = Reserve::new();
    while server.ready().await {
        match listener.accept().await {
            Ok((stream, remote)) => {
                pause = PAUSES.0;
                reserve.renew();
                // A connection that is gone already will say so itself.
                let _ = socket.accepted(&stream, remote);
                server.spawn_connection(Tcp(stream), Some(canonical(remote)));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(_) => {
                // Out of descriptors or memory: the one kept in reserve lets the next in line hear
                // that it is refused; then it takes a while for others to become free.
                reserve.refuse_one(listener).await;
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// An IPv4 address, however it came.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A file descriptor kept for the moment when there are no others.
struct Reserve(Option<std::net::UdpSocket>);

impl Reserve {
    fn new() -> Self {
        let mut reserve = Self(None);
        reserve.renew();
        reserve
    }

    fn renew(&mut self) {
        if self.0.is_none() {
            self.0 = std::net::UdpSocket::bind("127.0.0.1:0").ok();
        }
    }

    /// Gives the descriptor to the next connection in line, and drops that.
    async fn refuse_one(&mut self, listener: &TcpListener) {
        if self.0.take().is_some() {
            let next = listener.accept();
            if let Ok(Ok((stream, _))) = tokio::time::timeout(PAUSES.0, next).await {
                drop::<TcpStream>(stream);
            }
            self.renew();
        }
    }
}
