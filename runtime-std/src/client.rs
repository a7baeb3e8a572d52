//! A client in a thread of its own.

use std::io;

use outlast_core::Config;
use outlast_core::client::DialerConfig;
use outlast_service::net::{Layer, Net, SocketOptions};
use outlast_service::{Credentials, Handler, LinkState, Outgoing, net};

use crate::handle::Handle;
use crate::pool::{Pool, PoolConfig};
use crate::runtime::Std;
use crate::thread::block_on;

/// A client: one session with a server, over as many connections as it takes.
#[derive(Debug)]
pub struct Client;

impl Client {
    /// Starts to describe a client.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        Self::on(Std::new())
    }

    /// As [`builder`](Self::builder), with the stack size of these threads.
    #[must_use]
    pub fn on(threads: Std) -> ClientBuilder {
        ClientBuilder { inner: net::Client::on(threads), threads }
    }
}

/// Describes a client. See [`Client::builder`].
#[derive(Debug, Clone)]
pub struct ClientBuilder<N = Std> {
    inner: net::ClientBuilder<N>,
    threads: Std,
}

impl<N: Net> ClientBuilder<N> {
    fn with(self, set: impl FnOnce(net::ClientBuilder<N>) -> net::ClientBuilder<N>) -> Self {
        Self { inner: set(self.inner), threads: self.threads }
    }

    /// Puts a layer between the sockets and the session, such as TLS.
    #[must_use]
    pub fn layer<L: Layer<N>>(self, layer: L) -> ClientBuilder<L::Net> {
        ClientBuilder { inner: self.inner.layer(layer), threads: self.threads }
    }

    /// Adds a server's address, `host:port`. The first is tried first.
    ///
    /// A name is looked up by the client's thread before each attempt, and nothing ends that but
    /// the system: until it has answered, the client is not ended.
    #[must_use]
    pub fn address(self, address: impl Into<String>) -> Self {
        self.with(|inner| inner.address(address))
    }

    /// Sets the session's limits and intervals; [`Config::CLIENT`] otherwise.
    #[must_use]
    pub fn config(self, config: Config) -> Self {
        self.with(|inner| inner.config(config))
    }

    /// Sets when to dial again and when to give up.
    #[must_use]
    pub fn reconnect(self, policy: DialerConfig) -> Self {
        self.with(|inner| inner.reconnect(policy))
    }

    /// Sets the token that the server wants to see, over any transport: without encryption
    /// everybody on the way can read it. [`credentials`](Self::credentials) has the other ways.
    #[must_use]
    pub fn token(self, token: impl Into<Vec<u8>>) -> Self {
        self.with(|inner| inner.token(token))
    }

    /// Sets what is shown to the server: a [`Token`](crate::Token), a
    /// [`KeyedClient`](crate::KeyedClient), or a method of one's own.
    #[must_use]
    pub fn credentials(self, credentials: impl Credentials) -> Self {
        self.with(|inner| inner.credentials(credentials))
    }

    /// Sets how much may wait to be sent, and how; [`Outgoing`] has the defaults.
    #[must_use]
    pub fn outgoing(self, outgoing: Outgoing) -> Self {
        self.with(|inner| inner.outgoing(outgoing))
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(self, options: SocketOptions) -> Self {
        self.with(|inner| inner.socket(options))
    }

    /// Calls `told` with each state when it begins, in the client's thread: it must not block.
    /// [`Handle::states`] is for those who look from elsewhere, and when they like.
    #[must_use]
    pub fn on_state(self, told: impl Fn(LinkState) + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.on_state(told))
    }

    /// Starts the client in a thread of its own, where the handler is called. The handle may be
    /// used at once, and its sends wait for the session.
    ///
    /// The thread ends with the session: when both ends have finished, by [`Handle::end`], or when
    /// the client gives up. Dropping the handle changes nothing.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, no address was given, or the system has no thread.
    pub fn connect(self, handler: impl Handler) -> io::Result<Handle> {
        let (handle, runner) = self.inner.connect(handler)?;
        run(self.threads, runner)?;
        Ok(handle.into())
    }

    /// Makes a pool of such clients, each in a thread of its own; `handlers` is told the place of
    /// each in the pool.
    ///
    /// # Errors
    ///
    /// If a configuration is out of range or no address was given.
    pub fn pool<H: Handler>(
        self,
        config: PoolConfig,
        handlers: impl Fn(usize) -> H + Send + Sync + 'static,
    ) -> io::Result<Pool> {
        // Not in the thread of a task that may be running here, which would have to end first.
        block_on(async { self.inner.pool(config, handlers) }).map(Pool::from)
    }
}

/// Runs a client's task in a thread of its own.
pub(crate) fn run<T>(
    threads: Std,
    runner: impl Future<Output = T> + Send + 'static,
) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("outlast-client".into());
    let thread = thread.stack_size(threads.stack_size);
    // How it ended is told to the handler and to those who hold a handle.
    let run = move || {
        let _ = block_on(runner);
    };
    thread.spawn(run).map(drop)
}
