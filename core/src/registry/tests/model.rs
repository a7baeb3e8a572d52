//! The registry against a naive model of it, under random operations.

extern crate alloc;
extern crate std;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use std::collections::HashMap;

use proptest::prelude::*;

use super::{Fixed, claim, config, entropy, fixed, hello, key, peer};
use crate::CloseCode;
use crate::registry::*;
use crate::time::Instant;

#[derive(Debug, Clone)]
enum Op {
    Pass(u16),
    Create { who: Option<u64>, ttl_s: u32 },
    Resume { pick: usize, attach: u32, next_key: bool, forged: bool, thief: bool },
    Confirm(usize),
    Detach { pick: usize, rx_next: u64, finished: bool },
    End { pick: usize, rx_next: u64 },
    Rotate(usize),
    ConfirmKey(usize),
    Poll,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let ttl = prop_oneof![Just(0u32), Just(3), Just(7), Just(600)];
    let who = prop_oneof![Just(None), (0..3u64).prop_map(Some)];
    let resume = (0..40usize, 0..4u32, any::<bool>(), 0..6u8, 0..8u8).prop_map(
        |(pick, attach, next_key, forged, thief)| Op::Resume {
            pick,
            attach,
            next_key,
            forged: forged == 0,
            thief: thief == 0,
        },
    );
    let op = prop_oneof![
        3 => (0..4000u16).prop_map(Op::Pass),
        5 => (who, ttl).prop_map(|(who, ttl_s)| Op::Create { who, ttl_s }),
        5 => resume,
        5 => (0..40usize).prop_map(Op::Confirm),
        5 => (0..40usize, any::<u64>(), 0..5u8).prop_map(|(pick, rx_next, f)| Op::Detach {
            pick,
            rx_next,
            finished: f == 0
        }),
        1 => (0..40usize, any::<u64>()).prop_map(|(pick, rx_next)| Op::End { pick, rx_next }),
        2 => (0..40usize).prop_map(Op::Rotate),
        2 => (0..40usize).prop_map(Op::ConfirmKey),
        2 => Just(Op::Poll),
    ];
    proptest::collection::vec(op, 1..200)
}

#[derive(Debug, Clone, PartialEq)]
struct Session {
    state: SessionState,
    who: Option<u64>,
    key: (u8, u64),
    next_key: Option<(u8, u64)>,
    attach: u32,
    owned: bool,
    ttl: u64,
    rx_next: u64,
    code: CloseCode,
    keep: bool,
    deadline: Option<Instant>,
    /// Orders detached sessions and settled tombstones.
    since: u64,
}

#[derive(Default)]
struct Model {
    sessions: HashMap<u64, Session>,
    to_report: VecDeque<u64>,
    clock: u64,
    next_number: u64,
}

impl Model {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn oldest(&self, wanted: impl Fn(&u64, &Session) -> bool) -> Option<u64> {
        let of_kind = self.sessions.iter().filter(|(sid, s)| wanted(sid, s));
        of_kind.min_by_key(|(_, s)| s.since).map(|(sid, _)| *sid)
    }

    fn count(&self, wanted: impl Fn(&Session) -> bool) -> u32 {
        u32::try_from(self.sessions.values().filter(|s| wanted(s)).count()).unwrap()
    }

    fn create(&mut self, now: Instant, who: Option<u64>, ttl_s: u32) -> Result<u64, u32> {
        let c = config();
        let mine = |s: &Session| s.who == who && s.state != SessionState::Tombstone;
        if self.count(mine) >= c.max_per_owner {
            return Err(c.busy_retry_ms);
        }
        if self.count(|s| mine(s) && s.state == SessionState::Unconfirmed) >= c.max_unconfirmed {
            return Err(c.handshake_ms);
        }
        if self.sessions.len() == 8 {
            let settled = |sid: &u64, s: &Session| {
                s.state == SessionState::Tombstone && !self.to_report.contains(sid)
            };
            let oldest = self.oldest(settled).ok_or(c.busy_retry_ms)?;
            self.sessions.remove(&oldest);
        }
        self.next_number += 1;
        let sid = self.next_number;
        let session = Session {
            state: SessionState::Unconfirmed,
            who,
            key: (1, sid),
            next_key: None,
            attach: 1,
            owned: true,
            ttl: u64::from(ttl_s.min(10)) * 1_000_000,
            rx_next: 0,
            code: CloseCode::OK,
            keep: true,
            deadline: Some(now.after(5_000_000)),
            since: 0,
        };
        self.sessions.insert(sid, session);
        Ok(sid)
    }

