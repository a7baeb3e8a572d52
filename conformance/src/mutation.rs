//! Rules taken out of the code, to see that their absence is noticed.
//!
//! A mutation is a small text file: what it removes, which search must notice, and a piece of
//! source to be replaced by another. White space does not matter when the piece is looked for, so
//! that formatting the code does not break a mutation.

use std::fmt;
use std::path::{Path, PathBuf};

/// One rule removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// Name of its file, without ending.
    pub name: String,
    /// What is removed.
    pub about: String,
    /// The search that must notice.
    pub search: String,
    /// Source files and what is replaced in them: path from the workspace's root, old, new.
    pub edits: Vec<Edit>,
}

/// One replacement in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Path from the root of the workspace.
    pub file: PathBuf,
    /// What has to be there, exactly once.
    pub old: String,
    /// What takes its place.
    pub new: String,
}

/// A mutation cannot be read or does not fit the code any more.
#[derive(Debug)]
pub struct MutationError(pub String);

impl fmt::Display for MutationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MutationError {}

impl Mutation {
    /// Reads all mutations of a directory, in the order of their names.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or has not the form of a mutation.
    pub fn read_all(dir: &Path) -> Result<Vec<Self>, MutationError> {
        let failed = |error: std::io::Error| MutationError(format!("{}: {error}", dir.display()));
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|ending| ending == "txt") {
                paths.push(path);
            }
        }
        paths.sort();
        paths
            .iter()
            .map(|path| {
                let text = std::fs::read_to_string(path).map_err(failed)?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy();
                Self::parse(&name, &text)
            })
            .collect()
    }

    /// Reads one mutation.
    ///
    /// # Errors
    ///
    /// If the text has not the form of a mutation.
    pub fn parse(name: &str, text: &str) -> Result<Self, MutationError> {
        let error = |what: &str| MutationError(format!("{name}: {what}"));
        let mut lines = text.lines();
        let about = lines.next().ok_or_else(|| error("is empty"))?.to_owned();
        let search = lines
            .next()
            .and_then(|line| line.strip_prefix("search: "))
            .ok_or_else(|| error("the second line is not `search: …`"))?
            .to_owned();
        let mut edits = Vec::new();
        while let Some(line) = lines.next() {
            let file = line.strip_prefix("file: ").ok_or_else(|| error("`file: …` expected"))?;
            if lines.next() != Some("<<<<") {
                return Err(error("`<<<<` expected"));
            }
            let old: Vec<_> = lines.by_ref().take_while(|line| *line != "====").collect();
            let new: Vec<_> = lines.by_ref().take_while(|line| *line != ">>>>").collect();
            let (old, new) = (old.join("\n"), new.join("\n"));
            edits.push(Edit { file: file.into(), old, new });
        }
        let (name, search) = (name.to_owned(), search);
        Ok(Self { name, about, search, edits })
    }
}

impl Edit {
    /// The source with this replacement.
    ///
    /// # Errors
    ///
    /// If what is to be replaced is not there, or more than once.
    pub fn apply(&self, source: &str) -> Result<String, MutationError> {
        let found = find(source, &self.old);
        let [(start, end)] = found[..] else {
            let (file, count) = (self.file.display(), found.len());
            return Err(MutationError(format!("{file} has {count} places for:\n{}", self.old)));
        };
        Ok(format!("{}{}\n{}", &source[..start], self.new, &source[end..]))
    }
}

/// Where `piece` is in `source`, both without white space.
fn find(source: &str, piece: &str) -> Vec<(usize, usize)> {
    let solid = |text: &str| -> Vec<(usize, char)> {
        text.char_indices().filter(|(_, c)| !c.is_whitespace()).collect()
    };
    let (source, piece) = (solid(source), solid(piece));
    if piece.is_empty() {
        return Vec::new();
    }
    source
        .windows(piece.len())
        .filter(|window| window.iter().zip(&piece).all(|((_, a), (_, b))| a == b))
        .filter_map(|window| {
            let (start, _) = *window.first()?;
            let (last, c) = *window.last()?;
            Some((start, last + c.len_utf8()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "No check.\nsearch: all\nfile: a/b.rs\n<<<<\nif x  {\n y }\n====\nz\n>>>>\n";

    #[test]
    fn replaces_whatever_the_spacing() {
        let mutation = Mutation::parse("m", TEXT).unwrap();
        assert_eq!((&*mutation.search, mutation.edits.len()), ("all", 1));
        let edited = mutation.edits[0].apply("fn f() { if x { y } }").unwrap();
        assert_eq!(edited, "fn f() { z\n }");
        assert!(mutation.edits[0].apply("if x {y} if x {y}").is_err(), "ambiguous");
        assert!(mutation.edits[0].apply("if x {}").is_err(), "missing");
        assert!(Mutation::parse("m", "a\nb\n").is_err());
    }

    #[test]
    fn every_mutation_fits_the_code() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mutations = Mutation::read_all(&here.join("mutations")).unwrap();
        for rule in 1..=9 {
            let prefix = format!("m{rule}_");
            assert!(mutations.iter().any(|m| m.name.starts_with(&prefix)), "no {prefix}");
        }
        for mutation in mutations {
            assert!(crate::explore::Search::named(&mutation.search).is_some(), "{}", mutation.name);
            for edit in mutation.edits {
                let path = here.join("..").join(&edit.file);
                let source = std::fs::read_to_string(path).unwrap();
                edit.apply(&source).unwrap_or_else(|error| panic!("{}: {error}", mutation.name));
            }
        }
    }
}
