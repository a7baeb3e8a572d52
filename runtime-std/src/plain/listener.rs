//! A server of another system's clients whose connections have a thread each.

use std::io;
use std::net::SocketAddr;

use outlast_service::Limits;
use outlast_service::net::{self, Net, SocketOptions};
use outlast_service::plain::formats::Format;
use outlast_service::plain::{PlainConfig, PlainHandler, PlainInfo, PlainServerHandle};

use crate::runtime::Std;
use crate::server::{Running, start};
use crate::thread::block_on;

/// Describes a server whose listener speaks one format.
///
/// [`ServerBuilder::format`](crate::ServerBuilder::format) begins it, so that limits, socket
/// options and layers that were set for sessions hold here as well.
#[derive(Debug, Clone)]
pub struct PlainServerBuilder<F, N = Std> {
    inner: net::PlainServerBuilder<N, F>,
}

/// A server that listens and does not accept yet.
#[derive(Debug)]
pub struct PlainListener<F, N: Net = Std> {
    inner: net::PlainListener<N, F>,
}

impl<F: Format + Clone + Sync, N: Net> PlainServerBuilder<F, N> {
    pub(crate) const fn new(inner: net::PlainServerBuilder<N, F>) -> Self {
        Self { inner }
    }

    /// Sets the limits and deadlines of connections.
    #[must_use]
    pub fn config(self, config: PlainConfig) -> Self {
        Self { inner: self.inner.config(config) }
    }

    /// Sets how many connections there may be, and from where. There are as many threads, and one.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { inner: self.inner.limits(limits) }
    }

    /// Sets socket options.
    #[must_use]
    pub fn socket(self, options: SocketOptions) -> Self {
        Self { inner: self.inner.socket(options) }
    }

    /// Listens at `address`, such as `127.0.0.1:7411` or `[::]:0`.
    ///
    /// # Errors
    ///
    /// If the configuration is out of range, the name has no address, or the operating system
    /// refuses.
    pub fn bind(self, address: impl ToString) -> io::Result<PlainListener<F, N>> {
        let inner = block_on(self.inner.bind(address))?;
        Ok(PlainListener { inner })
    }
}

impl<F: Format + Clone + Sync, N: Net> PlainListener<F, N> {
    /// The address it listens at.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.inner.local_addr()
    }

    /// Makes a handler for each connection with `factory` and serves until [`Running::shutdown`]:
    /// one thread accepts, and each connection has one of its own, where its handler is called.
    ///
    /// # Errors
    ///
    /// If the limits are out of range, or the system has no thread.
    pub fn start<H: PlainHandler>(
        self,
        factory: impl Fn(&PlainInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<Running<PlainServerHandle>> {
        start(|| self.inner.start(factory))
    }

    /// As [`start`](Self::start), and returns only if it fails to.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn serve<H: PlainHandler>(
        self,
        factory: impl Fn(&PlainInfo) -> H + Send + Sync + 'static,
    ) -> io::Result<()> {
        self.start(factory)?.finished();
        Ok(())
    }
}
