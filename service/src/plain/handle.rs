//! What other tasks use a connection without a session through.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use outlast_formats::{Cause, Extra, Failure, Format, Key, Kind, Packet};

use super::error::{PlainCause, PlainClosed, PlainError};
use super::handler::unix;
use super::shared::{Order, PlainInfo, PlainState, Shared, Waiting};
use crate::state::States;

/// A connection without a session, from any task; a client's, of all its connections one after the
/// other.
///
/// What is sent is queued, and lost with the connection: there is no acknowledgement and nothing is
/// sent again. A [`Handle`](crate::Handle) is what promises more.
#[derive(Debug, Clone)]
pub struct PlainHandle {
    shared: Arc<Shared>,
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainResponse {
    /// The number the answer came with, where the format has one: with RocketMQ its code.
    pub id: Option<u32>,
    /// What the peer answered.
    pub payload: Bytes,
}

impl PlainHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What it shares with the connection's task.
    pub(super) const fn share(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What others wait with for it.
    #[cfg(feature = "router")]
    pub(crate) fn timers(&self) -> &dyn crate::transport::Timers {
        self.shared.timers()
    }

    /// Sends a packet without waiting.
    ///
    /// # Errors
    ///
    /// [`PlainError::Full`] without room, which may end the connection
    /// ([`WhenFull`](super::WhenFull)); [`PlainError::Format`]; that there is no connection.
    pub fn try_send(&self, packet: &Packet<'_>) -> Result<(), PlainError> {
        self.shared.try_send(packet)
    }

    /// Sends a packet once there is room. Dropping the future sends nothing, or all of it.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), but for [`PlainError::Full`].
    pub async fn send(&self, packet: &Packet<'_>) -> Result<(), PlainError> {
        let mut waiting = Waiting::new(&self.shared);
        poll_fn(|cx| self.shared.poll_send(packet, &mut waiting, cx.waker())).await
    }

    /// Sends a request to number `id` and waits for the answer, for at most `limit`, which counts
    /// from the first poll and includes waiting for room. An answer that comes later is dropped.
    ///
    /// # Errors
    ///
    /// [`PlainError::TimedOut`]; that the connection ended before the answer came;
    /// [`PlainError::Format`] where the format has no requests.
    pub async fn request(
        &self,
        id: u32,
        payload: &[u8],
        limit: Duration,
    ) -> Result<PlainResponse, PlainError> {
        let mut timer = self.shared.timers().sleep(limit);
        let mut asking = pin!(self.ask(id, payload));
        poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => timer.as_mut().poll(cx).map(|()| Err(PlainError::TimedOut)),
        })
        .await
    }

    async fn ask(&self, id: u32, payload: &[u8]) -> Result<PlainResponse, PlainError> {
        let waiting = Waiting::new(&self.shared);
        let mut open = Open { shared: &self.shared, correlation: None, waiting };
        let correlation = poll_fn(|cx| open.begin(cx)).await?;
        self.send(&Packet::request(id, correlation, payload)).await?;
        poll_fn(|cx| self.shared.lock().calls.poll(correlation, cx.waker())).await
    }

    /// Reads nothing for now, so that the peer can send only as much as the transports hold. It is
    /// neither silent nor slow meanwhile, and that it has left is not noticed. The next connection
    /// of a client reads again.
    pub fn pause(&self) {
        self.shared.pause(true);
    }

    /// Reads on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.shared.pause(false);
    }

    /// Reads nothing more, sends what is queued and owed, and ends the connection. A client dials
    /// no more.
    pub fn finish(&self) {
        self.shared.order(Order::Finish);
    }

    /// Ends the connection now. A client dials no more.
    pub fn close(&self) {
        self.shared.order(Order::Close(PlainCause::Local));
    }

    /// Waits until there is a connection; false if there will be none any more.
    pub async fn connected(&self) -> bool {
        let mut waiting = Waiting::new(&self.shared);
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            match inner.info.state {
                PlainState::Connected { .. } => Poll::Ready(true),
                PlainState::Closed => Poll::Ready(false),
                PlainState::Disconnected
                | PlainState::Connecting { .. }
                | PlainState::Waiting { .. } => {
                    inner.wait(&mut waiting, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits until the present connection is over; at once if there is none.
    pub async fn closed(&self) -> Option<PlainClosed> {
        let mut waiting = Waiting::new(&self.shared);
        poll_fn(|cx| {
            let mut inner = self.shared.lock();
            if inner.info.state.is_connected() {
                inner.wait(&mut waiting, cx.waker());
                return Poll::Pending;
            }
            Poll::Ready(inner.closed)
        })
        .await
    }

    /// Whom the connection is with, and what it has carried.
    #[must_use]
    pub fn info(&self) -> PlainInfo {
        self.shared.lock().info()
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> PlainState {
        self.shared.lock().info.state
    }

    /// What it will be doing, from now on.
    #[must_use]
    pub fn states(&self) -> States {
        self.shared.states()
    }

    /// Whether packets go both ways now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.state().is_connected()
    }
}

/// A request from its number to its answer. Dropped, nobody waits any more.
struct Open<'a> {
    shared: &'a Shared,
    correlation: Option<u32>,
    waiting: Waiting<'a>,
}

impl Open<'_> {
    fn begin(&mut self, cx: &Context<'_>) -> Poll<Result<u32, PlainError>> {
        let mut inner = self.shared.lock();
        if let Err(error) = inner.check() {
            return Poll::Ready(Err(error));
        }
        match inner.calls.begin(self.shared.config.max_requests) {
            Some(correlation) => {
                self.correlation = Some(correlation);
                Poll::Ready(Ok(correlation))
            }
            None => {
                inner.wait(&mut self.waiting, cx.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(correlation) = self.correlation {
            let mut inner = self.shared.lock();
            inner.calls.forget(correlation);
            // Whoever waits for a number may have it.
            let waiting = inner.take_waiting();
            drop(inner);
            waiting.into_iter().for_each(std::task::Waker::wake);
        }
    }
}

/// The duty to answer one packet, in any task. Dropped unanswered, the peer is told that nobody
/// could, where the format can say so.
#[derive(Debug)]
pub struct PlainResponder {
    shared: Arc<Shared>,
    kind: Kind,
    id: Option<u32>,
    correlation: Option<u32>,
    /// The connection that the packet came over.
    connection: u64,
    done: bool,
}

impl PlainResponder {
    pub(super) fn new(shared: Arc<Shared>, to: &Packet<'_>) -> Self {
        let id = match to.key {
            Key::Id(id) => Some(id),
            Key::None | Key::Name(_) => None,
        };
        let mut inner = shared.lock();
        inner.owed += 1;
        let connection = inner.connection();
        drop(inner);
        Self { shared, kind: to.kind, id, correlation: to.correlation, connection, done: false }
    }

    /// Answers. It needs no room, for a peer can only ask so fast as it is read from.
    ///
    /// # Errors
    ///
    /// [`PlainError::Format`] (the peer is told of a failure, where the format can say so), or that
    /// the connection is over.
    pub fn respond(mut self, payload: &[u8]) -> Result<(), PlainError> {
        let to = self.asked();
        let failure = Failure { cause: Cause::Failed, text: None, unix: unix() };
        self.answer(|inner| {
            let reply = inner.reply(&to, payload.into());
            let written = inner.owe(|format, out| format.encode(&reply, out));
            if let Err(PlainError::Format(_)) = written {
                let fail = |format: &mut dyn Format, out: &mut Vec<u8>| {
                    format.encode_failure(&failure, Some(&to), out).map(drop)
                };
                let _ = inner.owe(fail);
            }
            written
        })
    }

    /// Lets it go unanswered: what came was no request after all.
    pub fn waive(mut self) {
        // It fails if there is nobody any more who could wait.
        let _ = self.answer(|_| Ok(()));
    }

    /// Tells the peer that it failed, in the format's own words unless `text` is given.
    ///
    /// # Errors
    ///
    /// As [`respond`](Self::respond).
    pub fn fail(mut self, cause: Cause, text: Option<&str>) -> Result<(), PlainError> {
        self.say_failed(cause, text)
    }

    fn say_failed(&mut self, cause: Cause, text: Option<&str>) -> Result<(), PlainError> {
        let to = self.asked();
        let failure = Failure { cause, text, unix: unix() };
        self.answer(|inner| {
            inner.owe(|format, out| format.encode_failure(&failure, Some(&to), out).map(drop))
        })
    }

    /// What is answered, as far as an answer needs it.
    fn asked(&self) -> Packet<'static> {
        Packet {
            kind: self.kind,
            key: self.id.map_or(Key::None, Key::Id),
            correlation: self.correlation,
            payload: Cow::Borrowed(&[]),
            extra: Extra::None,
        }
    }

    fn answer(
        &mut self,
        write: impl FnOnce(&mut super::shared::Inner) -> Result<(), PlainError>,
    ) -> Result<(), PlainError> {
        self.done = true;
        let mut inner = self.shared.lock();
        // The connection after it knows nothing of the question.
        if inner.connection() != self.connection {
            return Err(PlainError::NotConnected);
        }
        inner.owed -= 1;
        let written = write(&mut inner);
        self.shared.notify(inner);
        written
    }
}

impl Drop for PlainResponder {
    fn drop(&mut self) {
        if !self.done {
            // Nobody is left who would want to know.
            let _ = self.say_failed(Cause::Failed, None);
        }
    }
}
