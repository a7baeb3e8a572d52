//! The application on QEMU's `mps2-an386`: a Cortex-M4 with a LAN9118.
#![no_std]
#![no_main]

mod stack;

#[cfg(feature = "reset")]
use core::mem::MaybeUninit;

use app::Board;
#[cfg(feature = "reset")]
use app::Kept;
use mps2::Mps2;
use mps2::lan9118::{Buffer, Card};
use semihosting::process;
use static_cell::ConstStaticCell;

static RX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);
static TX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);

/// Memory that the start-up code leaves alone.
#[cfg(feature = "reset")]
#[unsafe(link_section = ".uninit.kept")]
static mut KEPT: MaybeUninit<Kept> = MaybeUninit::uninit();

/// What must not link: see `memory.x`.
#[cfg(feature = "planted")]
static TOO_BIG: [u8; 8 * 1024] = [7; 8 * 1024];

struct Here {
    board: Mps2,
    #[cfg(feature = "reset")]
    kept: Option<&'static mut Kept>,
}

impl Board for Here {
    type Card = Card;

    fn now(&mut self) -> u64 {
        self.board.now()
    }

    fn card(&mut self) -> &mut Card {
        self.board.card()
    }

    fn sleep(&mut self, micros: u64) {
        self.board.sleep(micros);
    }

    fn address(&mut self) -> [u8; 6] {
        self.board.card().address()
    }

    #[cfg(feature = "reset")]
    fn kept(&mut self) -> Option<&'static mut Kept> {
        self.kept.take()
    }

    #[cfg(feature = "reset")]
    fn reset(&mut self) {
        self.board.reset();
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
    #[cfg(feature = "planted")]
    core::hint::black_box(&TOO_BIG);
    let Some(board) = Mps2::take(RX.take(), TX.take()) else { process::exit(9) };
    let mut here = Here {
        board,
        // SAFETY: this is the only place that refers to it, any bytes are a value of it, and
        // reading it through a raw pointer keeps the compiler from assuming that nothing ever
        // wrote it.
        #[cfg(feature = "reset")]
        kept: unsafe { core::hint::black_box(&raw mut KEPT).cast::<Kept>().as_mut() },
    };
    match app::run(&mut here) {
        Ok(()) => process::exit(0),
        Err(failure) => process::exit(failure as i32),
    }
}
