//! What an application is told, and what it can do at once.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use outlast_core::wire::{Frame, MAX_BODY, RequestId, Route, Status};
use outlast_core::{CloseCode, Head, Instant, Position, Release, Retry, Session};

use crate::encode;
use crate::error::SendError;
use crate::handle::{Handle, Responder};
use crate::messages::Messages;
use crate::owner::Rare;
use crate::shared::{Shared, Staged};

/// The application's side of one session. It outlives connections.
///
/// Events come one after the other, in the order in which they happened, in the task that owns the
/// connection: a handler must not block. What takes time is given to another task with a
/// [`Handle`] or a [`Responder`].
///
/// A handler that panics takes its session along, and nothing else: everybody who waits on a handle
/// is told [`INTERNAL`](CloseCode::INTERNAL). A server goes on with its other sessions and tells a
/// client that asks for this one that it is over; a client's [`Runner`](crate::Runner) unwinds.
pub trait Handler: Send + 'static {
    /// Something happened.
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>);

    /// A one-way message came: what there is most of, and where a few nanoseconds count.
    ///
    /// By default it is given to [`handle`](Self::handle) as [`Incoming::Message`]; whoever
    /// implements it does not see that event any more.
    #[inline]
    fn message(&mut self, peer: &mut Peer<'_>, route: Route, payload: &[u8]) {
        self.handle(peer, Incoming::Message { route, payload });
    }

    /// One-way messages came, as many as one read brought: for handlers that do something once for
    /// all of them, such as locking or guarding what they keep.
    ///
    /// By default each is given to [`message`](Self::message), and so is what is left of them.
    #[inline]
    fn messages(&mut self, messages: &mut Messages<'_, '_>) {
        while let Some((route, payload)) = messages.next() {
            self.message(messages.peer(), route, payload);
        }
    }

    /// Whether parts of messages longer than a frame are wanted as they come, as
    /// [`Incoming::Fragment`]. Otherwise they are put together, up to the configured length.
    fn wants_fragments(&self) -> bool {
        false
    }

    /// Up to where messages count as taken, if this handler knows better than the configuration:
    /// everything that was handed to it lies before `received`.
    ///
    /// It is asked whenever the session's owner has handled what came in, and after a [`Handle`] of
    /// the session was used; it must only look. By default the configured [`Release`] decides.
    fn taken(&self, received: Position) -> Option<Position> {
        let _ = received;
        None
    }

    /// What this handler would have to know to go on in another process, for a snapshot of its
    /// session: the handler that is made there finds it in [`SessionInfo::saved`].
    ///
    /// It is asked where the handler runs, at the interval of
    /// [`Snapshots`](crate::Snapshots) and when a server hands its sessions over. By default
    /// nothing is saved.
    ///
    /// [`SessionInfo::saved`]: crate::SessionInfo::saved
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }
}

impl<F: FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static> Handler for F {
    #[inline]
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        self(peer, event);
    }
}

/// What happened. Payloads are lent until the handler returns.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming<'a> {
    /// The session exists and is connected for the first time.
    Opened,
    /// The session is connected again; nothing was lost.
    Resumed {
        /// Bytes that are sent again.
        resent: u64,
    },
    /// A one-way message.
    Message {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: &'a [u8],
    },
    /// A request. Answer it with [`Peer::respond`], or take a [`Responder`] with [`Peer::defer`];
    /// what is neither answered nor deferred is answered with [`Status::NO_ROUTE`].
    Request {
        /// Number for the answer.
        id: RequestId,
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: &'a [u8],
    },
    /// Part of a long message, if [`Handler::wants_fragments`].
    Fragment {
        /// What it is a part of.
        head: Head,
        /// Where in the message it begins.
        offset: u32,
        /// The part.
        payload: &'a [u8],
        /// Whether the message is complete with it.
        last: bool,
    },
    /// The peer gave up the message whose fragments came last.
    Aborted {
        /// What was given up.
        head: Head,
    },
    /// A best-effort message.
    Note {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: &'a [u8],
    },
    /// The peer no longer wants the answer to a request; it must still get one.
    Cancelled {
        /// Number of the request.
        id: RequestId,
    },
    /// The peer took everything up to here.
    Acknowledged {
        /// How far.
        position: Position,
    },
    /// A send of this handler's that was refused for want of room would succeed now.
    Writable,
    /// The peer will leave; the connection moves by itself.
    Draining {
        /// Why.
        code: CloseCode,
    },
    /// A client could not reach its server, or was not let in; it goes on trying, unless
    /// `retry_in` is `None`. The session, if there is one, lives on.
    DialFailed {
        /// Number of the attempt, counted from 1 over the client's life.
        attempt: u32,
        /// What went wrong.
        error: DialError<'a>,
        /// Time to the next attempt; `None` if there will be none.
        retry_in: Option<Duration>,
    },
    /// The connection is gone; the session lives on.
    Disconnected {
        /// Why, as far as it is known; [`IDLE`](CloseCode::IDLE) where no CLOSE was sent or heard.
        code: CloseCode,
        /// What ended it.
        cause: Cause,
    },
    /// The peer finished; no more messages will come.
    Finished,
    /// Both ends finished and everything arrived. The last event.
    Ended,
    /// The session is over and not everything is known to have arrived. The last event of this
    /// session.
    Lost {
        /// Why.
        code: CloseCode,
        /// Everything sent up to here arrived, and nothing after it, if it is known.
        peer_received: Option<Position>,
        /// What did not arrive, and what may not have.
        undelivered: &'a Undelivered,
    },
}

