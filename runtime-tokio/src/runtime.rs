//! tokio's clock, timers, tasks and sockets.

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
use tokio::time::Sleep;

/// The tokio runtime that is current where it is used.
#[derive(Debug, Copy, Clone, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    type Timer = SleepTimer;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn timer(&self) -> SleepTimer {
        SleepTimer { sleep: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }
}

impl Net for Tokio {
    type Stream = Tcp;
    type Listener = TcpListener;

    async fn connect(&self, socket: Socket, address: SocketAddr) -> io::Result<Tcp> {
        TcpSocket::from_std_stream(socket.into()).connect(address).await.map(Tcp)
    }

    fn listener(&self, listener: std::net::TcpListener) -> io::Result<TcpListener> {
        TcpListener::from_std(listener)
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<(Tcp, SocketAddr)> {
        listener.accept().await.map(|(stream, remote)| (Tcp(stream), remote))
    }

    fn socket(stream: &Tcp) -> SockRef<'_> {
        SockRef::from(&stream.0)
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        tokio::net::lookup_host(name).await.map(Iterator::collect)
    }
}

/// A timer that allocates when it is armed for the first time.
#[derive(Debug)]
pub struct SleepTimer {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Timer for SleepTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let at = tokio::time::Instant::from_std(at);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if sleep.deadline() != at {
            sleep.as_mut().reset(at);
        }
        sleep.as_mut().poll(cx)
    }
}

/// A tokio TCP stream.
#[derive(Debug)]
pub struct Tcp(TcpStream);

impl Transport for Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        Pin::new(&mut self.0).poll_read(cx, &mut buf).map_ok(|()| buf.filled().len())
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [one] => Pin::new(&mut self.0).poll_write(cx, one),
            many => Pin::new(&mut self.0).poll_write_vectored(cx, many),
        }
    }

    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match bufs {
            [one] => self.0.try_write(one),
            many => self.0.try_write_vectored(many),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
