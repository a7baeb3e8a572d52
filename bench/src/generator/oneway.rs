//! One-way traffic: one connection, as fast as it is taken.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{self, Write};
use std::time::Instant;

use super::dialect::Dialect;
use super::link::Link;
use super::template;
use super::{PATIENCE, Tally, stalled};
use crate::sys::{Epoll, Interest};

/// Bytes of one write.
const BLOCK: usize = 256 * 1024;

/// Whole messages back to back, and where their frames end.
struct Block {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    messages: u64,
}

impl Block {
    fn new(dialect: Dialect, size: usize, max_body: usize) -> Self {
        let mut one = Vec::new();
        template::one_way(dialect, size, max_body, &mut one);
        let messages = (BLOCK / one.len()).max(1);
        let bytes = one.repeat(messages);
        let mut ends = Vec::new();
        if dialect == Dialect::Outlast {
            let mut at = 0;
            while let Some(len) = bytes.get(at + 2..at + 4) {
                at += 4 + usize::from(u16::from_le_bytes([len[0], len[1]]) & 0x3fff);
                ends.push(at);
            }
        }
        Self { bytes, ends, messages: messages as u64 }
    }

    /// The last frame end that is at most `credit` bytes from the block's begin.
    fn end_within(&self, credit: u64) -> usize {
        let credit = usize::try_from(credit).unwrap_or(usize::MAX);
        if credit >= self.bytes.len() {
            return self.bytes.len();
        }
        match self.ends.partition_point(|end| *end <= credit) {
            0 => 0,
            n => self.ends[n - 1],
        }
    }
}

/// Sends for `duration` on a new connection and returns once all of it has been dealt with:
/// the server has ended its direction behind ours, or (outlast) acknowledged everything.
pub(super) fn drive(
    address: SocketAddr,
    dialect: Dialect,
    size: usize,
    duration: Duration,
) -> io::Result<Tally> {
    let mut link = Link::open(address, dialect)?;
    match dialect {
        Dialect::Prefix | Dialect::Msgtrans => plain(&mut link, dialect, size, duration),
        Dialect::Outlast => with_credit(&mut link, size, duration),
    }
}

fn plain(link: &mut Link, dialect: Dialect, size: usize, duration: Duration) -> io::Result<Tally> {
    let block = Block::new(dialect, size, usize::MAX);
    link.stream.set_nonblocking(false)?;
    link.stream.set_write_timeout(Some(PATIENCE))?;
    let begin = Instant::now();
    let mut messages = 0;
    while begin.elapsed() < duration {
        link.stream.write_all(&block.bytes).map_err(give_up)?;
        messages += block.messages;
    }
    link.finish(PATIENCE).map_err(give_up)?;
    Ok(Tally { messages, wall: begin.elapsed(), latencies: Vec::new() })
}

fn give_up(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => stalled("one-way"),
        _ => error,
    }
}

fn with_credit(link: &mut Link, size: usize, duration: Duration) -> io::Result<Tally> {
    let max_body = link.wire().map_or(0, |wire| usize::from(wire.max_body));
    let block = Block::new(Dialect::Outlast, size, max_body);
    let mut epoll = Epoll::new(4)?;
    epoll.add(&link.stream, 0, Interest::Read)?;
    let begin = Instant::now();
    let mut last = begin;
    let mut blocks = 0;
    // Bytes of the current block that the socket has, and where the credit ends in it.
    let (mut at, mut end) = (0, 0);
    let mut buffer = vec![0; 64 * 1024];
    let mut events = Vec::new();
    let mut writable = true;
    loop {
        // Answers to probes name our position, so they go exactly where the written bytes end.
        if at == end {
            link.flush()?;
        }
        let going = at > 0 || begin.elapsed() < duration;
        let Some(wire) = link.wire() else {
            return Err(io::Error::other("not a session"));
        };
        if at == end && going {
            let base = wire.sent - at as u64;
            end = block.end_within(wire.limit - base).max(at);
            wire.sent = base + end as u64;
        }
        if !going && wire.acked == wire.sent {
            break;
        }
        if at < end && writable && !link.blocked() {
            match link.stream.write(&block.bytes[at..end]) {
                Ok(n) => at += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => writable = false,
                Err(e) => return Err(e),
            }
            if at == block.bytes.len() {
                blocks += 1;
                (at, end) = (0, 0);
            }
            if writable {
                last = Instant::now();
                continue;
            }
        }
        // Neither credit nor room: wait for an ACK or for the socket.
        let interest = if at < end { Interest::ReadAndWrite } else { Interest::Read };
        epoll.modify(&link.stream, 0, interest)?;
        epoll.wait(&mut events, Some(Duration::from_millis(100)))?;
        for event in &events {
            writable |= event.writable || at == end;
            if event.readable && link.receive(&mut buffer)?.closed {
                return Err(io::Error::other("the server closed the connection"));
            }
        }
        if events.is_empty() && last.elapsed() > PATIENCE {
            return Err(stalled("one-way"));
        }
    }
    let messages = blocks * block.messages;
    Ok(Tally { messages, wall: begin.elapsed(), latencies: Vec::new() })
}
