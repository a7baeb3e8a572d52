//! How much may come in, from each session and from each source.
//!
//! A session that sends faster than it may is given no credit until it may send again, so that at
//! most one window comes at once, and signs of life go on. A connection without a session is not
//! read meanwhile. Nothing that was sent is lost.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use outlast_core::admission::{Meter, Rate, Source};
use outlast_core::{CloseCode, Instant};

use crate::handler::Handler;
use crate::overview::lock;
use crate::owner::Owner;

/// Sources that are remembered before it is looked for those that need not be.
const SPARE_SOURCES: usize = 64;
/// Bytes that are read at once of whoever may send at all: fewer would make long messages dear.
const LEAST_READ: u32 = 256;
/// How long credit is held back for want of memory before it is looked again, in microseconds.
const RETRY: u64 = 50_000;

/// Rates of what comes in. They hold from the moment they are set, for connections that are up,
/// too.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct TrafficLimits {
    /// Messages, requests and answers of one session or connection; a long one counts when it is
    /// whole. Of a session a whole [`window`](outlast_core::Config::window) may come at once, of a
    /// connection without one 256 bytes, whatever the burst; they are waited for afterwards.
    pub messages: Rate,
    /// Bytes of one session or connection, as above.
    pub bytes: Rate,
    /// Messages of everybody behind one address, see [`GateConfig::v6_prefix`].
    ///
    /// [`GateConfig::v6_prefix`]: outlast_core::admission::GateConfig::v6_prefix
    pub source_messages: Rate,
    /// Bytes of everybody behind one address.
    pub source_bytes: Rate,
    /// What becomes of who sends faster.
    pub when_exceeded: WhenExceeded,
}

/// What becomes of who sends faster than it may.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub enum WhenExceeded {
    /// It gets no credit, or is not read, until it may send again.
    #[default]
    Wait,
    /// Its connection is closed, with [`CALM`](outlast_core::CloseCode::CALM) where that can be
    /// said. A session outlives this; its messages of the last read were delivered.
    Disconnect,
}

impl TrafficLimits {
    /// No limits.
    pub const UNLIMITED: Self = Self {
        messages: Rate::UNLIMITED,
        bytes: Rate::UNLIMITED,
        source_messages: Rate::UNLIMITED,
        source_bytes: Rate::UNLIMITED,
        when_exceeded: WhenExceeded::Wait,
    };

    fn is_unlimited(&self) -> bool {
        let when_exceeded = self.when_exceeded;
        *self == Self { when_exceeded, ..Self::UNLIMITED }
    }
}

impl Default for TrafficLimits {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// Grows with each change; even while nothing is limited.
    version: AtomicU32,
    limits: Mutex<TrafficLimits>,
    sources: Mutex<Sources>,
    v6_prefix: u8,
    /// How often somebody had to wait or was disconnected.
    exceeded: AtomicU64,
}

#[derive(Debug, Default)]
struct Sources {
    pairs: HashMap<Source, Arc<Mutex<Pair>>>,
    /// With so many it is looked for those that need not be remembered.
    full: usize,
}

/// Messages and bytes of the same origin.
#[derive(Debug, Copy, Clone)]
struct Pair {
    messages: Meter,
    bytes: Meter,
}

/// What one connection may still send.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    /// What is counted, once anything was.
    counted: Option<Box<Counted>>,
}

#[derive(Debug)]
struct Counted {
    version: u32,
    limits: TrafficLimits,
    own: Pair,
    source: Option<Arc<Mutex<Pair>>>,
    /// It sent more than it may, and that was noted.
    exceeded: bool,
    noted: bool,
    /// Messages and bytes of a session that were counted.
    seen: (u32, u64),
}

/// What may be read now.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Room {
    /// So many bytes.
    Bytes(usize),
    /// Nothing before then.
    Wait(Instant),
    /// Nothing at all any more.
    Disconnect,
}

impl Pair {
    const NEW: Self = Self { messages: Meter::NEW, bytes: Meter::NEW };

    /// Bytes that may be read now: no more messages than may come can be in them.
    fn room(&self, now: Instant, messages: &Rate, bytes: &Rate, least: u32) -> Result<u32, u64> {
        let wait = self.messages.wait(now, messages).max(self.bytes.wait(now, bytes));
        if wait > 0 {
            return Err(wait);
        }
        let whole = self.messages.room(now, messages).saturating_mul(least);
        Ok(whole.min(self.bytes.room(now, bytes)).max(LEAST_READ))
    }

