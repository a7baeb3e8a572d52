//! When a client dials, whom, and when it gives up.
//!
//! A [`Dialer`] owns no socket and no session. A driver tells it what happened (`handle_*`), does
//! what it says ([`poll_action`](Dialer::poll_action)) and wakes it when
//! [`poll_timeout`](Dialer::poll_timeout) says so.

mod table;

#[cfg(test)]
mod tests;

use crate::backoff::Backoff;
use crate::config::{self, ConfigError};
use crate::time::Instant;
use crate::wire::{Close, CloseFlags};
use crate::{CloseCode, Retry};

pub use table::{DialEvent, DialState, DialTable};

const MS: u64 = 1000;
/// The longest time that can be set, in microseconds: a year.
const LONGEST: u64 = 365 * 86_400 * 1000 * MS;

/// How often a client tries again before it stops.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Attempts {
    /// One attempt; nothing is repeated, not even after a connection that worked.
    Once,
    /// This many failures in a row, counted from the last connection that was a success in the
    /// sense of [`Backoff`]; at least 1.
    UpTo(u32),
    /// For ever.
    Unlimited,
}

/// What to do when the session is lost and only a new one can be had.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OnLost {
    /// Stop and leave the decision to the application.
    Stop,
    /// Start a new session.
    Replace,
}

/// How a [`Dialer`] behaves.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DialerConfig {
    /// Addresses to choose from, at least 1: the first is tried first, each failure to open a
    /// session there moves on to the next, and after the last comes the first.
    pub addresses: u32,
    /// Upper end of the first delay, in microseconds: 1 to a year.
    pub backoff_base: u64,
    /// Upper end of every delay, in microseconds: from `backoff_base` to a year.
    pub backoff_cap: u64,
    /// Time from the start of an attempt to WELCOME, in microseconds: 1 to a year.
    pub connect_limit: u64,
    /// The limit on silence, in microseconds, up to a year; twice that is what counts as a stable
    /// connection.
    pub idle: u64,
    /// When to give up.
    pub attempts: Attempts,
    /// What to do when the session is lost.
    pub on_lost: OnLost,
}

impl DialerConfig {
    /// Checks that a client with this policy dials at all, waits between attempts and gives them
    /// time. A dialer takes any policy; whoever lets a person set it checks it first.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        let attempts = match self.attempts {
            Attempts::UpTo(attempts) => attempts as u64,
            Attempts::Once | Attempts::Unlimited => 1,
        };
        config::check(&[
            ("addresses", self.addresses as u64, 1, u32::MAX as u64),
            ("backoff_base", self.backoff_base, 1, LONGEST),
            ("backoff_cap", self.backoff_cap, self.backoff_base, LONGEST),
            ("connect_limit", self.connect_limit, 1, LONGEST),
            ("idle", self.idle, 0, LONGEST),
            ("attempts", attempts, 1, u32::MAX as u64),
        ])
    }
}

impl Default for DialerConfig {
    /// One address, 0.5 s to 60 s, 10 s to connect, 15 s of silence, for ever, replace.
    fn default() -> Self {
        Self {
            addresses: 1,
            backoff_base: 500 * MS,
            backoff_cap: 60_000 * MS,
            connect_limit: 10_000 * MS,
            idle: 15_000 * MS,
            attempts: Attempts::Unlimited,
            on_lost: OnLost::Replace,
        }
    }
}

/// Names one attempt, so that late news of an earlier one is recognised and ignored.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attempt(u32);

impl Attempt {
    /// Counts attempts from 1 (modulo 2^32).
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Whom to dial.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Target {
    /// The address with this index in the client's own list.
    Listed(u32),
    /// The address the server gave last (in DRAIN or WELCOME); the driver keeps its text. It is
    /// tried once, then the list is used again.
    Hinted,
}

/// One attempt to reach the server.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Dial {
    /// To be given back with all news of this attempt.
    pub attempt: Attempt,
    /// Whom to dial.
    pub target: Target,
    /// Whether to resume the session; otherwise a new one is asked for.
    pub resume: bool,
    /// WELCOME must have arrived by then; the dialer keeps watch of it.
    pub deadline: Instant,
}

