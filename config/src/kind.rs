//! What kinds of values items have: how they are read, what is allowed, how they are shown.

use std::collections::BTreeMap;

use outlast_core::admission::Rate;
use outlast_service::AccessList;
use outlast_service::plain::formats::Options;

use crate::address::Address;
use crate::node::{Node, What, shorten};
use crate::units;
use crate::value::Value;

/// What an item holds, apart from its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Datum {
    /// What the item calls not being set.
    None,
    Flag(bool),
    /// A count, bytes or nanoseconds.
    Number(u64),
    Text(String),
    Rate(Rate),
    List(Vec<String>),
    Pairs(BTreeMap<String, String>),
}

/// What kind of values an item has.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Flag,
    Count(u64, u64),
    /// Bytes, least and most.
    Size(u64, u64),
    /// Nanoseconds: least, most, and what they have to be a multiple of.
    Time(u64, u64, u64),
    Rate,
    Choice(&'static [&'static str]),
    /// A file or a folder.
    Path,
    Text,
    /// The port that is meant where none is given.
    Address(u16),
    Addresses,
    Networks,
    /// The settings of another system's format.
    Options,
}

impl Kind {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// What it must be instead.
    pub(crate) fn read(&self, node: &Node, none: Option<&str>) -> Result<Datum, String> {
        match (&node.what, self) {
            (What::Text(text), _) => self.read_text(text.trim(), none),
            (What::List(items), Self::Addresses | Self::Networks) => {
                let texts = items.iter().map(|item| match &item.what {
                    What::Text(text) => Ok(text.as_str()),
                    What::List(_) | What::Map(_) => Err(self.must(none)),
                });
                self.read_list(texts.collect::<Result<Vec<_>, _>>()?, none)
            }
            (What::Map(entries), Self::Options) => {
                let mut pairs = BTreeMap::new();
                for entry in entries {
                    let What::Text(text) = &entry.value.what else {
                        return Err(self.must(none));
                    };
                    pairs.insert(entry.key.clone(), text.clone());
                }
                options(&pairs).map(|_| Datum::Pairs(pairs))
            }
            (What::List(_) | What::Map(_), _) => Err(self.must(none)),
        }
    }

