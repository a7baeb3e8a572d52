//! What a handler is given.

use std::fmt;

use bytes::Bytes;
use outlast_core::Instant;
use outlast_core::wire::Route;

use super::key::Key;
use super::link::Link;
use super::table::{Common, Shell};
use crate::error::SendError;
use crate::handler::Peer;

/// What has come.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A one-way message.
    Message,
    /// A request: what the handler returns is the answer.
    Request,
    /// A best-effort message.
    Note,
}

/// The connection's task, where it is the one that runs the handler.
pub(crate) trait Outlet {
    /// Sends a one-way message without lock or queue.
    fn send(&mut self, route: Route, payload: &[u8]) -> Result<(), SendError>;

    /// The time as the session counts it.
    fn now(&self) -> Instant;
}

impl Outlet for Peer<'_> {
    fn send(&mut self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        Peer::send(self, route, payload).map(drop)
    }

    fn now(&self) -> Instant {
        self.now
    }
}

/// A message or request, and whom it is from: lent to inline handlers, hooks and extractors.
pub struct Context<'a> {
    pub(crate) link: &'a Link,
    pub(crate) common: &'a Common,
    pub(crate) outlet: Option<&'a mut dyn Outlet>,
    pub(crate) entry: u16,
    pub(crate) kind: Kind,
    pub(crate) route: Route,
    pub(crate) payload: &'a [u8],
    /// The payload once more, if nobody need copy it to have it.
    pub(crate) owned: Option<&'a Bytes>,
}

impl<'a> Context<'a> {
    /// Whom it is from.
    #[inline]
    #[must_use]
    pub const fn link(&self) -> &'a Link {
        self.link
    }

    /// What it asks for: the name, if that is how the route was registered.
    #[must_use]
    pub fn key(&self) -> Key<'a> {
        self.common.key(self.entry, self.route)
    }

    /// The route's number.
    #[inline]
    #[must_use]
    pub const fn route(&self) -> Route {
        self.route
    }

    /// Whether an answer is expected.
    #[inline]
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the peer sent.
    #[inline]
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload to keep: a copy, unless the handler runs in a task and it is kept already.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        self.owned.map_or_else(|| Bytes::copy_from_slice(self.payload), Bytes::clone)
    }

    /// The state of this type that [`Router::state`](super::Router::state) was given.
    #[must_use]
    pub fn state<S: Send + Sync + 'static>(&self) -> Option<&'a S> {
        self.common.states.get::<S>()
    }

    /// Sends a one-way message back, without waiting; without lock or queue where the handler runs
    /// in the connection's task.
    ///
    /// # Errors
    ///
    /// As [`Peer::send`](crate::Peer::send).
    pub fn send(&mut self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        match &mut self.outlet {
            Some(outlet) => outlet.send(route.into(), payload),
            None => self.link.try_send(route, payload),
        }
    }

    /// The time as the session counts it, where the connection's task is the one that asks.
    pub(crate) fn now(&self) -> Option<Instant> {
        self.outlet.as_ref().map(|outlet| outlet.now())
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("link", self.link)
            .field("key", &self.key())
            .field("kind", &self.kind)
            .field("payload", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// A message or request that a task handles. Clones share it.
#[derive(Clone)]
pub struct Call {
    pub(crate) link: Link,
    pub(crate) shell: std::sync::Arc<dyn Shell>,
    pub(crate) entry: u16,
    pub(crate) kind: Kind,
    pub(crate) route: Route,
    pub(crate) payload: Bytes,
}

impl Call {
    /// Whom it is from.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// What it asks for.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        self.shell.common().key(self.entry, self.route)
    }

    /// Whether an answer is expected.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// What the peer sent.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// As hooks and extractors see it.
    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            link: &self.link,
            common: self.shell.common(),
            outlet: None,
            entry: self.entry,
            kind: self.kind,
            route: self.route,
            payload: &self.payload,
            owned: Some(&self.payload),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.context().fmt(f)
    }
}
