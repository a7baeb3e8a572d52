//! TLS where it was configured, and none where it was not.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::task::{Context, Poll};
use std::time::Instant;

use outlast_service::net::socket2::{SockRef, Socket};
use outlast_service::net::{Layer, Net};
use outlast_service::{PeerIdentity, Runtime, Transport};

use crate::client::ClientTls;
use crate::net::Tls;
use crate::server::ServerTls;
use crate::stream::TlsStream;

/// A layer of TLS, if there is any: for programs whose configuration decides.
#[derive(Debug, Clone)]
pub struct Maybe<T>(pub Option<T>);

/// The sockets of `N`, with TLS over them if there is any: what a builder's `layer` makes of
/// [`Maybe`].
#[derive(Debug, Clone)]
pub struct MaybeTls<N> {
    net: N,
    tls: Option<Tls<N>>,
}

impl<N: Net> Layer<N> for Maybe<ClientTls> {
    type Net = MaybeTls<N>;

    fn over(self, net: N) -> MaybeTls<N> {
        let tls = self.0.map(|tls| tls.over(net.clone()));
        MaybeTls { net, tls }
    }
}

impl<N: Net> Layer<N> for Maybe<ServerTls> {
    type Net = MaybeTls<N>;

    fn over(self, net: N) -> MaybeTls<N> {
        let tls = self.0.map(|tls| tls.over(net.clone()));
        MaybeTls { net, tls }
    }
}

/// A connection with TLS or without.
#[derive(Debug)]
pub enum MaybeTlsStream<T> {
    /// Without: readable and changeable on the way.
    Plain(T),
    /// With.
    Tls(TlsStream<T>),
}

/// The same call, of whichever it is.
macro_rules! either {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream {
            MaybeTlsStream::Plain($io) => $call,
            MaybeTlsStream::Tls($io) => $call,
        }
    };
}

impl<T: Transport> Transport for MaybeTlsStream<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_read(cx, buf))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, io => io.poll_write(cx, bufs))
    }

    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        either!(self, io => io.try_write(bufs))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_shutdown(cx))
    }

    fn is_encrypted(&self) -> bool {
        either!(self, io => io.is_encrypted())
    }

    fn channel_binding(&self) -> &[u8] {
        either!(self, io => io.channel_binding())
    }

    fn peer_identity(&self) -> Option<&PeerIdentity> {
        either!(self, io => io.peer_identity())
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, io => io.poll_ready(cx))
    }

    fn is_established(&self) -> bool {
        either!(self, io => io.is_established())
    }
}

impl<N: Runtime> Runtime for MaybeTls<N> {
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

impl<N: Net> Net for MaybeTls<N> {
    type Stream = MaybeTlsStream<N::Stream>;
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
        match &self.tls {
            Some(tls) => tls.connect_named(socket, address, name).await.map(MaybeTlsStream::Tls),
            None => self.net.connect_named(socket, address, name).await.map(MaybeTlsStream::Plain),
        }
    }

    fn listener(&self, listener: TcpListener) -> io::Result<N::Listener> {
        self.net.listener(listener)
    }

    async fn accept(&self, listener: &N::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        match &self.tls {
            Some(tls) => {
                let (io, remote) = tls.accept(listener).await?;
                Ok((MaybeTlsStream::Tls(io), remote))
            }
            None => {
                let (io, remote) = self.net.accept(listener).await?;
                Ok((MaybeTlsStream::Plain(io), remote))
            }
        }
    }

    fn socket(stream: &Self::Stream) -> SockRef<'_> {
        match stream {
            MaybeTlsStream::Plain(io) => N::socket(io),
            MaybeTlsStream::Tls(io) => N::socket(io.get_ref()),
        }
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.net.lookup(name).await
    }
}
