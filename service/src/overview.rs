//! What a server shows: its sessions, its counters, and what can be sent to many.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use outlast_core::wire::Route;

use crate::error::SendError;
use crate::handle::Handle;
use crate::shared::Shared;

/// Whom a session is with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The session's number.
    pub id: u64,
    /// The other end's address when the session began.
    pub remote: Option<SocketAddr>,
    /// Whether a connection carries it now.
    pub connected: bool,
}

/// What a server has counted, and what it has now.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections now.
    pub connections: usize,
    /// Sessions now, with and without connection.
    pub sessions: usize,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused for want of room.
    pub refused: u64,
    /// Handshakes that failed.
    pub failed_handshakes: u64,
    /// Sessions begun.
    pub created: u64,
    /// Sessions resumed on another connection.
    pub resumed: u64,
}

/// What became of a message to many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Sessions it was queued for.
    pub sent: usize,
    /// Sessions it was not queued for, and why.
    pub failed: Vec<(u64, SendError)>,
}

/// What does not depend on the handlers' type.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) draining: AtomicBool,
    pub(crate) connections: AtomicUsize,
    pub(crate) handshakes: AtomicUsize,
    pub(crate) accepted: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed_handshakes: AtomicU64,
    pub(crate) created: AtomicU64,
    pub(crate) resumed: AtomicU64,
    /// Who waits for a free handshake, for the drain, or for its end.
    pub(crate) waiting: Mutex<Vec<Waker>>,
    pub(crate) directory: Mutex<HashMap<u64, Arc<Shared>>>,
}

impl Common {
    pub(crate) fn wake_all(&self) {
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// Counts a connection, and its handshake as long as that lasts, however they end.
pub(crate) struct Counted {
    pub(crate) common: Arc<Common>,
}

impl Counted {
    pub(crate) fn greeted(&self) {
        self.common.handshakes.fetch_sub(1, Ordering::AcqRel);
        self.common.wake_all();
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.common.connections.fetch_sub(1, Ordering::AcqRel);
        self.common.wake_all();
    }
}

/// A server, from any task.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    pub(crate) common: Arc<Common>,
}

impl ServerHandle {
    /// Every session, with and without connection.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionInfo> {
        lock(&self.common.directory)
            .iter()
            .map(|(id, shared)| SessionInfo {
                id: *id,
                remote: shared.remote,
                connected: shared.lock().facts.connected,
            })
            .collect()
    }

    /// The session with this number.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<Handle> {
        let directory = lock(&self.common.directory);
        directory.get(&id).map(|shared| Handle::new(Arc::clone(shared)))
    }

    /// Sends a one-way message to one session, without waiting.
    ///
    /// # Errors
    ///
    /// As [`Handle::try_send`]; [`SendError::NotOpen`] if there is no such session.
    pub fn send_to(
        &self,
        id: u64,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.get(id).ok_or(SendError::NotOpen)?.try_send(route, payload)
    }

    /// Sends a one-way message to a set of sessions, without waiting for any of them.
    pub fn send_to_many(
        &self,
        ids: impl IntoIterator<Item = u64>,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Report {
        let route = route.into();
        let mut report = Report::default();
        for id in ids {
            match self.send_to(id, route, payload) {
                Ok(()) => report.sent += 1,
                Err(error) => report.failed.push((id, error)),
            }
        }
        report
    }

    /// Sends a one-way message to every session, without waiting for any of them.
    pub fn broadcast(&self, route: impl Into<Route>, payload: &[u8]) -> Report {
        let ids: Vec<u64> = lock(&self.common.directory).keys().copied().collect();
        self.send_to_many(ids, route, payload)
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let common = &self.common;
        ServerStats {
            connections: common.connections.load(Ordering::Acquire),
            sessions: lock(&common.directory).len(),
            accepted: common.accepted.load(Ordering::Relaxed),
            refused: common.refused.load(Ordering::Relaxed),
            failed_handshakes: common.failed_handshakes.load(Ordering::Relaxed),
            created: common.created.load(Ordering::Relaxed),
            resumed: common.resumed.load(Ordering::Relaxed),
        }
    }
}

/// A lock whose holder may have panicked: every change under it is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
