//! What a server tells apart from everything else: who was kept out, and who broke rules.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use outlast_core::admission::{Meter, Rate, Turned};
use outlast_core::{CloseCode, Instant, Scope};

use crate::drive::Driven;
use crate::greet::{Refusal, refusal};
use crate::overview::lock;
use crate::server::Inner;
use crate::transport::Runtime;

/// What happened.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecurityKind {
    /// Credentials were wrong, or missing where they are asked for.
    AuthenticationFailed,
    /// Somebody came for a session and could not prove that it is theirs, or it is somebody else's.
    /// Honest clients whose server was started again come for sessions that are gone; that looks
    /// the same (`NO_SESSION`), here as to them.
    ClaimRefused,
    /// An address that may not connect.
    AddressDenied,
    /// A source that failed to authenticate too often, and is locked out.
    LockedOut,
    /// A source that connects too often, or has all the connections it may have.
    Flood,
    /// Bytes that are none of the protocol or of the format, or a rule that was broken.
    Violation,
    /// A handshake that was not over in time.
    SlowHandshake,
    /// The handshake of a layer such as TLS failed.
    TransportFailed,
}

impl SecurityKind {
    const COUNT: usize = 8;

    /// Its name, as in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AuthenticationFailed => "authentication-failed",
            Self::ClaimRefused => "claim-refused",
            Self::AddressDenied => "address-denied",
            Self::LockedOut => "locked-out",
            Self::Flood => "flood",
            Self::Violation => "violation",
            Self::SlowHandshake => "slow-handshake",
            Self::TransportFailed => "transport-failed",
        }
    }

    /// What it is that a connection is turned away; full houses are nobody's fault.
    pub(crate) const fn of_turned(turned: Turned) -> Option<Self> {
        match turned {
            Turned::Denied => Some(Self::AddressDenied),
            Turned::LockedOut(_) => Some(Self::LockedOut),
            Turned::SourceRate(_) | Turned::SourceFull => Some(Self::Flood),
            Turned::Full | Turned::MakeRoom | Turned::TableFull | Turned::TotalRate(_) => None,
        }
    }

    /// What it is that a connection ends here with this code, as far as it is anything.
    pub(crate) const fn of_code(code: CloseCode) -> Option<Self> {
        match code {
            CloseCode::AUTH_FAILED | CloseCode::AUTH_REQUIRED | CloseCode::FORBIDDEN => {
                Some(Self::AuthenticationFailed)
            }
            CloseCode::NO_SESSION | CloseCode::BAD_TOKEN | CloseCode::IDENTITY_MISMATCH => {
                Some(Self::ClaimRefused)
            }
            CloseCode::HS_TIMEOUT => Some(Self::SlowHandshake),
            // What is over, or too old, happens to honest clients.
            CloseCode::EXPIRED
            | CloseCode::EVICTED
            | CloseCode::STALE_ATTACH
            | CloseCode::PEER_STATE_LOST
            | CloseCode::SELF_STATE_LOST
            | CloseCode::VERSION
            | CloseCode::CAPABILITY => None,
            CloseCode::CALM => Some(Self::Violation),
            code => match code.scope() {
                Scope::Connection | Scope::Handshake | Scope::Session => Some(Self::Violation),
                Scope::Normal | Scope::Application | Scope::Reserved => None,
            },
        }
    }
}

impl fmt::Display for SecurityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One line of a [`SecurityLog`]. It holds nothing that is secret, and nothing that the peer chose
/// but its address.
#[derive(Debug)]
#[non_exhaustive]
pub struct SecurityEvent<'a> {
    /// What happened.
    pub kind: SecurityKind,
    /// Whom it is about.
    pub remote: Option<SocketAddr>,
    /// Who that is, if authentication had found it out before.
    pub principal: Option<u64>,
    /// The session that it happened in.
    pub session: Option<u64>,
    /// The code that the peer was told, or would have been.
    pub code: Option<CloseCode>,
    /// What the transport said, where that failed.
    pub error: Option<&'a io::Error>,
    /// So many of this kind went before it and were left out, because there were too many.
    pub suppressed: u64,
}

