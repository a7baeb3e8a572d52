//! What a server has counted since it began, or since somebody asked it to begin anew.
//!
//! Nothing here is in the way of messages. What sessions carry is written down by each for itself
//! when its task goes to sleep, and added up when somebody looks; what happens rarely, such as the
//! end of a connection, is added to one number of the server. Of what handlers take one event in
//! some dozens of reads is timed. To begin anew is to remember what there was, and to subtract it.

mod errors;
mod histogram;
mod process;
mod window;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use outlast_core::CloseCode;

use crate::directory::Totals;
use crate::error::Closed;
use crate::handler::Cause;
use crate::overview::{Refusals, ServerHandle, lock};
use crate::transport::Runtime;

pub use errors::{ErrorCount, ErrorStage};
pub use histogram::Distribution;
pub use process::Process;
pub use window::Rates;

use errors::Errors;
use histogram::Histogram;
use window::{Sample, Window};

/// Reads of a connection between two whose first message or request is timed.
pub(crate) const UNTIMED: u8 = 31;

/// How many there are of something that comes and goes.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Level {
    /// How many have come.
    pub total: u64,
    /// How many there are.
    pub now: u64,
    /// The most there were at the same time. Who begins anew begins with those there are.
    pub peak: u64,
}

/// What a server has counted.
///
/// [`ServerHandle::statistics`] counts from the last [reset](ServerHandle::reset_statistics) on,
/// [`ServerHandle::statistics_since_start`] from the beginning. Figures of sessions are those of
/// the moment in which each went to sleep last.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Statistics {
    /// When the server was made.
    pub started: SystemTime,
    /// How long ago that is.
    pub uptime: Duration,
    /// How long it has been counted: since the start, or since the last reset.
    pub counted: Duration,
    /// The server takes nobody any more.
    pub draining: bool,
    /// Connections.
    pub connections: Level,
    /// Of these, how many are in their handshake now.
    pub handshakes: u64,
    /// Sessions, with and without connection; none where connections have no sessions.
    pub sessions: Level,
    /// Connections that ended.
    pub disconnections: u64,
    /// Messages, requests and responses received, or packets.
    pub messages_in: u64,
    /// The same, given to send.
    pub messages_out: u64,
    /// Bytes of them, with their headers, each once however often it came.
    pub bytes_in: u64,
    /// The same, each once however often it was transmitted.
    pub bytes_out: u64,
    /// How often sessions were resumed.
    pub resumes: u64,
    /// Bytes that were transmitted again because of that.
    pub replayed: u64,
    /// Connections turned away before a byte of theirs was read, by reason.
    pub refusals: Refusals,
    /// What went wrong, by kind: a fixed list, with those that did not happen.
    pub errors: Vec<ErrorCount>,
    /// How often a connection sent more than it may.
    pub throttled: u64,
    /// Bytes that sessions hold now for what is under way.
    pub memory: u64,
    /// Smoothed round trips, at most once a second of each session that does something and has had
    /// reason to measure its own: a peer that was silent for long, or much that comes in. Empty
    /// where connections have no sessions.
    pub rtt: Distribution,
    /// How long handlers took for a message or request, of one in some dozens of reads: the first
    /// that the read brought. What a handler gives to other tasks is not in it.
    pub handler: Distribution,
    /// What there was per second lately.
    pub rates: Rates,
    /// What this process takes of its machine, where the system says it.
    pub process: Option<Process>,
}

impl Statistics {
    /// Errors of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.iter().map(|error| error.count).sum()
    }

    /// What was counted since `earlier`. What there is now stays as it is.
    fn since(mut self, earlier: &Self) -> Self {
        self.counted = self.uptime.saturating_sub(earlier.uptime);
        let fields: [fn(&mut Self) -> &mut u64; 10] = [
            |all| &mut all.connections.total,
            |all| &mut all.sessions.total,
            |all| &mut all.disconnections,
            |all| &mut all.messages_in,
            |all| &mut all.messages_out,
            |all| &mut all.bytes_in,
            |all| &mut all.bytes_out,
            |all| &mut all.resumes,
            |all| &mut all.replayed,
            |all| &mut all.throttled,
        ];
        let mut before = earlier.clone();
        for field in fields {
            *field(&mut self) = field(&mut self).saturating_sub(*field(&mut before));
        }
        self.refusals = self.refusals.since(&earlier.refusals);
        for (now, then) in self.errors.iter_mut().zip(&earlier.errors) {
            now.count = now.count.saturating_sub(then.count);
        }
        self.rtt = self.rtt.since(&earlier.rtt);
        self.handler = self.handler.since(&earlier.handler);
        self
    }
}

/// How many there are, and the most there were.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    total: AtomicU64,
    now: AtomicU64,
    peak: AtomicU64,
}

impl Gauge {
    pub(crate) fn enter(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.now.fetch_sub(1, Ordering::Relaxed);
    }

    fn level(&self) -> Level {
        Level {
            total: self.total.load(Ordering::Relaxed),
            now: self.now.load(Ordering::Relaxed),
            peak: self.peak.load(Ordering::Relaxed),
        }
    }

