//! The files that the demonstration carries.

use std::path::PathBuf;
use std::sync::Arc;

use crate::transfer::{Source, sources};

/// The source tree this program was built from, as the build script packed it.
static TREE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tree.pack"));

/// The files that `paths` name, or the source of this program if there are none.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<Source>, String> {
    let files = if paths.is_empty() { unpack(TREE) } else { sources(paths)? };
    if files.is_empty() {
        return Err("there are no files in what you named".to_owned());
    }
    Ok(files)
}

pub(super) fn total(files: &[Source]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

fn unpack(mut pack: &[u8]) -> Vec<Source> {
    let mut files = Vec::new();
    while let Some(name) = part(&mut pack)
        && let Some(bytes) = part(&mut pack)
    {
        let name = String::from_utf8_lossy(name).into_owned();
        files.push(Source::memory(name, Arc::from(bytes)));
    }
    files
}

fn part<'p>(pack: &mut &'p [u8]) -> Option<&'p [u8]> {
    let (length, rest) = pack.split_first_chunk()?;
    let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *pack = rest;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_file_is_in_the_pack() {
        let files = unpack(TREE);
        let own = files.iter().find(|file| file.name.ends_with("src/demo/corpus.rs"));
        assert!(own.is_some_and(|file| file.size > 1_000), "{} files", files.len());
        assert!(files.iter().all(|file| !file.name.contains("target/")));
    }

    #[test]
    fn a_damaged_pack_ends_early() {
        let pack = [&3_u32.to_le_bytes()[..], b"abc", &9_u32.to_le_bytes(), b"short"].concat();
        assert!(unpack(&pack).is_empty());
    }
}
