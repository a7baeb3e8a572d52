//! Where handlers run that do not run in the connection's task, and how much may wait for them.

use std::sync::{Arc, Mutex};

use super::BuildError;
use super::crew::Crew;
use super::line::Line;
use crate::overview::lock;

/// What becomes of a message that finds the session's queue full. A request that finds it full is
/// answered [`Status::OVERLOADED`](outlast_core::wire::Status::OVERLOADED), whatever this says.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits, and so does the peer: no message counts as taken before it was handled, so that
    /// the peer stops sending when its window is used up. Nothing is lost, and nobody else waits.
    ///
    /// What waits then is limited by [`Config::window_max`](outlast_core::Config::window_max); it
    /// is kept as bytes, with some 24 on top for each message.
    #[default]
    Wait,
    /// It is dropped, and counted. Messages count as taken when they come.
    DropNewest,
    /// The session ends, with [`CALM`](outlast_core::CloseCode::CALM).
    Disconnect,
}

/// How much of one session may wait for handlers in tasks or be under way there.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct QueueLimits {
    /// Messages and requests, waiting or being handled.
    pub count: usize,
    /// Bytes of payloads that wait. One that is longer than this is let in if no other waits.
    pub bytes: usize,
    /// What becomes of messages beyond that.
    pub when_full: WhenFull,
}

impl Default for QueueLimits {
    /// 1,024 of them with 256 KiB; more waits with its sender.
    fn default() -> Self {
        Self { count: 1_024, bytes: 256 << 10, when_full: WhenFull::Wait }
    }
}

impl QueueLimits {
    pub(crate) const fn validate(&self) -> Result<(), BuildError> {
        if self.count == 0 {
            return Err(BuildError::NoRoom("count"));
        }
        if self.bytes == 0 {
            return Err(BuildError::NoRoom("bytes"));
        }
        Ok(())
    }
}

/// Which worker of a pool is next.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Balance {
    /// The one with the least to do.
    #[default]
    LeastLoaded,
    /// One after the other.
    RoundRobin,
    /// The same one for everything of a session: what it sends is handled in order. A change of
    /// the size moves a session when nothing of it waits.
    Pinned,
}

/// Workers that sessions and routers share: so many handlers run at the same time and no more.
/// Clones are the same pool.
///
/// Each worker is a task of the runtime while it has something to do, and does one thing after the
/// other. How much may wait is limited for each session by [`QueueLimits`].
#[derive(Debug, Clone)]
pub struct WorkerPool(Arc<Workers>);

#[derive(Debug)]
struct Workers {
    balance: Balance,
    state: Mutex<(Vec<Arc<Crew>>, usize)>,
}

impl WorkerPool {
    /// A pool of `workers`, at least one.
    #[must_use]
    pub fn new(workers: usize, balance: Balance) -> Self {
        let pool = Self(Arc::new(Workers { balance, state: Mutex::default() }));
        pool.resize(workers);
        pool
    }

    /// How many workers there are.
    #[must_use]
    pub fn size(&self) -> usize {
        lock(&self.0.state).0.len()
    }

    /// Changes the number of workers. Those beyond it finish what they have and take no more.
    pub fn resize(&self, workers: usize) {
        let mut state = lock(&self.0.state);
        state.0.resize_with(workers.max(1), || Arc::new(Crew::shared(1, false)));
    }

    /// What waits or is being handled.
    #[must_use]
    pub fn load(&self) -> usize {
        lock(&self.0.state).0.iter().map(|crew| crew.load()).sum()
    }

    /// The worker for the next thing of this line.
    pub(crate) fn choose(&self, line: &Line) -> Option<Arc<Crew>> {
        let mut state = lock(&self.0.state);
        let (crews, next) = &mut *state;
        let chosen = match self.0.balance {
            Balance::LeastLoaded => crews.iter().min_by_key(|crew| crew.load()),
            Balance::RoundRobin => {
                *next = next.wrapping_add(1);
                crews.get(*next % crews.len())
            }
            Balance::Pinned => {
                let here = crews.get(line.link().number() as usize % crews.len());
                return here.map(|here| line.pin(here));
            }
        };
        chosen.cloned()
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Threads for handlers that block. Clones are the same pool.
///
/// A thread lives while there is something to do for it.
#[derive(Debug, Clone)]
pub struct BlockingPool(Arc<Crew>);

impl BlockingPool {
    /// A pool of up to `threads`, at least one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self(Arc::new(Crew::shared(threads.max(1), true)))
    }

    /// How many threads there may be.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.width()
    }

    /// Changes the number of threads. Those beyond it finish what they do.
    pub fn resize(&self, threads: usize) {
        Crew::set_width(&self.0, threads.max(1));
    }

    /// What waits or is being handled.
    #[must_use]
    pub fn load(&self) -> usize {
        self.0.load()
    }

    pub(crate) const fn crew(&self) -> &Arc<Crew> {
        &self.0
    }
}
