//! How often something may happen: the generic cell rate algorithm, in two numbers.

use crate::time::Instant;

/// A rate with room for bursts.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Time one event takes up, in microseconds.
    interval: u64,
    /// How far ahead of that the events may run, in microseconds.
    tolerance: u64,
}

impl Rate {
    /// Everything conforms.
    pub const UNLIMITED: Self = Self { interval: 0, tolerance: 0 };

    /// `events` in each `period_us`, of which up to `burst` (at least 1) may come at once.
    /// No events at all are a rate nothing conforms to, but for the burst.
    #[must_use]
    pub const fn new(events: u32, period_us: u64, burst: u32) -> Self {
        let interval = match period_us.checked_div(events as u64) {
            Some(interval) => interval,
            None => u64::MAX,
        };
        let ahead = if burst > 0 { burst as u64 - 1 } else { 0 };
        Self { interval, tolerance: interval.saturating_mul(ahead) }
    }

    /// `events` per second, of which up to `burst` (at least 1) may come at once.
    #[must_use]
    pub const fn per_second(events: u32, burst: u32) -> Self {
        Self::new(events, 1_000_000, burst)
    }

    /// Time one event takes up, in microseconds: 0 if there is no limit, 2^64 - 1 if no event
    /// conforms but for the burst.
    #[must_use]
    pub const fn interval(&self) -> u64 {
        self.interval
    }

    /// Events that may come at once, at least 1.
    #[must_use]
    pub const fn burst(&self) -> u64 {
        match self.tolerance.checked_div(self.interval) {
            Some(ahead) => ahead.saturating_add(1),
            None => u64::MAX,
        }
    }
}

/// What is remembered of the events so far: when they would have ended at the even rate.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Meter(Instant);

impl Meter {
    /// No event so far.
    pub const NEW: Self = Self(Instant::from_micros(0));

    /// Counts an event at `now` if it conforms to `rate`.
    ///
    /// # Errors
    ///
    /// It does not, and is not counted; it would in this many microseconds.
    pub fn take(&mut self, now: Instant, rate: &Rate) -> Result<(), u64> {
        match self.wait(now, rate) {
            0 => {
                self.0 = self.0.max(now).after(rate.interval);
                Ok(())
            }
            wait => Err(wait),
        }
    }

    /// For how many microseconds from `now` no event conforms to `rate`.
    #[must_use]
    pub const fn wait(&self, now: Instant, rate: &Rate) -> u64 {
        self.0.micros_since(now).saturating_sub(rate.tolerance)
    }

    /// How many events conform to `rate` at `now`, one after the other.
    #[must_use]
    pub const fn room(&self, now: Instant, rate: &Rate) -> u32 {
        if rate.interval == 0 {
            return u32::MAX;
        }
        let ahead = self.0.micros_since(now);
        if ahead > rate.tolerance {
            return 0;
        }
        let room = (rate.tolerance - ahead) / rate.interval;
        if room >= u32::MAX as u64 {
            return u32::MAX;
        }
        #[expect(clippy::cast_possible_truncation, reason = "it was just compared")]
        let room = room as u32;
        room + 1
    }

    /// Counts `events` at `now` whether or not they conform: what came too early has to be waited
    /// for.
    pub fn charge(&mut self, now: Instant, rate: &Rate, events: u32) {
        if events > 0 {
            self.0 = self.0.max(now).after(rate.interval.saturating_mul(u64::from(events)));
        }
    }

    /// Whether nothing would change if the events so far were forgotten at `now`.
    #[must_use]
    pub fn is_idle(&self, now: Instant) -> bool {
        self.0 <= now
    }
}
