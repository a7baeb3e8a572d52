//! Receiving packets instead of being called with them.

use std::borrow::Cow;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use outlast_formats::{Cause, Key, Kind, Packet};

use super::handle::{PlainHandle, PlainResponder};
use super::handler::{PlainEvent, PlainHandler, PlainPeer};
use crate::inbox::{InboxConfig, Payload, Queue, RecvError, WhenFull, recv_timeout};
use crate::overview::lock;
use crate::transport::Runtime;

/// A packet that was received. What only one format has is not kept.
#[derive(Debug)]
#[non_exhaustive]
pub struct PlainReceived {
    /// What it is.
    pub kind: Kind,
    /// Where it is to go.
    pub key: Key<'static>,
    /// What ties an answer to its request, where the format has it.
    pub correlation: Option<u32>,
    /// The content.
    pub payload: Bytes,
    /// The duty to answer it, if it is a request.
    pub responder: Option<PlainResponder>,
}

impl Payload for PlainReceived {
    fn len(&self) -> usize {
        self.payload.len()
    }
}

/// What the handler and the receiver share.
#[derive(Debug)]
struct Both {
    queue: Queue<PlainReceived>,
    config: InboxConfig,
    handle: Mutex<Option<PlainHandle>>,
}

impl Both {
    /// Reads on if there is room for a while.
    fn resume(&self) {
        let (messages, bytes) = self.queue.waiting();
        if messages <= self.config.messages / 2
            && bytes <= self.config.bytes / 2
            && let Some(handle) = &*lock(&self.handle)
        {
            handle.resume();
        }
    }

    fn is_full(&self, len: usize) -> bool {
        self.queue.is_full(self.config.messages, self.config.bytes, len)
    }
}

/// A connection's handler that keeps packets for a [`PlainReceiver`]: a client's, those of all its
/// connections.
///
/// With [`WhenFull::Wait`] nothing is read while the queue is full; with the others a request that
/// finds no room is told that there is too much to do, where the format can say so. Once the
/// receiver is dropped, everything is dropped and counted.
#[derive(Debug)]
pub struct PlainInbox {
    both: Arc<Both>,
}

/// Takes what a [`PlainInbox`] keeps, in the order in which it came.
#[derive(Debug)]
pub struct PlainReceiver {
    both: Arc<Both>,
}

impl PlainInbox {
    /// An inbox and its receiver. The runtime tells the receiver's time.
    #[must_use]
    pub fn new<R: Runtime>(runtime: &R, config: InboxConfig) -> (Self, PlainReceiver) {
        let queue = Queue::new(runtime);
        let both = Arc::new(Both { queue, config, handle: Mutex::new(None) });
        (Self { both: Arc::clone(&both) }, PlainReceiver { both })
    }

    fn take(&self, peer: &mut PlainPeer<'_>, packet: &Packet<'_>) {
        let Both { queue, config, .. } = &*self.both;
        let (full, waits) = (self.both.is_full(packet.payload.len()), WhenFull::Wait);
        if queue.is_left() || full && config.when_full != waits {
            queue.drop_one();
            if packet.kind == Kind::Request {
                // A format that cannot say it says nothing.
                let _ = peer.fail(Some(packet), Cause::Busy, None);
            }
            if config.when_full == WhenFull::End && !queue.is_left() {
                peer.handle().close();
            }
            return;
        }
        let key = match &packet.key {
            Key::None => Key::None,
            Key::Id(id) => Key::Id(*id),
            Key::Name(name) => Key::Name(Cow::Owned(name.clone().into_owned())),
        };
        let responder = (packet.kind == Kind::Request).then(|| peer.defer(packet));
        let (kind, correlation) = (packet.kind, packet.correlation);
        let payload = Bytes::copy_from_slice(&packet.payload);
        queue.push(PlainReceived { kind, key, correlation, payload, responder }, None);
        if config.when_full == waits && self.both.is_full(1) {
            peer.handle().pause();
            // It may have been received in between.
            self.both.resume();
        }
    }
}

impl PlainHandler for PlainInbox {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        match event {
            PlainEvent::Connected => {
                *lock(&self.both.handle) = Some(peer.handle());
                if self.both.config.when_full == WhenFull::Wait && self.both.is_full(1) {
                    // By the connection before this one.
                    peer.handle().pause();
                    self.both.resume();
                }
            }
            PlainEvent::Packet(packet) => self.take(peer, packet),
            PlainEvent::Bad(_)
            | PlainEvent::Finished
            | PlainEvent::Closed(_)
            | PlainEvent::DialFailed { .. } => {}
        }
    }
}

/// There will be no connection any more.
impl Drop for PlainInbox {
    fn drop(&mut self) {
        self.both.queue.end();
    }
}

impl PlainReceiver {
    /// Waits for the next; `None` once there will be no connection any more and everything that
    /// came was received. Dropping the future takes nothing.
    pub async fn recv(&mut self) -> Option<PlainReceived> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if nothing came in that time, [`RecvError::Ended`] if nothing will.
    pub async fn recv_timeout(&mut self, limit: Duration) -> Result<PlainReceived, RecvError> {
        let received = recv_timeout(&self.both.queue, limit).await;
        self.both.resume();
        received
    }

    /// What is there now.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is nothing, [`RecvError::Ended`] if nothing will come.
    pub fn try_recv(&mut self) -> Result<PlainReceived, RecvError> {
        let received = self.both.queue.pop();
        self.both.resume();
        received
    }

    /// As [`recv`](Self::recv), for streams of other crates.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<PlainReceived>> {
        let polled = self.both.queue.poll(cx);
        self.both.resume();
        polled
    }

    /// How many wait to be received, and the bytes of their payloads.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.both.queue.waiting()
    }

    /// How many found no room and were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.both.queue.dropped()
    }

    /// The connection, once there is one.
    #[must_use]
    pub fn handle(&self) -> Option<PlainHandle> {
        lock(&self.both.handle).clone()
    }
}

impl Drop for PlainReceiver {
    fn drop(&mut self) {
        self.both.queue.leave();
        self.both.resume();
    }
}
