//! Any stream of futures-io as a transport.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outlast_service::Transport;

/// A stream of futures-io as a [`Transport`]: a Unix socket, a pipe, a layer of TLS.
///
/// Closing the stream must end what the other end reads, as `poll_close` of the sockets of smol and
/// of async-std does; that of a bare `async_io::Async` does nothing, and the other end learns the
/// end only when the stream is dropped. What a stream keeps back until it is flushed is flushed
/// behind every write.
#[derive(Debug)]
pub struct Stream<S> {
    inner: S,
    is_unflushed: bool,
    security: Option<Vec<u8>>,
}

impl<S> Stream<S> {
    /// A stream that others may read.
    pub const fn new(inner: S) -> Self {
        Self { inner, is_unflushed: false, security: None }
    }

    /// A stream that nobody else can read, whose server is known to be the right one.
    /// `channel_binding` is what both ends know about it and no other stream has, as RFC 9266 takes
    /// it from TLS; it may be empty.
    pub fn encrypted(inner: S, channel_binding: impl Into<Vec<u8>>) -> Self {
        Self { security: Some(channel_binding.into()), ..Self::new(inner) }
    }

    /// The stream itself.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    /// Goes on with flushing. That it takes a while keeps nobody from reading.
    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.is_unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.inner).poll_flush(cx)
        {
            self.is_unflushed = false;
            return flushed;
        }
        Ok(())
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Stream<S> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.flush(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(count)) = &written {
            self.is_unflushed |= *count > 0;
        }
        self.flush(cx)?;
        written
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }

    fn is_encrypted(&self) -> bool {
        self.security.is_some()
    }

    fn channel_binding(&self) -> &[u8] {
        self.security.as_deref().unwrap_or_default()
    }
}
