//! What other tasks use a session through.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use outlast_core::wire::{Header, Op, RequestId, Route, Status};
use outlast_core::{CloseCode, Head};

use crate::encode::Front;
use crate::error::{Closed, RequestError, SendError};
use crate::figures::SessionInfo;
use crate::shared::{Inner, Shared, Waiting};
use crate::state::{LinkState, States};

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

    /// What it shares with the session's owner.
    pub(crate) const fn share(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What stands behind the handle.
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Sends a one-way message without waiting.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] without room, unless [`WhenFull`](crate::WhenFull) says otherwise,
    /// [`SendError::TooLongForFrame`] for what fits no frame,
    /// [`SendError::NotOpen`] before the session exists, or that it is over.
    #[inline]
    pub fn try_send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        let route = route.into();
        if self.send_short(route, payload) {
            return Ok(());
        }
        let mut inner = self.shared.lock();
        let result = match inner.stage_message(route, payload) {
            Err(SendError::Full) => {
                inner.overflow(self.shared.ground.outgoing.when_full, route, payload)
            }
            result => result,
        };
        self.shared.notify(inner);
        result
    }

    /// Sends the newest value of something, such as a position: what was sent of `route` in this
    /// way before is replaced as long as it waits. It waits until everything that was sent before
    /// is with the transport, so that a slow peer gets fewer values and never old ones. Each
    /// value that is sent at all arrives once, but not in order with messages sent otherwise.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send); [`SendError::Full`] if values of 256 other routes wait.
    pub fn send_latest(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        let mut inner = self.shared.lock();
        inner.keep_latest(route.into(), payload)?;
        self.shared.notify(inner);
        Ok(())
    }

    /// Messages of this session that found no room and were refused or dropped.
    #[must_use]
    pub fn turned_down(&self) -> u64 {
        self.shared.lock().turned_down
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
        let mut inner = self.shared.lock_briefly();
        let staged = inner.stage_short(route, payload);
        if staged {
            self.shared.notify_briefly(inner);
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

    /// Waits until the peer's application has taken everything that was sent before, by whichever
    /// task. Nothing sent means nothing to wait for.
    ///
    /// # Errors
    ///
    /// That the session is over and not everything is known to have arrived.
    pub async fn flushed(&self) -> Result<(), Closed> {
        let number = {
            let mut inner = self.shared.lock();
            if let Some(closed) = inner.closed() {
                return if closed.complete { Ok(()) } else { Err(closed.clone()) };
            }
            if !inner.facts.has_sid {
                return Ok(());
            }
            let number = inner.receipt();
            self.shared.notify(inner);
            number
        };
        Receipt { shared: Arc::clone(&self.shared), number }.await
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
        self.ask(route.into(), payload, &AtomicBool::new(false)).await
    }

    /// As [`request`](Self::request), for at most `limit`. The time counts from the first poll,
    /// and includes waiting for room and for a connection. When it is over, the request is
    /// cancelled at the peer.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request), and [`RequestError::TimedOut`], or
    /// [`RequestError::NotSent`] with [`SendError::TimedOut`] if not all of it was sent by then.
    pub async fn request_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Response, RequestError> {
        let sent = AtomicBool::new(false);
        let mut timer = self.shared.timers().sleep(limit);
        let mut asking = pin!(self.ask(route.into(), payload, &sent));
        poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| {
                Err(if sent.load(Ordering::Relaxed) {
                    RequestError::TimedOut
                } else {
                    RequestError::NotSent(SendError::TimedOut)
                })
            }),
        })
        .await
    }

    /// Asks, and notes when all of the request is sent.
    async fn ask(
        &self,
        route: Route,
        payload: &[u8],
        sent: &AtomicBool,
    ) -> Result<Response, RequestError> {
        let mut call = Call { shared: &self.shared, id: None, sent: false };
        let head = Head::Request { id: RequestId(0), route };
        let mut sending = Sending::new(&self.shared, head, payload);
        poll_fn(|cx| {
            if call.sent {
                return call.poll(cx);
            }
            let asked = call.ask(&mut sending, cx);
            sent.store(call.sent, Ordering::Relaxed);
            asked
        })
        .await
    }

    /// Nothing more will be sent. Once the peer has finished too, the session ends.
    pub fn finish(&self) {
        self.shared.order(|orders| orders.finish = true);
    }

    /// Closes the present connection, if there is one; the session survives and may be resumed.
    pub fn disconnect(&self, code: CloseCode) {
        self.shared.order(|orders| orders.close = Some((code, false)));
    }

    /// Ends the session now, whatever was not delivered, with or without a connection. A peer that
    /// has none is told when it comes back.
    pub fn end(&self, code: CloseCode) {
        self.shared.order(|orders| orders.close = Some((code, true)));
    }

    /// Waits until the session is over, and the transport has what was to be said about that: who
    /// has waited may end the program.
    pub async fn closed(&self) -> Closed {
        let mut generation = None;
        let mut waiting = Waiting::new(&self.shared);
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            // It may have been replaced before this task could look.
            let generation = *generation.get_or_insert_with(|| inner.generation());
            match inner.check_generation(generation) {
                Err(closed) if !inner.is_parting() => Poll::Ready(closed),
                Ok(()) | Err(_) => {
                    inner.wait_for_room(&mut waiting, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The session's number, once the server gave it one.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        self.shared.lock().facts.id()
    }

    /// Whether a connection carries the session now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.lock().facts.connected
    }

    /// What the session shows of itself; `None` if it is a client's.
    #[must_use]
    pub fn info(&self) -> Option<SessionInfo> {
        self.shared.info()
    }

    /// What the connection is doing: on a client, whether it dials, and when it will again.
    #[must_use]
    pub fn state(&self) -> LinkState {
        self.shared.state()
    }

    /// What the connection will be doing, from now on.
    #[must_use]
    pub fn states(&self) -> States {
        self.shared.states()
    }

    /// Smoothed round trip in microseconds as of when the session's task last had nothing to do; 0
    /// before the first sample.
    #[must_use]
    pub fn rtt_us(&self) -> u32 {
        self.shared.lock().facts.rtt_us
    }

    /// Sends frame by frame, whenever there is room for one.
    async fn send_head(&self, head: Head, payload: &[u8]) -> Result<(), SendError> {
        let mut sending = Sending::new(&self.shared, head, payload);
        poll_fn(|cx| sending.poll(cx)).await
    }
}

/// A request from the reservation of its number to its response. Dropped, it cancels.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    id: Option<RequestId>,
    /// All of it is staged. Before that nothing of it is with the peer, or what was is taken back.
    sent: bool,
}

