//! Unfinished files: each belongs to one session at a time, and nobody else writes to it.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError as Contended};

use sha2::{Digest as _, Sha256};

use super::known::Known;
use super::message::{Digest, Offer};
use super::name;

/// Unfinished files of the same content in one folder; each of them has a session that writes it.
const TWINS_MAX: u32 = 1024;
/// A folder that another session removes while this one fills it is made again so often.
const TRIES: u32 = 3;

/// What the sessions that share a folder know of each other.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    parts: Mutex<HashMap<PathBuf, Arc<Mutex<Slot>>>>,
    pub(super) known: Known,
}

/// The right to write an unfinished file.
#[derive(Debug, Default)]
struct Slot {
    /// Another session took the file over: this one must not touch it any more.
    taken: bool,
    /// Its session has no connection: another session may go on with the file.
    away: bool,
    /// Opened or made with the first data, so that offers alone leave nothing on the disk.
    file: Option<File>,
    /// The topmost folder that was made for it.
    made: Option<PathBuf>,
}

/// An unfinished file, as long as a session holds it.
#[derive(Debug)]
pub(crate) struct Part {
    shelf: Arc<Shelf>,
    slot: Arc<Mutex<Slot>>,
    root: PathBuf,
    target: PathBuf,
    path: PathBuf,
    size: u64,
    digest: Digest,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// A slot for `path`, unless a session that is there has it.
    fn claim(&self, path: &Path) -> Option<Arc<Mutex<Slot>>> {
        let mut parts = lock(&self.parts);
        let mut fresh = Slot::default();
        if let Some(old) = parts.get(path) {
            // One that is locked is written to at this moment.
            let mut old = match old.try_lock() {
                Ok(old) => old,
                Err(Contended::Poisoned(old)) => old.into_inner(),
                Err(Contended::WouldBlock) => return None,
            };
            if !old.away {
                return None;
            }
            old.taken = true;
            old.file = None;
            fresh.made = old.made.take();
        }
        let slot = Arc::new(Mutex::new(fresh));
        parts.insert(path.to_path_buf(), Arc::clone(&slot));
        Some(slot)
    }

    fn release(&self, path: &Path, slot: &Arc<Mutex<Slot>>) {
        let mut parts = lock(&self.parts);
        if parts.get(path).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            parts.remove(path);
        }
    }
}

