//! The memory of one session, chosen where it is declared and of no size afterwards.

use core::fmt;

use outlast_core::{Config, ConfigError};

use crate::Session;

/// All the memory that one session and the connection that carries it keep beside their own state.
///
/// * `RING` bytes keep what was sent and is not acknowledged, behind the bits of open requests: as
///   many as [`Config::send_buffer`] says, or it is refused. More let more be under way: all of it
///   is used.
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
        let session = session(config, self.ring)?;
        check_frame(config, self.frame.len())?;
        Ok((session, self.frame))
    }
}

/// A session in a ring, for every client and every place of a server.
pub(crate) fn session<'m>(config: &Config, ring: &'m mut [u8]) -> Result<Session<'m>, SetupError> {
    let len = ring.len();
    let session = Session::client(*config, ring).map_err(SetupError::Config)?;
    check_ring(config, len)?;
    Ok(session)
}

/// Whether a ring of so many bytes is what the configuration says, which is enough for the bits of
/// open requests and a frame: with less, each connection would end before it carries anything.
pub(crate) fn check_ring(config: &Config, len: usize) -> Result<(), SetupError> {
    let needed = usize::try_from(config.send_buffer).unwrap_or(usize::MAX);
    if len < needed { Err(SetupError::Ring { needed }) } else { Ok(()) }
}

/// Whether so many bytes hold the longest frame that is accepted: a body behind four bytes of
/// header.
pub(crate) fn check_frame(config: &Config, len: usize) -> Result<(), SetupError> {
    let needed = usize::from(config.max_body) + 4;
    if len < needed { Err(SetupError::Frame { needed }) } else { Ok(()) }
}

impl<'m, const RING: usize, const FRAME: usize> From<&'m mut Resources<RING, FRAME>>
    for Memory<'m>
{
    fn from(resources: &'m mut Resources<RING, FRAME>) -> Self {
        Self { ring: &mut resources.ring, frame: &mut resources.frame }
    }
}

/// Why a client or a server cannot be had with this configuration and memory.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SetupError {
    /// A value is out of range, or something that is said in the handshake is too long for any.
    Config(ConfigError),
    /// The ring is smaller than [`Config::send_buffer`].
    Ring {
        /// Bytes it has to have.
        needed: usize,
    },
    /// The memory for a frame is too small for [`Config::max_body`], or that for bytes or packets
    /// of a stream for a handshake with what is said in it.
    Frame {
        /// Bytes it has to have.
        needed: usize,
    },
    /// There is no address to dial.
    NoAddress,
    /// A server has no place for a session.
    NoPlace,
    /// A server has fewer entries than places.
    Entries {
        /// How many it has to have.
        needed: usize,
    },
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
            Self::Ring { needed } => {
                write!(f, "the ring has to have {needed} bytes, which is `send_buffer`")
            }
            Self::Frame { needed } => {
                write!(
                    f,
                    "the memory for a frame, a packet or the handshake has to have {needed} bytes"
                )
            }
            Self::NoAddress => f.write_str("there is no address to dial"),
            Self::NoPlace => f.write_str("there is no place for a session"),
            Self::Entries { needed } => {
                write!(f, "there have to be {needed} entries, one for each place")
            }
        }
    }
}

impl core::error::Error for SetupError {}
