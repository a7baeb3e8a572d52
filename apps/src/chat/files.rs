//! Files: what a server keeps of them, and names under which it is safe to save one.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use outlast_service::Bytes;

use crate::runtime::lock;

/// How much of files there may be.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes of one file.
    pub file: usize,
    /// Bytes of all files that are kept; the oldest go first.
    pub kept: usize,
    /// Files that may be on their way in pieces at the same time.
    pub uploads: usize,
}

impl Default for FileLimits {
    /// 8 MiB a file, 64 MiB of them, 16 on their way.
    fn default() -> Self {
        Self { file: 8 << 20, kept: 64 << 20, uploads: 16 }
    }
}

/// A file that was sent to a room.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Its number.
    pub id: i64,
    /// Whose room it was sent to.
    pub room: i64,
    /// What it is called: always a [safe name](safe_name).
    pub name: Arc<str>,
    /// What is in it.
    pub bytes: Bytes,
}

/// The files that a server keeps, in memory. Clones are the same ones.
#[derive(Debug, Clone)]
pub struct Files {
    limits: FileLimits,
    shelf: Arc<Mutex<Shelf>>,
    uploads: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Shelf {
    files: VecDeque<Shared>,
    bytes: usize,
    last: i64,
}

impl Files {
    /// None yet.
    #[must_use]
    pub fn new(limits: FileLimits) -> Self {
        Self { limits, shelf: Arc::default(), uploads: Arc::default() }
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> FileLimits {
        self.limits
    }

    /// Keeps a file, and gives it a number; none if it is too long.
    pub fn keep(&self, room: i64, name: &str, bytes: Bytes) -> Option<Shared> {
        if bytes.len() > self.limits.file {
            return None;
        }
        let mut shelf = lock(&self.shelf);
        shelf.last += 1;
        let file = Shared { id: shelf.last, room, name: safe_name(name).into(), bytes };
        shelf.bytes += file.bytes.len();
        shelf.files.push_back(file.clone());
        while shelf.bytes > self.limits.kept.max(file.bytes.len())
            && let Some(oldest) = shelf.files.pop_front()
        {
            shelf.bytes -= oldest.bytes.len();
        }
        Some(file)
    }

    /// A file of a room.
    #[must_use]
    pub fn get(&self, room: i64, id: i64) -> Option<Shared> {
        let shelf = lock(&self.shelf);
        shelf.files.iter().find(|file| (file.room, file.id) == (room, id)).cloned()
    }

    /// The files of a room.
    #[must_use]
    pub fn list(&self, room: i64) -> Vec<Shared> {
        lock(&self.shelf).files.iter().filter(|file| file.room == room).cloned().collect()
    }

    /// Begins to take a file in pieces; none if it is too long, or too many are on their way.
    #[must_use]
    pub fn begin(&self, name: &str, size: usize) -> Option<Upload> {
        if size > self.limits.file {
            return None;
        }
        let place = Place(Arc::clone(&self.uploads));
        if place.0.fetch_add(1, Ordering::SeqCst) >= self.limits.uploads {
            return None;
        }
        Some(Upload { name: safe_name(name), size, bytes: Vec::new(), _place: place })
    }
}

/// A file on its way in pieces. It takes memory for what has come, not for what is said to come.
#[derive(Debug)]
pub struct Upload {
    /// What it will be called.
    pub name: String,
    size: usize,
    bytes: Vec<u8>,
    _place: Place,
}

/// One of the uploads that there may be.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Upload {
    /// Takes the next piece; whether the file is complete, or none if it is more than was said.
    pub fn take(&mut self, piece: &[u8]) -> Option<bool> {
        if piece.len() > self.size - self.bytes.len() {
            return None;
        }
        self.bytes.extend_from_slice(piece);
        Some(self.bytes.len() == self.size)
    }

    /// Whether all of it has come.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.bytes.len() == self.size
    }

