//! Fields at known places, and lengths.

use alloc::vec::Vec;

use crate::error::FormatError;

/// The `N` bytes at `at`, if they are there.
#[inline]
pub(crate) fn field<const N: usize>(input: &[u8], at: usize) -> Option<[u8; N]> {
    input.get(at..)?.first_chunk().copied()
}

/// A length from the wire; one that does not fit this machine is over any limit.
#[inline]
pub(crate) fn length(announced: u32, limit: usize) -> Result<usize, FormatError> {
    match usize::try_from(announced) {
        Ok(length) if length <= limit => Ok(length),
        Ok(_) | Err(_) => Err(FormatError::TooLong { length: announced.into(), limit }),
    }
}

/// `length` as the wire has it, if it may be sent.
pub(crate) fn announce(length: usize, limit: usize) -> Result<u32, FormatError> {
    match u32::try_from(length) {
        Ok(announced) if length <= limit => Ok(announced),
        Ok(_) | Err(_) => Err(FormatError::TooLongToSend { length, limit }),
    }
}

/// Appends what `write` writes, or nothing if it fails.
pub(crate) fn append<T>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<T, FormatError>,
) -> Result<T, FormatError> {
    let start = out.len();
    let written = write(out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}
