//! Digests of files that are in their place, remembered while the files are unchanged.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use super::message::Digest;
use super::part::{hash, lock};

/// Files remembered; beyond that all are forgotten, which costs time and nothing else.
const FILES_MAX: usize = 4096;

/// What is known of files. Offers are small and files are large: whoever asks for the same file
/// again and again, or from many sessions at once, has it read once.
#[derive(Debug, Default)]
pub(super) struct Known {
    files: Mutex<HashMap<PathBuf, Arc<Mutex<Option<Fact>>>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    stamp: Stamp,
    digest: Digest,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    inode: [u64; 4],
}

impl Known {
    fn fact(&self, path: &Path) -> Arc<Mutex<Option<Fact>>> {
        let mut files = lock(&self.files);
        if files.len() >= FILES_MAX && !files.contains_key(path) {
            files.clear();
        }
        Arc::clone(files.entry(path.to_path_buf()).or_default())
    }

    /// Whether the file holds what `digest` says; reads it if it is not known.
    pub(super) fn same(&self, path: &Path, digest: Digest) -> bool {
        let fact = self.fact(path);
        // Others that ask for the same file wait for the answer instead of reading it as well.
        let mut fact = lock(&fact);
        let Ok(stamp) = Stamp::of(path) else {
            return false;
        };
        if let Some(known) = &*fact
            && known.stamp == stamp
        {
            return known.digest == digest;
        }
        let mut state = Sha256::new();
        let read = File::open(path).and_then(|mut file| hash(&mut file, &mut state));
        let found = Digest(state.finalize().into());
        let steady = Stamp::of(path).is_ok_and(|after| after == stamp);
        *fact = (read.is_ok() && steady).then_some(Fact { stamp, digest: found });
        read.is_ok() && found == digest
    }

    /// Whether the file is known to hold what `digest` says, without reading it.
    pub(super) fn is(&self, path: &Path, digest: Digest) -> bool {
        let Some(fact) = lock(&self.files).get(path).map(Arc::clone) else {
            return false;
        };
        // One that is being read is not known yet.
        let Ok(fact) = fact.try_lock() else {
            return false;
        };
        fact.as_ref().is_some_and(|known| {
            known.digest == digest && Stamp::of(path).is_ok_and(|stamp| stamp == known.stamp)
        })
    }

    /// A file came into its place with its digest verified.
    pub(super) fn remember(&self, path: &Path, digest: Digest) {
        let fact = self.fact(path);
        let mut fact = lock(&fact);
        *fact = Stamp::of(path).ok().map(|stamp| Fact { stamp, digest });
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let found = path.symlink_metadata()?;
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            let changed = (found.ctime().cast_unsigned(), found.ctime_nsec().cast_unsigned());
            [found.dev(), found.ino(), changed.0, changed.1]
        };
        #[cfg(not(unix))]
        let inode = [0; 4];
        Ok(Self { len: found.len(), modified: found.modified().ok(), inode })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let path = std::env::temp_dir().join(format!("outlast-known-{}", std::process::id()));
        let digest = |bytes: &[u8]| Digest(Sha256::digest(bytes).into());
        let known = Known::default();
        std::fs::write(&path, "one").unwrap();
        assert!(!known.is(&path, digest(b"one")), "nobody asked yet");
        assert!(!known.same(&path, digest(b"two")));
        assert!(known.is(&path, digest(b"one")), "known, although something else was asked for");
        std::fs::write(&path, "two and more").unwrap();
        assert!(!known.is(&path, digest(b"one")));
        assert!(known.same(&path, digest(b"two and more")));
        std::fs::remove_file(&path).unwrap();
        assert!(!known.is(&path, digest(b"two and more")));
        assert!(!known.same(&path, digest(b"two and more")));
    }
}
