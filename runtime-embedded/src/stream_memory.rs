//! The memory of a client over a stream of bytes.

use crate::Memory;

/// As [`Resources`](crate::Resources), for a client over a stream that has no buffers to lend.
///
/// * `RING` bytes keep what was sent and is not acknowledged, as there.
/// * `IN` bytes hold what was received until it is whole frames: at least 256 for the handshake,
///   more where a server's greeting names another address, and
///   [`Config::max_body`](crate::Config::max_body) + 4. More make reads fewer.
/// * `OUT` bytes are being written: at least 256, and as many as
///   [`Attach::hello_len`](crate::Attach::hello_len) counts where the greeting carries long tokens
///   or names. More make writes fewer.
///
/// What is too small is a [`SetupError`](crate::SetupError) with the number of bytes.
#[derive(Debug)]
pub struct StreamResources<const RING: usize, const IN: usize, const OUT: usize> {
    ring: [u8; RING],
    inbox: [u8; IN],
    outbox: [u8; OUT],
}

impl<const RING: usize, const IN: usize, const OUT: usize> StreamResources<RING, IN, OUT> {
    /// Zeroed memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: [0; RING], inbox: [0; IN], outbox: [0; OUT] }
    }
}

impl<const RING: usize, const IN: usize, const OUT: usize> Default
    for StreamResources<RING, IN, OUT>
{
    fn default() -> Self {
        Self::new()
    }
}

/// [`StreamResources`] without their sizes.
#[derive(Debug)]
pub struct StreamMemory<'m> {
    pub(crate) frame: Memory<'m>,
    pub(crate) outbox: &'m mut [u8],
}

impl<'m> StreamMemory<'m> {
    /// Memory from elsewhere; the sizes are those of [`StreamResources`].
    #[must_use]
    pub const fn new(ring: &'m mut [u8], inbox: &'m mut [u8], outbox: &'m mut [u8]) -> Self {
        Self { frame: Memory::new(ring, inbox), outbox }
    }
}

impl<'m, const RING: usize, const IN: usize, const OUT: usize>
    From<&'m mut StreamResources<RING, IN, OUT>> for StreamMemory<'m>
{
    fn from(resources: &'m mut StreamResources<RING, IN, OUT>) -> Self {
        let StreamResources { ring, inbox, outbox } = resources;
        Self::new(ring, inbox, outbox)
    }
}