/// Why a [`Dialer`] stopped.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StopReason {
    /// The application asked for it.
    Requested,
    /// The session ended as both sides wished.
    Finished,
    /// The session is lost for this reason, and [`OnLost::Stop`] is set.
    SessionLost(CloseCode),
    /// The peer's code forbids another attempt.
    Refused(CloseCode),
    /// [`Attempts`] are used up.
    GaveUp {
        /// Failures in a row.
        failures: u32,
    },
}

/// What the driver is to do now.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Action {
    /// Open a transport and send HELLO.
    Dial(Dial),
    /// Drop this attempt: it took too long.
    Abort(Attempt),
    /// Close this connection (`GOING_AWAY`) and report its end: the server asked for it.
    Leave(Attempt),
    /// The session is lost for this reason and a new one will be asked for: tell the application.
    Replace(CloseCode),
    /// Nothing further will be tried: tell the application.
    Stop(StopReason),
}

/// What a CLOSE frame means to a [`Dialer`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Closed {
    /// Why.
    pub code: CloseCode,
    /// `SESSION_ENDED` was set.
    pub session_ended: bool,
    /// `NO_RETRY` was set.
    pub no_retry: bool,
    /// The server's hint, in milliseconds; 0 is none.
    pub retry_ms: u32,
}

impl Closed {
    /// A close by `code` alone, without flags and hints.
    #[must_use]
    pub const fn by(code: CloseCode) -> Self {
        Self { code, session_ended: false, no_retry: false, retry_ms: 0 }
    }
}

impl From<&Close<'_>> for Closed {
    fn from(close: &Close<'_>) -> Self {
        Self {
            code: close.code,
            session_ended: close.flags.contains(CloseFlags::SESSION_ENDED),
            no_retry: close.flags.contains(CloseFlags::NO_RETRY),
            retry_ms: close.retry_ms,
        }
    }
}

/// The logic of a client that keeps one session alive over any number of connections.
///
/// News that does not fit the state, or that names an earlier attempt, is ignored, so the calls may
/// come in any order.
#[derive(Debug, Clone)]
pub struct Dialer {
    config: DialerConfig,
    state: DialState,
    backoff: Backoff,
    /// When the state's own timer fires: the next attempt, its deadline, or the moment to leave.
    due: Option<Instant>,
    /// Given out once, ahead of everything else.
    notice: Option<Action>,
    attempt: u32,
    address: u32,
    hinted: bool,
    /// The attempt under way goes to the hinted address.
    at_hint: bool,
    has_session: bool,
    /// `STALE_ATTACH` was already answered by an attempt at once.
    stale_used: bool,
}

impl Dialer {
    /// An idle dialer; `seed` is entropy that must differ between clients.
    #[must_use]
    pub const fn new(config: DialerConfig, seed: u64) -> Self {
        Self {
            backoff: Backoff::new(config.backoff_base, config.backoff_cap, seed),
            config,
            state: DialState::Idle,
            due: None,
            notice: None,
            attempt: 0,
            address: 0,
            hinted: false,
            at_hint: false,
            has_session: false,
            stale_used: false,
        }
    }

    /// The application wants a connection: the first attempt is due at once.
    ///
    /// `has_session` says that a restored session is to be resumed. Starting a stopped dialer
    /// begins anew; starting a running one does nothing.
    pub fn handle_start(&mut self, now: Instant, has_session: bool) {
        if !self.step(DialEvent::Start) {
            return;
        }
        let seed = self.backoff.draw(u64::MAX);
        self.backoff = Backoff::new(self.config.backoff_base, self.config.backoff_cap, seed);
        self.due = Some(now);
        self.notice = None;
        self.has_session = has_session;
        self.stale_used = false;
    }

