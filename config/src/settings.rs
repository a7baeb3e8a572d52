//! What settings of servers and of clients have in common.

use std::collections::BTreeMap;
use std::fmt;

use outlast_core::ConfigError;

use crate::assign::Assigning;
use crate::error::{Error, Origin};
use crate::item::Item;
use crate::kind::{Datum, Kind};
use crate::listener::Listener;
use crate::preset::Preset;
use crate::units::MILLISECOND;
use crate::value::Value;

/// The key of the list of listeners.
pub(crate) const LIST: &str = "listen";

/// Settings of a server or a client: [`ServerSettings`](crate::ServerSettings) and
/// [`ClientSettings`](crate::ClientSettings), and nothing else.
///
/// ```
/// use outlast_config::{ServerSettings, Settings, Value};
///
/// let settings = ServerSettings::default().with("session.idle_timeout", "3 s")?;
/// assert_eq!(settings.session.idle_timeout_ms, 3_000);
/// assert_eq!(settings.get("session.window"), Some(Value::from("1 MiB")));
/// assert_eq!(ServerSettings::from_map(&settings.to_map())?, settings);
///
/// let error = settings.with("session.window", 12_u64).unwrap_err();
/// assert_eq!(error.to_string(), "session.window is 12: it must be from 16387 to 1073741824");
/// # Ok::<(), outlast_config::Error>(())
/// ```
pub trait Settings: Clone + Default + PartialEq + fmt::Debug + Sized + 'static {
    /// Every item. For this crate alone.
    #[doc(hidden)]
    fn items() -> &'static [Item<Self>];

    /// The listeners, if these settings have any. For this crate alone.
    #[doc(hidden)]
    fn listeners(&self) -> Option<&[Listener]>;

    /// The same, to be changed. For this crate alone.
    #[doc(hidden)]
    fn listeners_mut(&mut self) -> Option<&mut Vec<Listener>>;

    /// Checks what single values do not say. For this crate alone.
    #[doc(hidden)]
    fn check(&self) -> Result<(), Fault>;

    /// The keys and values of a preset. For this crate alone.
    #[doc(hidden)]
    fn preset(preset: &Preset) -> &'static [(&'static str, &'static str, &'static str)];

    /// Checks every value, and every pair of values that must fit each other.
    ///
    /// # Errors
    ///
    /// The first that is wrong, with its key, its value and what it must be.
    fn validate(&self) -> Result<(), Error> {
        find_fault(self).map_or(Ok(()), |fault| {
            let text = format!("{} {}", fault.key, fault.text);
            Err(Error::new(Origin::Program, Some(&fault.key), text))
        })
    }

    /// The value of a key, such as `session.window` or `listen.0.address`; nothing if there is no
    /// such key.
    fn get(&self, key: &str) -> Option<Value> {
        let listed = key.strip_prefix(LIST).and_then(|rest| rest.strip_prefix('.'));
        if let Some((index, field)) = listed.and_then(|rest| rest.split_once('.')) {
            let listener = self.listeners()?.get(index.parse::<usize>().ok()?)?;
            return Listener::items().iter().find(|item| item.key == field)?.value(listener);
        }
        Self::items().iter().find(|item| item.key == key)?.value(self)
    }

    /// Every key with its value, those of listeners as `listen.0.address` and so on.
    fn to_map(&self) -> BTreeMap<String, Value> {
        let own = Self::items()
            .iter()
            .filter_map(|item| item.value(self).map(|value| (item.key.to_owned(), value)));
        let mut map: BTreeMap<String, Value> = own.collect();
        for (index, listener) in self.listeners().unwrap_or_default().iter().enumerate() {
            for item in Listener::items() {
                if let Some(value) = item.value(listener) {
                    map.insert(format!("{LIST}.{index}.{}", item.key), value);
                }
            }
        }
        map
    }

    /// Settings with these values, and the defaults for all others. Tables inside of tables mean
    /// the same as keys with dots.
    ///
    /// # Errors
    ///
    /// The first key that there is not, with the nearest that there is; the first value that is
    /// wrong, with what it must be.
    fn from_map(map: &BTreeMap<String, Value>) -> Result<Self, Error> {
        let mut settings = Self::default();
        let mut origins = BTreeMap::new();
        let mut assigning = Assigning::new(&mut settings, &mut origins);
        let mut sorted: Vec<_> = map.iter().collect();
        sorted.sort_by_key(|(key, _)| crate::assign::order(key));
        if sorted.iter().any(|(key, _)| crate::assign::order(key).0.is_some()) {
            assigning.clear_list();
        }
        for (key, value) in sorted {
            assigning.assign(key, &value.to_node(), &|_| Origin::Program)?;
        }
        settings.validate()?;
        Ok(settings)
    }

    /// A copy with another value for one key.
    ///
    /// # Errors
    ///
    /// As [`from_map`](Self::from_map), also if it does not fit the other values.
    fn with(&self, key: &str, value: impl Into<Value>) -> Result<Self, Error> {
        let mut copy = self.clone();
        let mut origins = BTreeMap::new();
        let mut assigning = Assigning::new(&mut copy, &mut origins);
        assigning.assign(key, &value.into().to_node(), &|_| Origin::Program)?;
        copy.validate()?;
        Ok(copy)
    }
}

