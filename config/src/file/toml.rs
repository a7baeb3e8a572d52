//! TOML.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DEEPEST, Lines, Wrong, insert};
use crate::node::{Entry, Node, What};

pub(super) fn parse(text: &str) -> Result<Node, Wrong> {
    let lines = Lines::new(text.as_bytes());
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(0, |span| lines.of(span.start));
        Wrong::new(line, error.message().replace('\n', ": "))
    })?;
    let (span, table) = (table.span(), table.into_inner());
    map(table, lines.of(span.start), &lines, 0)
}

fn map(table: DeTable<'_>, line: usize, lines: &Lines, depth: usize) -> Result<Node, Wrong> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let at = lines.of(key.span().start);
        let value = node(value, lines, depth + 1)?;
        let key = key.into_inner().into_owned();
        insert(&mut entries, Entry { key, line: at, value })?;
    }
    Ok(Node { line, what: What::Map(entries) })
}

fn node(value: Spanned<DeValue<'_>>, lines: &Lines, depth: usize) -> Result<Node, Wrong> {
    let line = lines.of(value.span().start);
    if depth > DEEPEST {
        return Err(Wrong::new(line, "these tables are deeper than any of settings"));
    }
    let what = match value.into_inner() {
        DeValue::String(text) => What::Text(text.into_owned()),
        DeValue::Boolean(flag) => What::Text(flag.to_string()),
        DeValue::Float(number) => What::Text(number.as_str().to_owned()),
        DeValue::Datetime(date) => What::Text(date.to_string()),
        DeValue::Integer(number) => {
            let value = i128::from_str_radix(number.as_str(), number.radix());
            What::Text(value.map_or_else(|_| number.as_str().to_owned(), |it| it.to_string()))
        }
        DeValue::Array(array) => {
            let list = array.into_iter().map(|value| node(value, lines, depth + 1));
            What::List(list.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return map(table, line, lines, depth),
    };
    Ok(Node { line, what })
}
