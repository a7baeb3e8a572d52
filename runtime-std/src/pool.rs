//! Several sessions with one server, by calls that block.
//!
//! ```
//! use outlast_std::pool::PoolConfig;
//! use outlast_std::{Client, Incoming, Peer, Server, Status};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let server = Server::builder().bind("127.0.0.1:0")?.start(|_| {
//!         |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
//!             Incoming::Request { id, payload, .. } => {
//!                 let _ = peer.respond(id, Status::OK, payload);
//!             }
//!             Incoming::Finished => peer.finish(),
//!             _ => {}
//!         }
//!     })?;
//!     let client = Client::builder().address(server.local_addr().to_string());
//!     let pool = client.pool(PoolConfig::default(), |_| |_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//!     assert_eq!(pool.request(1u8, b"ping")?.payload, "ping");
//!     pool.shutdown(Duration::from_secs(1));
//!     server.shutdown(Duration::from_secs(1));
//!     Ok(())
//! }
//! ```

use std::time::Duration;

use outlast_core::wire::Route;
use outlast_service::Response;
pub use outlast_service::pool::{Pool as AsyncPool, PoolConfig, PoolError, PoolStats};

use crate::handle::Handle;
use crate::thread::block_on;

/// Sessions with one server. Clones are the same pool; when the last is dropped, and the last
/// [`Lease`], its sessions end at once. [`shutdown`](Self::shutdown) is the gentle end.
#[derive(Debug, Clone)]
pub struct Pool {
    inner: AsyncPool,
}

impl From<AsyncPool> for Pool {
    fn from(inner: AsyncPool) -> Self {
        Self { inner }
    }
}

impl Pool {
    /// The session that is used least, for as long as the lease is held. Waits for one as long as
    /// [`patience`](PoolConfig::patience) says.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`], [`PoolError::Full`], [`PoolError::Over`].
    pub fn get(&self) -> Result<Lease, PoolError> {
        block_on(self.inner.get()).map(Lease::from)
    }

    /// As [`get`](Self::get), waiting for at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, limit: Duration) -> Result<Lease, PoolError> {
        block_on(self.inner.get_timeout(limit)).map(Lease::from)
    }

    /// As [`get`](Self::get), without waiting.
    ///
    /// # Errors
    ///
    /// [`PoolError::Full`] if there is none to be had now; [`PoolError::Over`].
    pub fn try_get(&self) -> Result<Lease, PoolError> {
        self.inner.try_get().map(Lease::from)
    }

    /// Asks over whichever session, and waits for the answer. What a session that is over has not
    /// sent is asked over another.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::Request`].
    pub fn request(&self, route: impl Into<Route>, payload: &[u8]) -> Result<Response, PoolError> {
        block_on(self.inner.request(route, payload))
    }

    /// As [`request`](Self::request), for at most `limit`, in which waiting for a session counts.
    ///
    /// # Errors
    ///
    /// As [`request`](Self::request).
    pub fn request_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<Response, PoolError> {
        block_on(self.inner.request_timeout(route, payload, limit))
    }

    /// Sends a one-way message over whichever session, once there is room.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`PoolError::Send`].
    pub fn send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), PoolError> {
        block_on(self.inner.send(route, payload))
    }

    /// As [`send`](Self::send), for at most `limit`, in which waiting for a session counts.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_timeout(
        &self,
        route: impl Into<Route>,
        payload: &[u8],
        limit: Duration,
    ) -> Result<(), PoolError> {
        block_on(self.inner.send_timeout(route, payload, limit))
    }

    /// What it has, and has counted.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.inner.stats()
    }

    /// Gives out no session any more, finishes them all, waits for at most `grace` until everything
    /// has arrived and the server has finished, too, and ends what is left.
    pub fn shutdown(&self, grace: Duration) {
        block_on(self.inner.shutdown(grace));
    }
}

/// The use of a session of a pool, until it is dropped.
#[derive(Debug)]
#[must_use = "a session is in use for as long as its lease is held"]
pub struct Lease {
    handle: Handle,
    _use: outlast_service::pool::Lease,
}

impl From<outlast_service::pool::Lease> for Lease {
    fn from(lease: outlast_service::pool::Lease) -> Self {
        Self { handle: Handle::from((*lease).clone()), _use: lease }
    }
}

impl std::ops::Deref for Lease {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}
