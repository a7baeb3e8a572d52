//! What a pool cannot do, and whether to try again.

use std::fmt;

use crate::error::{RequestError, SendError};

/// Why a pool did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// Every session is used as much as may be, or not connected, and as many wait for one as may.
    Full,
    /// No session was to be had within the time given.
    TimedOut,
    /// The pool was shut down.
    Over,
    /// What the session says of the request.
    Request(RequestError),
    /// What the session says of the message.
    Send(SendError),
}

impl PoolError {
    /// Whether the same call may succeed later. Whether a request may run twice then is what
    /// [`RequestError::is_safe_to_repeat`] says.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Full | Self::TimedOut => true,
            Self::Over => false,
            Self::Request(error) => error.is_retryable(),
            // Another session takes the place of the one that is over.
            Self::Send(SendError::Closed(closed)) => closed.is_retryable(),
            Self::Send(error) => error.is_retryable(),
        }
    }
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("every session is in use, and too many wait for one"),
            Self::TimedOut => f.write_str("no session was to be had within the time given"),
            Self::Over => f.write_str("the pool was shut down"),
            Self::Request(error) => error.fmt(f),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full | Self::TimedOut | Self::Over => None,
            Self::Request(error) => Some(error),
            Self::Send(error) => Some(error),
        }
    }
}