    fn die(&mut self, when: Instant, sid: u64, code: CloseCode, keep: bool) {
        let since = self.tick();
        let s = self.sessions.get_mut(&sid).unwrap();
        s.state = SessionState::Tombstone;
        (s.code, s.keep, s.since) = (code, keep, since);
        s.deadline = keep.then(|| when.after(2 * s.ttl));
    }

    fn resume(
        &mut self,
        now: Instant,
        sid: u64,
        attach: u32,
        shown: Option<(u8, u64)>,
        who: Option<u64>,
    ) -> Result<bool, (CloseCode, Option<u32>, Option<u64>)> {
        let unknown = (CloseCode::NO_SESSION, None, None);
        let s = self.sessions.get_mut(&sid).ok_or(unknown)?;
        if shown.is_none() || (shown != Some(s.key) && shown != s.next_key) {
            let own = s.who.is_some() && s.who == who;
            return Err(if own { (CloseCode::BAD_TOKEN, None, None) } else { unknown });
        }
        if s.who != who {
            return Err((CloseCode::IDENTITY_MISMATCH, None, None));
        }
        let late = s.deadline.is_none_or(|deadline| deadline <= now);
        match s.state {
            SessionState::Tombstone if late => return Err(unknown),
            SessionState::Tombstone => return Err((s.code, None, Some(s.rx_next))),
            SessionState::Detached if late => {
                return Err((CloseCode::EXPIRED, None, Some(s.rx_next)));
            }
            SessionState::Unconfirmed if late => return Err(unknown),
            SessionState::Detached | SessionState::Unconfirmed | SessionState::Attached => {}
        }
        if attach <= s.attach {
            return Err((CloseCode::STALE_ATTACH, Some(s.attach), None));
        }
        s.state = SessionState::Attached;
        (s.attach, s.deadline) = (attach, None);
        Ok(core::mem::replace(&mut s.owned, true))
    }

    fn detach(&mut self, now: Instant, sid: u64, rx_next: u64) {
        let since = self.tick();
        let s = self.sessions.get_mut(&sid).unwrap();
        (s.rx_next, s.owned) = (rx_next, false);
        if s.state == SessionState::Unconfirmed {
            return;
        }
        s.state = SessionState::Detached;
        (s.deadline, s.since) = (Some(now.after(s.ttl)), since);
        let who = s.who;
        let mine = |s: &Session| s.state == SessionState::Detached && s.who == who;
        if self.count(mine) > config().max_detached_per_owner {
            self.evict(now, mine);
        }
        let any = |s: &Session| s.state == SessionState::Detached;
        if self.count(any) > config().max_detached {
            self.evict(now, any);
        }
    }

    fn evict(&mut self, now: Instant, among: impl Fn(&Session) -> bool) {
        let sid = self.oldest(|_, s| among(s)).unwrap();
        self.die(now, sid, CloseCode::EVICTED, true);
        self.to_report.push_back(sid);
    }

    fn end(&mut self, now: Instant, sid: u64, code: CloseCode, rx_next: u64) {
        self.die(now, sid, code, true);
        let s = self.sessions.get_mut(&sid).unwrap();
        (s.rx_next, s.owned) = (rx_next, false);
    }

    fn timeout(&self) -> Option<Instant> {
        if !self.to_report.is_empty() {
            return Some(Instant::from_micros(0));
        }
        self.sessions.values().filter_map(|s| s.deadline).min()
    }

