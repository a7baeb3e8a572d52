//! One end of a session: what outlasts its connections, and the connection it has now.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | the state and the getters |
//! | `open.rs` | a server's new session |
//! | `attach.rs` | handshakes, resuming, losing a connection |
//! | `input.rs` | bytes in: frames, positions, credit |
//! | `deliver.rs` | sequenced frames in: events |
//! | `output.rs` | bytes out: control frames first, then the ring |
//! | `send.rs` | what the application wants to send |
//! | `clock.rs` | time: deadlines, heartbeats |
//! | `close.rs` | the ways a connection and a session end |
//! | `drain.rs` | what leaving means, and refusing what comes too late |
//! | `upkeep.rs` | the verbs for leaving and for replacing the key |
//! | `positions.rs` | how far either direction has come |
//! | `keys.rs` | replacing the key that resumes the session |
//! | `events.rs` | what waits to be told |
//! | `compare.rs` | when two sessions behave alike, for exploring all of them |

mod attach;
mod clock;
mod close;
mod compare;
mod deliver;
mod drain;
mod events;
mod input;
mod keys;
mod open;
mod output;
mod positions;
mod send;
#[cfg(feature = "upkeep")]
mod upkeep;
mod written;

pub use attach::Attach;
pub(crate) use events::Pending;
pub(crate) use keys::{key_before, last_token};
pub use open::Accepted;
pub use output::Parts;
pub(crate) use positions::{Rx, Tx};
pub(crate) use send::Bits;
pub use send::SendError;

use core::num::NonZeroU64;

use crate::code::CloseCode;
use crate::config::{Config, ConfigError, Rules};
use crate::event::{Head, Position};
use crate::link::{Link, Marks};
use crate::ring::Ring;
use crate::state::{LinkState, SessionState};
use crate::stats::Stats;
use crate::storage::Storage;
use crate::time::Instant;
use crate::window::Window;
use crate::wire::{Grant, RequestId};

/// Bytes that a buffer given to [`Session::poll_transmit`] needs to hold any control frames.
pub const CONTROL_MAX: usize = 96;

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
// In this order, because a microcontroller reaches what is in front with shorter instructions:
// flags first, then what every message moves.
#[derive(Debug, Clone)]
#[cfg_attr(target_pointer_width = "32", repr(C))]
pub struct Session<S: ?Sized> {
    pub(crate) state: SessionState,
    pub(crate) pending: Pending,
    /// Why the session is dead, if it is.
    pub(crate) death_code: CloseCode,
    /// Our message whose last fragment has not been given yet.
    pub(crate) open_out: Option<Open>,
    pub(crate) link: Link,
    pub(crate) tx: Tx,
    pub(crate) rx: Rx,
    /// Of a session that lives, where the last connection that carried it died of an error, if it
    /// did: `next` and `acked` never fall, so their sum (and one, for it is not 0) is the same only
    /// if both are. Of a dead one, one more than how far the peer received, if it said so.
    pub(crate) mark: Option<NonZeroU64>,
    pub(crate) identity: Identity,
    pub(crate) config: Rules,
    pub(crate) peer: PeerLimits,
    pub(crate) window: Window,
    /// The peer's message whose last fragment has not come yet.
    //= FRG-9
    pub(crate) open_in: Option<Open>,
    pub(crate) stats: Stats,
    /// Last, so that sessions of any size are one type: `&mut Session<[u8]>`.
    pub(crate) ring: Ring<S>,
}

/// Whether this end may announce that it leaves and replace keys. Where it may not, what follows
/// from either is not linked.
pub(crate) const UPKEEP: bool = cfg!(feature = "upkeep");

/// Which end of a session this is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Role {
    /// Dials, and is given its identity.
    Client,
    /// Accepts, and gives identities.
    Server,
}

/// Who a session is, and what proves it. `Debug` does not print the key.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) role: Role,
    pub(crate) sid: u64,
    pub(crate) epoch: u32,
    /// Number of the last attempt to attach.
    pub(crate) attach: u32,
    pub(crate) key_id: u8,
    pub(crate) key: [u8; 16],
    /// The TOKEN with the replacement key is in the ring: the peer is not known to have it.
    pub(crate) rotating: bool,
    /// The position after that TOKEN; the low half.
    pub(crate) token: u32,
}

impl Identity {
    /// Of a session that has no name yet.
    #[inline]
    pub(crate) const fn nobody(role: Role) -> Self {
        let key = [0; 16];
        Self { role, sid: 0, epoch: 0, attach: 0, key_id: 0, key, rotating: false, token: 0 }
    }
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

/// A message of which some fragments have passed.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Open {
    pub(crate) head: Head,
    /// Payload bytes so far.
    pub(crate) total: u32,
}

/// What is known of something that was sent.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Fate {
    /// The peer has it.
    Arrived,
    /// The peer cannot have it.
    Missing,
    /// The peer may have it.
    Unknown,
}

