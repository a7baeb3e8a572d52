use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use outlast_service::net::Net;
use outlast_service::net::socket2::{SockRef, Socket};
use outlast_service::{Runtime, Timer, Transport};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;

// What users see.
pub type Client = outlast_service::net::Client<Mine>;
pub type Server = outlast_service::net::Server<Mine>;

// Whoever has one can spawn, from whichever thread.
#[derive(Debug, Clone)]
pub struct Mine(pub Handle);

impl Runtime for Mine {
    type Timer = MyTimer;

    // Monotonic, and the same clock that the timers follow.
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self) -> MyTimer {
        MyTimer(None)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

// One timer for each connection; it is armed again and again, mostly for a later time.
pub struct MyTimer(Option<Pin<Box<tokio::time::Sleep>>>);

impl Timer for MyTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

// Any byte stream that is ordered and reliable.
pub struct MyStream<T>(pub T);

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for MyStream<T> {
    // Zero is the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    // As much as it takes now. One vectored write carries the acknowledgement and both halves of
    // the session's ring.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Net for Mine {
    type Stream = MyStream<TcpStream>;
    type Listener = TcpListener;

    // The socket has its options and does not block. Dropping the future must give it up.
    async fn connect(&self, socket: Socket, address: SocketAddr) -> io::Result<Self::Stream> {
        TcpSocket::from_std_stream(socket.into()).connect(address).await.map(MyStream)
    }

    fn listener(&self, listener: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        listener.accept().await.map(|(stream, remote)| (MyStream(stream), remote))
    }

    fn socket(stream: &Self::Stream) -> SockRef<'_> {
        SockRef::from(&stream.0)
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        tokio::net::lookup_host(name).await.map(Iterator::collect)
    }
}
