//! How far either direction has come: one position in full, and the others near it.

/// Positions of the sending direction: `acked <= sent <= frame_end <= gate`, `sent <= high`, and
/// nothing is beyond the end, which is `acked` plus what the ring retains. All but `acked` are
/// distances from it, which the ring bounds.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Tx {
    /// The peer released up to here.
    pub(crate) acked: u64,
    /// Handed to the present connection.
    pub(crate) sent: u32,
    /// Highest position ever handed to any connection.
    pub(crate) high: u32,
    /// First frame boundary at or after `sent`.
    pub(crate) frame_end: u32,
    /// Last frame boundary known to be within the credit.
    pub(crate) gate: u32,
    /// The position of the peer's credit; the low half, as it is on the wire.
    pub(crate) limit: u32,
    /// Hint where the next free request number is.
    pub(crate) next_id: u16,
    /// Our FIN is the last frame that was sent.
    pub(crate) finished: bool,
    /// There are requests of the peer's to refuse, and there was no room for all of them.
    pub(crate) refusals: bool,
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
impl Tx {
    /// How far beyond `acked` the peer's credit goes: a window and what it has not yet said that
    /// it released, which is less than 2^32.
    #[inline]
    pub(crate) const fn credit(&self) -> u32 {
        self.limit.wrapping_sub(self.acked as u32)
    }

    /// The credit goes at least `window` beyond `acked`.
    pub(crate) const fn grant(&mut self, window: u32) {
        if self.credit() < window {
            self.limit = (self.acked as u32).wrapping_add(window);
        }
    }

    /// The peer released `distance` bytes, all of them transmitted.
    #[inline]
    pub(crate) const fn acknowledge(&mut self, distance: u32) {
        self.acked += distance as u64;
        self.sent = self.sent.saturating_sub(distance);
        self.high = self.high.saturating_sub(distance);
        self.frame_end = self.frame_end.saturating_sub(distance);
        self.gate = self.gate.saturating_sub(distance);
    }

    /// What is at `offset` is transmitted next, and a frame begins there.
    pub(crate) const fn rewind(&mut self, offset: u32) {
        self.sent = offset;
        self.frame_end = offset;
        self.gate = offset;
    }
}

/// Positions of the receiving direction: `reported <= done <= next <= limit`. All but `next` are
/// low halves, as on the wire: none of those that matter is as far from `next` as 2^32.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Rx {
    /// Received.
    pub(crate) next: u64,
    /// Released by the application.
    pub(crate) done: u32,
    /// In manual release: after the last frame that the application was shown, or `done`.
    pub(crate) shown: u32,
    /// After the last frame that did more than to be delivered: a request, a response, a part of a
    /// message, the end. None of them can come twice. It matters only where it is beyond `done`.
    pub(crate) bound: u32,
    /// What the peer was last told about `done`.
    pub(crate) reported: u32,
    /// Credit the peer was given.
    pub(crate) limit: u32,
    /// The peer finished.
    pub(crate) finished: bool,
    /// The last frame left nothing open, so that the next may take the short path.
    pub(crate) plain: bool,
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
impl Rx {
    /// How far a position of which this is the low half is behind `next`.
    #[inline]
    pub(crate) const fn behind(&self, low: u32) -> u32 {
        (self.next as u32).wrapping_sub(low)
    }

    /// Bytes that the peer may still send.
    #[inline]
    pub(crate) const fn credit(&self) -> u32 {
        self.limit.wrapping_sub(self.next as u32)
    }

    /// The credit goes at least `window` beyond what was released.
    pub(crate) const fn grant(&mut self, window: u32) {
        if self.limit.wrapping_sub(self.done) < window {
            self.limit = self.done.wrapping_add(window);
        }
    }

    /// Released by the application.
    pub(crate) const fn released(&self) -> u64 {
        self.next - self.behind(self.done) as u64
    }

    /// Everything that was received is released.
    pub(crate) const fn is_released(&self) -> bool {
        self.behind(self.done) == 0
    }

    /// Whether what the application has not released could not come a second time.
    pub(crate) const fn is_bound(&self) -> bool {
        self.behind(self.bound) < self.behind(self.done)
    }

    /// Everything up to `position` is released, or up to `next` if nothing behind it was shown;
    /// false if that is no news.
    pub(crate) const fn release(&mut self, position: u64) -> bool {
        // Before what is released it is farther behind `next`, and beyond `next` it wraps.
        if self.next.wrapping_sub(position) >= self.behind(self.done) as u64 {
            return false;
        }
        let low = position as u32;
        let nothing_shown_after = self.behind(low) <= self.behind(self.shown);
        self.done = if nothing_shown_after { self.next as u32 } else { low };
        // What is behind `done` is kept near: it would seem to be ahead after 2^32 bytes.
        if self.behind(self.shown) > self.behind(self.done) {
            self.shown = self.done;
        }
        if self.behind(self.bound) > self.behind(self.done) {
            self.bound = self.done;
        }
        true
    }

    /// Bytes released that the peer was not told about.
    #[inline]
    pub(crate) const fn unreported(&self) -> u32 {
        self.done.wrapping_sub(self.reported)
    }

    /// The peer is told `done`: what goes on the wire.
    pub(crate) const fn report(&mut self) -> u32 {
        self.reported = self.done;
        self.reported
    }
}
