//! What other tasks use a session through.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use outlast_core::wire::{Header, Op, RequestId, Route, Status};
use outlast_core::{CloseCode, Head};

use crate::encode::Front;
use crate::error::{Closed, RequestError, SendError};
use crate::shared::{Inner, Shared};

/// A session, from any task: it survives reconnects, can be cloned, and needs no connection to
/// send. On a client and on a server alike.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// The one answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// How it went.
    pub status: Status,
    /// What the peer answered.
    pub payload: Bytes,
}

impl Handle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Sends a one-way message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] without room, [`SendError::TooLarge`] for what does not fit one frame,
    /// [`SendError::NotOpen`] before the session exists, or that it is over.
    #[inline]
    pub fn try_send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        let route = route.into();
        if self.send_short(route, payload) {
            return Ok(());
        }
        let mut inner = self.shared.lock();
        inner.stage_message(route, payload)?;
        self.shared.notify(inner);
        Ok(())
    }

    /// Sends a one-way message, of any length that the peer accepts, once there is room.
    ///
    /// It is delivered exactly once and behind everything this task sent before, over as many
    /// connections as that takes; or the session ends and says what was not delivered. Dropping the
    /// future sends nothing, or all of the message, or makes the peer discard the begun part.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`], or that the session is over.
    #[inline]
    pub async fn send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        let route = route.into();
        if self.send_short(route, payload) {
            return Ok(());
        }
        self.send_head(Head::Message { route }, payload).await
    }

    /// Sends what needs neither waiting nor explaining: nearly everything.
    #[inline(always)]
    fn send_short(&self, route: Route, payload: &[u8]) -> bool {
        let mut inner = self.shared.lock();
        let staged = inner.stage_short(route, payload);
        if staged {
            self.shared.notify(inner);
        }
        staged
    }

    /// As [`send`](Self::send); the receipt resolves when the peer's application has taken the
    /// message.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_receipted(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<Receipt, SendError> {
        let head = Head::Message { route: route.into() };
        let mut sending = Sending::new(&self.shared, head, payload);
        sending.receipted = true;
        poll_fn(|cx| sending.poll(cx)).await?;
        Ok(Receipt { shared: Arc::clone(&self.shared), number: sending.receipt })
    }

    /// Asks, and waits for the one answer.
    ///
    /// Dropping the future cancels the request at the peer.
    ///
    /// # Errors
    ///
    /// Whether it was not sent, or its outcome is unknown. An error of the peer's application is
    /// not an error here but a [`Response`] with its [`Status`].
    pub async fn request(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<Response, RequestError> {
        let route = route.into();
        let id = self.reserve_call().await.map_err(RequestError::NotSent)?;
        let head = Head::Request { id, route };
        let mut asking =
            Asking { call: Call { shared: &self.shared, id: None }, reserved: Some(id) };
        self.send_head(head, payload).await.map_err(RequestError::NotSent)?;
        asking.reserved = None;
        asking.call.id = Some(id);
        poll_fn(|cx| asking.call.poll(cx)).await.map_err(RequestError::OutcomeUnknown)
    }

    /// Nothing more will be sent. Once the peer has finished too, the session ends.
    pub fn finish(&self) {
        self.shared.order(|orders| orders.finish = true);
    }

    /// Closes the present connection; the session survives and may be resumed.
    pub fn disconnect(&self, code: CloseCode) {
        self.shared.order(|orders| orders.close = Some((code, false)));
    }

    /// Ends the session now, whatever was not delivered.
    pub fn end(&self, code: CloseCode) {
        self.shared.order(|orders| orders.close = Some((code, true)));
    }

    /// Waits until the session is over.
    pub async fn closed(&self) -> Closed {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            match inner.closed() {
                Some(closed) => Poll::Ready(closed.clone()),
                None => {
                    inner.wait_for_room(cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The session's number, once the server gave it one.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.shared.lock().facts.id
    }

    /// Whether a connection carries the session now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.lock().facts.connected
    }

    /// Smoothed round trip in microseconds as of the last change of the connection; 0 before
    /// the first sample.
    #[must_use]
    pub fn rtt_us(&self) -> u32 {
        self.shared.lock().facts.rtt_us
    }

    /// Sends frame by frame, whenever there is room for one.
    async fn send_head(&self, head: Head, payload: &[u8]) -> Result<(), SendError> {
        let mut sending = Sending::new(&self.shared, head, payload);
        poll_fn(|cx| sending.poll(cx)).await
    }

    async fn reserve_call(&self) -> Result<RequestId, SendError> {
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            match inner.reserve_call() {
                Err(SendError::Full | SendError::NotOpen) => {
                    inner.wait_for_room(cx.waker());
                    Poll::Pending
                }
                done => Poll::Ready(done),
            }
        })
        .await
    }
}

