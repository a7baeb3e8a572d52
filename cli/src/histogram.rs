//! How often which duration: percentiles with two digits of precision, in constant memory.

use std::time::Duration;

/// Buckets per power of two.
const FINE: u64 = 64;
const FINE_BITS: u32 = FINE.trailing_zeros();
/// Powers of two above the exact range; the last ones hold about 39 hours.
const COARSE: usize = 42;

/// Counts of durations in nanoseconds. Below 128 ns they are exact, above within 1/64.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        let counts = vec![0; (COARSE + 1) * FINE as usize];
        Self { counts, total: 0, sum: 0, min: u64::MAX, max: 0 }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let index = Self::index(nanos).min(self.counts.len() - 1);
        self.counts[index] += 1;
        self.total += 1;
        self.sum += u128::from(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(crate) const fn total(&self) -> u64 {
        self.total
    }

    pub(crate) const fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    pub(crate) fn min(&self) -> Duration {
        Duration::from_nanos(if self.total == 0 { 0 } else { self.min })
    }

    pub(crate) fn mean(&self) -> Duration {
        let mean = self.sum.checked_div(u128::from(self.total)).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The duration that this share of all stays within: 0.5 is the median.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted && *count > 0 {
                return Duration::from_nanos(Self::upper(index).clamp(self.min, self.max));
            }
        }
        self.max()
    }

    fn index(nanos: u64) -> usize {
        if nanos < 2 * FINE {
            return nanos as usize;
        }
        let power = u64::BITS - 1 - nanos.leading_zeros() - FINE_BITS;
        (u64::from(power) * FINE + (nanos >> power)) as usize
    }

    /// The largest duration that falls into a bucket.
    const fn upper(index: usize) -> u64 {
        let index = index as u64;
        if index < 2 * FINE {
            return index;
        }
        let power = index / FINE - 1;
        let base = index - power * FINE;
        ((base + 1) << power) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_falls_into_a_bucket_that_holds_it() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 20) + 1, 987_654_321, 1 << 45]) {
            let upper = Histogram::upper(Histogram::index(nanos));
            assert!(upper >= nanos && upper - nanos <= nanos / FINE, "{nanos}: {upper}");
        }
    }

    #[test]
    fn percentiles_are_where_they_belong() {
        let mut histogram = Histogram::new();
        for micros in 1..=1_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1_000)] {
            let got = histogram.quantile(share).as_micros();
            assert!((micros..=micros + micros / 60).contains(&got), "{share}: {got}");
        }
        assert_eq!(histogram.max(), Duration::from_millis(1));
        assert_eq!(histogram.min(), Duration::from_micros(1));
        assert_eq!(histogram.mean(), Duration::from_nanos(500_500));
        let mut twice = histogram.clone();
        twice.merge(&histogram);
        assert_eq!((twice.total(), twice.quantile(0.5)), (2_000, histogram.quantile(0.5)));
    }

    #[test]
    fn nothing_recorded_is_nothing() {
        let histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.99), Duration::ZERO);
        assert_eq!((histogram.min(), histogram.mean()), (Duration::ZERO, Duration::ZERO));
    }
}