impl Part {
    /// The unfinished file of this content beside `target`: the first that nobody writes, so that
    /// another attempt finds what an earlier one left. Returns its length and digest so far.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) fn begin(
        shelf: &Arc<Shelf>,
        root: &Path,
        target: &Path,
        offer: &Offer,
    ) -> io::Result<(Self, u64, Sha256)> {
        for twin in 0..TWINS_MAX {
            let path = target.with_file_name(file_name(offer, twin));
            let Some(slot) = shelf.claim(&path) else {
                continue;
            };
            let part = Self {
                shelf: Arc::clone(shelf),
                slot,
                root: root.to_path_buf(),
                target: target.to_path_buf(),
                path,
                size: offer.size,
                digest: offer.digest,
            };
            if let Some((offset, digest)) = part.resume()? {
                return Ok((part, offset, digest));
            }
        }
        Err(io::Error::other("too many others send the same file"))
    }

    /// Opens what an earlier attempt left, if there is any, at its end. `None` if another process
    /// writes to it.
    fn resume(&self) -> io::Result<Option<(u64, Sha256)>> {
        let mut slot = lock(&self.slot);
        let mut digest = Sha256::new();
        let Ok(found) = self.path.symlink_metadata() else {
            return Ok(Some((0, digest)));
        };
        if !found.is_file() {
            return Err(io::Error::other("its unfinished file is no file"));
        }
        let mut file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        if !lock_file(&file) || !is_same(&file, &found) {
            return Ok(None);
        }
        if has_other_name(&file) {
            // It is in its place; only its old name was not removed. It is not written to again.
            fs::remove_file(&self.path)?;
            return Ok(Some((0, digest)));
        }
        let mut offset = hash(&mut file, &mut digest)?;
        if offset > self.size {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            (offset, digest) = (0, Sha256::new());
        }
        slot.file = Some(file);
        Ok(Some((offset, digest)))
    }

    /// Whether no other session took it over.
    pub(super) fn is_held(&self) -> bool {
        !lock(&self.slot).taken
    }

    /// Lets others go on with it, or no longer.
    pub(super) fn set_away(&self, away: bool) {
        lock(&self.slot).away = away;
    }

    /// The file, made if need be, with its folders.
    fn file<'s>(&self, slot: &'s mut Slot) -> io::Result<&'s mut File> {
        if slot.taken {
            return Err(io::Error::other("another session goes on with it"));
        }
        let file = match slot.file.take() {
            Some(file) => file,
            None => self.create(&mut slot.made)?,
        };
        Ok(slot.file.insert(file))
    }

    fn create(&self, made: &mut Option<PathBuf>) -> io::Result<File> {
        let below = self.path.strip_prefix(&self.root).unwrap_or(&self.path);
        let folder = self.path.parent().unwrap_or(&self.root);
        let mut outcome = Err(io::Error::from(io::ErrorKind::NotFound));
        for _ in 0..TRIES {
            name::stays_below(&self.root, below).map_err(io::Error::other)?;
            let missing = folder.ancestors().take_while(|above| !above.exists()).last();
            if let Some(missing) = missing {
                *made = Some(missing.to_path_buf());
            }
            let opened = fs::create_dir_all(folder).and_then(|()| {
                OpenOptions::new().read(true).write(true).create_new(true).open(&self.path)
            });
            match opened {
                Err(error) if error.kind() == io::ErrorKind::NotFound => outcome = Err(error),
                opened => {
                    outcome = opened;
                    break;
                }
            }
        }
        let file = outcome?;
        if lock_file(&file) { Ok(file) } else { Err(io::Error::other("another process has it")) }
    }

    /// Reads back what is on the disk; what is not what was offered is removed.
    ///
    /// # Errors
    ///
    /// Why it is not the file that was offered.
    pub(super) fn verify(&self) -> Result<(), String> {
        let mut digest = Sha256::new();
        let read = {
            let mut slot = lock(&self.slot);
            self.file(&mut slot).and_then(|file| {
                file.sync_all()?;
                file.seek(SeekFrom::Start(0))?;
                hash(file, &mut digest)
            })
        };
        let len = read.map_err(|error| format!("cannot read it back: {error}"))?;
        let digest = Digest(digest.finalize().into());
        if len == self.size && digest == self.digest {
            return Ok(());
        }
        self.remove();
        Err(format!("what is on the disk has {len} bytes and the SHA-256 {digest}: send it again"))
    }

    /// Gives it the name of its target. Without `overwrite` nothing is ever replaced.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if there is something of this name.
    pub(super) fn place(&self, overwrite: bool) -> io::Result<()> {
        // The lock keeps a session from taking it over half-way.
        let slot = lock(&self.slot);
        if slot.taken {
            return Err(io::Error::other("another session goes on with it"));
        }
        if overwrite {
            return fs::rename(&self.path, &self.target);
        }
        // Linking fails where renaming would replace what came in between.
        match fs::hard_link(&self.path, &self.target) {
            Ok(()) => fs::remove_file(&self.path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Not every file system has links. An empty file of ours keeps the name free then.
            Err(_) => {
                OpenOptions::new().write(true).create_new(true).open(&self.target)?;
                fs::rename(&self.path, &self.target).inspect_err(|_| {
                    let _ = fs::remove_file(&self.target);
                })
            }
        }
    }

    /// Removes it, and the folders that were made for it alone.
    pub(super) fn remove(&self) {
        let mut slot = lock(&self.slot);
        if !slot.taken {
            slot.file = None;
            self.sweep(&mut slot);
        }
    }

    fn sweep(&self, slot: &mut Slot) {
        // What cannot be removed is found, and refused, by the next attempt.
        let _ = fs::remove_file(&self.path);
        let Some(made) = slot.made.take() else {
            return;
        };
        for folder in self.path.ancestors().skip(1) {
            // A folder that is not empty stays, and with it those above.
            if !folder.starts_with(&made) || fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut slot = lock(&self.slot);
        self.file(&mut slot)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut slot = lock(&self.slot);
        if !slot.taken {
            let empty = match &slot.file {
                Some(file) => file.metadata().is_ok_and(|found| found.len() == 0),
                None => slot.made.is_some(),
            };
            // Whoever sent the same to the same place left nothing to go on with.
            if empty || self.shelf.known.is(&self.target, self.digest) {
                self.sweep(&mut slot);
            }
            slot.taken = true;
            slot.file = None;
        }
        drop(slot);
        self.shelf.release(&self.path, &self.slot);
    }
}

/// The name says what the file will hold, so that nothing else is ever taken for its beginning.
pub(super) fn file_name(offer: &Offer, twin: u32) -> String {
    let (prefix, Offer { size, digest, .. }) = (name::PART_PREFIX, offer);
    match twin {
        0 => format!("{prefix}{digest}-{size}.part"),
        twin => format!("{prefix}{digest}-{size}-{twin}.part"),
    }
}

/// Keeps other processes from the file, where the system can.
fn lock_file(file: &File) -> bool {
    !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Whether the open file is the one that was found: one that was moved into its place meanwhile is
/// somebody's whole file.
#[cfg(unix)]
fn is_same(file: &File, found: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|opened| {
        opened.nlink() > 0 && (opened.dev(), opened.ino()) == (found.dev(), found.ino())
    })
}

#[cfg(unix)]
fn has_other_name(file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|opened| opened.nlink() > 1)
}

#[cfg(not(unix))]
fn is_same(_: &File, _: &fs::Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn has_other_name(_: &File) -> bool {
    false
}

/// Adds the rest of `source` to `digest`; returns its length.
pub(super) fn hash(source: &mut impl Read, digest: &mut Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(len) => {
                digest.update(&buffer[..len]);
                total += len as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
