//! Time: what is due when, and what happens then.

use super::Session;
use crate::code::CloseCode;
use crate::event::Side;
use crate::link::{Closing, Marks, Owed};
use crate::state::{LinkEvent, LinkState};
use crate::storage::Storage;
use crate::time::{Coarse, Instant};

impl<S: Storage + ?Sized> Session<S> {
    /// When to call [`handle_timeout`](Self::handle_timeout), unless something happens before.
    ///
    /// It is a time that has come already while an event or output waits, so that a driver that
    /// does nothing but sleep until then loses nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.pending.any() || self.has_output() {
            return Some(self.link.now);
        }
        self.next_deadline()
    }

    /// As [`poll_timeout`](Self::poll_timeout), leaving waiting output and events out: for a driver
    /// that holds unwritten bytes and waits for its transport to take them.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let link = &self.link;
        match link.state {
            LinkState::Idle | LinkState::Closed => None,
            LinkState::Wait | LinkState::Auth | LinkState::Closing => link.deadline,
            LinkState::Open | LinkState::Draining => {
                let beat = &link.heartbeat;
                // What is owed already is waiting output: its time is of no more interest.
                let asks = link.owed.has(Owed::PING);
                let beats = asks || link.owed.has(Owed::BEAT);
                let ack = link.ack_at.filter(|_| self.rx.unreported() > 0);
                let ack = ack.map(|at| at.instant(link.now)).filter(|at| *at > link.now);
                let mut first = link.deadline;
                first = sooner(first, ack);
                first = sooner(first, self.frame_deadline());
                first = sooner(first, beat.dead_at());
                first = sooner(first, self.unanswered_at());
                if !beats {
                    first = sooner(first, beat.beat_at(link.now));
                }
                if !asks {
                    first = sooner(first, beat.probe_at());
                    first = sooner(first, self.probe_for_progress_at());
                }
                first
            }
        }
    }

    /// Tells the time, and does what is due at it.
    ///
    /// Hand over received input first: a byte that has arrived must count before its absence does.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = self.next_deadline();
        let now = self.link.tick(now);
        match self.link.state {
            LinkState::Idle | LinkState::Closed => {}
            LinkState::Wait | LinkState::Auth => {
                if due.is_some_and(|at| at <= now) {
                    self.link.step(LinkEvent::Timeout);
                    self.gone(CloseCode::HS_TIMEOUT);
                }
            }
            LinkState::Closing => {
                if due.is_some_and(|at| at <= now) {
                    self.link.step(LinkEvent::Timeout);
                    self.link.owed = Owed::NOTHING;
                }
            }
            LinkState::Open | LinkState::Draining => {
                //= HBT-14
                if let Some(due) = due.filter(|at| *at <= now) {
                    self.handle_due(now, due);
                }
            }
        }
    }

    /// Something is due on an open connection.
    fn handle_due(&mut self, now: Instant, due: Instant) {
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let graced = self.link.marks.has(Marks::GRACED);
        if !graced && self.link.heartbeat.forgive(now, due) {
            self.link.marks.set(Marks::GRACED, true);
            self.stats.late_polls = self.stats.late_polls.wrapping_add(1);
            self.link.owed.add(Owed::PING);
            // Time that this end slept through is not time that a frame took.
            self.link.frame_since = self.link.frame_since.map(|_| Coarse::after(now));
            return;
        }
        if passed(self.link.heartbeat.dead_at()) || passed(self.unanswered_at()) {
            self.stats.silences = self.stats.silences.wrapping_add(1);
            self.link.step(LinkEvent::Silence);
            self.link.owed = Owed::NOTHING;
            self.gone(CloseCode::IDLE);
            return;
        }
        if passed(self.frame_deadline()) {
            self.fail(now, CloseCode::FRAME_TIMEOUT);
            return;
        }
        if passed(self.link.deadline) {
            self.close(now, CloseCode::GOING_AWAY, 0);
            return;
        }
        if passed(self.link.heartbeat.probe_at()) || passed(self.probe_for_progress_at()) {
            self.link.owed.add(Owed::PING);
        }
        if passed(self.link.heartbeat.beat_at(now)) {
            self.link.owed.add(Owed::BEAT);
            self.shrink();
        }
    }

    /// The connection ended without a word.
    fn gone(&mut self, code: CloseCode) {
        self.link.farewell = Closing::of(code, Side::Local).into();
        self.link.deadline = None;
        self.pending.add(super::Pending::DISCONNECTED);
    }

    /// When a frame that began must be whole.
    //= HBT-8
    fn frame_deadline(&self) -> Option<Instant> {
        let limit = self.config.frame_timeout_ms.max(self.config.idle_timeout_ms);
        let now = self.link.now;
        self.link.frame_since.map(|at| at.instant(now).after(u64::from(limit) * 1_000))
    }

    //= HBT-7
    fn probe_for_progress_at(&self) -> Option<Instant> {
        let limit = self.config.idle_timeout_ms;
        self.link
            .progress_at
            .filter(|_| limit > 0 && !self.link.heartbeat.is_probing() && self.is_in_flight())
            .map(|at| at.instant(self.link.now).after(u64::from(limit) * 1_000))
    }

    fn unanswered_at(&self) -> Option<Instant> {
        self.link.heartbeat.unanswered_at().filter(|_| self.is_in_flight())
    }

    const fn is_in_flight(&self) -> bool {
        self.tx.sent > 0
    }
}

/// The one that comes first, if there is any.
#[inline]
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
