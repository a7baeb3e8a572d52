//! Files of settings: TOML, JSON and YAML, told apart by how their names end.

mod json;
mod toml;
mod yaml;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, Origin};
use crate::node::{Entry, Node, What, shorten};

/// A file of settings is not longer.
const LONGEST: usize = 1 << 20;
/// Tables and lists inside of each other. Settings need four.
const DEEPEST: usize = 32;

/// What kind of file it is.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// `.toml`
    Toml,
    /// `.json`
    Json,
    /// `.yaml`, `.yml`
    Yaml,
}

impl FileKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Toml, Self::Json, Self::Yaml];

    /// The kind of file of this name, if it is one.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// What is wrong, and in which line; zero if in none in particular.
#[derive(Debug)]
struct Wrong {
    line: usize,
    text: String,
}

impl Wrong {
    fn new(line: usize, text: impl Into<String>) -> Self {
        Self { line, text: text.into() }
    }
}

/// Reads a file.
pub(crate) fn read(path: &Path) -> Result<Node, Error> {
    let name = path.display().to_string();
    let wrong = |text: String| Error::new(Origin::File(name.clone(), 0), None, text);
    let kind = FileKind::of(path)
        .ok_or_else(|| wrong("its name must end with .toml, .json, .yaml or .yml".to_owned()))?;
    let bytes = read_some(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    parse(&name, kind, &bytes)
}

/// What a file holds, but not much more than it may: it may have no end.
fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads what a file holds.
pub(crate) fn parse(name: &str, kind: FileKind, bytes: &[u8]) -> Result<Node, Error> {
    let wrong = |wrong: Wrong| {
        let origin = Origin::File(name.to_owned(), wrong.line);
        Error::new(origin, None, wrong.text)
    };
    if bytes.len() > LONGEST {
        return Err(wrong(Wrong::new(0, format!("is longer than {LONGEST} bytes"))));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        wrong(Wrong::new(Lines::new(good).of(good.len()), "this is no UTF-8"))
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let node = match kind {
        FileKind::Toml => toml::parse(text),
        FileKind::Json => json::parse(text),
        FileKind::Yaml => yaml::parse(text),
    };
    let node = node.map_err(wrong)?;
    match node.what {
        What::Map(_) => Ok(node),
        What::Text(_) | What::List(_) => {
            Err(wrong(Wrong::new(node.line, "this is no table of settings")))
        }
    }
}

/// Puts an entry into a table, once.
fn insert(entries: &mut Vec<Entry>, entry: Entry) -> Result<(), Wrong> {
    // Tables are short: this is no slower than a set.
    if let Some(before) = entries.iter().find(|before| before.key == entry.key) {
        let (key, first) = (shorten(&entry.key), before.line);
        return Err(Wrong::new(entry.line, format!("{key} is there twice: first in line {first}")));
    }
    if entries.len() >= MOST_ENTRIES {
        return Err(Wrong::new(entry.line, "this table is longer than any of settings"));
    }
    entries.push(entry);
    Ok(())
}

/// Entries of one table.
const MOST_ENTRIES: usize = 1024;

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &[u8]) -> Self {
        let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        Self(ends.map(|(at, _)| at + 1).collect())
    }

    /// The line of a byte, counted from one.
    fn of(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at) + 1
    }
}

/// The entry `preset` of a table, taken out of it.
pub(crate) fn take_preset(node: &mut Node) -> Option<Entry> {
    let What::Map(entries) = &mut node.what else {
        return None;
    };
    let at = entries.iter().position(|entry| entry.key == "preset")?;
    Some(entries.remove(at))
}

/// Settings as tables inside of tables, from keys with dots.
pub(crate) fn nest(flat: BTreeMap<String, crate::Value>) -> BTreeMap<String, crate::Value> {
    let mut nested = BTreeMap::new();
    let mut listeners: BTreeMap<usize, BTreeMap<String, crate::Value>> = BTreeMap::new();
    for (key, value) in flat {
        let mut parts = key.splitn(3, '.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(crate::settings::LIST), Some(index), Some(field)) => {
                let index = index.parse().unwrap_or(0);
                listeners.entry(index).or_default().insert(field.to_owned(), value);
            }
            (Some(section), Some(rest), None) => {
                let table = nested.entry(section.to_owned());
                let table = table.or_insert_with(|| crate::Value::Map(BTreeMap::new()));
                if let crate::Value::Map(table) = table {
                    table.insert(rest.to_owned(), value);
                }
            }
            _ => drop(nested.insert(key, value)),
        }
    }
    if !listeners.is_empty() {
        let list = listeners.into_values().map(crate::Value::Map).collect();
        nested.insert(crate::settings::LIST.to_owned(), crate::Value::List(list));
    }
    nested
}