impl Call<'_> {
    /// Reserves a number, stages the request and begins to wait: each as soon as it can be, and
    /// mostly all under one lock.
    fn ask(
        &mut self,
        sending: &mut Sending<'_>,
        cx: &Context<'_>,
    ) -> Poll<Result<Response, RequestError>> {
        let mut inner = self.shared.lock();
        let staged = self.reserve(sending, &mut inner).and_then(|id| {
            sending.stage(&mut inner)?;
            Ok(id)
        });
        let mut refused = None;
        match staged {
            Ok(id) => {
                self.sent = true;
                // Nobody else could have seen the request yet.
                let _ = inner.poll_call(id, cx.waker());
            }
            Err(SendError::Full | SendError::NotOpen) => {
                inner.wait_for_room(&mut sending.waiting, cx.waker());
            }
            Err(error) => refused = Some(RequestError::NotSent(error)),
        }
        if self.id.is_some() {
            self.shared.notify(inner);
        }
        refused.map_or(Poll::Pending, |error| Poll::Ready(Err(error)))
    }

    /// Takes a free number, for the session that there is at the first attempt.
    fn reserve(
        &mut self,
        sending: &mut Sending<'_>,
        inner: &mut Inner,
    ) -> Result<RequestId, SendError> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let generation = *sending.generation.get_or_insert_with(|| inner.generation());
        let reserved = inner.reserve_call(generation)?;
        if let Head::Request { id, .. } = &mut sending.head {
            *id = reserved;
        }
        self.id = Some(reserved);
        Ok(reserved)
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Response, RequestError>> {
        let Some(id) = self.id else {
            return Poll::Pending;
        };
        let (polled, wake) = self.shared.lock().poll_call(id, cx.waker());
        wake.into_iter().for_each(Waker::wake);
        polled.map(|result| {
            self.id = None;
            result.map(|(status, payload)| Response { status, payload })
        })
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let Some(id) = self.id else {
            return;
        };
        let mut inner = self.shared.lock();
        let wake = if self.sent { inner.abandon_call(id) } else { inner.release_call(id) };
        self.shared.notify(inner);
        wake.into_iter().for_each(Waker::wake);
    }
}

