//! A whole client session, and the server's end of it, on a Cortex-M0 in 8 KiB of RAM: opened, used
//! in both directions, cut with frames on their way, resumed with a proof, finished.
//!
//! `memory.x` is what caps the memory. The stack is painted before and looked at behind.
#![no_std]
#![no_main]

use bare::pair::{End, Memory, Outcome, Pair, STATE};
use bare::{ensure, take};
use outlast_core::wire::{RequestId, Route, Status};
use outlast_core::{Event, SendError};
use semihosting::{println, process};

/// Connections that are cut.
const CUTS: u32 = 20;
/// Messages that each end sends.
const MESSAGES: u32 = 400;

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    stack::paint();
    match run() {
        Ok(resent) => {
            let used = stack::used();
            println!("messages={} cuts={} resent={} state={}", MESSAGES, CUTS, resent, STATE);
            println!("ram={}", used);
            // A cut that loses nothing would prove nothing.
            process::exit(i32::from(resent == 0))
        }
        Err(failed) => {
            println!("FAILED in line {}", failed.0);
            process::exit(1)
        }
    }
}

/// What an end has sent and heard.
#[derive(Default)]
struct Count {
    sent: u32,
    heard: u32,
    answers: u32,
}

impl Count {
    /// As many messages as fit, numbered.
    fn send(&mut self, end: &mut End<'_>) -> Outcome {
        while self.sent < MESSAGES {
            let mut payload = [0x5A; 64];
            payload[..4].copy_from_slice(&self.sent.to_le_bytes());
            match end.send(Route::from(7_u8), &payload) {
                Ok(_) => self.sent += 1,
                Err(SendError::Full) => return Ok(()),
                Err(_) => return Err(bare::pair::Failed(line!())),
            }
        }
        Ok(())
    }

    fn hear(&mut self, end: &mut End<'_>, event: Event<'_>) -> Outcome {
        match event {
            Event::Message { payload, .. } => {
                ensure!(payload.len() == 64 && payload[..4] == self.heard.to_le_bytes());
                self.heard += 1;
            }
            Event::Request { id, payload, .. } => {
                take!(end.respond(id, Status::OK, payload));
            }
            Event::Response { status, payload, .. } => {
                ensure!(status == Status::OK && payload == b"?");
                self.answers += 1;
            }
            Event::Disconnected { .. } | Event::Lost { .. } => {
                return Err(bare::pair::Failed(line!()));
            }
            _ => {}
        }
        Ok(())
    }
}

#[inline(never)]
fn run() -> Outcome<u32> {
    let mut memory = Memory::new();
    let mut pair = Pair::new(&mut memory)?;
    let (mut client, mut server) = (Count::default(), Count::default());
    pair.connect(1)?;
    pair.client_turn(|end, event| client.hear(end, event))?;
    take!(pair.client.request(RequestId(0), Route::from(9_u8), b"?"));
    let mut cuts = 0;
    for round in 1.. {
        ensure!(round < 10_000);
        pair.now = pair.now.after(20_000);
        client.send(&mut pair.client)?;
        if let Some(end) = &mut pair.server {
            server.send(end)?;
        }
        pair.client_turn(|end, event| client.hear(end, event))?;
        if round % 7 == 0 && cuts < CUTS {
            cuts += 1;
            pair.cut();
            pair.connect(round)?;
            continue;
        }
        pair.server_turn(|end, event| server.hear(end, event))?;
        if client.heard == MESSAGES && server.heard == MESSAGES && cuts == CUTS {
            break;
        }
    }
    ensure!(client.sent == MESSAGES && server.sent == MESSAGES && client.answers == 1);
    finish(&mut pair)
}

/// Both ends say that they are done, and the session ends with everything delivered.
#[inline(never)]
fn finish(pair: &mut Pair<'_>) -> Outcome<u32> {
    take!(pair.client.finish());
    let Some(server) = &mut pair.server else { return Err(bare::pair::Failed(line!())) };
    take!(server.finish());
    let (mut ended, mut rounds) = (0, 0);
    while ended < 2 {
        ensure!(rounds < 100);
        rounds += 1;
        pair.now = pair.now.after(20_000);
        let mut hear = |_: &mut End<'_>, event: Event<'_>| {
            ended += u32::from(matches!(event, Event::Ended));
            Ok(())
        };
        pair.client_turn(&mut hear)?;
        pair.server_turn(&mut hear)?;
    }
    Ok(pair.client.stats().resent)
}

/// How much of the RAM was ever used: it is painted first.
mod stack {
    use core::ptr;

    const PAINT: u32 = 0xAAAA_5555;
    /// Bytes below the caller's frame that are not painted.
    const MARGIN: usize = 64;

    unsafe extern "C" {
        static mut __sheap: u8;
        static mut _stack_start: u8;
    }

    fn bottom() -> usize {
        (&raw const __sheap as usize).next_multiple_of(4)
    }

    /// Paints everything between the statics and the stack pointer.
    #[inline(never)]
    pub(crate) fn paint() {
        let here = 0_u32;
        let end = ptr::from_ref(&here) as usize - MARGIN;
        for at in (bottom()..end).step_by(4) {
            // SAFETY: RAM above the statics and below the stack, which nobody uses.
            unsafe { (at as *mut u32).write_volatile(PAINT) };
        }
    }

    /// Bytes from the deepest place that was written to the end of RAM, and the statics.
    #[inline(never)]
    pub(crate) fn used() -> usize {
        let (bottom, top) = (bottom(), &raw const _stack_start as usize);
        // SAFETY: RAM, read only.
        let is_painted = |at: &usize| unsafe { (*at as *const u32).read_volatile() } == PAINT;
        let clean = (bottom..top).step_by(4).take_while(is_painted).count() * 4;
        (top - bottom) - clean + (bottom & 0xFFFF)
    }
}
