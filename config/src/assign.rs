//! Values find their items.

use std::collections::BTreeMap;

use crate::error::{Error, Origin};
use crate::item::Item;
use crate::kind::{Datum, Kind};
use crate::listener::Listener;
use crate::node::{Node, What, shorten};
use crate::settings::{LIST, Settings};

/// Where the values come from of keys that somebody set.
pub(crate) type Origins = BTreeMap<String, Origin>;

/// More listeners than anybody has.
const MOST_LISTENERS: usize = 64;

/// One layer of values that is put over those below it.
pub(crate) struct Assigning<'a, S> {
    settings: &'a mut S,
    origins: &'a mut Origins,
    /// What this layer has set, and where.
    seen: BTreeMap<String, Origin>,
}

/// The place in the list of listeners that a key is about, and the key: so that the first comes
/// before the second.
pub(crate) fn order(key: &str) -> (Option<usize>, &str) {
    let rest = key.strip_prefix(LIST).and_then(|rest| rest.strip_prefix('.'));
    match rest.and_then(|rest| rest.split('.').next()) {
        Some(index) => (index.parse().ok(), key),
        None if key == LIST => (Some(0), key),
        None => (None, key),
    }
}

impl<'a, S: Settings> Assigning<'a, S> {
    pub(crate) fn new(settings: &'a mut S, origins: &'a mut Origins) -> Self {
        Self { settings, origins, seen: BTreeMap::new() }
    }

