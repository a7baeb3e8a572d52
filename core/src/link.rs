//! What belongs to one transport and ends with it.
//!
//! A link is built fresh at each attach, so that no timer, nonce or debt of an old connection can
//! reach a new one.

use crate::budget::Budget;
use crate::code::CloseCode;
use crate::event::Side;
use crate::heartbeat::Heartbeat;
use crate::state::{LinkEvent, LinkState};
use crate::time::{Coarse, Instant, Stored};
use crate::wire::CloseFlags;

/// Control frames to transmit. State, not a queue: owing the same thing twice is owing it once.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Owed(u8);

impl Owed {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const CLOSE: Self = Self(1);
    /// PONG with a nonce.
    pub(crate) const PONG: Self = Self(2);
    pub(crate) const ACK: Self = Self(4);
    pub(crate) const PING: Self = Self(8);
    /// A sign of life: an empty PONG.
    pub(crate) const BEAT: Self = Self(16);
    pub(crate) const DRAIN: Self = Self(32);

    #[inline]
    pub(crate) const fn any(self) -> bool {
        self.0 != 0
    }

    pub(crate) const fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    pub(crate) const fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    pub(crate) const fn remove(&mut self, what: Self) {
        self.0 &= !what.0;
    }
}

/// What has happened on a connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Marks(u8);

impl Marks {
    /// A frame of the peer's has been taken in since the handshake.
    pub(crate) const CONFIRMED: Self = Self(1);
    /// The server still has to prove itself, or its WELCOME is not believed.
    pub(crate) const DISTRUSTS: Self = Self(2);
    /// The peer said that it leaves.
    pub(crate) const HEARD_DRAIN: Self = Self(4);
    /// A late poll was forgiven and nothing has been heard since.
    pub(crate) const GRACED: Self = Self(8);

    #[inline]
    pub(crate) const fn has(self, what: Self) -> bool {
        self.0 & what.0 != 0
    }

    #[inline]
    pub(crate) const fn set(&mut self, what: Self, is: bool) {
        self.0 = if is { self.0 | what.0 } else { self.0 & !what.0 };
    }
}

/// How a connection ends.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Closing {
    pub(crate) code: CloseCode,
    pub(crate) by: Side,
    pub(crate) retry_ms: u32,
    pub(crate) flags: CloseFlags,
}

impl Closing {
    pub(crate) const fn of(code: CloseCode, by: Side) -> Self {
        Self { code, by, retry_ms: 0, flags: CloseFlags::NONE }
    }
}

/// What DRAIN is to say.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Leaving {
    pub(crate) code: CloseCode,
    pub(crate) grace_ms: u32,
    pub(crate) spread_ms: u32,
}

/// Why a connection will end or ends. Whoever closes does not announce it any more.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Farewell {
    None,
    // The fields are here and not in the structures, whose padding would cost four bytes.
    Leaving {
        code: CloseCode,
        grace_ms: u32,
        spread_ms: u32,
    },
    /// DRAIN has been sent, and new requests are accepted until then.
    Left {
        grace_until: Stored,
    },
    Closing {
        code: CloseCode,
        by: Side,
        retry_ms: u32,
        flags: CloseFlags,
    },
}

impl From<Leaving> for Farewell {
    fn from(Leaving { code, grace_ms, spread_ms }: Leaving) -> Self {
        Self::Leaving { code, grace_ms, spread_ms }
    }
}

impl From<Closing> for Farewell {
    fn from(Closing { code, by, retry_ms, flags }: Closing) -> Self {
        Self::Closing { code, by, retry_ms, flags }
    }
}

// The order is that of how often they are looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(target_pointer_width = "32", repr(C))]
pub(crate) struct Link {
    pub(crate) state: LinkState,
    pub(crate) owed: Owed,
    pub(crate) marks: Marks,
    /// Next number of an authentication step.
    pub(crate) auth_step: u8,
    /// When the frame that is not whole yet began.
    pub(crate) frame_since: Option<Coarse>,
    /// When an acknowledgement must go out.
    pub(crate) ack_at: Option<Coarse>,
    /// When the peer last acknowledged something new, or began to owe it.
    pub(crate) progress_at: Option<Coarse>,
    pub(crate) budget: Budget,
    pub(crate) farewell: Farewell,
    /// End of the handshake, of draining, or of the linger, whichever the state is about.
    pub(crate) deadline: Option<Instant>,
    /// Latest time the driver showed.
    pub(crate) now: Instant,
    pub(crate) heartbeat: Heartbeat,
}

impl Link {
    /// No transport yet.
    pub(crate) const fn idle(now: Instant) -> Self {
        Self {
            state: LinkState::Idle,
            owed: Owed::NOTHING,
            marks: Marks(0),
            auth_step: 0,
            farewell: Farewell::None,
            deadline: None,
            frame_since: None,
            ack_at: None,
            progress_at: None,
            now,
            heartbeat: Heartbeat::new(now, 0),
            budget: Budget::new(now, 0),
        }
    }

    /// A transport that still has to be greeted until `deadline`.
    //= HBT-13
    //= BUD-3
    pub(crate) const fn waiting(now: Instant, deadline: Instant, received: u64, seed: u32) -> Self {
        Self {
            state: LinkState::Wait,
            deadline: Some(deadline),
            heartbeat: Heartbeat::new(now, seed),
            budget: Budget::new(now, received),
            ..Self::idle(now)
        }
    }

    /// A transport whose client was greeted at once.
    pub(crate) const fn greeted(now: Instant, seed: u32, limit_ms: u32, promise_ms: u32) -> Self {
        let mut link = Self::waiting(now, now, 0, seed);
        (link.state, link.deadline) = (LinkState::Open, None);
        link.heartbeat.agree(limit_ms, promise_ms);
        link
    }

    /// How the connection ends, if it does.
    pub(crate) const fn closing(&self) -> Option<Closing> {
        match self.farewell {
            Farewell::Closing { code, by, retry_ms, flags } => {
                Some(Closing { code, by, retry_ms, flags })
            }
            Farewell::Leaving { .. } | Farewell::Left { .. } | Farewell::None => None,
        }
    }

    /// What DRAIN is to say, if the end of the connection is announced.
    pub(crate) const fn leaving(&self) -> Option<Leaving> {
        match self.farewell {
            Farewell::Leaving { code, grace_ms, spread_ms } => {
                Some(Leaving { code, grace_ms, spread_ms })
            }
            Farewell::Closing { .. } | Farewell::Left { .. } | Farewell::None => None,
        }
    }

    /// Until when requests are accepted, if this end said that it leaves.
    pub(crate) fn grace_until(&self) -> Option<Instant> {
        match self.farewell {
            Farewell::Left { grace_until } => Some(grace_until.into()),
            Farewell::Leaving { .. } | Farewell::Closing { .. } | Farewell::None => None,
        }
    }

    /// Whether session frames may flow.
    #[inline]
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.state, LinkState::Open | LinkState::Draining)
    }

    /// Moves along the table; false where the table has no such move.
    //= STM-1
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn step(&mut self, event: LinkEvent) -> bool {
        match self.state.after(event) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    /// A byte came in.
    #[inline]
    pub(crate) const fn received(&mut self, now: Instant) {
        self.heartbeat.received(now);
        self.marks.set(Marks::GRACED, false);
    }

    /// Time as the driver shows it, never backwards.
    //= HBT-12
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn tick(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }
}
