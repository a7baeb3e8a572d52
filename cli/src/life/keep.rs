//! Sessions on the disk, while no process has them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outlast_config::SnapshotSettings;
use outlast_tokio::{FileStore, SnapshotStore, Snapshots};

use crate::secret::Secret;

/// How often it is looked whether the server before this one is gone.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes of a key.
const KEY: usize = 32;

/// A folder of sessions that is this process's alone.
pub(crate) struct Kept {
    folder: PathBuf,
    snapshots: Snapshots,
    ending: Arc<AtomicBool>,
    /// Let go by the system, however the process ends.
    _lock: File,
}

impl Kept {
    /// Opens the folder, if the settings name one. Waits as long as `patience` for a server that
    /// has it and ends.
    ///
    /// # Errors
    ///
    /// A sentence that names the key of the settings, and how to mend it.
    pub(crate) async fn open(
        settings: &SnapshotSettings,
        patience: Duration,
    ) -> Result<Option<Self>, String> {
        let Some(folder) = &settings.folder else {
            return Ok(None);
        };
        let wrong = |error: io::Error| format!("snapshots.folder: {error}");
        let key = settings.key_file.as_deref().map(read_key).transpose()?;
        // Before anything is read or made there.
        let lock = lock(folder, patience).await?;
        let store = match key.as_deref().map(<&[u8; KEY]>::try_from) {
            Some(Ok(key)) => FileStore::with_key(folder, key),
            Some(Err(error)) => Err(io::Error::other(error)),
            None => FileStore::open(folder),
        };
        let store = store.map_err(wrong)?;
        let ending = Arc::new(AtomicBool::new(false));
        let store = Told { store, failing: AtomicBool::new(false), ending: Arc::clone(&ending) };
        let snapshots = Snapshots::new(store);
        let snapshots = match settings.every {
            Some(every) => snapshots.every(every),
            None => snapshots,
        };
        Ok(Some(Self { folder: folder.clone(), snapshots, ending, _lock: lock }))
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// For the server.
    pub(crate) fn snapshots(&self) -> Snapshots {
        self.snapshots.clone()
    }

    /// The server ends, and says itself what comes of the sessions.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }
}

/// Waits until no other process has the folder, which is made if it is not there.
async fn lock(folder: &Path, patience: Duration) -> Result<File, String> {
    let path = folder.join("lock");
    let wrong = |error: io::Error| format!("snapshots.folder: {}: {error}", path.display());
    let (mut builder, mut options) = (fs::DirBuilder::new(), OpenOptions::new());
    builder.recursive(true);
    options.write(true).create(true).truncate(false);
    // For its owner only.
    #[cfg(unix)]
    {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = builder.create(folder).and_then(|()| options.open(&path)).map_err(wrong)?;
    let since = Instant::now();
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if since.elapsed() < patience => {
                if !std::mem::replace(&mut said, true) {
                    eprintln!("waiting for the server that has {}", folder.display());
                }
                tokio::time::sleep(LOOK).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "snapshots.folder: another server has {}, and does not end: each needs a \
                     folder of its own",
                    folder.display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
    }
}

/// The key in this file: just as many bytes as a key has.
fn read_key(path: &Path) -> Result<Secret, String> {
    let origin = path.display();
    let hint = format!("make one with (umask 077; head -c {KEY} /dev/urandom > {origin})");
    let key = Secret::read(path, "a key", KEY);
    let key = key.map_err(|why| format!("snapshots.key_file: {why}; {hint}"))?;
    match key.len() {
        KEY => Ok(key),
        len => {
            Err(format!("snapshots.key_file: {origin} has {len} bytes, a key has {KEY}; {hint}"))
        }
    }
}

/// A store that says what went wrong with it, once for each time that it begins to.
struct Told {
    store: FileStore,
    failing: AtomicBool,
    ending: Arc<AtomicBool>,
}

impl SnapshotStore for Told {
    fn load(&self) -> io::Result<Vec<Vec<u8>>> {
        self.store.load().map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::InvalidData => {
                    "; give it the key that it was written with (snapshots.key_file), or move it \
                     away: the sessions in it are lost then, and their clients told so"
                }
                _ => "",
            };
            io::Error::new(error.kind(), format!("snapshots.folder: {error}{hint}"))
        })
    }

    fn store(&self, snapshots: &[Vec<u8>]) -> io::Result<()> {
        let stored = self.store.store(snapshots);
        let failed = stored.is_err();
        let before = self.failing.swap(failed, Ordering::Relaxed);
        if before != failed && !self.ending.load(Ordering::Relaxed) {
            match &stored {
                Ok(()) => eprintln!("outlast: sessions are stored again"),
                Err(error) => eprintln!(
                    "outlast: snapshots.folder: sessions are not stored: {error}; those that were \
                     stored before are still there, and the next try is after snapshots.every"
                ),
            }
        }
        stored
    }
}
