//! TLS over the sockets of any runtime.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use outlast_service::Runtime;
use outlast_service::net::socket2::{SockRef, Socket};
use outlast_service::net::{Layer, Net};

use crate::client::ClientTls;
use crate::error::TlsError;
use crate::server::ServerTls;
use crate::stream::TlsStream;

/// The sockets of `N` with TLS over them.
///
/// [`ClientTls`] and [`ServerTls`] make it of a builder's runtime; this is for those that have a
/// runtime and no builder, or both ends over one.
#[derive(Debug, Clone)]
pub struct Tls<N> {
    net: N,
    client: Option<ClientTls>,
    server: Option<ServerTls>,
}

impl<N: Net> Tls<N> {
    /// For clients.
    #[must_use]
    pub const fn client(net: N, tls: ClientTls) -> Self {
        Self { net, client: Some(tls), server: None }
    }

    /// For servers.
    #[must_use]
    pub const fn server(net: N, tls: ServerTls) -> Self {
        Self { net, client: None, server: Some(tls) }
    }

    /// For both.
    #[must_use]
    pub const fn both(net: N, client: ClientTls, server: ServerTls) -> Self {
        Self { net, client: Some(client), server: Some(server) }
    }

    fn dialled(&self, io: N::Stream, name: &str) -> io::Result<TlsStream<N::Stream>> {
        let missing = || TlsError::Setup("a client needs a `ClientTls`".into());
        self.client.as_ref().ok_or_else(missing)?.connect(io, name)
    }

    fn accepted(&self, io: N::Stream) -> io::Result<TlsStream<N::Stream>> {
        let missing = || TlsError::Setup("a server needs a `ServerTls`".into());
        self.server.as_ref().ok_or_else(missing)?.accept(io)
    }
}

impl<N: Net> Layer<N> for ClientTls {
    type Net = Tls<N>;

    fn over(self, net: N) -> Tls<N> {
        Tls::client(net, self)
    }
}

impl<N: Net> Layer<N> for ServerTls {
    type Net = Tls<N>;

    fn over(self, net: N) -> Tls<N> {
        Tls::server(net, self)
    }
}

impl<N: Runtime> Runtime for Tls<N> {
    type Timer = N::Timer;

    fn now(&self) -> Instant {
        self.net.now()
    }

    fn timer(&self) -> N::Timer {
        self.net.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.net.spawn(task);
    }
}

/// A connection is made before its handshake, which whoever reads and writes does.
impl<N: Net> Net for Tls<N> {
    type Stream = TlsStream<N::Stream>;
    type Listener = N::Listener;

    async fn connect(&self, socket: Socket, address: SocketAddr) -> io::Result<Self::Stream> {
        self.connect_named(socket, address, &address.to_string()).await
    }

    async fn connect_named(
        &self,
        socket: Socket,
        address: SocketAddr,
        name: &str,
    ) -> io::Result<Self::Stream> {
        let io = self.net.connect_named(socket, address, name).await?;
        self.dialled(io, name)
    }

    fn listener(&self, listener: TcpListener) -> io::Result<N::Listener> {
        self.net.listener(listener)
    }

    async fn accept(&self, listener: &N::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (io, remote) = self.net.accept(listener).await?;
        Ok((self.accepted(io)?, remote))
    }

    fn socket(stream: &Self::Stream) -> SockRef<'_> {
        N::socket(stream.get_ref())
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.net.lookup(name).await
    }
}
