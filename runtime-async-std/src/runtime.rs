//! The clock, the timers and the sockets of async-io, below any executor.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use async_io::Async;
use outlast_service::net::Net;
use outlast_service::net::socket2::{SockRef, Socket};
use outlast_service::{Runtime, Timer};

use crate::tcp::Tcp;

/// What runs tasks and looks names up. async-std and smol are two; any other executor will do, as
/// sockets and timers are woken by a thread that async-io has of its own.
pub trait Executor: Debug + Copy + Default + Send + Sync + Unpin + 'static {
    /// Runs a task to its end.
    fn spawn(task: impl Future<Output = ()> + Send + 'static);

    /// The addresses of a name with its port, as `example.net:7411`.
    ///
    /// # Errors
    ///
    /// If the name cannot be looked up.
    fn lookup(name: &str) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// A runtime: the sockets and timers of async-io, and the tasks of `E`.
#[derive(Debug, Copy, Clone, Default)]
pub struct AsyncIo<E>(E);

impl<E: Executor> Runtime for AsyncIo<E> {
    type Timer = SleepTimer;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self) -> SleepTimer {
        SleepTimer { timer: async_io::Timer::never(), at: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        E::spawn(task);
    }
}

impl<E: Executor> Net for AsyncIo<E> {
    type Stream = Tcp;
    type Listener = Async<TcpListener>;

    async fn connect(&self, socket: Socket, address: SocketAddr) -> io::Result<Tcp> {
        match socket.connect(&address.into()) {
            Ok(()) => {}
            Err(error) if is_under_way(&error) => {}
            Err(error) => return Err(error),
        }
        let stream = Async::new_nonblocking(TcpStream::from(socket))?;
        stream.writable().await?;
        match stream.get_ref().take_error()? {
            None => Ok(Tcp::new(stream)),
            Some(error) => Err(error),
        }
    }

    fn listener(&self, listener: TcpListener) -> io::Result<Async<TcpListener>> {
        Async::new_nonblocking(listener)
    }

    async fn accept(&self, listener: &Async<TcpListener>) -> io::Result<(Tcp, SocketAddr)> {
        listener.accept().await.map(|(stream, remote)| (Tcp::new(stream), remote))
    }

    fn socket(stream: &Tcp) -> SockRef<'_> {
        stream.socket()
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        E::lookup(name).await
    }
}

/// Whether a socket that does not block has begun to connect.
fn is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) {
        return true;
    }
    error.kind() == io::ErrorKind::WouldBlock
}

/// A timer of async-io.
#[derive(Debug)]
pub struct SleepTimer {
    timer: async_io::Timer,
    at: Option<Instant>,
}

impl Timer for SleepTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        if self.at != Some(at) {
            self.at = Some(at);
            self.timer.set_at(at);
        }
        let fired = Pin::new(&mut self.timer).poll(cx).map(drop);
        if fired.is_ready() {
            // It tells once only: whoever asks again must be told again.
            self.at = None;
        }
        fired
    }
}
