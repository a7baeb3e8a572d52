//! How long to wait before the next attempt: exponential, with the whole range drawn at random.

use crate::time::Instant;

/// A small generator of numbers that look random: SplitMix64.
///
/// Its numbers spread attempts in time. They are predictable and never make a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jitter(u64);

impl Jitter {
    /// Starts from `seed`, which must differ between devices: it comes from injected entropy.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number from 0 to `max`, both included; the bias is below 2^-63 per value.
    pub const fn up_to(&mut self, max: u64) -> u64 {
        let wide = (self.next_u64() as u128) * (max as u128 + 1);
        (wide >> 64) as u64
    }
}

/// The finalizer of SplitMix64: every bit of the result depends on every bit of `z`.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Full-jitter exponential back-off, with the rule when success makes it start over.
///
/// The n-th delay is drawn evenly from zero to `min(cap, base * 2^n)`: clients that failed in the
/// same moment come back at different ones. Reaching the peer is not success. Only a connection
/// that moved data and stayed open for twice the idle limit is, so one that opens and breaks over
/// and over is retried ever more slowly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    base: u64,
    cap: u64,
    failures: u32,
    opened: Option<Instant>,
    progress: bool,
    jitter: Jitter,
}

impl Backoff {
    /// Draws from `[0, base]` first and never from beyond `cap`; both in microseconds.
    #[must_use]
    pub const fn new(base: u64, cap: u64, seed: u64) -> Self {
        let jitter = Jitter::new(seed);
        Self { base, cap, failures: 0, opened: None, progress: false, jitter }
    }

    /// The longest delay [`next_delay`](Self::next_delay) can give now, in microseconds.
    #[must_use]
    pub const fn ceiling(&self) -> u64 {
        // Beyond 64 doublings everything is capped, unless the base is 0 and stays 0.
        let factor = if self.failures < 64 { 1 << self.failures } else { u64::MAX };
        let grown = self.base.saturating_mul(factor);
        if grown < self.cap { grown } else { self.cap }
    }

    /// Draws the delay before the next attempt, in microseconds, and counts one more failure.
    pub const fn next_delay(&mut self) -> u64 {
        //= CLI-2
        let delay = self.jitter.up_to(self.ceiling());
        self.failures = self.failures.saturating_add(1);
        delay
    }

    /// Failures since the last success, or since the start.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The session is attached since `now`.
    pub const fn handle_open(&mut self, now: Instant) {
        self.opened = Some(now);
        self.progress = false;
    }

    /// The open connection moved data of the session.
    pub const fn handle_progress(&mut self) {
        self.progress = true;
    }

    /// The connection ended at `now`; starts over if it had been a success by the measure of
    /// `idle`, the limit on silence in microseconds.
    pub const fn handle_end(&mut self, now: Instant, idle: u64) {
        //= CLI-3
        if let Some(opened) = self.opened {
            let stable = now.micros_since(opened) >= idle.saturating_mul(2);
            if stable && self.progress {
                self.failures = 0;
            }
        }
        self.opened = None;
        self.progress = false;
    }

    /// A number from 0 to `max` from the same source as the delays.
    pub const fn draw(&mut self, max: u64) -> u64 {
        self.jitter.up_to(max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_splitmix64() {
        let mut jitter = Jitter::new(1_234_567);
        let got: [u64; 3] = core::array::from_fn(|_| jitter.next_u64());
        assert_eq!(
            got,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    //= test CLI-2
    #[test]
    fn delays_fill_a_range_that_doubles_up_to_the_cap() {
        let mut backoff = Backoff::new(100, 1000, 7);
        for ceiling in [100, 200, 400, 800, 1000, 1000] {
            assert_eq!(backoff.ceiling(), ceiling);
            assert!(backoff.next_delay() <= ceiling);
        }
        let mut seen = [false; 5];
        for seed in 0..64 {
            let delay = Backoff::new(4, 4, seed).next_delay();
            seen[usize::try_from(delay).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5], "both ends of the range are drawn");
        let mut long = Backoff { failures: u32::MAX, ..Backoff::new(100, u64::MAX, 7) };
        assert_eq!(long.ceiling(), u64::MAX);
        long.next_delay();
        assert_eq!(long.failures(), u32::MAX);
    }

    //= test CLI-3
    #[test]
    fn only_a_stable_connection_with_progress_starts_over() {
        let at = Instant::from_micros;
        let failures_after = |progress: bool, end: u64| {
            let mut backoff = Backoff::new(100, 1000, 7);
            backoff.next_delay();
            backoff.handle_open(at(1000));
            if progress {
                backoff.handle_progress();
            }
            backoff.handle_end(at(end), 500);
            backoff.failures()
        };
        assert_eq!(failures_after(true, 2000), 0);
        assert_eq!(failures_after(true, 1999), 1);
        assert_eq!(failures_after(false, 9000), 1);
        let mut never_open = Backoff::new(100, 1000, 7);
        never_open.next_delay();
        never_open.handle_progress();
        never_open.handle_end(at(u64::MAX), 0);
        assert_eq!(never_open.failures(), 1);
    }
}
