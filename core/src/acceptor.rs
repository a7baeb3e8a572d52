//! A server's side of a handshake, before it is known which session a connection is for.
//!
//! An acceptor is a few dozen bytes, reads HELLO and authentication steps, and decides nothing
//! about sessions: the driver asks its registry, and hands the connection to a session or refuses.

use crate::code::CloseCode;
use crate::config::Config;
use crate::error::Violation;
use crate::state::{LinkEvent, LinkState, Obstacle, StateError, Verb};
use crate::time::Instant;
use crate::wire::{
    Close, Fixed, Frame, HEADER_LEN, Header, Hello, MAX_BODY, MIN_MAX_BODY, Op, VERSION,
    encode_simple, version_1,
};

/// Most steps of an authentication.
const MAX_STEPS: u8 = 8;
/// Most bytes of an authentication, over all steps.
const MAX_AUTH_BYTES: usize = 4096;

/// What a peer that is not attached yet said.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Greeting<'b> {
    /// It introduced itself. Authenticate it, admit it, and open or resume a session.
    Hello(Hello<'b>),
    /// It answered [`Acceptor::challenge`].
    Auth {
        /// Number of the step.
        step: u8,
        /// Its data.
        data: &'b [u8],
    },
}

/// The server's side of a handshake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acceptor {
    state: LinkState,
    deadline: Instant,
    now: Instant,
    step: u8,
    /// The longest body the peer accepts, as far as is known.
    peer_body: u16,
    auth_bytes: usize,
}

impl Acceptor {
    /// A connection was accepted at `now`; everything must be said within
    /// [`Config::handshake_timeout_ms`].
    //= HND-3
    #[must_use]
    pub const fn new(now: Instant, config: &Config) -> Self {
        Self {
            state: LinkState::Wait,
            deadline: now.after(config.handshake_timeout_ms as u64 * 1_000),
            now,
            step: 0,
            peer_body: MIN_MAX_BODY,
            auth_bytes: 0,
        }
    }

