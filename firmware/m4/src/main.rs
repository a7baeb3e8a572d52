//! The application on QEMU's `mps2-an386`: a Cortex-M4 with a LAN9118.
#![no_std]
#![no_main]

mod lan9118;
mod stack;

use core::mem::MaybeUninit;

use app::{Board, Kept};
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SCB, SYST};
use lan9118::{Buffer, Card};
use semihosting::process;
use static_cell::ConstStaticCell;

/// SysTick's counts in a microsecond, and the most it counts.
const PER_MICROSECOND: u64 = 25;
const MOST_TICKS: u32 = 0x00FF_FFFF;

static RX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);
static TX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);

/// The card's interrupt.
const CARD: CardLine = CardLine;

/// Interrupts are not taken here, only waited for: a pending one ends the sleep even while they are
/// disabled.
#[derive(Clone, Copy)]
struct CardLine;

// SAFETY: 13 is the card's line on this board.
unsafe impl InterruptNumber for CardLine {
    fn number(self) -> u16 {
        13
    }
}

/// Memory that the start-up code leaves alone.
#[unsafe(link_section = ".uninit.kept")]
static mut KEPT: MaybeUninit<Kept> = MaybeUninit::uninit();

struct Mps2 {
    card: Card,
    timer: SYST,
    kept: Option<&'static mut Kept>,
}

impl Board for Mps2 {
    type Card = Card;

    fn now(&mut self) -> u64 {
        self.card.micros()
    }

    fn card(&mut self) -> &mut Card {
        &mut self.card
    }

    fn sleep(&mut self, micros: u64) {
        let ticks = u32::try_from(micros * PER_MICROSECOND).unwrap_or(MOST_TICKS);
        self.timer.set_reload(ticks.clamp(1, MOST_TICKS));
        self.timer.clear_current();
        self.timer.enable_counter();
        self.card.arm();
        if !self.card.has_frame() {
            cortex_m::asm::wfi();
        }
        self.card.disarm();
        self.timer.disable_counter();
        SCB::clear_pendst();
        NVIC::unpend(CARD);
    }

    fn address(&self) -> [u8; 6] {
        self.card.address()
    }

    fn kept(&mut self) -> Option<&'static mut Kept> {
        self.kept.take()
    }

    fn reset(&mut self) {
        SCB::sys_reset();
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
    cortex_m::interrupt::disable();
    let Some(peripherals) = cortex_m::Peripherals::take() else { process::exit(8) };
    let mut timer = peripherals.SYST;
    timer.set_clock_source(SystClkSource::Core);
    timer.enable_interrupt();
    // SAFETY: interrupts are disabled, so there is none that could be taken.
    unsafe { NVIC::unmask(CARD) };
    let Some(card) = Card::new(RX.take(), TX.take()) else { process::exit(9) };
    // SAFETY: this is the only place that refers to it, any bytes are a value of it, and reading it
    // through a raw pointer keeps the compiler from assuming that nothing ever wrote it.
    let kept = unsafe { core::hint::black_box(&raw mut KEPT).cast::<Kept>().as_mut() };
    match app::run(&mut Mps2 { card, timer, kept }) {
        Ok(()) => process::exit(0),
        Err(failure) => process::exit(failure as i32),
    }
}
