//! What a router has counted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::overview::lock;

/// What became of messages and requests. Each is counted once, under what happened last.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouterStats {
    /// A handler ran to its end, whatever it answered.
    pub handled: u64,
    /// There was no route, and no fallback.
    pub no_route: u64,
    /// A hook answered in place of the handler.
    pub stopped: u64,
    /// An extractor refused: the handler did not run.
    pub rejected: u64,
    /// Requests that found no room in a queue.
    pub overloaded: u64,
    /// Messages that found no room in a queue, or waited when their session ended.
    pub dropped: u64,
    /// The handler, or a hook, panicked.
    pub panicked: u64,
    /// The handler returned an error that the peer is not told.
    pub failed: u64,
    /// Requests that were cancelled before they were done.
    pub cancelled: u64,
    /// Requests that were not done by their deadline.
    pub late: u64,
}

/// What is counted apart from [`RouterStats::handled`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Count {
    Handled,
    NoRoute,
    Stopped,
    Rejected,
    Overloaded,
    Dropped,
    Panicked,
    Failed,
    Cancelled,
    Late,
}

/// How many kinds there are.
const COUNTS: usize = Count::Late as usize + 1;

/// What one connection's task has handled: it alone adds, so that adding costs nearly nothing.
#[derive(Debug, Default)]
pub(crate) struct Own(AtomicU64);

impl Own {
    #[inline]
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }
}

/// The counters of a router.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    all: [AtomicU64; COUNTS],
    /// Of the sessions that there are.
    own: Mutex<HashMap<u64, Arc<Own>>>,
}

impl Counters {
    pub(crate) fn add(&self, what: Count) {
        self.all[what as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn open(&self, number: u64) -> Arc<Own> {
        let own = Arc::new(Own::default());
        lock(&self.own).insert(number, Arc::clone(&own));
        own
    }

    pub(crate) fn close(&self, number: u64) {
        let mut all = lock(&self.own);
        if let Some(own) = all.remove(&number) {
            let handled = own.0.load(Ordering::Relaxed);
            self.all[Count::Handled as usize].fetch_add(handled, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> RouterStats {
        let own = lock(&self.own);
        let of = |what: Count| self.all[what as usize].load(Ordering::Relaxed);
        let now: u64 = own.values().map(|own| own.0.load(Ordering::Relaxed)).sum();
        RouterStats {
            handled: of(Count::Handled) + now,
            no_route: of(Count::NoRoute),
            stopped: of(Count::Stopped),
            rejected: of(Count::Rejected),
            overloaded: of(Count::Overloaded),
            dropped: of(Count::Dropped),
            panicked: of(Count::Panicked),
            failed: of(Count::Failed),
            cancelled: of(Count::Cancelled),
            late: of(Count::Late),
        }
    }
}
