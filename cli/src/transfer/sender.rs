//! The sending side.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_tokio::{Handle, RequestError, Response, SendError, Status};
use sha2::{Digest as _, Sha256};
use tokio::task::block_in_place;

use crate::inspect::escape;

use super::message::{DATA_HEAD, Digest, Offer, ROUTE_DATA, ROUTE_DONE, ROUTE_OFFER};
use super::message::{data_head, split_answer};
use super::{name, part};

/// File data in one message: with its head it fits the frame that every server accepts by default.
const PIECE: usize = 16_000;
/// Read at once.
const READ: usize = 16 * PIECE;
/// Between two of these attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// A file is begun so often before it is given up; each time means that a session was lost.
const ATTEMPTS: u32 = 5;
/// Characters shown of what a receiver says; what is longer is no reason for people.
const REASON_MAX: usize = 500;

/// A file to send.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) content: Content,
    pub(crate) size: u64,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    Disk(PathBuf),
    Memory(Arc<[u8]>),
}

/// How far a sender is. Bytes count when they are handed to the session.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    /// Bytes that did not have to be sent, since the receiver had them.
    pub(crate) spared: AtomicU64,
    /// Files that were there already.
    pub(crate) known: AtomicU64,
}

/// Why a file was not sent.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// This file cannot be sent; others may.
    File(String),
    /// Nothing can be sent any more.
    Session(String),
}

impl Source {
    /// A file that is in memory.
    pub(crate) fn memory(name: String, bytes: Arc<[u8]>) -> Self {
        Self { name, size: bytes.len() as u64, content: Content::Memory(bytes) }
    }

    fn open(&self) -> io::Result<Box<dyn ReadSeek>> {
        Ok(match &self.content {
            Content::Disk(path) => Box::new(File::open(path)?),
            Content::Memory(bytes) => Box::new(io::Cursor::new(Arc::clone(bytes))),
        })
    }

    /// Size and SHA-256 of what the file holds now.
    pub(crate) fn digest(&self) -> io::Result<(u64, Digest)> {
        let mut digest = Sha256::new();
        let size = part::hash(&mut self.open()?, &mut digest)?;
        Ok((size, Digest(digest.finalize().into())))
    }
}

trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// The files that `paths` name; folders stand for everything below them.
///
/// # Errors
///
/// The first path that cannot be read.
pub(crate) fn sources(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let mut sources = Vec::new();
    for path in paths {
        let base = path.parent().unwrap_or_else(|| Path::new(""));
        let resolved = path.canonicalize();
        // `.` and `..` have no name of their own until they are resolved.
        let (base, path) = match (path.file_name(), &resolved) {
            (None, Ok(whole)) => (whole.as_path(), whole.as_path()),
            (Some(_) | None, _) => (base, path.as_path()),
        };
        collect(base, path, &mut sources)?;
    }
    Ok(sources)
}

fn collect(base: &Path, path: &Path, sources: &mut Vec<Source>) -> Result<(), String> {
    let explain = |error: io::Error| format!("cannot read {}: {error}", path.display());
    let found = path.metadata().map_err(explain)?;
    if found.is_dir() {
        let entries: io::Result<Vec<_>> = path.read_dir().map_err(explain)?.collect();
        let mut paths: Vec<PathBuf> = entries.map_err(explain)?.iter().map(|e| e.path()).collect();
        paths.sort();
        for below in paths {
            // A link inside of a tree may lead anywhere, also back.
            if !below.is_symlink() {
                collect(base, &below, sources)?;
            }
        }
        return Ok(());
    }
    if !found.is_file() {
        return Err(format!("{} is neither file nor folder", path.display()));
    }
    let name = name::offered(base, path)?;
    sources.push(Source { name, content: Content::Disk(path.to_path_buf()), size: found.len() });
    Ok(())
}

/// Sends one file after the other; returns those that could not be sent, with the reasons.
///
/// # Errors
///
/// If the session is over for good.
pub(crate) async fn send_all(
    handle: &Handle,
    sources: &[Source],
    progress: &Progress,
) -> Result<Vec<(String, String)>, String> {
    let mut failed = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        match send(handle, index, source, progress).await {
            Ok(()) => {
                progress.files.fetch_add(1, Ordering::Relaxed);
            }
            Err(Trouble::File(reason)) => failed.push((source.name.clone(), reason)),
            Err(Trouble::Session(reason)) => return Err(reason),
        }
    }
    Ok(failed)
}

