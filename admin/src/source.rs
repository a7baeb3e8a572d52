//! What is shown: a server, whatever its connections speak.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outlast_service::{ServerHandle, Statistics};

/// A server that can be looked at. [`ServerHandle`] is one, and with the feature `formats` so is
/// `PlainServerHandle`.
pub trait Source: Send + Sync + 'static {
    /// What it has counted since its start.
    fn statistics(&self) -> Statistics;

    /// Whether it takes nobody any more.
    fn is_draining(&self) -> bool;

    /// At most `most` of its sessions, or connections.
    fn rows(&self, most: usize) -> Vec<Row>;
}

/// One session, or one connection without, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// Its number.
    pub id: u64,
    /// The other end's address.
    pub remote: Option<SocketAddr>,
    /// What it is doing: a word.
    pub state: &'static str,
    /// How long ago it began.
    pub age: Duration,
    /// How long ago it last did anything.
    pub quiet: Duration,
    /// Messages or packets received.
    pub messages_in: u64,
    /// The same, sent.
    pub messages_out: u64,
    /// Bytes of them, received.
    pub bytes_in: u64,
    /// The same, sent.
    pub bytes_out: u64,
    /// Smoothed round trip; zero if it is not known.
    pub rtt: Duration,
    /// How often it was resumed.
    pub resumes: u32,
    /// Bytes that wait to be sent, or to be acknowledged.
    pub waiting: usize,
}

impl Source for ServerHandle {
    fn statistics(&self) -> Statistics {
        self.statistics_since_start()
    }

    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn rows(&self, most: usize) -> Vec<Row> {
        let now = Instant::now();
        let rows = self.some_sessions(most).into_iter().map(|info| Row {
            id: info.id,
            remote: info.remote,
            state: info.state.name(),
            age: now.saturating_duration_since(info.opened_at),
            quiet: now.saturating_duration_since(info.active_at),
            messages_in: info.messages_in,
            messages_out: info.messages_out,
            bytes_in: info.bytes_in,
            bytes_out: info.bytes_out,
            rtt: info.rtt,
            resumes: info.resumes,
            waiting: info.queued + info.unacknowledged,
        });
        rows.collect()
    }
}

#[cfg(feature = "formats")]
impl Source for outlast_service::plain::PlainServerHandle {
    fn statistics(&self) -> Statistics {
        self.statistics_since_start()
    }

    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }

    fn rows(&self, most: usize) -> Vec<Row> {
        let now = Instant::now();
        let since =
            |at: Option<Instant>| at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let rows = self.some_connections(most).into_iter().map(|info| Row {
            id: info.id,
            remote: info.remote,
            state: info.state.name(),
            age: since(info.connected_at),
            quiet: since(info.heard_at.max(info.sent_at)),
            messages_in: info.packets_in,
            messages_out: info.packets_out,
            bytes_in: info.bytes_in,
            bytes_out: info.bytes_out,
            rtt: Duration::ZERO,
            resumes: 0,
            waiting: info.queued,
        });
        rows.collect()
    }
}
