//! The limit: one thread, one epoll, a 64 KiB buffer, no framing.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::{Mode, READ_BUFFER, announce, listener};
use crate::sys::{Epoll, Event, Interest};

const LISTENER: u64 = u64::MAX;

/// A connection and what its socket did not take yet.
struct Slot {
    stream: TcpStream,
    backlog: Vec<u8>,
    /// Whether the descriptor waits for room to write.
    waiting: bool,
}

/// The descriptors' slots, indexed by token.
struct Server {
    epoll: Epoll,
    slots: Vec<Option<Slot>>,
    free: Vec<usize>,
    mode: Mode,
    buffer: Vec<u8>,
}

pub(super) fn run(mode: Mode) -> io::Result<()> {
    let listener = listener()?;
    announce(listener.local_addr()?.port())?;
    let mut server = Server {
        epoll: Epoll::new(256)?,
        slots: Vec::new(),
        free: Vec::new(),
        mode,
        buffer: vec![0; READ_BUFFER],
    };
    server.epoll.add(&listener, LISTENER, Interest::Read)?;
    let mut events = Vec::with_capacity(256);
    loop {
        server.epoll.wait(&mut events, None)?;
        for event in &events {
            if event.token == LISTENER {
                server.accept(&listener)?;
            } else {
                server.serve(*event)?;
            }
        }
    }
}

impl Server {
    fn accept(&mut self, listener: &std::net::TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            self.epoll.add(&stream, index as u64, Interest::Read)?;
            self.slots[index] = Some(Slot { stream, backlog: Vec::new(), waiting: false });
        }
    }

    fn serve(&mut self, event: Event) -> io::Result<()> {
        let index = usize::try_from(event.token).map_err(io::Error::other)?;
        let mut open = true;
        if event.writable {
            open &= self.send(index, 0);
        }
        if event.readable && open {
            let Some(slot) = self.slots[index].as_mut() else {
                return Ok(());
            };
            match slot.stream.read(&mut self.buffer) {
                Ok(0) => open = false,
                Ok(n) => match self.mode {
                    Mode::Sink | Mode::Chunks => {}
                    Mode::Echo => open = self.send(index, n),
                    Mode::FanOut => {
                        for target in 0..self.slots.len() {
                            if !self.send(target, n) {
                                self.drop_slot(target);
                            }
                        }
                    }
                },
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => open = false,
            }
        }
        if !open {
            self.drop_slot(index);
        }
        Ok(())
    }

    /// Sends the first `n` bytes of the buffer behind what waits; `false` = the peer is gone.
    fn send(&mut self, index: usize, n: usize) -> bool {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return true;
        };
        let Ok(waits) = write_or_keep(&mut slot.stream, &mut slot.backlog, &self.buffer[..n])
        else {
            return false;
        };
        if waits != slot.waiting {
            slot.waiting = waits;
            let interest = if waits { Interest::ReadAndWrite } else { Interest::Read };
            return self.epoll.modify(&slot.stream, index as u64, interest).is_ok();
        }
        true
    }

    fn drop_slot(&mut self, index: usize) {
        if self.slots[index].take().is_some() {
            self.free.push(index);
        }
    }
}

/// Writes `backlog` and then `bytes`, and keeps in `backlog` what the socket did not take.
/// Returns whether anything is kept.
pub(crate) fn write_or_keep(
    stream: &mut impl Write,
    backlog: &mut Vec<u8>,
    bytes: &[u8],
) -> io::Result<bool> {
    if !backlog.is_empty() {
        backlog.extend_from_slice(bytes);
        let n = write_some(stream, backlog)?;
        backlog.drain(..n);
        if backlog.is_empty() {
            *backlog = Vec::new();
        }
    } else if !bytes.is_empty() {
        let n = write_some(stream, bytes)?;
        backlog.extend_from_slice(&bytes[n..]);
    }
    Ok(!backlog.is_empty())
}

fn write_some(stream: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Ok(n) => Ok(n),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(e) => Err(e),
    }
}
