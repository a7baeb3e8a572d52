//! One connection of the generator.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use super::PATIENCE;
use super::dialect::Dialect;
use super::outlast::{self, Arrived, Wire};
use super::template::{Answers, COUNT, Template};
use crate::servers::write_or_keep;
use crate::sys::{Epoll, Interest};

/// How answers are told apart.
enum Reader {
    /// Bytes of an answer that is not yet whole.
    Count {
        partial: usize,
    },
    Frames(Box<Wire>),
}

/// A connection, what its socket did not take, and what it still has to send.
pub(crate) struct Link {
    pub(super) stream: TcpStream,
    reader: Reader,
    answers: Answers,
    out: Vec<u8>,
    backlog: Vec<u8>,
    /// Requests that credit or ids did not allow yet.
    owed: usize,
    cursor: usize,
    waiting: bool,
    /// When the last request was handed to the socket.
    pub(super) sent_at: Instant,
}

impl Link {
    /// Connects without a handshake; the socket still blocks.
    pub(super) fn connect(address: SocketAddr, dialect: Dialect) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let reader = match dialect {
            Dialect::Prefix | Dialect::Msgtrans => Reader::Count { partial: 0 },
            Dialect::Outlast => Reader::Frames(Box::new(Wire::new())),
        };
        Ok(Self {
            stream,
            reader,
            answers: Answers::Frames,
            out: Vec::new(),
            backlog: Vec::new(),
            owed: 0,
            cursor: 0,
            waiting: false,
            sent_at: Instant::now(),
        })
    }

    /// Connects, shakes hands where there is a handshake, and stops blocking.
    pub(super) fn open(address: SocketAddr, dialect: Dialect) -> io::Result<Self> {
        let mut link = Self::connect(address, dialect)?;
        if link.greet(outlast::SILENCE_LIMIT_MS) {
            link.flush()?;
            link.stream.set_read_timeout(Some(PATIENCE))?;
            let mut buffer = [0; 4096];
            while !link.welcomed() {
                if link.receive(&mut buffer)?.closed {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
            }
            // It confirms the session, which is not kept for long without.
            link.flush()?;
            link.stream.set_read_timeout(None)?;
        }
        link.stream.set_nonblocking(true)?;
        Ok(link)
    }

    /// Queues HELLO; `false` = this wire format has no handshake.
    pub(super) fn greet(&mut self, silence_ms: u32) -> bool {
        if matches!(self.reader, Reader::Count { .. }) {
            return false;
        }
        self.out.extend_from_slice(&outlast::hello(silence_ms));
        true
    }

    pub(super) const fn welcomed(&self) -> bool {
        match &self.reader {
            Reader::Count { .. } => true,
            Reader::Frames(wire) => wire.welcomed,
        }
    }

    pub(super) const fn wire(&mut self) -> Option<&mut Wire> {
        match &mut self.reader {
            Reader::Count { .. } => None,
            Reader::Frames(wire) => Some(wire),
        }
    }

    /// What answers to expect from now on.
    pub(super) fn expect(&mut self, template: &Template, depth: usize) -> io::Result<()> {
        self.answers = template.answers;
        let Reader::Frames(wire) = &mut self.reader else {
            return Ok(());
        };
        if template.by_id {
            let most = usize::from(wire.max_requests).min(COUNT);
            if most < depth {
                let what = format!("the server allows {most} open requests, {depth} wanted");
                return Err(io::Error::other(what));
            }
            wire.free = (0..most as u16).rev().collect();
        }
        Ok(())
    }

    /// Queues `count` frames of `template`, as far as credit and free ids allow; the rest is owed
    /// and goes with the next call.
    pub(super) fn queue(&mut self, template: &Template, count: usize) {
        self.owed += count;
        let Reader::Frames(wire) = &mut self.reader else {
            while self.owed > 0 {
                self.out.extend_from_slice(template.nth(self.cursor));
                self.cursor = (self.cursor + 1) % COUNT;
                self.owed -= 1;
            }
            return;
        };
        while self.owed > 0 {
            let index = if template.by_id { wire.free.last().copied() } else { Some(0) };
            let Some(index) = index else { return };
            let bytes = template.nth(usize::from(index));
            if bytes[0] & 0x80 != 0 {
                let end = wire.sent + template.frame as u64;
                if end > wire.limit {
                    return;
                }
                wire.sent = end;
            }
            if template.by_id {
                wire.free.pop();
            }
            self.out.extend_from_slice(bytes);
            self.owed -= 1;
        }
    }

    /// Queues an acknowledgement of all that came, if there is anything new.
    pub(super) fn report(&mut self) {
        if let Reader::Frames(wire) = &mut self.reader {
            wire.report(&mut self.out);
        }
    }

    /// Reads once and tells what came.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Arrived> {
        let n = match self.stream.read(buffer) {
            Ok(0) => {
                return Ok(Arrived { closed: true, ..Arrived::default() });
            }
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Arrived::default()),
            Err(e) => return Err(e),
        };
        match (&mut self.reader, self.answers) {
            (Reader::Frames(wire), _) => wire.input(&buffer[..n], &mut self.out),
            (Reader::Count { partial }, Answers::Bytes(size)) => {
                let all = *partial + n;
                *partial = all % size;
                Ok(Arrived { replies: (all / size) as u32, ..Arrived::default() })
            }
            (Reader::Count { .. }, Answers::Frames) => Ok(Arrived::default()),
        }
    }

    /// Hands what is queued to the socket; on a blocking socket all of it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() || !self.backlog.is_empty() {
            write_or_keep(&mut self.stream, &mut self.backlog, &self.out)?;
            self.out.clear();
            self.sent_at = Instant::now();
        }
        Ok(())
    }

    pub(super) const fn blocked(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Waits for room to write exactly while something waits for it.
    pub(super) fn adjust(&mut self, epoll: &Epoll, token: usize) -> io::Result<()> {
        let waits = self.blocked();
        if waits == self.waiting {
            return Ok(());
        }
        self.waiting = waits;
        let interest = if waits { Interest::ReadAndWrite } else { Interest::Read };
        epoll.modify(&self.stream, token as u64, interest)
    }

    /// Ends our direction and waits, blocking, for the server to end its own.
    pub(super) fn finish(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.shutdown(Shutdown::Write)?;
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Drop for Link {
    /// Resets instead of closing, so that no port is held back by the kernel afterwards.
    fn drop(&mut self) {
        let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
