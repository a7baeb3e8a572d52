//! A library that calls every entry of the core, see the crate `entries`, and with the feature
//! `serial` a client over a serial line, with input the optimiser knows nothing about.
//!
//! The panic handler calls a symbol that is defined nowhere. If a panic can be reached from here,
//! the handler stays in the archive and the symbol with it; `cargo xtask proof` looks for it.
//! There is no allocator either, so anything that allocates does not build at all. The proof holds
//! for the compiler, the target and the profile it was made with, which is why it is made for
//! several targets and profiles.
#![no_std]

#[cfg(feature = "serial")]
mod serial;

use core::hint::black_box;
use core::panic::PanicInfo;

unsafe extern "C" {
    /// Never defined. Its presence in the archive is the finding.
    fn outlast_reachable_panic() -> !;
}

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: nothing can run this. The archive is inspected, never linked into a program.
    unsafe { outlast_reachable_panic() }
}

/// Everything that is proved, behind one entry that the linker has to keep.
///
/// # Safety
///
/// `input` and `out` must be valid for `input_len` and `out_len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn outlast_proof(
    input: *const u8,
    input_len: usize,
    out: *mut u8,
    out_len: usize,
) -> usize {
    // SAFETY: the caller's promise.
    let input = unsafe { core::slice::from_raw_parts(input, input_len) };
    // SAFETY: the caller's promise.
    let out = unsafe { core::slice::from_raw_parts_mut(out, out_len) };
    entries::all();
    let used = black_box(input.len().min(out.len()));
    #[cfg(feature = "serial")]
    let used = used.wrapping_add(serial::all(black_box(input), black_box(out)));
    #[cfg(feature = "panicking")]
    let used = used + usize::from(input[used]);
    #[cfg(feature = "allocating")]
    let used = used + alloc::vec::Vec::from(input).len();
    black_box(used)
}

#[cfg(feature = "allocating")]
extern crate alloc;
