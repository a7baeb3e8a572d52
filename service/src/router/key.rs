//! What a route is called: by number, or by name.

use std::fmt;
use std::sync::Arc;

use outlast_core::wire::Route;

/// Numbers from here on stand for names.
pub(crate) const NAMES: u32 = 0x8000_0000;

/// What a message or a request asks for.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Key<'a> {
    /// A number.
    Id(u32),
    /// A name.
    Name(&'a str),
}

/// A [`Key`] of one's own: what routes are registered under, and an extractor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RouteKey {
    /// A number, below `0x8000_0000`.
    Id(u32),
    /// A name.
    Name(Arc<str>),
}

/// The number that stands for a name where only numbers are carried: bit 31 and, in the bits below
/// it, those of the name's FNV-1a hash (32 bits; offset basis `0x811C_9DC5`, prime `0x0100_0193`).
///
/// Peers without a router compute it so, at compile time if they like. Two names of one router that
/// share a number are an [error](super::BuildError) when it is built.
///
/// ```
/// use outlast_service::core::wire::Route;
/// use outlast_service::router::named;
///
/// const SEND: Route = named("chat/send");
/// assert_eq!(SEND.get(), 0xF6F0_BC12);
/// ```
#[must_use]
pub const fn named(name: &str) -> Route {
    let bytes = name.as_bytes();
    let mut hash = 0x811C_9DC5_u32;
    let mut at = 0;
    while at < bytes.len() {
        hash = (hash ^ bytes[at] as u32).wrapping_mul(0x0100_0193);
        at += 1;
    }
    Route::new(NAMES | hash)
}

impl RouteKey {
    /// The number on the wire of this project's own protocol.
    #[must_use]
    pub fn route(&self) -> Route {
        match self {
            Self::Id(id) => Route::new(*id),
            Self::Name(name) => named(name),
        }
    }

    /// As a borrowed key.
    #[must_use]
    pub fn as_key(&self) -> Key<'_> {
        match self {
            Self::Id(id) => Key::Id(*id),
            Self::Name(name) => Key::Name(name),
        }
    }
}

impl From<Key<'_>> for RouteKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Id(id) => Self::Id(id),
            Key::Name(name) => Self::Name(name.into()),
        }
    }
}

impl From<u8> for RouteKey {
    fn from(id: u8) -> Self {
        Self::Id(id.into())
    }
}

impl From<u16> for RouteKey {
    fn from(id: u16) -> Self {
        Self::Id(id.into())
    }
}

impl From<u32> for RouteKey {
    fn from(id: u32) -> Self {
        Self::Id(id)
    }
}

impl From<Route> for RouteKey {
    fn from(route: Route) -> Self {
        Self::Id(route.get())
    }
}

impl From<&str> for RouteKey {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<String> for RouteKey {
    fn from(name: String) -> Self {
        Self::Name(name.into())
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_key().fmt(f)
    }
}
