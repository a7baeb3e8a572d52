//! How much of something there is per second: from what was counted at several moments.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How far back rates look, as far as somebody looked then.
const WINDOW: Duration = Duration::from_secs(10);
/// Moments that are closer to each other than this are one.
const STEP: Duration = Duration::from_millis(200);

/// What there was per second, on the average of the last ten seconds.
///
/// Nothing is counted for it: it is what was counted now less what was counted when somebody looked
/// before. Who looks once a second sees ten seconds; who looks rarely sees the time since then.
#[derive(Debug, Copy, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// The time that it is the average of.
    pub window: Duration,
    /// Connections let in.
    pub connections: f64,
    /// Connections that ended.
    pub disconnections: f64,
    /// Messages, requests and responses received.
    pub messages_in: f64,
    /// The same, sent.
    pub messages_out: f64,
    /// Bytes of them received.
    pub bytes_in: f64,
    /// The same, sent.
    pub bytes_out: f64,
    /// Processors that this process keeps busy; 0 where the system does not say it.
    pub cpu: f64,
}

/// What rates are made of: connections, disconnections, messages and bytes in both directions, and
/// nanoseconds of processors.
pub(crate) type Sample = [u64; 7];

/// Moments at which somebody looked.
#[derive(Debug)]
pub(crate) struct Window {
    moments: VecDeque<(Instant, Sample)>,
}

impl Window {
    /// Nothing has happened yet, but the process has taken some time of processors.
    pub(crate) fn new(now: Instant, begin: Sample) -> Self {
        Self { moments: VecDeque::from([(now, begin)]) }
    }

    /// Somebody looks: what there was per second up to now.
    pub(crate) fn look(&mut self, now: Instant, sample: Sample) -> Rates {
        let age = |at: Instant| now.saturating_duration_since(at);
        // The first one is the last that is old enough, if there is one.
        while self.moments.get(1).is_some_and(|(at, _)| age(*at) >= WINDOW) {
            self.moments.pop_front();
        }
        let first = self.moments.front().copied().unwrap_or((now, sample));
        if self.moments.back().is_none_or(|(at, _)| age(*at) >= STEP) {
            self.moments.push_back((now, sample));
        }
        let window = age(first.0);
        let per_second = |at: usize| {
            let [now, then] = [&sample, &first.1].map(|sample| sample.get(at).copied());
            let more = now.unwrap_or(0).saturating_sub(then.unwrap_or(0));
            if window.is_zero() { 0.0 } else { more as f64 / window.as_secs_f64() }
        };
        Rates {
            window,
            connections: per_second(0),
            disconnections: per_second(1),
            messages_in: per_second(2),
            messages_out: per_second(3),
            bytes_in: per_second(4),
            bytes_out: per_second(5),
            cpu: per_second(6) / 1e9,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_says_how_long_it_is() {
        let begin = Instant::now();
        let mut window = Window::new(begin, [0; 7]);
        let mut look = |ms: u64, count: u64| {
            let rates = window.look(begin + Duration::from_millis(ms), [count; 7]);
            assert!(window.moments.len() <= 60, "what is kept is bounded");
            rates
        };
        assert_eq!(look(0, 0), Rates::default());
        assert_eq!(look(2_000, 100).connections, 50.0);
        // A hundred a second for a minute, and nothing of the time before that any more.
        for tenth in 21..=620 {
            look(tenth * 100, 100 + (tenth - 20) * 10);
        }
        let rates = look(62_100, 100 + 6_010);
        assert!(rates.window >= WINDOW && rates.window <= WINDOW + STEP, "{rates:?}");
        assert!((rates.messages_in - 100.0).abs() < 1.0, "{rates:?}");
        // Nobody looked for an hour.
        let rates = look(3_662_100, 6_110 + 3_600);
        assert!(rates.window > Duration::from_secs(3_600) && rates.bytes_out < 1.5, "{rates:?}");
    }
}
