//! What the application is told of a connection without a session, and what it can do at once.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use outlast_formats::{Cause, Failure, Format, FormatError, Packet};

use super::error::{PlainClosed, PlainError};
use super::handle::{PlainHandle, PlainResponder};
use super::shared::{Order, Shared};

/// The application's side of one connection without a session; a client's, of all its connections
/// one after the other.
///
/// Events come in the order in which they happened, in the connection's task: a handler must not
/// block. A handler that panics takes its connection along, and nothing else.
pub trait PlainHandler: Send + 'static {
    /// Something happened.
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>);
}

impl<F: FnMut(&mut PlainPeer<'_>, PlainEvent<'_>) + Send + 'static> PlainHandler for F {
    #[inline]
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        self(peer, event);
    }
}

/// What happened. Each connection begins with [`Connected`](Self::Connected) and ends with
/// [`Closed`](Self::Closed), each once.
#[derive(Debug)]
#[non_exhaustive]
pub enum PlainEvent<'a> {
    /// There is a connection.
    Connected,
    /// A packet came that nobody waits for: a message, a request, or an answer nobody asked for.
    Packet(&'a Packet<'a>),
    /// Bytes came that are no packet. The peer was told, where the format can say so, and the
    /// connection goes on.
    Bad(FormatError),
    /// The peer will send nothing more; what is sent now still goes out.
    Finished,
    /// The connection is over.
    Closed(&'a PlainClosed),
    /// A client did not reach its server; it goes on trying, unless `retry_in` is `None`.
    DialFailed {
        /// Number of the attempt, counted from 1 over the client's life.
        attempt: u32,
        /// What went wrong.
        error: &'a std::io::Error,
        /// Time to the next attempt; `None` if there will be none.
        retry_in: Option<Duration>,
    },
}

/// The connection, as its handler sees it: no lock, no other task.
pub struct PlainPeer<'a> {
    pub(super) shared: &'a Arc<Shared>,
    /// What reads; none once the connection is over.
    pub(super) format: Option<&'a mut dyn Format>,
    /// What goes out next.
    pub(super) out: &'a mut Vec<u8>,
    pub(super) sent: &'a mut u64,
}

impl std::fmt::Debug for PlainPeer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainPeer").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl PlainPeer<'_> {
    /// Sends a packet, behind everything this handler sent before.
    ///
    /// # Errors
    ///
    /// [`PlainError::Full`] if a whole [`send_queue`](super::PlainConfig::send_queue) of what this
    /// handler sent waits; [`PlainError::Format`]; that there is no connection.
    pub fn send(&mut self, packet: &Packet<'_>) -> Result<(), PlainError> {
        let limit = self.shared.config.send_queue;
        if self.out.len() >= limit.saturating_mul(2) {
            return Err(PlainError::Full);
        }
        self.write(|format, out| format.encode(packet, out))?;
        Ok(())
    }

    /// The packet that answers `to`, as the format ties answers to what they answer.
    #[must_use]
    pub fn reply_to<'b>(&self, to: &Packet<'_>, payload: impl Into<Cow<'b, [u8]>>) -> Packet<'b> {
        self.shared.lock().reply(to, payload.into())
    }

    /// Answers a packet.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn respond(&mut self, to: &Packet<'_>, payload: &[u8]) -> Result<(), PlainError> {
        let reply = self.reply_to(to, payload);
        self.send(&reply)
    }

    /// Tells the peer that something failed, in the format's own words unless `text` is given;
    /// false if the format has none.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn fail(
        &mut self,
        about: Option<&Packet<'_>>,
        cause: Cause,
        text: Option<&str>,
    ) -> Result<bool, PlainError> {
        let failure = Failure { cause, text, unix: unix() };
        self.write(|format, out| format.encode_failure(&failure, about, out))
    }

    /// Everything that is written on a connection goes through one format value: it may count.
    fn write<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Format, &mut Vec<u8>) -> Result<T, FormatError>,
    ) -> Result<T, PlainError> {
        if self.format.is_none() {
            return Err(PlainError::NotConnected);
        }
        let before = self.out.len();
        let written = self.shared.lock().encode(write, self.out)?;
        *self.sent += u64::from(self.out.len() > before);
        Ok(written)
    }

    /// Takes the duty to answer a packet along, to any task.
    #[must_use]
    pub fn defer(&self, to: &Packet<'_>) -> PlainResponder {
        PlainResponder::new(Arc::clone(self.shared), to)
    }

    /// Whether the format tells requests from messages.
    pub fn has_requests(&mut self) -> bool {
        // What reads does not count what is written with it.
        let format = self.format.as_deref_mut();
        let asks = |format: &mut dyn Format| {
            format.encode(&Packet::request(1, 1, &[]), &mut Vec::new()).is_ok()
        };
        format.is_some_and(asks)
    }

    /// The next `count` bytes are no packets: they come as they are, in pieces.
    ///
    /// # Errors
    ///
    /// [`PlainError::Format`] where the format has nothing like it.
    pub fn expect_raw(&mut self, count: u64) -> Result<(), PlainError> {
        let format = self.format.as_deref_mut().ok_or(PlainError::NotConnected)?;
        Ok(format.expect_raw(count)?)
    }

    /// A handle to this connection for other tasks.
    #[must_use]
    pub fn handle(&self) -> PlainHandle {
        PlainHandle::new(Arc::clone(self.shared))
    }

    /// The connection's number on this server; 0 on a client.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.shared.lock().info.id
    }

    /// The other end's address.
    #[must_use]
    pub fn remote_addr(&self) -> Option<SocketAddr> {
        self.shared.lock().info.remote
    }

    /// Reads nothing more, sends what is queued and owed, and ends the connection.
    pub fn finish(&mut self) {
        self.shared.order(Order::Finish);
    }
}

/// Time since 1970, for formats that say it.
pub(super) fn unix() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
