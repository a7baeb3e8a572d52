//! The application on QEMU's riscv32 `virt`, with virtio-net.
#![no_std]
#![no_main]

mod card;

use app::Board;
use card::Card;
use semihosting::process;

/// The core-local timer: its counter, which runs at 10 MHz, and when it interrupts next.
const COUNTER: *const u32 = 0x0200_BFF8 as *const u32;
const COMPARE: *mut u32 = 0x0200_4000 as *mut u32;
const PER_MICROSECOND: u64 = 10;
/// The card's interrupt is not set up, so sleeps are short.
const NAP: u64 = 200;

fn counter() -> u64 {
    loop {
        // SAFETY: the counter is two words of a mapped device; reading it does nothing.
        let (high, low, again) = unsafe {
            let high = COUNTER.add(1);
            (high.read_volatile(), COUNTER.read_volatile(), high.read_volatile())
        };
        if high == again {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

struct Virt {
    card: Card,
}

impl Board for Virt {
    type Card = Card;

    fn now(&mut self) -> u64 {
        counter() / PER_MICROSECOND
    }

    fn card(&mut self) -> &mut Card {
        &mut self.card
    }

    fn sleep(&mut self, micros: u64) {
        if self.card.has_frame() {
            return;
        }
        let until = counter() + micros.min(NAP) * PER_MICROSECOND;
        // SAFETY: the first store puts the moment out of reach while the words do not belong
        // together. Interrupts are off, so a pending one only ends the sleep.
        unsafe {
            COMPARE.add(1).write_volatile(u32::MAX);
            COMPARE.write_volatile(until as u32);
            COMPARE.add(1).write_volatile((until >> 32) as u32);
            riscv::register::mie::set_mtimer();
        }
        riscv::asm::wfi();
    }

    fn address(&mut self) -> [u8; 6] {
        self.card.address()
    }
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}

#[riscv_rt::entry]
fn main() -> ! {
    let Some(card) = Card::find() else { process::exit(9) };
    match app::run(&mut Virt { card }) {
        Ok(()) => process::exit(0),
        Err(failure) => process::exit(failure as i32),
    }
}
