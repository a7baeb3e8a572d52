//! What goes by on connections, kept in a capture: between TLS, if there is any, and the protocol.

mod file;
mod judged;

use std::future::Future;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
use std::io::{self, IoSlice};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use outlast_tls::MaybeTls;
use outlast_tokio::net::socket2::{SockRef, Socket};
use outlast_tokio::net::{Layer, Net};
use outlast_tokio::{PeerIdentity, Runtime, Tokio, Transport};

use file::{Capture, Stream};
pub(crate) use judged::Overheard;

/// What goes by, in a file
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Tap {
    /// Write everything that goes by to this file, as a capture for Wireshark and `outlast inspect`
    ///
    /// It is what the protocol sees, also over TLS, and has all messages, tokens and keys in it: on
    /// Unix nobody else may read the file. A capture that is there is replaced.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Where the capture ends; the program goes on [default: 1073741824]
    #[arg(long, value_name = "BYTES", requires = "pcap",
          value_parser = clap::value_parser!(u64).range(LEAST..))]
    pcap_limit: Option<u64>,
    /// Opened once, whoever asks how often.
    #[arg(skip)]
    tapping: Arc<OnceLock<Tapping>>,
}

/// Some packets should fit.
const LEAST: u64 = 1_000;
/// As much as `outlast inspect` reads.
const LIMIT: u64 = 1 << 30;

impl Tap {
    /// Whether anything is kept.
    pub(crate) const fn is_on(&self) -> bool {
        self.pcap.is_some()
    }

    /// The layer that writes it, or one that does nothing. Each is part of the same capture.
    pub(crate) fn layer(&self) -> Result<Tapping, String> {
        if let Some(tapping) = self.tapping.get() {
            return Ok(tapping.clone());
        }
        let limit = self.pcap_limit.unwrap_or(LIMIT);
        let create = |path: &PathBuf| {
            let capture = Capture::create(path, limit).map(Arc::new);
            capture.map_err(|error| format!("cannot write {}: {error}", path.display()))
        };
        let tapping = Tapping(self.pcap.as_ref().map(create).transpose()?);
        Ok(self.tapping.get_or_init(|| tapping).clone())
    }
}

/// A layer that keeps what goes by, if it is to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tapping(Option<Arc<Capture>>);

impl Tapping {
    /// A connection that begins; `client`: the local end has opened it.
    pub(crate) fn wire(&self, local: SocketAddr, remote: SocketAddr, client: bool) -> Wire {
        Wire(self.0.as_ref().map(|capture| capture.stream(local, remote, client)))
    }
}

/// One connection as it is kept, or is not.
#[derive(Debug, Default)]
pub(crate) struct Wire(Option<Stream>);

impl Wire {
    pub(crate) fn sent(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|stream| stream.sent(bytes));
    }

    pub(crate) fn received(&mut self, bytes: &[u8]) {
        self.0.iter_mut().for_each(|stream| stream.received(bytes));
    }

    /// The local end says no more.
    pub(crate) fn finished(&mut self) {
        self.0.iter_mut().for_each(Stream::finished);
    }

    /// The remote end says no more.
    pub(crate) fn ended(&mut self) {
        self.0.iter_mut().for_each(Stream::ended);
    }

    /// The connection has failed.
    pub(crate) fn broken(&mut self) {
        self.0.iter_mut().for_each(Stream::broken);
    }

    /// The local end breaks the connection.
    pub(crate) fn cut(&mut self) {
        self.0.iter_mut().for_each(Stream::cut);
    }

    /// If that is what this error means: others have causes that are seen in what went by.
    fn failed(&mut self, error: &io::Error) {
        if matches!(error.kind(), ConnectionReset | ConnectionAborted | BrokenPipe | TimedOut) {
            self.broken();
        }
    }
}

/// The sockets of the command: tokio's, with or without TLS, with or without a capture.
pub(crate) type Sockets = Tapped<MaybeTls<Tokio>>;

/// The sockets of `N`, looked at.
#[derive(Debug, Clone)]
pub(crate) struct Tapped<N> {
    net: N,
    tapping: Tapping,
}

impl<N: Net> Layer<N> for Tapping {
    type Net = Tapped<N>;

    fn over(self, net: N) -> Tapped<N> {
        Tapped { net, tapping: self }
    }
}

impl<N: Net> Tapped<N> {
    fn tap(&self, io: N::Stream, client: bool, remote: SocketAddr) -> TappedStream<N::Stream> {
        if self.tapping.0.is_none() {
            return TappedStream { io, wire: Wire::default() };
        }
        let local = N::socket(&io).local_addr().ok().and_then(|local| local.as_socket());
        let local = local.unwrap_or_else(|| SocketAddr::new(remote.ip(), 0));
        TappedStream { io, wire: self.tapping.wire(local, remote, client) }
    }
}

impl<N: Runtime> Runtime for Tapped<N> {
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

impl<N: Net> Net for Tapped<N> {
    type Stream = TappedStream<N::Stream>;
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
        Ok(self.tap(io, true, address))
    }

    fn listener(&self, listener: TcpListener) -> io::Result<N::Listener> {
        self.net.listener(listener)
    }

    async fn accept(&self, listener: &N::Listener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (io, remote) = self.net.accept(listener).await?;
        Ok((self.tap(io, false, remote), remote))
    }

    fn socket(stream: &Self::Stream) -> SockRef<'_> {
        N::socket(&stream.io)
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        self.net.lookup(name).await
    }
}

/// A connection, looked at or not.
#[derive(Debug)]
pub(crate) struct TappedStream<T> {
    io: T,
    wire: Wire,
}

impl<T> TappedStream<T> {
    /// As many of these bytes, from the first on, went out.
    fn wrote(&mut self, bufs: &[IoSlice<'_>], written: &io::Result<usize>) {
        let mut count = match written {
            Ok(count) => *count,
            Err(error) => return self.wire.failed(error),
        };
        for buf in bufs {
            let taken = count.min(buf.len());
            self.wire.sent(&buf[..taken]);
            count -= taken;
        }
    }
}

impl<T: Transport> Transport for TappedStream<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let polled = self.io.poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(0)) if !buf.is_empty() => self.wire.ended(),
            Poll::Ready(Ok(count)) => self.wire.received(&buf[..*count]),
            Poll::Ready(Err(error)) => self.wire.failed(error),
            Poll::Pending => {}
        }
        polled
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.io.poll_write(cx, bufs);
        if let Poll::Ready(written) = &polled {
            self.wrote(bufs, written);
        }
        polled
    }

    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.io.try_write(bufs);
        self.wrote(bufs, &written);
        written
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = self.io.poll_shutdown(cx);
        if let Poll::Ready(Ok(())) = &polled {
            self.wire.finished();
        }
        polled
    }

    fn is_encrypted(&self) -> bool {
        self.io.is_encrypted()
    }

    fn channel_binding(&self) -> &[u8] {
        self.io.channel_binding()
    }

    fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.io.peer_identity()
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_ready(cx)
    }

    fn is_established(&self) -> bool {
        self.io.is_established()
    }
}