    fn poll(&mut self, now: Instant) -> Vec<(u64, CloseCode, bool)> {
        let mut reports = Vec::new();
        loop {
            while let Some(sid) = self.to_report.pop_front() {
                let since = self.tick();
                let s = self.sessions.get_mut(&sid).unwrap();
                s.since = since;
                reports.push((sid, s.code, core::mem::take(&mut s.owned)));
                if !s.keep {
                    self.sessions.remove(&sid);
                }
            }
            let Some(deadline) = self.timeout().filter(|deadline| *deadline <= now) else {
                return reports;
            };
            let is_due = |(_, s): &(&u64, &Session)| s.deadline == Some(deadline);
            let (sid, state) =
                self.sessions.iter().find(is_due).map(|(sid, s)| (*sid, s.state)).unwrap();
            if state == SessionState::Tombstone {
                self.sessions.remove(&sid);
                continue;
            }
            let detached = state == SessionState::Detached;
            let code = if detached { CloseCode::EXPIRED } else { CloseCode::HS_TIMEOUT };
            self.die(deadline, sid, code, detached);
            self.to_report.push_back(sid);
        }
    }
}

struct Run {
    real: Fixed,
    model: Model,
    now: Instant,
    /// Every lease ever given, with its session and attach number.
    leases: Vec<(u64, Lease)>,
}

impl Run {
    /// A lease, and the session it is good for if it is good.
    fn pick(&self, pick: usize) -> Option<(Lease, Option<u64>)> {
        let back = pick % self.leases.len().max(1);
        let (sid, lease) = *self.leases.iter().rev().nth(back)?;
        let s = self.model.sessions.get(&sid);
        let good = s.is_some_and(|s| {
            s.owned && s.attach == lease.attach() && s.state != SessionState::Tombstone
        });
        Some((lease, good.then_some(sid)))
    }

    fn create(&mut self, who: Option<u64>, ttl_s: u32) {
        let number = self.model.next_number + 1;
        let mut hello = hello(None);
        hello.terms.ttl_s = ttl_s;
        let made = self.real.admit(self.now, &hello, &peer(who), entropy(number));
        match (made, self.model.create(self.now, who, ttl_s)) {
            (Ok(Admission::New { lease, .. }), Ok(sid)) => self.leases.push((sid, lease)),
            (Err(refusal), Err(retry_ms)) => {
                assert_eq!((refusal.code, refusal.retry_ms), (CloseCode::BUSY, retry_ms));
            }
            (made, expected) => panic!("{made:?}, expected {expected:?}"),
        }
    }

    fn resume(&mut self, pick: usize, attach: u32, next_key: bool, forged: bool, thief: bool) {
        let sid = self.model.next_number.saturating_sub(pick as u64 % 12);
        let s = self.model.sessions.get(&sid).cloned();
        let known = s
            .as_ref()
            .map_or((1, sid), |s| if next_key { s.next_key.unwrap_or(s.key) } else { s.key });
        let attach = s.as_ref().map_or(2, |s| s.attach.saturating_sub(1) + attach);
        let mut who = s.as_ref().and_then(|s| s.who);
        if thief {
            who = Some(77);
        }
        let number = if forged { known.1 + 1000 } else { known.1 };
        let claim = claim(sid, attach, known.0, key(number));
        let made = self.real.admit(self.now, &hello(Some(claim)), &peer(who), entropy(0));
        let shown = (!forged).then_some(known);
        let expected = self.model.resume(self.now, sid, attach, shown, who);
        match (made, expected) {
            (Ok(Admission::Resume { lease, fence, .. }), Ok(owned)) => {
                assert_eq!((lease.attach(), fence), (attach, owned));
                self.leases.push((sid, lease));
            }
            (Err(r), Err(expected)) => assert_eq!((r.code, r.last_attach, r.rx_next), expected),
            (made, expected) => panic!("{made:?}, expected {expected:?}"),
        }
    }

