//! One end of a session: what outlasts its connections, and the connection it has now.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the state and the getters |
//! | `attach.rs` | handshakes, resuming, losing a connection |
//! | `input.rs` | bytes in: frames, positions, credit, events |
//! | `output.rs` | bytes out: control frames first, then the ring |
//! | `send.rs` | what the application wants to send |
//! | `clock.rs` | time: deadlines, heartbeats |
//! | `close.rs` | the ways a connection and a session end |
//! | `compare.rs` | when two sessions behave alike, for exploring all of them |

mod attach;
mod clock;
mod close;
mod compare;
mod input;
mod output;
mod send;

pub use attach::{Accepted, Attach};
pub use output::Parts;
pub use send::SendError;
pub(crate) use send::bitmap_len;

use core::num::NonZeroU64;

use crate::code::CloseCode;
use crate::config::{Config, ConfigError};
use crate::event::{Head, Position};
use crate::link::Link;
use crate::ring::Ring;
use crate::state::{LinkState, SessionState};
use crate::stats::Stats;
use crate::storage::Storage;
use crate::time::Instant;
use crate::window::Window;
use crate::wire::Grant;

/// Bytes that a buffer given to [`Session::poll_transmit`] needs to hold any control frames.
pub const CONTROL_MAX: usize = 96;

/// Bytes that a buffer for a handshake frame needs.
pub const HANDSHAKE_MAX: usize = 1024;

/// One end of a session.
///
/// A driver owns the transport and the clock. While a connection is up it calls, in any order and
/// as often as it likes:
///
/// 1. [`handle_input`](Self::handle_input) with received bytes, until it returns `None`;
/// 2. [`poll_transmit`](Self::poll_transmit), and writes what it yields, until it yields nothing;
/// 3. [`poll_timeout`](Self::poll_timeout), and calls [`handle_timeout`](Self::handle_timeout) once
///    that time has come.
///
/// Skipping a step delays and never corrupts: while an event or output waits, `poll_timeout` names
/// a time that has come already. A driver that waits for its transport to become writable asks
/// [`next_deadline`](Self::next_deadline) instead, which leaves output out.
///
/// The state machines are in [`state`](crate::state); the meaning of every number is in the
/// specification, areas POS, CRD and RSM.
#[derive(Debug, Clone)]
pub struct Session<S: ?Sized> {
    pub(crate) config: Config,
    pub(crate) state: SessionState,
    pub(crate) role: Role,
    pub(crate) identity: Identity,
    pub(crate) peer: PeerLimits,
    pub(crate) tx: Tx,
    pub(crate) rx: Rx,
    pub(crate) window: Window,
    /// The peer's message whose last fragment has not come yet.
    pub(crate) open_in: Option<Open>,
    /// Our message whose last fragment has not been given yet.
    pub(crate) open_out: Option<Open>,
    pub(crate) pending: Pending,
    /// Where the last connection died of an error, and how often in a row.
    pub(crate) poison: Poison,
    /// Why the session is dead.
    pub(crate) death: Option<Death>,
    /// Hint where the next free request number is.
    pub(crate) next_id: u16,
    pub(crate) link: Link,
    pub(crate) stats: Stats,
    /// Last, so that sessions of any size are one type: `&mut Session<[u8]>`.
    pub(crate) ring: Ring<S>,
}

/// Which end of a session this is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Role {
    /// Dials, and is given its identity.
    Client,
    /// Accepts, and gives identities.
    Server,
}

/// Who a session is, and what proves it. `Debug` does not print the key.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) sid: u64,
    pub(crate) epoch: u32,
    /// Number of the last attempt to attach.
    pub(crate) attach: u32,
    pub(crate) key_id: u8,
    pub(crate) key: [u8; 16],
    /// The replacement key, until the peer acknowledged that it has it, and where that is.
    pub(crate) next_key: Option<NextKey>,
}

#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NextKey {
    pub(crate) key_id: u8,
    pub(crate) key: [u8; 16],
    pub(crate) position: u64,
}

