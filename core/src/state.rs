//! The two state machines as tables: one transport's life, and the life of what outlasts it.
//!
//! Both are plain functions from a state and an event to the next state, so that the code that runs
//! and the tables and diagrams in the documentation cannot differ.

use core::fmt;

/// State of the connection that carries a session now.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkState {
    /// No transport.
    Idle,
    /// A transport is up and the first handshake frame is awaited.
    Wait,
    /// The peer asked for another authentication step.
    Auth,
    /// The session is attached; messages flow.
    Open,
    /// As open, but one side announced that it will leave.
    Draining,
    /// Only output and the end of stream remain; input is discarded.
    Closing,
    /// The transport is of no more use.
    Closed,
}

/// What moves a connection from state to state.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LinkEvent {
    /// A transport exists.
    Up,
    /// The handshake is complete: HELLO accepted (server) or WELCOME received (client).
    Greeted,
    /// An authentication step arrived.
    Challenge,
    /// A frame that belongs to an open connection arrived.
    Frame,
    /// The peer broke the protocol or a limit.
    Violation,
    /// This end closes.
    Close,
    /// The peer sent CLOSE.
    PeerClose,
    /// One side announced that it will leave.
    Drain,
    /// The peer has been silent too long.
    Silence,
    /// The handshake, a frame or the linger ran out of time.
    Timeout,
    /// The transport ended or failed.
    Eof,
    /// Another connection took the session over.
    Fenced,
}

impl LinkState {
    /// Every state, in order.
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Wait,
        Self::Auth,
        Self::Open,
        Self::Draining,
        Self::Closing,
        Self::Closed,
    ];

    /// The state after `event`, or `None` where the event is illegal or without effect.
    #[must_use]
    pub const fn next(self, event: LinkEvent) -> Option<Self> {
        use LinkEvent as E;
        Some(match (self, event) {
            (Self::Idle | Self::Closed, E::Up) => Self::Wait,
            (Self::Wait | Self::Auth, E::Greeted) => Self::Open,
            (Self::Wait | Self::Auth, E::Challenge) => Self::Auth,
            (Self::Open, E::Frame) => Self::Open,
            (Self::Draining, E::Frame) => Self::Draining,
            (Self::Open | Self::Draining, E::Drain) => Self::Draining,
            (
                Self::Wait | Self::Auth | Self::Open | Self::Draining,
                E::Violation | E::Close | E::PeerClose,
            ) => Self::Closing,
            (Self::Open | Self::Draining, E::Timeout | E::Fenced) => Self::Closing,
            (Self::Wait | Self::Auth | Self::Closing, E::Timeout | E::Fenced) => Self::Closed,
            (Self::Open | Self::Draining, E::Silence) => Self::Closed,
            (
                Self::Idle | Self::Wait | Self::Auth | Self::Open | Self::Draining | Self::Closing,
                E::Eof,
            ) => Self::Closed,
            (
                Self::Idle
                | Self::Wait
                | Self::Auth
                | Self::Open
                | Self::Draining
                | Self::Closing
                | Self::Closed,
                _,
            ) => return None,
        })
    }

    /// As [`next`](Self::next), looked up: the comparisons would be twice as long.
    pub(crate) fn after(self, event: LinkEvent) -> Option<Self> {
        *Self::TABLE.get(event as usize)?.get(self as usize)?
    }

    #[expect(clippy::indexing_slicing, reason = "at compile time")]
    const TABLE: [[Option<Self>; 7]; 12] = {
        let mut table = [[None; 7]; 12];
        let mut at = 0;
        while at < 7 * 12 {
            let (event, state) = (LinkEvent::ALL[at / 7], Self::ALL[at % 7]);
            table[event as usize][state as usize] = state.next(event);
            at += 1;
        }
        table
    };

    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Wait => "wait",
            Self::Auth => "auth",
            Self::Open => "open",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl LinkEvent {
    /// Every event, in order.
    pub const ALL: [Self; 12] = [
        Self::Up,
        Self::Greeted,
        Self::Challenge,
        Self::Frame,
        Self::Violation,
        Self::Close,
        Self::PeerClose,
        Self::Drain,
        Self::Silence,
        Self::Timeout,
        Self::Eof,
        Self::Fenced,
    ];

    /// The event's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Greeted => "greeted",
            Self::Challenge => "challenge",
            Self::Frame => "frame",
            Self::Violation => "violation",
            Self::Close => "close",
            Self::PeerClose => "peer-close",
            Self::Drain => "drain",
            Self::Silence => "silence",
            Self::Timeout => "timeout",
            Self::Eof => "eof",
            Self::Fenced => "fenced",
        }
    }
}