    fn read_text(&self, text: &str, none: Option<&str>) -> Result<Datum, String> {
        if none == Some(text) {
            return Ok(Datum::None);
        }
        let must = || self.must(none);
        match self {
            Self::Flag => text.parse().map(Datum::Flag).map_err(|_| must()),
            Self::Count(..) => {
                let digits = text.replace('_', "");
                digits.parse().map(Datum::Number).map_err(|_| must())
            }
            Self::Size(..) => units::size(text).map(Datum::Number).ok_or_else(must),
            Self::Time(_, _, step) => {
                let nanos = units::time(text).ok_or_else(must)?;
                if nanos.is_multiple_of(*step) {
                    return Ok(Datum::Number(nanos));
                }
                Err(format!("it must be a multiple of {}", units::show_time(*step)))
            }
            Self::Rate => units::rate(text).map(Datum::Rate).ok_or_else(must),
            Self::Choice(words) => {
                words.contains(&text).then(|| Datum::Text(text.to_owned())).ok_or_else(must)
            }
            Self::Path | Self::Text => {
                let fits = !text.is_empty() && !text.contains('\0');
                fits.then(|| Datum::Text(text.to_owned())).ok_or_else(must)
            }
            Self::Address(port) => {
                Address::parse(text, *port).map(|address| Datum::Text(address.to_string()))
            }
            Self::Addresses | Self::Networks => {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                self.read_list(words.collect(), none)
            }
            Self::Options => {
                let mut pairs = BTreeMap::new();
                for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
                    let (key, value) = pair.split_once('=').ok_or_else(must)?;
                    pairs.insert(key.trim().to_owned(), value.trim().to_owned());
                }
                options(&pairs).map(|_| Datum::Pairs(pairs))
            }
        }
    }

    fn read_list(&self, words: Vec<&str>, none: Option<&str>) -> Result<Datum, String> {
        let mut read = Vec::with_capacity(words.len());
        for word in words {
            read.push(match self {
                Self::Addresses => word.parse::<Address>()?.to_string(),
                _ => {
                    AccessList::open().allow(word).map_err(|error| error.to_string())?;
                    word.to_owned()
                }
            });
        }
        if read.is_empty() && *self == Self::Addresses {
            return Err(self.must(none));
        }
        Ok(Datum::List(read))
    }

    /// Whether a value is in the range.
    pub(crate) fn permits(&self, datum: &Datum) -> bool {
        match (self, datum) {
            (Self::Count(min, max) | Self::Size(min, max), Datum::Number(number)) => {
                (min..=max).contains(&number)
            }
            (Self::Time(min, max, step), Datum::Number(nanos)) => {
                (min..=max).contains(&nanos) && nanos.is_multiple_of(*step)
            }
            _ => true,
        }
    }

    /// What values it must have, as an error says it.
    pub(crate) fn must(&self, none: Option<&str>) -> String {
        let or = none.map_or_else(String::new, |word| format!(", or \"{word}\""));
        match self {
            Self::Flag => "it must be true or false".to_owned(),
            Self::Count(min, max) => format!("it must be from {min} to {max}{or}"),
            Self::Size(min, max) => {
                format!("it must be from {min} to {max} bytes, such as 65536 or \"64 KiB\"{or}")
            }
            Self::Time(min, max, _) => {
                let (min, max) = (units::show_time(*min), units::show_time(*max));
                let range = format!("it must be from {min} to {max}");
                format!("{range}, such as \"1.5 s\" or, in milliseconds, 1500{or}")
            }
            Self::Rate => format!("it must be a rate, such as \"64/s burst 256\"{or}"),
            Self::Choice(words) => format!("it must be {}{or}", words.join(" or ")),
            Self::Path => format!("it must be a path{or}"),
            Self::Text => format!("it must be a text{or}"),
            Self::Address(_) => format!("it must be host:port{or}"),
            Self::Addresses => "it must be a list of one host:port or more".to_owned(),
            Self::Networks => "it must be a list of networks, such as 10.0.0.0/8".to_owned(),
            Self::Options => "it must be a table, or KEY=VALUE, such as max=65536".to_owned(),
        }
    }

    /// The range in a table.
    pub(crate) fn range(&self) -> String {
        match self {
            Self::Flag => "`true`, `false`".to_owned(),
            Self::Count(min, max) => format!("{min} to {max}"),
            Self::Size(min, max) => format!("{} to {}", bytes(*min), bytes(*max)),
            Self::Time(min, max, _) => {
                format!("{} to {}", units::show_time(*min), units::show_time(*max))
            }
            Self::Rate => "a rate".to_owned(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
            Self::Path => "a path".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Address(_) => "host:port".to_owned(),
            Self::Addresses => "a list of host:port".to_owned(),
            Self::Networks => "a list of networks".to_owned(),
            Self::Options => "a table".to_owned(),
        }
    }

    /// A number of an error, in the item's unit.
    pub(crate) fn show_number(&self, number: u64) -> String {
        match self {
            Self::Time(..) => units::show_time(number),
            _ => number.to_string(),
        }
    }

    /// A value as it is printed, and read again.
    pub(crate) fn show(&self, datum: &Datum, none: Option<&str>) -> Value {
        match datum {
            Datum::None => Value::Text(none.unwrap_or("none").to_owned()),
            Datum::Flag(flag) => Value::Flag(*flag),
            Datum::Number(number) => match self {
                Self::Size(..) if *number >= 1024 => match units::show_size(*number) {
                    shown if shown.contains(' ') => Value::Text(shown),
                    _ => Value::Number(*number),
                },
                Self::Time(..) => Value::Text(units::show_time(*number)),
                _ => Value::Number(*number),
            },
            Datum::Text(text) => Value::Text(text.clone()),
            Datum::Rate(rate) => {
                let shown = units::show_rate(rate);
                Value::Text(shown.unwrap_or_else(|| none.unwrap_or_default().to_owned()))
            }
            Datum::List(list) => Value::List(list.iter().cloned().map(Value::Text).collect()),
            Datum::Pairs(pairs) => {
                let value =
                    |(key, value): (&String, &String)| (key.clone(), Value::Text(value.clone()));
                Value::Map(pairs.iter().map(value).collect())
            }
        }
    }
}

fn bytes(number: u64) -> String {
    let shown = units::show_size(number);
    if shown.contains(' ') { shown } else { format!("{shown} B") }
}

/// The options of another system's format, if they are some.
pub(crate) fn options(pairs: &BTreeMap<String, String>) -> Result<Options, String> {
    let mut options = Options::default();
    for (key, value) in pairs {
        let wrong = |error| format!("{error} (of {}={})", shorten(key), shorten(value));
        options.set(key, value).map_err(wrong)?;
    }
    Ok(options)
}
