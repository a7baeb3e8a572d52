//! The application on QEMU's `mps2-an386`: a Cortex-M4 with a LAN9118.
#![no_std]
#![no_main]

mod lan9118;
mod stack;

use app::Board;
use lan9118::{Buffer, Card};
use semihosting::process;
use static_cell::ConstStaticCell;

static RX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);
static TX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);

struct Mps2 {
    card: Card,
}

impl Board for Mps2 {
    type Card = Card;

    fn now(&mut self) -> u64 {
        self.card.micros()
    }

    fn card(&mut self) -> &mut Card {
        &mut self.card
    }

    fn address(&self) -> [u8; 6] {
        self.card.address()
    }

    fn stack_used(&self) -> usize {
        stack::used()
    }
}

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}

#[cortex_m_rt::exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    process::exit(111)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    stack::paint();
    let Some(card) = Card::new(RX.take(), TX.take()) else { process::exit(9) };
    match app::run(&mut Mps2 { card }) {
        Ok(()) => process::exit(0),
        Err(failure) => process::exit(failure as i32),
    }
}