impl core::fmt::Debug for Identity {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Identity")
            .field("sid", &self.sid)
            .field("epoch", &self.epoch)
            .field("attach", &self.attach)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// What the peer declared; fixed for the life of the session.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct PeerLimits {
    /// Longest body to send: the least of the peer's limit, its window and our ring.
    pub(crate) max_body: u16,
    pub(crate) max_requests: u16,
    pub(crate) max_message: u32,
    pub(crate) send_buffer: u32,
    /// How long the session is kept without a connection, in seconds.
    pub(crate) retention_s: u32,
}

/// Positions of the sending direction: `acked <= sent <= high <= end`. `end` is `acked` plus what
/// the ring retains.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Tx {
    /// The peer released up to here.
    pub(crate) acked: u64,
    /// Handed to the present connection.
    pub(crate) sent: u64,
    /// Highest position ever handed to any connection.
    pub(crate) high: u64,
    /// The peer's credit.
    pub(crate) limit: u64,
    /// First frame boundary at or after `sent`.
    pub(crate) frame_end: u64,
    /// Last frame boundary known to be within the credit.
    pub(crate) gate: u64,
    /// Position after our FIN.
    pub(crate) fin: Option<NonZeroU64>,
}

/// Positions of the receiving direction: `reported <= done <= next <= limit`.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Rx {
    /// Received.
    pub(crate) next: u64,
    /// Released by the application.
    pub(crate) done: u64,
    /// In manual release: after the last frame that the application was shown.
    pub(crate) shown: u64,
    /// What the peer was last told about `done`.
    pub(crate) reported: u64,
    /// Credit the peer was given.
    pub(crate) limit: u64,
    /// The peer finished.
    pub(crate) finished: bool,
    /// The last frame left nothing open, so that the next may take the short path.
    pub(crate) plain: bool,
}

/// A message of which some fragments have passed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Open {
    pub(crate) head: Head,
    /// Payload bytes so far.
    pub(crate) total: u32,
}

/// Events that wait to be told.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pending(u8);

impl Pending {
    pub(crate) const ATTACHED: Self = Self(1);
    pub(crate) const ACKNOWLEDGED: Self = Self(2);
    pub(crate) const WRITABLE: Self = Self(4);
    pub(crate) const DISCONNECTED: Self = Self(8);
    pub(crate) const ENDED: Self = Self(16);
    pub(crate) const LOST: Self = Self(32);
    /// Not an event: a send was refused for want of room.
    pub(crate) const BLOCKED: Self = Self(64);

    const EVENTS: u8 = 63;

    #[inline]
    pub(crate) const fn any(self) -> bool {
        self.0 & Self::EVENTS != 0
    }

    pub(crate) const fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    pub(crate) const fn take(&mut self, what: Self) -> bool {
        let had = self.0 & what.0 != 0;
        self.0 &= !what.0;
        had
    }
}

/// Two connections in a row lost to an error at the same place end the session.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Poison {
    pub(crate) next: u64,
    pub(crate) acked: u64,
    pub(crate) count: u8,
}

/// Why a session cannot be resumed, and what the peer had received if it said so.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct Death {
    /// Why.
    pub code: CloseCode,
    /// How far the peer received.
    pub peer_received: Option<Position>,
}

impl<S: Storage> Session<S> {
    /// A client's session, which the server will name at the first attach.
    ///
    /// `storage` keeps what is sent until it is acknowledged; memory that can grow is grown up to
    /// [`Config::send_buffer`].
    ///
    /// # Errors
    ///
    /// If `config` is out of range.
    pub fn client(config: Config, storage: S) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::new(config, Role::Client, SessionState::New, storage))
    }

    pub(crate) fn new(config: Config, role: Role, state: SessionState, storage: S) -> Self {
        let limit = usize::try_from(config.send_buffer).unwrap_or(usize::MAX);
        Self {
            config,
            state,
            role,
            identity: Identity {
                sid: 0,
                epoch: 0,
                attach: 0,
                key_id: 0,
                key: [0; 16],
                next_key: None,
            },
            peer: PeerLimits::default(),
            tx: Tx::default(),
            rx: Rx::default(),
            window: Window::new(config.window, config.window_max),
            open_in: None,
            open_out: None,
            pending: Pending::default(),
            poison: Poison::default(),
            death: None,
            next_id: 0,
            link: Link::idle(Instant::from_micros(0)),
            stats: Stats::default(),
            ring: Ring::new(storage, limit),
        }
    }
}

