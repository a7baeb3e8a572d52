//! The firmware that the sizes are measured against: start-up code, and a loop that copies and
//! clears memory, because every program does that and the compiler's routines for it are not small.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

/// What must not link: see `memory.x`.
#[cfg(feature = "planted")]
static TOO_BIG: [u8; 48 * 1024] = [7; 48 * 1024];

#[cortex_m_rt::entry]
fn main() -> ! {
    #[cfg(feature = "planted")]
    black_box(&TOO_BIG);
    let (mut from, mut to) = ([1_u8; 64], [0_u8; 64]);
    loop {
        copy(black_box(&mut to), black_box(&from));
        from.fill(0);
        black_box(&mut from);
    }
}

#[inline(never)]
fn copy(to: &mut [u8], from: &[u8]) {
    let len = black_box(to.len()).min(from.len());
    if let (Some(to), Some(from)) = (to.get_mut(..len), from.get(..len)) {
        to.copy_from_slice(from);
    }
}
