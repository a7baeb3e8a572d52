//! Every public call of the core as a function of its own, for the bound on its stack.
//!
//! `cargo xtask stack` builds this with the compiler's record of stack frames and follows the calls
//! from each function whose name begins with `core_`: those of the crate `entries`. The program is
//! never run. What a call returns by value lies with its caller, as always.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

/// Negative controls: what the bound must not overlook.
#[cfg(feature = "planted")]
mod planted {
    use core::hint::black_box;

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn core_planted_frame(seed: u8) -> u8 {
        let mut array = black_box([seed; 600]);
        black_box(&mut array)[usize::from(seed)]
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn core_planted_recursion(depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let below = black_box(core_planted_recursion(black_box(depth - 1)));
        below + core_planted_recursion(black_box(depth / 2))
    }

    #[unsafe(no_mangle)]
    #[inline(never)]
    fn core_planted_indirect(call: fn(u8) -> u8) -> u8 {
        black_box(call)(1) + 1
    }

    pub(super) fn call() {
        black_box(core_planted_frame(black_box(1)));
        black_box(core_planted_recursion(black_box(3)));
        black_box(core_planted_indirect(black_box(core_planted_frame)));
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    entries::all();
    #[cfg(feature = "planted")]
    planted::call();
    loop {
        cortex_m::asm::nop();
    }
}
