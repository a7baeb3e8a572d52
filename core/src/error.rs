//! What a driver is told when a connection cannot go on.

use core::fmt;

use crate::code::CloseCode;

/// The peer broke a rule or a limit, and the connection is closing.
///
/// The CLOSE frame that tells the peer is among the output. Whether the session survives is a
/// property of the code: see [`CloseCode::scope`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Violation {
    pub(crate) code: CloseCode,
}

impl Violation {
    /// Which rule.
    #[must_use]
    pub const fn code(&self) -> CloseCode {
        self.code
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer broke the protocol: {}", self.code)
    }
}

impl core::error::Error for Violation {}
