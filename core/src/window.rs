//! How far ahead the peer may send, and when that distance grows.
//!
//! A window starts small and doubles while a round trip brings most of it: then the window, not the
//! link, is what holds the peer back. The credit granted only ever grows.

use core::num::NonZeroU64;

use crate::time::Instant;

/// Pause after a sample that did not grow the window, in microseconds.
const PAUSE: u64 = 250_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    size: u32,
    max: u32,
    /// Received position when the probe that measures now went out.
    /// One is added, so that it is never 0.
    sample_from: Option<NonZeroU64>,
    /// No sample before this.
    not_before: Option<Instant>,
}

impl Window {
    pub(crate) const fn new(size: u32, max: u32) -> Self {
        Self { size, max, sample_from: None, not_before: None }
    }

    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// Whether a round trip should be measured now that `unreported` bytes wait for credit.
    pub(crate) fn wants_sample(&self, now: Instant, unreported: u32) -> bool {
        self.size < self.max
            && self.sample_from.is_none()
            && unreported >= self.size / 4
            && self.not_before.is_none_or(|at| at <= now)
    }

    /// A probe went out when `received` bytes had come in.
    pub(crate) const fn sample(&mut self, received: u64) {
        self.sample_from = NonZeroU64::new(received.saturating_add(1));
    }

    /// The probe was answered; true if the window grew.
    //= CRD-6
    pub(crate) fn sampled(&mut self, now: Instant, received: u64) -> bool {
        let Some(from) = self.sample_from.take() else {
            return false;
        };
        let from = from.get() - 1;
        if (received.saturating_sub(from)).saturating_mul(3) >= u64::from(self.size) * 2 {
            self.size = self.size.saturating_mul(2).min(self.max);
            return true;
        }
        //= CRD-7
        self.not_before = Some(now.after(PAUSE));
        false
    }

    /// The connection is gone, and the probe with it.
    //= CRD-11
    pub(crate) const fn detach(&mut self) {
        self.sample_from = None;
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Instant = Instant::from_micros(1);

    //= test CRD-6
    #[test]
    fn two_thirds_of_a_window_in_a_round_trip_double_it_up_to_the_largest() {
        let mut window = Window::new(600, 1_000);
        window.sample(50);
        assert!(!window.clone().sampled(T, 50 + 399));
        assert!(window.sampled(T, 50 + 400));
        assert_eq!(window.size(), 1_000);
        assert!(!window.sampled(T, 5_000), "nothing was measured");
        assert!(!window.wants_sample(T, 1_000), "it is the largest");
    }

    //= test CRD-7
    #[test]
    fn a_measurement_that_grew_nothing_is_not_repeated_at_once() {
        let mut window = Window::new(600, 1_000);
        assert!(window.wants_sample(T, 150));
        window.sample(0);
        assert!(!window.wants_sample(T, 150), "one at a time");
        assert!(!window.sampled(T, 399));
        assert!(!window.wants_sample(T.after(249_999), 600));
        assert!(window.wants_sample(T.after(250_000), 600));
    }

    //= test CRD-11
    #[test]
    fn a_window_keeps_its_size_without_a_connection_and_forgets_what_it_measured() {
        let mut window = Window::new(600, 10_000);
        window.sample(0);
        assert!(window.sampled(T, 600));
        window.sample(600);
        window.detach();
        assert_eq!(window.size(), 1_200);
        assert!(!window.sampled(T, 100_000));
        assert_eq!(window.size(), 1_200);
    }
}