    /// All of it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

/// A name for a file that somebody else has named: one component, without anything that a system
/// takes for more than a letter. At most 100 characters; never empty, and never hidden.
#[must_use]
pub fn safe_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let odd = |letter: char| {
        letter.is_control() || matches!(letter, ':' | '*' | '?' | '"' | '<' | '>' | '|')
    };
    let plain: String = last.chars().map(|it| if odd(it) { '_' } else { it }).collect();
    let plain = plain.trim().trim_start_matches('.').trim_end_matches(['.', ' ']);
    let plain: String = plain.chars().take(100).collect();
    // What Windows takes for a device, whatever is behind the dot.
    let stem = plain.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|rest| rest.len() == 1 && rest.as_bytes()[0] > b'0')
    };
    let device =
        matches!(&stem[..], "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT");
    match &plain[..] {
        "" => "file".to_owned(),
        _ if device => format!("_{plain}"),
        _ => plain,
    }
}

/// Saves a file under a safe name that nothing in the folder has yet, and says where.
///
/// # Errors
///
/// What the system says, or that there are a hundred of that name already.
pub fn save(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let (path, mut file) = create(folder, &safe_name(name))?;
    file.write_all(bytes)?;
    Ok(path)
}

fn create(folder: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    let (stem, dot) = name.rsplit_once('.').map_or((name, None), |(stem, end)| (stem, Some(end)));
    for number in 1..=100 {
        let name = match (number, dot) {
            (1, _) => name.to_owned(),
            (_, Some(end)) => format!("{stem} ({number}).{end}"),
            (_, None) => format!("{stem} ({number})"),
        };
        let path = folder.join(name);
        // What is there stays, a link to somewhere else included.
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for (given, safe) in [
            ("photo.jpg", "photo.jpg"),
            ("../../etc/passwd", "passwd"),
            ("/etc/shadow", "shadow"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("..", "file"),
            ("", "file"),
            ("a/", "file"),
            (".bashrc", "bashrc"),
            ("x\0y\n\u{1b}[2J", "x_y__[2J"),
            ("a:b*c?.txt", "a_b_c_.txt"),
            ("NUL", "_NUL"),
            ("com1.txt", "_com1.txt"),
            ("command.txt", "command.txt"),
            ("  name . ", "name"),
            ("写真.png", "写真.png"),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
        assert_eq!(safe_name(&"é".repeat(500)).chars().count(), 100);
    }

    #[test]
    fn whatever_the_name_it_stays_in_its_folder() {
        let folder = std::env::temp_dir().join(format!("outlast-files-{}", std::process::id()));
        for given in ["../up", "a/../../b", "/tmp/x", "..\\..\\c", "....//d", "e/.", "~/f"] {
            let path = save(&folder, given, b"x").unwrap();
            assert_eq!(path.parent(), Some(folder.as_path()), "{given}");
            assert!(path.canonicalize().unwrap().starts_with(folder.canonicalize().unwrap()));
        }
        let [first, second] = [b"1", b"2"].map(|it| save(&folder, "same.txt", it).unwrap());
        assert_eq!(std::fs::read(first).unwrap(), b"1", "nothing is overwritten");
        assert!(second.ends_with("same (2).txt"));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn limits_hold() {
        let files = Files::new(FileLimits { file: 10, kept: 25, uploads: 2 });
        assert!(files.keep(1, "long", vec![0; 11].into()).is_none());
        let ids: Vec<i64> =
            (0..4).map(|_| files.keep(1, "../f", vec![0; 10].into()).unwrap().id).collect();
        assert_eq!(files.list(1).iter().map(|file| file.id).collect::<Vec<_>>(), ids[2..]);
        assert!(files.get(1, ids[3]).is_some() && files.get(2, ids[3]).is_none());
        assert!(files.begin("long", 11).is_none());
        let (mut first, second) = (files.begin("a", 4).unwrap(), files.begin("b", 4).unwrap());
        assert!(files.begin("c", 4).is_none(), "two are on their way");
        drop(second);
        assert!(files.begin("c", 4).is_some());
        assert_eq!(
            (first.take(b"ab"), first.take(b"c"), first.take(b"de")),
            (Some(false), Some(false), None)
        );
        assert_eq!((first.take(b"d"), first.is_complete()), (Some(true), true));
        assert_eq!(first.into_bytes(), &b"abcd"[..]);
    }
}
