//! Two ends in virtual time over byte streams, with one step function.
//!
//! A [`World`] holds a client and a server built from the real core, the connections between them,
//! and an application at each end that judges what arrives. [`World::step`] performs one
//! [`Action`]; nothing else changes a world. Who chooses the actions makes the harness: all of them
//! in turn is an explorer, chance is a simulator, bytes from a fuzzer are a fuzz target.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the state, the actions |
//! | `step.rs` | what each action does |
//! | `desk.rs` | a server: who owns which session, crashes |
//! | `check.rs` | what must hold after every step, and in the end |
//! | `start.rs` | sessions that start at any position |

mod check;
mod desk;
mod start;
mod step;

use outlast_core::{Config, Instant, Session};

pub use desk::{Desk, Served, Store};

use crate::link::Pipe;
use crate::model::{App, Plan, Wrong};

/// Which end.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Party {
    /// The one that dials.
    Client,
    /// The one that accepts.
    Server,
}

/// What stays the same in one world.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The client's configuration.
    pub client: Config,
    /// The server's configuration.
    pub server: Config,
    /// What the client says.
    pub up: Plan,
    /// What the server says.
    pub down: Plan,
    /// Bytes under way that a connection takes, in each direction.
    pub capacity: usize,
    /// What the server stores.
    pub store: Store,
    /// Whether a session may be lost: only where state is.
    pub may_lose: bool,
}

/// One thing that happens.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// The client opens a connection. A present one is abandoned: the client no longer looks at
    /// it, and what it wrote there can still arrive.
    Dial,
    /// An end writes what it has to, through a buffer of so many bytes, of which the transport
    /// takes at most so many.
    Write {
        /// Which connection.
        wire: u32,
        /// Who writes.
        by: Party,
        /// Size of the buffer; zero lends the ring instead of copying it.
        buffer: usize,
        /// Bytes that the transport takes.
        take: usize,
    },
    /// An end reads up to so many bytes; zero is one frame.
    Read {
        /// Which connection.
        wire: u32,
        /// Who reads.
        by: Party,
        /// How many bytes.
        most: usize,
    },
    /// An application sends its next item or fragment.
    Send(Party),
    /// An application answers the oldest request.
    Answer(Party),
    /// An application releases the oldest item it holds.
    Release(Party),
    /// An application finishes.
    Finish(Party),
    /// A connection breaks; so many bytes of each direction still arrive.
    Cut {
        /// Which connection.
        wire: u32,
        /// Bytes to the server that are not lost.
        up: usize,
        /// Bytes to the client that are not lost.
        down: usize,
    },
    /// One direction of a connection stops or goes on.
    Stall {
        /// Which connection.
        wire: u32,
        /// The direction: who is not heard.
        from: Party,
        /// Whether it stops.
        on: bool,
    },
    /// One direction of a connection swallows everything from now on.
    Blacken {
        /// Which connection.
        wire: u32,
        /// Who is not heard any more.
        from: Party,
    },
    /// So many microseconds pass; then both ends look at the clock.
    Elapse(u64),
    /// The server replaces the key of the client's session.
    Rotate,
    /// The server keeps a copy of its session to be set back to later.
    Remember,
    /// The server crashes and restarts from what it stored.
    Crash,
    /// The server announces that it will leave.
    Drain,
}

/// One end: its session, its application, and bytes of a frame that is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct End {
    /// The session.
    pub session: Session<Vec<u8>>,
    /// Its application.
    pub app: App,
    /// Received and not yet consumed.
    pub inbox: Vec<u8>,
    /// Polled and not yet taken by the transport.
    pub outbox: Vec<u8>,
    /// The connection it has.
    pub wire: Option<u32>,
}

