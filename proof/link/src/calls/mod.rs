//! The entries of the core, called with opaque arguments. New entries are added here and nowhere
//! else: one file per part of the core, all of them called by [`all`].

#[cfg(feature = "stateful")]
mod handshake;
#[cfg(feature = "stateful")]
mod session;
#[cfg(feature = "stateful")]
mod tables;
mod wire;

use core::hint::black_box;

/// Calls everything. What is returned only has to depend on every call.
#[cfg(feature = "stateful")]
pub(crate) fn all(input: &[u8], out: &mut [u8]) -> usize {
    wire::all(input, out)
        .wrapping_add(session::all(input, out))
        .wrapping_add(handshake::all(input, out))
        .wrapping_add(tables::all(input))
}

/// Calls what keeps no state.
#[cfg(not(feature = "stateful"))]
pub(crate) fn all(input: &[u8], out: &mut [u8]) -> usize {
    wire::all(input, out)
}

/// A number out of the input that no optimiser can foresee.
fn word(input: &[u8]) -> u64 {
    let step = |word: u64, byte: &u8| word.rotate_left(8) ^ u64::from(*byte);
    black_box(input.iter().take(16).fold(0, step))
}

#[cfg(feature = "stateful")]
fn now(word: u64) -> outlast_core::Instant {
    black_box(outlast_core::Instant::from_micros(word))
}

/// Makes a result count, so that what led to it cannot be left out.
#[cfg(feature = "stateful")]
fn keep<T>(value: T) -> usize {
    core::mem::size_of_val(&black_box(value))
}
