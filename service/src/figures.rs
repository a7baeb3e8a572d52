//! What a session shows of itself: counted by its owner anyway, and written down where the owner
//! takes the lock anyway, before it sleeps.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant as StdInstant};

use outlast_core::Instant;

use crate::directory::{Carries, Totals};
use crate::error::Closed;
use crate::handler::{Handler, Incoming};
use crate::home::{Home, Hosted, ServerEvent};
use crate::owner::Owner;
use crate::shared::{Facts, Inner, Shared};

/// What a session is doing.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionState {
    /// Its first connection was welcomed, and its handler has not been told yet.
    Opening,
    /// A connection carries it.
    Connected,
    /// It has no connection now.
    Detached,
    /// It is over.
    Closed,
}

impl SessionState {
    /// Its name, as in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Connected => "connected",
            Self::Detached => "detached",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for SessionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whom a session of a server is with, and what it has carried.
///
/// Counts, bytes and times are those of the moment in which the session's task last went to sleep,
/// or of a moment while it was busy: no message costs anything for them. They are over all its
/// connections, and stay zero where [statistics](crate::ServerConfig::statistics) are off. Times
/// are on the runtime's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session's number.
    pub id: u64,
    /// The other end's address, of the present connection or of the last one.
    pub remote: Option<SocketAddr>,
    /// This end's address on the first connection, if the listener said it.
    pub local: Option<SocketAddr>,
    /// Whom authentication found it to be with, if it asked and this is somebody in particular.
    pub principal: Option<u64>,
    /// Whether a connection carries it now.
    pub connected: bool,
    /// What it is doing.
    pub state: SessionState,
    /// When it began.
    pub opened_at: StdInstant,
    /// When its present connection was greeted; `None` while it has none.
    pub connected_at: Option<StdInstant>,
    /// When its connection last had anything to do, in either direction; signs of life of the other
    /// end are part of that.
    pub active_at: StdInstant,
    /// Messages, requests and responses received as a whole.
    pub messages_in: u64,
    /// Messages, requests and responses given to send, as far as the session's task has taken them.
    pub messages_out: u64,
    /// Bytes of them with their headers, each once however often it came.
    pub bytes_in: u64,
    /// The same, each once however often it was transmitted.
    pub bytes_out: u64,
    /// Connections that ended because the other end broke a rule or was silent.
    pub errors: u32,
    /// How often it was resumed.
    pub resumes: u32,
    /// Smoothed round trip, of the present connection or of the last one; zero before the first
    /// sample.
    pub rtt: Duration,
    /// Bytes that wait for room in the session: the peer has to take others first.
    pub queued: usize,
    /// Messages of handles and of groups that found no room and were refused or dropped.
    pub turned_down: u64,
    /// Bytes that the session keeps because the peer's application has not taken them yet.
    pub unacknowledged: usize,
    /// What the session's handler in an earlier process [saved](crate::Handler::save); shown to
    /// whoever makes the handler in this one, and to nobody else.
    pub saved: Option<Box<[u8]>>,
}

/// What the owner last wrote down.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Figures {
    bytes_in: u64,
    bytes_out: u64,
    messages_in: u64,
    messages_out: u64,
    connected_at: Option<Instant>,
    active_at: Option<Instant>,
    unacknowledged: u32,
    queued: u32,
    resumes: u32,
    errors: u32,
    replayed: u64,
}

/// What is of interest only to those who look: apart from what messages need.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The other end's address, as far as the connection has one, now or last.
    remote: Option<SocketAddr>,
    figures: Figures,
}

impl Shown {
    pub(crate) fn new(remote: Option<SocketAddr>) -> Self {
        Self { remote, figures: Figures::default() }
    }
}

impl Figures {
    /// The counter that has these low bits now: nothing is sent 2^32 times between two looks.
    const fn advance(count: u64, low: u32) -> u64 {
        count.wrapping_add(low.wrapping_sub(count as u32) as u64)
    }
}