impl End {
    const fn new(session: Session<Vec<u8>>, app: App) -> Self {
        Self { session, app, inbox: Vec::new(), outbox: Vec::new(), wire: None }
    }
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wire {
    /// Its number; numbers are not used again.
    pub id: u32,
    /// To the server.
    pub up: Pipe,
    /// To the client.
    pub down: Pipe,
    /// The server's end of it.
    pub seat: Seat,
}

/// What the server has at its end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Seat {
    /// A client that was not let in yet.
    Greeting(outlast_core::Acceptor, Vec<u8>),
    /// A session, by its number, and the right to it.
    Bound(u64, outlast_core::registry::Lease),
    /// A refusal that has to be written before the end.
    Refused(Vec<u8>),
    /// Nothing.
    Gone,
}

/// Client, server, what is between them, and how late it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The time.
    pub now: Instant,
    /// The client.
    pub client: End,
    /// The server.
    pub desk: Desk,
    /// The connections, oldest first.
    pub wires: Vec<Wire>,
    /// How many connections there have been.
    pub dials: u32,
    /// Faults that really changed something, by kind: cuts, stalls, takeovers, crashes, losses.
    /// Counts are no part of the state.
    pub seen: Seen,
}

/// Counts that two equal worlds may differ in.
#[derive(Debug, Copy, Clone, Default)]
pub struct Seen {
    /// Connections that broke with bytes under way.
    pub lossy_cuts: u32,
    /// Connections that were taken over while the server still had them.
    pub takeovers: u32,
    /// Resumes that succeeded.
    pub resumes: u32,
    /// Crashes.
    pub crashes: u32,
    /// Refused resumes.
    pub refusals: u32,
    /// Bytes of abandoned connections that reached the server and were dropped.
    pub fenced_bytes: u32,
    /// Connections given up for silence.
    pub silences: u32,
}

impl std::ops::AddAssign for Seen {
    fn add_assign(&mut self, other: Self) {
        self.lossy_cuts += other.lossy_cuts;
        self.takeovers += other.takeovers;
        self.resumes += other.resumes;
        self.crashes += other.crashes;
        self.refusals += other.refusals;
        self.fenced_bytes += other.fenced_bytes;
        self.silences += other.silences;
    }
}

impl PartialEq for Seen {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Seen {}

impl std::hash::Hash for Seen {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl World {
    /// A world in which nothing has happened yet.
    ///
    /// # Errors
    ///
    /// If a configuration is out of range.
    pub fn new(rules: &Rules) -> Result<Self, Wrong> {
        let wrong = |error: outlast_core::ConfigError| Wrong(error.to_string());
        rules.server.validate().map_err(wrong)?;
        let session = Session::client(rules.client, Vec::new()).map_err(wrong)?;
        let manual = rules.client.release == outlast_core::Release::Manual;
        Ok(Self {
            now: Instant::from_micros(1_000_000),
            client: End::new(session, App::new(rules.up, rules.down, manual)),
            desk: Desk::default(),
            wires: Vec::new(),
            dials: 0,
            seen: Seen::default(),
        })
    }

    /// The server's end of the client's session.
    #[must_use]
    pub fn served(&self) -> Option<&Served> {
        let id = self.client.session.id()?;
        self.desk.find(id)
    }

    /// The connection with this number.
    #[must_use]
    pub fn wire(&self, id: u32) -> Option<&Wire> {
        self.wires.iter().find(|wire| wire.id == id)
    }

    pub(crate) fn wire_mut(&mut self, id: u32) -> Option<&mut Wire> {
        self.wires.iter_mut().find(|wire| wire.id == id)
    }
}

impl Wire {
    /// The direction that carries what `party` writes.
    #[must_use]
    pub const fn written_by(&self, party: Party) -> &Pipe {
        match party {
            Party::Client => &self.up,
            Party::Server => &self.down,
        }
    }

    pub(crate) const fn written_by_mut(&mut self, party: Party) -> &mut Pipe {
        match party {
            Party::Client => &mut self.up,
            Party::Server => &mut self.down,
        }
    }
}

impl Party {
    /// Both, the client first.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}
