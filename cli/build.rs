//! Packs the source tree beside this package into one file, so that `outlast demo` has real files
//! to carry wherever it is started.
//!
//! The pack is a row of entries, each `name length u32, name, size u32, bytes`, little-endian.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Folders whose content is made by tools, by name.
const MADE: [&str; 5] = ["target", "artifacts", "corpus", "node_modules", "__pycache__"];
/// Dot folders that belong to the source all the same.
const DOTTED: [&str; 4] = [".cargo", ".ci", ".github", ".config"];
/// Files beyond this are no source.
const FILE_LIMIT: u64 = 1 << 20;
/// The pack ends here, so that a stray folder cannot bloat the program.
const PACK_LIMIT: usize = 16 << 20;

fn main() -> io::Result<()> {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let workspace = package.join("..");
    // Outside of its workspace, as from a registry, the package carries itself.
    let root = if workspace.join("core/Cargo.toml").exists() { workspace } else { package };
    println!("cargo::rerun-if-changed=build.rs");
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();
    let mut pack = Vec::new();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        add(&mut pack, &root, file);
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::File::create(out.join("tree.pack"))?.write_all(&pack)
}

/// Adds the files below `folder`; returns whether nothing below it was left out.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<bool> {
    let mut whole = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let name = name.to_string_lossy();
        if kind.is_dir() {
            let hidden = name.starts_with('.') && !DOTTED.contains(&&*name);
            let taken = !hidden && !MADE.contains(&&*name);
            whole &= taken && collect(&entry.path(), files)?;
        } else if kind.is_file() && entry.metadata()?.len() <= FILE_LIMIT {
            files.push(entry.path());
        }
    }
    // Cargo looks at everything below a folder: with build output in it, it would never rest.
    if whole {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    Ok(whole)
}

/// A file that vanished or is not to be read is no reason to fail a build.
fn add(pack: &mut Vec<u8>, root: &Path, file: &Path) {
    let (Ok(bytes), Ok(name)) = (fs::read(file), file.strip_prefix(root)) else {
        return;
    };
    let Some(name) = name.to_str() else { return };
    let name = name.replace('\\', "/");
    if pack.len() + name.len() + bytes.len() + 8 > PACK_LIMIT {
        return;
    }
    for part in [name.as_bytes(), &bytes] {
        let len = u32::try_from(part.len()).unwrap_or(0);
        pack.extend_from_slice(&len.to_le_bytes());
        pack.extend_from_slice(part);
    }
}
