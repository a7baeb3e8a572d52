//! Many links on one epoll, and the echo load.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use super::dialect::Dialect;
use super::link::Link;
use super::outlast::Arrived;
use super::template::Template;
use super::{PATIENCE, Tally, stalled};
use crate::sys::{Epoll, Event, Interest};

const READ_BUFFER: usize = 256 * 1024;
const EVENTS: usize = 512;

/// The links of a load.
pub(crate) struct Engine {
    pub(super) epoll: Epoll,
    pub(super) links: Vec<Link>,
    /// So many of the links, at the end, are not read from any more.
    deaf: usize,
    buffer: Vec<u8>,
    events: Vec<Event>,
}

impl Engine {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EVENTS)?,
            links: Vec::new(),
            deaf: 0,
            buffer: vec![0; READ_BUFFER],
            events: Vec::with_capacity(EVENTS),
        })
    }

    /// Opens `connections` links one after the other.
    pub(super) fn connect(
        address: SocketAddr,
        dialect: Dialect,
        template: &Template,
        connections: usize,
    ) -> io::Result<Self> {
        let mut engine = Self::new()?;
        for _ in 0..connections {
            let mut link = Link::open(address, dialect)?;
            link.expect(template, 1)?;
            engine.add(link)?;
        }
        Ok(engine)
    }

    pub(super) fn add(&mut self, link: Link) -> io::Result<()> {
        self.epoll.add(&link.stream, self.links.len() as u64, Interest::Read)?;
        self.links.push(link);
        Ok(())
    }

    /// Reads no more from the last link.
    pub(super) fn deafen(&mut self) -> io::Result<()> {
        if let Some(last) = self.links.len().checked_sub(1 + self.deaf) {
            self.epoll.remove(&self.links[last].stream)?;
            self.deaf += 1;
        }
        Ok(())
    }

    /// Links that are read from.
    pub(super) fn hearing(&self) -> usize {
        self.links.len() - self.deaf
    }

    /// Waits for input once, shows each link what it got, and flushes what that caused.
    /// Returns whether anything happened.
    pub(super) fn pump(
        &mut self,
        timeout: Duration,
        mut each: impl FnMut(usize, &mut Link, Arrived),
    ) -> io::Result<bool> {
        self.epoll.wait(&mut self.events, Some(timeout))?;
        for event in &self.events {
            let index = usize::try_from(event.token).map_err(io::Error::other)?;
            let link = &mut self.links[index];
            if event.readable {
                let arrived = link.receive(&mut self.buffer)?;
                if arrived.closed {
                    return Err(io::Error::other("the server closed the connection"));
                }
                each(index, link, arrived);
            }
            link.flush()?;
            link.adjust(&self.epoll, index)?;
        }
        Ok(!self.events.is_empty())
    }

    /// Acknowledges everything that came on every link.
    pub(super) fn report_all(&mut self) -> io::Result<()> {
        for (index, link) in self.links.iter_mut().enumerate() {
            link.report();
            link.flush()?;
            link.adjust(&self.epoll, index)?;
        }
        Ok(())
    }

    /// Keeps `depth` requests open on every link for `duration`, then waits for the last answer.
    pub(super) fn echo(
        &mut self,
        template: &Template,
        depth: usize,
        duration: Duration,
    ) -> io::Result<Tally> {
        let begin = Instant::now();
        let mut tally = Tally::default();
        if depth == 1 {
            tally.latencies.reserve(1 << 18);
        }
        let mut open = (depth * self.links.len()) as u64;
        for (index, link) in self.links.iter_mut().enumerate() {
            link.expect(template, depth)?;
            link.queue(template, depth);
            link.flush()?;
            link.adjust(&self.epoll, index)?;
        }
        let mut last = begin;
        while open > 0 {
            let going = last - begin < duration;
            let moved = self.pump(Duration::from_millis(100), |_, link, arrived| {
                let n = u64::from(arrived.replies);
                tally.messages += n;
                if depth == 1 && n == 1 {
                    let nanos = link.sent_at.elapsed().as_nanos();
                    tally.latencies.push(u32::try_from(nanos).unwrap_or(u32::MAX));
                }
                if going {
                    link.queue(template, arrived.replies as usize);
                } else {
                    // Answers to what is still owed for want of credit will come as well.
                    link.queue(template, 0);
                    open -= n;
                }
            })?;
            let now = Instant::now();
            if moved {
                last = now;
            } else if now - last > PATIENCE {
                return Err(stalled("echo"));
            }
        }
        tally.wall = begin.elapsed();
        Ok(tally)
    }
}