/// Sends one file, from the start of what the receiver lacks, again if a session is lost.
pub(crate) async fn send(
    handle: &Handle,
    index: u32,
    source: &Source,
    progress: &Progress,
) -> Result<(), Trouble> {
    let hashed = block_in_place(|| source.digest());
    let (size, digest) = hashed.map_err(|error| Trouble::File(format!("cannot read: {error}")))?;
    let offer = Offer { index, size, digest, name: source.name.clone() };
    let mut lost = String::new();
    for _ in 0..ATTEMPTS {
        match attempt(handle, &offer, source, progress).await {
            Ok(()) => return Ok(()),
            Err(Attempt::Lost(reason)) => {
                lost = reason;
                // The session that takes its place is not there at once.
                tokio::time::sleep(PAUSE).await;
            }
            Err(Attempt::Failed(reason)) => return Err(Trouble::File(reason)),
        }
    }
    Err(Trouble::Session(lost))
}

enum Attempt {
    /// The session was lost; another one may do.
    Lost(String),
    Failed(String),
}

async fn attempt(
    handle: &Handle,
    offer: &Offer,
    source: &Source,
    progress: &Progress,
) -> Result<(), Attempt> {
    let answer = ask(handle, ROUTE_OFFER, &offer.encode()).await?;
    let (offset, whole) = split_answer(&answer).ok_or_else(nonsense)?;
    let offset = offset.min(offer.size);
    progress.spared.fetch_add(offset, Ordering::Relaxed);
    if whole {
        progress.known.fetch_add(1, Ordering::Relaxed);
        return Ok(());
    }
    data(handle, offer, source, offset, progress).await?;
    let answer = ask(handle, ROUTE_DONE, &offer.index.to_le_bytes()).await?;
    if answer == offer.digest.0 { Ok(()) } else { Err(nonsense()) }
}

async fn data(
    handle: &Handle,
    offer: &Offer,
    source: &Source,
    mut offset: u64,
    progress: &Progress,
) -> Result<(), Attempt> {
    let unreadable = |error: io::Error| Attempt::Failed(format!("cannot read: {error}"));
    let mut file = source.open().map_err(unreadable)?;
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    let mut buffer = vec![0; READ];
    let mut message = Vec::with_capacity(DATA_HEAD + PIECE);
    let session = handle.id();
    while offset < offer.size {
        // Another session knows nothing of this file.
        if handle.id() != session {
            return Err(Attempt::Lost("the session was lost".to_owned()));
        }
        let len = block_in_place(|| file.read(&mut buffer)).map_err(unreadable)?;
        if len == 0 {
            return Err(Attempt::Failed("the file became shorter while it was sent".to_owned()));
        }
        for piece in buffer[..len].chunks(PIECE) {
            message.clear();
            message.extend_from_slice(&data_head(offer.index, offset));
            message.extend_from_slice(piece);
            handle.send(ROUTE_DATA, &message).await.map_err(Attempt::from)?;
            offset += piece.len() as u64;
            progress.bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Both requests of this protocol may be repeated: asking twice is as good as asking once.
async fn ask(handle: &Handle, route: u32, payload: &[u8]) -> Result<Vec<u8>, Attempt> {
    let Response { status, payload } = handle.request(route, payload).await?;
    let text = || said(&payload);
    match status {
        Status::OK => Ok(payload.to_vec()),
        Status::APP => Err(Attempt::Failed(format!("the receiver refuses it: {}", text()))),
        Status::REFUSED => Err(Attempt::Lost(text())),
        Status::NO_ROUTE => Err(Attempt::Failed(
            "the other end takes no files: start it with `outlast receive`".to_owned(),
        )),
        other => Err(Attempt::Failed(format!("the receiver answers with status {}", other.0))),
    }
}

/// What the receiver says, fit for a terminal: it may be anybody.
fn said(payload: &[u8]) -> String {
    let text = String::from_utf8_lossy(payload);
    let mut shown = escape(&text.chars().take(REASON_MAX).collect::<String>());
    if text.chars().nth(REASON_MAX).is_some() {
        shown.push('…');
    }
    shown
}

fn nonsense() -> Attempt {
    Attempt::Failed("the receiver's answer makes no sense: is it another version?".to_owned())
}

impl From<SendError> for Attempt {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Closed(closed) => Self::Lost(closed.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<RequestError> for Attempt {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::NotSent(error) => error.into(),
            RequestError::OutcomeUnknown(closed) => Self::Lost(closed.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_receiver_says_does_not_reach_the_terminal_as_it_is() {
        let shown = said(b"\x1b]0;title\x07\x1b[2Jno\r\n\xFF\xC2\x9b31m");
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert!(shown.contains("no"), "{shown}");
        let shown = said("ü".repeat(1 << 16).as_bytes());
        assert_eq!(shown.chars().count(), REASON_MAX + 1);
    }
}