impl<H: Handler> Owner<H> {
    /// There is a connection, for the first time or again.
    pub(crate) fn opened(&mut self, now: Instant, resent: Option<u64>) {
        self.opened_at = Some(now);
        self.introduced();
        self.publish(true, now);
        self.tell(now, resent.map_or(Incoming::Opened, |resent| Incoming::Resumed { resent }));
        self.shared.report(|hosted| {
            let (id, remote) = (hosted.id, self.shared.lock().remote());
            match resent {
                Some(resent) => ServerEvent::Resumed { id, remote, resent },
                None => ServerEvent::Opened { id, remote, principal: self.shared.principal() },
            }
        });
    }

    /// Lets handles know what they need to know.
    pub(crate) fn publish(&self, connected: bool, now: Instant) {
        let session = &self.session;
        let facts = Facts {
            sid: session.id().unwrap_or_default(),
            has_sid: session.id().is_some(),
            connected,
            max_body: session.max_body(),
            max_message: session.max_message(),
            max_requests: session.max_requests(),
            rtt_us: session.rtt_us(),
        };
        self.shared.publish(facts, |inner| inner.renew(self, Some(now)));
    }
}

impl<H> Owner<H> {
    /// Bytes that have no room in the session yet.
    pub(crate) fn queued(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.queues.len())
    }

    /// As [`Shared::sleep`], and writes down what is to be shown.
    pub(crate) fn sleep(&self, waker: &Waker, active_at: Option<Instant>) -> bool {
        self.shared.sleep_after(waker, |inner| {
            let rtt_us = self.session.rtt_us();
            if rtt_us > 0 {
                inner.facts.rtt_us = rtt_us;
            }
            inner.renew(self, active_at);
        })
    }

    /// Writes down what is to be shown, for those who have no time to sleep.
    pub(crate) fn show(&self, now: Instant) {
        self.shared.lock().renew(self, Some(now));
    }
}

impl Carries for Shared {
    fn carried(&self) -> Totals {
        let figures = self.lock().shown.figures;
        Totals {
            messages: [figures.messages_in, figures.messages_out],
            bytes: [figures.bytes_in, figures.bytes_out],
            resumes: figures.resumes.into(),
            replayed: figures.replayed,
        }
    }
}

impl Shared {
    /// It is a session of a server.
    pub(crate) fn of_server(mut self, hosted: Hosted) -> Self {
        self.hosted = Some(hosted);
        self
    }

    /// What it knows of its server, if one has it.
    pub(crate) const fn hosted(&self) -> Option<&Hosted> {
        self.hosted.as_ref()
    }

    /// What this session shows of itself, if a server has it.
    pub(crate) fn info(&self) -> Option<SessionInfo> {
        let Hosted { home, id, local, opened_at } = self.hosted()?;
        let inner = self.lock();
        let (facts, shown) = (inner.facts, &*inner.shown);
        let figures = shown.figures;
        let state = match (inner.closed(), facts.id()) {
            (Some(_), _) => SessionState::Closed,
            (None, None) => SessionState::Opening,
            (None, Some(_)) if facts.connected => SessionState::Connected,
            (None, Some(_)) => SessionState::Detached,
        };
        let connected_at = figures.connected_at.filter(|_| facts.connected);
        Some(SessionInfo {
            id: *id,
            remote: shown.remote,
            local: local.as_deref().copied(),
            principal: self.principal(),
            connected: facts.connected,
            state,
            opened_at: home.clock.std(*opened_at),
            connected_at: connected_at.map(|at| home.clock.std(at)),
            active_at: home.clock.std(figures.active_at.unwrap_or(*opened_at)),
            messages_in: figures.messages_in,
            messages_out: figures.messages_out,
            bytes_in: figures.bytes_in,
            bytes_out: figures.bytes_out,
            errors: figures.errors,
            resumes: figures.resumes,
            rtt: Duration::from_micros(facts.rtt_us.into()),
            queued: inner.staged.len() + figures.queued as usize,
            turned_down: inner.turned_down,
            unacknowledged: figures.unacknowledged as usize,
            saved: None,
        })
    }