/// Why a session cannot be resumed, and what the peer had received if it said so.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
        let nobody = Identity::nobody(Role::Client);
        let ring = Ring::new(storage, config.send_limit());
        Ok(Self::around(&config, nobody, SessionState::New, 0, ring))
    }

    /// A session around a ring with something in it perhaps, after so many attaches. What is not a
    /// part of it when it is made may be copied once more.
    #[inline(always)]
    pub(crate) fn around(
        config: &Config,
        identity: Identity,
        state: SessionState,
        attaches: u32,
        ring: Ring<S>,
    ) -> Self {
        Self {
            config: config.rules(),
            state,
            identity,
            peer: PeerLimits::asked(config),
            tx: Tx::default(),
            rx: Rx::default(),
            window: Window::new(config.window, config.window_max),
            open_in: None,
            open_out: None,
            pending: Pending::default(),
            mark: None,
            death_code: CloseCode::OK,
            link: Link::idle(Instant::from_micros(0)),
            stats: Stats { attaches, ..Stats::default() },
            ring,
        }
    }
}

impl<S: Storage + ?Sized> Session<S> {
    /// Forgets the session and is a client's new one in the same memory, as after
    /// [`client`](Session::client): for memory that is not to be had twice. What was sent and not
    /// acknowledged is gone.
    ///
    /// # Errors
    ///
    /// If `config` is out of range; nothing has changed then.
    pub fn renew(&mut self, config: Config) -> Result<(), ConfigError> {
        config.validate()?;
        self.begin_anew(&config, Role::Client);
        Ok(())
    }

    pub(crate) fn begin_anew(&mut self, config: &Config, role: Role) {
        // Taken apart, so that no field is left out.
        let Session {
            config: rules,
            state,
            identity,
            peer,
            tx,
            rx,
            window,
            open_in,
            open_out,
            pending,
            mark,
            death_code,
            link: _,
            stats,
            ring: _,
        } = Session::around(config, Identity::nobody(role), SessionState::New, 0, Ring::new([], 0));
        (self.config, self.state, self.identity, self.peer) = (rules, state, identity, peer);
        (self.tx, self.rx, self.window, self.stats) = (tx, rx, window, stats);
        (self.open_in, self.open_out, self.pending) = (open_in, open_out, pending);
        (self.mark, self.death_code) = (mark, death_code);
        // Its time goes on.
        self.link = Link::idle(self.link.now);
        self.ring.renew(config.send_limit());
    }

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
        self.identity.role
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
    pub fn death(&self) -> Option<Death> {
        let peer_received = self.mark.map(|after| Position(after.get() - 1));
        (self.state == SessionState::Dead).then_some(Death { code: self.death_code, peer_received })
    }

    /// What is known of the frame that ends at `position`, as [`send`](Self::send) and its like
    /// returned it; also, and above all, when the session is lost.
    ///
    /// A request whose frame is [`Fate::Missing`] was not sent, and may safely be sent elsewhere;
    /// what became of any other one that is open is unknown.
    //= CLS-14
    //= REQ-12
    #[must_use]
    pub fn fate(&self, position: Position) -> Fate {
        let told = self.death().and_then(|death| death.peer_received);
        let (arrived, possible) = match told {
            Some(Position(received)) => (received, received),
            None => (self.tx.acked, self.transmitted().0),
        };
        match position.0 {
            at if at <= arrived => Fate::Arrived,
            at if at > possible => Fate::Missing,
            _ => Fate::Unknown,
        }
    }

    /// Requests of this end that want their response, the lowest number first: after
    /// [`Event::Finished`](crate::Event::Finished) or the end of the session none of them comes.
    //= REQ-14
    pub fn open_requests(&self) -> impl Iterator<Item = RequestId> + '_ {
        (0..self.peer.max_requests).map(RequestId).filter(|id| self.is_open_out(*id))
    }

    /// Requests of the peer's that want their response, the lowest number first: whoever restores
    /// the session answers those of which nobody knows any more.
    pub fn open_requests_in(&self) -> impl Iterator<Item = RequestId> + '_ {
        (0..self.config.max_requests).map(RequestId).filter(|id| self.is_open_in(*id))
    }

    /// What counts and has been counted since the session began.
    #[must_use]
    pub const fn stats(&self) -> Stats {
        Stats { resent: self.stats.resent.wrapping_sub(self.not_resent()), ..self.stats }
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
        Position(self.tx.acked + self.tx.high as u64)
    }

    /// The position after everything received so far.
    #[must_use]
    pub const fn received(&self) -> Position {
        Position(self.rx.next)
    }

    /// The position up to which the application released what was received.
    #[must_use]
    pub const fn released(&self) -> Position {
        Position(self.rx.released())
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

    /// Whether a message in fragments was begun and waits for its continuation.
    #[must_use]
    pub const fn has_open_message(&self) -> bool {
        self.open_out.is_some()
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

    /// Whether a frame of the peer's has come since the handshake, and not only part of one. Until
    /// then a server's session is unconfirmed: its client may never have learnt its name.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.link.marks.has(Marks::CONFIRMED)
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
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
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