impl<'a> SecurityEvent<'a> {
    pub(crate) const fn new(kind: SecurityKind, remote: Option<SocketAddr>) -> Self {
        Self {
            kind,
            remote,
            principal: None,
            session: None,
            code: None,
            error: None,
            suppressed: 0,
        }
    }

    pub(crate) const fn with_code(mut self, code: CloseCode) -> Self {
        self.code = Some(code);
        self
    }

    pub(crate) const fn with_error(mut self, error: &'a io::Error) -> Self {
        self.error = Some(error);
        self
    }
}

/// One line, as `authentication-failed from 192.0.2.1:4711: AUTH_FAILED`.
impl fmt::Display for SecurityEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(remote) = self.remote {
            write!(f, " from {remote}")?;
        }
        if let Some(principal) = self.principal {
            write!(f, " as {principal}")?;
        }
        if let Some(code) = self.code {
            write!(f, ": {}", code.name())?;
        }
        if let Some(error) = self.error {
            write!(f, ": {error}")?;
        }
        if self.suppressed > 0 {
            write!(f, " ({} more before it)", self.suppressed)?;
        }
        Ok(())
    }
}

/// Where a server tells of what concerns its security: a function, called at most so often.
///
/// Each kind of event has its own rate, so that many of one kind do not hide another. What is left
/// out is counted in the next event of its kind ([`SecurityEvent::suppressed`]), and for good in
/// [`ServerStats`](crate::ServerStats). The function is called in tasks of the server and must not
/// block; nothing is queued. Clones are the same log.
#[derive(Clone)]
pub struct SecurityLog {
    tell: Arc<dyn Fn(&SecurityEvent<'_>) + Send + Sync>,
    rate: Rate,
    meters: Arc<Mutex<[(Meter, u64); SecurityKind::COUNT]>>,
}

impl fmt::Debug for SecurityLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityLog").field("rate", &self.rate).finish_non_exhaustive()
    }
}

impl SecurityLog {
    /// Tells `tell`, of each kind 10 events a second and 100 at once.
    #[must_use]
    pub fn new(tell: impl Fn(&SecurityEvent<'_>) + Send + Sync + 'static) -> Self {
        let meters = Arc::new(Mutex::new([const { (Meter::NEW, 0) }; SecurityKind::COUNT]));
        Self { tell: Arc::new(tell), rate: Rate::per_second(10, 100), meters }
    }

    /// Sets how many events of each kind are told.
    #[must_use]
    pub const fn rate(mut self, rate: Rate) -> Self {
        self.rate = rate;
        self
    }

    /// Tells of `event`, unless there were too many of its kind.
    pub(crate) fn record(&self, now: Instant, mut event: SecurityEvent<'_>) {
        {
            let mut meters = lock(&self.meters);
            let Some((meter, suppressed)) = meters.get_mut(event.kind as usize) else {
                return;
            };
            if meter.take(now, &self.rate).is_err() {
                *suppressed += 1;
                return;
            }
            event.suppressed = std::mem::take(suppressed);
        }
        (self.tell)(&event);
    }
}

/// Whether it was refused for what it could not show.
pub(crate) fn is_denial(code: CloseCode) -> bool {
    // NO_SESSION is not among them: after a restart every honest client comes with a session that
    // is gone. Whoever guesses at keys is slowed down by the limit on new connections.
    [CloseCode::AUTH_FAILED, CloseCode::BAD_TOKEN, CloseCode::IDENTITY_MISMATCH].contains(&code)
}

impl<R: Runtime, H> Inner<R, H> {
    fn suspect(&self, event: SecurityEvent<'_>) {
        if let Some(log) = &self.security {
            log.record(self.clock.core(self.runtime.now()), event);
        }
    }

    /// A connection is turned away before a byte of it was read; whether it may be told so.
    pub(crate) fn turn_away(&self, remote: Option<SocketAddr>, turned: Turned) -> bool {
        if let Some(kind) = SecurityKind::of_turned(turned) {
            self.suspect(SecurityEvent::new(kind, remote));
        }
        self.common.turn_away(remote, turned)
    }

