//! The firmware that the sizes are measured against: start-up code, and a loop that copies and
//! clears memory, because every program does that and the compiler's routines for it are not small.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let (mut from, mut to) = ([1_u8; 64], [0_u8; 64]);
    loop {
        let len = black_box(64).min(from.len());
        to[..len].copy_from_slice(&black_box(&mut from)[..len]);
        black_box(&mut to)[..len].fill(0);
    }
}
