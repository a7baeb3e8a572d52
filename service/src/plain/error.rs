//! How a connection without a session ends, and what can go wrong on it.

use std::fmt;
use std::io;

use outlast_formats::FormatError;

/// How a connection came to its end.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainCause {
    /// The peer ended it, between two packets.
    Finished,
    /// The peer ended it within a packet, which is lost.
    Truncated {
        /// Bytes of that packet that came.
        have: usize,
        /// Bytes that it would have had at least.
        need: usize,
    },
    /// The peer sent what its format does not allow.
    Malformed(FormatError),
    /// Nothing was heard of the peer for [`idle_timeout`](super::PlainConfig::idle_timeout).
    Silence,
    /// A packet that had begun was not complete within
    /// [`packet_timeout`](super::PlainConfig::packet_timeout).
    PacketTimeout,
    /// The peer took nothing for [`write_timeout`](super::PlainConfig::write_timeout).
    WriteTimeout,
    /// A message found the queue full, and the connection is ended in that case.
    Overflow,
    /// The peer sent more than it may, and is disconnected in that case.
    TooFast,
    /// The transport failed.
    Transport(io::ErrorKind),
    /// This end closed it.
    Local,
    /// Its task was dropped, or its handler panicked.
    Dropped,
}

impl PlainCause {
    /// Whether another connection may do better though nobody does anything about it: false where
    /// the peer does not keep the format, and where this end wanted or caused the end.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Finished
            | Self::Truncated { .. }
            | Self::Silence
            | Self::PacketTimeout
            | Self::WriteTimeout
            | Self::Overflow
            | Self::TooFast
            | Self::Transport(_) => true,
            Self::Malformed(_) | Self::Local | Self::Dropped => false,
        }
    }
}

impl fmt::Display for PlainCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("the peer ended the connection"),
            Self::Truncated { have, need } => {
                write!(f, "the connection ended after {have} of at least {need} bytes of a packet")
            }
            Self::Malformed(error) => write!(f, "the peer does not keep the format: {error}"),
            Self::Silence => f.write_str("the peer was silent"),
            Self::PacketTimeout => f.write_str("a packet was begun and not completed in time"),
            Self::WriteTimeout => f.write_str("the peer took nothing for too long"),
            Self::Overflow => f.write_str("the peer was too slow for what it was sent"),
            Self::TooFast => f.write_str("the peer sent more than it may"),
            Self::Transport(kind) => write!(f, "the transport failed: {kind}"),
            Self::Local => f.write_str("this end closed the connection"),
            Self::Dropped => f.write_str("the connection's task is gone"),
        }
    }
}

/// The end of a connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainClosed {
    /// How it came to its end.
    pub cause: PlainCause,
    /// Bytes that were queued and never given to the transport. Of those that were, nobody knows
    /// how many arrived: that is what sessions are for.
    pub unsent: usize,
}

impl fmt::Display for PlainClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {} bytes were not sent", self.cause, self.unsent)
    }
}

impl std::error::Error for PlainClosed {}

/// Why a packet was not sent, or a request not answered.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainError {
    /// The queue is full; [`PlainHandle::send`](super::PlainHandle::send) waits for room.
    Full,
    /// There is no connection now.
    NotConnected,
    /// The connection is over, or was before the answer came.
    Closed(PlainClosed),
    /// The format cannot say this, or the peer would not take it.
    Format(FormatError),
    /// The time given for it is over. A request may have been done or not.
    TimedOut,
    /// No such connection.
    NoSuchConnection(u64),
}

impl PlainError {
    /// Whether the same call may succeed later, over another connection perhaps. A request whose
    /// answer did not come may have been done all the same.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Full | Self::NotConnected | Self::TimedOut => true,
            Self::Closed(closed) => closed.cause.is_retryable(),
            Self::Format(_) | Self::NoSuchConnection(_) => false,
        }
    }
}

impl fmt::Display for PlainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room to send now: wait with `send`, or drop the packet"),
            Self::NotConnected => f.write_str("there is no connection now"),
            Self::Closed(closed) => write!(f, "the connection is over: {closed}"),
            Self::Format(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the time given for it is over"),
            Self::NoSuchConnection(id) => write!(f, "there is no connection {id}"),
        }
    }
}

impl std::error::Error for PlainError {}

impl From<FormatError> for PlainError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}
