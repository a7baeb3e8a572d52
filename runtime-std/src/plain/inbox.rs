//! Receiving packets instead of being called with them, by calls that block.

use std::time::Duration;

use outlast_service::inbox::{InboxConfig, RecvError};
use outlast_service::plain::{PlainInbox, PlainReceived};

use super::PlainHandle;
use crate::runtime::Std;
use crate::thread::{block_on, block_on_timeout};

/// An inbox, which is a connection's handler, and its receiver.
#[must_use]
pub fn inbox(config: InboxConfig) -> (PlainInbox, PlainReceiver) {
    let (inbox, inner) = PlainInbox::new(&Std::new(), config);
    (inbox, PlainReceiver { inner })
}

/// Takes what a [`PlainInbox`] keeps, in the order in which it came.
#[derive(Debug)]
pub struct PlainReceiver {
    inner: outlast_service::plain::PlainReceiver,
}

impl PlainReceiver {
    /// Waits for the next; `None` once there will be no connection any more and everything that
    /// came was received.
    pub fn recv(&mut self) -> Option<PlainReceived> {
        block_on(self.inner.recv())
    }

    /// As [`recv`](Self::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if nothing came in that time, [`RecvError::Ended`] if nothing will.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<PlainReceived, RecvError> {
        let received = block_on_timeout(self.inner.recv(), limit);
        received.ok_or(RecvError::Empty)?.ok_or(RecvError::Ended)
    }

    /// What is there now.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is nothing, [`RecvError::Ended`] if nothing will come.
    pub fn try_recv(&mut self) -> Result<PlainReceived, RecvError> {
        self.inner.try_recv()
    }

    /// How many wait to be received, and the bytes of their payloads.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.inner.waiting()
    }

    /// How many found no room and were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    /// The connection, once there is one.
    #[must_use]
    pub fn handle(&self) -> Option<PlainHandle> {
        self.inner.handle().map(PlainHandle::from)
    }
}
