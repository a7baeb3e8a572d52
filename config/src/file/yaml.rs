//! YAML: one document, without aliases, which can make a short text endless.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{DEEPEST, Wrong, insert};
use crate::node::{Entry, Node, What};

/// A list or a table that is not at its end.
struct Open {
    line: usize,
    what: What,
    /// The key whose value comes next, and its line.
    key: Option<(String, usize)>,
}

pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| Wrong::new(error.marker().line(), error.info().replace('\n', ": ")))?;
        let line = span.start.line();
        let done = match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::DocumentStart(_) if root.is_none() => continue,
            Event::DocumentStart(_) => {
                return Err(Wrong::new(line, "a file of settings is one document"));
            }
            Event::Alias(_) => {
                return Err(Wrong::new(line, "aliases have no place in settings"));
            }
            Event::Scalar(text, style, _, _) => {
                let null = style == ScalarStyle::Plain && ["", "~", "null"].contains(&&*text);
                let text = if null { "none".to_owned() } else { text.into_owned() };
                Node { line, what: What::Text(text) }
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => {
                if open.len() >= DEEPEST {
                    let deep = "these tables are deeper than any of settings";
                    return Err(Wrong::new(line, deep));
                }
                let what = match event {
                    Event::SequenceStart(..) => What::List(Vec::new()),
                    _ => What::Map(Vec::new()),
                };
                open.push(Open { line, what, key: None });
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { line, what, .. }) => Node { line, what },
                None => continue,
            },
        };
        match open.last_mut() {
            Some(above) => add(above, done)?,
            None => root = Some(done),
        }
    }
    // An empty file sets nothing.
    Ok(root.unwrap_or(Node { line: 1, what: What::Map(Vec::new()) }))
}

/// Puts what is whole into what is around it.
fn add(above: &mut Open, done: Node) -> Result<(), Wrong> {
    match &mut above.what {
        What::List(list) => list.push(done),
        What::Map(entries) => match (above.key.take(), done.what) {
            (Some((key, line)), what) => {
                let value = Node { line: done.line, what };
                insert(entries, Entry { key, line, value })?;
            }
            (None, What::Text(key)) => above.key = Some((key, done.line)),
            (None, What::List(_) | What::Map(_)) => {
                return Err(Wrong::new(done.line, "a key is a word"));
            }
        },
        What::Text(_) => {}
    }
    Ok(())
}
