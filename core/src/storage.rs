//! The memory a session keeps, chosen by whoever creates it.

use core::fmt;

/// Bytes a session keeps its unacknowledged frames in.
///
/// One implementation of the session serves every platform: `[u8; N]` lives inside the session,
/// `&mut [u8]` in a static, and `Vec<u8>` (feature `alloc`) starts empty, grows while it is needed
/// and is given back when the session has been quiet for a while.
pub trait Storage {
    /// The bytes held now.
    fn as_slice(&self) -> &[u8];

    /// The bytes held now, mutably.
    fn as_mut_slice(&mut self) -> &mut [u8];

    /// Tries to hold at least `len` bytes, keeping the present ones at the front.
    ///
    /// # Errors
    ///
    /// [`Full`] if this memory cannot grow that far. Fixed memory never grows.
    fn grow(&mut self, len: usize) -> Result<(), Full> {
        let _ = len;
        Err(Full)
    }

    /// May give memory beyond `len` bytes back. Fixed memory does nothing.
    fn shrink(&mut self, len: usize) {
        let _ = len;
    }

    /// Whether [`grow`](Self::grow) may ever succeed.
    fn is_growable(&self) -> bool {
        false
    }
}

impl<const N: usize> Storage for [u8; N] {
    fn as_slice(&self) -> &[u8] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }
}

impl Storage for [u8] {
    fn as_slice(&self) -> &[u8] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }
}

impl Storage for &mut [u8] {
    fn as_slice(&self) -> &[u8] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }
}

#[cfg(feature = "alloc")]
impl Storage for alloc::vec::Vec<u8> {
    fn as_slice(&self) -> &[u8] {
        self
    }
    fn as_mut_slice(&mut self) -> &mut [u8] {
        self
    }
    fn grow(&mut self, len: usize) -> Result<(), Full> {
        let additional = len.saturating_sub(self.len());
        self.try_reserve_exact(additional).map_err(|_| Full)?;
        self.resize(len, 0);
        Ok(())
    }
    fn shrink(&mut self, len: usize) {
        self.truncate(len);
        self.shrink_to_fit();
    }
    fn is_growable(&self) -> bool {
        true
    }
}

/// There is no room now; it comes back as the peer acknowledges.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the send buffer is full: wait for Event::Writable, or raise send_buffer")
    }
}

impl core::error::Error for Full {}
