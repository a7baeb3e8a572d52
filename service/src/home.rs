//! What all sessions of a server share: its groups, who reads of what happens, and its clock.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use outlast_core::admission::Turned;
use outlast_core::{CloseCode, Instant};

use crate::error::Closed;
use crate::events::Emitter;
use crate::groups::Groups;
use crate::handler::Cause;
use crate::overview::lock;
use crate::statistics::Ledger;
use crate::trace::Trace;
use crate::transport::Clock;

/// Something that happened on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerEvent {
    /// There is another session.
    Opened {
        /// Its number.
        id: u64,
        /// The other end's address, as far as the connection has one.
        remote: Option<SocketAddr>,
        /// Whom authentication found it to be with, if this is somebody in particular.
        principal: Option<u64>,
    },
    /// A session has a connection again.
    Resumed {
        /// Its number.
        id: u64,
        /// The other end's address now.
        remote: Option<SocketAddr>,
        /// Bytes that are sent again.
        resent: u64,
    },
    /// A session has lost its connection, and lives on.
    Detached {
        /// Its number.
        id: u64,
        /// Why, as far as it is known.
        code: CloseCode,
        /// What ended the connection.
        cause: Cause,
    },
    /// A session is over. Told once of each that was told to be there.
    Closed {
        /// Its number.
        id: u64,
        /// How it ended.
        closed: Closed,
    },
    /// A connection was turned away before a byte of it was read.
    Refused {
        /// Where it came from.
        remote: Option<SocketAddr>,
        /// Why.
        why: WhyRefused,
    },
    /// A connection came in, and its handshake led to no session.
    HandshakeFailed {
        /// Where it came from.
        remote: Option<SocketAddr>,
        /// What it was told.
        code: CloseCode,
    },
    /// Somebody was turned away because of this limit, for the first time since it last let
    /// somebody in.
    LimitReached(ServerLimit),
}

/// Why a connection was turned away before a byte of it was read.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhyRefused {
    /// The server had as many connections as it may have.
    Full,
    /// Its source had.
    SourceFull,
    /// Its source connects too often.
    SourceRate,
    /// All sources together do.
    TotalRate,
    /// Its source failed to authenticate too often.
    LockedOut,
    /// Its address may not connect.
    Denied,
}

impl WhyRefused {
    /// Its name, as in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::SourceFull => "source full",
            Self::SourceRate => "source too fast",
            Self::TotalRate => "all too fast",
            Self::LockedOut => "locked out",
            Self::Denied => "denied",
        }
    }

    /// The limit that stands behind it, if it is one.
    const fn limit(self) -> Option<ServerLimit> {
        match self {
            Self::Full => Some(ServerLimit::Connections),
            Self::SourceFull => Some(ServerLimit::ConnectionsOfSource),
            Self::SourceRate => Some(ServerLimit::RateOfSource),
            Self::TotalRate => Some(ServerLimit::Rate),
            Self::LockedOut | Self::Denied => None,
        }
    }
}

impl fmt::Display for WhyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Turned> for WhyRefused {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::Full | Turned::MakeRoom | Turned::TableFull => Self::Full,
            Turned::SourceFull => Self::SourceFull,
            Turned::SourceRate(_) => Self::SourceRate,
            Turned::TotalRate(_) => Self::TotalRate,
            Turned::LockedOut(_) => Self::LockedOut,
            Turned::Denied => Self::Denied,
        }
    }
}

/// What may turn somebody away.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerLimit {
    /// [`max_connections`](outlast_core::admission::GateConfig::max_connections).
    Connections,
    /// [`max_per_source`](outlast_core::admission::GateConfig::max_per_source).
    ConnectionsOfSource,
    /// [`source_rate`](outlast_core::admission::GateConfig::source_rate).
    RateOfSource,
    /// [`total_rate`](outlast_core::admission::GateConfig::total_rate).
    Rate,
    /// What [`RegistryConfig`](outlast_core::registry::RegistryConfig) allows.
    Sessions,
}

/// Which limits turn somebody away just now, so that each is told of once.
#[derive(Debug, Default)]
pub(crate) struct Reached(AtomicU8);

impl Reached {
    const fn bit(limit: ServerLimit) -> u8 {
        1 << limit as u8
    }

    /// The limit behind `why`, if it had not turned anybody away since it last let somebody in.
    pub(crate) fn refused(&self, why: WhyRefused) -> Option<ServerLimit> {
        why.limit().filter(|limit| self.reached(*limit))
    }

    /// Whether that is new.
    pub(crate) fn reached(&self, limit: ServerLimit) -> bool {
        self.0.fetch_or(Self::bit(limit), Ordering::Relaxed) & Self::bit(limit) == 0
    }

