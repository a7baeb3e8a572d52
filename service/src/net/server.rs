//! A server over TCP.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use outlast_core::Config;
#[cfg(feature = "formats")]
use outlast_formats::Format;

use super::lasting::Lasting;
use super::stop::{Stop, Switch};
use super::{Layer, Net, SocketOptions, addresses, invalid, no_address};
use crate::auth::{Authenticator, Tokens};
use crate::figures::SessionInfo;
use crate::groups::Groups;
use crate::handler::Handler;
use crate::limits::{Limits, ServerConfig};
use crate::outgoing::Outgoing;
use crate::overview::ServerHandle;
use crate::security::SecurityLog;
use crate::server::Server as Sessions;
use crate::snapshots::Snapshots;
use crate::transport::sleep_until;

/// Describes a server. See [`Server::builder`].
#[derive(Debug, Clone)]
pub struct ServerBuilder<N> {
    net: N,
    config: ServerConfig,
    snapshots: Option<Snapshots>,
    socket: SocketOptions,
}

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct Server<N: Net> {
    listener: N::Listener,
    local: SocketAddr,
    options: ServerBuilder<N>,
    more: Vec<Port<N>>,
}

/// A listener, and how connections are made of what it accepts.
#[derive(Debug)]
pub(super) struct Port<N: Net> {
    pub(super) net: N,
    pub(super) listener: N::Listener,
    pub(super) local: SocketAddr,
    pub(super) socket: SocketOptions,
}

impl<N: Net> Server<N> {
    /// Starts to describe a server.
    #[must_use]
    pub fn builder() -> ServerBuilder<N>
    where
        N: Default,
    {
        Self::on(N::default())
    }

    /// As [`builder`](Self::builder), on this runtime.
    #[must_use]
    pub fn on(net: N) -> ServerBuilder<N> {
        let (config, socket) = (ServerConfig::default(), SocketOptions::default());
        ServerBuilder { net, config, snapshots: None, socket }
    }

    /// The address it listens at, with the port that the system chose if none was given.
    ///
    /// # Errors
    ///
    /// None: what the system may refuse was refused by [`ServerBuilder::bind`].
    pub const fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// Listens where `other` does, too. It is one server: a session may come back to either, and
    /// limits count for both together. Of `other` only the layers and socket options remain.
    #[must_use]
    pub fn also(mut self, other: Self) -> Self {
        let Self { listener, local, options, more } = other;
        let ServerBuilder { net, socket, .. } = options;
        self.more.push(Port { net, listener, local, socket });
        self.more.extend(more);
        self
    }

    /// Makes a handler for each session with `factory` and serves, in tasks of the runtime,
    /// until [`Running::shutdown`].
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, or [snapshots](ServerBuilder::snapshots) of an earlier
    /// server are there and cannot be read, or cannot be stored again as what they are from now on:
    /// old.
    pub fn start<H: Handler>(
        self,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<Running> {
        let Self { listener, local, options, more } = self;
        let ServerBuilder { net, config, snapshots, socket } = options;
        let spread = config.spread;
        let server = Sessions::new(net.clone(), config, factory).map_err(invalid)?;
        let (handle, runtime) = (server.handle(), net.clone());
        let server = Lasting::new(server, net.clone(), snapshots, spread);
        server.load()?;
        let mut ports = vec![Port { net, listener, local, socket }];
        ports.extend(more);
        Ok(Running { handle, local, switch: run(&runtime, ports, server) })
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
        let _guard = AbortOnDrop(running.switch.clone());
        running.finished().await;
        Ok(())
    }
}

impl<N: Net> ServerBuilder<N> {
    /// Sets the limits and intervals of sessions; [`Config::SERVER`] otherwise.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config.session = config;
        self
    }