    /// Counts what came; whether that was within the rates.
    fn charge(&mut self, now: Instant, messages: (&Rate, u32), bytes: (&Rate, u32)) -> bool {
        let kept = messages.1 <= self.messages.room(now, messages.0)
            && bytes.1 <= self.bytes.room(now, bytes.0);
        self.messages.charge(now, messages.0, messages.1);
        self.bytes.charge(now, bytes.0, bytes.1);
        kept
    }
}

impl Traffic {
    pub(crate) fn new(limits: TrafficLimits, v6_prefix: u8) -> Self {
        Self {
            version: AtomicU32::new(u32::from(!limits.is_unlimited())),
            limits: Mutex::new(limits),
            sources: Mutex::default(),
            v6_prefix,
            exceeded: AtomicU64::new(0),
        }
    }

    /// Goes by other limits from now on; whether they are others.
    pub(crate) fn set(&self, limits: TrafficLimits) -> bool {
        let mut current = lock(&self.limits);
        if *current == limits {
            return false;
        }
        let odd = u32::from(!limits.is_unlimited());
        *current = limits;
        let next = (self.version.load(Ordering::Relaxed) & !1).wrapping_add(2) | odd;
        self.version.store(next, Ordering::Release);
        // What was too much for the limits before is nobody's debt.
        lock(&self.sources).pairs.values().for_each(|pair| *lock(pair) = Pair::NEW);
        true
    }

    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.version.load(Ordering::Relaxed) & 1 > 0
    }

    pub(crate) fn exceeded(&self) -> u64 {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// What is counted of everybody who comes from there.
    fn source(&self, now: Instant, remote: Option<SocketAddr>) -> Option<Arc<Mutex<Pair>>> {
        let source = Source::new(remote?.ip(), self.v6_prefix);
        let Sources { pairs, full } = &mut *lock(&self.sources);
        if !pairs.contains_key(&source) && pairs.len() >= *full {
            // Who is gone and would be let in anew like anybody need not be remembered.
            pairs.retain(|_, pair| {
                let Pair { messages, bytes } = *lock(pair);
                Arc::strong_count(pair) > 1 || !messages.is_idle(now) || !bytes.is_idle(now)
            });
            *full = (2 * pairs.len()).max(SPARE_SOURCES);
        }
        Some(Arc::clone(pairs.entry(source).or_insert_with(|| Arc::new(Mutex::new(Pair::NEW)))))
    }
}

impl Allowance {
    /// Of a session that nothing came of yet.
    pub(crate) fn of_new(traffic: &Traffic, now: Instant, remote: Option<SocketAddr>) -> Self {
        let mut allowance = Self::default();
        let _ = allowance.room(traffic, now, 1, || remote);
        allowance
    }

    /// What may be read, where a message takes at least `least` bytes. `None`: as much as one
    /// likes.
    #[inline]
    pub(crate) fn room(
        &mut self,
        traffic: &Traffic,
        now: Instant,
        least: u32,
        remote: impl FnOnce() -> Option<SocketAddr>,
    ) -> Option<Room> {
        let version = traffic.version.load(Ordering::Relaxed);
        if version & 1 == 0 {
            return None;
        }
        if self.counted.as_ref().is_none_or(|counted| counted.version != version) {
            let mut counted = self.counted.take().unwrap_or_else(|| {
                let source = traffic.source(now, remote());
                Box::new(Counted { source, ..Counted::NEW })
            });
            counted.renew(traffic, version);
            self.counted = Some(counted);
        }
        let counted = self.counted.as_deref_mut()?;
        let room = counted.room(now, least);
        if counted.exceeded && !counted.noted {
            traffic.exceeded.fetch_add(1, Ordering::Relaxed);
        }
        counted.noted = counted.exceeded;
        Some(room)
    }

