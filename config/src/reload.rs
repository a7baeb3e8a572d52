//! Settings that are read again while they are in use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::assign::{Assigning, order};
use crate::error::{Error, Origin};
use crate::item::When;
use crate::kind::Kind;
use crate::layers::{Effective, Sources};
use crate::listener::Listener;
use crate::settings::{LIST, Settings};
use crate::value::Value;

/// Reads settings again, and says what of them can change now.
///
/// Everything is read and checked before anything is changed; what is wrong changes nothing.
#[derive(Debug)]
pub struct Reloader<S> {
    sources: Sources,
    base: S,
    current: Effective<S>,
}

/// What reading the settings again has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys whose new values are in effect.
    pub at_once: Vec<String>,
    /// Keys whose values take effect when the program is started again. They are named each time,
    /// until it is.
    pub restart: Vec<String>,
    /// What is probably a mistake, see [`Effective::warnings`].
    pub warnings: Vec<String>,
}

impl<S: Settings> Reloader<S> {
    /// Reads the settings for the first time, over the defaults of a program.
    ///
    /// # Errors
    ///
    /// As [`Sources::load`].
    pub fn new(sources: Sources, base: S) -> Result<Self, Error> {
        let current = sources.load_over(&base)?;
        Ok(Self { sources, base, current })
    }

    /// The file that is read, if there is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.sources.path()
    }

    /// What holds now.
    #[must_use]
    pub const fn current(&self) -> &Effective<S> {
        &self.current
    }

    /// Reads everything again and gives `apply` the settings that hold from now on: those of
    /// before, with other values for the keys that can change in a program that runs.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, or what `apply` says. Everything is then as it was.
    pub fn reload(
        &mut self,
        apply: impl FnOnce(&S) -> Result<(), String>,
    ) -> Result<Reloaded, Error> {
        let next = self.sources.load_over(&self.base)?;
        let (old, new) = (self.current.settings.to_map(), next.settings.to_map());
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key)).cloned();
        let same_listeners = self.current.settings.listeners().map(<[_]>::len)
            == next.settings.listeners().map(<[_]>::len);
        let (at_once, restart): (Vec<String>, Vec<String>) = changed.partition(|key| {
            takes_effect::<S>(key, &old, &new) == When::AtOnce
                && (same_listeners || order(key).0.is_none())
        });
        let mut settings = self.current.settings.clone();
        let mut ignored = BTreeMap::new();
        let mut layer = Assigning::new(&mut settings, &mut ignored);
        for key in &at_once {
            if let Some(value) = new.get(key) {
                layer.assign(key, &value.to_node(), &|_| next.origin(key))?;
            }
        }
        settings.validate()?;
        apply(&settings).map_err(|why| Error::new(Origin::Program, None, why))?;
        for key in &at_once {
            match next.origins.get(key) {
                Some(origin) => self.current.origins.insert(key.clone(), origin.clone()),
                None => self.current.origins.remove(key),
            };
        }
        self.current.settings = settings;
        Ok(Reloaded { at_once, restart, warnings: next.warnings })
    }
}

/// When another value of this key takes effect.
fn takes_effect<S: Settings>(
    key: &str,
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> When {
    let field = key.strip_prefix(LIST).and_then(|rest| rest.splitn(3, '.').nth(2));
    let own = S::items().iter().find(|item| item.key == key);
    let own = own.map(|item| (item.when, item.kind, item.none));
    let listed = Listener::items().iter().find(|item| Some(item.key) == field);
    let listed = listed.map(|item| (item.when, item.kind, item.none));
    let Some((when, kind, none)) = own.or(listed) else {
        return When::Restart;
    };
    // A file can be another one; to begin or to end with TLS or tokens is another server.
    let none = none.filter(|_| kind == Kind::Path).map(Value::from);
    let is_none = |value: Option<&Value>| none.is_some() && value == none.as_ref();
    if is_none(old.get(key)) || is_none(new.get(key)) { When::Restart } else { when }
}
