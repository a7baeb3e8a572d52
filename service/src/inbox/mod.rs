//! Receiving instead of being called: a handler that queues, and a receiver that takes.
//!
//! ```
//! use outlast_service::inbox::{Inbox, InboxConfig, Received};
//! use std::time::Duration;
//!
//! # async fn example(runtime: impl outlast_service::Runtime) {
//! // The inbox is the session's handler: `connect(inbox)`, or what a server's factory returns.
//! let (inbox, mut receiver) = Inbox::new(&runtime, InboxConfig::default());
//! # drop(inbox);
//! while let Ok(received) = receiver.recv_timeout(Duration::from_secs(30)).await {
//!     match received {
//!         Received::Message { payload, .. } => println!("{} bytes", payload.len()),
//!         Received::Request { payload, responder, .. } => {
//!             let _ = responder.reply(&payload).await;
//!         }
//!         _ => {}
//!     }
//! }
//! # }
//! ```

mod queue;
mod receiver;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use outlast_core::wire::{Route, Status};
use outlast_core::{CloseCode, Position};

use crate::handle::Responder;
use crate::handler::{Handler, Incoming, Peer};
use crate::transport::Runtime;
#[cfg(feature = "formats")]
pub(crate) use queue::Payload;
pub(crate) use queue::Queue;
pub use receiver::Receiver;
#[cfg(feature = "formats")]
pub(crate) use receiver::recv_timeout;

/// How much may wait to be received, and what becomes of more.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct InboxConfig {
    /// So many may wait: at least 1.
    pub messages: usize,
    /// Bytes of their payloads that may wait; one payload may go beyond it.
    pub bytes: usize,
    /// What becomes of messages for which there is no room. A request for which there is none is
    /// answered [`Status::OVERLOADED`] in any case, and a best-effort message dropped.
    pub when_full: WhenFull,
}

/// What becomes of a message that finds the queue full.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The peer waits. A message counts as taken, and its credit goes back to the peer, when it is
    /// received from the queue: what waits is bounded by the session's window, whatever room was
    /// configured, and receipts tell that the application has it.
    ///
    /// Who waits for the peer's answer and receives nothing meanwhile may wait for ever, for an
    /// answer needs credit, too: give such requests a limit.
    ///
    /// Of connections without sessions nothing is read while the queue is full.
    Wait,
    /// It is dropped and counted. Messages count as taken when they come: the peer never waits.
    DropNewest,
    /// The session ends ([`CALM`](CloseCode::CALM)). Messages count as taken when they are received
    /// from the queue.
    End,
}

impl Default for InboxConfig {
    /// 1,024 messages, 1 MiB, and the peer waits.
    fn default() -> Self {
        Self { messages: 1_024, bytes: 1 << 20, when_full: WhenFull::Wait }
    }
}

/// What was received.
#[derive(Debug)]
#[non_exhaustive]
pub enum Received {
    /// A one-way message.
    Message {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: Bytes,
    },
    /// A request.
    Request {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: Bytes,
        /// The duty to answer it. Dropped, it answers [`Status::INTERNAL`].
        responder: Responder,
    },
    /// A best-effort message.
    Note {
        /// Where it is to go.
        route: Route,
        /// What the peer sent.
        payload: Bytes,
    },
}

impl Received {
    /// What the peer sent.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        match self {
            Self::Message { payload, .. }
            | Self::Request { payload, .. }
            | Self::Note { payload, .. } => payload,
        }
    }

    /// Where it is to go.
    #[must_use]
    pub const fn route(&self) -> Route {
        match self {
            Self::Message { route, .. }
            | Self::Request { route, .. }
            | Self::Note { route, .. } => *route,
        }
    }
}

/// Why nothing was received.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum RecvError {
    /// Nothing was there, or came within the time given.
    Empty,
    /// Nothing will come any more: the peer has finished, or it is over.
    Ended,
}

impl RecvError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Empty)
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing has come",
            Self::Ended => "nothing will come any more",
        })
    }
}

impl std::error::Error for RecvError {}

/// A session's handler that keeps what comes for a [`Receiver`].
///
/// Once the receiver is dropped, messages are dropped and counted, and requests answered
/// [`Status::NO_ROUTE`].
#[derive(Debug)]
pub struct Inbox {
    queue: Arc<Queue<Received>>,
    config: InboxConfig,
}

impl Inbox {
    /// An inbox and its receiver. The runtime tells the receiver's time.
    #[must_use]
    pub fn new<R: Runtime>(runtime: &R, config: InboxConfig) -> (Self, Receiver) {
        let queue = Arc::new(Queue::new(runtime));
        let receiver = Receiver::new(Arc::clone(&queue));
        (Self { queue, config }, receiver)
    }

    fn is_full(&self, len: usize) -> bool {
        let InboxConfig { messages, bytes, .. } = self.config;
        self.queue.is_full(messages, bytes, len)
    }

    fn take(&self, peer: &Peer<'_>, route: Route, payload: &[u8]) {
        let full = self.is_full(payload.len());
        let holds = match self.config.when_full {
            _ if self.queue.is_left() => return self.queue.drop_one(),
            WhenFull::DropNewest if full => return self.queue.drop_one(),
            WhenFull::End if full => {
                self.queue.drop_one();
                return peer.handle().end(CloseCode::CALM);
            }
            WhenFull::DropNewest => None,
            WhenFull::Wait | WhenFull::End => Some(peer.before),
        };
        let payload = Bytes::copy_from_slice(payload);
        self.queue.push(Received::Message { route, payload }, holds);
    }
}

impl Handler for Inbox {
    fn message(&mut self, peer: &mut Peer<'_>, route: Route, payload: &[u8]) {
        self.take(peer, route, payload);
    }

    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => self.take(peer, route, payload),
            Incoming::Request { id, route, payload } => {
                if self.queue.is_left() {
                    return;
                }
                if self.is_full(payload.len()) {
                    // It fails if nobody waits for the answer any more.
                    let _ = peer.respond(id, Status::OVERLOADED, &[]);
                    return self.queue.drop_one();
                }
                let (responder, payload) = (peer.defer(id), Bytes::copy_from_slice(payload));
                self.queue.push(Received::Request { route, payload, responder }, None);
            }
            Incoming::Note { route, payload } => {
                if self.queue.is_left() || self.is_full(payload.len()) {
                    return self.queue.drop_one();
                }
                let payload = Bytes::copy_from_slice(payload);
                self.queue.push(Received::Note { route, payload }, None);
            }
            Incoming::Opened => self.queue.opened(peer.handle()),
            Incoming::Finished | Incoming::Ended => self.queue.end(),
            // What waits is of the session that is lost: the next one counts anew.
            Incoming::Lost { .. } => self.queue.let_go(),
            _ => {}
        }
    }

    fn taken(&self, received: Position) -> Option<Position> {
        Some(self.queue.taken(received))
    }
}

/// The session is over for good, or its task is gone.
impl Drop for Inbox {
    fn drop(&mut self) {
        self.queue.end();
    }
}
