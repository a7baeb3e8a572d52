//! A session over a stream of futures-io that is no TCP: a pair of Unix sockets.
#![cfg(unix)]

use std::collections::VecDeque;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use outlast_async_std::service::{ClientConfig, Connector, Dialed, Server, ServerConfig};
use outlast_async_std::{
    AsyncIo, Executor, Incoming, Peer, Runner, SessionInfo, Status, Stream, Transport,
};

/// Keeps back what is written until it is flushed, as a layer of TLS does.
struct Buffered {
    socket: async_io::Async<UnixStream>,
    kept: VecDeque<u8>,
}

impl AsyncRead for Buffered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, kept } = &mut *self;
        while !kept.is_empty() {
            // A little at a time, so that some of it waits.
            let (front, _) = kept.as_slices();
            let some = &front[..front.len().min(1_000)];
            match Pin::new(&mut *socket).poll_write(cx, some) {
                Poll::Ready(Ok(count)) => drop(kept.drain(..count)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The `poll_close` of `Async` only flushes, and the other end would wait for more.
        Poll::Ready(self.socket.get_ref().shutdown(Shutdown::Write))
    }
}

fn buffered(socket: UnixStream) -> Stream<Buffered> {
    let socket = async_io::Async::new(socket).unwrap();
    Stream::new(Buffered { socket, kept: VecDeque::new() })
}

/// A connector that has one stream to give.
struct Once(Option<Stream<Buffered>>);

impl Connector for Once {
    type Io = Stream<Buffered>;

    async fn connect(&mut self, _: usize) -> io::Result<Dialed<Stream<Buffered>>> {
        let io = self.0.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Dialed { io, remote: None::<SocketAddr> })
    }
}

async fn talk<E: Executor>(_: E) {
    let runtime = AsyncIo::<E>::default();
    let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Request { id, payload, .. } => {
            peer.respond(id, Status::OK, payload).unwrap();
        }
        Incoming::Finished => peer.finish(),
        _ => {}
    };
    let server = Server::new(runtime, ServerConfig::default(), move |_: &SessionInfo| echo);
    let server = server.unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    server.spawn_connection(buffered(far), None);
    let quiet = |_: &mut Peer<'_>, _: Incoming<'_>| {};
    let config = ClientConfig { seed: 1, ..ClientConfig::default() };
    let connector = Once(Some(buffered(near)));
    let (handle, runner) = Runner::new(runtime, config, connector, quiet).unwrap();
    let (done, mut closed) = ending();
    E::spawn(async move { done(runner.await.complete) });
    for size in [1, 1_000, 16_384, 1_000_000] {
        let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
        let response = handle.request(3u8, &payload).await.unwrap();
        assert!(response.payload == payload, "{size}");
    }
    handle.finish();
    assert!(closed());
}

/// How a task tells its end to a thread that has nothing else to do.
fn ending() -> (impl FnOnce(bool) + Send, impl FnMut() -> bool) {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    (move |end| tell.send(end).unwrap(), move || told.recv().unwrap())
}

#[test]
fn streams_say_what_they_are() {
    let (near, _far) = UnixStream::pair().unwrap();
    let near = || async_io::Async::new(near.try_clone().unwrap()).unwrap();
    let plain = Stream::new(near());
    assert!(!plain.is_encrypted() && plain.channel_binding().is_empty());
    let tls = Stream::encrypted(near(), *b"exporter");
    assert!(tls.is_encrypted());
    assert_eq!(tls.channel_binding(), b"exporter");
}

#[cfg(feature = "async-std")]
#[test]
fn a_session_over_any_stream_in_tasks_of_async_std() {
    async_std::task::block_on(talk(outlast_async_std::async_std::AsyncStd));
}

#[cfg(feature = "smol")]
#[test]
fn a_session_over_any_stream_in_tasks_of_smol() {
    smol::block_on(talk(outlast_async_std::smol::Smol));
}
