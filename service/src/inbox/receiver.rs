//! The end of an inbox from which one receives.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::queue::{Payload, Queue};
use super::{Received, RecvError};
use crate::handle::Handle;

/// Takes what an [`Inbox`](super::Inbox) keeps, in the order in which it came.
///
/// A message that is held for it ([`WhenFull::Wait`](super::WhenFull::Wait)) counts as taken when it
/// is received; the peer hears of that when nothing is left, or with the next 4 KiB.
#[derive(Debug)]
pub struct Receiver {
    queue: Arc<Queue<Received>>,
}

impl Receiver {
    pub(super) const fn new(queue: Arc<Queue<Received>>) -> Self {
        Self { queue }
    }

    /// Waits for the next; `None` once the peer has finished or the session is over for good, and
    /// everything that came was received. Dropping the future takes nothing.
    pub async fn recv(&mut self) -> Option<Received> {
        poll_fn(|cx| self.queue.poll(cx)).await
    }

    /// As [`recv`](Self::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if nothing came in that time, [`RecvError::Ended`] if nothing will.
    pub async fn recv_timeout(&mut self, limit: Duration) -> Result<Received, RecvError> {
        recv_timeout(&self.queue, limit).await
    }

    /// What is there now.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is nothing, [`RecvError::Ended`] if nothing will come.
    pub fn try_recv(&mut self) -> Result<Received, RecvError> {
        self.queue.pop()
    }

    /// As [`recv`](Self::recv), for streams of other crates.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Received>> {
        self.queue.poll(cx)
    }

    /// How many wait to be received, and the bytes of their payloads.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.queue.waiting()
    }

    /// How many found no room and were dropped, or refused.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// The session, once it is open.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.queue.handle()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.queue.leave();
    }
}

/// The next, if it comes in time.
pub(crate) async fn recv_timeout<T: Payload>(
    queue: &Queue<T>,
    limit: Duration,
) -> Result<T, RecvError> {
    let mut timer = queue.timers().sleep(limit);
    let mut receiving = pin!(poll_fn(|cx| queue.poll(cx)));
    poll_fn(|cx| match receiving.as_mut().poll(cx) {
        Poll::Ready(received) => Poll::Ready(received.ok_or(RecvError::Ended)),
        Poll::Pending => timer.as_mut().poll(cx).map(|()| Err(RecvError::Empty)),
    })
    .await
}
