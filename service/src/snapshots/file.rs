//! Snapshots in one encrypted file.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use super::SnapshotStore;
use crate::entropy;

const MAGIC: [u8; 8] = *b"OUTLSNP\x01";
const NONCE: usize = 24;
const KEY: usize = 32;

/// Keeps the sessions of one server in a folder, encrypted with XChaCha20-Poly1305.
///
/// There is always one whole file: another one is written beside it, given to the disk, and put in
/// its place. On Unix both are readable by their owner only. Two servers must not have one folder.
pub struct FileStore {
    file: PathBuf,
    cipher: XChaCha20Poly1305,
}

impl FileStore {
    /// In `folder`, which is made if it is not there, under a key that others keep: 32 bytes that
    /// nobody can guess.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn with_key(folder: impl AsRef<Path>, key: &[u8; KEY]) -> io::Result<Self> {
        let folder = folder.as_ref();
        make_folder(folder).map_err(|error| about(folder, &error))?;
        let cipher = XChaCha20Poly1305::new(&Key::from(*key));
        Ok(Self { file: folder.join("sessions.snapshot"), cipher })
    }

    /// In `folder`, under the key in the file `key` there, which is made if it is not there. That
    /// protects copies of the snapshots, such as backups that leave the key out; whoever reads the
    /// whole folder reads the sessions' keys.
    ///
    /// # Errors
    ///
    /// The folder or the key cannot be made or read, or the file is no key.
    pub fn open(folder: impl AsRef<Path>) -> io::Result<Self> {
        let folder = folder.as_ref();
        make_folder(folder).map_err(|error| about(folder, &error))?;
        let path = folder.join("key");
        let mut key = [0; KEY];
        if !path.try_exists().map_err(|error| about(&path, &error))? {
            entropy::fill(&mut key);
            make_key(&path, |file| file.write_all(&key)).map_err(|error| about(&path, &error))?;
        }
        // Somebody else may have been faster: what is there counts.
        read_key(&path, &mut key).map_err(|error| about(&path, &error))?;
        let store = Self::with_key(folder, &key);
        key.fill(0);
        store
    }

    fn read(&self) -> io::Result<Vec<Vec<u8>>> {
        let bytes = match fs::read(&self.file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            read => read?,
        };
        let invalid = |why: &str| io::Error::new(ErrorKind::InvalidData, why.to_owned());
        let Some((magic, rest)) = bytes.split_first_chunk::<{ MAGIC.len() }>() else {
            return Err(invalid("it is too short for snapshots"));
        };
        let Some((nonce, msg)) = rest.split_first_chunk::<NONCE>() else {
            return Err(invalid("it is too short for snapshots"));
        };
        if *magic != MAGIC {
            return Err(invalid("it holds no snapshots"));
        }
        let opened = self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad: &MAGIC });
        let opened = opened.map_err(|_| {
            invalid("it is damaged, or of another key; without it no session can be resumed")
        })?;
        split(&opened).ok_or_else(|| invalid("it holds no snapshots"))
    }

    fn write(&self, snapshots: &[Vec<u8>]) -> io::Result<()> {
        let mut nonce = [0; NONCE];
        entropy::fill(&mut nonce);
        let all = join(snapshots);
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: &all, aad: &MAGIC })
            .map_err(|_| io::Error::other("there is too much to encrypt at once"))?;
        let next = self.file.with_extension("next");
        match fs::remove_file(&next) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = create_new(&next)?;
        for part in [&MAGIC[..], &nonce, &sealed] {
            file.write_all(part)?;
        }
        file.sync_all()?;
        fs::rename(&next, &self.file)?;
        // So that the name is on the disk, too, where folders can be synchronised.
        self.file.parent().map(File::open).transpose()?.iter().try_for_each(File::sync_all)
    }
}

impl SnapshotStore for FileStore {
    fn load(&self) -> io::Result<Vec<Vec<u8>>> {
        self.read().map_err(|error| about(&self.file, &error))
    }

    fn store(&self, snapshots: &[Vec<u8>]) -> io::Result<()> {
        self.write(snapshots).map_err(|error| about(&self.file, &error))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("file", &self.file).finish_non_exhaustive()
    }
}

fn about(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// A file that was not there, for its owner only.
fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// A key is there as a whole or not at all: whoever is stopped in the middle of this leaves nothing
/// at `path`. One that is there is not replaced where files can have two names; elsewhere the last
/// of those who make one at the same moment wins, and the others read that one.
fn make_key(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let beside = path.with_extension(format!("{:016x}", entropy::random_u64()));
    let mut file = create_new(&beside)?;
    let written = write(&mut file).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // Not every file system has links.
        Err(_) => fs::rename(&beside, path),
        Ok(()) => Ok(()),
    });
    let _ = fs::remove_file(&beside);
    placed
}

