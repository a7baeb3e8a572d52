//! What a peer may cost this end without moving data: a token bucket.
//!
//! Every frame that makes work but carries no new data is charged. An honest peer stays below a
//! quarter of the refill at the rates it was granted, so exhaustion is a peer's doing.

use crate::time::Instant;

/// Tokens in a full bucket.
pub(crate) const FULL: u16 = 256;
/// Tokens that come back in a second.
const PER_SECOND: u64 = 64;
/// Bytes of new data that bring one token back.
const BYTES_PER_TOKEN: u32 = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    tokens: u16,
    /// When time was last turned into tokens.
    at: Instant,
    /// Received position when data was last turned into tokens; the low half of it.
    mark: u32,
}

impl Budget {
    pub(crate) const fn new(now: Instant, received: u64) -> Self {
        Self { tokens: FULL, at: now, mark: low(received) }
    }

    /// Charges `cost`; false if the bucket does not hold it.
    //= BUD-1
    #[must_use]
    pub(crate) fn charge(&mut self, now: Instant, received: u64, cost: u16) -> bool {
        let by_time = now.micros_since(self.at).saturating_mul(PER_SECOND) / 1_000_000;
        if by_time > 0 {
            self.at = if by_time >= u64::from(FULL) {
                now
            } else {
                self.at.after(by_time * 1_000_000 / PER_SECOND)
            };
        }
        // After more than 2^32 bytes without a charge this is too little: time makes up for it.
        let by_data = low(received).wrapping_sub(self.mark) / BYTES_PER_TOKEN;
        self.mark = self.mark.wrapping_add(by_data * BYTES_PER_TOKEN);
        let gained = by_time.saturating_add(u64::from(by_data)).min(u64::from(FULL));
        let gained = u16::try_from(gained).unwrap_or(FULL);
        self.tokens = self.tokens.saturating_add(gained).min(FULL);
        match self.tokens.checked_sub(cost) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
const fn low(position: u64) -> u32 {
    position as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn refills_by_time_and_by_data() {
        let t = Instant::from_micros(5);
        let mut budget = Budget::new(t, 0);
        for _ in 0..256 {
            assert!(budget.charge(t, 0, 1));
        }
        assert!(!budget.charge(t, 0, 1));
        assert!(!budget.charge(t.after(SECOND / 65), 0, 1));
        assert!(budget.charge(t.after(SECOND / 64), 0, 1));
        assert!(!budget.charge(t.after(SECOND / 64), 4095, 1));
        assert!(budget.charge(t.after(SECOND / 64), 4096, 1));
        assert!(budget.charge(t.after(100 * SECOND), 4096, 256));
        assert!(!budget.charge(t.after(100 * SECOND), 4096, 1));
    }
}
