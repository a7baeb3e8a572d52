//! QEMU's `mps2-an386`: a Cortex-M4 with a LAN9118.
#![no_std]

pub mod lan9118;

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SCB, SYST};
use lan9118::{Buffer, Card};

/// SysTick's counts in a microsecond, and the most it counts.
const PER_MICROSECOND: u64 = 25;
const MOST_TICKS: u32 = 0x00FF_FFFF;

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

/// The board: its card, and a timer that ends sleeps.
pub struct Mps2 {
    card: Card,
    timer: SYST,
}

impl Mps2 {
    /// Switches on what is used, with memory for one frame in each direction, and disables
    /// interrupts. `None` if somebody has done so before, or there is no card.
    pub fn take(rx: &'static mut Buffer, tx: &'static mut Buffer) -> Option<Self> {
        cortex_m::interrupt::disable();
        let mut timer = cortex_m::Peripherals::take()?.SYST;
        timer.set_clock_source(SystClkSource::Core);
        timer.enable_interrupt();
        // SAFETY: interrupts are disabled, so there is none that could be taken.
        unsafe { NVIC::unmask(CARD) };
        Some(Self { card: Card::new(rx, tx)?, timer })
    }

    /// Microseconds since the start; must be called once in 171 s.
    pub fn now(&mut self) -> u64 {
        self.card.micros()
    }

    /// The network card.
    pub fn card(&mut self) -> &mut Card {
        &mut self.card
    }

    /// Sleeps until the card has a frame or this many microseconds have passed, or about 600 ms.
    pub fn sleep(&mut self, micros: u64) {
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

    /// Resets the board.
    pub fn reset(&mut self) -> ! {
        SCB::sys_reset()
    }
}
