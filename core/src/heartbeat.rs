//! When to beat, when to probe, when to give a connection up.
//!
//! Each end declares how long it bears the other's silence. The other end lets a byte be heard at
//! least every third of that time; at two thirds this end probes, at the whole it gives up. A poll
//! that comes late never declares death: it grants one fresh probe period instead.

use crate::time::{Coarse, Instant};

/// Parts of 256 that a beat may come early, so that many clients do not beat in step.
const JITTER: u32 = 25;

const MILLI: u64 = 1_000;

/// The least patience that is believed, in milliseconds: a beat each 12 ms, but for the jitter, is
/// the most that a peer is worth.
const LEAST_PROMISE_MS: u32 = 36;

/// From when, and for how long in microseconds.
pub(crate) type Span = (Instant, u64);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Heartbeat {
    /// When the last byte came in.
    pub(crate) received_at: Instant,
    /// When the last byte went out.
    pub(crate) transmitted_at: Coarse,
    /// Silence of the peer that this end bears, in milliseconds; 0 is any.
    limit_ms: u32,
    /// Silence of this end that the peer bears, in milliseconds; 0 is any.
    promise_ms: u32,
    /// When the outstanding probe went out.
    probed_at: Option<Instant>,
    /// Nonce of the outstanding probe, and state of the jitter.
    nonce: u32,
    /// Nonce that the owed PONG repeats.
    pub(crate) answer: u32,
    /// Smoothed round trip in microseconds; 0 before the first sample.
    rtt_us: u32,
}

/// So many milliseconds in microseconds.
pub(crate) fn micros(ms: u32) -> u64 {
    u64::from(ms) * MILLI
}

/// A third of so many milliseconds, in microseconds without the fraction of one; a microcontroller
/// would need a kilobyte to divide the 64 bits.
#[cfg_attr(target_pointer_width = "32", inline(never))]
fn third(ms: u32) -> u64 {
    u64::from(ms) * (MILLI / 3) + u64::from(ms / 3)
}

impl Heartbeat {
    pub(crate) const fn new(now: Instant, seed: u32) -> Self {
        Self {
            received_at: now,
            transmitted_at: Coarse::before(now),
            limit_ms: 0,
            promise_ms: 0,
            probed_at: None,
            nonce: seed,
            answer: 0,
            rtt_us: 0,
        }
    }

    /// The handshake settled how much silence each end bears.
    pub(crate) const fn agree(&mut self, limit_ms: u32, promise_ms: u32) {
        self.limit_ms = limit_ms;
        self.promise_ms = promise_ms;
    }

    /// A byte came in.
    #[inline]
    pub(crate) const fn received(&mut self, now: Instant) {
        self.received_at = now;
    }

    /// When this end owes a byte, however idle it is.
    //= HBT-2
    pub(crate) fn beat(&self, now: Instant) -> Option<Span> {
        //= HBT-16
        let third = third(self.promise_ms.max(LEAST_PROMISE_MS));
        let early = (self.nonce >> 24) * JITTER / 255;
        let span = third - third * u64::from(early) / 256;
        (self.promise_ms > 0).then(|| (self.transmitted_at.instant(now), span))
    }

    /// When to ask the peer for a sign of life.
    //= HBT-3
    pub(crate) fn probe_due(&self) -> Option<Span> {
        (self.limit_ms > 0 && self.probed_at.is_none())
            .then(|| (self.received_at, third(self.limit_ms) * 2))
    }

    /// When the peer counts as gone.
    //= HBT-4
    pub(crate) fn death(&self) -> Option<Span> {
        //= HND-22
        //= HBT-15
        (self.limit_ms > 0).then(|| (self.received_at, micros(self.limit_ms)))
    }

    /// When an unanswered probe means that what this end transmits no longer arrives.
    pub(crate) fn unanswered(&self) -> Option<Span> {
        let patience = micros(self.limit_ms).max(u64::from(self.rtt_us) * 4);
        self.probed_at.filter(|_| self.limit_ms > 0).map(|at| (at, patience))
    }

    /// Forgives silence that may be this end's own sleep; false if it is not late enough for that.
    ///
    /// `due` is when the driver should have polled.
    //= HBT-6
    pub(crate) fn forgive(&mut self, now: Instant, due: Instant) -> bool {
        let third = third(self.limit_ms);
        if third == 0 || now.micros_since(due) <= third {
            return false;
        }
        self.probed_at = None;
        let heard = now.as_micros().saturating_sub(third * 2);
        self.received_at = self.received_at.max(Instant::from_micros(heard));
        true
    }

    /// A probe goes out now; its nonce.
    pub(crate) const fn probe(&mut self, now: Instant) -> u32 {
        self.nonce = self.nonce.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.probed_at = Some(now);
        self.nonce
    }

    /// The answer to a probe; the round trip in microseconds if it was the outstanding one.
    //= HBT-5
    pub(crate) fn answered(&mut self, now: Instant, nonce: u32) -> Option<u32> {
        let sent = self.probed_at.filter(|_| nonce == self.nonce)?;
        self.probed_at = None;
        let sample = u32::try_from(now.micros_since(sent)).unwrap_or(u32::MAX).max(1);
        self.rtt_us = match self.rtt_us {
            0 => sample,
            old => old - old / 8 + sample / 8,
        };
        Some(sample)
    }

    /// Entropy of this connection.
    pub(crate) const fn seed(&self) -> u32 {
        self.nonce
    }

    pub(crate) const fn is_probing(&self) -> bool {
        self.probed_at.is_some()
    }

    pub(crate) const fn rtt_us(&self) -> u32 {
        self.rtt_us
    }
}
