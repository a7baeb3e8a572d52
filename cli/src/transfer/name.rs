//! Names that come from elsewhere: what may be created under a folder, and nothing else.

use std::path::{Component, Path, PathBuf};

use super::message::NAME_MAX;

/// Parts of a name; a tree deeper than this is an accident or an attack.
const DEPTH_MAX: usize = 32;
/// Bytes of one part, as file systems have it.
const PART_MAX: usize = 255;
/// Names that mean a device on some systems, whatever their ending.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "com", "lpt"];
/// How unfinished files of ours begin.
pub(super) const PART_PREFIX: &str = ".outlast-";

/// `name` as a relative path that stays below whatever it is joined to, on every system.
///
/// # Errors
///
/// Why the name is refused.
pub(super) fn relative(name: &str) -> Result<PathBuf, String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("a name has 1 to {NAME_MAX} bytes"));
    }
    let parts: Vec<&str> = name.split('/').collect();
    if parts.len() > DEPTH_MAX {
        return Err(format!("more than {DEPTH_MAX} folders deep"));
    }
    let mut path = PathBuf::new();
    for part in parts {
        check(part)?;
        path.push(part);
    }
    // Whatever was overlooked above, the system's own reading of the path decides.
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    if plain && !path.is_absolute() { Ok(path) } else { Err("not a relative path".to_owned()) }
}

fn check(part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err("an absolute path, or an empty part".to_owned());
    }
    if part == "." || part == ".." {
        return Err("`.` and `..` are not allowed".to_owned());
    }
    if part.len() > PART_MAX {
        return Err(format!("a part of more than {PART_MAX} bytes"));
    }
    if part.chars().any(|c| c.is_control() || matches!(c, '\\' | ':')) {
        return Err("control characters, `\\` and `:` are not allowed".to_owned());
    }
    if part.starts_with(PART_PREFIX) {
        return Err(format!("`{PART_PREFIX}…` is for unfinished files"));
    }
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let digits = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    let device = DEVICES.contains(&digits)
        && (stem.len() - digits.len() == usize::from(digits == "com" || digits == "lpt"));
    if device || part.ends_with([' ', '.']) {
        return Err("not a name on every system".to_owned());
    }
    Ok(())
}

/// Whether every folder of `path` below `root` that exists is a folder and no link elsewhere.
///
/// # Errors
///
/// Which part is not.
pub(super) fn stays_below(root: &Path, path: &Path) -> Result<(), String> {
    let mut place = root.to_path_buf();
    let folders = path.parent().map(Path::components).into_iter().flatten();
    for part in folders {
        place.push(part);
        match place.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => {
                return Err(format!("`{}` is a link or a file, not a folder", place.display()));
            }
            // What does not exist will be made.
            Err(_) => break,
        }
    }
    Ok(())
}

/// The name under which `path` is offered, relative to `base`.
///
/// # Errors
///
/// If it is not text.
pub(super) fn offered(base: &Path, path: &Path) -> Result<String, String> {
    let below = path.strip_prefix(base).unwrap_or(path);
    let mut name = String::new();
    for part in below.components() {
        let Component::Normal(part) = part else {
            continue;
        };
        let part = part.to_str();
        let part = part.ok_or_else(|| format!("{}: the name is not Unicode", path.display()))?;
        if !name.is_empty() {
            name.push('/');
        }
        name.push_str(part);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_pass() {
        for name in
            ["a", "a/b.c", "src/main.rs", ".ci/run", "ü ß/日本", "com.rs", "console", "lpt12"]
        {
            assert_eq!(relative(name), Ok(PathBuf::from(name)), "{name}");
        }
    }

    #[test]
    fn whatever_leads_elsewhere_is_refused() {
        let long = "a/".repeat(DEPTH_MAX) + "a";
        let wide = "a".repeat(PART_MAX + 1);
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/../../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "a\\b",
            "C:a",
            "c:/a",
            "a\0b",
            "a\nb",
            "NUL",
            "nul.txt",
            "com1",
            "LPT9.x",
            "a ",
            "a.",
            "con ",
            ".outlast-1.part",
            &long,
            &wide,
        ] {
            assert!(relative(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn names_are_offered_below_their_base() {
        let offered = |base: &str, path: &str| offered(Path::new(base), Path::new(path)).unwrap();
        assert_eq!(offered("/x", "/x/y/z"), "y/z");
        assert_eq!(offered("", "y/z"), "y/z");
        assert_eq!(offered(".", "./y/z"), "y/z");
    }
}