    /// The transport of `attempt` is up and HELLO is on its way.
    pub fn handle_transport(&mut self, attempt: Attempt) {
        if self.is_current(attempt) {
            self.step(DialEvent::Transport);
        }
    }

    /// WELCOME arrived at `now`; `has_session` says that it can be resumed later.
    pub fn handle_welcome(&mut self, now: Instant, attempt: Attempt, has_session: bool) {
        if self.is_current(attempt) && self.step(DialEvent::Welcome) {
            self.due = None;
            self.has_session = has_session;
            self.stale_used = false;
            // Where the session was open it is looked for first.
            self.hinted |= self.at_hint;
            self.backoff.handle_open(now);
        }
    }

    /// The open connection moved data of the session.
    pub fn handle_progress(&mut self, attempt: Attempt) {
        if self.is_current(attempt) {
            self.backoff.handle_progress();
        }
    }

    /// `attempt` failed, or its connection ended, without a CLOSE frame.
    pub fn handle_failure(&mut self, now: Instant, attempt: Attempt) {
        if self.is_current(attempt) {
            self.retry(now, 0);
        }
    }

    /// The connection of `attempt` ended with a CLOSE, the peer's or our own.
    pub fn handle_close(&mut self, now: Instant, attempt: Attempt, closed: Closed) {
        if !self.is_current(attempt) || !self.is_dialled() {
            return;
        }
        let code = closed.code;
        if closed.session_ended && code == CloseCode::OK {
            self.has_session = false;
            self.stop(StopReason::Finished);
        } else if closed.no_retry {
            //= CLI-5
            //= COD-5
            self.has_session &= !closed.session_ended;
            self.stop(StopReason::Refused(code));
        } else if closed.session_ended {
            self.lose(now, closed);
        } else {
            self.judge(now, closed);
        }
    }

    /// The server asked clients to leave within `spread_ms`; `hinted` says that it named an
    /// address to go to.
    pub fn handle_drain(&mut self, now: Instant, attempt: Attempt, spread_ms: u32, hinted: bool) {
        if !self.is_current(attempt) {
            return;
        }
        let first = self.state != DialState::Draining;
        if self.step(DialEvent::Drain) {
            self.hinted |= hinted;
            // The moment is drawn once: a repeated DRAIN must not pull clients forward.
            if first {
                //= CLI-4
                let wait = self.backoff.draw(u64::from(spread_ms).saturating_mul(MS));
                self.due = Some(now.after(wait));
            }
        }
    }

    /// The server named an address to prefer from the next attempt on (in WELCOME).
    pub fn handle_hint(&mut self) {
        self.hinted = true;
    }

    /// The application wants no connection any more; the driver closes what is open.
    pub fn handle_stop(&mut self) {
        self.stop(StopReason::Requested);
    }

    /// What to do now; to be asked until there is nothing.
    pub fn poll_action(&mut self, now: Instant) -> Option<Action> {
        if let Some(notice) = self.notice.take() {
            return Some(notice);
        }
        self.due.filter(|due| *due <= now)?;
        let attempt = Attempt(self.attempt);
        match self.state {
            DialState::Waiting => self.dial(now).map(Action::Dial),
            DialState::Dialing | DialState::Greeting => {
                //= CLI-7
                self.retry(now, 0);
                Some(Action::Abort(attempt))
            }
            DialState::Draining => {
                self.leave(now);
                Some(Action::Leave(attempt))
            }
            DialState::Idle | DialState::Open | DialState::Stopped => None,
        }
    }

