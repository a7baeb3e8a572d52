//! One neutral load generator for every server: one thread, raw epoll, frames encoded beforehand.
//!
//! Only the server differs between two rows of a table. The generator honours each protocol's
//! rules (for outlast: the handshake, the server's credit, acknowledgements, answers to probes)
//! and does no more than that.

mod crowd;
mod dialect;
mod engine;
mod fanout;
mod link;
mod oneway;
mod outlast;
mod template;

pub(crate) use crowd::{Crowd, Greeting};
pub(crate) use dialect::{Dialect, EchoWith};
pub(crate) use outlast::SILENCE_LIMIT_MS;

use core::net::SocketAddr;
use core::time::Duration;
use std::io;

use engine::Engine;
use template::Template;

/// The generator runs on this core only.
pub(crate) const GENERATOR_CORE: usize = 1;
/// Bytes of a message that fills buffers.
const FILL_SIZE: usize = 4_000;
/// How long a run may stall before it is given up.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a run puts on a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Load {
    /// Messages of `size` bytes on one connection, as fast as they are taken.
    OneWay { size: usize },
    /// `depth` open 64-byte requests on each of `connections`.
    Echo { connections: usize, depth: usize },
    /// 64-byte messages to all `connections`, `window` of them under way.
    FanOut { connections: usize, window: usize },
}

/// What one run gave, besides the server's CPU time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Messages delivered (one-way), answered (echo) or received (fan-out).
    pub(crate) messages: u64,
    /// From the first write to the last answer.
    pub(crate) wall: Duration,
    /// Round-trip times in ns, in order of arrival; only with one request per connection.
    pub(crate) latencies: Vec<u32>,
}

/// A connected load: handshakes are done, nothing is under way.
pub(crate) enum Session {
    OneWay { address: SocketAddr, dialect: Dialect, size: usize },
    Echo { engine: Engine, template: Template, depth: usize },
    FanOut { engine: Engine, template: Template, window: usize },
}

impl Session {
    /// Connects what `load` asks for.
    pub(crate) fn connect(
        address: SocketAddr,
        dialect: Dialect,
        echo: EchoWith,
        load: Load,
    ) -> io::Result<Self> {
        match load {
            Load::OneWay { size } => Ok(Self::OneWay { address, dialect, size }),
            Load::Echo { connections, depth } => {
                let template = Template::echo(dialect, echo, dialect::ECHO_SIZE);
                let engine = Engine::connect(address, dialect, &template, connections)?;
                Ok(Self::Echo { engine, template, depth })
            }
            Load::FanOut { connections, window } => {
                let template = Template::message(dialect, dialect::ECHO_SIZE);
                let mut engine = Engine::connect(address, dialect, &template, connections)?;
                fanout::roll_call(&mut engine, &template)?;
                Ok(Self::FanOut { engine, template, window })
            }
        }
    }

    /// Loads the server for `duration`, then waits until all of it has been dealt with.
    pub(crate) fn drive(&mut self, duration: Duration) -> io::Result<Tally> {
        match self {
            Self::OneWay { address, dialect, size } => {
                oneway::drive(*address, *dialect, *size, duration)
            }
            Self::Echo { engine, template, depth } => engine.echo(template, *depth, duration),
            Self::FanOut { engine, template, window } => {
                fanout::drive(engine, template, *window, duration)
            }
        }
    }

    /// One of the connections of a fan-out is not read from any more.
    pub(crate) fn deafen(&mut self) -> io::Result<()> {
        match self {
            Self::FanOut { engine, .. } => engine.deafen(),
            Self::OneWay { .. } | Self::Echo { .. } => Ok(()),
        }
    }

    /// Publishes `bytes` to everybody in long messages, one at a time: what the server's sessions
    /// hold then does not depend on how far each has come.
    pub(crate) fn fill(&mut self, dialect: Dialect, bytes: usize) -> io::Result<()> {
        let Self::FanOut { engine, .. } = self else {
            return Ok(());
        };
        let template = Template::message(dialect, FILL_SIZE);
        let mut left = bytes.div_ceil(FILL_SIZE) * engine.hearing();
        while left > 0 {
            let tally = fanout::drive(engine, &template, 1, Duration::from_millis(100))?;
            left = left.saturating_sub(tally.messages as usize);
        }
        Ok(())
    }
}

/// The error of a run that made no progress for [`PATIENCE`].
fn stalled(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{what} stalled, gave up"))
}