    /// Sets how many connections and sessions there may be, in total and of each source.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Sets how much may wait to be sent to each session, and how; [`Outgoing`] has the defaults.
    #[must_use]
    pub fn outgoing(mut self, outgoing: Outgoing) -> Self {
        self.config.outgoing = outgoing;
        self
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
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
    pub fn rotate_keys(mut self, rotate: bool) -> Self {
        self.config.rotate_keys = rotate;
        self
    }

    /// Sets where it is told who was kept out and who broke rules; nowhere otherwise.
    #[must_use]
    pub fn security_log(mut self, log: SecurityLog) -> Self {
        self.config.security = Some(log);
        self
    }

    /// Stores the sessions, and goes on with those that are stored: the server resumes what an
    /// earlier one had. Nothing is stored otherwise.
    #[must_use]
    pub fn snapshots(mut self, snapshots: Snapshots) -> Self {
        self.snapshots = Some(snapshots);
        self
    }

    /// Sets over how long clients leave when the server ends, each at a time of its own:
    /// [`ServerConfig::spread`]. At most the grace counts of a [`Running::shutdown`].
    #[must_use]
    pub fn spread(mut self, spread: Duration) -> Self {
        self.config.spread = Some(spread);
        self
    }

    /// Sets whether messages, bytes and times are counted for
    /// [`Statistics`](crate::Statistics); they are otherwise.
    #[must_use]
    pub fn statistics(mut self, count: bool) -> Self {
        self.config.statistics = count;
        self
    }

    /// Sets the groups that sessions, or connections without, may join: those of another server, to
    /// have them in common, or ones with other limits. It has its own otherwise.
    #[must_use]
    pub fn groups(mut self, groups: Groups) -> Self {
        self.config.groups = Some(groups);
        self
    }

    /// Makes it a server whose connections speak another system's format, without sessions. What
    /// was said of sessions and of who may open one has no effect then.
    #[cfg(feature = "formats")]
    #[must_use]
    pub fn format<F: Format + Clone + Sync>(self, format: F) -> super::PlainServerBuilder<N, F> {
        let Self { net, config, socket, .. } = self;
        let groups = config.groups.unwrap_or_default();
        let (limits, security) = (config.limits, config.security);
        super::PlainServerBuilder::new(net, format, limits, security, socket, groups)
            .statistics(config.statistics)
    }

    /// Puts a layer between the sockets and the sessions, such as TLS.
    #[must_use]
    pub fn layer<L: Layer<N>>(self, layer: L) -> ServerBuilder<L::Net> {
        let Self { net, config, snapshots, socket } = self;
        ServerBuilder { net: layer.over(net), config, snapshots, socket }
    }

    /// Listens at `address`, such as `127.0.0.1:7411` or `[::]:0`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, the name has no address, or the operating system
    /// refuses.
    pub async fn bind(self, address: impl ToString) -> io::Result<Server<N>> {
        self.config.session.validate().map_err(invalid)?;
        let (listener, local) = listen(&self.net, &self.socket, &address.to_string()).await?;
        Ok(Server { listener, local, options: self, more: Vec::new() })
    }
}

/// Listens at the first address of this name that can be listened at.
pub(super) async fn listen<N: Net>(
    net: &N,
    socket: &SocketOptions,
    name: &str,
) -> io::Result<(N::Listener, SocketAddr)> {
    let mut last = no_address();
    for address in addresses(net, name).await? {
        let listening = socket.listen(address).and_then(|listener| {
            let local = listener.local_addr()?;
            Ok((net.listener(listener)?, local))
        });
        match listening {
            Ok(listening) => return Ok(listening),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// What takes accepted connections: a server of sessions, or one of connections without.
pub(super) trait Host<T>: Send + Sync + 'static {
    /// Waits until another connection should be accepted; false once none should any more.
    fn ready(&self) -> impl Future<Output = bool> + Send;

    /// Serves a connection in a task of its own, or turns it away.
    fn spawn_connection(&self, io: T, local: SocketAddr, remote: SocketAddr);

    /// Sees to what has no connection, until the server has drained.
    fn keep_house(&self) -> impl Future<Output = ()> + Send;

    /// Announces the end, and closes what is left after `grace`.
    fn drain(&self, grace: Duration) -> impl Future<Output = ()> + Send;

    /// Closes all connections and stores the sessions; how many there were.
    fn hand_over(&self, grace: Duration) -> impl Future<Output = io::Result<usize>> + Send;

    /// Ends at once.
    fn abort(&self);
}

/// Serves in tasks of the runtime until the switch says otherwise.
pub(super) fn run<N: Net>(
    runtime: &N,
    ports: Vec<Port<N>>,
    server: impl Host<N::Stream>,
) -> Switch {
    let switch = Switch::default();
    let (ordered, over) = (switch.clone(), switch.over_when_dropped());
    runtime.spawn(async move {
        let _over = over;
        let mut house = pin!(async {
            server.keep_house().await;
            pending().await
        });
        let accepting = async {
            all(ports.iter().map(|port| accept(port, &server)).collect()).await;
            Stop::Drain(Duration::ZERO)
        };
        let stop = beside(house.as_mut(), either(ordered.ordered(), accepting)).await;
        drop(ports);
        match stop {
            Stop::Drain(grace) => beside(house, server.drain(grace)).await,
            Stop::HandOver(grace) => {
                ordered.tell(beside(house, server.hand_over(grace)).await);
            }
            Stop::Abort => server.abort(),
        }
    });
    switch
}

/// The result of whichever is ready first; the first of both if both are.
async fn either<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => second.as_mut().poll(cx),
    })
    .await
}