    fn begin_anew(&self) {
        self.peak.store(self.now.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// What a server counts by itself.
pub(crate) struct Ledger {
    on: AtomicBool,
    started: SystemTime,
    started_at: Instant,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    pub(crate) sessions: Gauge,
    pub(crate) rtt: Histogram,
    pub(crate) handler: Histogram,
    errors: Errors,
    /// What there was when somebody asked to begin anew.
    baseline: Mutex<Option<Statistics>>,
    window: Mutex<Window>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// What others count, as it is now.
#[derive(Debug, Default)]
pub(crate) struct Present {
    pub(crate) draining: bool,
    pub(crate) door: outlast_core::admission::GateStats,
    pub(crate) connections_peak: u64,
    pub(crate) refusals: Refusals,
    pub(crate) throttled: u64,
    pub(crate) memory: u64,
    pub(crate) carried: Totals,
}

impl Ledger {
    /// Counts from now on; `now` is the runtime's clock.
    pub(crate) fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        let started_at = now();
        let process = Process::read().map_or(0, |process| nanos(process.cpu));
        Self {
            on: AtomicBool::new(true),
            started: SystemTime::now(),
            started_at,
            now: Box::new(now),
            sessions: Gauge::default(),
            rtt: Histogram::default(),
            handler: Histogram::default(),
            errors: Errors::default(),
            baseline: Mutex::default(),
            window: Mutex::new(Window::new(started_at, [0, 0, 0, 0, 0, 0, process])),
        }
    }

    /// Counts from now on, on this runtime's clock.
    pub(crate) fn of<R: Runtime>(runtime: &R) -> Self {
        let runtime = runtime.clone();
        Self::new(move || runtime.now())
    }

    /// Counts what costs something, or does not.
    pub(crate) fn turned(self, on: bool) -> Self {
        self.turn(on);
        self
    }

    pub(crate) fn turn(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The runtime's clock.
    pub(crate) fn now(&self) -> Instant {
        (self.now)()
    }

    /// A connection that had been greeted is over.
    pub(crate) fn connection_ended(&self, cause: Cause, code: CloseCode) {
        self.errors.connection_ended(cause, code);
    }

    /// A client was told this instead of getting its session.
    pub(crate) fn handshake_failed(&self, code: CloseCode) {
        self.errors.handshake_failed(code);
    }

    pub(crate) fn session_ended(&self, closed: &Closed) {
        self.errors.session_ended(closed.why);
    }

    /// A connection without sessions is over.
    #[cfg(feature = "formats")]
    pub(crate) fn plain_ended(&self, cause: &crate::plain::PlainCause) {
        self.errors.plain_ended(cause);
    }

    /// Everything since the start.
    pub(crate) fn read(&self, present: Present) -> Statistics {
        let Present { draining, door, connections_peak, refusals, throttled, memory, carried } =
            present;
        let now = self.now();
        let uptime = now.saturating_duration_since(self.started_at);
        let current = u64::from(door.connections);
        let connections = Level { total: door.admitted, now: current, peak: connections_peak };
        let disconnections = door.admitted.saturating_sub(current);
        let process = Process::read();
        let [messages_in, messages_out] = carried.messages;
        let [bytes_in, bytes_out] = carried.bytes;
        let sample: Sample = [
            door.admitted,
            disconnections,
            messages_in,
            messages_out,
            bytes_in,
            bytes_out,
            process.map_or(0, |process| nanos(process.cpu)),
        ];
        Statistics {
            started: self.started,
            uptime,
            counted: uptime,
            draining,
            connections,
            handshakes: door.handshakes.into(),
            sessions: self.sessions.level(),
            disconnections,
            messages_in,
            messages_out,
            bytes_in,
            bytes_out,
            resumes: carried.resumes,
            replayed: carried.replayed,
            refusals,
            errors: self.errors.read(),
            throttled,
            memory,
            rtt: self.rtt.read(),
            handler: self.handler.read(),
            rates: lock(&self.window).look(now, sample),
            process,
        }
    }

    /// As [`read`](Self::read), since the last reset.
    pub(crate) fn read_since_reset(&self, present: Present) -> Statistics {
        // One after the other: what is subtracted was there before what it is subtracted from.
        let baseline = lock(&self.baseline);
        let all = self.read(present);
        match &*baseline {
            Some(baseline) => all.since(baseline),
            None => all,
        }
    }

    /// Begins anew from what is `present`.
    pub(crate) fn reset(&self, present: Present) {
        let mut baseline = lock(&self.baseline);
        self.sessions.begin_anew();
        *baseline = Some(self.read(present));
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl ServerHandle {
    fn present(&self, anew: bool) -> Present {
        let common = &self.common;
        Present {
            draining: common.draining.load(Ordering::Acquire),
            connections_peak: common.door.peak(anew).into(),
            door: common.door.stats(),
            refusals: common.door.refusals(),
            throttled: common.traffic.exceeded(),
            memory: common.memory.used() as u64,
            carried: common.directory.carried(),
        }
    }

    /// What was counted since the last [reset](Self::reset_statistics), or since the start.
    ///
    /// It goes through all sessions once; once a second is no trouble to anybody.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.common.home.ledger.read_since_reset(self.present(false))
    }

    /// What was counted since the start, whatever was reset: what a metrics system wants.
    #[must_use]
    pub fn statistics_since_start(&self) -> Statistics {
        self.common.home.ledger.read(self.present(false))
    }

    /// Begins to count anew, for [`statistics`](Self::statistics) alone. What there was is
    /// remembered and subtracted from then on: nothing is lost, whatever happens meanwhile.
    pub fn reset_statistics(&self) {
        self.common.home.ledger.reset(self.present(true));
    }

    /// Whether the server takes nobody any more: it drains, or has ended.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.common.draining.load(Ordering::Acquire)
    }
}
