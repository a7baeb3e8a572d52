//! The memory of one session, chosen where it is declared and of no size afterwards.

use core::fmt;

use outlast_core::{Config, ConfigError};

use crate::Session;

/// All the memory that one session and the connection that carries it keep beside their own state.
///
/// * `RING` bytes keep what was sent and is not acknowledged, behind the bits of open requests: as
///   many as [`Config::send_buffer`] says. More let more be under way.
/// * `FRAME` bytes hold one received frame that does not lie in one piece: at least
///   [`Config::max_body`] + 4; more are of use only to a server, for greetings that carry tokens.
///
/// The sizes are gone once it is borrowed as [`Memory`], so that code for several sizes is compiled
/// once. It is made without running any code, so that a `static` holds it and no stack has to.
///
/// ```
/// use outlast_embedded::{Memory, Resources};
/// let mut resources = Resources::<512, 256>::new();
/// let memory: Memory<'_> = (&mut resources).into();
/// assert_eq!(memory.sizes(), (512, 256));
/// ```
#[derive(Debug)]
pub struct Resources<const RING: usize, const FRAME: usize> {
    ring: [u8; RING],
    frame: [u8; FRAME],
}

impl<const RING: usize, const FRAME: usize> Resources<RING, FRAME> {
    /// Zeroed memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: [0; RING], frame: [0; FRAME] }
    }
}

impl<const RING: usize, const FRAME: usize> Default for Resources<RING, FRAME> {
    fn default() -> Self {
        Self::new()
    }
}

/// [`Resources`] without their sizes.
#[derive(Debug)]
pub struct Memory<'m> {
    pub(crate) ring: &'m mut [u8],
    pub(crate) frame: &'m mut [u8],
}

impl<'m> Memory<'m> {
    /// Memory from elsewhere; the sizes are those of [`Resources`].
    #[must_use]
    pub const fn new(ring: &'m mut [u8], frame: &'m mut [u8]) -> Self {
        Self { ring, frame }
    }

    /// Bytes of the ring, and bytes for a frame.
    #[must_use]
    pub const fn sizes(&self) -> (usize, usize) {
        (self.ring.len(), self.frame.len())
    }

    /// A client's session in the ring, and the place for a frame.
    pub(crate) fn client(self, config: &Config) -> Result<(Session<'m>, &'m mut [u8]), SetupError> {
        let session = Session::client(*config, self.ring).map_err(SetupError::Config)?;
        let needed = frame_size(config);
        if self.frame.len() < needed {
            return Err(SetupError::Frame { needed });
        }
        Ok((session, self.frame))
    }
}

impl<'m, const RING: usize, const FRAME: usize> From<&'m mut Resources<RING, FRAME>>
    for Memory<'m>
{
    fn from(resources: &'m mut Resources<RING, FRAME>) -> Self {
        Self { ring: &mut resources.ring, frame: &mut resources.frame }
    }
}

/// Bytes of the longest frame that is accepted: a body behind four bytes of header.
pub(crate) fn frame_size(config: &Config) -> usize {
    usize::from(config.max_body) + 4
}

/// Why a client or a server cannot be had with this configuration and memory.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetupError {
    /// A value is out of range.
    Config(ConfigError),
    /// The memory for a frame is too small for [`Config::max_body`], or that for bytes or packets
    /// of a stream for a handshake.
    Frame {
        /// Bytes it has to have.
        needed: usize,
    },
    /// There is no address to dial.
    NoAddress,
    /// The memory for tables has no entry.
    NoPlace,
}

impl From<ConfigError> for SetupError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Frame { needed } => {
                write!(f, "the memory for a frame or a packet has to have {needed} bytes")
            }
            Self::NoAddress => f.write_str("there is no address to dial"),
            Self::NoPlace => f.write_str("there is no place for a session"),
        }
    }
}

impl core::error::Error for SetupError {}
