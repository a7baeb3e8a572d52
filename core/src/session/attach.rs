//! Handshakes, resuming, and losing a connection.
//!
//! The order of the checks on resume is the specification's (area RSM): nothing is changed before
//! all of them passed.

use super::open::{check_beat, silence_limit, write_welcome};
use super::{Pending, Session};
use crate::auth::prove_claim;
use crate::code::CloseCode;
use crate::link::{Link, Marks, Owed};
use crate::state::{LinkEvent, LinkState, Obstacle, SessionEvent, SessionState, StateError, Verb};
use crate::storage::Storage;
use crate::time::{Coarse, Instant};
use crate::wire::{
    AuthData, CloseFlags, Fixed, Grant, Hello, Op, Resume, Resumed, Terms, VERSION, Welcome,
    encode_simple, version_1,
};

/// What a client adds to its HELLO.
#[derive(Debug, Copy, Clone, Default)]
pub struct Attach<'a> {
    /// Entropy for jitter and nonces; fresh for each connection.
    pub seed: u32,
    /// First step of authentication.
    pub auth: Option<AuthData<'a>>,
    /// The server has to prove itself as well: its WELCOME is refused with
    /// [`CloseCode::AUTH_FAILED`] unless [`Session::trust_server`] was called before.
    pub mutual: bool,
    /// What identifies the transport below, if that is authenticated and encrypted.
    pub channel_binding: &'a [u8],
    /// Name and version of the client's software.
    pub agent: Option<&'a [u8]>,
    /// Who the client says it is.
    pub client_id: Option<&'a [u8]>,
}

impl<S: Storage + ?Sized> Session<S> {
    /// A client's transport is up: greets the server, and asks to resume if the session exists.
    /// HELLO is written to `out`, which should have [`HANDSHAKE_MAX`](crate::HANDSHAKE_MAX) bytes;
    /// its length is returned.
    ///
    /// # Errors
    ///
    /// If the session is over, a connection is still up, or what is to be said does not fit `out`
    /// or HELLO's limit of 1024 bytes. Nothing has changed then.
    //= RSM-1
    #[inline(never)]
    pub fn attach(
        &mut self,
        now: Instant,
        with: &Attach<'_>,
        out: &mut [u8],
    ) -> Result<usize, StateError> {
        let refused = |state| Err(StateError::new(Verb::Attach, state));
        if !matches!(self.link.state, LinkState::Idle | LinkState::Closed) {
            return refused(Obstacle::Link(self.link.state));
        }
        if !self.is_client() || !matches!(self.state, SessionState::New | SessionState::Detached) {
            return refused(Obstacle::Session(self.state));
        }
        let Some(written) = self.hello(with, out) else {
            return refused(Obstacle::LongHandshake);
        };
        if self.state == SessionState::Detached
            && let Some((claim, proof)) = Hello::claim(out)
        {
            prove_claim(&self.identity.key, claim, with.channel_binding, proof);
        }
        //= RSM-2
        self.identity.attach = self.identity.attach.wrapping_add(1);
        self.grant_window();
        self.link = self.fresh_link(now, with.seed);
        self.link.marks.set(Marks::DISTRUSTS, with.mutual);
        Ok(written)
    }

