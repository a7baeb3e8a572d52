//! What is going to happen to a connection: drawn once, from a seed, when it is accepted.

use std::fmt;
use std::time::Duration;

use crate::rng::Rng;

/// From the client to the server, or back.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the one who connected.
    Up,
    /// From the one who was connected to.
    Down,
}

impl Way {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Up => "client to server",
            Self::Down => "server to client",
        }
    }
}

/// A range of numbers, both ends included.
pub(crate) type Range = (u64, u64);

/// How much is to go wrong. Percentages are of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chaos {
    /// Bytes that one direction has carried, whichever is the first, when the connection is cut;
    /// small numbers are as likely as large ones, so that handshakes are hit too.
    pub(crate) cut_bytes: Option<Range>,
    /// Milliseconds until the connection is cut, if bytes did not do it before.
    pub(crate) cut_ms: Option<Range>,
    /// Percentage with one stall, and its length in milliseconds.
    pub(crate) stall: u8,
    pub(crate) stall_ms: Range,
    /// Percentage whose bytes travel in small pieces, and the longest piece.
    pub(crate) split: u8,
    pub(crate) split_bytes: u64,
    /// Percentage of slow ones, and how slow, in bytes per second.
    pub(crate) throttle: u8,
    pub(crate) throttle_rate: Range,
    /// Percentage of cuts that nobody is told of, and for how long, in milliseconds.
    pub(crate) half_open: u8,
    pub(crate) half_open_ms: Range,
}

impl Chaos {
    /// Nothing goes wrong.
    pub(crate) const NONE: Self = Self {
        cut_bytes: None,
        cut_ms: None,
        stall: 0,
        stall_ms: (200, 2_000),
        split: 0,
        split_bytes: 7,
        throttle: 0,
        throttle_rate: (20_000, 200_000),
        half_open: 0,
        half_open_ms: (5_000, 30_000),
    };

    /// A line that a person would complain about.
    pub(crate) const DEFAULT: Self = Self {
        cut_bytes: Some((16, 1 << 20)),
        cut_ms: Some((2_000, 20_000)),
        stall: 20,
        split: 20,
        throttle: 10,
        half_open: 10,
        ..Self::NONE
    };
}

/// How a connection ends.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Cut {
    /// Both ends see a reset.
    Reset,
    /// Both ends see an end of stream; what was under way is lost.
    Close,
    /// One direction goes dead, or both, and nobody is told until the time is over.
    HalfOpen { both: bool, hold: Duration },
}

/// What happens to the bytes of one direction.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Lane {
    /// Bytes that went through.
    pub(crate) passed: u64,
    pub(crate) cut_at: Option<u64>,
    pub(crate) stall_at: Option<(u64, Duration)>,
    /// The longest piece.
    pub(crate) piece: Option<u64>,
    /// Bytes per second.
    pub(crate) rate: Option<u64>,
}

/// What is to be done next with bytes that wait.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many go through.
    Pass(usize),
    /// They wait.
    Stall(Duration),
    /// They do not go through, nor will any others.
    Cut,
}

impl Lane {
    /// What to do with `len` bytes; more than zero.
    pub(crate) fn step(&mut self, len: usize) -> Step {
        if let Some((at, time)) = self.stall_at
            && at <= self.passed
        {
            self.stall_at = None;
            return Step::Stall(time);
        }
        if self.cut_at.is_some_and(|at| at <= self.passed) {
            return Step::Cut;
        }
        let stops = [self.cut_at, self.stall_at.map(|(at, _)| at)];
        let next = stops.into_iter().flatten().map(|at| at - self.passed);
        let room = next.chain(self.piece).min().unwrap_or(u64::MAX);
        let pass = usize::try_from(room).map_or(len, |room| room.min(len));
        self.passed += pass as u64;
        Step::Pass(pass)
    }

    /// How long `len` bytes take at the rate of this lane.
    pub(crate) fn pace(&self, len: usize) -> Option<Duration> {
        let rate = self.rate.filter(|rate| *rate > 0)?;
        Some(Duration::from_micros(len as u64 * 1_000_000 / rate))
    }
}

/// The fate of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) up: Lane,
    pub(crate) down: Lane,
    pub(crate) cut: Cut,
    /// When it is cut at the latest.
    pub(crate) after: Option<Duration>,
}

