extern crate alloc;

use alloc::format;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const SEED: u64 = 0x0DD5;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * MS)
}

fn config() -> DialerConfig {
    DialerConfig {
        addresses: 3,
        backoff_base: 100 * MS,
        backoff_cap: 1000 * MS,
        connect_limit: 5000 * MS,
        idle: 10_000 * MS,
        ..DialerConfig::default()
    }
}

fn started(config: DialerConfig) -> Dialer {
    let mut dialer = Dialer::new(config, SEED);
    dialer.handle_start(at(0), false);
    dialer
}

/// The dial that must be the next action, at the time the dialer asked for.
fn dial(dialer: &mut Dialer) -> (Instant, Dial) {
    let due = dialer.poll_timeout().expect("an attempt is planned");
    match dialer.poll_action(due) {
        Some(Action::Dial(dial)) => (due, dial),
        other => panic!("{other:?} instead of a dial"),
    }
}

fn opened(dialer: &mut Dialer) -> (Instant, Attempt) {
    let (now, dial) = dial(dialer);
    dialer.handle_transport(dial.attempt);
    dialer.handle_welcome(now, dial.attempt, true);
    assert_eq!(dialer.state(), DialState::Open);
    assert_eq!(dialer.poll_timeout(), None);
    (now, dial.attempt)
}

//= test STM-3
#[test]
fn the_table_is_this_one() {
    let expected = "\
idle      --start--> waiting
waiting   --due--> dialing
waiting   --stop--> stopped
dialing   --transport--> greeting
dialing   --retry--> waiting
dialing   --stop--> stopped
greeting  --welcome--> open
greeting  --retry--> waiting
greeting  --stale--> waiting
greeting  --stop--> stopped
open      --retry--> waiting
open      --drain--> draining
open      --stop--> stopped
draining  --retry--> waiting
draining  --drain--> draining
draining  --leave--> waiting
draining  --stop--> stopped
stopped   --start--> waiting
";
    assert_eq!(format!("{DialTable}"), expected);
}

#[test]
fn the_first_attempt_is_due_at_once_and_asks_for_a_new_session() {
    let mut dialer = Dialer::new(config(), SEED);
    assert_eq!(dialer.poll_timeout(), None);
    dialer.handle_start(at(7), false);
    let (now, dial) = dial(&mut dialer);
    assert_eq!(now, at(7));
    assert_eq!(dial.target, Target::Listed(0));
    assert!(!dial.resume);
    assert_eq!(dial.deadline, at(5007));
    assert_eq!(dialer.poll_timeout(), Some(dial.deadline));
    assert_eq!(dialer.poll_action(at(5006)), None);
}

//= test CLI-1
#[test]
fn failures_walk_the_list_with_growing_delays() {
    let mut dialer = started(config());
    let mut targets = Vec::new();
    for n in 0..5u32 {
        let (now, dial) = dial(&mut dialer);
        targets.push(dial.target);
        dialer.handle_failure(now, dial.attempt);
        dialer.handle_failure(now, dial.attempt);
        let wait = dialer.poll_timeout().unwrap().micros_since(now);
        assert!(wait <= ((100 * MS) << n).min(1000 * MS), "seed {SEED}, failure {n}");
        assert_eq!(dialer.failures(), n + 1);
    }
    assert_eq!(targets, [0, 1, 2, 0, 1].map(Target::Listed));
}

//= test CLI-12
#[test]
fn a_broken_connection_is_resumed_at_the_same_address() {
    let mut dialer = started(config());
    let (now, first) = dial(&mut dialer);
    dialer.handle_failure(now, first.attempt);
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_failure(now, attempt);
    let (_, again) = dial(&mut dialer);
    assert_eq!(again.target, Target::Listed(1));
    assert!(again.resume);
}

//= test CLI-10
#[test]
fn news_of_an_earlier_attempt_is_ignored() {
    let mut dialer = started(config());
    let (now, old) = dial(&mut dialer);
    dialer.handle_failure(now, old.attempt);
    let (now, new) = dial(&mut dialer);
    dialer.handle_transport(old.attempt);
    dialer.handle_welcome(now, old.attempt, true);
    dialer.handle_failure(now, old.attempt);
    dialer.handle_close(now, old.attempt, Closed::by(CloseCode::SUPERSEDED));
    dialer.handle_drain(now, old.attempt, 0, true);
    assert_eq!(dialer.state(), DialState::Dialing);
    dialer.handle_transport(new.attempt);
    assert_eq!(dialer.state(), DialState::Greeting);
}

