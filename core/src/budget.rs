//! What a peer may cost this end without moving data: a token bucket.
//!
//! Every frame that makes work but carries no new data is charged. An honest peer stays below a
//! quarter of the refill at the rates it was granted, so exhaustion is a peer's doing.

use crate::time::Instant;

/// Tokens in a full bucket.
pub(crate) const FULL: u16 = 256;
/// Microseconds that bring one token back: 64 in a second.
const TICK: u32 = 15_625;
/// Bytes of new data that bring one token back.
const BYTES_PER_TOKEN: u32 = 4096;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    tokens: u16,
    /// When time was last turned into tokens, in microseconds; the low half. After a wrap of more
    /// than 71 minutes this is too little, but never less than nothing.
    at: u32,
    /// Received position when data was last turned into tokens; the low half of it.
    mark: u32,
}

impl Budget {
    pub(crate) const fn new(now: Instant, received: u64) -> Self {
        Self { tokens: FULL, at: low(now.as_micros()), mark: low(received) }
    }

    /// Charges `cost`; false if the bucket does not hold it.
    //= BUD-1
    #[must_use]
    pub(crate) fn charge(&mut self, now: Instant, received: u64, cost: u16) -> bool {
        let by_time = low(now.as_micros()).wrapping_sub(self.at) / TICK;
        self.at = self.at.wrapping_add(by_time * TICK);
        // After more than 2^32 bytes without a charge this is too little: time makes up for it.
        let by_data = low(received).wrapping_sub(self.mark) / BYTES_PER_TOKEN;
        self.mark = self.mark.wrapping_add(by_data * BYTES_PER_TOKEN);
        // None of the three is near the end of its range.
        let tokens = (u32::from(self.tokens) + by_time + by_data).min(u32::from(FULL));
        let suffice = tokens >= u32::from(cost);
        self.tokens = short(if suffice { tokens - u32::from(cost) } else { tokens });
        suffice
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most a full bucket")]
const fn short(tokens: u32) -> u16 {
    tokens as u16
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
