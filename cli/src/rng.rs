//! Seeded random numbers: whatever happened at random happens again from its seed.

use std::hash::{BuildHasher, Hasher, RandomState};

/// SplitMix64. Good enough for faults and test data, useless for secrets.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator number `index` of this seed; neighbours have nothing in common.
    pub(crate) fn stream(seed: u64, index: u64) -> Self {
        let mut mixer = Self(seed ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03));
        Self(mixer.next())
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// A number from `from` to `to`, both included; `from` if there is nothing between them.
    pub(crate) const fn within(&mut self, from: u64, to: u64) -> u64 {
        if to <= from {
            return from;
        }
        let span = (to - from) as u128 + 1;
        from + ((self.next() as u128 * span) >> 64) as u64
    }

    /// True `percent` times in a hundred.
    pub(crate) const fn percent(&mut self, percent: u8) -> bool {
        self.within(0, 99) < percent as u64
    }

    /// As [`within`](Self::within), but every order of magnitude is as likely as the others.
    pub(crate) fn magnitude(&mut self, from: u64, to: u64) -> u64 {
        let (low, high) = (from.max(1), to.max(from).max(1));
        let bits = |n: u64| u64::from(u64::BITS - n.leading_zeros());
        let wanted = self.within(bits(low), bits(high));
        let floor = 1 << (wanted - 1);
        self.within(floor, floor.saturating_mul(2) - 1).clamp(low, high)
    }

    /// Fills `bytes`.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let word = self.next().to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
    }
}

/// A seed that differs from run to run; print it, so that the run can be repeated.
pub(crate) fn fresh_seed() -> u64 {
    // Short enough to be typed again.
    RandomState::new().build_hasher().finish() & 0xFFFF_FFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept_and_reached() {
        let mut rng = Rng::new(1);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[usize::try_from(rng.within(0, 3)).unwrap()] = true;
            let size = rng.magnitude(3, 1000);
            assert!((3..=1000).contains(&size), "{size}");
        }
        assert_eq!(seen, [true; 4]);
        assert_eq!(rng.within(7, 7), 7);
        assert_eq!(rng.magnitude(0, 0), 1);
        assert!(rng.magnitude(1, u64::MAX) >= 1);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_streams_differ() {
        let draw = |mut rng: Rng| [rng.next(), rng.next()];
        assert_eq!(draw(Rng::stream(5, 1)), draw(Rng::stream(5, 1)));
        assert_ne!(draw(Rng::stream(5, 1)), draw(Rng::stream(5, 2)));
        assert_ne!(draw(Rng::stream(5, 1)), draw(Rng::stream(6, 1)));
    }
}
