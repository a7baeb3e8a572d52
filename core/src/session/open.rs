//! A server's new session: what is settled with its client, and the session that is made of it.
//!
//! In this order, and in two functions, so that a session does not lie on the stack below the
//! writing of its WELCOME: it is made where the caller wants it, as the last thing of all.

use super::{Identity, PeerLimits, Pending, Role, Session};
use crate::code::CloseCode;
use crate::config::{Config, bitmaps_len};
use crate::link::Link;
use crate::ring::Ring;
use crate::state::{LinkEvent, LinkState, SessionEvent, SessionState};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{
    Grant, HEADER_LEN, Hello, MAX_BODY, MIN_MAX_BODY, Resumed, Terms, VERSION, Welcome,
};

/// A session and the bytes of the WELCOME that opens it.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The session, attached.
    pub session: Session<S>,
    /// Length of the WELCOME written into the caller's buffer.
    pub written: usize,
}

impl<S: Storage> Session<S> {
    /// A server's new session for a client whose HELLO was admitted. The WELCOME is written to
    /// `out`, which should have [`HANDSHAKE_MAX`](crate::HANDSHAKE_MAX) bytes, and must be
    /// transmitted before anything else.
    ///
    /// # Errors
    ///
    /// [`CloseCode::LIMITS`] if the two ends' limits do not fit each other or `out` is too small.
    //= HND-14
    pub fn server(
        now: Instant,
        config: Config,
        hello: &Hello<'_>,
        grant: Grant,
        seed: u32,
        storage: S,
        out: &mut [u8],
    ) -> Result<Accepted<S>, CloseCode> {
        config.validate().map_err(|_| CloseCode::LIMITS)?;
        let mut ring = Ring::new(storage, config.send_limit());
        let mut opening = Opening::new(now, &config, hello, seed);
        opening.settle(&config, hello, &grant, &mut ring, out)?;
        Ok(Accepted { session: opening.session(&config, &grant, ring), written: opening.written })
    }
}

impl<S: Storage + ?Sized> Session<S> {
    /// Forgets the session and is a server's new one in the same memory, as after
    /// [`server`](Session::server): for memory that is not to be had twice. The length of WELCOME
    /// in `out` is returned.
    ///
    /// # Errors
    ///
    /// As [`server`](Session::server); this session is a new one without a connection then.
    //= HND-14
    pub fn renew_server(
        &mut self,
        now: Instant,
        config: Config,
        hello: &Hello<'_>,
        grant: Grant,
        seed: u32,
        out: &mut [u8],
    ) -> Result<usize, CloseCode> {
        config.validate().map_err(|_| CloseCode::LIMITS)?;
        self.begin_anew(&config, Role::Server);
        let mut opening = Opening::new(now.max(self.link.now), &config, hello, seed);
        match opening.settle(&config, hello, &grant, &mut self.ring, out) {
            Ok(()) => {
                self.open(&opening, &grant);
                Ok(opening.written)
            }
            Err(code) => {
                self.begin_anew(&config, Role::Server);
                Err(code)
            }
        }
    }

    /// A server's new session has introduced itself. Only fields are written here, and nothing is
    /// called that would have to be given the session: then it need not be in memory yet.
    //= STM-1
    #[inline(always)]
    fn open(&mut self, opening: &Opening, grant: &Grant) {
        debug_assert!(
            LinkState::Wait.next(LinkEvent::Greeted) == Some(LinkState::Open)
                && self.state.next(SessionEvent::Attach) == Some(SessionState::Attached),
            "what the tables say"
        );
        self.name(grant.sid, grant.epoch, grant.key_id, &grant.key);
        self.peer = opening.peer;
        self.tx.grant(opening.window);
        self.grant_window();
        let Opening { now, seed, limit_ms, promise_ms, .. } = *opening;
        self.link = Link::greeted(now, seed, limit_ms, promise_ms);
        self.state = SessionState::Attached;
        self.stats.attaches = 1;
        self.pending.add(Pending::ATTACHED);
    }
}

/// What is settled before there is a session.
struct Opening {
    peer: PeerLimits,
    /// How far the client lets this end send.
    window: u32,
    now: Instant,
    seed: u32,
    /// How much silence of the client this end bears, and the client of this end.
    limit_ms: u32,
    promise_ms: u32,
    /// Length of WELCOME.
    written: usize,
}