fn read_key(path: &Path, key: &mut [u8; KEY]) -> io::Result<()> {
    let mut file = File::open(path)?;
    let whole = file.read_exact(key).is_ok() && file.read(&mut [0])? == 0;
    let wrong = || io::Error::new(ErrorKind::InvalidData, "a key has 32 bytes");
    if whole { Ok(()) } else { Err(wrong()) }
}

/// All of them in one piece: how many, and each with its length.
fn join(snapshots: &[Vec<u8>]) -> Vec<u8> {
    let mut all = (snapshots.len() as u64).to_le_bytes().to_vec();
    for snapshot in snapshots {
        all.extend_from_slice(&(snapshot.len() as u64).to_le_bytes());
        all.extend_from_slice(snapshot);
    }
    all
}

fn split(all: &[u8]) -> Option<Vec<Vec<u8>>> {
    let number = |rest: &mut &[u8]| {
        let (number, left) = rest.split_first_chunk::<8>()?;
        *rest = left;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    };
    let mut rest = all;
    let count = number(&mut rest)?;
    let mut snapshots = Vec::new();
    for _ in 0..count {
        let len = number(&mut rest)?;
        let (snapshot, left) = rest.split_at_checked(len)?;
        rest = left;
        snapshots.push(snapshot.to_vec());
    }
    rest.is_empty().then_some(snapshots)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is gone with this.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let name =
                format!("outlast-snapshots-{}-{}", std::process::id(), entropy::random_u64());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_is_stored_comes_back_and_the_last_counts() {
        let folder = Folder::new();
        let store = FileStore::open(&folder.0).unwrap();
        assert!(store.load().unwrap().is_empty(), "nothing was stored yet");
        let first = vec![b"one".to_vec(), Vec::new(), vec![7; 100_000]];
        store.store(&first).unwrap();
        assert_eq!(FileStore::open(&folder.0).unwrap().load().unwrap(), first);
        // A write that was cut short leaves what was there.
        fs::write(folder.0.join("sessions.next"), b"half").unwrap();
        assert_eq!(store.load().unwrap(), first);
        store.store(&[b"two".to_vec()]).unwrap();
        assert_eq!(store.load().unwrap(), [b"two".to_vec()]);
        let on_disk = fs::read(folder.0.join("sessions.snapshot")).unwrap();
        assert!(!on_disk.windows(3).any(|part| part == b"two"), "it is readable");
        #[cfg(unix)]
        for name in ["key", "sessions.snapshot"] {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.0.join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert!(!format!("{store:?}").contains("cipher"));
    }

    /// A full disk, or an end in the middle, must not leave half a key that no later start takes.
    #[test]
    fn a_key_is_made_as_a_whole_or_not_at_all() {
        let folder = Folder::new();
        fs::create_dir(&folder.0).unwrap();
        let path = folder.0.join("key");
        let full = |file: &mut File| {
            file.write_all(&[7; KEY / 2])?;
            Err(io::Error::from(ErrorKind::StorageFull))
        };
        assert_eq!(make_key(&path, full).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0, "something was left");
        // One that was made meanwhile stays.
        let store = FileStore::open(&folder.0).unwrap();
        store.store(&[b"one".to_vec()]).unwrap();
        let key = fs::read(&path).unwrap();
        make_key(&path, |file| file.write_all(&[8; KEY])).unwrap();
        assert_eq!(fs::read(&path).unwrap(), key);
        assert_eq!(FileStore::open(&folder.0).unwrap().load().unwrap(), [b"one".to_vec()]);
    }

    #[test]
    fn what_is_damaged_or_of_another_key_is_said_so() {
        let folder = Folder::new();
        let store = FileStore::with_key(&folder.0, &[1; KEY]).unwrap();
        store.store(&[b"one".to_vec()]).unwrap();
        let other = FileStore::with_key(&folder.0, &[2; KEY]).unwrap();
        let error = other.load().unwrap_err().to_string();
        assert!(error.contains("sessions.snapshot") && error.contains("another key"), "{error}");
        let file = folder.0.join("sessions.snapshot");
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&file, &damaged).unwrap();
            assert!(store.load().is_err(), "changed at {at}");
            fs::write(&file, &whole[..at]).unwrap();
            assert!(store.load().is_err(), "cut at {at}");
        }
        fs::write(folder.0.join("key"), b"short").unwrap();
        let error = FileStore::open(&folder.0).unwrap_err().to_string();
        assert!(error.contains("32 bytes"), "{error}");
    }
}
