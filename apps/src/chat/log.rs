//! What was said in a room: so many lines, for so long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much of a room is kept, and how much of that is told to who comes in.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Lines that are kept of each room; the oldest go first.
    pub kept: usize,
    /// How long a line is kept.
    pub age: Duration,
    /// How many of them who comes in is told.
    pub told: usize,
}

impl Default for HistoryLimits {
    /// 10,000 lines for an hour, of which the last 50 are told.
    fn default() -> Self {
        Self { kept: 10_000, age: Duration::from_secs(3_600), told: 50 }
    }
}

/// One line of a room. Clones share their text.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number in its room: one more than that of the line before.
    pub id: i64,
    /// When it was said, in seconds since 1970.
    pub unix: f64,
    /// Who said it.
    pub sender: (i64, Arc<str>),
    /// What.
    pub said: Said,
}

/// What a line is.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Words.
    Words(Arc<str>),
    /// A file, which is kept elsewhere.
    File {
        /// Its number.
        file: i64,
        /// What it is called.
        name: Arc<str>,
        /// Its length in bytes.
        size: usize,
    },
}

/// The lines of a room.
///
/// Each has a number, and the numbers have no gaps: who knows the last one that it was told can ask
/// for what came behind, and sees whether anything is missing. Time is an argument of everything.
#[derive(Debug)]
pub struct Log {
    limits: HistoryLimits,
    lines: VecDeque<(Instant, Line)>,
    last: i64,
}

impl Log {
    /// An empty one.
    #[must_use]
    pub const fn new(limits: HistoryLimits) -> Self {
        Self { limits, lines: VecDeque::new(), last: 0 }
    }

    /// Adds a line, and gives it the next number.
    pub fn push(&mut self, now: Instant, unix: f64, sender: (i64, Arc<str>), said: Said) -> Line {
        self.last += 1;
        let line = Line { id: self.last, unix, sender, said };
        self.lines.push_back((now, line.clone()));
        while self.lines.len() > self.limits.kept {
            self.lines.pop_front();
        }
        self.expire(now);
        line
    }

    /// The number of the last line; 0 before the first.
    #[must_use]
    pub const fn last(&self) -> i64 {
        self.last
    }

    /// Behind which line somebody is told who comes in, and has heard everything up to `heard`, or
    /// nothing yet.
    pub fn begin(&mut self, now: Instant, heard: Option<i64>) -> i64 {
        self.expire(now);
        let told = self.lines.len().min(self.limits.told);
        let usual = self.last - i64::try_from(told).unwrap_or(i64::MAX);
        // A number that is not known yet is one of an earlier life of the server.
        heard.filter(|heard| (0..=self.last).contains(heard)).unwrap_or(usual)
    }

    /// The next lines behind `after`, at most `most` of them. If the first is not the next number,
    /// those in between are not kept any more.
    pub fn behind(&mut self, now: Instant, after: i64, most: usize) -> Vec<Line> {
        self.expire(now);
        let first = self.lines.front().map_or(self.last + 1, |(_, line)| line.id);
        let skipped = usize::try_from(after + 1 - first).unwrap_or(0);
        self.lines.iter().skip(skipped).take(most).map(|(_, line)| line.clone()).collect()
    }

    fn expire(&mut self, now: Instant) {
        let age = self.limits.age;
        let old = |at: &Instant| now.saturating_duration_since(*at) >= age;
        while self.lines.front().is_some_and(|(at, _)| old(at)) {
            self.lines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(log: &mut Log, at: Instant, words: &str) -> i64 {
        log.push(at, 0.0, (1, "ann".into()), Said::Words(words.into())).id
    }

    fn numbers(lines: &[Line]) -> Vec<i64> {
        lines.iter().map(|line| line.id).collect()
    }

    #[test]
    fn the_last_fifty_are_told_and_ten_thousand_kept() {
        let (mut log, now) = (Log::new(HistoryLimits::default()), Instant::now());
        for n in 1..=10_100 {
            assert_eq!(say(&mut log, now, "hello"), n);
        }
        assert_eq!(log.begin(now, None), 10_050);
        assert_eq!(numbers(&log.behind(now, 10_050, 1_000)), (10_051..=10_100).collect::<Vec<_>>());
        let all = log.behind(now, 0, usize::MAX);
        assert_eq!((all.len(), all[0].id), (10_000, 101), "the oldest are gone");
    }

    #[test]
    fn lines_are_kept_for_an_hour() {
        let (mut log, start) = (Log::new(HistoryLimits::default()), Instant::now());
        let minutes = |n: u64| start + Duration::from_secs(60 * n);
        for n in 0..90 {
            say(&mut log, minutes(n), "tick");
        }
        assert_eq!(numbers(&log.behind(minutes(89), 0, 1)), [31], "the others are an hour old");
        assert_eq!(log.begin(minutes(130), None), 71, "19 are left");
        assert_eq!(log.behind(minutes(149), 0, 1), []);
        assert_eq!(log.begin(minutes(149), None), 90);
        assert_eq!(say(&mut log, minutes(149), "again"), 91, "numbers go on");
    }

    #[test]
    fn who_comes_back_is_told_what_came_behind() {
        let limits = HistoryLimits { kept: 10, told: 2, ..HistoryLimits::default() };
        let (mut log, now) = (Log::new(limits), Instant::now());
        for _ in 0..20 {
            say(&mut log, now, "hello");
        }
        assert_eq!(log.begin(now, None), 18);
        assert_eq!(log.begin(now, Some(13)), 13);
        assert_eq!(numbers(&log.behind(now, 13, 3)), [14, 15, 16]);
        assert_eq!(log.behind(now, 5, 1)[0].id, 11, "6 to 10 are not kept, and that shows");
        assert_eq!(log.behind(now, 20, 5), []);
        assert_eq!(log.begin(now, Some(700)), 18, "of another life");
        assert_eq!(log.begin(now, Some(-3)), 18);
    }
}
