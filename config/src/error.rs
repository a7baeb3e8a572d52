//! Where a value comes from, and what is wrong with it.

use std::fmt;

/// Where the value of an item comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// A preset, by its name.
    Preset(&'static str),
    /// A line of a file, counted from one; zero is the file as a whole.
    File(String, usize),
    /// A variable of the environment, by its name.
    Environment(String),
    /// An option of the command line.
    CommandLine(String),
    /// The program itself.
    Program,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Preset(name) => write!(f, "preset {name}"),
            Self::File(name, 0) => f.write_str(name),
            Self::File(name, line) => write!(f, "{name}:{line}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::CommandLine(option) => write!(f, "command line {option}"),
            Self::Program => f.write_str("program"),
        }
    }
}

/// Settings that cannot be used, and why: where it stands, the key, the value, and what it must be.
///
/// Shown as `server.toml:12: session.window is 12: it must be from 16387 to 1073741824`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    origin: Origin,
    key: Option<String>,
    text: String,
}

impl Error {
    pub(crate) fn new(origin: Origin, key: Option<&str>, text: impl Into<String>) -> Self {
        Self { origin, key: key.map(str::to_owned), text: text.into() }
    }

    /// Where it stands.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key that it is about, if it is about one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The line of the file, counted from one.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match &self.origin {
            Origin::File(_, line) if *line > 0 => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, text, .. } = self;
        match origin {
            Origin::Program => f.write_str(text),
            _ => write!(f, "{origin}: {text}"),
        }
    }
}

impl std::error::Error for Error {}
