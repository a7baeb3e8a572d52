//! When two sessions behave alike: everything but what is only counted.
//!
//! An explorer of all behaviours needs this equality; counters would make every state a new one.

use core::hash::{Hash, Hasher};

use super::Session;
use crate::storage::Storage;

macro_rules! behaviour {
    ($session:expr => $($field:ident),*) => {{
        // Naming every field makes the compiler object to a forgotten one.
        let Session { stats: _, $($field),* } = $session;
        nested!($($field),*)
    }};
}

macro_rules! nested {
    ($last:ident) => { $last };
    ($first:ident, $($rest:ident),*) => { ($first, nested!($($rest),*)) };
}

macro_rules! all {
    ($session:expr) => {
        behaviour!($session => config, state, identity, peer, tx, rx, window, open_in, open_out,
            pending, mark, death_code, link, ring)
    };
}

impl<S: Storage> PartialEq for Session<S> {
    fn eq(&self, other: &Self) -> bool {
        all!(self) == all!(other)
    }
}

impl<S: Storage> Eq for Session<S> {}

impl<S: Storage> Hash for Session<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        all!(self).hash(state);
    }
}
