//! Sessions from any thread, by calls that block.

use std::time::Duration;

use outlast_core::CloseCode;
use outlast_core::wire::{Route, Status};
use outlast_service::{Closed, LinkState, RequestError, Response, SendError};

use crate::states::States;
use crate::thread::{block_on, block_on_timeout};

/// A session, from any thread: it survives reconnects, can be cloned, and needs no connection to
/// send. On a client and on a server alike.
///
/// Calls that wait block their thread, which is parked meanwhile. In a handler that is wrong for
/// the handler's own session, which cannot go on before the handler returns: use
/// [`Peer`](crate::Peer), or another thread.
#[derive(Debug, Clone)]
pub struct Handle {
    inner: outlast_service::Handle,
}

impl From<outlast_service::Handle> for Handle {
    /// What [`Peer::handle`](crate::Peer::handle) and
    /// [`ServerHandle::get`](crate::ServerHandle::get) give.
    fn from(inner: outlast_service::Handle) -> Self {
        Self { inner }
    }
}

impl Handle {
    /// The handle whose calls are futures, for [`block_on`] or an executor.
    #[must_use]
    pub const fn inner(&self) -> &outlast_service::Handle {
        &self.inner
    }

    /// Sends a one-way message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] without room, [`SendError::TooLongForFrame`] for what fits no frame,
    /// [`SendError::NotOpen`] before the session exists, or that it is over.
    #[inline]
    pub fn try_send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        self.inner.try_send(route, payload)
    }

    /// Sends a one-way message, of any length that the peer accepts, once there is room.
    ///
    /// It is delivered exactly once and behind everything this thread sent before, over as many
    /// connections as that takes; or the session ends and says what was not delivered.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`], or that the session is over.
    pub fn send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        let route = route.into();
        match self.inner.try_send(route, payload) {
            Ok(()) => Ok(()),
            Err(_) => block_on(self.inner.send(route, payload)),
        }
    }

    /// As [`send`](Self::send), for at most `limit`. What was begun of a longer message is
    /// discarded at the peer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::TimedOut`].
    pub fn send_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<(), SendError> {
        let sent = block_on_timeout(self.inner.send(route, payload), limit);
        sent.unwrap_or(Err(SendError::TimedOut))
    }

    /// As [`send`](Self::send); the receipt tells when the peer's application has taken the
    /// message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_receipted(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<Receipt, SendError> {
        let inner = block_on(self.inner.send_receipted(route, payload))?;
        Ok(Receipt { inner })
    }

    /// Waits until the peer's application has taken everything that was sent before, by whichever
    /// thread. Nothing sent means nothing to wait for.
    ///
    /// # Errors
    ///
    /// That the session is over and not everything is known to have arrived.
    pub fn flushed(&self) -> Result<(), Closed> {
        block_on(self.inner.flushed())
    }

    /// As [`flushed`](Self::flushed), for at most `limit`; `None` if that was not long enough.
    ///
    /// # Errors
    ///
    /// As [`flushed`](Self::flushed).
    #[must_use]
    pub fn flushed_timeout(&self, limit: Duration) -> Option<Result<(), Closed>> {
        block_on_timeout(self.inner.flushed(), limit)
    }

    /// Asks, and waits for the one answer.
    ///
    /// # Errors
    ///
    /// Whether it was not sent, or its outcome is unknown. An error of the peer's application is
    /// not an error here but a [`Response`] with its [`Status`].
    pub fn request(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<Response, RequestError> {
        block_on(self.inner.request(route, payload))
    }

    /// As [`request`](Self::request), for at most `limit`, in which waiting for room and for a
    /// connection counts. When it is over, the request is cancelled at the peer.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and [`RequestError::TimedOut`], or
    /// [`RequestError::NotSent`] with [`SendError::TimedOut`] if not all of it was sent by then.
    pub fn request_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Response, RequestError> {
        block_on(self.inner.request_timeout(route, payload, limit))
    }

    /// Nothing more will be sent. Once the peer has finished too, the session ends.
    pub fn finish(&self) {
        self.inner.finish();
    }

    /// Closes the present connection, if there is one; the session survives and may be resumed.
    pub fn disconnect(&self, code: CloseCode) {
        self.inner.disconnect(code);
    }

    /// Ends the session now, whatever was not delivered, with or without a connection, and while a
    /// client is dialling. A peer that has none is told when it comes back.
    pub fn end(&self, code: CloseCode) {
        self.inner.end(code);
    }

    /// Waits until the session is over.
    #[must_use]
    pub fn closed(&self) -> Closed {
        block_on(self.inner.closed())
    }

    /// As [`closed`](Self::closed), for at most `limit`; `None` if it is not over by then.
    #[must_use]
    pub fn closed_timeout(&self, limit: Duration) -> Option<Closed> {
        block_on_timeout(self.inner.closed(), limit)
    }

    /// The session's number, once the server gave it one.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.inner.id()
    }

    /// Whether a connection carries the session now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    /// What the connection is doing: on a client, whether it dials, and when it will again.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.inner.state()
    }

    /// What the connection will be doing, from now on.
    #[must_use]
    pub fn states(&self) -> States {
        self.inner.states().into()
    }

    /// Smoothed round trip in microseconds as of the last change of the connection; 0 before
    /// the first sample.
    #[must_use]
    pub fn rtt_us(&self) -> u32 {
        self.inner.rtt_us()
    }
}

/// Tells when the peer's application has taken a message.
#[derive(Debug)]
#[must_use = "a receipt tells nothing unless it is waited for"]
pub struct Receipt {
    inner: outlast_service::Receipt,
}

impl Receipt {
    /// Waits until the peer's application has taken the message.
    ///
    /// # Errors
    ///
    /// That the session is over and the message is not known to have arrived.
    pub fn wait(self) -> Result<(), Closed> {
        block_on(self.inner)
    }

    /// As [`wait`](Self::wait), for at most `limit`; `None` if that was not long enough. It may be
    /// asked again.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    #[must_use]
    pub fn wait_timeout(&mut self, limit: Duration) -> Option<Result<(), Closed>> {
        block_on_timeout(&mut self.inner, limit)
    }
}

/// The duty to answer one request, from any thread. Dropped unanswered, it answers
/// [`Status::INTERNAL`].
#[derive(Debug)]
#[must_use = "a request is answered with INTERNAL when its responder is dropped"]
pub struct Responder {
    inner: outlast_service::Responder,
}

impl From<outlast_service::Responder> for Responder {
    /// What [`Peer::defer`](crate::Peer::defer) gives.
    fn from(inner: outlast_service::Responder) -> Self {
        Self { inner }
    }
}

impl Responder {
    /// Answers, once there is room.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`] (the peer is answered [`Status::INTERNAL`]), or that the session is
    /// over.
    pub fn respond(self, status: Status, payload: &[u8]) -> Result<(), SendError> {
        block_on(self.inner.respond(status, payload))
    }

    /// Answers that it went well.
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub fn reply(self, payload: &[u8]) -> Result<(), SendError> {
        self.respond(Status::OK, payload)
    }
}