//= test CLI-7
#[test]
fn an_attempt_that_takes_too_long_is_aborted() {
    for transport in [false, true] {
        let mut dialer = started(config());
        let (_, dial) = dial(&mut dialer);
        if transport {
            dialer.handle_transport(dial.attempt);
        }
        assert_eq!(dialer.poll_action(dial.deadline), Some(Action::Abort(dial.attempt)));
        assert_eq!(dialer.state(), DialState::Waiting);
        dialer.handle_welcome(dial.deadline, dial.attempt, true);
        assert_eq!(dialer.state(), DialState::Waiting, "too late");
    }
}

//= test COD-6
#[test]
fn a_hint_of_the_server_is_a_lower_bound() {
    let mut dialer = started(config());
    let (now, attempt) = opened(&mut dialer);
    let closed = Closed { retry_ms: 30_000, ..Closed::by(CloseCode::BUSY) };
    dialer.handle_close(now, attempt, closed);
    let wait = dialer.poll_timeout().unwrap().micros_since(now);
    assert!((30_000 * MS..=30_100 * MS).contains(&wait), "seed {SEED}: {wait}");
}

//= test CLI-6
#[test]
fn a_stale_attach_is_repeated_once_at_once() {
    let mut dialer = started(DialerConfig { backoff_base: u64::MAX, ..config() });
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_failure(now, attempt);
    let stale = |dialer: &mut Dialer| {
        let (now, dial) = dial(dialer);
        dialer.handle_transport(dial.attempt);
        dialer.handle_close(now, dial.attempt, Closed::by(CloseCode::STALE_ATTACH));
        dialer.poll_timeout().unwrap().micros_since(now)
    };
    assert_eq!(stale(&mut dialer), 0);
    assert!(stale(&mut dialer) > 0, "seed {SEED}");
    assert!(stale(&mut dialer) > 0, "seed {SEED}");
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_failure(now, attempt);
    assert_eq!(stale(&mut dialer), 0, "a connection that opened renews the permission");
}

//= test CLI-5
//= test COD-5
#[test]
fn superseded_and_no_retry_stop() {
    let no_retry = Closed { no_retry: true, ..Closed::by(CloseCode::GOING_AWAY) };
    for closed in [Closed::by(CloseCode::SUPERSEDED), no_retry] {
        let mut dialer = started(config());
        let (now, attempt) = opened(&mut dialer);
        dialer.handle_close(now, attempt, closed);
        assert!(dialer.poll_timeout().unwrap() <= now);
        let stop = Action::Stop(StopReason::Refused(closed.code));
        assert_eq!(dialer.poll_action(now), Some(stop));
        assert_eq!(dialer.poll_action(at(u64::MAX / MS)), None);
        assert_eq!(dialer.poll_timeout(), None);
    }
}

#[test]
fn a_finished_session_stops() {
    let mut dialer = started(config());
    let (now, attempt) = opened(&mut dialer);
    let closed = Closed { session_ended: true, ..Closed::by(CloseCode::OK) };
    dialer.handle_close(now, attempt, closed);
    assert_eq!(dialer.poll_action(now), Some(Action::Stop(StopReason::Finished)));
}

//= test CLI-8
#[test]
fn a_lost_session_is_replaced_or_reported() {
    let lost = |on_lost| {
        let mut dialer = started(DialerConfig { on_lost, ..config() });
        let (now, attempt) = opened(&mut dialer);
        dialer.handle_failure(now, attempt);
        let (now, dial) = dial(&mut dialer);
        assert!(dial.resume);
        dialer.handle_transport(dial.attempt);
        dialer.handle_close(now, dial.attempt, Closed::by(CloseCode::EXPIRED));
        let action = dialer.poll_action(now);
        (dialer, action)
    };
    let (mut dialer, action) = lost(OnLost::Replace);
    assert_eq!(action, Some(Action::Replace(CloseCode::EXPIRED)));
    assert!(!dial(&mut dialer).1.resume);
    let (mut dialer, action) = lost(OnLost::Stop);
    assert_eq!(action, Some(Action::Stop(StopReason::SessionLost(CloseCode::EXPIRED))));
    dialer.handle_start(at(99), false);
    assert!(!dial(&mut dialer).1.resume);
}

//= test CLI-9
#[test]
fn attempts_end_when_configured() {
    let attempts = |attempts, rounds: u32| {
        let mut dialer = started(DialerConfig { attempts, ..config() });
        for n in 1..=rounds {
            let (now, dial) = dial(&mut dialer);
            dialer.handle_failure(now, dial.attempt);
            if dialer.state() == DialState::Stopped {
                let stop = Action::Stop(StopReason::GaveUp { failures: n });
                assert_eq!(dialer.poll_action(now), Some(stop));
                return n;
            }
        }
        0
    };
    assert_eq!(attempts(Attempts::Once, 9), 1);
    assert_eq!(attempts(Attempts::UpTo(4), 9), 4);
    assert_eq!(attempts(Attempts::UpTo(0), 9), 1);
    assert_eq!(attempts(Attempts::Unlimited, 999), 0);
}

