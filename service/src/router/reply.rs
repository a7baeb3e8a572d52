//! What a handler answers.

use std::error::Error;

use bytes::Bytes;
use outlast_core::wire::Status;

/// An error of any kind, as libraries return it.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The one answer to a request. One-way messages have none: what their handlers return is dropped.
// Two registers: a larger one would be moved through memory for every message, which costs more
// than everything else that a router does.
#[derive(Debug)]
pub struct Reply {
    /// The status, and [`REJECTED`].
    code: u16,
    body: Option<Box<Body>>,
}

/// The handler did not run: one of its arguments could not be had.
const REJECTED: u16 = 1 << 8;

/// What goes with the status.
#[derive(Debug)]
enum Body {
    Static(&'static [u8]),
    Bytes(Bytes),
    Vec(Vec<u8>),
    /// Nothing that the peer is shown.
    Fault(BoxError),
}

impl Reply {
    /// Nothing but a status.
    #[inline]
    #[must_use]
    pub const fn status(status: Status) -> Self {
        Self { code: status.0 as u16, body: None }
    }

    /// A status and a payload.
    #[must_use]
    pub fn new(status: Status, payload: impl Into<Bytes>) -> Self {
        Self::of(status, Body::Bytes(payload.into()))
    }

    /// An error that is no business of the peer's: it is answered [`Status::INTERNAL`] without a
    /// word, and [`Router::on_error`](super::Router::on_error) is told.
    #[must_use]
    pub fn fault(error: impl Into<BoxError>) -> Self {
        Self::of(Status::INTERNAL, Body::Fault(error.into()))
    }

    fn of(status: Status, body: Body) -> Self {
        Self { code: status.0.into(), body: Some(Box::new(body)) }
    }

    /// How it went.
    #[inline]
    #[must_use]
    pub const fn code(&self) -> Status {
        Status(self.code as u8)
    }

    /// What the peer is sent.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self.body.as_deref() {
            Some(Body::Static(bytes)) => bytes,
            Some(Body::Bytes(bytes)) => bytes,
            Some(Body::Vec(bytes)) => bytes,
            Some(Body::Fault(_)) | None => &[],
        }
    }

    /// What the peer is not told.
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match self.body.as_deref() {
            Some(Body::Fault(error)) => Some(&**error),
            Some(Body::Static(_) | Body::Bytes(_) | Body::Vec(_)) | None => None,
        }
    }

    /// Whether an observer of errors has to be told.
    #[inline]
    pub(crate) fn is_fault(&self) -> bool {
        self.body.is_some() && self.error().is_some()
    }

    /// Lets go of it, which costs nothing if there is nothing but a status.
    #[inline(always)]
    pub(crate) fn discard(self) {
        if self.body.is_none() {
            std::mem::forget(self);
        }
    }

    /// Marks that the handler did not run.
    pub(crate) const fn rejected(mut self) -> Self {
        self.code |= REJECTED;
        self
    }

    /// Whether the handler did not run.
    #[inline]
    pub(crate) const fn is_rejected(&self) -> bool {
        self.code & REJECTED != 0
    }

    /// The same payload with another status.
    fn with(mut self, status: Status) -> Self {
        if !self.is_fault() {
            self.code = self.code & REJECTED | u16::from(status.0);
        }
        self
    }
}

/// What a handler may return.
///
/// A type of an application's errors implements it, mostly as a status and a text; then handlers
/// return `Result<T, ThatType>`:
///
/// ```
/// use outlast_service::core::wire::Status;
/// use outlast_service::router::{IntoReply, Reply};
///
/// enum Denied {
///     Closed,
///     Full(usize),
/// }
///
/// impl IntoReply for Denied {
///     fn into_reply(self) -> Reply {
///         match self {
///             Self::Closed => (Status::REFUSED, "the room is closed").into_reply(),
///             Self::Full(limit) => (Status(64), format!("only {limit} may be in")).into_reply(),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no answer to a request",
    label = "a handler cannot return this",
    note = "handlers return (), bytes, text, Json, Postcard, Status, (Status, answer), \
            Option<answer>, or Result<answer, error>",
    note = "an error is a BoxError (the peer sees INTERNAL, the error observer sees the error), or \
            a type of yours that implements IntoReply"
)]
pub trait IntoReply {
    /// The answer.
    fn into_reply(self) -> Reply;
}

impl IntoReply for Reply {
    #[inline]
    fn into_reply(self) -> Reply {
        self
    }
}

impl IntoReply for () {
    #[inline]
    fn into_reply(self) -> Reply {
        Reply::status(Status::OK)
    }
}

impl IntoReply for Status {
    #[inline]
    fn into_reply(self) -> Reply {
        Reply::status(self)
    }
}

impl IntoReply for Bytes {
    fn into_reply(self) -> Reply {
        Reply::of(Status::OK, Body::Bytes(self))
    }
}

impl IntoReply for Vec<u8> {
    fn into_reply(self) -> Reply {
        Reply::of(Status::OK, Body::Vec(self))
    }
}

impl IntoReply for String {
    fn into_reply(self) -> Reply {
        self.into_bytes().into_reply()
    }
}

impl IntoReply for &'static [u8] {
    fn into_reply(self) -> Reply {
        Reply::of(Status::OK, Body::Static(self))
    }
}

impl<const N: usize> IntoReply for &'static [u8; N] {
    fn into_reply(self) -> Reply {
        self.as_slice().into_reply()
    }
}

impl IntoReply for &'static str {
    fn into_reply(self) -> Reply {
        self.as_bytes().into_reply()
    }
}

impl<T: IntoReply> IntoReply for (Status, T) {
    fn into_reply(self) -> Reply {
        self.1.into_reply().with(self.0)
    }
}

/// Nothing is answered [`Status::APP`] without a payload.
impl<T: IntoReply> IntoReply for Option<T> {
    fn into_reply(self) -> Reply {
        self.map_or_else(|| Reply::status(Status::APP), T::into_reply)
    }
}

/// An error that would be answered [`Status::OK`], such as a mere text, is answered
/// [`Status::APP`].
impl<T: IntoReply, E: IntoReply> IntoReply for Result<T, E> {
    #[inline]
    fn into_reply(self) -> Reply {
        match self {
            Ok(reply) => reply.into_reply(),
            Err(error) => match error.into_reply() {
                reply if reply.code().is_ok() => reply.with(Status::APP),
                reply => reply,
            },
        }
    }
}

impl IntoReply for BoxError {
    fn into_reply(self) -> Reply {
        Reply::fault(self)
    }
}

impl IntoReply for Box<dyn Error + Send> {
    fn into_reply(self) -> Reply {
        // It may not be shared, its words may.
        Reply::fault(self.to_string())
    }
}

impl IntoReply for std::convert::Infallible {
    fn into_reply(self) -> Reply {
        match self {}
    }
}
