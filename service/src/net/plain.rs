//! Clients and servers over TCP that speak another system's format.

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use outlast_core::client::DialerConfig;
use outlast_formats::Format;

use super::client::{Dial, need_address, seed};
use super::server::{Host, Port, Running, listen, run};
use super::{Layer, Net, SocketOptions, invalid};
use crate::groups::Groups;
use crate::limits::Limits;
use crate::plain::{
    PlainClientConfig, PlainConfig, PlainHandle, PlainHandler, PlainInfo, PlainRunner, PlainServer,
    PlainServerHandle,
};
use crate::security::SecurityLog;
use crate::state::{LinkState, Watcher};

/// Describes a server whose listener speaks one format.
///
/// [`Server::format`](super::ServerBuilder::format) begins it, so that limits and socket options
/// that were set for sessions hold here as well.
#[derive(Debug, Clone)]
pub struct PlainServerBuilder<N, F> {
    net: N,
    format: F,
    config: PlainConfig,
    limits: Limits,
    security: Option<SecurityLog>,
    socket: SocketOptions,
    groups: Groups,
    statistics: bool,
}

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct PlainListener<N: Net, F> {
    listener: N::Listener,
    local: SocketAddr,
    options: PlainServerBuilder<N, F>,
}

impl<N: Net, F: Format + Clone + Sync> PlainServerBuilder<N, F> {
    pub(super) fn new(
        net: N,
        format: F,
        limits: Limits,
        security: Option<SecurityLog>,
        socket: SocketOptions,
        groups: Groups,
    ) -> Self {
        let (config, statistics) = (PlainConfig::default(), true);
        Self { net, format, config, limits, security, socket, groups, statistics }
    }

    /// Sets whether the times that handlers take are counted; they are otherwise.
    #[must_use]
    pub const fn statistics(mut self, count: bool) -> Self {
        self.statistics = count;
        self
    }

    /// Sets the groups that connections may join: those of another server, to have them in common,
    /// or ones with other limits. It has its own otherwise.
    #[must_use]
    pub fn groups(mut self, groups: Groups) -> Self {
        self.groups = groups;
        self
    }

    /// Sets the limits and deadlines of connections.
    #[must_use]
    pub const fn config(mut self, config: PlainConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets how many connections there may be, and from where.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets where it is told who was kept out and who broke the format; nowhere otherwise.
    #[must_use]
    pub fn security_log(mut self, log: SecurityLog) -> Self {
        self.security = Some(log);
        self
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Listens at `address`, such as `127.0.0.1:7411` or `[::]:0`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, the name has no address, or the operating system
    /// refuses.
    pub async fn bind(self, address: impl ToString) -> io::Result<PlainListener<N, F>> {
        self.config.validate().map_err(invalid)?;
        let (listener, local) = listen(&self.net, &self.socket, &address.to_string()).await?;
        Ok(PlainListener { listener, local, options: self })
    }
}

impl<N: Net, F: Format + Clone + Sync> PlainListener<N, F> {
    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Makes a handler for each connection with `factory` and serves, in tasks of the runtime,
    /// until [`Running::shutdown`].
    ///
    /// # Errors
    ///
    /// If the limits are out of range.
    pub fn start<H: PlainHandler>(
        self,
        factory: impl Fn(&PlainInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<Running<PlainServerHandle>> {
        let Self { listener, local, options } = self;
        let PlainServerBuilder { net, format, config, limits, security, .. } = options;
        let PlainServerBuilder { socket, groups, statistics, .. } = options;
        let runtime = net.clone();
        let server = PlainServer::with_groups(groups, runtime, config, limits, format, factory);
        let mut server = server.map_err(invalid)?.statistics(statistics);
        if let Some(log) = security {
            server = server.security_log(log);
        }
        let handle = server.handle();
        let port = Port { net: net.clone(), listener, local, socket };
        Ok(Running { handle, local, switch: run(&net, vec![port], server) })
    }
}

impl<N: Net, H: PlainHandler> Host<N::Stream> for PlainServer<N, H> {
    fn ready(&self) -> impl Future<Output = bool> + Send {
        self.ready()
    }

    fn spawn_connection(&self, io: N::Stream, local: SocketAddr, remote: SocketAddr) {
        self.spawn_connection(io, Some(local), Some(remote));
    }

    fn keep_house(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    fn drain(&self, grace: Duration) -> impl Future<Output = ()> + Send {
        self.drain(grace)
    }

    async fn hand_over(&self, grace: Duration) -> io::Result<usize> {
        // Without sessions there is nothing to store.
        self.drain(grace).await;
        Ok(0)
    }

    fn abort(&self) {
        self.abort();
    }
}

/// A client of another system's server.
#[derive(Debug)]
pub struct PlainClient<N>(PhantomData<N>);

impl<N: Net> PlainClient<N> {
    /// Starts to describe a client that speaks `format`.
    #[must_use]
    pub fn builder<F: Format + Clone>(format: F) -> PlainClientBuilder<N, F>
    where
        N: Default,
    {
        Self::on(N::default(), format)
    }

    /// As [`builder`](Self::builder), on this runtime.
    #[must_use]
    pub fn on<F: Format + Clone>(net: N, format: F) -> PlainClientBuilder<N, F> {
        let (config, socket) = (PlainClientConfig::default(), SocketOptions::default());
        PlainClientBuilder { net, format, addresses: Vec::new(), config, socket }
    }
}

/// Describes a client. See [`PlainClient::builder`].
#[derive(Debug, Clone)]
pub struct PlainClientBuilder<N, F> {
    net: N,
    format: F,
    addresses: Vec<String>,
    config: PlainClientConfig,
    socket: SocketOptions,
}

impl<N: Net, F: Format + Clone> PlainClientBuilder<N, F> {
    /// Adds a server's address, `host:port`. The first is tried first.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.addresses.push(address.into());
        self
    }

    /// Sets the limits and deadlines of connections.
    #[must_use]
    pub const fn config(mut self, config: PlainConfig) -> Self {
        self.config.connection = config;
        self
    }

    /// Sets when to dial again and when to give up.
    #[must_use]
    pub const fn reconnect(mut self, policy: DialerConfig) -> Self {
        self.config.dialer = policy;
        self
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.socket = options;
        self
    }

    /// Calls `told` with each state when it begins, in the client's task: it must not block.
    #[must_use]
    pub fn on_state(mut self, told: impl Fn(LinkState) + Send + Sync + 'static) -> Self {
        self.config.watcher = Some(Watcher::new(told));
        self
    }

    /// Puts a layer between the sockets and the format, such as TLS.
    #[must_use]
    pub fn layer<L: Layer<N>>(self, layer: L) -> PlainClientBuilder<L::Net, F> {
        let Self { net, format, addresses, config, socket } = self;
        PlainClientBuilder { net: layer.over(net), format, addresses, config, socket }
    }

    /// Makes the client. Nothing happens before the [`PlainRunner`] is spawned or awaited.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range or no address was given.
    pub fn connect<H: PlainHandler>(
        mut self,
        handler: H,
    ) -> io::Result<(PlainHandle, PlainRunner)> {
        need_address(&self.addresses)?;
        self.config.dialer.addresses = u32::try_from(self.addresses.len()).unwrap_or(u32::MAX);
        self.config.seed = seed(self.config.seed)?;
        let (net, socket) = (self.net, self.socket);
        let connector = Dial { net: net.clone(), addresses: self.addresses, socket };
        PlainRunner::new(net, self.config, connector, self.format, handler).map_err(invalid)
    }
}
