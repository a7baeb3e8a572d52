//! JSON. Whether it is any says `serde_json`; what follows only looks where the values stand.

use serde::de::IgnoredAny;

use super::{DEEPEST, Lines, Wrong, insert};
use crate::node::{Entry, Node, What};

pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let whole = serde_json::from_str::<IgnoredAny>(text);
    whole.map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        Wrong::new(error.line(), message)
    })?;
    let lines = Lines::new(text.as_bytes());
    Scanner { text, at: 0, lines: &lines }.value(0)
}

/// Walks over what is known to be JSON.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    lines: &'a Lines,
}

impl<'a> Scanner<'a> {
    /// The next byte that is no space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += spaces;
        rest.get(spaces).copied()
    }

    /// The bytes of a string, a number or a word.
    fn scalar(&mut self) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let mut bytes = rest.bytes().enumerate();
        let end = if rest.starts_with('"') {
            let mut escaped = false;
            let end = bytes.skip(1).find(|(_, byte)| {
                let ends = !escaped && *byte == b'"';
                escaped = !escaped && *byte == b'\\';
                ends
            });
            end.map(|(at, _)| at + 1)
        } else {
            let ends = |byte: u8| byte.is_ascii_whitespace() || b",]}".contains(&byte);
            bytes.find(|(_, byte)| ends(*byte)).map(|(at, _)| at)
        };
        let end = end.unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn text(&mut self) -> Result<String, Wrong> {
        let line = self.lines.of(self.at);
        let scalar = self.scalar();
        match scalar {
            "null" => Ok("none".to_owned()),
            quoted if quoted.starts_with('"') => {
                serde_json::from_str(quoted).map_err(|_| Wrong::new(line, "this is no text"))
            }
            bare => Ok(bare.to_owned()),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Wrong> {
        let first = self.peek();
        let line = self.lines.of(self.at);
        if depth > DEEPEST {
            return Err(Wrong::new(line, "these tables are deeper than any of settings"));
        }
        let what = match first {
            Some(b'{') => {
                let mut entries = Vec::new();
                while self.has_next(b'}') {
                    let line = self.lines.of(self.at);
                    let key = self.text()?;
                    // The colon.
                    self.peek();
                    self.at += 1;
                    let value = self.value(depth + 1)?;
                    insert(&mut entries, Entry { key, line, value })?;
                }
                What::Map(entries)
            }
            Some(b'[') => {
                let mut list = Vec::new();
                while self.has_next(b']') {
                    list.push(self.value(depth + 1)?);
                }
                What::List(list)
            }
            _ => What::Text(self.text()?),
        };
        Ok(Node { line, what })
    }

    /// Passes over the opening bracket, a comma or the closing bracket; whether a value follows.
    fn has_next(&mut self, close: u8) -> bool {
        if self.peek() != Some(close) {
            self.at += 1;
        }
        match self.peek() {
            Some(byte) if byte != close => true,
            _ => {
                self.at += 1;
                false
            }
        }
    }
}
