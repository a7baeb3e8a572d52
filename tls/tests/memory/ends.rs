//! Both ends of a connection, and what tests do with them.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Poll, ready};

use outlast_service::Transport;
use outlast_tls::{ClientTls, ServerTls, TlsError, TlsStream};

use crate::executor::Sim;
use crate::link::{Faults, Io, Link};

/// A connection, and TLS at both of its ends.
pub(crate) fn pair(
    sim: &Sim,
    (client, server): (&ClientTls, &ServerTls),
    (up, down): (Faults, Faults),
    seed: u64,
) -> (Link, TlsStream<Io>, TlsStream<Io>) {
    let link = Link::new(sim, up, down, seed);
    let (near, far) = link.ends();
    (link, client.connect(near, "localhost:7411").unwrap(), server.accept(far).unwrap())
}

pub(crate) async fn handshake<T: Transport>(io: &mut TlsStream<T>) -> io::Result<()> {
    poll_fn(|cx| io.poll_handshake(cx)).await
}

/// Writes everything, in up to three slices at once.
pub(crate) async fn write_all<T: Transport>(io: &mut T, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let (one, rest) = bytes.split_at(bytes.len() / 3);
        let (two, three) = rest.split_at(rest.len() / 2);
        let slices = [IoSlice::new(one), IoSlice::new(two), IoSlice::new(three)];
        let taken = poll_fn(|cx| io.poll_write(cx, &slices)).await?;
        assert!(taken > 0, "nothing was taken of {} bytes", bytes.len());
        bytes = &bytes[taken..];
    }
    Ok(())
}

pub(crate) async fn shutdown<T: Transport>(io: &mut T) -> io::Result<()> {
    poll_fn(|cx| io.poll_shutdown(cx)).await
}

/// Reads to the end, so many bytes at once; what came, and how it ended.
pub(crate) async fn read_all<T: Transport>(
    io: &mut T,
    at_once: usize,
) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut buf) = (Vec::new(), vec![0; at_once]);
    loop {
        match poll_fn(|cx| io.poll_read(cx, &mut buf)).await {
            Ok(0) => return (all, Ok(())),
            Ok(read) => all.extend_from_slice(&buf[..read]),
            Err(error) => return (all, Err(error)),
        }
    }
}

/// Handshakes until the client's is over. Its last words go out with what it writes next.
pub(crate) async fn meet<T: Transport, U: Transport>(
    near: &mut TlsStream<T>,
    far: &mut TlsStream<U>,
) -> io::Result<()> {
    poll_fn(|cx| {
        let _ = far.poll_handshake(cx)?;
        near.poll_handshake(cx)
    })
    .await
}

/// Writes everything and the end, and reads to the end meanwhile; what came, and how it ended.
pub(crate) async fn converse<T: Transport>(
    io: &mut T,
    mut bytes: &[u8],
    at_once: usize,
) -> (Vec<u8>, io::Result<()>) {
    let (mut all, mut buf) = (Vec::new(), vec![0; at_once]);
    let (mut shut, mut ended) = (false, false);
    let result = poll_fn(|cx| {
        while !ended {
            match io.poll_read(cx, &mut buf)? {
                Poll::Ready(0) => ended = true,
                Poll::Ready(read) => all.extend_from_slice(&buf[..read]),
                Poll::Pending => break,
            }
        }
        while !bytes.is_empty() {
            match io.poll_write(cx, &[IoSlice::new(bytes)])? {
                Poll::Ready(taken) => {
                    assert!(taken > 0);
                    bytes = &bytes[taken..];
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        if !shut {
            ready!(io.poll_shutdown(cx))?;
            shut = true;
        }
        if ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    });
    let result = result.await;
    (all, result)
}

/// What TLS has to say about it.
pub(crate) fn tls(error: &io::Error) -> TlsError {
    TlsError::of(error).cloned().unwrap_or_else(|| panic!("not of TLS: {error:?}"))
}

/// Bytes that are not alike.
pub(crate) fn sample(len: usize, salt: u8) -> Vec<u8> {
    (0..len).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ salt).collect()
}
