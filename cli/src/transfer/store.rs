//! Where files go: unfinished under a name of their own, whole under the one they were offered by.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::Sha256;

use super::message::Offer;
use super::name;
use super::part::{Part, Shelf};

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

    /// The sender lost its connection, or has one again: while it is away, another session may go
    /// on with the file.
    fn set_away(&mut self, _file: &Self::File, _away: bool) {}

    /// Whether the file is still this session's, and was not taken over by another one.
    fn holds(&self, _file: &Self::File) -> bool {
        true
    }
}

/// How far a file is.
#[derive(Debug)]
pub(crate) enum Begun<F> {
    /// The same file is there already.
    Whole,
    /// So many bytes are there, and this is the state of their digest.
    From { file: F, offset: u64, digest: Sha256 },
}

/// A folder of the file system. Nothing outside of it is created or changed. Its clones, one for
/// each session, know of each other's files.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    root: PathBuf,
    overwrite: bool,
    size_max: u64,
    shelf: Arc<Shelf>,
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
        Ok(Self { root: root.canonicalize()?, overwrite, size_max, shelf: Arc::default() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn target(&self, offer: &Offer) -> Result<PathBuf, String> {
        let path = name::relative(&offer.name)?;
        name::stays_below(&self.root, &path)?;
        Ok(self.root.join(path))
    }

    /// Whether the file at `target` is what is offered. Sizes are compared first.
    fn same(&self, target: &Path, offer: &Offer) -> bool {
        let found = target.symlink_metadata();
        found.is_ok_and(|found| found.is_file() && found.len() == offer.size)
            && self.shelf.known.same(target, offer.digest)
    }
}

impl Store for Folder {
    type File = Part;

    fn begin(&mut self, offer: &Offer) -> Result<Begun<Part>, String> {
        if offer.size > self.size_max {
            return Err(format!(
                "{} bytes, and --max-size is {}: raise it if that is right",
                offer.size, self.size_max
            ));
        }
        let target = self.target(offer)?;
        if let Ok(found) = target.symlink_metadata() {
            if self.same(&target, offer) {
                return Ok(Begun::Whole);
            }
            if !self.overwrite {
                return Err("there is another file of this name; --overwrite replaces it".into());
            }
            if !found.is_file() {
                return Err("there is something of this name that is no file".to_owned());
            }
        }
        let begun = Part::begin(&self.shelf, &self.root, &target, offer);
        let (file, offset, digest) = begun.map_err(|error| error.to_string())?;
        Ok(Begun::From { file, offset, digest })
    }

    fn finish(&mut self, offer: &Offer, part: Part) -> Result<(), String> {
        let target = self.target(offer)?;
        part.verify()?;
        match part.place(self.overwrite) {
            Ok(()) => self.shelf.known.remember(&target, offer.digest),
            // Somebody else sent the same meanwhile.
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists && self.same(&target, offer) =>
            {
                part.remove();
            }
            Err(error) => return Err(format!("cannot put it into its place: {error}")),
        }
        Ok(())
    }

    fn discard(&mut self, _: &Offer, part: Part) {
        part.remove();
    }

    fn set_away(&mut self, part: &Part, away: bool) {
        part.set_away(away);
    }

    fn holds(&self, part: &Part) -> bool {
        part.is_held()
    }
}