//= test CLI-3
#[test]
fn only_a_success_renews_the_attempts() {
    let mut dialer = started(DialerConfig { attempts: Attempts::UpTo(2), ..config() });
    let (now, dialled) = dial(&mut dialer);
    dialer.handle_failure(now, dialled.attempt);
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_progress(attempt);
    dialer.handle_failure(now.after(20_000 * MS), attempt);
    assert_eq!((dialer.state(), dialer.failures()), (DialState::Waiting, 1));
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_failure(now.after(60_000 * MS), attempt);
    assert_eq!(dialer.state(), DialState::Stopped, "nothing was moved");
}

//= test CLI-4
#[test]
fn a_drain_spreads_departures_and_prefers_the_hint() {
    let mut seen = [false; 4];
    for seed in 0..64 {
        let mut dialer = Dialer::new(config(), seed);
        dialer.handle_start(at(0), false);
        let (now, attempt) = opened(&mut dialer);
        dialer.handle_drain(now, attempt, 4000, true);
        let leave = dialer.poll_timeout().unwrap();
        dialer.handle_drain(now, attempt, 0, false);
        assert_eq!(dialer.poll_timeout(), Some(leave), "drawn once");
        let wait = leave.micros_since(now);
        assert!(wait <= 4000 * MS);
        seen[usize::try_from(wait / (1001 * MS)).unwrap()] = true;
        assert_eq!(dialer.poll_action(leave), Some(Action::Leave(attempt)));
        dialer.handle_close(leave, attempt, Closed::by(CloseCode::GOING_AWAY));
        let (again, hinted) = dial(&mut dialer);
        assert_eq!((again, hinted.target, hinted.resume), (leave, Target::Hinted, true));
        dialer.handle_failure(leave, hinted.attempt);
        assert_eq!(dial(&mut dialer).1.target, Target::Listed(0), "the hint is tried once");
    }
    assert_eq!(seen, [true; 4]);
}

//= test CLI-11
#[test]
fn a_hinted_address_that_worked_is_tried_first_again() {
    let mut dialer = started(config());
    dialer.handle_hint();
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_failure(now, attempt);
    assert_eq!(dial(&mut dialer).1.target, Target::Hinted);
}

#[test]
fn once_means_once_even_after_a_drain() {
    let mut dialer = started(DialerConfig { attempts: Attempts::Once, ..config() });
    let (now, attempt) = opened(&mut dialer);
    dialer.handle_drain(now, attempt, 0, true);
    assert_eq!(dialer.poll_action(now), Some(Action::Leave(attempt)));
    let stop = Action::Stop(StopReason::GaveUp { failures: 0 });
    assert_eq!(dialer.poll_action(now), Some(stop));
}

#[test]
fn the_application_stops_and_starts_it() {
    let mut dialer = started(config());
    let (now, _) = opened(&mut dialer);
    dialer.handle_stop();
    assert_eq!(dialer.poll_action(now), Some(Action::Stop(StopReason::Requested)));
    dialer.handle_stop();
    assert_eq!(dialer.poll_action(now), None);
    dialer.handle_start(now, true);
    let (due, dial) = dial(&mut dialer);
    assert_eq!((due, dial.resume), (now, true));
}

#[derive(Debug, Clone)]
enum Op {
    Pass(u64),
    Transport(bool),
    Welcome(bool),
    Progress,
    Failure(bool),
    Close { code: usize, ended: bool, no_retry: bool, retry_ms: u32 },
    Drain(u32, bool),
    Hint,
    Stop,
    Start,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let close = (0..CloseCode::ALL.len(), any::<bool>(), any::<bool>(), 0..5000u32).prop_map(
        |(code, ended, no_retry, retry_ms)| Op::Close { code, ended, no_retry, retry_ms },
    );
    let op = prop_oneof![
        4 => (0..20_000u64).prop_map(Op::Pass),
        4 => any::<bool>().prop_map(Op::Transport),
        4 => any::<bool>().prop_map(Op::Welcome),
        1 => Just(Op::Progress),
        3 => any::<bool>().prop_map(Op::Failure),
        3 => close,
        1 => (0..5000u32, any::<bool>()).prop_map(|(spread, hint)| Op::Drain(spread, hint)),
        1 => Just(Op::Hint),
        1 => Just(Op::Stop),
        2 => Just(Op::Start),
    ];
    proptest::collection::vec(op, 1..120)
}

/// What an observer who sees only calls and actions knows.
struct Watch {
    now: Instant,
    /// No dial before this.
    not_before: Instant,
    current: Option<Attempt>,
    under_way: bool,
    stopped: bool,
    stale: bool,
}

