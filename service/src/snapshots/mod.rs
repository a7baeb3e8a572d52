//! Sessions that outlast their server: they are stored as bytes, at intervals or when the server
//! ends, and the next server goes on with them.
//!
//! A snapshot has everything that the protocol needs: positions, keys, what the peer has not
//! acknowledged, and what was queued behind that. Whoever restores it can neither lose nor repeat
//! anything unnoticed. If messages went by after the snapshot was taken, the session cannot be
//! resumed from it, and the client is told exactly what has not arrived.

#[cfg(feature = "net")]
mod aside;
mod collect;
#[cfg(feature = "snapshots")]
mod file;
mod mend;
mod record;
mod server;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "snapshots")]
pub use file::FileStore;
pub use server::RestoreError;

#[cfg(feature = "net")]
pub(crate) use aside::aside;
pub(crate) use collect::Ticket;
pub(crate) use mend::mend;
pub(crate) use record::{Origin, Record, unix_seconds};
#[cfg(feature = "net")]
pub(crate) use record::{forget_last, is_last};

/// Where a server's sessions are kept while no process has them.
///
/// Both methods may block: they are called in threads of their own, or before a server serves.
/// Snapshots hold the keys of sessions, so a store encrypts them, or lies where nobody else can
/// read.
pub trait SnapshotStore: Send + Sync + 'static {
    /// All snapshots that were stored last; none if none ever were.
    ///
    /// # Errors
    ///
    /// What is there cannot be read.
    fn load(&self) -> io::Result<Vec<Vec<u8>>>;

    /// Stores these in the place of all that were stored before. After an error, or if the process
    /// ends in the middle of it, those of before are still there.
    ///
    /// # Errors
    ///
    /// They cannot be stored.
    fn store(&self, snapshots: &[Vec<u8>]) -> io::Result<()>;
}

/// Where a server keeps snapshots of its sessions, and how often it takes them.
///
/// ```
/// use outlast_service::{SnapshotStore, Snapshots};
/// use std::io;
/// use std::sync::Mutex;
/// use std::time::Duration;
///
/// /// Keeps them for another server in the same process.
/// #[derive(Default)]
/// struct Memory(Mutex<Vec<Vec<u8>>>);
///
/// impl SnapshotStore for Memory {
///     fn load(&self) -> io::Result<Vec<Vec<u8>>> {
///         Ok(self.0.lock().unwrap().clone())
///     }
///
///     fn store(&self, snapshots: &[Vec<u8>]) -> io::Result<()> {
///         *self.0.lock().unwrap() = snapshots.to_vec();
///         Ok(())
///     }
/// }
///
/// let snapshots = Snapshots::new(Memory::default()).every(Duration::from_secs(10));
/// # drop(snapshots);
/// ```
#[derive(Clone)]
pub struct Snapshots {
    #[cfg_attr(not(feature = "net"), allow(dead_code, reason = "servers over sockets read it"))]
    pub(crate) store: Arc<dyn SnapshotStore>,
    pub(crate) every: Option<Duration>,
}

impl Snapshots {
    /// Takes snapshots when the server [hands its sessions over](crate::net::Running::hand_over),
    /// and at no other time.
    #[must_use]
    pub fn new(store: impl SnapshotStore) -> Self {
        Self { store: Arc::new(store), every: None }
    }

    /// Takes them at this interval, too, for a process that ends without warning. Every session is
    /// asked for one each time; an interval below a tenth of a second is one.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = Some(interval.max(Duration::from_millis(100)));
        self
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots").field("every", &self.every).finish_non_exhaustive()
    }
}
