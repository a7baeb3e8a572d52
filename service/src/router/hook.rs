//! What happens before and after handlers.

use std::fmt;
use std::sync::Mutex;

use outlast_core::admission::{Meter, Rate};
use outlast_core::wire::Status;

use super::context::{Context, Kind};
use super::key::Key;
use super::link::Link;
use super::reply::{IntoReply, Reply};
use crate::overview::lock;

/// Whether a message or request goes on to its handler.
#[derive(Debug)]
pub enum Flow {
    /// It does.
    Go,
    /// It does not: a request has this answer, a message ends here.
    Answer(Reply),
}

/// What happens before and after handlers, for one route, for the routes of a router, or for all.
///
/// `before` runs where the message came in, outermost hook first: the router's in the order in
/// which they were added, then those of the router it was [nested](super::Router::nest) from, then
/// the route's own. `after` runs where the handler was done, innermost hook first, and for those
/// hooks only whose `before` said [`Flow::Go`]; whatever kept the handler from running or ended it
/// (no such route, a full queue, an inner hook, a panic of the handler, a deadline) is a reply like
/// any other. Two things have no `after`: what still waits for its handler when its session ends,
/// for which there is [`Router::on_close`](super::Router::on_close), and the hooks around one that
/// itself panics. A hook must not block.
pub trait Hook: Send + Sync + 'static {
    /// Before the handler.
    #[inline]
    fn before(&self, cx: &Context<'_>) -> Flow {
        let _ = cx;
        Flow::Go
    }

    /// After the handler. For messages the reply is what the handler returned, and goes nowhere.
    #[inline]
    fn after(&self, cx: &Context<'_>, reply: &Reply) {
        let _ = (cx, reply);
    }
}

/// No hook.
impl Hook for () {}

/// The first around the second.
impl<A: Hook, B: Hook> Hook for (A, B) {
    #[inline(always)]
    fn before(&self, cx: &Context<'_>) -> Flow {
        if let Flow::Answer(reply) = self.0.before(cx) {
            return Flow::Answer(reply);
        }
        match self.1.before(cx) {
            Flow::Go => Flow::Go,
            Flow::Answer(reply) => {
                self.0.after(cx, &reply);
                Flow::Answer(reply)
            }
        }
    }

    #[inline(always)]
    fn after(&self, cx: &Context<'_>, reply: &Reply) {
        self.1.after(cx, reply);
        self.0.after(cx, reply);
    }
}

/// Lets each session come so often: a hook, made by [`rate_limit`].
#[derive(Debug)]
pub struct RateLimit {
    rate: Rate,
}

/// Lets each session ask and send at this rate over all that the hook is for. A request beyond it
/// is answered [`Status::OVERLOADED`], a message beyond it dropped.
#[must_use]
pub const fn rate_limit(rate: Rate) -> RateLimit {
    RateLimit { rate }
}

/// The meter of one hook in one session.
struct Metered(Mutex<Meter>);

impl Hook for RateLimit {
    fn before(&self, cx: &Context<'_>) -> Flow {
        let Some(now) = cx.now() else {
            return Flow::Go;
        };
        let number = std::ptr::from_ref(self).addr();
        let taken = cx.link.local(
            number,
            || Metered(Mutex::new(Meter::NEW)),
            |metered| lock(&metered.0).take(now, &self.rate),
        );
        if taken.is_ok() { Flow::Go } else { Flow::Answer(Reply::status(Status::OVERLOADED)) }
    }
}

/// Lets in who may: a hook, made by [`authorize`].
pub struct Authorize<F> {
    judge: F,
}

/// Lets on to the handler what `judge` allows, by the principal that authentication found and the
/// route. Anything else is answered [`Status::DENIED`], or dropped if it is a message.
pub const fn authorize<F>(judge: F) -> Authorize<F>
where
    F: Fn(&Link, Key<'_>) -> bool + Send + Sync + 'static,
{
    Authorize { judge }
}

impl<F: Fn(&Link, Key<'_>) -> bool + Send + Sync + 'static> Hook for Authorize<F> {
    #[inline]
    fn before(&self, cx: &Context<'_>) -> Flow {
        if (self.judge)(cx.link, cx.key()) {
            return Flow::Go;
        }
        Flow::Answer(Status::DENIED.into_reply())
    }
}

impl<F> fmt::Debug for Authorize<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorize").finish_non_exhaustive()
    }
}

/// Tells what was handled: a hook, made by [`log`].
pub struct Log<F> {
    tell: F,
}

/// One line of a log.
#[derive(Debug)]
#[non_exhaustive]
pub struct LogLine<'a> {
    /// Whom it was from.
    pub link: &'a Link,
    /// What it asked for.
    pub key: Key<'a>,
    /// Whether an answer was expected.
    pub kind: Kind,
    /// Bytes that came.
    pub received: usize,
    /// How it went.
    pub status: Status,
    /// Bytes of the answer.
    pub answered: usize,
}

/// Calls `tell` with every message and request that was handled, or kept from being handled.
pub const fn log<F: Fn(&LogLine<'_>) + Send + Sync + 'static>(tell: F) -> Log<F> {
    Log { tell }
}

impl<F: Fn(&LogLine<'_>) + Send + Sync + 'static> Hook for Log<F> {
    fn after(&self, cx: &Context<'_>, reply: &Reply) {
        (self.tell)(&LogLine {
            link: cx.link,
            key: cx.key(),
            kind: cx.kind,
            received: cx.payload.len(),
            status: reply.code(),
            answered: reply.payload().len(),
        });
    }
}

impl<F> fmt::Debug for Log<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}