/// What ended a connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The transport: the end of the stream without a CLOSE, or the error it reported. One that
    /// takes nothing for long has [timed out](io::ErrorKind::TimedOut).
    Transport(Option<io::ErrorKind>),
    /// Nothing was heard of the peer for as long as this end waits.
    Silence,
    /// The peer closed it.
    Peer,
    /// This end closed it.
    Local,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(None) => f.write_str("the stream ended"),
            Self::Transport(Some(kind)) => write!(f, "the transport failed: {kind}"),
            Self::Silence => f.write_str("the peer was silent"),
            Self::Peer => f.write_str("the peer closed the connection"),
            Self::Local => f.write_str("this end closed the connection"),
        }
    }
}

/// Why an attempt to connect failed.
#[derive(Debug, Copy, Clone)]
#[non_exhaustive]
pub enum DialError<'a> {
    /// There was no connection, or none in time ([`io::ErrorKind::TimedOut`]).
    Unreachable(&'a io::Error),
    /// The server said no.
    Refused(CloseCode),
    /// The connection ended before the server had answered, as far as it is known for this reason.
    NoWelcome(CloseCode),
    /// There was a connection, and it failed for a reason of the transport's own before the server
    /// had answered: TLS refused a certificate, or the server speaks
    /// [TLS](crate::SpeaksTls) and this client does not.
    Transport(&'a io::Error),
}

impl<'a> DialError<'a> {
    /// What the transport said, if it did.
    #[must_use]
    pub const fn io(&self) -> Option<&'a io::Error> {
        match *self {
            Self::Unreachable(error) | Self::Transport(error) => Some(error),
            Self::Refused(_) | Self::NoWelcome(_) => None,
        }
    }

    /// Whether another attempt may succeed though nobody does anything about it: false where one
    /// end would have to be set up differently. The client goes on trying in either case, as long
    /// as its [policy](crate::ClientConfig::dialer) says: a certificate that has expired is renewed
    /// some day, and the session is still there then.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(error) | Self::Transport(error) => !matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            ),
            Self::Refused(code) | Self::NoWelcome(code) => code.retry() != Retry::Never,
        }
    }
}

impl fmt::Display for DialError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => write!(f, "the server is not reached: {error}"),
            Self::Refused(code) => write!(f, "the server refuses: {code}"),
            Self::NoWelcome(code) => write!(f, "the server does not answer: {code}"),
            Self::Transport(error) => write!(f, "the connection failed: {error}"),
        }
    }
}

/// What was sent in a session that was lost and is not known to have arrived.
#[derive(Debug, Default)]
pub struct Undelivered {
    pub(crate) unknown: Vec<u8>,
    pub(crate) missing: Vec<u8>,
}

impl Undelivered {
    /// One-way messages, in order, that certainly did not arrive. Sending them again is safe.
    pub fn missing(&self) -> impl Iterator<Item = (Route, &[u8])> {
        messages(&self.missing)
    }

    /// One-way messages, in order, that were transmitted and may have arrived or not.
    pub fn unknown(&self) -> impl Iterator<Item = (Route, &[u8])> {
        messages(&self.unknown)
    }
}

/// The one-way messages of one frame among `frames`.
fn messages(mut frames: &[u8]) -> impl Iterator<Item = (Route, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            let (header, body, rest) = Frame::split(frames, MAX_BODY).ok().flatten()?;
            frames = rest;
            if let Ok(Frame::Message { route, payload, more: false }) = Frame::decode(header, body)
            {
                return Some((route, payload));
            }
        }
    })
}

/// The session, as its handler sees it: no lock, no other task.
#[derive(Debug)]
pub struct Peer<'a> {
    pub(crate) session: &'a mut Session<Vec<u8>>,
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) rare: &'a mut Option<Box<Rare>>,
    pub(crate) now: Instant,
    pub(crate) release: Release,
    /// The request that was neither answered nor deferred yet.
    pub(crate) asked: &'a mut Option<RequestId>,
    /// Behind everything that came before the frame whose message is being handled.
    pub(crate) before: Position,
    /// Up to where the application says that everything is taken; 0 if it has not said so.
    pub(crate) taken: &'a mut Position,
}

