//! What a file, a map or a text says, before it is known what it is about.

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Counted from one; zero where there are no lines.
    pub(crate) line: usize,
    pub(crate) what: What,
}

/// Numbers, words and truths are their texts: what they mean, the item knows that they are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { line: 0, what: What::Text(text.into()) }
    }

    /// As it is said in an error.
    pub(crate) fn show(&self) -> String {
        match &self.what {
            What::Text(text) if text.is_empty() => "empty".to_owned(),
            What::Text(text) => shorten(text),
            What::List(_) => "a list".to_owned(),
            What::Map(_) => "a table".to_owned(),
        }
    }
}

/// Long and strange texts do not make errors unreadable.
pub(crate) fn shorten(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
