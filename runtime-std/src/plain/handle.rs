//! Connections without sessions from any thread, by calls that block.

use std::time::Duration;

use outlast_service::plain::formats::Packet;
use outlast_service::plain::{PlainClosed, PlainError, PlainInfo, PlainResponse, PlainState};

use crate::states::States;
use crate::thread::{block_on, block_on_timeout};

/// A connection without a session, from any thread; a client's, of all its connections one after
/// the other.
///
/// Calls that wait block their thread, which is parked meanwhile. In a handler that is wrong for
/// the handler's own connection: use [`PlainPeer`](super::PlainPeer), or another thread.
#[derive(Debug, Clone)]
pub struct PlainHandle {
    inner: outlast_service::plain::PlainHandle,
}

impl From<outlast_service::plain::PlainHandle> for PlainHandle {
    /// What [`PlainPeer::handle`](super::PlainPeer::handle) and
    /// [`PlainServerHandle::get`](super::PlainServerHandle::get) give.
    fn from(inner: outlast_service::plain::PlainHandle) -> Self {
        Self { inner }
    }
}

impl PlainHandle {
    /// The handle whose calls are futures, for [`block_on`] or an executor.
    #[must_use]
    pub const fn inner(&self) -> &outlast_service::plain::PlainHandle {
        &self.inner
    }

    /// Sends a packet without waiting.
    ///
    /// # Errors
    ///
    /// [`PlainError::Full`] without room, which may end the connection
    /// ([`WhenFull`](super::WhenFull)); [`PlainError::Format`]; that there is no connection.
    pub fn try_send(&self, packet: &Packet<'_>) -> Result<(), PlainError> {
        self.inner.try_send(packet)
    }

    /// Sends a packet once there is room.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send), but for [`PlainError::Full`].
    pub fn send(&self, packet: &Packet<'_>) -> Result<(), PlainError> {
        block_on(self.inner.send(packet))
    }

    /// As [`send`](Self::send), for at most `limit`; nothing was sent then.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`PlainError::TimedOut`].
    pub fn send_timeout(&self, packet: &Packet<'_>, limit: Duration) -> Result<(), PlainError> {
        let sent = block_on_timeout(self.inner.send(packet), limit);
        sent.unwrap_or(Err(PlainError::TimedOut))
    }

    /// Sends a request to number `id` and waits for the answer, for at most `limit`, which includes
    /// waiting for room. An answer that comes later is dropped.
    ///
    /// # Errors
    ///
    /// [`PlainError::TimedOut`]; that the connection ended before the answer came;
    /// [`PlainError::Format`] where the format has no requests.
    pub fn request(
        &self,
        id: u32,
        payload: &[u8],
        limit: Duration,
    ) -> Result<PlainResponse, PlainError> {
        block_on(self.inner.request(id, payload, limit))
    }

    /// Reads nothing more, sends what is queued and owed, and ends the connection. A client dials
    /// no more.
    pub fn finish(&self) {
        self.inner.finish();
    }

    /// Ends the connection now. A client dials no more.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Waits until there is a connection; false if there will be none any more.
    #[must_use]
    pub fn connected(&self) -> bool {
        block_on(self.inner.connected())
    }

    /// As [`connected`](Self::connected), for at most `limit`; false if that was not long enough.
    #[must_use]
    pub fn connected_timeout(&self, limit: Duration) -> bool {
        block_on_timeout(self.inner.connected(), limit).unwrap_or(false)
    }

    /// Waits until the present connection is over; at once if there is none. How it ended, if there
    /// was one.
    #[must_use]
    pub fn closed(&self) -> Option<PlainClosed> {
        block_on(self.inner.closed())
    }

    /// As [`closed`](Self::closed), for at most `limit`; `None` as well if it is not over by then,
    /// which [`is_connected`](Self::is_connected) tells.
    #[must_use]
    pub fn closed_timeout(&self, limit: Duration) -> Option<PlainClosed> {
        block_on_timeout(self.inner.closed(), limit).flatten()
    }

    /// Whom the connection is with, and what it has carried.
    #[must_use]
    pub fn info(&self) -> PlainInfo {
        self.inner.info()
    }

    /// What it is doing.
    #[must_use]
    pub fn state(&self) -> PlainState {
        self.inner.state()
    }

    /// What it will be doing, from now on.
    #[must_use]
    pub fn states(&self) -> States {
        self.inner.states().into()
    }

    /// Whether packets go both ways now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }
}
