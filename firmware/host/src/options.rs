//! The command line.

use std::path::PathBuf;

use crate::Outcome;

/// What connects the board with the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    Wire,
    User,
    Tap,
    Reset,
    /// The user network, and this program's command `serve` as the server.
    Serve(PathBuf),
    /// The part of `Tap` that runs inside the namespace.
    TapInside,
    /// The part of `Reset` that does.
    ResetInside,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) link: Link,
    pub(crate) elf: PathBuf,
    pub(crate) runs: u64,
    /// Messages that are to come back.
    pub(crate) count: u32,
    /// Frames in a hundred that are lost, come twice, or come one later; in each direction.
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) reorder: u64,
    pub(crate) seed: u64,
    /// The board resets itself once so many messages came back; 0 is never.
    pub(crate) reset_at: u32,
}

impl Options {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut link = match words.next().as_deref() {
            Some("wire") => Link::Wire,
            Some("user") => Link::User,
            Some("tap") => Link::Tap,
            Some("reset") => Link::Reset,
            Some("serve") => Link::Serve(PathBuf::new()),
            Some("tap-inside") => Link::TapInside,
            Some("reset-inside") => Link::ResetInside,
            other => return Err(format!("{other:?} is no link: wire, user, tap, reset or serve")),
        };
        let elf = words.next().ok_or("which firmware?")?.into();
        if let Link::Serve(program) = &mut link {
            *program = words.next().ok_or("which outlast?")?.into();
        }
        let (loss, duplicate, reorder) = (0, 0, 0);
        let mut options =
            Self { link, elf, runs: 1, count: 500, loss, duplicate, reorder, seed: 1, reset_at: 0 };
        while let Some(flag) = words.next() {
            let value = words.next().and_then(|value| value.parse().ok());
            let value: u64 = value.ok_or_else(|| format!("`{flag}` wants a number"))?;
            match flag.as_str() {
                "--runs" => options.runs = value,
                "--count" => options.count = u32::try_from(value).unwrap_or(u32::MAX),
                "--loss" => options.loss = value,
                "--duplicate" => options.duplicate = value,
                "--reorder" => options.reorder = value,
                "--reset-at" => options.reset_at = u32::try_from(value).unwrap_or(u32::MAX),
                "--seed" => options.seed = value,
                _ => return Err(format!("there is no `{flag}`")),
            }
        }
        Ok(options)
    }
}
