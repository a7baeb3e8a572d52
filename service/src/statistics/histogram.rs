//! How often something took how long: buckets of fixed bounds, added to without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per power of two.
const FINE: u64 = 8;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// Durations from this power of two of nanoseconds on, 18 minutes, are in the last bucket.
const LONGEST: u32 = 40;
/// Shorter ones than `2 * FINE` are exact; then come `FINE` for each power of two.
const BUCKETS: usize = ((LONGEST - FINE_BITS) as usize + 1) * FINE as usize;

/// Where a duration is counted.
fn index(nanos: u64) -> usize {
    if nanos < 2 * FINE {
        return nanos as usize;
    }
    let power = u64::BITS - 1 - nanos.leading_zeros() - FINE_BITS;
    let index = u64::from(power) * FINE + (nanos >> power);
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The longest duration that a bucket holds, in nanoseconds.
const fn upper(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * FINE {
        return index;
    }
    let power = index / FINE - 1;
    ((index - power * FINE + 1) << power) - 1
}

/// Counts of durations that any number of tasks add to at the same time.
#[derive(Debug)]
pub(crate) struct Histogram {
    counts: Box<[AtomicU64]>,
    nanos: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        let counts = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { counts, nanos: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(index(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
            self.nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> Distribution {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Distribution { counts, nanos: self.nanos.load(Ordering::Relaxed) }
    }
}

/// How often something took how long, with a precision of an eighth: a fixed set of buckets, of
/// which two can be added and one subtracted from a later one. Longer than 18 minutes is counted as
/// that.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// By bucket; empty is nothing at all.
    counts: Vec<u64>,
    nanos: u64,
}

impl Distribution {
    /// How many durations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// All of them together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// Their mean; zero if there are none.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanos.checked_div(self.count()).unwrap_or(0))
    }

    /// What this share of them does not exceed, from 0 to 1: 0.5 is the median. At most an eighth
    /// too long; zero if there are none.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let all = self.count();
        let wanted = ((all as f64 * share).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        Duration::from_nanos(reached.map_or(0, upper))
    }

    /// How many of them took less than two to this power, in nanoseconds: exactly, as bounds of
    /// buckets go. From 4 to 40.
    #[must_use]
    pub fn below(&self, power: u32) -> u64 {
        let bound = 1u64 << power.min(63);
        self.counts
            .iter()
            .enumerate()
            .take_while(|(at, _)| upper(*at) < bound)
            .map(|(_, n)| n)
            .sum()
    }

    /// Adds those of another one.
    pub fn merge(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.nanos = self.nanos.wrapping_add(other.nanos);
    }

    /// What was added since `earlier` was read from the same source.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.counts.iter().chain(std::iter::repeat(&0));
        let counts = self.counts.iter().zip(before).map(|(now, then)| now.saturating_sub(*then));
        Self { counts: counts.collect(), nanos: self.nanos.wrapping_sub(earlier.nanos) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_in_a_bucket_that_is_at_most_an_eighth_too_long() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 20) + 1, 987_654_321, (1 << 40) - 1]) {
            let upper = upper(index(nanos));
            assert!(upper >= nanos && upper - nanos <= nanos / FINE, "{nanos}: {upper}");
        }
        assert_eq!((index(u64::MAX), index(1 << 50)), (BUCKETS - 1, BUCKETS - 1));
        assert_eq!(upper(BUCKETS - 1), (1 << LONGEST) - 1, "all buckets are used");
    }

    #[test]
    fn shares_and_powers_of_two_are_where_they_belong() {
        let histogram = Histogram::default();
        (1..=1_000).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        let all = histogram.read();
        for (share, micros) in [(0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1_000)] {
            let got = all.quantile(share).as_micros();
            assert!((micros..=micros + micros / 8).contains(&got), "{share}: {got}");
        }
        assert_eq!((all.count(), all.mean()), (1_000, Duration::from_nanos(500_500)));
        for power in 10..21 {
            let exact = (1..=1_000u64).filter(|micros| micros * 1_000 < 1 << power).count();
            assert_eq!(all.below(power), exact as u64, "{power}");
        }
    }

    #[test]
    fn two_are_added_and_an_earlier_one_is_taken_away() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_millis(1));
        let before = histogram.read();
        histogram.record(Duration::from_millis(20));
        let mut all = histogram.read();
        let later = all.since(&before);
        assert_eq!((later.count(), later.sum()), (1, Duration::from_millis(20)));
        all.merge(&later);
        assert_eq!((all.count(), all.sum()), (3, Duration::from_millis(41)));
        let mut none = Distribution::default();
        assert_eq!((none.quantile(0.5), none.mean()), (Duration::ZERO, Duration::ZERO));
        none.merge(&later);
        assert_eq!(none.since(&Distribution::default()), later);
    }

    #[test]
    fn threads_that_add_at_the_same_time_lose_nothing() {
        let histogram = Histogram::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|n| histogram.record(Duration::from_nanos(n))));
            }
        });
        assert_eq!(histogram.read().count(), 40_000);
    }
}
