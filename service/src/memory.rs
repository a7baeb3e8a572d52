//! How much memory all sessions of a server hold together for what is under way.
//!
//! Counted are the bytes that wait to be sent or acknowledged and the parts of long messages that
//! are not whole. What every session takes that is idle, some two kilobytes, is limited by how many
//! sessions there may be.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use outlast_core::ConfigError;

use crate::overview::lock;
use crate::waiters::{Key, Waiters};

/// Bytes that each session may queue before they count.
pub(crate) const FREE: usize = 1024;

/// From where on a server takes less on. What is new is shed first: sessions that there are go on,
/// and none is ended for want of memory.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct MemoryLimits {
    /// With so many bytes new sessions are refused with [`BUSY`](outlast_core::CloseCode::BUSY),
    /// those that resume are not.
    pub low: usize,
    /// With so many bytes no session may queue more either, and peers get no credit for what they
    /// sent, until it is `low` again: messages find no room, as when their session's queue is
    /// full. At least `low`. Memory grows in steps, so that up to twice as much may be held: set
    /// it to half of what there is.
    pub high: usize,
}

impl MemoryLimits {
    /// No limits but those of each session.
    pub const UNLIMITED: Self = Self { low: usize::MAX, high: usize::MAX };

    /// Checks that they are in order.
    ///
    /// # Errors
    ///
    /// `memory.high`, if it is less than `low`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check("memory.high", self.high as u64, self.low as u64, u64::MAX)
    }
}

impl Default for MemoryLimits {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// What a server's sessions hold.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    low: AtomicUsize,
    high: AtomicUsize,
    /// It was too much, and is not little enough again.
    full: AtomicBool,
    /// How often it became too much.
    times_full: AtomicU64,
    /// Who waits until it is little enough.
    waiting: Mutex<Waiters>,
}

/// A place among those who wait for memory. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Turn {
    memory: Arc<Memory>,
    key: Key,
}

impl Memory {
    pub(crate) fn new(limits: MemoryLimits) -> Self {
        Self {
            used: AtomicUsize::new(0),
            low: AtomicUsize::new(limits.low),
            high: AtomicUsize::new(limits.high),
            full: AtomicBool::new(false),
            times_full: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Goes by other limits from now on.
    pub(crate) fn set(&self, limits: MemoryLimits) {
        self.low.store(limits.low, Ordering::Relaxed);
        self.high.store(limits.high, Ordering::Relaxed);
        if self.look(self.used()) {
            self.tell();
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn times_full(&self) -> u64 {
        self.times_full.load(Ordering::Relaxed)
    }

    /// Whether sessions may hold more.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Whether there may be more sessions.
    pub(crate) fn is_short(&self) -> bool {
        self.used() >= self.low.load(Ordering::Relaxed)
    }

    /// Somebody holds `now` bytes who held `before`. Whether those who wait have to be
    /// [told](Self::tell), which calls them and is not done under a lock.
    #[must_use]
    pub(crate) fn change(&self, before: usize, now: usize) -> bool {
        let used = if now >= before {
            self.used.fetch_add(now - before, Ordering::SeqCst).wrapping_add(now - before)
        } else {
            self.used.fetch_sub(before - now, Ordering::SeqCst).wrapping_sub(before - now)
        };
        self.look(used)
    }

    /// Calls `waker` when sessions may hold more, unless `turn` is dropped first. Whether they may
    /// already: then it has to be [told](Self::tell).
    #[must_use]
    pub(crate) fn wait(self: &Arc<Self>, turn: &mut Option<Turn>, waker: &Waker) -> bool {
        let turn = turn.get_or_insert_with(|| Turn { memory: Arc::clone(self), key: Key::NONE });
        let mut waiting = lock(&self.waiting);
        waiting.wait(&mut turn.key, waker);
        !self.is_full()
    }

    /// Calls those who wait, if sessions may hold more.
    pub(crate) fn tell(&self) {
        let waiting = {
            let mut waiting = lock(&self.waiting);
            if self.is_full() {
                return;
            }
            waiting.take()
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Whether there is room again, and those who wait have to be told.
    fn look(&self, used: usize) -> bool {
        let (low, high) = (self.low.load(Ordering::Relaxed), self.high.load(Ordering::Relaxed));
        let full = self.full.load(Ordering::SeqCst);
        if !full && used >= high {
            self.full.store(true, Ordering::SeqCst);
            self.times_full.fetch_add(1, Ordering::Relaxed);
            // Whoever gave it back in between saw nothing to say, and may be the last who does.
            let used = self.used.load(Ordering::SeqCst);
            if used > low || used >= high {
                return false;
            }
        } else if !full || used > low {
            return false;
        }
        // Under the lock: who begins to wait sees it, or is there when they are told.
        let _waiting = lock(&self.waiting);
        self.full.store(false, Ordering::SeqCst);
        true
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let waker = lock(&self.memory.waiting).leave(self.key);
        drop(waker);
    }
}
