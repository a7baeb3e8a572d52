//! The bytes choose what two real ends do, and what a hostile network does to them.

use outlast_core::state::SessionState;
use outlast_core::wire::{RequestId, Route, Status};
use outlast_core::{CloseCode, Config, Head, Release};

use crate::bytes::Bytes;
use crate::world::{Who, World};

/// The first bytes choose both configurations, each later one an operation. With `FUZZ_TRACE` in
/// the environment, the state before each operation is told.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let manual = bytes.u8() & 1 == 1;
    let (client, server) = (config(&mut bytes, manual), config(&mut bytes, manual));
    let Some(mut world) = World::new(client, server) else {
        return;
    };
    let told = std::env::var_os("FUZZ_TRACE").is_some();
    while !bytes.is_empty() {
        if told {
            eprintln!("{} then {:02x?}", world.describe(), bytes.peek());
        }
        step(&mut world, &mut bytes, manual);
    }
    world.settle();
}

/// Small numbers, so that every limit is soon reached.
fn config(bytes: &mut Bytes<'_>, manual: bool) -> Config {
    let max_body = bytes.pick(&[60, 61, 200, 1_000]);
    let window = u32::from(max_body) + 4 + bytes.pick(&[0, 1, 60, 2_000]);
    Config {
        max_body,
        max_message: u32::from(max_body) + bytes.pick(&[0, 1, 500, 3_000]),
        window,
        window_max: window * bytes.pick(&[1, 4]),
        send_buffer: bytes.pick(&[96, 97, 200, 1_024, 5_000]),
        max_requests: bytes.pick(&[0, 1, 2, 9]),
        max_requests_out: bytes.pick(&[0, 1, 9, 40]),
        idle_timeout_ms: bytes.pick(&[0, 1_000, 15_000]),
        heartbeat_min_ms: 0,
        release: if manual { Release::Manual } else { Release::Automatic },
        ..Config::SERVER
    }
}

fn step(world: &mut World, bytes: &mut Bytes<'_>, manual: bool) {
    let op = bytes.u8();
    let who = if op & 0x80 == 0 { Who::Client } else { Who::Server };
    match op & 0x1F {
        0..=3 => {
            let count = bytes.below(2_000);
            world.deliver(who, count);
        }
        4..=7 => {
            let room = bytes.pick(&[96, 97, 200, 4_096]);
            world.transmit(who, room);
        }
        8..=10 => send(world, who, bytes),
        11 => request(world, who, bytes),
        12 => respond(world, who, bytes),
        13 | 14 => begin(world, who, bytes),
        15 | 16 => {
            let (len, choice) = (bytes.below(300), bytes.u8());
            world.go_on(who, len, choice & 1 == 1, choice & 14 == 14);
        }
        17 | 18 => world.dial(),
        19 => {
            let choice = bytes.u8();
            world.cut(choice & 1 == 1, choice & 2 == 2);
        }
        20 => {
            let time = bytes.pick(&[1, 1_000, 25_000, 400_000, 5_000_000, 60_000_000]);
            world.wait(time);
        }
        21 => world.release_all(who),
        22 => hostile(world, who, bytes),
        23 if !manual => world.restart(who, 0),
        26 if !manual => shift(world, bytes),
        24 | 25 => control(world, who, bytes),
        _ => {
            world.transmit(who, 4_096);
            world.deliver(who.other(), usize::MAX);
        }
    }
}

fn route(bytes: &mut Bytes<'_>) -> Route {
    Route::from(bytes.pick(&[0_u32, 7, 0xFB, 0xFC, 0xFFFF, 0x1_0000, u32::MAX]))
}

fn send(world: &mut World, who: Who, bytes: &mut Bytes<'_>) {
    let (route, len) = (route(bytes), bytes.below(1_100));
    world.send(who, len, true, |session, payload| session.send(route, payload).map(drop));
}

fn request(world: &mut World, who: Who, bytes: &mut Bytes<'_>) {
    let (route, len) = (route(bytes), bytes.below(200));
    let Some(id) = world.end(who).and_then(|end| end.session.free_request()) else {
        return;
    };
    world.send(who, len, true, |session, payload| session.request(id, route, payload).map(drop));
}