/// Waits for all of them.
async fn all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut waiting: Vec<Pin<Box<F>>> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|cx| {
        waiting.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The result of `main`; what never ends goes on beside it.
pub(super) async fn beside<T>(
    mut endless: Pin<&mut impl Future<Output = Infallible>>,
    main: impl Future<Output = T>,
) -> T {
    let mut main = pin!(main);
    poll_fn(|cx| match main.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done),
        Poll::Pending => match endless.as_mut().poll(cx) {
            Poll::Ready(never) => match never {},
            Poll::Pending => Poll::Pending,
        },
    })
    .await
}

/// Ends the server at once when it is dropped.
struct AbortOnDrop(Switch);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.order(Stop::Abort);
    }
}

/// A server that runs. Dropping it leaves it running.
#[derive(Debug)]
#[must_use = "without it the server cannot be shut down; dropped, it leaves the server running"]
pub struct Running<S = ServerHandle> {
    pub(super) handle: S,
    pub(super) local: SocketAddr,
    pub(super) switch: Switch,
}

impl<S: Clone> Running<S> {
    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// A handle to look at it and to send with.
    #[must_use]
    pub fn handle(&self) -> S {
        self.handle.clone()
    }

    /// Stops accepting, announces the end, gives clients `grace` to leave, and closes what is left.
    /// After that every session is over on this side, those without connection too.
    pub async fn shutdown(mut self, grace: Duration) {
        self.switch.order(Stop::Drain(grace));
        self.finished().await;
    }

    /// Ends as [`shutdown`](Self::shutdown) does, but its sessions go on: they are
    /// [stored](ServerBuilder::snapshots), and the server that finds them there resumes them. Says
    /// how many they are.
    ///
    /// Every connection is closed at once, and its client told to come again within a second, or
    /// what [`ServerBuilder::spread`] says. One that does not let itself be closed is given up
    /// after `grace`; its session is stored all the same. Where nothing was said of snapshots this
    /// is [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    ///
    /// They could not be stored. The server has ended; its clients are told that their sessions
    /// are lost, or resume those that were stored before.
    pub async fn hand_over(mut self, grace: Duration) -> io::Result<usize> {
        self.switch.order(Stop::HandOver(grace));
        self.finished().await;
        self.switch.told().unwrap_or(Ok(0))
    }

    /// Waits for the end of the server. Dropping the future changes nothing: it can be one branch
    /// of a `select!`, with [`shutdown`](Self::shutdown) behind it.
    pub async fn finished(&mut self) {
        self.switch.over().await;
    }
}

/// Shortest and longest pause after the system ran out of something.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Accepts for ever: an error of one connection is its own, and one of the system passes.
async fn accept<N: Net>(port: &Port<N>, server: &impl Host<N::Stream>) {
    let Port { net, listener, local, socket } = port;
    let mut pause = PAUSES.0;
    let mut reserve = Reserve::new();
    while server.ready().await {
        match net.accept(listener).await {
            Ok((stream, remote)) => {
                pause = PAUSES.0;
                reserve.renew();
                // A connection that is gone already will say so itself.
                let _ = socket.accepted(&N::socket(&stream), remote);
                let local = own_address::<N>(&stream, *local);
                server.spawn_connection(stream, local, canonical(remote));
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(_) => {
                // Out of descriptors or memory: the one kept in reserve lets the next in line hear
                // that it is refused; then it takes a while for others to become free.
                reserve.refuse_one(net, listener).await;
                sleep_until(net, net.now() + pause).await;
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

/// The address that a connection came to, of a listener at `local`, which may be all there are.
fn own_address<N: Net>(stream: &N::Stream, local: SocketAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    let own = N::socket(stream).local_addr().ok().and_then(|address| address.as_socket());
    own.map_or(local, canonical)
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
    async fn refuse_one<N: Net>(&mut self, net: &N, listener: &N::Listener) {
        if self.0.take().is_some() {
            let next = async { drop(net.accept(listener).await) };
            let limit = sleep_until(net, net.now() + PAUSES.0);
            either(next, limit).await;
            self.renew();
        }
    }
}