/// A request from the reservation of its number to its response.
struct Asking<'a> {
    call: Call<'a>,
    /// Nothing of it is with the peer yet, or all that was is taken back.
    reserved: Option<RequestId>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.reserved {
            self.call.shared.lock().asked().release(id);
        }
    }
}

/// A request that waits for its response; dropped, it cancels.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    id: Option<RequestId>,
}

impl Call<'_> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Response, Closed>> {
        let Some(id) = self.id else {
            return Poll::Pending;
        };
        self.shared.lock().asked().poll_call(id, cx.waker()).map(|result| {
            self.id = None;
            result.map(|(status, payload)| Response { status, payload })
        })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            let mut inner = self.shared.lock();
            inner.abandon_call(id);
            self.shared.notify(inner);
        }
    }
}

/// A message on its way into the queue, perhaps in fragments.
struct Sending<'a> {
    shared: &'a Arc<Shared>,
    head: Head,
    payload: &'a [u8],
    /// How much of the payload is staged, once anything is.
    at: Option<usize>,
    /// Whether a receipt is wanted, and its number once everything is staged.
    receipted: bool,
    receipt: u64,
}

impl<'a> Sending<'a> {
    const fn new(shared: &'a Arc<Shared>, head: Head, payload: &'a [u8]) -> Self {
        Self { shared, head, payload, at: None, receipted: false, receipt: 0 }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let shared = self.shared;
        let mut inner = shared.lock();
        let result = self.stage(&mut inner);
        if let Err(SendError::Full | SendError::NotOpen) = result {
            inner.wait_for_room(cx.waker());
            shared.notify(inner);
            return Poll::Pending;
        }
        shared.notify(inner);
        Poll::Ready(result)
    }

    fn stage(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        let limit = inner.facts.max_message;
        if inner.facts.id.is_some() && self.payload.len() > limit {
            return Err(SendError::TooLarge { limit });
        }
        loop {
            // The fragments of this message are what others wait for.
            let mine = self.at.is_some();
            inner.set_open(inner.is_open() && !mine);
            let front = Front::of(self.head);
            let ahead = if mine { &[][..] } else { front.as_slice() };
            let rest = &self.payload[self.at.unwrap_or(0)..];
            let fits = inner.facts.max_body.saturating_sub(ahead.len());
            let part = &rest[..rest.len().min(fits)];
            let more = part.len() < rest.len();
            let checked = inner.check(ahead.len() + part.len());
            inner.set_open(inner.is_open() || mine);
            checked?;
            let (op, tag) = if mine { (Op::Continue, 0) } else { (front.op, front.tag) };
            let len = (ahead.len() + part.len()) as u16;
            inner.stage(Header::new(op, tag, len).with_more(more), ahead, part);
            self.at = more.then(|| self.at.unwrap_or(0) + part.len());
            inner.set_open(more);
            if !more {
                if self.receipted {
                    // Under the same lock: the owner must not take the frames in between.
                    self.receipt = inner.receipt();
                }
                return Ok(());
            }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if self.at.is_some() {
            let mut inner = self.shared.lock();
            inner.set_open(false);
            if inner.closed().is_none() {
                inner.stage(Header::new(Op::Continue, 1, 0), &[], &[]);
            }
            self.shared.notify(inner);
        }
    }
}

/// Resolves when the peer's application has taken a message.
#[derive(Debug)]
#[must_use = "a receipt tells nothing unless it is awaited"]
pub struct Receipt {
    shared: Arc<Shared>,
    number: u64,
}

impl Future for Receipt {
    type Output = Result<(), Closed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.shared.lock().asked().poll_receipt(self.number, cx.waker())
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.shared.lock().asked().forget_receipt(self.number);
    }
}

/// The duty to answer one request, from any task. Dropped unanswered, it answers
/// [`Status::INTERNAL`].
#[derive(Debug)]
#[must_use = "a request is answered with INTERNAL when its responder is dropped"]
pub struct Responder {
    shared: Option<Arc<Shared>>,
    id: RequestId,
}

impl Responder {
    pub(crate) const fn new(shared: Arc<Shared>, id: RequestId) -> Self {
        Self { shared: Some(shared), id }
    }

    /// Answers, once there is room.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLarge`] (the peer is answered [`Status::INTERNAL`]), or that the session is
    /// over.
    pub async fn respond(mut self, status: Status, payload: &[u8]) -> Result<(), SendError> {
        let Some(shared) = self.shared.clone() else {
            return Ok(());
        };
        let head = Head::Response { id: self.id, status };
        let result = Handle::new(shared).send_head(head, payload).await;
        if result.is_ok() {
            self.shared = None;
        }
        result
    }

    /// Answers that it went well.
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub async fn reply(self, payload: &[u8]) -> Result<(), SendError> {
        self.respond(Status::OK, payload).await
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            let mut inner = shared.lock();
            inner.answer_later(self.id, Status::INTERNAL);
            shared.notify(inner);
        }
    }
}
