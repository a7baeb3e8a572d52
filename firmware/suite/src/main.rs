//! A subject of the conformance suite on a Cortex-M4: a server or a client of `outlast-embedded`
//! over smoltcp, told what to do over a control line as `docs/conformance.md` describes it.
//!
//! The command line, which QEMU passes on, is `suite CONTROL SERVER SEED`: the port at which the
//! board dials its control line, the port of the host at which its own server is reached,
//! and what tells this boot from others.
#![no_std]
#![no_main]

extern crate alloc;

mod line;
mod network;
mod orders;
mod roles;
mod subjects;
mod tell;

use embedded_alloc::LlffHeap;
use mps2::Mps2;
use mps2::lan9118::Buffer;
use network::Network;
use roles::Role;
use semihosting::{eprintln, process};
use static_cell::ConstStaticCell;

static RX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);
static TX: ConstStaticCell<Buffer> = ConstStaticCell::new([0; 1520]);

/// Bytes for what the suite says and hears; sessions have rings of their own.
const HEAP: usize = 3 << 20;
#[global_allocator]
static ALLOCATOR: LlffHeap = LlffHeap::empty();

/// Where the board has its large memory, and how much of it: the rings of all sessions.
const PSRAM: usize = 0x2100_0000;
const RINGS: usize = 16 << 20;

/// The longest sleep in microseconds: counters must not go round unseen.
const LONGEST: u64 = 500_000;

/// The command line.
struct Task {
    control: u16,
    server: u16,
    seed: u64,
}

impl Task {
    fn from_command_line() -> Option<Self> {
        let arguments = semihosting::experimental::env::args::<128>().ok()?;
        let mut words = arguments.skip(1).map(|word| word.ok()?.parse::<u32>().ok());
        Some(Self {
            control: u16::try_from(words.next()??).ok()?,
            server: u16::try_from(words.next()??).ok()?,
            seed: u64::from(words.next()??),
        })
    }
}

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    process::exit(101)
}

#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    eprintln!("{frame:?}");
    process::exit(111)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    // SAFETY: this is the one place that does so, before anything allocates.
    unsafe {
        embedded_alloc::init!(ALLOCATOR, HEAP);
    }
    let Some(task) = Task::from_command_line() else { process::exit(2) };
    let Some(mut board) = Mps2::take(RX.take(), TX.take()) else { process::exit(9) };
    let mut network = Network::new(&mut board, task.seed);
    network.dial_control(task.control, task.seed);
    // SAFETY: RAM in which the linker places nothing; this is the one reference to it.
    let memory = unsafe { core::slice::from_raw_parts_mut(PSRAM as *mut u8, RINGS) };
    let mut role = Role::nobody(task.server, task.seed, memory);
    loop {
        turn(&mut board, &mut network, &mut role);
    }
}

/// Everything that can be done now, and then sleep.
fn turn(board: &mut Mps2, network: &mut Network, role: &mut Role) {
    let now = board.now();
    network.take_in(now, board.card(), |now, network| role.listen(now, network));
    let starve = role.obey(now, network);
    if let Some(millis) = starve {
        starved(board, millis);
        role.tell.out.say(format_args!("ok"));
    }
    let now = board.now();
    let due = role.poll(now, network);
    let is_over = !network.speak(&mut role.tell.out);
    if is_over {
        process::exit(0);
    }
    network.give_out(now, board.card());
    let wake = network.poll_at(now, due).unwrap_or(now + LONGEST);
    let pause = wake.saturating_sub(board.now());
    if pause > 0 {
        board.sleep(pause.min(LONGEST));
    }
}

/// Nothing at all is done for so long.
fn starved(board: &mut Mps2, millis: u64) {
    let end = board.now() + millis * 1_000;
    while board.now() < end {
        core::hint::spin_loop();
    }
}