/// State of a session.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionState {
    /// A client's session before the server named it. Nothing can be sent yet.
    New,
    /// A connection carries it.
    Attached,
    /// No connection carries it; it keeps what it must and can be attached again.
    Detached,
    /// Both ends finished, or one ended it with the code for that.
    Ended,
    /// It cannot be resumed; [`Session::death`](crate::Session::death) says why.
    Dead,
    /// A snapshot took its place.
    Exported,
}

/// What moves a session from state to state.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionEvent {
    /// A connection was greeted and the positions of both ends fit.
    Attach,
    /// The connection is gone.
    Detach,
    /// Every message of both ends was acknowledged after both finished.
    Finished,
    /// An error that no other connection can heal, an expiry or an eviction.
    Fatal,
    /// A snapshot was taken to continue elsewhere.
    Export,
}

impl SessionState {
    /// Every state, in order.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Attached, Self::Detached, Self::Ended, Self::Dead, Self::Exported];

    /// The state after `event`, or `None` where the event is illegal or without effect.
    #[must_use]
    pub const fn next(self, event: SessionEvent) -> Option<Self> {
        use SessionEvent as E;
        Some(match (self, event) {
            (Self::New | Self::Detached, E::Attach) => Self::Attached,
            (Self::Attached, E::Attach) => Self::Attached,
            (Self::New, E::Detach) => Self::New,
            (Self::Attached | Self::Detached, E::Detach) => Self::Detached,
            (Self::Attached | Self::Detached, E::Finished) => Self::Ended,
            (Self::New | Self::Attached | Self::Detached, E::Fatal) => Self::Dead,
            (Self::Attached | Self::Detached, E::Export) => Self::Exported,
            (Self::New, E::Finished | E::Export)
            | (Self::Ended | Self::Dead | Self::Exported, _) => return None,
        })
    }

    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Ended => "ended",
            Self::Dead => "dead",
            Self::Exported => "exported",
        }
    }
}

impl SessionEvent {
    /// Every event, in order.
    pub const ALL: [Self; 5] =
        [Self::Attach, Self::Detach, Self::Finished, Self::Fatal, Self::Export];

    /// The event's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
            Self::Finished => "finished",
            Self::Fatal => "fatal",
            Self::Export => "export",
        }
    }
}

/// A verb was used in a state that does not admit it. The connection and the session are unchanged.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StateError {
    pub(crate) verb: Verb,
    pub(crate) state: Obstacle,
}

/// What was refused: a number, whose words are linked only where somebody reads them.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(not(feature = "upkeep"), expect(dead_code, reason = "some are verbs of upkeep"))]
pub(crate) enum Verb {
    Attach,
    Authenticate,
    Challenge,
    Drain,
    Export,
    RotateKey,
    Send,
    SendNote,
    Snapshot,
}

/// What stood against it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(not(feature = "upkeep"), expect(dead_code, reason = "some stand against upkeep"))]
pub(crate) enum Obstacle {
    Link(LinkState),
    Session(SessionState),
    Finished,
    Client,
    Rotating,
    SameKey,
    LongAddress,
    LongHandshake,
    LongStep,
    NoRoomForStep,
    NoMoreSteps,
}

impl StateError {
    pub(crate) const fn new(verb: Verb, state: Obstacle) -> Self {
        Self { verb, state }
    }

