//! A client of another system's server, in a thread of its own.

use std::io;

use outlast_core::client::DialerConfig;
use outlast_service::net::{Layer, Net, SocketOptions};
use outlast_service::plain::formats::Format;
use outlast_service::plain::{PlainConfig, PlainHandler};
use outlast_service::{LinkState, net};

use super::PlainHandle;
use crate::client::run;
use crate::runtime::Std;

/// A client of another system's server: connections one after the other, and no session over them.
#[derive(Debug)]
pub struct PlainClient;

impl PlainClient {
    /// Starts to describe a client that speaks `format`.
    #[must_use]
    pub fn builder<F: Format + Clone>(format: F) -> PlainClientBuilder<F> {
        Self::on(Std::new(), format)
    }

    /// As [`builder`](Self::builder), with the stack size of these threads.
    #[must_use]
    pub fn on<F: Format + Clone>(threads: Std, format: F) -> PlainClientBuilder<F> {
        PlainClientBuilder { inner: net::PlainClient::on(threads, format), threads }
    }
}

/// Describes a client. See [`PlainClient::builder`].
#[derive(Debug, Clone)]
pub struct PlainClientBuilder<F, N = Std> {
    inner: net::PlainClientBuilder<N, F>,
    threads: Std,
}

impl<F: Format + Clone, N: Net> PlainClientBuilder<F, N> {
    fn with(
        self,
        set: impl FnOnce(net::PlainClientBuilder<N, F>) -> net::PlainClientBuilder<N, F>,
    ) -> Self {
        Self { inner: set(self.inner), threads: self.threads }
    }

    /// Puts a layer between the sockets and the format, such as TLS.
    #[must_use]
    pub fn layer<L: Layer<N>>(self, layer: L) -> PlainClientBuilder<F, L::Net> {
        PlainClientBuilder { inner: self.inner.layer(layer), threads: self.threads }
    }

    /// Adds a server's address, `host:port`. The first is tried first. A name is looked up by the
    /// client's thread before each attempt, and nothing ends that but the system.
    #[must_use]
    pub fn address(self, address: impl Into<String>) -> Self {
        self.with(|inner| inner.address(address))
    }

    /// Sets the limits and deadlines of connections.
    #[must_use]
    pub fn config(self, config: PlainConfig) -> Self {
        self.with(|inner| inner.config(config))
    }

    /// Sets when to dial again and when to give up.
    #[must_use]
    pub fn reconnect(self, policy: DialerConfig) -> Self {
        self.with(|inner| inner.reconnect(policy))
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(self, options: SocketOptions) -> Self {
        self.with(|inner| inner.socket(options))
    }

    /// Calls `told` with each state when it begins, in the client's thread: it must not block.
    /// [`PlainHandle::states`] is for those who look from elsewhere, and when they like.
    #[must_use]
    pub fn on_state(self, told: impl Fn(LinkState) + Send + Sync + 'static) -> Self {
        self.with(|inner| inner.on_state(told))
    }

    /// Starts the client in a thread of its own, where the handler is called. Nothing can be sent
    /// before there is a connection: [`PlainHandle::connected`] waits for it.
    ///
    /// The thread ends with [`PlainHandle::finish`] and [`PlainHandle::close`], or when the client
    /// gives up. Dropping the handle changes nothing.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, no address was given, or the system has no thread.
    pub fn connect(self, handler: impl PlainHandler) -> io::Result<PlainHandle> {
        let (handle, runner) = self.inner.connect(handler)?;
        run(self.threads, runner)?;
        Ok(handle.into())
    }
}