impl Plan {
    /// The fate of connection number `index`: the same for the same seed, whatever the weather.
    pub(crate) fn draw(chaos: &Chaos, seed: u64, index: u64) -> Self {
        let mut rng = Rng::stream(seed, index);
        let mut plan =
            Self { up: Lane::default(), down: Lane::default(), cut: Cut::Reset, after: None };
        if rng.percent(50) {
            plan.cut = Cut::Close;
        }
        if rng.percent(chaos.half_open) {
            let hold = millis(&mut rng, chaos.half_open_ms);
            plan.cut = Cut::HalfOpen { both: rng.percent(50), hold };
        }
        plan.after = chaos.cut_ms.map(|range| millis(&mut rng, range));
        if let Some((from, to)) = chaos.cut_bytes {
            let at = rng.magnitude(from, to);
            (plan.up.cut_at, plan.down.cut_at) = (Some(at), Some(at));
        }
        if rng.percent(chaos.stall) {
            let time = millis(&mut rng, chaos.stall_ms);
            let (_, to) = chaos.cut_bytes.unwrap_or((0, 1 << 20));
            let at = rng.magnitude(1, to);
            plan.lane(&mut rng).stall_at = Some((at, time));
        }
        if rng.percent(chaos.split) {
            let piece = rng.within(1, chaos.split_bytes);
            plan.lane(&mut rng).piece = Some(piece);
        }
        if rng.percent(chaos.throttle) {
            let (from, to) = chaos.throttle_rate;
            let rate = rng.within(from, to);
            (plan.up.rate, plan.down.rate) = (Some(rate), Some(rate));
        }
        plan
    }

    fn lanes(&self) -> [(Way, &Lane); 2] {
        [(Way::Up, &self.up), (Way::Down, &self.down)]
    }

    const fn lane(&mut self, rng: &mut Rng) -> &mut Lane {
        if rng.percent(50) { &mut self.up } else { &mut self.down }
    }
}

impl fmt::Display for Plan {
    /// What will go wrong, as far as it goes on for long enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut plans = Vec::new();
        for (way, lane) in self.lanes() {
            let way = way.name();
            plans.extend(lane.piece.map(|most| format!("pieces of {most} bytes {way}")));
            plans.extend(lane.stall_at.map(|(at, _)| format!("stall at byte {at} {way}")));
        }
        plans.extend(self.up.rate.map(|rate| format!("{rate} bytes a second")));
        plans.extend(self.up.cut_at.map(|at| format!("cut at byte {at} of either direction")));
        plans.extend(self.after.map(|time| format!("cut after {} ms", time.as_millis())));
        if plans.is_empty() { f.write_str("no trouble") } else { f.write_str(&plans.join(", ")) }
    }
}

fn millis(rng: &mut Rng, (from, to): Range) -> Duration {
    Duration::from_millis(rng.within(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_stops_exactly_where_it_should() {
        let stall = Duration::from_millis(3);
        let mut lane = Lane {
            cut_at: Some(10),
            stall_at: Some((4, stall)),
            piece: Some(3),
            ..Lane::default()
        };
        let mut steps = Vec::new();
        while steps.last() != Some(&Step::Cut) {
            steps.push(lane.step(100));
        }
        let expected = [
            Step::Pass(3),
            Step::Pass(1),
            Step::Stall(stall),
            Step::Pass(3),
            Step::Pass(3),
            Step::Cut,
        ];
        assert_eq!(steps, expected);
        assert_eq!(lane.passed, 10);
    }

    #[test]
    fn nothing_planned_is_nothing_done() {
        let mut plan = Plan::draw(&Chaos::NONE, 1, 1);
        assert_eq!(plan.after, None);
        assert_eq!(plan.up.step(5_000), Step::Pass(5_000));
        assert_eq!(plan.down.step(1), Step::Pass(1));
    }

    #[test]
    fn a_seed_is_a_fate_and_every_fate_occurs() {
        let mut seen = [0; 6];
        for index in 0..400 {
            let plan = Plan::draw(&Chaos::DEFAULT, 42, index);
            assert_eq!(plan, Plan::draw(&Chaos::DEFAULT, 42, index));
            let lanes = [&plan.up, &plan.down];
            let any = |what: fn(&Lane) -> bool| usize::from(lanes.iter().any(|lane| what(lane)));
            seen[0] += any(|lane| lane.stall_at.is_some());
            seen[1] += any(|lane| lane.piece.is_some());
            seen[2] += any(|lane| lane.rate.is_some());
            seen[3] += usize::from(plan.cut == Cut::Reset);
            seen[4] += usize::from(plan.cut == Cut::Close);
            seen[5] += usize::from(matches!(plan.cut, Cut::HalfOpen { .. }));
            assert_eq!(any(|lane| lane.cut_at.is_some()), 1);
        }
        assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
    }

    #[test]
    fn pace_follows_the_rate() {
        let lane = Lane { rate: Some(1000), ..Lane::default() };
        assert_eq!(lane.pace(500), Some(Duration::from_millis(500)));
        assert_eq!(Lane::default().pace(500), None);
    }
}