    /// The connection of a session is over: whether it was ended for what its peer did.
    pub(crate) fn suspect_driven(&self, driven: &Driven<H>) {
        if !driven.ending.by_peer {
            let (shared, id) = (&driven.owner.shared, driven.owner.session.id());
            let remote = shared.lock().remote();
            self.suspect_session(remote, shared.principal(), id, driven.ending.code);
        }
    }

    /// A handshake failed with this code, or because its transport did: what its client is told.
    pub(crate) fn suspect_handshake(
        &self,
        remote: Option<SocketAddr>,
        (code, error): (CloseCode, Option<io::Error>),
    ) -> Refusal {
        if let Some(error) = &error {
            let event = SecurityEvent::new(SecurityKind::TransportFailed, remote);
            self.suspect(event.with_error(error));
        } else if let Some(kind) = SecurityKind::of_code(code) {
            self.suspect(SecurityEvent::new(kind, remote).with_code(code));
        }
        refusal(code)
    }

    /// A session, or somebody who came for one, was refused or broke a rule.
    pub(crate) fn suspect_session(
        &self,
        remote: Option<SocketAddr>,
        principal: Option<u64>,
        session: Option<u64>,
        code: CloseCode,
    ) {
        if let Some(kind) = SecurityKind::of_code(code) {
            let event = SecurityEvent::new(kind, remote).with_code(code);
            self.suspect(SecurityEvent { principal, session, ..event });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_of_the_protocol_is_an_event_or_not() {
        let count = |kind| {
            let kinds = CloseCode::ALL.iter().map(|code| SecurityKind::of_code(*code));
            kinds.filter(|found| *found == kind).count()
        };
        assert_eq!(count(Some(SecurityKind::AuthenticationFailed)), 3);
        assert_eq!(count(Some(SecurityKind::ClaimRefused)), 3);
        assert_eq!(count(Some(SecurityKind::SlowHandshake)), 1);
        // Frames, credit, states, options, positions; not what happens to the honest.
        assert_eq!(count(Some(SecurityKind::Violation)), 16);
        for honest in [CloseCode::OK, CloseCode::IDLE, CloseCode::GOING_AWAY, CloseCode::EXPIRED] {
            assert_eq!(SecurityKind::of_code(honest), None, "{honest}");
        }
        assert_eq!(SecurityKind::of_code(CloseCode::new(0x8001)), None);
    }

    #[test]
    fn many_of_one_kind_are_counted_and_hide_no_other() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&told);
        let log = SecurityLog::new(move |event| {
            lock(&noted).push((event.kind, event.suppressed));
        });
        let log = log.rate(Rate::per_second(1, 2));
        let at = |ms: u64| Instant::from_micros(1 + ms * 1000);
        let record = |ms, kind| log.record(at(ms), SecurityEvent::new(kind, None));
        for _ in 0..10 {
            record(0, SecurityKind::Flood);
        }
        record(0, SecurityKind::LockedOut);
        record(1_000, SecurityKind::Flood);
        record(2_000, SecurityKind::Flood);
        let (flood, other) = (SecurityKind::Flood, SecurityKind::LockedOut);
        assert_eq!(*lock(&told), [(flood, 0), (flood, 0), (other, 0), (flood, 8), (flood, 0)]);
    }

    #[test]
    fn an_event_is_one_line() {
        let remote = "192.0.2.1:4711".parse().ok();
        let error = io::Error::other("TLS: the peer does not speak TLS");
        let mut event =
            SecurityEvent::new(SecurityKind::TransportFailed, remote).with_error(&error);
        event.suppressed = 7;
        let expected = "transport-failed from 192.0.2.1:4711: TLS: the peer does not speak TLS (7 \
             more before it)";
        assert_eq!(event.to_string(), expected);
        let mut event = SecurityEvent::new(SecurityKind::ClaimRefused, remote);
        event = event.with_code(CloseCode::IDENTITY_MISMATCH);
        event.principal = Some(41);
        assert_eq!(event.to_string(), "claim-refused from 192.0.2.1:4711 as 41: IDENTITY_MISMATCH");
    }
}
