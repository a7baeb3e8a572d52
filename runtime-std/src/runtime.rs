//! Sockets, timers and threads of the standard library.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use outlast_service::net::Net;
use outlast_service::net::socket2::{SockRef, Socket};
use outlast_service::{Runtime, Timer, Transport};
use rustix::event::PollFlags;

use crate::lookup::aside;
use crate::thread::{self, Alarmed, Watched};

/// Threads of the operating system: each task has one of its own, which sleeps while the task has
/// nothing to do.
///
/// What belongs to this runtime, its sockets and timers, can only be waited for in its threads and
/// in [`block_on`](crate::block_on); anywhere else that is a panic. A task for which the system has
/// no thread is dropped: a connection is closed then, and its client comes again.
#[derive(Debug, Copy, Clone)]
pub struct Std {
    pub(crate) stack_size: usize,
}

/// Enough for the session and a handler that does not nest deeply. What is not used costs address
/// space alone.
const STACK_SIZE: usize = 256 << 10;

impl Std {
    /// Threads with stacks of 256 KiB.
    #[must_use]
    pub const fn new() -> Self {
        Self { stack_size: STACK_SIZE }
    }

    /// Sets the size of the stacks of its threads, in bytes. A handler runs in its session's
    /// thread, and must do with what the session leaves of it: some 16 KiB are the session's own.
    #[must_use]
    pub const fn stack_size(self, bytes: usize) -> Self {
        Self { stack_size: bytes }
    }
}

impl Default for Std {
    fn default() -> Self {
        Self::new()
    }
}

impl Runtime for Std {
    type Timer = ThreadTimer;

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn timer(&self) -> ThreadTimer {
        ThreadTimer(Alarmed::default())
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        thread::spawn(Box::pin(task), self.stack_size);
    }
}

impl Net for Std {
    type Stream = Tcp;
    type Listener = Listener;

    async fn connect(&self, socket: Socket, address: SocketAddr) -> io::Result<Tcp> {
        let begun = socket.connect(&address.into());
        let tcp = Tcp::new(socket.into());
        match begun {
            Ok(()) => return Ok(tcp),
            Err(error) if is_under_way(&error) => {}
            Err(error) => return Err(error),
        }
        poll_fn(|cx| tcp.poll_connected(cx)).await?;
        Ok(tcp)
    }

    fn listener(&self, listener: TcpListener) -> io::Result<Listener> {
        Ok(Listener(Arc::new(Watched::new(listener))))
    }

    async fn accept(&self, listener: &Listener) -> io::Result<(Tcp, SocketAddr)> {
        poll_fn(|cx| listener.poll_accept(cx)).await
    }

    fn socket(stream: &Tcp) -> SockRef<'_> {
        SockRef::from(&stream.0.socket)
    }

    async fn lookup(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        let name = name.to_owned();
        aside(move || name.to_socket_addrs().map(Iterator::collect)).await
    }
}

fn is_under_way(error: &io::Error) -> bool {
    let begun = rustix::io::Errno::INPROGRESS.raw_os_error();
    error.raw_os_error() == Some(begun) || error.kind() == ErrorKind::WouldBlock
}

/// A timer of the thread that waits for it.
#[derive(Debug)]
pub struct ThreadTimer(Alarmed);

impl Timer for ThreadTimer {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.0.poll_until(cx, at)
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener(Arc<Watched<TcpListener>>);

impl Listener {
    fn poll_accept(&self, cx: &Context<'_>) -> Poll<io::Result<(Tcp, SocketAddr)>> {
        let (stream, remote) = match self.0.socket.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::watch(&self.0, PollFlags::IN, cx);
                return Poll::Pending;
            }
            accepted => accepted?,
        };
        stream.set_nonblocking(true)?;
        Poll::Ready(Ok((Tcp::new(stream), remote)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        thread::unwatch(&self.0);
    }
}

/// A connection.
#[derive(Debug)]
pub struct Tcp(Arc<Watched<TcpStream>>);

impl Tcp {
    fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Watched::new(stream)))
    }

    /// Ready once the connection is made, or failed.
    fn poll_connected(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.0.socket.take_error()? {
            return Poll::Ready(Err(error));
        }
        match self.0.socket.peer_addr() {
            Err(error) if error.kind() == ErrorKind::NotConnected => {
                thread::watch(&self.0, PollFlags::OUT, cx);
                Poll::Pending
            }
            connected => Poll::Ready(connected.map(drop)),
        }
    }

    fn blocked<T>(&self, events: PollFlags, cx: &Context<'_>) -> Poll<io::Result<T>> {
        thread::watch(&self.0, events, cx);
        Poll::Pending
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        thread::unwatch(&self.0);
    }
}

impl Transport for Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.0.is_dry() {
            return self.blocked(PollFlags::IN, cx);
        }
        match untroubled(|| (&self.0.socket).read(buf)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.0.set_dry();
                self.blocked(PollFlags::IN, cx)
            }
            Ok(read) => {
                // Less than there was room for is all that there was, and nobody has to ask the
                // system again. The end of the stream is one for ever.
                if 0 < read && read < buf.len() {
                    self.0.set_dry();
                }
                Poll::Ready(Ok(read))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut socket = &self.0.socket;
        let written = untroubled(|| match bufs {
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        });
        match written {
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.blocked(PollFlags::OUT, cx),
            done => Poll::Ready(done),
        }
    }

    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut socket = &self.0.socket;
        untroubled(|| match bufs {
            [one] => socket.write(one),
            many => socket.write_vectored(many),
        })
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.socket.shutdown(Shutdown::Write))
    }
}

/// The result of a call that no signal has interrupted.
fn untroubled<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}