impl Watch {
    fn see(&mut self, dialer: &mut Dialer) {
        for round in 0.. {
            assert!(round < 8, "the dialer keeps its driver busy for nothing");
            let due = dialer.poll_timeout();
            let Some(action) = dialer.poll_action(self.now) else {
                assert!(due.is_none_or(|due| due > self.now), "due, yet nothing to do");
                return;
            };
            assert!(due.is_some_and(|due| due <= self.now), "an action nobody was woken for");
            match action {
                Action::Dial(dial) => {
                    assert!(!self.stopped, "dialled after a stop");
                    assert!(!self.under_way, "two attempts at once");
                    assert!(self.now >= self.not_before, "dialled too early");
                    assert!(Some(dial.attempt) > self.current);
                    self.current = Some(dial.attempt);
                    self.under_way = true;
                }
                Action::Abort(attempt) | Action::Leave(attempt) => {
                    assert_eq!(Some(attempt), self.current);
                    self.under_way = false;
                }
                Action::Stop(_) => {
                    self.stopped = true;
                    self.under_way = false;
                }
                Action::Replace(_) => {}
            }
        }
    }

    fn close(&mut self, dialer: &mut Dialer, attempt: Attempt, closed: Closed) {
        if self.under_way {
            let greeting = dialer.state() == DialState::Greeting;
            let at_once = closed.code == CloseCode::STALE_ATTACH && greeting && !self.stale;
            let plain = !closed.session_ended && !closed.no_retry;
            let hint = if at_once && plain { 0 } else { closed.retry_ms };
            self.stale |= at_once && plain;
            self.not_before = self.now.after(u64::from(hint) * MS);
        }
        dialer.handle_close(self.now, attempt, closed);
    }

    fn apply(&mut self, dialer: &mut Dialer, op: &Op) {
        let attempt = self.current.unwrap_or(Attempt(0));
        let late = Attempt(attempt.0.wrapping_sub(1));
        match *op {
            Op::Pass(ms) => self.now = self.now.after(ms * MS),
            Op::Transport(current) => {
                dialer.handle_transport(if current { attempt } else { late });
            }
            Op::Welcome(session) => {
                self.stale &= dialer.state() != DialState::Greeting;
                dialer.handle_welcome(self.now, attempt, session);
            }
            Op::Progress => dialer.handle_progress(attempt),
            Op::Failure(current) => {
                dialer.handle_failure(self.now, if current { attempt } else { late });
            }
            Op::Close { code, ended, no_retry, retry_ms } => {
                let code = CloseCode::ALL[code];
                let closed = Closed { code, session_ended: ended, no_retry, retry_ms };
                self.close(dialer, attempt, closed);
            }
            Op::Drain(spread, hint) => dialer.handle_drain(self.now, attempt, spread, hint),
            Op::Hint => dialer.handle_hint(),
            Op::Stop => dialer.handle_stop(),
            Op::Start => {
                if matches!(dialer.state(), DialState::Idle | DialState::Stopped) {
                    (self.stopped, self.stale, self.not_before) = (false, false, self.now);
                }
                dialer.handle_start(self.now, false);
            }
        }
        let dialled = dialer.state().next(DialEvent::Retry).is_some();
        self.under_way &= dialled || matches!(op, Op::Pass(_));
    }
}

proptest! {
    #[test]
    fn never_dials_early_twice_or_after_a_stop(seed in any::<u64>(), ops in ops()) {
        let mut dialer = Dialer::new(config(), seed);
        let mut watch = Watch {
            now: at(0),
            not_before: at(0),
            current: None,
            under_way: false,
            stopped: true,
            stale: false,
        };
        for op in &ops {
            watch.apply(&mut dialer, op);
            watch.see(&mut dialer);
        }
    }
}

#[test]
fn policies_that_cannot_work_are_named() {
    let key = |config: DialerConfig| config.validate().map_err(|error| error.key());
    let config = DialerConfig::default();
    assert_eq!(key(config), Ok(()));
    assert_eq!(key(DialerConfig { attempts: Attempts::Once, idle: 0, ..config }), Ok(()));
    let wrong = [
        (DialerConfig { addresses: 0, ..config }, "addresses"),
        (DialerConfig { backoff_base: 0, ..config }, "backoff_base"),
        (DialerConfig { backoff_cap: config.backoff_base - 1, ..config }, "backoff_cap"),
        (DialerConfig { connect_limit: 0, ..config }, "connect_limit"),
        (DialerConfig { idle: u64::MAX, ..config }, "idle"),
        (DialerConfig { attempts: Attempts::UpTo(0), ..config }, "attempts"),
    ];
    for (config, expected) in wrong {
        assert_eq!(key(config), Err(expected), "{config:?}");
    }
}
