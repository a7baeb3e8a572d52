//! Connections that speak another system's format (feature `formats`): the same runtimes, limits
//! and listeners as sessions have, and none of their guarantees.
//!
//! A [`Handle`](crate::Handle) is a session's: what it sends arrives once and in order, or it says
//! what did not. A [`PlainHandle`] is a connection's: what it sends is queued, and lost with the
//! connection. The two types are kept apart so that nobody takes one for the other.
//!
//! ```
//! use outlast_formats::Kind;
//! use outlast_service::plain::{PlainEvent, PlainPeer};
//!
//! /// Sends every packet back.
//! fn echo(peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
//!     if let PlainEvent::Packet(packet) = event {
//!         let reply = peer.reply_to(&packet, packet.payload.clone());
//!         // An error here is a connection that ends anyway, and says so.
//!         let _ = peer.send(&reply);
//!     }
//! }
//! # let _ = (echo, Kind::OneWay);
//! ```

mod calls;
mod client;
mod drive;
mod error;
mod group;
mod handle;
mod handler;
mod inbox;
mod server;
mod shared;

use std::time::Duration;

use outlast_core::ConfigError;

pub use crate::outgoing::{Batch, WhenFull};
pub use client::{PlainClientConfig, PlainRunner};
pub use error::{PlainCause, PlainClosed, PlainError};
pub use group::PlainServerEvent;
pub use handle::{PlainHandle, PlainResponder, PlainResponse};
pub use handler::{PlainEvent, PlainHandler, PlainPeer};
pub use inbox::{PlainInbox, PlainReceived, PlainReceiver};
pub use outlast_formats as formats;
pub use server::{PlainServer, PlainServerHandle, PlainServerStats};
pub use shared::{PlainInfo, PlainState};

/// Limits and deadlines of connections without sessions. None can be left out; a limit that should
/// not bind is set high.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct PlainConfig {
    /// Bytes that may wait to be sent: at least 1. While so many answers do, nothing is read from
    /// the peer either. One packet may go beyond it.
    pub send_queue: usize,
    /// What a send does that finds the queue full, where nobody waits.
    pub when_full: WhenFull,
    /// Requests of each end that may be open, 1 to 65,536. While so many answers are owed, nothing
    /// is read.
    pub max_requests: u32,
    /// After so long without a byte from the peer the connection is over: 1 ms to 49 days.
    pub idle_timeout: Duration,
    /// A packet that has begun has to be complete after this: 1 ms to 49 days.
    pub packet_timeout: Duration,
    /// A peer that takes nothing for so long loses the connection: 1 ms to 49 days.
    pub write_timeout: Duration,
    /// How often the end that dialled shows that it lives, where the format has heartbeats; zero
    /// for never. The other end answers each.
    pub heartbeat: Duration,
    /// Whether small packets wait for others, so that one write carries many. An end that closes
    /// does not wait.
    pub batch: Option<Batch>,
    /// How many times in a row the peer may send what is no packet, where the format can go on.
    pub max_bad: u32,
}

impl Default for PlainConfig {
    /// 256 KiB, refused when full, 1,024 requests, 60 s idle, 10 s for a packet, 30 s for a
    /// write, a sign of life every 30 s, no batches, 16 mistakes in a row.
    fn default() -> Self {
        Self {
            send_queue: 256 << 10,
            when_full: WhenFull::Refuse,
            max_requests: 1024,
            idle_timeout: Duration::from_secs(60),
            packet_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            heartbeat: Duration::from_secs(30),
            batch: None,
            max_bad: 16,
        }
    }
}

impl PlainConfig {
    /// Checks every value.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const LONGEST: u64 = u32::MAX as u64;
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let items = [
            ("send_queue", self.send_queue as u64, 1, 1 << 30),
            ("max_requests", u64::from(self.max_requests), 1, 65_536),
            ("idle_timeout_ms", ms(self.idle_timeout), 1, LONGEST),
            ("packet_timeout_ms", ms(self.packet_timeout), 1, LONGEST),
            ("write_timeout_ms", ms(self.write_timeout), 1, LONGEST),
            ("heartbeat_ms", ms(self.heartbeat), 0, LONGEST),
        ];
        items
            .iter()
            .try_for_each(|(key, value, min, max)| ConfigError::check(key, *value, *min, *max))?;
        self.batch.as_ref().map_or(Ok(()), Batch::validate)
    }
}