    /// A server's session gets a new connection, whose proof was verified and whose predecessor was
    /// [fenced](Self::fence). WELCOME is written to `out`.
    ///
    /// # Errors
    ///
    /// The code to refuse the connection with. If its scope is the session, the session is dead.
    //= RSM-5
    pub fn accept(
        &mut self,
        now: Instant,
        hello: &Hello<'_>,
        seed: u32,
        out: &mut [u8],
    ) -> Result<usize, CloseCode> {
        let resume = hello.resume.as_ref().ok_or(CloseCode::BAD_STATE)?;
        if self.state != SessionState::Detached || self.is_client() {
            return Err(self.death().map_or(CloseCode::NO_SESSION, |death| death.code));
        }
        self.check_terms(&hello.terms)?;
        check_beat(hello)?;
        if let Err(code) = self.check_resume(resume.rx_next, resume.tx_first) {
            //= RSM-7
            self.die(code, self.possible(Some(resume.rx_next)));
            return Err(code);
        }
        let resumed =
            Resumed { rx_next: self.rx.next, tx_first: self.tx.acked, epoch: self.identity.epoch };
        let limit_ms = silence_limit(self.config.idle_timeout_ms, hello);
        let terms = self.terms(limit_ms, hello.terms.idle_ms);
        let written = write_welcome(&terms, None, Some(&resumed), out)?;
        self.grant_window();
        self.identity.attach = resume.attach;
        self.peer.send_buffer = hello.terms.send_buffer;
        self.adopt_key(resume.key_id);
        self.link = self.fresh_link(now, seed);
        self.rewind(resume.rx_next, hello.terms.window);
        self.greeted(limit_ms, hello.terms.idle_ms);
        // A client's are sent behind whatever frame came, its WELCOME among them.
        self.send_refusals();
        Ok(written)
    }

    /// Another connection takes the session over: writes the farewell for the old one to `out` and
    /// detaches. Input of the old connection that was not handled yet must be dropped.
    //= RSM-8
    pub fn fence(&mut self, now: Instant, out: &mut [u8]) -> usize {
        let mut written = 0;
        self.link.tick(now);
        if self.link.is_open() {
            //= RSM-10
            self.leave(CloseCode::SUPERSEDED, CloseFlags::NO_RETRY);
            written = self.poll_transmit(now, out);
        }
        self.detach(now);
        written
    }

    /// The transport is gone. The session lives on and can be attached again.
    //= RSM-17
    pub fn detach(&mut self, now: Instant) {
        if self.link.state == LinkState::Idle {
            return;
        }
        self.stats.detaches = self.stats.detaches.wrapping_add(1);
        self.forget_poison();
        let now = self.link.tick(now);
        self.link = Link::idle(now);
        self.window.detach();
        // A frame that was under way is not continued on another connection.
        self.tx.rewind(self.tx.sent);
        self.step(SessionEvent::Detach);
    }

    /// Answers an authentication step of the server's; AUTH is written to `out`.
    ///
    /// # Errors
    ///
    /// If no step is awaited or the frame does not fit `out`.
    pub fn authenticate(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, StateError> {
        let state = self.link.state;
        if state != LinkState::Auth {
            return Err(StateError::new(Verb::Authenticate, Obstacle::Link(state)));
        }
        match encode_simple(Op::Auth, self.link.auth_step, data, out) {
            Some(written) => {
                self.link.auth_step = self.link.auth_step.wrapping_add(1);
                Ok(written)
            }
            None => Err(StateError::new(Verb::Authenticate, Obstacle::LongStep)),
        }
    }

    /// The server has proved itself to a client that demanded it: its WELCOME may come. Without
    /// effect once the handshake is over.
    pub const fn trust_server(&mut self) {
        self.link.marks.set(Marks::DISTRUSTS, false);
    }

    /// The server's WELCOME came: it is checked, and what it says is done.
    #[inline(never)]
    pub(super) fn handle_welcome(&mut self, tag: u8, body: &[u8]) -> Result<(), CloseCode> {
        let mut values = [None; 4];
        let welcome = Welcome::read(version_1(tag, body)?, &mut values)?;
        let [_, session, resumed, _] = values;
        //= AUT-7
        if self.link.marks.has(Marks::DISTRUSTS) {
            return Err(CloseCode::AUTH_FAILED);
        }
        if welcome.version() != VERSION {
            return Err(CloseCode::VERSION);
        }
        //= HND-16
        match (self.state, session, resumed) {
            (SessionState::New, Some(grant), None) => self.begin_named(welcome, grant)?,
            (SessionState::Detached, None, Some(resumed)) => self.go_on(welcome, resumed)?,
            (
                SessionState::New
                | SessionState::Attached
                | SessionState::Detached
                | SessionState::Ended
                | SessionState::Dead
                | SessionState::Exported,
                _,
                _,
            ) => return Err(CloseCode::BAD_STATE),
        }
        //= HND-13
        let terms = welcome.terms();
        let limit = match self.config.idle_timeout_ms {
            0 => 0,
            asked => asked.max(terms.heartbeat_ms),
        };
        self.greeted(limit, terms.idle_ms);
        self.link.marks.set(Marks::CONFIRMED, true);
        Ok(())
    }

    /// The session begins: `grant` is what SESSION says.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn begin_named(&mut self, welcome: Fixed<'_>, grant: &[u8]) -> Result<(), CloseCode> {
        let (sid, epoch, key_id, key) = Grant::read(grant).ok_or(CloseCode::BAD_OPTION)?;
        let terms = welcome.terms();
        self.settle(&terms)?;
        self.peer.retention_s = terms.ttl_s;
        self.name(sid, epoch, key_id, key);
        Ok(())
    }