    /// Somebody was let in: a connection, or a session.
    pub(crate) fn let_in(&self, session: bool) {
        // Mostly nothing was reached, and nothing is to be written.
        if self.0.load(Ordering::Relaxed) != 0 {
            let sessions = Self::bit(ServerLimit::Sessions);
            self.0.fetch_and(if session { !sessions } else { sessions }, Ordering::Relaxed);
        }
    }
}

/// What all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) clock: Clock,
    pub(crate) groups: Groups,
    pub(crate) events: Emitter<ServerEvent>,
    pub(crate) ledger: Ledger,
    trace: Trace,
    reached: Reached,
    /// This end's address as a connection had it last; most have the same.
    local: Mutex<Option<Arc<SocketAddr>>>,
}

impl Home {
    pub(crate) fn new(clock: Clock, groups: Groups, ledger: Ledger) -> Self {
        let (events, trace, reached) = (Emitter::default(), Trace::default(), Reached::default());
        Self { clock, groups, events, ledger, trace, reached, local: Mutex::default() }
    }

    /// Tells whoever wants to know.
    pub(crate) fn happened(&self, event: impl FnOnce() -> ServerEvent) {
        if Trace::is_on() {
            let event = event();
            self.trace.server(self.clock.core(self.ledger.now()), &event);
            self.events.publish(|| event);
        } else {
            self.events.publish(event);
        }
    }

    /// A connection was turned away.
    pub(crate) fn refused(&self, remote: Option<SocketAddr>, turned: Turned) {
        let why = WhyRefused::from(turned);
        self.happened(|| ServerEvent::Refused { remote, why });
        if let Some(limit) = self.reached.refused(why) {
            self.happened(|| ServerEvent::LimitReached(limit));
        }
    }

    /// A client was told this instead of getting its session.
    pub(crate) fn handshake_failed(&self, remote: Option<SocketAddr>, code: CloseCode) {
        self.ledger.handshake_failed(code);
        self.happened(|| ServerEvent::HandshakeFailed { remote, code });
    }

    /// There is no room for another session.
    pub(crate) fn no_session(&self) {
        if self.reached.reached(ServerLimit::Sessions) {
            self.happened(|| ServerEvent::LimitReached(ServerLimit::Sessions));
        }
    }

    /// A connection, or a session, was let in.
    pub(crate) fn let_in(&self, session: bool) {
        self.reached.let_in(session);
        if !session {
            self.trace.begun(|| self.clock.core(self.ledger.now()));
        }
    }

    /// One value for all connections that have the same address at this end.
    pub(crate) fn intern(&self, local: Option<SocketAddr>) -> Option<Arc<SocketAddr>> {
        let local = local?;
        let mut last = lock(&self.local);
        match &mut *last {
            Some(same) if **same == local => Some(Arc::clone(same)),
            last => Some(Arc::clone(last.insert(Arc::new(local)))),
        }
    }
}

/// What a session of a server knows of its server.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) home: Arc<Home>,
    /// The session's number, whatever becomes of it.
    pub(crate) id: u64,
    /// This end's address on the first connection.
    pub(crate) local: Option<Arc<SocketAddr>>,
    pub(crate) opened_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_of_again_after_it_let_somebody_in() {
        let reached = Reached::default();
        assert_eq!(reached.refused(WhyRefused::Full), Some(ServerLimit::Connections));
        assert_eq!(reached.refused(WhyRefused::Full), None);
        assert_eq!(reached.refused(WhyRefused::Denied), None, "that is no limit");
        assert!(reached.reached(ServerLimit::Sessions));
        reached.let_in(false);
        assert_eq!(reached.refused(WhyRefused::Full), Some(ServerLimit::Connections));
        assert!(!reached.reached(ServerLimit::Sessions), "a connection is no session");
        reached.let_in(true);
        assert!(reached.reached(ServerLimit::Sessions));
        assert_eq!(reached.refused(WhyRefused::Full), None);
    }

    #[test]
    fn addresses_that_are_the_same_are_kept_once() {
        let home = Home::new(
            Clock::new(std::time::Instant::now()),
            Groups::default(),
            Ledger::new(std::time::Instant::now),
        );
        let [one, two] = ["192.0.2.1:7", "[::1]:7"].map(|name| name.parse().ok());
        let first = home.intern(one).unwrap();
        assert!(Arc::ptr_eq(&first, &home.intern(one).unwrap()));
        assert_eq!(home.intern(two).as_deref().copied(), two);
        assert_eq!((home.intern(one).as_deref().copied(), home.intern(None)), (one, None));
    }
}
