//! Over TCP sockets of [`smoltcp`], which the application owns and polls.
//!
//! The bytes of a message are copied once in each direction: into the socket's transmit ring from
//! the session's, and from the socket's receive ring by whoever is told of them. There is no buffer
//! between. An unfinished frame stays in the socket's ring, and only one that goes round its end is
//! put together elsewhere, in [`Memory`](crate::Memory).
//!
//! # Sizes of the socket's rings
//!
//! * Transmit: at least 256 bytes, since the handshake is written in one piece, and more for the
//!   tokens and names it carries: [`Attach::hello_len`](crate::Attach::hello_len) counts them. As
//!   many as the session's ring has are good. The client sees its socket when it is polled and not
//!   before: with less room, each attempt fails and [`Client::failures`] counts it.
//! * Receive: at least 256 bytes. [`Config::window`](crate::Config::window) is good: what the peer
//!   may send fits then.
//!
//! # The order of calls
//!
//! 1. `iface.poll(now, device, sockets)`
//! 2. [`Client::poll`] or [`Server::poll`], which returns when it wants to be called next;
//! 3. again from 1 if [`poll_at`] is not later than now; else sleep until then, or until a frame
//!    comes.
//!
//! What the application says between two polls goes out with the next one, so poll after sending.

mod client;
mod server;
mod transfer;

use smoltcp::iface::{Interface, SocketSet};
use smoltcp::time;

use crate::Instant;

pub use client::{Client, ClientConfig};
pub use server::{Connection, Entropy, Place, Server};

/// When to poll next: when the interface wants to be, or the session, whichever comes first.
pub fn poll_at(
    iface: &mut Interface,
    now: time::Instant,
    sockets: &SocketSet<'_>,
    deadline: Option<time::Instant>,
) -> Option<time::Instant> {
    match (iface.poll_at(now, sockets), deadline) {
        (Some(iface), Some(session)) => Some(iface.min(session)),
        (one, None) | (None, one) => one,
    }
}

/// The core's reading of smoltcp's clock. Times before its epoch count as the epoch.
#[must_use]
pub fn to_core(now: time::Instant) -> Instant {
    Instant::from_micros(u64::try_from(now.total_micros()).unwrap_or(0))
}

/// smoltcp's reading of the core's clock.
#[must_use]
pub fn from_core(at: Instant) -> time::Instant {
    time::Instant::from_micros(i64::try_from(at.as_micros()).unwrap_or(i64::MAX))
}