    fn news(&mut self, op: &Op, pick: usize) {
        let Some((lease, good)) = self.pick(pick) else {
            return;
        };
        let done = match *op {
            Op::Confirm(_) => self.real.confirmed(lease),
            Op::Detach { rx_next, finished, .. } => {
                self.real.detached(self.now, lease, Parting { rx_next, finished })
            }
            Op::End { rx_next, .. } => self.real.ended(self.now, lease, CloseCode::POISON, rx_next),
            Op::Pass(_)
            | Op::Create { .. }
            | Op::Resume { .. }
            | Op::Rotate(_)
            | Op::ConfirmKey(_)
            | Op::Poll => unreachable!("not news"),
        };
        assert_eq!(done, good.is_some());
        let Some(sid) = good else {
            return;
        };
        match *op {
            Op::Confirm(_) => {
                let s = self.model.sessions.get_mut(&sid).unwrap();
                (s.state, s.deadline) = (SessionState::Attached, None);
            }
            Op::Detach { rx_next, finished: false, .. } => {
                self.model.detach(self.now, sid, rx_next);
            }
            Op::Detach { rx_next, .. } => self.model.end(self.now, sid, CloseCode::OK, rx_next),
            Op::End { rx_next, .. } => self.model.end(self.now, sid, CloseCode::POISON, rx_next),
            Op::Pass(_)
            | Op::Create { .. }
            | Op::Resume { .. }
            | Op::Rotate(_)
            | Op::ConfirmKey(_)
            | Op::Poll => unreachable!("not news"),
        }
    }

    fn rotate(&mut self, pick: usize) {
        let Some((lease, good)) = self.pick(pick) else {
            return;
        };
        self.model.next_number += 1;
        let number = self.model.next_number;
        let made = self.real.rotate(lease, key(number));
        let s = good.and_then(|sid| self.model.sessions.get_mut(&sid));
        let expected = s.filter(|s| s.next_key.is_none()).map(|s| {
            let id = s.key.0.wrapping_add(1);
            s.next_key = Some((id, number));
            id
        });
        assert_eq!(made, expected);
    }

    fn confirm_key(&mut self, pick: usize) {
        let Some((lease, good)) = self.pick(pick) else {
            return;
        };
        let s = good.and_then(|sid| self.model.sessions.get_mut(&sid));
        let next = s.and_then(|s| {
            s.key = s.next_key.take()?;
            Some(s.key.0)
        });
        assert_eq!(self.real.confirm_key(lease, next.unwrap_or(2)), next.is_some());
    }

    fn poll(&mut self) {
        let real: Vec<_> = core::iter::from_fn(|| self.real.poll_expired(self.now))
            .map(|expired| (expired.sid, expired.code, expired.owned))
            .collect();
        assert_eq!(real, self.model.poll(self.now));
    }

    fn apply(&mut self, op: &Op) {
        // No two operations share a microsecond, so no two deadlines do either.
        self.now = self.now.after(1);
        match *op {
            Op::Pass(ms) => self.now = self.now.after(u64::from(ms) * 1000),
            Op::Create { who, ttl_s } => self.create(who, ttl_s),
            Op::Resume { pick, attach, next_key, forged, thief } => {
                self.resume(pick, attach, next_key, forged, thief);
            }
            Op::Confirm(pick) | Op::Detach { pick, .. } | Op::End { pick, .. } => {
                self.news(op, pick);
            }
            Op::Rotate(pick) => self.rotate(pick),
            Op::ConfirmKey(pick) => self.confirm_key(pick),
            Op::Poll => self.poll(),
        }
        self.compare();
    }

    fn compare(&self) {
        assert_eq!(self.real.poll_timeout(), self.model.timeout());
        let stats = self.real.stats();
        let of = |state| self.model.count(|s| s.state == state);
        assert_eq!(stats.unconfirmed, of(SessionState::Unconfirmed));
        assert_eq!(stats.attached, of(SessionState::Attached));
        assert_eq!(stats.detached, of(SessionState::Detached));
        assert_eq!(stats.tombstones, of(SessionState::Tombstone));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_registry_is_its_model(ops in ops()) {
        let now = Instant::from_micros(0);
        let real = fixed(config());
        let mut run = Run { real, model: Model::default(), now, leases: Vec::new() };
        for op in &ops {
            run.apply(op);
        }
        run.now = run.now.after(60_000_000);
        run.poll();
        let stats = *run.real.stats();
        prop_assert_eq!(stats.detached + stats.tombstones + stats.unconfirmed, 0);
    }
}
