//! What became of a session's connections, collected by its handler for others to look at.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outlast_tokio::{CloseCode, Incoming};

/// Counted since the session began.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Facts {
    /// Sessions begun: more than one if a session was lost and replaced.
    pub(crate) opened: u64,
    /// Connections that ended while the session went on.
    pub(crate) broken: u64,
    /// Times the session went on over another connection.
    pub(crate) resumes: u64,
    /// Bytes of frames sent again, in this session and in those before it.
    pub(crate) resent: u64,
    pub(crate) resent_before: u64,
    /// Sessions that were lost.
    pub(crate) lost: u64,
    /// The longest time from a broken connection to the next.
    pub(crate) worst: Duration,
    /// Since when there is no connection.
    pub(crate) since: Option<Instant>,
    /// Why the last connection ended.
    pub(crate) code: Option<CloseCode>,
}

/// Filled by one handler, read by anybody.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Facts>);

impl Health {
    pub(crate) fn facts(&self) -> Facts {
        *self.lock()
    }

    /// Takes note of what happened, if it concerns connections.
    /// `resent` is what the session has counted so far.
    pub(crate) fn note(&self, event: &Incoming<'_>, resent: u32) {
        self.count(event);
        self.lock().resent = resent.into();
    }

    fn count(&self, event: &Incoming<'_>) {
        match event {
            Incoming::Opened => {
                let mut facts = self.lock();
                facts.opened += 1;
                facts.resent_before += std::mem::take(&mut facts.resent);
                facts.since = None;
            }
            Incoming::Resumed { .. } => {
                let mut facts = self.lock();
                facts.resumes += 1;
                if let Some(since) = facts.since.take() {
                    facts.worst = facts.worst.max(since.elapsed());
                }
            }
            Incoming::Disconnected { code, .. } => {
                let mut facts = self.lock();
                // An attempt that fails is no connection that breaks.
                if facts.since.is_none() && facts.opened > 0 {
                    facts.broken += 1;
                    facts.since = Some(Instant::now());
                }
                facts.code = Some(*code);
            }
            Incoming::Lost { code, .. } => {
                let mut facts = self.lock();
                facts.lost += 1;
                facts.code = Some(*code);
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
