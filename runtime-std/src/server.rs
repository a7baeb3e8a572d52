//! A server whose connections have a thread each.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use outlast_core::Config;
use outlast_service::net::{Layer, Net, SocketOptions};
use outlast_service::{
    Authenticator, Groups, Handler, Limits, Outgoing, SecurityLog, ServerHandle, SessionInfo,
    Snapshots, net,
};

#[cfg(feature = "formats")]
use outlast_service::plain::formats::Format;

#[cfg(feature = "formats")]
use crate::plain::PlainServerBuilder;
use crate::runtime::Std;
use crate::thread::{block_on, block_on_timeout, refused};

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct Server<N: Net = Std> {
    inner: net::Server<N>,
}

impl Server {
    /// Starts to describe a server.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        Self::on(Std::new())
    }

    /// As [`builder`](Self::builder), with the stack size of these threads.
    #[must_use]
    pub fn on(threads: Std) -> ServerBuilder {
        ServerBuilder { inner: net::Server::on(threads) }
    }
}

impl<N: Net> Server<N> {
    /// The address it listens at, with the port that the system chose if none was given.
    ///
    /// # Errors
    ///
    /// None: what the system may refuse was refused by [`ServerBuilder::bind`].
    pub const fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Makes a handler for each session with `factory` and serves until [`Running::shutdown`]: one
    /// thread accepts and keeps house, and each connection has one of its own, where its session's
    /// handler is called.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, or the system has no thread.
    pub fn start<H: Handler>(
        self,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<Running> {
        start(|| self.inner.start(factory))
    }

    /// As [`start`](Self::start), and returns only if it fails to.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn serve<H: Handler>(
        self,
        factory: impl Fn(&SessionInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<()> {
        self.start(factory)?.finished();
        Ok(())
    }
}

/// Starts a server in a thread of its own.
pub(crate) fn start<S>(
    begin: impl FnOnce() -> io::Result<net::Running<S>>,
) -> io::Result<Running<S>> {
    // Not behind the task that may be running here: its handler may wait for the server.
    let inner = block_on(async {
        drop(refused());
        begin()
    })?;
    match refused() {
        Some(error) => Err(error),
        None => Ok(Running { inner }),
    }
}

/// Describes a server. See [`Server::builder`].
#[derive(Debug, Clone)]
pub struct ServerBuilder<N = Std> {
    inner: net::ServerBuilder<N>,
}

impl<N: Net> ServerBuilder<N> {
    /// Puts a layer between the sockets and the sessions, such as TLS.
    #[must_use]
    pub fn layer<L: Layer<N>>(self, layer: L) -> ServerBuilder<L::Net> {
        ServerBuilder { inner: self.inner.layer(layer) }
    }

    /// Sets the limits and intervals of sessions; [`Config::SERVER`] otherwise.
    #[must_use]
    pub fn config(self, config: Config) -> Self {
        Self { inner: self.inner.config(config) }
    }

    /// Sets how many connections and sessions there may be, in total and of each source. There are
    /// as many threads as connections, and one.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { inner: self.inner.limits(limits) }
    }

    /// Sets how much may wait to be sent to each session, and how; [`Outgoing`] has the defaults.
    #[must_use]
    pub fn outgoing(self, outgoing: Outgoing) -> Self {
        Self { inner: self.inner.outgoing(outgoing) }
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(self, options: SocketOptions) -> Self {
        Self { inner: self.inner.socket(options) }
    }

    /// Sets a token that clients must show, over any transport: without encryption everybody on
    /// the way can read it. [`authenticator`](Self::authenticator) has the other ways.
    #[must_use]
    pub fn token(self, token: impl AsRef<[u8]>) -> Self {
        Self { inner: self.inner.token(token) }
    }

    /// Sets what clients must show: [`Tokens`](crate::Tokens), [`SharedKeys`](crate::SharedKeys),
    /// or a method of one's own.
    #[must_use]
    pub fn authenticator(self, authenticator: impl Authenticator) -> Self {
        Self { inner: self.inner.authenticator(authenticator) }
    }

    /// Sets whether sessions get another key each time they are resumed; they do otherwise.
    #[must_use]
    pub fn rotate_keys(self, rotate: bool) -> Self {
        Self { inner: self.inner.rotate_keys(rotate) }
    }

    /// Sets where it is told who was kept out and who broke rules; nowhere otherwise.
    #[must_use]
    pub fn security_log(self, log: SecurityLog) -> Self {
        Self { inner: self.inner.security_log(log) }
    }

    /// Stores the sessions, and goes on with those that are stored: the server resumes what an
    /// earlier one had. Nothing is stored otherwise.
    #[must_use]
    pub fn snapshots(self, snapshots: Snapshots) -> Self {
        Self { inner: self.inner.snapshots(snapshots) }
    }

    /// Sets the groups that sessions, or connections without, may join: those of another server, to
    /// have them in common, or ones with other limits. It has its own otherwise.
    #[must_use]
    pub fn groups(self, groups: Groups) -> Self {
        Self { inner: self.inner.groups(groups) }
    }

    /// Makes it a server whose connections speak another system's format, without sessions. What
    /// was said of sessions and of who may open one has no effect then.
    #[cfg(feature = "formats")]
    #[must_use]
    pub fn format<F: Format + Clone + Sync>(self, format: F) -> PlainServerBuilder<F, N> {
        PlainServerBuilder::new(self.inner.format(format))
    }

    /// Listens at `address`, such as `127.0.0.1:7411` or `[::]:0`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, the name has no address, or the operating system
    /// refuses.
    pub fn bind(self, address: impl ToString) -> io::Result<Server<N>> {
        let inner = block_on(self.inner.bind(address))?;
        Ok(Server { inner })
    }
}

/// A server that runs. Dropping it leaves it running.
#[derive(Debug)]
#[must_use = "without it the server cannot be shut down; dropped, it leaves the server running"]
pub struct Running<S = ServerHandle> {
    inner: net::Running<S>,
}

impl<S: Clone> Running<S> {
    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// A handle to look at it and to send with. What it gives for one session becomes a
    /// [`Handle`](crate::Handle) by [`From`]; what it gives for one connection without a session
    /// becomes a `PlainHandle` of this crate's.
    #[must_use]
    pub fn handle(&self) -> S {
        self.inner.handle()
    }

    /// Stops accepting, announces the end, gives clients `grace` to leave, and closes what is left.
    /// After that every session is over on this side, those without connection too.
    pub fn shutdown(self, grace: Duration) {
        block_on(self.inner.shutdown(grace));
    }

    /// Ends as [`shutdown`](Self::shutdown) does, but its sessions go on: they are
    /// [stored](ServerBuilder::snapshots), and the server that finds them there resumes them. Says
    /// how many they are. See [`net::Running::hand_over`].
    ///
    /// # Errors
    ///
    /// They could not be stored.
    pub fn hand_over(self, grace: Duration) -> io::Result<usize> {
        block_on(self.inner.hand_over(grace))
    }

    /// Waits for the end of the server.
    pub fn finished(&mut self) {
        block_on(self.inner.finished());
    }

    /// As [`finished`](Self::finished), for at most `limit`; whether it has ended by then.
    #[must_use]
    pub fn finished_timeout(&mut self, limit: Duration) -> bool {
        block_on_timeout(self.inner.finished(), limit).is_some()
    }
}
