//! How far ahead the peer may send, and when that distance grows.
//!
//! A window starts small and doubles while a round trip brings most of it: then the window, not the
//! link, is what holds the peer back. The credit granted only ever grows.

use crate::time::Instant;

/// Pause after a sample that did not grow the window, in microseconds.
const PAUSE: u32 = 250_000;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    size: u32,
    max: u32,
    measuring: Measuring,
}

/// Whether a round trip is being measured.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
enum Measuring {
    No,
    /// From this received position on; the low half.
    From(u32),
    /// No, and not within the pause after this time, in microseconds; the low half.
    Paused(u32),
}

impl Window {
    pub(crate) const fn new(size: u32, max: u32) -> Self {
        Self { size, max, measuring: Measuring::No }
    }

    pub(crate) const fn size(&self) -> u32 {
        self.size
    }

    /// Whether a round trip should be measured now that `unreported` bytes wait for credit.
    pub(crate) fn wants_sample(&self, now: Instant, unreported: u32) -> bool {
        self.size < self.max
            && unreported >= self.size / 4
            && match self.measuring {
                Measuring::No => true,
                Measuring::From(_) => false,
                Measuring::Paused(since) => low(now.as_micros()).wrapping_sub(since) >= PAUSE,
            }
    }

    /// A probe went out when `received` bytes had come in.
    pub(crate) const fn sample(&mut self, received: u64) {
        self.measuring = Measuring::From(low(received));
    }

    /// The probe was answered; true if the window grew.
    //= CRD-6
    pub(crate) fn sampled(&mut self, now: Instant, received: u64) -> bool {
        let Measuring::From(from) = self.measuring else {
            return false;
        };
        let brought = u64::from(low(received).wrapping_sub(from));
        let grows = brought * 3 >= u64::from(self.size) * 2;
        self.measuring = if grows {
            self.size = self.size.saturating_mul(2).min(self.max);
            Measuring::No
        } else {
            //= CRD-7
            Measuring::Paused(low(now.as_micros()))
        };
        grows
    }

    /// The connection is gone, and the probe with it.
    //= CRD-11
    pub(crate) const fn detach(&mut self) {
        self.measuring = Measuring::No;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
const fn low(whole: u64) -> u32 {
    whole as u32
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
