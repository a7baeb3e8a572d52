//! Where files go: unfinished under a name of their own, whole under the one they were offered by.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::message::{Digest, Offer};
use super::name;

/// Somewhere to put files.
pub(crate) trait Store: Send + 'static {
    /// A file while it is written.
    type File: Write + Send;

    /// Prepares to take a file.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    fn begin(&mut self, offer: &Offer) -> Result<Begun<Self::File>, String>;

    /// Puts a file in its place once all of it has come and its digest fits.
    ///
    /// # Errors
    ///
    /// Why it cannot be.
    fn finish(&mut self, offer: &Offer, file: Self::File) -> Result<(), String>;

    /// A file that was not what its offer said is removed.
    fn discard(&mut self, offer: &Offer, file: Self::File);
}

/// How far a file is.
#[derive(Debug)]
pub(crate) enum Begun<F> {
    /// The same file is there already.
    Whole,
    /// So many bytes are there, and this is the state of their digest.
    From { file: F, offset: u64, digest: Sha256 },
}

/// A folder of the file system. Nothing outside of it is created or changed.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    overwrite: bool,
    size_max: u64,
}

impl Folder {
    /// `root` is made if it does not exist. Files beyond `size_max` bytes are refused.
    ///
    /// # Errors
    ///
    /// If there is no such folder and none can be made.
    pub(crate) fn open(root: &Path, overwrite: bool, size_max: u64) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        // A link as the root itself is the user's own choice, and looked up once.
        Ok(Self { root: root.canonicalize()?, overwrite, size_max })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn target(&self, offer: &Offer) -> Result<PathBuf, String> {
        let path = name::relative(&offer.name)?;
        name::stays_below(&self.root, &path)?;
        Ok(self.root.join(path))
    }

    /// Beside the target, so that moving it into place is one step. Its name comes from what it
    /// holds, so that another attempt at the same file finds it.
    fn part(target: &Path, offer: &Offer) -> PathBuf {
        let part = format!("{}{}.part", name::PART_PREFIX, offer.digest.short());
        target.with_file_name(part)
    }
}

impl Store for Folder {
    type File = File;

    fn begin(&mut self, offer: &Offer) -> Result<Begun<File>, String> {
        if offer.size > self.size_max {
            return Err(format!(
                "{} bytes, and --max-size is {}: raise it if that is right",
                offer.size, self.size_max
            ));
        }
        let target = self.target(offer)?;
        if let Ok(found) = target.symlink_metadata() {
            if found.is_file() && found.len() == offer.size && same(&target, offer) {
                return Ok(Begun::Whole);
            }
            if !self.overwrite {
                return Err("there is another file of this name; --overwrite replaces it".into());
            }
            if !found.is_file() {
                return Err("there is something of this name that is no file".to_owned());
            }
        }
        let folder = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder).map_err(|error| format!("cannot make its folder: {error}"))?;
        resume(&Self::part(&target, offer), offer).map_err(|error| error.to_string())
    }

    fn finish(&mut self, offer: &Offer, mut file: File) -> Result<(), String> {
        let target = self.target(offer)?;
        let part = Self::part(&target, offer);
        let moved = file.flush().and_then(|()| file.sync_all()).and_then(|()| {
            drop(file);
            if self.overwrite {
                return fs::rename(&part, &target);
            }
            // Linking fails where renaming would replace what came in between.
            match fs::hard_link(&part, &target) {
                Ok(()) => fs::remove_file(&part),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
                Err(_) => fs::rename(&part, &target),
            }
        });
        moved.map_err(|error| format!("cannot put it into its place: {error}"))
    }

    fn discard(&mut self, offer: &Offer, file: File) {
        drop(file);
        if let Ok(target) = self.target(offer) {
            // What cannot be removed is found, and refused, by the next attempt.
            let _ = fs::remove_file(Self::part(&target, offer));
        }
    }
}

/// Opens an unfinished file, new or old, at its end.
fn resume(part: &Path, offer: &Offer) -> io::Result<Begun<File>> {
    if part.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("its unfinished file is no file"));
    }
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(part)?;
    let mut digest = Sha256::new();
    let mut offset = hash(&mut file, &mut digest)?;
    if offset > offer.size {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        (offset, digest) = (0, Sha256::new());
    }
    Ok(Begun::From { file, offset, digest })
}

fn same(path: &Path, offer: &Offer) -> bool {
    let mut digest = Sha256::new();
    let hashed = File::open(path).and_then(|mut file| hash(&mut file, &mut digest));
    hashed.is_ok() && offer.digest == Digest(digest.finalize().into())
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