    /// Tells those who read of it what happened to this session, if a server has it.
    pub(crate) fn report(&self, event: impl FnOnce(&Hosted) -> ServerEvent) {
        if let Some(hosted) = self.hosted() {
            hosted.home.happened(|| event(hosted));
        }
    }

    /// The session is over: it leaves its groups, and those who read of it are told, once.
    pub(crate) fn depart(self: &Arc<Self>) {
        let Some(hosted) = self.hosted() else {
            return;
        };
        let Some(closed) = self.lock().departure() else {
            return;
        };
        hosted.home.groups.depart(hosted.member());
        hosted.home.ledger.session_ended(&closed);
        hosted.home.happened(|| ServerEvent::Closed { id: hosted.id, closed });
    }
}

impl Inner {
    /// The other end's address, as far as the connection has one, now or last.
    pub(crate) const fn remote(&self) -> Option<SocketAddr> {
        self.shown.remote
    }

    /// The connection is with this address from now on.
    pub(crate) const fn set_remote(&mut self, remote: Option<SocketAddr>) {
        self.shown.remote = remote;
    }

    /// Takes over what the owner counts.
    fn renew<H>(&mut self, owner: &Owner<H>, active_at: Option<Instant>) {
        let ledger = owner.shared.hosted().map(|hosted| &hosted.home.ledger);
        if ledger.is_some_and(|ledger| !ledger.is_on()) {
            return;
        }
        let (session, stats) = (&owner.session, owner.session.stats());
        let figures = &mut self.shown.figures;
        figures.bytes_in = session.received().get();
        figures.bytes_out = session.sent().get();
        figures.messages_in = Figures::advance(figures.messages_in, stats.messages_in);
        figures.messages_out = Figures::advance(figures.messages_out, stats.messages_out);
        figures.connected_at = owner.opened_at;
        figures.active_at = active_at.or(figures.active_at);
        figures.unacknowledged = session.unacknowledged() as u32;
        figures.queued = owner.queued() as u32;
        figures.resumes = stats.attaches.saturating_sub(1);
        figures.errors = stats.violations.wrapping_add(stats.silences);
        figures.replayed = Figures::advance(figures.replayed, stats.resent);
        // Once a second of a session that does something, so that none counts more than others.
        let second = figures.active_at.map_or(0, |at| (at.as_micros() >> 20) as u32 + 1);
        let rtt = session.rtt_us();
        if second != self.rtt_counted && rtt > 0 {
            self.rtt_counted = second;
            if let Some(ledger) = ledger {
                ledger.rtt.record(Duration::from_micros(rtt.into()));
            }
        }
    }

    /// How a session ended that is over, for those who have to be told: once.
    fn departure(&mut self) -> Option<Closed> {
        let closed = self.closed().filter(|_| !self.departed).cloned();
        self.departed |= closed.is_some();
        closed
    }
}

impl SessionInfo {
    /// A session that begins now.
    pub(crate) fn new(
        home: &Home,
        id: u64,
        addresses: [Option<SocketAddr>; 2],
        principal: Option<u64>,
        now: Instant,
    ) -> Self {
        let ([local, remote], now) = (addresses, home.clock.std(now));
        Self {
            id,
            remote,
            local,
            principal,
            connected: true,
            state: SessionState::Opening,
            opened_at: now,
            connected_at: Some(now),
            active_at: now,
            messages_in: 0,
            messages_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            errors: 0,
            resumes: 0,
            rtt: Duration::ZERO,
            queued: 0,
            turned_down: 0,
            unacknowledged: 0,
            saved: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_where_the_session_s_begin_again() {
        let mut count = 0;
        for low in [7, 7, u32::MAX, 0, 3] {
            count = Figures::advance(count, low);
        }
        assert_eq!(count, (1 << 32) + 3);
    }
}