    /// So much came of what there was room for.
    #[cfg(feature = "formats")]
    pub(crate) fn charge(&mut self, now: Instant, messages: u32, bytes: usize) {
        if let Some(counted) = &mut self.counted {
            counted.charge(now, messages, u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }
}

impl Counted {
    const NEW: Self = Self {
        version: 0,
        limits: TrafficLimits::UNLIMITED,
        own: Pair::NEW,
        source: None,
        exceeded: false,
        noted: false,
        seen: (0, 0),
    };

    /// Goes by the limits that hold now. What was too much for others is nobody's debt.
    fn renew(&mut self, traffic: &Traffic, version: u32) {
        (self.version, self.limits, self.exceeded) = (version, *lock(&traffic.limits), false);
        self.own = Pair::NEW;
    }

    fn room(&mut self, now: Instant, least: u32) -> Room {
        let Self { limits, own, source, exceeded, .. } = self;
        if limits.when_exceeded == WhenExceeded::Disconnect {
            return if *exceeded { Room::Disconnect } else { Room::Bytes(usize::MAX) };
        }
        let mine = own.room(now, &limits.messages, &limits.bytes, least);
        let everybody = source.as_ref().map_or(Ok(u32::MAX), |pair| {
            lock(pair).room(now, &limits.source_messages, &limits.source_bytes, least)
        });
        match (mine, everybody) {
            (Ok(mine), Ok(everybody)) => {
                *exceeded = false;
                Room::Bytes(mine.min(everybody) as usize)
            }
            (mine, everybody) => {
                *exceeded = true;
                Room::Wait(now.after(mine.err().max(everybody.err()).unwrap_or_default()))
            }
        }
    }

    fn charge(&mut self, now: Instant, messages: u32, bytes: u32) {
        let Self { limits, own, source, exceeded, .. } = self;
        let mut kept = own.charge(now, (&limits.messages, messages), (&limits.bytes, bytes));
        if let Some(pair) = source {
            let (of_messages, of_bytes) = (&limits.source_messages, &limits.source_bytes);
            kept &= lock(pair).charge(now, (of_messages, messages), (of_bytes, bytes));
        }
        // Who is made to wait has exceeded its limits only when it finds no room.
        *exceeded |= !kept && limits.when_exceeded == WhenExceeded::Disconnect;
    }
}

impl<H: Handler> Owner<H> {
    /// Whether the peer may be given credit for what it sent.
    #[inline]
    pub(crate) fn may_release(&mut self, now: Instant) -> bool {
        let ground = &self.shared.ground;
        let is_full = ground.is_full();
        if !is_full && !ground.traffic.as_ref().is_some_and(|traffic| traffic.is_limited()) {
            if let Some(rare) = &mut self.rare {
                rare.held_until = None;
            }
            return true;
        }
        let until = self.counts(now).or_else(|| is_full.then(|| now.after(RETRY)));
        if until.is_some() || self.rare.is_some() {
            self.rare.get_or_insert_default().held_until = until;
        }
        until.is_none()
    }

    /// Until when the peer gets no credit, if it gets none.
    #[inline]
    pub(crate) fn held_until(&self) -> Option<Instant> {
        self.rare.as_deref().and_then(|rare| rare.held_until)
    }

    /// Counts what came since the last time, and says until when no more may come.
    #[cold]
    fn counts(&mut self, now: Instant) -> Option<Instant> {
        let Self { session, shared, allowance, .. } = self;
        let traffic = shared.ground.traffic.as_deref()?;
        let came = (session.stats().messages_in, session.received().get());
        if let Some(counted) = &mut allowance.counted {
            let (messages, bytes) = std::mem::replace(&mut counted.seen, came);
            // What came while nothing was limited is nobody's debt.
            let version = traffic.version.load(Ordering::Relaxed);
            if version.wrapping_sub(counted.version) <= 2 {
                if version != counted.version {
                    counted.renew(traffic, version);
                }
                let bytes = u32::try_from(came.1.saturating_sub(bytes)).unwrap_or(u32::MAX);
                counted.charge(now, came.0.wrapping_sub(messages), bytes);
            }
        }
        let room = allowance.room(traffic, now, 1, || shared.lock().remote());
        if let Some(counted) = &mut allowance.counted {
            counted.seen = came;
            if room == Some(Room::Disconnect) {
                session.close(now, CloseCode::CALM, 0);
                counted.exceeded = false;
            }
        }
        match room {
            Some(Room::Wait(until)) => Some(until),
            Some(Room::Bytes(_) | Room::Disconnect) | None => None,
        }
    }
}