impl<S: Storage + ?Sized> Session<S> {
    /// State of the session.
    #[must_use]
    pub const fn state(&self) -> SessionState {
        self.state
    }

    /// State of the connection that carries the session now.
    #[must_use]
    pub const fn link_state(&self) -> LinkState {
        self.link.state
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The session's number, once the server gave it one.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        (self.state != SessionState::New).then_some(self.identity.sid)
    }

    /// Number of the last attempt to attach.
    #[must_use]
    pub const fn attach_count(&self) -> u32 {
        self.identity.attach
    }

    /// Why the session is dead, if it is.
    #[must_use]
    pub const fn death(&self) -> Option<Death> {
        self.death
    }

    /// What counts and has been counted since the session began.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        self.stats
    }

    /// How far the peer has taken what was sent.
    #[must_use]
    pub const fn acknowledged(&self) -> Position {
        Position(self.tx.acked)
    }

    /// The position after everything sent so far.
    #[must_use]
    pub fn sent(&self) -> Position {
        Position(self.tx_end())
    }

    /// The position after everything ever handed to a connection.
    #[must_use]
    pub const fn transmitted(&self) -> Position {
        Position(self.tx.high)
    }

    /// The position after everything received so far.
    #[must_use]
    pub const fn received(&self) -> Position {
        Position(self.rx.next)
    }

    /// Bytes that sending can still take before it is [`SendError::Full`].
    #[must_use]
    pub const fn room(&self) -> usize {
        self.ring.room()
    }

    /// Bytes retained because the peer has not acknowledged them.
    #[must_use]
    pub const fn unacknowledged(&self) -> usize {
        self.ring.len()
    }

    /// The frames in the ring from position `from` on, as two runs of bytes: what the peer has not
    /// acknowledged, or, with the position at which it said it stopped, what it never received.
    #[must_use]
    pub fn retained(&self, from: Position) -> [&[u8]; 2] {
        self.ring.slices(self.offset(from.0.max(self.tx.acked)), self.ring.len())
    }

    /// Gives storage that can grow back while nothing needs it. This also happens by itself with
    /// each heartbeat.
    pub fn shrink(&mut self) {
        let bits_in_use = self.ring.any_bit();
        self.ring.shrink(bits_in_use);
    }

    /// Bytes of storage held now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.ring.held()
    }

    /// Smoothed round trip in microseconds, or 0 before the first sample of this connection.
    #[must_use]
    pub const fn rtt_us(&self) -> u32 {
        self.link.heartbeat.rtt_us()
    }

    /// Longest payload of a one-way message that fits one frame, for routes below 252.
    #[must_use]
    pub const fn max_body(&self) -> u16 {
        self.peer.max_body
    }

    /// Longest message the peer accepts.
    #[must_use]
    pub const fn max_message(&self) -> u32 {
        self.peer.max_message
    }

    /// Requests that may be open at the peer at once.
    #[must_use]
    pub const fn max_requests(&self) -> u16 {
        self.peer.max_requests
    }

    /// How long the server keeps the session without a connection, in seconds.
    #[must_use]
    pub const fn retention_s(&self) -> u32 {
        self.peer.retention_s
    }

    /// Whether the peer has been heard since the handshake. Until then a server's new session is
    /// unconfirmed: its client may never have learnt its name.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.link.confirmed
    }

    /// Whether this connection only lingers: write what is left, shut writing down, read to the
    /// end.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        matches!(self.link.state, LinkState::Closing | LinkState::Closed)
    }

    /// What the present name and key are, for a registry that checks resumes.
    #[must_use]
    pub const fn grant(&self) -> Grant {
        Grant {
            sid: self.identity.sid,
            epoch: self.identity.epoch,
            key_id: self.identity.key_id,
            key: self.identity.key,
        }
    }

    /// The position after the last frame in the ring.
    #[inline]
    pub(crate) fn tx_end(&self) -> u64 {
        self.tx.acked + self.ring.len() as u64
    }

    /// Where in the ring a position is.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the ring is shorter than 2^30 bytes")]
    pub(crate) const fn offset(&self, position: u64) -> usize {
        position.saturating_sub(self.tx.acked) as usize
    }
}