    /// The verb that was refused.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self.verb {
            Verb::Attach => "attach",
            Verb::Authenticate => "authenticate",
            Verb::Challenge => "challenge",
            Verb::Drain => "drain",
            Verb::Export => "export",
            Verb::RotateKey => "rotate the key",
            Verb::Send => "send",
            Verb::SendNote => "send a note",
            Verb::Snapshot => "snapshot",
        }
    }

    /// Name of the state that does not admit it.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        match self.state {
            Obstacle::Link(state) => state.name(),
            Obstacle::Session(state) => state.name(),
            Obstacle::Finished => "finished",
            Obstacle::Client => "client",
            Obstacle::Rotating => "rotating",
            Obstacle::SameKey => "the present key has this number",
            Obstacle::LongAddress => "the address exceeds 255 bytes",
            Obstacle::LongHandshake => "the handshake does not fit its 1024 bytes or the buffer",
            Obstacle::LongStep => "the step does not fit",
            Obstacle::NoRoomForStep => "out of room for the step",
            Obstacle::NoMoreSteps => "out of authentication steps",
        }
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} while {}", self.verb(), self.state())
    }
}

impl core::error::Error for StateError {}

/// Prints a machine's table: a row for each state, a column for each event.
///
/// # Errors
///
/// Those of `out`.
pub fn write_link_table(out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "| state |")?;
    for event in LinkEvent::ALL {
        write!(out, " {} |", event.name())?;
    }
    write!(out, "\n|---|{}", "---|".repeat_to(LinkEvent::ALL.len()))?;
    for state in LinkState::ALL {
        write!(out, "\n| {} |", state.name())?;
        for event in LinkEvent::ALL {
            write!(out, " {} |", state.next(event).map_or("", LinkState::name))?;
        }
    }
    writeln!(out)
}

/// As [`write_link_table`], for the session's machine.
///
/// # Errors
///
/// Those of `out`.
pub fn write_session_table(out: &mut dyn fmt::Write) -> fmt::Result {
    write!(out, "| state |")?;
    for event in SessionEvent::ALL {
        write!(out, " {} |", event.name())?;
    }
    write!(out, "\n|---|{}", "---|".repeat_to(SessionEvent::ALL.len()))?;
    for state in SessionState::ALL {
        write!(out, "\n| {} |", state.name())?;
        for event in SessionEvent::ALL {
            write!(out, " {} |", state.next(event).map_or("", SessionState::name))?;
        }
    }
    writeln!(out)
}

/// Prints the machine of connections as a DOT graph.
///
/// # Errors
///
/// Those of `out`.
pub fn write_link_dot(out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "digraph link {{")?;
    for state in LinkState::ALL {
        for event in LinkEvent::ALL {
            if let Some(next) = state.next(event)
                && next != state
            {
                let (from, to, label) = (state.name(), next.name(), event.name());
                writeln!(out, "  {from} -> {to} [label=\"{label}\"];")?;
            }
        }
    }
    writeln!(out, "}}")
}

/// Prints the machine of sessions as a DOT graph.
///
/// # Errors
///
/// Those of `out`.
pub fn write_session_dot(out: &mut dyn fmt::Write) -> fmt::Result {
    writeln!(out, "digraph session {{")?;
    for state in SessionState::ALL {
        for event in SessionEvent::ALL {
            if let Some(next) = state.next(event)
                && next != state
            {
                let (from, to, label) = (state.name(), next.name(), event.name());
                writeln!(out, "  {from} -> {to} [label=\"{label}\"];")?;
            }
        }
    }
    writeln!(out, "}}")
}

/// A string to print some number of times.
struct Repeated(&'static str, usize);

trait RepeatTo {
    fn repeat_to(self, count: usize) -> Repeated;
}

impl RepeatTo for &'static str {
    fn repeat_to(self, count: usize) -> Repeated {
        Repeated(self, count)
    }
}

impl fmt::Display for Repeated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.1).try_for_each(|_| f.write_str(self.0))
    }
}
