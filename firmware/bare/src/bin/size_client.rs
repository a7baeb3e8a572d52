//! A client's core: framing, state machines, heartbeats, positions, credit, resume with its proof.
//!
//! Calls what a driver calls, in the loop that a driver has, with bytes the optimiser knows nothing
//! about. What is not called is not linked; `docs/embedded.md` lists what is.
#![no_std]
#![no_main]

use core::hint::black_box;
use core::panic::PanicInfo;

use outlast_core::wire::{RequestId, Route, Status};
use outlast_core::{Attach, CloseCode, Config, Event, Instant, Session};

#[panic_handler]
fn on_panic(_: &PanicInfo<'_>) -> ! {
    loop {
        cortex_m::asm::nop();
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let (mut input, mut out) = ([0; 256], [0; 256]);
    let Ok(mut session) = Session::client(Config::CONSTRAINED, [0; 512]) else {
        loop {
            cortex_m::asm::nop();
        }
    };
    loop {
        turn(&mut session, black_box(&mut input), black_box(&mut out));
    }
}

/// What a driver does each time it wakes, and what an application asks for.
#[inline(never)]
fn turn(session: &mut Session<[u8; 512]>, input: &mut [u8], out: &mut [u8]) {
    let now = Instant::from_micros(black_box(1));
    if black_box(false) {
        session.detach(now);
        black_box(session.attach(now, &Attach { seed: 1, ..Attach::default() }, out).is_ok());
    }
    let mut rest: &[u8] = input;
    loop {
        match session.handle_input(now, &mut rest) {
            Ok(Some(event)) => hear(session, now, event),
            Ok(None) => break,
            Err(_) => return session.detach(now),
        }
    }
    session.handle_timeout(now);
    black_box(session.poll_transmit(now, out));
    black_box(session.poll_timeout());
    black_box(session.send(Route::from(7_u8), black_box(out)).is_ok());
    black_box(session.request(RequestId(1), Route::from(7_u8), black_box(out)).is_ok());
    if black_box(false) {
        black_box(session.finish().is_ok());
        session.close(now, CloseCode::OK, 0);
    }
}

fn hear(session: &mut Session<[u8; 512]>, now: Instant, event: Event<'_>) {
    match event {
        Event::Message { position, payload, .. } => {
            black_box(payload);
            session.release(now, position);
        }
        Event::Request { id, payload, .. } => {
            black_box(session.respond(id, Status::OK, payload).is_ok());
        }
        Event::Disconnected { .. } => session.detach(now),
        other => {
            black_box(&other);
        }
    }
}
