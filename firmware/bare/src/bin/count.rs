//! Instructions of a 64-byte message each way, through the whole path of a session.
//!
//! For QEMU with `-icount shift=0`: an instruction is a nanosecond of the machine's clock, whatever
//! the host does meanwhile, and SysTick counts every 40 of them. Thousands of messages are summed
//! up, at ever other phases of that counter.
#![no_std]
#![no_main]

use core::hint::black_box;

use bare::pair::{End, Failed, Memory, Outcome, Pair};
use bare::{ensure, take};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use outlast_core::Event;
use outlast_core::wire::Route;
use semihosting::{println, process};

/// Messages that are sent before the other end answers.
const BATCH: u32 = 5;
/// Batches that are counted.
const BATCHES: u32 = 4_001;
/// Instructions for one count of SysTick, which is at 25 MHz here.
const PER_TICK: u64 = 40;

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let Some(mut peripherals) = cortex_m::Peripherals::take() else { process::exit(2) };
    peripherals.SYST.set_clock_source(SystClkSource::Core);
    peripherals.SYST.set_reload(0x00FF_FFFF);
    peripherals.SYST.clear_current();
    peripherals.SYST.enable_counter();
    match run() {
        Ok([out, into, acks]) => {
            let each = |ticks| (u64::from(ticks) * PER_TICK) / u64::from(BATCHES * BATCH);
            println!("message_out_64={}", each(out));
            println!("message_in_64={}", each(into));
            println!("acknowledge_batch={}", each(acks) * u64::from(BATCH));
            process::exit(0)
        }
        Err(failed) => {
            println!("FAILED in line {}", failed.0);
            process::exit(1)
        }
    }
}

/// Bytes as any transport and any application has them: at the address of a word.
#[repr(C, align(4))]
struct Words<const N: usize>([u8; N]);

/// Counts of SysTick since `start`, and for taking them.
fn since(start: u32) -> u32 {
    start.wrapping_sub(SYST::get_current()) & 0x00FF_FFFF
}

#[inline(never)]
fn run() -> Outcome<[u32; 3]> {
    let mut memory = Memory::new();
    let mut pair = Pair::new(&mut memory)?;
    pair.connect(1)?;
    pair.client_turn(|_, _| Ok(()))?;
    pair.server_turn(|_, _| Ok(()))?;
    let mut ticks = [0; 3];
    for batch in 0..BATCHES {
        pair.now = pair.now.after(1_000 + u64::from(batch % 7));
        ticks[0] += send(&mut pair)?;
        let mut heard = 0;
        pair.server_turn(|end, event| answer(end, event, &mut heard))?;
        ensure!(heard == BATCH);
        ticks[1] += hear(&mut pair)?;
        // What is left to say: an acknowledgement, which frees the ring of the server.
        let start = SYST::get_current();
        pair.up.fill(&mut pair.client, pair.now);
        ticks[2] += since(start);
        pair.server_turn(|_, _| Ok(()))?;
        pair.down.clear();
    }
    Ok(ticks)
}

/// Sends a batch, each message handed to the transport by itself.
#[inline(never)]
fn send(pair: &mut Pair<'_>) -> Outcome<u32> {
    let payload = black_box(Words([0x5A; 64]));
    let mut ticks = 0;
    let mut out = Words([0; 128]);
    let mut all = [0; 128 * BATCH as usize];
    let mut len = 0;
    for _ in 0..BATCH {
        let start = SYST::get_current();
        let sent = pair.client.send(Route::from(7_u8), &payload.0);
        let count = pair.client.poll_transmit(pair.now, &mut out.0);
        ticks += since(start);
        take!(sent);
        let Some(room) = all.get_mut(len..len + count) else { return Err(Failed(line!())) };
        room.copy_from_slice(&out.0[..count]);
        len += count;
    }
    ensure!(pair.up.put(&all[..len]));
    Ok(ticks)
}

/// The server sends as much back.
fn answer(end: &mut End<'_>, event: Event<'_>, heard: &mut u32) -> Outcome {
    if let Event::Message { payload, .. } = event {
        *heard += 1;
        take!(end.send(Route::from(7_u8), payload));
    }
    Ok(())
}

/// The client hears a batch, with the acknowledgement that comes before it.
#[inline(never)]
fn hear(pair: &mut Pair<'_>) -> Outcome<u32> {
    let mut input = pair.down.pending();
    let (mut heard, mut ticks) = (0, 0);
    loop {
        let start = SYST::get_current();
        let event = pair.client.handle_input(pair.now, &mut input);
        ticks += since(start);
        match event {
            Ok(Some(Event::Message { payload, .. })) => {
                ensure!(black_box(payload).len() == 64);
                heard += 1;
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => return Err(Failed(line!())),
        }
    }
    ensure!(heard == BATCH && input.is_empty());
    pair.down.clear();
    Ok(ticks)
}