impl Peer<'_> {
    /// Sends a one-way message that fits a frame, behind everything this handler sent before.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] while too much is unacknowledged; [`Incoming::Writable`] follows. Others
    /// as [`Handle::try_send`].
    pub fn send(&mut self, route: impl Into<Route>, payload: &[u8]) -> Result<Position, SendError> {
        if !self.nothing_waits() {
            return Err(self.refuse());
        }
        match self.session.send(route.into(), payload) {
            Err(outlast_core::SendError::MessageOpen) => Err(self.refuse()),
            sent => sent.map_err(|error| self.explain(error, payload.len())),
        }
    }

    /// Sends a one-way message of any length that the peer accepts, behind everything this handler
    /// sent before. One that is longer than a frame is kept whole until there is room for its last
    /// part; nothing else can be sent before that.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), but for [`SendError::TooLarge`] alone where the peer accepts no
    /// message of this length.
    pub fn send_long(&mut self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        let route = route.into();
        match self.send(route, payload) {
            Err(SendError::TooLongForFrame { .. }) => {}
            sent => return sent.map(|_| ()),
        }
        // Parts of two messages must not mix.
        if self.session.has_open_message() {
            return Err(self.refuse());
        }
        let mut frames = Vec::new();
        let max_body = self.session.max_body();
        encode::long(&mut frames, Head::Message { route }, payload, max_body);
        let staged = Staged { frames, ..Staged::default() };
        self.rare.get_or_insert_default().queues.stage(staged);
        Ok(())
    }

    /// Answers a request. An answer that has no room is kept until there is; meanwhile its request
    /// counts as open, of which the peer may only have so many.
    ///
    /// # Errors
    ///
    /// [`SendError::NoSuchRequest`], [`SendError::TooLarge`], or that nothing can be sent any more.
    pub fn respond(
        &mut self,
        id: RequestId,
        status: Status,
        payload: &[u8],
    ) -> Result<(), SendError> {
        use outlast_core::SendError as E;
        self.settled(id);
        if self.nothing_waits() {
            match self.session.respond(id, status, payload) {
                Ok(_) => return Ok(()),
                Err(E::Full | E::MessageOpen | E::TooLarge { .. }) => {}
                Err(error) => return Err(self.explain(error, payload.len())),
            }
        }
        let is_answered = || self.rare.as_ref().is_some_and(|rare| rare.queues.answers_to(id));
        if !self.session.is_open_in(id) || is_answered() {
            return Err(SendError::NoSuchRequest);
        }
        let limit = self.session.max_message() as usize;
        if payload.len() > limit {
            return Err(SendError::TooLarge { limit });
        }
        let head = Head::Response { id, status };
        let queues = &mut self.rare.get_or_insert_default().queues;
        queues.answer(head, payload, self.session.max_body());
        Ok(())
    }

    /// Takes the duty to answer a request along, to any task.
    pub fn defer(&mut self, id: RequestId) -> Responder {
        self.settled(id);
        Responder::new(Arc::clone(self.shared), id)
    }

    /// Something else is before it: the handler is told when nothing is any more.
    #[cold]
    fn refuse(&mut self) -> SendError {
        self.rare.get_or_insert_default().queues.refused = true;
        SendError::Full
    }

    /// Whether what is sent now may go ahead at once.
    fn nothing_waits(&self) -> bool {
        self.rare.as_ref().is_none_or(|rare| rare.queues.is_empty())
    }

    /// Somebody takes care of this request.
    fn settled(&mut self, id: RequestId) {
        if *self.asked == Some(id) {
            *self.asked = None;
        }
    }

    /// A handle to this session for other tasks.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(self.shared))
    }

    /// The session's number.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.session.id()
    }

    /// The other end's address on the present connection.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.shared.lock().remote()
    }

    /// The session's state, positions and counters.
    #[must_use]
    pub const fn session(&self) -> &Session<Vec<u8>> {
        self.session
    }

    /// The position after what has been received; a message's position while it is handled.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.session.received()
    }

    /// With [`Release::Manual`]: acknowledges everything up to `position` and returns its credit.
    pub fn release(&mut self, position: Position) {
        if self.release == Release::Manual {
            // There may be no credit for it yet.
            *self.taken = position.max(*self.taken);
        }
    }

    /// Finishes: nothing more will be sent. Once both ends have, the session ends.
    pub fn finish(&mut self) {
        self.shared.order(|orders| orders.finish = true);
    }

    /// Closes the connection; the session survives and may be resumed.
    pub fn close(&mut self, code: CloseCode) {
        self.session.close(self.now, code, 0);
    }

    fn explain(&self, error: outlast_core::SendError, len: usize) -> SendError {
        use outlast_core::SendError as E;
        let longest = self.session.max_message() as usize;
        match error {
            E::TooLarge { .. } if len > longest => SendError::TooLarge { limit: longest },
            E::TooLarge { limit } => SendError::TooLongForFrame { limit: limit as usize },
            E::NoSuchRequest => SendError::NoSuchRequest,
            E::State(_) => match self.shared.lock().closed() {
                Some(closed) => SendError::Closed(closed.clone()),
                None if self.session.id().is_none() => SendError::NotOpen,
                None => SendError::Finished,
            },
            _ => SendError::Full,
        }
    }
}
