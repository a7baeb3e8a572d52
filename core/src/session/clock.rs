//! Time: what is due when, and what happens then.

use super::Session;
use crate::code::CloseCode;
use crate::event::Side;
use crate::heartbeat::micros;
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
        match self.link.state {
            LinkState::Idle | LinkState::Closed => None,
            LinkState::Wait | LinkState::Auth | LinkState::Closing => self.link.deadline,
            LinkState::Open | LinkState::Draining => {
                // What is owed already is waiting output: its time is of no more interest.
                let asks = self.link.owed.has(Owed::PING);
                let beats = asks || self.link.owed.has(Owed::BEAT);
                let mut first = None;
                for timer in Timer::ALL {
                    let owed = match timer {
                        Timer::Silence | Timer::Unanswered | Timer::Frame | Timer::Leave => false,
                        Timer::Probe | Timer::Progress => asks,
                        Timer::Beat => beats,
                        Timer::Ack => self.rx.unreported() == 0,
                    };
                    if !owed {
                        first = sooner(first, self.timer(timer));
                    }
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
        let Some(due) = due.filter(|at| *at <= now) else {
            return;
        };
        match self.link.state {
            LinkState::Idle | LinkState::Closed => {}
            LinkState::Wait | LinkState::Auth => {
                self.link.step(LinkEvent::Timeout);
                self.gone(CloseCode::HS_TIMEOUT);
            }
            LinkState::Closing => {
                self.link.step(LinkEvent::Timeout);
                self.link.owed = Owed::NOTHING;
            }
            //= HBT-14
            LinkState::Open | LinkState::Draining => self.handle_due(due),
        }
    }

    /// Something is due on an open connection.
    fn handle_due(&mut self, due: Instant) {
        let graced = self.link.marks.has(Marks::GRACED);
        if !graced && self.link.heartbeat.forgive(self.link.now, due) {
            self.link.marks.set(Marks::GRACED, true);
            self.stats.late_polls = self.stats.late_polls.wrapping_add(1);
            self.link.owed.add(Owed::PING);
            // Time that this end slept through is not time that a frame took.
            self.link.frame_since = self.link.frame_since.map(|_| Coarse::after(self.link.now));
            return;
        }
        for timer in Timer::ALL {
            if self.timer(timer).is_some_and(|at| at <= self.link.now) && self.expire(timer) {
                return;
            }
        }
    }

    /// The time of `timer` has come; whether that was the end of the connection.
    fn expire(&mut self, timer: Timer) -> bool {
        match timer {
            Timer::Silence | Timer::Unanswered => {
                self.stats.silences = self.stats.silences.wrapping_add(1);
                self.link.step(LinkEvent::Silence);
                self.link.owed = Owed::NOTHING;
                self.gone(CloseCode::IDLE);
                return true;
            }
            Timer::Frame => {
                self.fail(CloseCode::FRAME_TIMEOUT);
                return true;
            }
            Timer::Leave => {
                self.close(self.link.now, CloseCode::GOING_AWAY, 0);
                return true;
            }
            Timer::Probe | Timer::Progress => self.link.owed.add(Owed::PING),
            Timer::Beat => {
                self.link.owed.add(Owed::BEAT);
                self.shrink();
            }
            // It is looked at where output is made.
            Timer::Ack => {}
        }
        false
    }

    /// The connection ended without a word.
    fn gone(&mut self, code: CloseCode) {
        self.link.farewell = Closing::of(code, Side::Local).into();
        self.link.deadline = None;
        self.pending.add(super::Pending::DISCONNECTED);
    }

    /// When something is due on an open connection, owed already or not.
    fn timer(&self, timer: Timer) -> Option<Instant> {
        let (link, beat) = (&self.link, &self.link.heartbeat);
        let (limit, moves) = (self.config.idle_timeout_ms, self.tx.sent > 0);
        let seen = |at: Coarse| at.instant(link.now);
        let (from, span) = match timer {
            Timer::Silence => beat.death()?,
            Timer::Unanswered if moves => beat.unanswered()?,
            //= HBT-8
            Timer::Frame => {
                (seen(link.frame_since?), micros(limit.max(self.config.frame_timeout_ms)))
            }
            Timer::Leave => (link.deadline?, 0),
            Timer::Probe => beat.probe_due()?,
            //= HBT-7
            Timer::Progress if moves && limit > 0 && !beat.is_probing() => {
                (seen(link.progress_at?), micros(limit))
            }
            Timer::Unanswered | Timer::Progress => return None,
            Timer::Beat => beat.beat(link.now)?,
            Timer::Ack => (link.ack_at.map(seen).filter(|at| *at > link.now)?, 0),
        };
        Some(from.after(span))
    }
}

/// What can be due on an open connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Timer {
    /// The peer has been silent for as long as this end bears.
    Silence,
    /// A probe has not been answered for as long.
    Unanswered,
    /// A frame began and is not whole.
    Frame,
    /// The peer said that it leaves.
    Leave,
    /// The peer is to be asked for a sign of life.
    Probe,
    /// The same, because it acknowledges nothing.
    Progress,
    /// This end is to give a sign of life.
    Beat,
    /// An acknowledgement is not to wait any longer.
    Ack,
}

impl Timer {
    /// All, what ends the connection first.
    const ALL: [Self; 8] = [
        Self::Silence,
        Self::Unanswered,
        Self::Frame,
        Self::Leave,
        Self::Probe,
        Self::Progress,
        Self::Beat,
        Self::Ack,
    ];
}

/// The one that comes first, if there is any.
#[inline]
fn sooner(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}