/// A message on its way into the queue, perhaps in fragments.
struct Sending<'a> {
    shared: &'a Arc<Shared>,
    head: Head,
    payload: &'a [u8],
    /// How much of the payload is staged, once anything is.
    at: Option<usize>,
    /// The session that it is for, once that is known.
    generation: Option<u32>,
    /// Whether a receipt is wanted, and its number once everything is staged.
    receipted: bool,
    receipt: u64,
    waiting: Waiting<'a>,
}

impl<'a> Sending<'a> {
    fn new(shared: &'a Arc<Shared>, head: Head, payload: &'a [u8]) -> Self {
        Self {
            shared,
            head,
            payload,
            at: None,
            generation: None,
            receipted: false,
            receipt: 0,
            waiting: Waiting::new(shared),
        }
    }

    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<(), SendError>> {
        let shared = self.shared;
        let mut inner = shared.lock();
        let result = self.stage(&mut inner);
        if let Err(SendError::Full | SendError::NotOpen) = result {
            inner.wait_for_room(&mut self.waiting, cx.waker());
            shared.notify(inner);
            return Poll::Pending;
        }
        shared.notify(inner);
        Poll::Ready(result)
    }

    fn stage(&mut self, inner: &mut Inner) -> Result<(), SendError> {
        // A message that began in a session that is lost must not go on in the next.
        let generation = *self.generation.get_or_insert_with(|| inner.generation());
        inner.check_generation(generation).map_err(SendError::Closed)?;
        let limit = inner.facts.max_message as usize;
        if inner.facts.has_sid && self.payload.len() > limit {
            return Err(SendError::TooLarge { limit });
        }
        loop {
            // The fragments of this message are what others wait for.
            let mine = self.at.is_some();
            inner.set_open(inner.is_open() && !mine);
            let front = Front::of(self.head);
            let ahead = if mine { &[][..] } else { front.as_slice() };
            let rest = &self.payload[self.at.unwrap_or(0)..];
            let fits = usize::from(inner.facts.max_body).saturating_sub(ahead.len());
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
                if let Head::Request { id, .. } = self.head {
                    inner.mark_call(id);
                }
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
        if self.at.is_none() {
            return;
        }
        let mut inner = self.shared.lock();
        // What began in a session that is over ended with it.
        if self.generation == Some(inner.generation()) && inner.facts.has_sid {
            inner.set_open(false);
            inner.stage(Header::new(Op::Continue, 1, 0), &[], &[]);
        }
        self.shared.notify(inner);
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
    /// The session that the request came in.
    generation: u32,
}

impl Responder {
    pub(crate) fn new(shared: Arc<Shared>, id: RequestId) -> Self {
        let generation = shared.lock().generation();
        Self { shared: Some(shared), id, generation }
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
        let mut sending = Sending::new(&shared, head, payload);
        sending.generation = Some(self.generation);
        let result = poll_fn(|cx| sending.poll(cx)).await;
        drop(sending);
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

    /// Answers with a status and nothing else, which needs no room and so no waiting.
    pub fn decline(mut self, status: Status) {
        self.settle(status);
    }

    fn settle(&mut self, status: Status) {
        if let Some(shared) = self.shared.take() {
            let mut inner = shared.lock();
            inner.answer_later(self.generation, self.id, status);
            shared.notify(inner);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.settle(Status::INTERNAL);
    }
}
