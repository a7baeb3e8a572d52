//! A thin hand-written length prefix over tokio: what a lean driver can reach.
//!
//! Reads go into one buffer that all connections share, messages are parsed in place, and all
//! that a read caused leaves in one write. An idle connection owns no buffer.

use core::cell::RefCell;
use core::hint::black_box;
use core::task::{Context, Poll, ready};
use core::{future::poll_fn, pin::Pin};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::{Mode, READ_BUFFER, announce, tokio_listener, write_or_keep};

/// Bytes of the big-endian length in front of every message.
const PREFIX: usize = 4;
/// Longest message; a longer one closes the connection.
const MAX_MESSAGE: usize = 16 << 20;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        input: vec![0; READ_BUFFER],
        output: Vec::with_capacity(READ_BUFFER),
    });
}

/// The worker's own buffers; `output` is empty between polls unless it is being written.
struct Scratch {
    input: Vec<u8>,
    output: Vec<u8>,
}

pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    let listener = tokio_listener()?;
    announce(listener.local_addr()?.port())?;
    let room = Room::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        if mode == Mode::FanOut {
            tokio::spawn(member(stream, Arc::clone(&room)));
        } else {
            tokio::spawn(connection(stream, mode));
        }
    }
}

async fn connection(mut stream: TcpStream, mode: Mode) -> io::Result<()> {
    let mut tail = Vec::new();
    let mut unsent = Vec::new();
    loop {
        let read = poll_fn(|cx| {
            poll_messages(&mut stream, cx, &mut tail, |message, output| {
                if mode == Mode::Echo {
                    output.extend_from_slice(message);
                } else {
                    black_box(&message[PREFIX..]);
                }
            })
        })
        .await?;
        if !read {
            return Ok(());
        }
        let waits = SCRATCH.with_borrow_mut(|scratch| {
            let waits = write_or_keep(&mut Try(&stream), &mut unsent, &scratch.output);
            scratch.output.clear();
            waits
        })?;
        if waits {
            stream.write_all(&unsent).await?;
            unsent = Vec::new();
        }
    }
}

/// Reads once and hands out every whole message with its prefix; `false` = end of input.
fn poll_messages<R: AsyncRead + Unpin>(
    stream: &mut R,
    cx: &mut Context<'_>,
    tail: &mut Vec<u8>,
    mut each: impl FnMut(&[u8], &mut Vec<u8>),
) -> Poll<io::Result<bool>> {
    SCRATCH.with_borrow_mut(|scratch| {
        let Scratch { input, output } = scratch;
        let mut buffer = ReadBuf::new(input);
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        let mut bytes = buffer.filled();
        if bytes.is_empty() {
            return Poll::Ready(Ok(false));
        }
        if !tail.is_empty() {
            let Some(rest) = complete(tail, bytes, |message| each(message, output))? else {
                return Poll::Ready(Ok(true));
            };
            bytes = rest;
        }
        while let Some(size) = frame_size(bytes)? {
            let Some((message, rest)) = bytes.split_at_checked(size) else {
                break;
            };
            each(message, output);
            bytes = rest;
        }
        tail.extend_from_slice(bytes);
        Poll::Ready(Ok(true))
    })
}

/// Finishes the message begun in `tail`; `None` = it wants more than `bytes`.
fn complete<'b>(
    tail: &mut Vec<u8>,
    mut bytes: &'b [u8],
    each: impl FnOnce(&[u8]),
) -> io::Result<Option<&'b [u8]>> {
    if tail.len() < PREFIX {
        let (head, rest) = bytes.split_at((PREFIX - tail.len()).min(bytes.len()));
        tail.extend_from_slice(head);
        bytes = rest;
    }
    let Some(size) = frame_size(tail)? else {
        return Ok(None);
    };
    tail.reserve_exact(size - tail.len());
    let (body, rest) = bytes.split_at((size - tail.len()).min(bytes.len()));
    tail.extend_from_slice(body);
    if tail.len() < size {
        return Ok(None);
    }
    each(tail);
    *tail = Vec::new();
    Ok(Some(rest))
}

#[inline]
fn frame_size(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(prefix) = bytes.first_chunk::<PREFIX>() else {
        return Ok(None);
    };
    let size = u32::from_be_bytes(*prefix) as usize;
    if size > MAX_MESSAGE {
        return Err(io::Error::other("message too long"));
    }
    Ok(Some(PREFIX + size))
}

/// Lets [`write_or_keep`] write into a tokio socket without waiting.
struct Try<'s>(&'s TcpStream);

impl io::Write for Try<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every connection's way out, for the fan-out.
type Room = Arc<Mutex<Vec<Arc<Outlet>>>>;

/// Nothing panics while it holds one of these locks for more than a write.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A socket that any task of the worker may write to, and what did not fit.
struct Outlet {
    socket: OwnedWriteHalf,
    unsent: Mutex<Vec<u8>>,
    wake: Notify,
}

impl Outlet {
    /// Tries to write at once; wakes the connection's own task for what is left.
    fn send(&self, bytes: &[u8]) {
        let mut unsent = lock(&self.unsent);
        let mut socket = TryHalf(&self.socket);
        if write_or_keep(&mut socket, &mut unsent, bytes).unwrap_or(false) {
            self.wake.notify_one();
        }
    }

    async fn drain(&self) -> io::Result<()> {
        loop {
            self.wake.notified().await;
            while !lock(&self.unsent).is_empty() {
                self.socket.writable().await?;
                let mut unsent = lock(&self.unsent);
                write_or_keep(&mut TryHalf(&self.socket), &mut unsent, &[])?;
            }
        }
    }
}

struct TryHalf<'s>(&'s OwnedWriteHalf);

impl io::Write for TryHalf<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn member(stream: TcpStream, room: Room) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let outlet = Arc::new(Outlet { socket: writer, unsent: Mutex::default(), wake: Notify::new() });
    lock(&room).push(Arc::clone(&outlet));
    let done = tokio::select! {
        done = publish(reader, &room) => done,
        done = outlet.drain() => done,
    };
    lock(&room).retain(|other| !Arc::ptr_eq(other, &outlet));
    done
}

/// Writes everything that comes to every member itself, one write per socket and read.
async fn publish(mut reader: OwnedReadHalf, room: &Room) -> io::Result<()> {
    let mut tail = Vec::new();
    loop {
        let read = poll_fn(|cx| {
            poll_messages(&mut reader, cx, &mut tail, |message, output| {
                output.extend_from_slice(message);
            })
        })
        .await?;
        if !read {
            return Ok(());
        }
        SCRATCH.with_borrow_mut(|scratch| {
            for outlet in lock(room).iter() {
                outlet.send(&scratch.output);
            }
            scratch.output.clear();
        });
    }
}
