//! Golden bytes, kept as text files that any language can read.

use std::path::{Path, PathBuf};

/// Where the files are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

/// Every file of golden vectors: its name and its text, in the order of names.
///
/// # Errors
///
/// Those of reading the directory and its files.
pub fn vectors() -> std::io::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory())? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "txt") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, std::fs::read_to_string(path)?));
        }
    }
    found.sort();
    Ok(found)
}
