//! Many idle connections.

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::Instant;

use super::dialect::{Dialect, ECHO_SIZE, EchoWith};
use super::engine::Engine;
use super::link::Link;
use super::outlast::Arrived;
use super::template::Template;
use super::{PATIENCE, stalled};

/// What a new connection does before it counts as accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Greeting {
    /// Its protocol's own handshake, or nothing where there is none.
    Own,
    /// One echo where there is no handshake, which costs the same round trip.
    Echo,
}

/// Connections that mostly do nothing.
pub(crate) struct Crowd {
    engine: Engine,
    dialect: Dialect,
    echo: EchoWith,
    /// Connections that the server refused or dropped before they were open.
    pub(crate) refused: usize,
}

impl Crowd {
    /// Connects `count` links, at most `in_flight` of them in their handshake at a time.
    ///
    /// `silence_ms` is the limit on the server's silence that outlast links declare.
    pub(crate) fn gather(
        address: SocketAddr,
        dialect: Dialect,
        echo: EchoWith,
        greeting: Greeting,
        silence_ms: u32,
        (count, in_flight): (usize, usize),
    ) -> io::Result<Self> {
        let mut crowd = Self { engine: Engine::new()?, dialect, echo, refused: 0 };
        let template = Template::echo(dialect, echo, ECHO_SIZE);
        let mut pending = 0;
        let mut begun = 0;
        while begun < count || pending > 0 {
            if begun < count && pending < in_flight {
                begun += 1;
                let Ok(mut link) = Link::connect(address, dialect) else {
                    crowd.refused += 1;
                    continue;
                };
                let greets = link.greet(silence_ms);
                if !greets && greeting == Greeting::Echo {
                    link.expect(&template, 1)?;
                    link.queue(&template, 1);
                }
                if greets || greeting == Greeting::Echo {
                    pending += 1;
                }
                link.flush()?;
                link.stream.set_nonblocking(true)?;
                crowd.engine.add(link)?;
                if pending < in_flight {
                    continue;
                }
            }
            if pending > 0 {
                pending -= crowd.opened()?;
            }
        }
        Ok(crowd)
    }

    /// Waits for handshakes and returns how many were finished.
    fn opened(&mut self) -> io::Result<usize> {
        let mut done = 0;
        let moved = self.engine.pump(PATIENCE, |_, _, arrived| {
            done += usize::from(arrived.welcomed || arrived.replies > 0);
        })?;
        if moved { Ok(done) } else { Err(stalled("handshakes")) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.engine.links.len()
    }

    /// One echo on every connection, `in_flight` at a time, all of it acknowledged at the end.
    pub(crate) fn echo_each(&mut self, in_flight: usize) -> io::Result<()> {
        let template = Template::echo(self.dialect, self.echo, ECHO_SIZE);
        self.each(&template, in_flight, |arrived| arrived.replies > 0)?;
        self.engine.report_all()
    }

    /// One heartbeat that the server must answer on every connection, one after the other, so
    /// that each wakes the server as a real one would.
    pub(crate) fn beat_each(&mut self) -> io::Result<()> {
        let template = Template::heartbeat(self.dialect);
        self.each(&template, 1, |arrived| arrived.replies > 0 || arrived.beats > 0)
    }

    fn each(
        &mut self,
        template: &Template,
        in_flight: usize,
        answered: impl Fn(Arrived) -> bool,
    ) -> io::Result<()> {
        let (mut next, mut open) = (0, 0usize);
        while next < self.engine.links.len() || open > 0 {
            while open < in_flight && next < self.engine.links.len() {
                let link = &mut self.engine.links[next];
                link.expect(template, 1)?;
                link.queue(template, 1);
                link.flush()?;
                next += 1;
                open += 1;
            }
            let moved = self.engine.pump(PATIENCE, |_, _, arrived| {
                open = open.saturating_sub(usize::from(answered(arrived)));
            })?;
            if !moved {
                return Err(stalled("one answer per connection"));
            }
        }
        Ok(())
    }

    /// Only listens for `duration` and returns how many beats the server sent by itself.
    pub(crate) fn listen(&mut self, duration: Duration) -> io::Result<u64> {
        let begin = Instant::now();
        let mut beats = 0;
        while begin.elapsed() < duration {
            self.engine.pump(Duration::from_millis(20), |_, _, arrived| {
                beats += u64::from(arrived.beats);
            })?;
        }
        Ok(beats)
    }
}
