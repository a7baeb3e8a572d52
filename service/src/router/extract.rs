//! What handlers ask for by the types of their arguments.

use std::any::TypeId;
use std::net::SocketAddr;

use bytes::Bytes;
use outlast_core::wire::Status;

use super::context::Context;
use super::key::RouteKey;
use super::link::Link;
use super::reply::Reply;
use crate::handle::Handle;

/// Why a handler does not run: an argument of its cannot be had. A request is answered with it, a
/// message is dropped.
#[derive(Debug)]
pub struct Rejection(pub(crate) Reply);

impl Rejection {
    /// Answers with `status` and `text`.
    #[must_use]
    pub fn new(status: Status, text: impl Into<String>) -> Self {
        Self(Reply::new(status, text.into().into_bytes()))
    }

    /// Answers [`Status::INVALID`] with `text`: the usual.
    #[must_use]
    pub fn invalid(text: impl Into<String>) -> Self {
        Self::new(Status::INVALID, text)
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        rejection.0.rejected()
    }
}

/// What a router has to be given for its handlers to run.
#[derive(Debug, Default)]
pub struct Needs {
    pub(crate) states: Vec<(TypeId, &'static str)>,
}

impl Needs {
    /// A state of this type: without it the router cannot be built.
    pub fn state<S: 'static>(&mut self) {
        self.states.push((TypeId::of::<S>(), std::any::type_name::<S>()));
    }
}

/// An argument of a handler.
///
/// ```
/// use outlast_service::router::{Context, Extract, Rejection};
///
/// /// Two numbers.
/// struct Point(u8, u8);
///
/// impl Extract for Point {
///     fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
///         match cx.payload() {
///             [x, y] => Ok(Self(*x, *y)),
///             other => Err(Rejection::invalid(format!("{} bytes are no point", other.len()))),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be had from a message",
    label = "a handler cannot take this",
    note = "handlers take up to six of: Bytes, Text, Json, Postcard, State, Link, Session, \
            RouteKey, Kind, Remote, Principal, Property, Option of these, and types of yours that \
            implement Extract"
)]
pub trait Extract: Sized {
    /// Takes it out, or says why that cannot be.
    ///
    /// # Errors
    ///
    /// What the peer is answered instead.
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection>;

    /// Says what the router has to be given. Nothing, mostly.
    fn needs(needs: &mut Needs) {
        let _ = needs;
    }
}

/// The payload.
impl Extract for Bytes {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        Ok(cx.bytes())
    }
}

/// The payload, as text.
impl Extract for String {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let text = std::str::from_utf8(cx.payload());
        text.map(Self::from).map_err(|error| Rejection::invalid(format!("no text: {error}")))
    }
}

/// The payload, as text; the same as a `String`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl Extract for Text {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        String::extract(cx).map(Self)
    }
}

/// The state of this type; a clone, so that mostly it is an `Arc`. A router that was not given it
/// cannot be built.
#[derive(Debug, Clone, Copy)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync + 'static> Extract for State<S> {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let missing = || Rejection(Reply::fault("the router was not given this state"));
        cx.state::<S>().cloned().map(Self).ok_or_else(missing)
    }

    fn needs(needs: &mut Needs) {
        needs.state::<S>();
    }
}

impl Extract for Link {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        Ok(cx.link().clone())
    }
}

/// The session, with its receipts and requests. A connection without one is refused.
#[derive(Debug, Clone)]
pub struct Session(pub Handle);

impl Extract for Session {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let missing = || Rejection::new(Status::REFUSED, "this needs a session");
        cx.link().session().cloned().map(Self).ok_or_else(missing)
    }
}

impl Extract for RouteKey {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        Ok(cx.key().into())
    }
}

impl Extract for super::Kind {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        Ok(cx.kind())
    }
}

/// The other end's address. Where none is known the handler does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remote(pub SocketAddr);

impl Extract for Remote {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let missing = || Rejection::new(Status::REFUSED, "the address is not known");
        cx.link().remote().map(Self).ok_or_else(missing)
    }
}

/// Whom authentication found. Nobody in particular is answered [`Status::DENIED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal(pub u64);

impl Extract for Principal {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let missing = || Rejection::new(Status::DENIED, "who are you?");
        cx.link().principal().map(Self).ok_or_else(missing)
    }
}

/// The value of this type that [`Link::set`] put on the session; a clone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Property<T>(pub T);

impl<T: Clone + Send + Sync + 'static> Extract for Property<T> {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        let missing = || Rejection::invalid("something has to come before this");
        cx.link().get::<T>().map(Self).ok_or_else(missing)
    }
}

/// What cannot be had is `None`.
impl<T: Extract> Extract for Option<T> {
    fn extract(cx: &Context<'_>) -> Result<Self, Rejection> {
        Ok(T::extract(cx).ok())
    }

    fn needs(needs: &mut Needs) {
        T::needs(needs);
    }
}