    /// Sets what `node` says of `key`, which may be a table of many keys.
    pub(crate) fn assign(
        &mut self,
        key: &str,
        node: &Node,
        origin: &dyn Fn(usize) -> Origin,
    ) -> Result<(), Error> {
        if let Some(rest) = key.strip_prefix(LIST)
            && self.settings.listeners().is_some()
        {
            if rest.is_empty() {
                return self.list(node, origin);
            }
            if let Some(rest) = rest.strip_prefix('.') {
                return self.listener(key, rest, node, origin);
            }
        }
        let at = origin(node.line);
        if let Some(item) = S::items().iter().find(|item| item.key == key) {
            self.once(key, &at)?;
            return set(item, self.settings, key, node, at, self.origins);
        }
        let inner = S::items().iter().find(|item| {
            let rest = key.strip_prefix(item.key).and_then(|rest| rest.strip_prefix('.'));
            item.kind == Kind::Options && rest.is_some()
        });
        if let Some(item) = inner {
            self.once(key, &at)?;
            return pair(item, self.settings, "", key, node, at, self.origins);
        }
        let is_table = key.is_empty()
            || S::items()
                .iter()
                .any(|item| item.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')));
        let What::Map(entries) = &node.what else {
            let what = if is_table { "is a table of keys" } else { &self.unknown(key) };
            let text = format!("{key} {what}");
            return Err(Error::new(at, Some(key), text));
        };
        if !is_table {
            let text = format!("{key} {}", self.unknown(key));
            return Err(Error::new(at, Some(key), text));
        }
        for entry in entries {
            let path = match key {
                "" => entry.key.clone(),
                key => format!("{key}.{}", entry.key),
            };
            let line = if entry.line > 0 { entry.line } else { entry.value.line };
            let value = Node { line, what: entry.value.what.clone() };
            self.assign(&path, &value, origin)?;
        }
        Ok(())
    }

    /// Forgets the listeners of the layers below.
    pub(crate) fn clear_list(&mut self) {
        if let Some(listeners) = self.settings.listeners_mut() {
            listeners.clear();
            self.origins.retain(|key, _| order(key).0.is_none());
        }
    }

    /// A list of listeners takes the place of the one below.
    fn list(&mut self, node: &Node, origin: &dyn Fn(usize) -> Origin) -> Result<(), Error> {
        let at = origin(node.line);
        let wrong = |origin| {
            let text = format!("{LIST} is {}: it must be a list of tables", node.show());
            Error::new(origin, Some(LIST), text)
        };
        let What::List(tables) = &node.what else {
            return Err(wrong(at));
        };
        self.once(LIST, &at)?;
        self.clear_list();
        self.origins.insert(LIST.to_owned(), at);
        for (index, table) in tables.iter().enumerate() {
            let What::Map(entries) = &table.what else {
                return Err(wrong(origin(table.line)));
            };
            // One that says nothing is there as well.
            self.place(index, LIST, origin(table.line))?;
            for entry in entries {
                let rest = format!("{index}.{}", entry.key);
                let key = format!("{LIST}.{rest}");
                let line = if entry.line > 0 { entry.line } else { entry.value.line };
                let value = Node { line, what: entry.value.what.clone() };
                self.listener(&key, &rest, &value, origin)?;
            }
        }
        Ok(())
    }

    /// Makes the listener with this number, if it is the next.
    fn place(&mut self, index: usize, key: &str, at: Origin) -> Result<&mut Listener, Error> {
        let listeners = self.settings.listeners_mut();
        let listeners = listeners.filter(|listeners| index <= listeners.len());
        match listeners.filter(|_| index < MOST_LISTENERS) {
            Some(listeners) => {
                if index == listeners.len() {
                    listeners.push(Listener::default());
                }
                Ok(&mut listeners[index])
            }
            None => {
                let text = format!(
                    "{key} is about listener {index}: they are counted from 0 without gaps, up to \
                     {MOST_LISTENERS} of them"
                );
                Err(Error::new(at, Some(key), text))
            }
        }
    }

    /// `0.address` of the key `listen.0.address`, or all of listener 0.
    fn listener(
        &mut self,
        key: &str,
        rest: &str,
        node: &Node,
        origin: &dyn Fn(usize) -> Origin,
    ) -> Result<(), Error> {
        let at = origin(node.line);
        let (number, field) = rest.split_once('.').unwrap_or((rest, ""));
        let Ok(index) = number.parse::<usize>() else {
            let text = format!("{key}: `{}` is no number of a listener", shorten(number));
            return Err(Error::new(at, Some(key), text));
        };
        self.place(index, key, at.clone())?;
        if let ("", What::Map(entries)) = (field, &node.what) {
            for entry in entries {
                let line = if entry.line > 0 { entry.line } else { entry.value.line };
                let value = Node { line, what: entry.value.what.clone() };
                let rest = format!("{index}.{}", entry.key);
                self.listener(&format!("{LIST}.{rest}"), &rest, &value, origin)?;
            }
            return Ok(());
        }
        self.once(key, &at)?;
        let unknown = self.unknown(key);
        let listener = self.place(index, key, at.clone())?;
        if let Some(item) = Listener::items().iter().find(|item| item.key == field) {
            let mut origins = BTreeMap::new();
            set(item, listener, key, node, at, &mut origins)?;
            self.origins.append(&mut origins);
            return Ok(());
        }
        let inner = Listener::items().iter().find(|item| {
            let rest = field.strip_prefix(item.key).and_then(|rest| rest.strip_prefix('.'));
            item.kind == Kind::Options && rest.is_some()
        });
        let Some(item) = inner else {
            return Err(Error::new(at, Some(key), format!("{key} {unknown}")));
        };
        let mut origins = BTreeMap::new();
        pair(item, listener, &format!("{LIST}.{index}."), key, node, at, &mut origins)?;
        self.origins.append(&mut origins);
        Ok(())
    }

    /// Two values for one key in one file are a mistake, whatever they are.
    fn once(&mut self, key: &str, at: &Origin) -> Result<(), Error> {
        match self.seen.insert(key.to_owned(), at.clone()) {
            Some(before) if matches!(at, Origin::File(..)) => {
                let text = format!("{key} is there twice: first in {before}");
                Err(Error::new(at.clone(), Some(key), text))
            }
            _ => Ok(()),
        }
    }

    /// What to say of a key that there is not.
    fn unknown(&self, key: &str) -> String {
        match nearest::<S>(key) {
            Some(near) => format!("is no setting: do you mean {near}?"),
            None => "is no setting".to_owned(),
        }
    }
}

/// Sets an item, and notes where its value comes from.
fn set<S>(
    item: &Item<S>,
    settings: &mut S,
    key: &str,
    node: &Node,
    at: Origin,
    origins: &mut Origins,
) -> Result<(), Error> {
    let wrong = |must: String| {
        let text = format!("{key} is {}: {must}", node.show());
        Error::new(at.clone(), Some(key), text)
    };
    let datum = item.kind.read(node, item.none).map_err(wrong)?;
    if !(item.set)(settings, &datum) {
        return Err(wrong(item.kind.must(item.none)));
    }
    origins.insert(key.to_owned(), at);
    Ok(())
}

/// Sets one entry of an item that is a table, whose key is `prefix` and the item's.
fn pair<S>(
    item: &Item<S>,
    settings: &mut S,
    prefix: &str,
    key: &str,
    node: &Node,
    at: Origin,
    origins: &mut Origins,
) -> Result<(), Error> {
    let whole = format!("{prefix}{}", item.key);
    let name = key.strip_prefix(&whole).unwrap_or(key).trim_start_matches('.');
    let wrong = |must: String| {
        let text = format!("{key} is {}: {must}", node.show());
        Error::new(at.clone(), Some(key), text)
    };
    let What::Text(text) = &node.what else {
        return Err(wrong(item.kind.must(item.none)));
    };
    let Datum::Pairs(mut pairs) = (item.get)(settings) else {
        return Err(wrong(item.kind.must(item.none)));
    };
    pairs.insert(name.to_owned(), text.clone());
    crate::kind::options(&pairs).map_err(wrong)?;
    (item.set)(settings, &Datum::Pairs(pairs));
    origins.insert(whole, at);
    Ok(())
}

/// The key that this was probably meant to be.
pub(crate) fn nearest<S: Settings>(key: &str) -> Option<String> {
    let index = order(key).0.unwrap_or(0);
    let of_list = S::default().listeners().is_some();
    let listed = Listener::items().iter().filter(|_| of_list);
    let listed = listed.map(|item| format!("{LIST}.{index}.{}", item.key));
    let known = S::items().iter().map(|item| item.key.to_owned()).chain(listed);
    // Whoever forgets the section means the same key.
    let last = |text: &str| text.rsplit('.').next().unwrap_or_default().to_owned();
    let close = |known: &String| {
        let whole = distance(key, known);
        if last(key) == last(known) { whole.min(1) } else { whole }
    };
    let best = known.map(|known| (close(&known), known)).min()?;
    (best.0 <= 2.max(key.chars().count() / 3)).then_some(best.1)
}

/// How many letters have to be changed, added or taken away.
pub(crate) fn distance(one: &str, other: &str) -> usize {
    // What is longer than any key is near none.
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(100).enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        for (above, b) in row.iter_mut().skip(1).zip(&other) {
            let least = (*above).min(left) + 1;
            let value = least.min(corner + usize::from(a != *b));
            corner = *above;
            left = value;
            *above = value;
        }
        row[0] = i + 1;
    }
    row.last().copied().unwrap_or(0)
}