impl<S> Item<S> {
    /// What it is, unless it is a table without entries.
    pub(crate) fn value(&self, settings: &S) -> Option<Value> {
        let datum = (self.get)(settings);
        let empty = matches!(&datum, Datum::Pairs(pairs) if pairs.is_empty());
        (!empty).then(|| self.kind.show(&datum, self.none))
    }
}

/// A key and what is wrong with its value.
#[derive(Debug)]
pub struct Fault {
    pub(crate) key: String,
    /// What follows the key in a sentence.
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into() }
    }

    /// A fault that was found by what the values are for, in the words of this crate.
    pub(crate) fn of<S: Settings>(section: &str, error: &ConfigError) -> Self {
        let inner = error.key().replace("batch.", "batch_");
        let inner = inner.strip_prefix(section).and_then(|rest| rest.strip_prefix('.'));
        let inner = inner.map_or_else(|| error.key().replace("batch.", "batch_"), str::to_owned);
        let (name, scale) = match (inner.strip_suffix("_ms"), inner.strip_suffix("_s")) {
            (Some(name), _) => (name, MILLISECOND),
            (None, Some(name)) => (name, 1_000 * MILLISECOND),
            (None, None) => (inner.as_str(), 1_000),
        };
        let key = format!("{section}.{name}");
        let item = S::items().iter().find(|item| item.key == key);
        let kind = item.map_or(Kind::Flag, |item| item.kind);
        let scale = if matches!(kind, Kind::Time(..)) { scale } else { 1 };
        let none = item.and_then(|item| item.none);
        let show = |number: u64| match none {
            Some(word) if number == u64::MAX => word.to_owned(),
            _ => kind.show_number(number.saturating_mul(scale)),
        };
        let (min, max) = error.range();
        let value = show(error.value());
        Self::new(key, format!("is {value}: it must be from {} to {}", show(min), show(max)))
    }
}

/// The first thing that is wrong.
pub(crate) fn find_fault<S: Settings>(settings: &S) -> Option<Fault> {
    if let Err(fault) = settings.check() {
        return Some(fault);
    }
    if let Some(fault) = S::items().iter().find_map(|item| out_of_range(item, settings)) {
        return Some(fault);
    }
    let listeners = settings.listeners().unwrap_or_default().iter().enumerate();
    listeners
        .filter_map(|(index, listener)| {
            let ranges = Listener::items().iter().find_map(|item| out_of_range(item, listener));
            let mut fault = listener.check().err().or(ranges)?;
            fault.key = format!("{LIST}.{index}.{}", fault.key);
            Some(fault)
        })
        .next()
}

fn out_of_range<S>(item: &Item<S>, settings: &S) -> Option<Fault> {
    let datum = (item.get)(settings);
    if item.kind.permits(&datum) && (datum != Datum::None || item.none.is_some()) {
        return None;
    }
    let value = match datum {
        Datum::Number(number) => item.kind.show_number(number),
        _ => item.kind.show(&datum, item.none).to_string(),
    };
    Some(Fault::new(item.key, format!("is {value}: {}", item.kind.must(item.none))))
}