fn respond(world: &mut World, who: Who, bytes: &mut Bytes<'_>) {
    let (status, len, choice) = (Status(bytes.u8()), bytes.below(200), bytes.u8());
    let id = match world.end(who) {
        Some(end) if !end.requests.is_empty() => {
            end.requests[usize::from(choice) % end.requests.len()]
        }
        _ => RequestId(u16::from(choice)),
    };
    let sent = world
        .send(who, len, true, |session, payload| session.respond(id, status, payload).map(drop));
    if let Some(end) = world.end(who).filter(|_| sent) {
        end.requests.retain(|open| *open != id);
    }
}

fn begin(world: &mut World, who: Who, bytes: &mut Bytes<'_>) {
    let (route, len, choice) = (route(bytes), bytes.below(200), bytes.u8());
    let Some(end) = world.end(who) else { return };
    let asked = end.requests.first().copied();
    let head = match (choice & 3, end.session.free_request(), asked) {
        (1, Some(id), _) => Head::Request { id, route },
        (2, _, Some(id)) => Head::Response { id, status: Status::OK },
        _ => Head::Message { route },
    };
    world.send(who, len, false, |session, payload| session.begin(head, payload).map(drop));
}

/// Bytes that nobody honest sent, in front of, behind or instead of the honest ones.
fn hostile(world: &mut World, who: Who, bytes: &mut Bytes<'_>) {
    world.tainted = true;
    let (choice, count) = (bytes.u8(), bytes.below(64));
    let foreign = bytes.take(count);
    let wire = world.wire_to(who);
    match choice & 3 {
        0 => wire.extend_from_slice(foreign),
        1 => drop(wire.splice(..0, foreign.iter().copied())),
        2 => {
            for (byte, foreign) in wire.iter_mut().zip(foreign) {
                *byte ^= foreign;
            }
        }
        _ => {
            wire.clear();
            wire.extend_from_slice(foreign);
        }
    }
}

/// Both directions go on at the same large position, as after a very long time.
fn shift(world: &mut World, bytes: &mut Bytes<'_>) {
    let base = bytes.pick(&[1 << 31, 1 << 32, 1 << 48, 1 << 63]) - u64::from(bytes.u8());
    let both = [Who::Client, Who::Server];
    let ready = both.iter().all(|who| {
        world.end(*who).is_some_and(|end| {
            let live =
                matches!(end.session.state(), SessionState::Attached | SessionState::Detached);
            live && end.session.sent().get().max(end.session.received().get()) < 1 << 30
        })
    });
    if ready {
        both.iter().for_each(|who| world.restart(*who, base));
    }
}

/// The rare verbs.
fn control(world: &mut World, who: Who, bytes: &mut Bytes<'_>) {
    let now = world.now;
    let (choice, number) = (bytes.u8(), bytes.u16());
    let Some(end) = world.end(who) else { return };
    let session = &mut end.session;
    match choice % 8 {
        0 => drop(session.finish()),
        1 => drop(session.cancel(RequestId(number), 3)),
        2 => session.close(now, CloseCode::GOING_AWAY, u32::from(number)),
        // Without an end of the grace: what is refused is never told and has no place in the books.
        3 => drop(session.drain(now, CloseCode::GOING_AWAY, u32::MAX, 100)),
        4 => {
            // The number of a key must tell it from the one before.
            let key_id = session.grant().key_id.wrapping_add(1);
            let _ = session.rotate_key(key_id, [key_id; 16]);
        }
        5 if number & 7 == 7 => {
            session.end(now, CloseCode::new(0x8000 | number));
            world.over = true;
        }
        6 => {
            let before = session.sent();
            let frames: Vec<u8> = bytes.take(usize::from(number) % 80).to_vec();
            let taken = world.end(who).map(|end| end.session.send_encoded(&frames));
            // What was encoded elsewhere is not in the oracle's books.
            if taken.is_some() && world.end(who).is_some_and(|end| end.session.sent() != before) {
                world.tainted = true;
            }
        }
        _ => session.handle_partial(now),
    }
}