    /// The session is resumed: `resumed` is what RESUMED says.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn go_on(&mut self, welcome: Fixed<'_>, resumed: &[u8]) -> Result<(), CloseCode> {
        let resumed = Resumed::decode(resumed).ok_or(CloseCode::BAD_OPTION)?;
        let terms = welcome.terms();
        //= RSM-13
        if resumed.epoch < self.identity.epoch {
            return Err(CloseCode::BAD_STATE);
        }
        self.check_terms(&terms)?;
        self.check_resume(resumed.rx_next, resumed.tx_first)?;
        self.identity.epoch = resumed.epoch;
        self.peer.send_buffer = terms.send_buffer;
        self.rewind(resumed.rx_next, terms.window);
        Ok(())
    }

    /// Adopts the name and key that the server gave, at the first attach.
    #[inline]
    pub(super) const fn name(&mut self, sid: u64, epoch: u32, key_id: u8, key: &[u8; 16]) {
        // One by one, because a whole identity would be copied.
        self.identity.sid = sid;
        self.identity.epoch = epoch;
        self.identity.key_id = key_id;
        self.identity.key = *key;
        self.identity.attach = 1;
    }

    /// Fixes the limits of the session from what the peer declared.
    fn settle(&mut self, terms: &Terms) -> Result<(), CloseCode> {
        self.peer.settle(terms, self.config.max_requests, &mut self.ring)?;
        self.tx.grant(terms.window);
        Ok(())
    }

    /// Whether what the peer declares in resuming still covers what this session uses: what is
    /// retained and what is open was made to fit that. More than at its creation is of no use.
    //= RSM-14
    fn check_terms(&self, terms: &Terms) -> Result<(), CloseCode> {
        let covers = terms.is_legal()
            && terms.max_body >= self.peer.max_body
            && terms.max_requests >= self.peer.max_requests
            && terms.max_msg >= self.peer.max_message;
        if covers { Ok(()) } else { Err(CloseCode::LIMITS) }
    }

    /// Whether the peer's positions fit ours.
    //= RSM-6
    #[cfg_attr(target_pointer_width = "32", inline(always))]
    fn check_resume(&self, rx_next: u64, tx_first: u64) -> Result<(), CloseCode> {
        if rx_next < self.tx.acked {
            return Err(CloseCode::PEER_STATE_LOST);
        }
        if rx_next > self.transmitted().0 || tx_first > self.rx.next {
            return Err(CloseCode::SELF_STATE_LOST);
        }
        let offset = self.offset(rx_next);
        if self.ring.boundary(0, offset, offset) != offset {
            return Err(CloseCode::PEER_STATE_LOST);
        }
        Ok(())
    }

    /// Resuming is moving one cursor.
    //= RSM-9
    //= RSM-18
    fn rewind(&mut self, rx_next: u64, window: u32) {
        let offset = u32::try_from(rx_next.saturating_sub(self.tx.acked)).unwrap_or_default();
        self.tx.rewind(offset);
        self.tx.grant(window);
        let resent = self.tx.high - offset;
        self.stats.resent = self.stats.resent.wrapping_add(resent);
    }

    /// The handshake is complete.
    fn greeted(&mut self, limit_ms: u32, promise_ms: u32) {
        self.link.step(LinkEvent::Greeted);
        self.link.deadline = None;
        // The first frame of every connection is looked at closely.
        self.rx.plain = false;
        //= HBT-1
        self.link.heartbeat.agree(limit_ms, promise_ms);
        // A client confirms that it learnt its session's name; both repeat what they released.
        //= HND-18
        //= RSM-15
        if self.is_client() || self.state == SessionState::Detached {
            self.link.owed.add(Owed::ACK);
        }
        self.step(SessionEvent::Attach);
        self.stats.attaches = self.stats.attaches.wrapping_add(1);
        self.pending.add(Pending::ATTACHED);
        if self.ring.len() > 0 {
            self.link.progress_at = Some(Coarse::after(self.link.now));
        }
        // The last release may have come between two connections.
        self.end_if_finished();
    }

    /// The peer may send a window beyond what was released, and all that it was ever granted, but
    /// no more for resuming often: what nobody releases must stay within the window.
    //= RSM-11
    pub(super) fn grant_window(&mut self) {
        self.rx.grant(self.window.size());
    }

    /// What is declared to the peer; what `heartbeat_ms` says depends on the side.
    fn terms(&self, idle_ms: u32, heartbeat_ms: u32) -> Terms {
        Terms {
            max_body: self.config.max_body,
            max_requests: self.config.max_requests,
            idle_ms,
            heartbeat_ms,
            window: self.window.size(),
            max_msg: self.config.max_message,
            ttl_s: self.peer.retention_s,
            // What the ring can take, for the peer's pace of acknowledging.
            send_buffer: self.ring.limit(),
        }
    }

    /// Writes HELLO, with room for the proof of a resume, which is made from what lies there: what
    /// writes one is gone from the stack when the other begins.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn hello(&self, with: &Attach<'_>, out: &mut [u8]) -> Option<usize> {
        let terms = self.terms(self.config.idle_timeout_ms, self.config.heartbeat_min_ms);
        let resumes = self.state == SessionState::Detached;
        let mut writer =
            Hello::begin([VERSION; 2], true, resumes, with.auth.is_some(), &terms, out)?;
        if resumes {
            let resume = Resume {
                sid: self.identity.sid,
                attach: self.identity.attach.wrapping_add(1),
                key_id: self.identity.key_id,
                proof_kind: 1,
                rx_next: self.rx.next,
                tx_first: self.tx.acked,
                proof: [0; 16],
            };
            resume.encode(&mut writer);
        }
        Hello::complete(writer, with.auth, with.agent, with.client_id)
    }

    fn fresh_link(&self, now: Instant, seed: u32) -> Link {
        let now = now.max(self.link.now);
        let deadline = now.after(self.config.handshake_timeout.micros());
        Link::waiting(now, deadline, self.rx.next, seed)
    }

    /// Moves the session along its table; illegal moves are of no effect.
    //= STM-2
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(crate) fn step(&mut self, event: SessionEvent) {
        if let Some(next) = self.state.next(event) {
            // What was announced to be sent again and was not is none of it.
            self.stats.resent = self.stats.resent.wrapping_sub(self.not_resent());
            self.state = next;
        }
    }

    /// Bytes that are to be transmitted again on this connection and have not been.
    pub(crate) const fn not_resent(&self) -> u32 {
        if !matches!(self.state, SessionState::Attached) {
            return 0;
        }
        self.tx.high.saturating_sub(self.tx.sent)
    }
}