    /// Takes the next handshake frame from the front of `input`, advancing it.
    ///
    /// `None` means that `input` holds no whole frame yet; keep it and append to it. After
    /// [`Greeting::Hello`] was returned and admitted, the connection belongs to
    /// [`Session::server`](crate::Session::server) or [`Session::accept`](crate::Session::accept).
    ///
    /// # Errors
    ///
    /// The peer broke a rule; tell it with [`refuse`](Self::refuse) and drop the connection.
    // Out of line, so that its frame is not below all else that a driver's function calls.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub fn handle_input<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Greeting<'b>>, Violation> {
        self.handle_timeout(now)?;
        if !matches!(self.state, LinkState::Wait | LinkState::Auth) {
            *input = &[];
            return Ok(None);
        }
        let split = Frame::split_first(input, MAX_BODY).map_err(|code| self.fail(code))?;
        let Some((header, body, rest)) = split else {
            return Ok(None);
        };
        // As if it had been taken already: what follows does not look at it.
        *input = rest;
        // Nothing may be said behind a handshake frame before it is answered, but what is wrong
        // with the frame itself is said first.
        //= HND-10
        let checked =
            |rest: &[u8]| if rest.is_empty() { Ok(()) } else { Err(CloseCode::BAD_STATE) };
        match header.op() {
            Some(Op::Hello) if self.state == LinkState::Wait => {
                // Looked at where it lies: a copy of the largest frame is a lot of stack.
                let mut values = [None; 5];
                let read = self.handle_hello(header, body, &mut values);
                let fixed = read.and_then(|fixed| checked(rest).map(|()| fixed));
                let fixed = fixed.map_err(|code| self.fail(code))?;
                Ok(Some(Greeting::Hello(Hello::of(fixed, &values))))
            }
            Some(Op::Auth) if self.state == LinkState::Auth => {
                let step = self.handle_auth(header, body).and_then(|()| checked(rest));
                step.map_err(|code| self.fail(code))?;
                Ok(Some(Greeting::Auth { step: header.tag(), data: body }))
            }
            Some(_) | None => Err(self.fail(CloseCode::BAD_STATE)),
        }
    }

    fn handle_hello<'b>(
        &mut self,
        header: Header,
        body: &'b [u8],
        values: &mut [Option<&'b [u8]>; 5],
    ) -> Result<Fixed<'b>, CloseCode> {
        let fixed = Hello::read(version_1(header.tag(), body)?, values)?;
        //= HND-6
        let [version_min, version_max] = fixed.versions();
        if version_min > VERSION || version_max < VERSION {
            return Err(CloseCode::VERSION);
        }
        //= HND-17
        if !fixed.resumes() && !fixed.wants_session() {
            return Err(CloseCode::CAPABILITY);
        }
        self.state = LinkState::Auth;
        self.peer_body = fixed.terms().max_body;
        Ok(fixed)
    }

    fn handle_auth(&mut self, header: Header, body: &[u8]) -> Result<(), CloseCode> {
        //= AUT-8
        if self.step == 0 || header.tag() != self.step - 1 {
            return Err(CloseCode::BAD_STATE);
        }
        if !self.count(body.len()) {
            return Err(CloseCode::AUTH_FAILED);
        }
        Ok(())
    }

    /// Asks the peer for another step of authentication; AUTH is written to `out`.
    ///
    /// # Errors
    ///
    /// If no HELLO came yet, after eight steps, or if `out` is too small.
    //= AUT-4
    pub fn challenge(&mut self, data: &[u8], out: &mut [u8]) -> Result<usize, StateError> {
        let refused = |state| StateError::new(Verb::Challenge, state);
        if self.state != LinkState::Auth {
            return Err(refused(Obstacle::Link(self.state)));
        }
        if self.step >= MAX_STEPS {
            return Err(refused(Obstacle::NoMoreSteps));
        }
        let written = encode_simple(Op::Auth, self.step, data, out)
            .ok_or_else(|| refused(Obstacle::NoRoomForStep))?;
        self.step += 1;
        Ok(written)
    }

    /// Writes the CLOSE that ends the handshake to `out` and returns its length. A reason that is
    /// too long for the peer or for `out` is cut.
    pub fn refuse(&mut self, close: &Close<'_>, out: &mut [u8]) -> usize {
        if let Some(next) = self.state.next(LinkEvent::Close) {
            self.state = next;
        }
        let mut close = *close;
        if close.code == CloseCode::VERSION {
            close.versions = Some((VERSION, VERSION));
        }
        //= CLS-16
        let room = out.len().min(HEADER_LEN + usize::from(self.peer_body));
        out.get_mut(..room).and_then(|out| close.encode(out)).unwrap_or(0)
    }

    /// When the handshake is over if nothing comes.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        matches!(self.state, LinkState::Wait | LinkState::Auth).then_some(self.deadline)
    }

    /// Tells the time.
    ///
    /// # Errors
    ///
    /// [`CloseCode::HS_TIMEOUT`] once the time for the handshake is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Violation> {
        self.now = self.now.max(now);
        if self.poll_timeout().is_some_and(|at| at <= self.now) {
            return Err(self.fail(CloseCode::HS_TIMEOUT));
        }
        Ok(())
    }

    /// Counts bytes that an unauthenticated peer may not send without end.
    const fn count(&mut self, size: usize) -> bool {
        self.auth_bytes += size;
        self.auth_bytes <= MAX_AUTH_BYTES
    }

    fn fail(&mut self, code: CloseCode) -> Violation {
        let event =
            if code == CloseCode::HS_TIMEOUT { LinkEvent::Timeout } else { LinkEvent::Violation };
        if let Some(next) = self.state.next(event) {
            self.state = next;
        }
        Violation { code }
    }
}