impl Opening {
    /// What is known before anything is settled.
    #[inline]
    fn new(now: Instant, config: &Config, hello: &Hello<'_>, seed: u32) -> Self {
        Self {
            peer: PeerLimits::asked(config),
            window: hello.terms.window,
            now,
            seed,
            limit_ms: silence_limit(config.idle_timeout_ms, hello),
            promise_ms: hello.terms.idle_ms,
            written: 0,
        }
    }

    /// Settles what the session is to be, prepares its ring and writes its WELCOME.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn settle<S: Storage + ?Sized>(
        &mut self,
        config: &Config,
        hello: &Hello<'_>,
        grant: &Grant,
        ring: &mut Ring<S>,
        out: &mut [u8],
    ) -> Result<(), CloseCode> {
        check_beat(hello)?;
        self.peer.settle(&hello.terms, config.max_requests, ring)?;
        self.peer.retention_s = config.retention_s.min(hello.terms.ttl_s);
        let terms = Terms {
            max_body: config.max_body,
            max_requests: config.max_requests,
            idle_ms: self.limit_ms,
            heartbeat_ms: self.promise_ms,
            window: config.window,
            max_msg: config.max_message,
            ttl_s: self.peer.retention_s,
            send_buffer: ring.limit(),
        };
        self.written = write_welcome(&terms, Some(grant), None, out)?;
        Ok(())
    }

    /// Makes the session. Its length apart, nothing here needs any stack.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn session<S: Storage>(&self, config: &Config, grant: &Grant, ring: Ring<S>) -> Session<S> {
        let nobody = Identity::nobody(Role::Server);
        let mut session = Session::around(config, nobody, SessionState::New, 1, ring);
        session.open(self, grant);
        session
    }
}

impl PeerLimits {
    /// What is asked for, until the peer said what it grants.
    #[inline]
    pub(super) const fn asked(config: &Config) -> Self {
        Self {
            max_body: 0,
            max_requests: config.max_requests_out,
            max_message: 0,
            send_buffer: 0,
            retention_s: config.retention_s,
        }
    }

    /// Fixes the limits from what the peer declared; `max_requests` is how many of its requests may
    /// be open.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn settle<S: Storage + ?Sized>(
        &mut self,
        terms: &Terms,
        max_requests: u16,
        ring: &mut Ring<S>,
    ) -> Result<(), CloseCode> {
        if !terms.is_legal() {
            return Err(CloseCode::LIMITS);
        }
        let ours = terms.max_requests.min(self.max_requests);
        ring.reserve_bits(bitmaps_len(max_requests, ours));
        let fits = (ring.limit().min(terms.window) as usize).saturating_sub(HEADER_LEN);
        let fits = u16::try_from(fits).unwrap_or(MAX_BODY);
        if fits < MIN_MAX_BODY {
            return Err(CloseCode::LIMITS);
        }
        //= HND-20
        self.max_body = terms.max_body.min(fits);
        self.max_requests = ours;
        self.max_message = terms.max_msg;
        self.send_buffer = terms.send_buffer;
        Ok(())
    }
}

/// Writes WELCOME, in steps and from where everything lies.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(super) fn write_welcome(
    terms: &Terms,
    session: Option<&Grant>,
    resumed: Option<&Resumed>,
    out: &mut [u8],
) -> Result<usize, CloseCode> {
    let writer = Welcome::begin(VERSION, true, resumed.is_some(), terms, out);
    let mut writer = writer.ok_or(CloseCode::LIMITS)?;
    if let Some(session) = session {
        session.encode(&mut writer);
    }
    if let Some(resumed) = resumed {
        resumed.encode(&mut writer);
    }
    Welcome::complete(writer).ok_or(CloseCode::LIMITS)
}

/// How much silence a server bears: a slow device is never asked for more than it can do.
//= HND-12
pub(super) fn silence_limit(idle_timeout_ms: u32, hello: &Hello<'_>) -> u32 {
    match idle_timeout_ms {
        0 => 0,
        limit => limit.max(hello.terms.heartbeat_ms.saturating_mul(3)),
    }
}

/// A client that cannot beat for longer than that would choose how long its silence is borne.
//= HND-26
pub(super) const fn check_beat(hello: &Hello<'_>) -> Result<(), CloseCode> {
    if hello.terms.heartbeat_ms > Config::SLOWEST_BEAT_MS { Err(CloseCode::LIMITS) } else { Ok(()) }
}
