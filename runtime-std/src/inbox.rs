//! Receiving instead of being called, by calls that block.
//!
//! ```
//! use outlast_std::inbox::{self, InboxConfig, Received};
//! use outlast_std::{Client, Responder, Server};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Each session has a thread that receives from it.
//!     let server = Server::builder().bind("127.0.0.1:0")?.start(|_| {
//!         let (inbox, mut receiver) = inbox::new(InboxConfig::default());
//!         std::thread::spawn(move || {
//!             while let Some(received) = receiver.recv() {
//!                 if let Received::Request { payload, responder, .. } = received {
//!                     let _ = Responder::from(responder).reply(&payload);
//!                 }
//!             }
//!         });
//!         inbox
//!     })?;
//!
//!     let (inbox, receiver) = inbox::new(InboxConfig::default());
//!     let handle = Client::builder().address(server.local_addr().to_string()).connect(inbox)?;
//!     assert_eq!(handle.request(1u8, b"ping")?.payload, "ping");
//!     assert_eq!(receiver.waiting(), (0, 0));
//!     server.shutdown(Duration::ZERO);
//!     Ok(())
//! }
//! ```

use std::time::Duration;

pub use outlast_service::inbox::{
    Inbox, InboxConfig, Received, Receiver as AsyncReceiver, RecvError, WhenFull,
};

use crate::handle::Handle;
use crate::runtime::Std;
use crate::thread::{block_on, block_on_timeout};

/// An inbox, which is a session's handler, and its receiver.
#[must_use]
pub fn new(config: InboxConfig) -> (Inbox, Receiver) {
    let (inbox, inner) = Inbox::new(&Std::new(), config);
    (inbox, Receiver { inner })
}

/// Takes what an [`Inbox`] keeps, in the order in which it came.
#[derive(Debug)]
pub struct Receiver {
    inner: AsyncReceiver,
}

impl Receiver {
    /// Waits for the next; `None` once the peer has finished or the session is over for good, and
    /// everything that came was received.
    pub fn recv(&mut self) -> Option<Received> {
        block_on(self.inner.recv())
    }

    /// As [`recv`](Self::recv), for at most `limit`.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if nothing came in that time, [`RecvError::Ended`] if nothing will.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Received, RecvError> {
        let received = block_on_timeout(self.inner.recv(), limit);
        received.ok_or(RecvError::Empty)?.ok_or(RecvError::Ended)
    }

    /// What is there now.
    ///
    /// # Errors
    ///
    /// [`RecvError::Empty`] if there is nothing, [`RecvError::Ended`] if nothing will come.
    pub fn try_recv(&mut self) -> Result<Received, RecvError> {
        self.inner.try_recv()
    }

    /// How many wait to be received, and the bytes of their payloads.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        self.inner.waiting()
    }

    /// How many found no room and were dropped, or refused.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.inner.dropped()
    }

    /// The session, once it is open.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.inner.handle().map(Handle::from)
    }
}