    /// When [`poll_action`](Self::poll_action) has something to say next; a time in the past while
    /// it has something now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.notice.is_some() { Some(Instant::from_micros(0)) } else { self.due }
    }

    /// Where the machine stands.
    #[must_use]
    pub const fn state(&self) -> DialState {
        self.state
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn is_current(&self, attempt: Attempt) -> bool {
        //= CLI-10
        attempt.0 == self.attempt
    }

    /// Whether an attempt or a connection is under way.
    const fn is_dialled(&self) -> bool {
        self.state.next(DialEvent::Retry).is_some()
    }

    fn step(&mut self, event: DialEvent) -> bool {
        match self.state.next(event) {
            Some(next) => {
                self.state = next;
                true
            }
            None => false,
        }
    }

    fn dial(&mut self, now: Instant) -> Option<Dial> {
        if !self.step(DialEvent::Due) {
            return None;
        }
        self.attempt = self.attempt.wrapping_add(1);
        //= CLI-11
        self.at_hint = core::mem::take(&mut self.hinted);
        let deadline = now.after(self.config.connect_limit);
        self.due = Some(deadline);
        let target = if self.at_hint { Target::Hinted } else { Target::Listed(self.address) };
        let attempt = Attempt(self.attempt);
        Some(Dial { attempt, target, resume: self.has_session, deadline })
    }

    fn leave(&mut self, now: Instant) {
        if !self.step(DialEvent::Leave) {
            return;
        }
        self.backoff.handle_end(now, self.config.idle);
        // The departure was spread already; waiting again would only widen the gap.
        self.due = Some(now);
        if self.config.attempts == Attempts::Once {
            self.stop(StopReason::GaveUp { failures: self.backoff.failures() });
        }
    }

    /// Acts on a close that leaves the session as it is.
    fn judge(&mut self, now: Instant, closed: Closed) {
        //= CLI-6
        let at_once = closed.code == CloseCode::STALE_ATTACH && !self.stale_used;
        if at_once && self.step(DialEvent::Stale) {
            self.stale_used = true;
            self.hinted |= self.at_hint;
            self.due = Some(now);
            return;
        }
        match closed.code.retry() {
            Retry::Now | Retry::Later => self.retry(now, closed.retry_ms),
            Retry::NewSession => self.lose(now, closed),
            Retry::Never => self.stop(StopReason::Refused(closed.code)),
        }
    }

    fn lose(&mut self, now: Instant, closed: Closed) {
        //= CLI-8
        let had_session = core::mem::replace(&mut self.has_session, false);
        match self.config.on_lost {
            OnLost::Stop => self.stop(StopReason::SessionLost(closed.code)),
            OnLost::Replace => {
                self.retry(now, closed.retry_ms);
                // Giving up says more than losing the session, and is said instead.
                if had_session && self.notice.is_none() {
                    self.notice = Some(Action::Replace(closed.code));
                }
            }
        }
    }

    /// Plans the next attempt, `hint_ms` from now at the earliest, or gives up.
    fn retry(&mut self, now: Instant, hint_ms: u32) {
        let opening = matches!(self.state, DialState::Dialing | DialState::Greeting);
        if !self.step(DialEvent::Retry) {
            return;
        }
        //= CLI-12
        // A broken connection says little about its address; a failed attempt says enough.
        if opening && !self.at_hint {
            let next = self.address.saturating_add(1);
            self.address = if next < self.config.addresses { next } else { 0 };
        }
        self.backoff.handle_end(now, self.config.idle);
        //= CLI-1
        let delay = self.backoff.next_delay();
        //= COD-6
        self.due = Some(now.after(u64::from(hint_ms).saturating_mul(MS)).after(delay));
        let failures = self.backoff.failures();
        let enough = match self.config.attempts {
            Attempts::Once => true,
            Attempts::UpTo(limit) => failures >= limit,
            Attempts::Unlimited => false,
        };
        if enough {
            //= CLI-9
            self.stop(StopReason::GaveUp { failures });
        }
    }

    fn stop(&mut self, reason: StopReason) {
        if self.step(DialEvent::Stop) {
            self.due = None;
            self.notice = Some(Action::Stop(reason));
        }
    }
}
