//! Every verb of a session, in a state the optimiser knows nothing about.

use core::hint::black_box;

use outlast_core::wire::{Grant, Hello, RequestId, Route, Status};
use outlast_core::{Attach, CloseCode, Config, Head, Instant, Session};

use super::{keep, now, word};

/// Storage of fixed size, as on a microcontroller.
type Memory = [u8; 512];

/// What a session takes besides the memory for its frames, where that is borrowed.
const SESSION_MAX: usize = if usize::BITS == 32 { 384 } else { 400 };
const _: () = assert!(size_of::<Session<&'static mut [u8]>>() <= SESSION_MAX);

pub(super) fn all(input: &[u8], out: &mut [u8]) -> usize {
    let config = black_box(Config::CONSTRAINED);
    let mut kept = 0;
    if let Ok(mut client) = Session::client(config, [0; 512]) {
        kept = every_verb(&mut client, input, out);
    }
    if let Ok(hello) = Hello::decode(input) {
        kept = server(config, &hello, input, out).wrapping_add(kept);
    }
    restored(config, input, out).wrapping_add(kept)
}

fn grant(word: u64) -> Grant {
    Grant { sid: word, epoch: word as u32, key_id: word as u8, key: [word as u8; 16] }
}

fn server(config: Config, hello: &Hello<'_>, input: &[u8], out: &mut [u8]) -> usize {
    let word = word(input);
    let accepted =
        Session::server(now(word), config, hello, grant(word), word as u32, [0; 512], out);
    let Ok(mut accepted) = accepted else { return 0 };
    let kept = every_verb(&mut accepted.session, input, out);
    kept.wrapping_add(keep(accepted.session.accept(now(word), hello, word as u32, out)))
}

fn restored(config: Config, input: &[u8], out: &mut [u8]) -> usize {
    let memory: Memory = [0; 512];
    match Session::restore(config, input, word(input) & 1 == 0, memory) {
        Ok(mut restored) => {
            let session = &mut restored.session;
            let kept = every_verb(session, restored.partial, out);
            kept.wrapping_add(keep(restored.retention_left_s))
        }
        Err(error) => keep(error),
    }
}

/// One session of any size, so that this is compiled once.
#[inline(never)]
fn every_verb(session: &mut Session<[u8]>, input: &[u8], out: &mut [u8]) -> usize {
    let word = word(input);
    receive(black_box(&mut *session), now(word), input)
        .wrapping_add(transmit(black_box(&mut *session), now(word), out))
        .wrapping_add(send(black_box(&mut *session), word, input))
        .wrapping_add(fragments(black_box(&mut *session), word, input))
        .wrapping_add(connect(black_box(&mut *session), word, input, out))
        .wrapping_add(say(black_box(&mut *session), word, input, out))
        .wrapping_add(end(black_box(&mut *session), word))
        .wrapping_add(ask(black_box(session), word))
        .wrapping_add(store(session, word, input, out))
}

fn receive(session: &mut Session<[u8]>, now: Instant, input: &[u8]) -> usize {
    let mut rest = input;
    let mut kept = 0;
    while let Ok(Some(event)) = session.handle_input(now, &mut rest) {
        kept = keep(event).wrapping_add(kept);
    }
    session.handle_partial(now);
    session.release(now, session.received());
    session.handle_timeout(now);
    kept
}

fn transmit(session: &mut Session<[u8]>, now: Instant, out: &mut [u8]) -> usize {
    let written = session.poll_transmit(now, out);
    let parts = session.poll_transmit_parts(now, out);
    let (empty, lent) = (parts.is_empty(), black_box(parts.len()));
    session.handle_transmitted(now, lent);
    written.wrapping_add(usize::from(empty))
}

fn send(session: &mut Session<[u8]>, word: u64, payload: &[u8]) -> usize {
    let (id, route) = (RequestId(word as u16), Route::from(word as u32));
    let status = Status(word as u8);
    keep(session.send(route, payload))
        .wrapping_add(keep(session.request(id, route, payload)))
        .wrapping_add(keep(session.respond(id, status, payload)))
        .wrapping_add(keep(session.cancel(id, word as u8)))
        .wrapping_add(keep(session.free_request()))
        .wrapping_add(keep(session.send_encoded(payload)))
}

fn fragments(session: &mut Session<[u8]>, word: u64, payload: &[u8]) -> usize {
    let (id, route) = (RequestId(word as u16), Route::from(word as u32));
    let head = match word % 3 {
        0 => Head::Message { route },
        1 => Head::Request { id, route },
        _ => Head::Response { id, status: Status(word as u8) },
    };
    keep(session.begin(black_box(head), payload))
        .wrapping_add(keep(session.push_fragment(payload, word & 8 == 0)))
        .wrapping_add(keep(session.abort()))
}

fn connect(session: &mut Session<[u8]>, word: u64, input: &[u8], out: &mut [u8]) -> usize {
    let with = Attach {
        seed: word as u32,
        client_id: Some(input),
        mutual: word & 1 == 0,
        ..Attach::default()
    };
    let kept = keep(session.attach(now(word), &with, out));
    session.trust_server();
    kept.wrapping_add(keep(session.authenticate(input, out)))
        .wrapping_add(session.fence(now(word), out))
}

/// What has no place in the session.
fn say(session: &mut Session<[u8]>, word: u64, input: &[u8], out: &mut [u8]) -> usize {
    let (code, times) = (CloseCode::new(word as u16), (word as u32, 7));
    keep(session.note(now(word), Route::from(word as u32), input, out))
        .wrapping_add(keep(session.drain_to(now(word), code, times, input, out)))
}

fn end(session: &mut Session<[u8]>, word: u64) -> usize {
    let code = CloseCode::new(word as u16);
    let kept = keep(session.finish())
        .wrapping_add(keep(session.drain(now(word), code, word as u32, 7)))
        .wrapping_add(keep(session.rotate_key(word as u8, [word as u8; 16])));
    session.close(now(word), code, word as u32);
    session.end(now(word), code);
    session.kill(code);
    session.detach(now(word));
    kept
}

/// The getters.
fn ask(session: &Session<[u8]>, word: u64) -> usize {
    let id = RequestId(word as u16);
    keep(session.poll_timeout())
        .wrapping_add(keep(session.next_deadline()))
        .wrapping_add(keep(session.has_output()))
        .wrapping_add(keep(session.is_open_in(id)))
        .wrapping_add(keep(session.is_open_out(id)))
        .wrapping_add(keep((session.open_requests().next(), session.fate(session.sent()))))
        .wrapping_add(keep((session.state(), session.link_state(), session.role())))
        .wrapping_add(keep((session.id(), session.death(), session.stats(), session.grant())))
        .wrapping_add(keep((
            session.acknowledged(),
            session.sent(),
            session.transmitted(),
            session.received(),
            session.released(),
        )))
        .wrapping_add(session.room() ^ session.unacknowledged() ^ session.held_bytes())
        .wrapping_add(keep((session.rtt_us(), session.max_body(), session.max_message())))
        .wrapping_add(keep((session.is_confirmed(), session.is_closing())))
}

fn store(session: &mut Session<[u8]>, word: u64, partial: &[u8], out: &mut [u8]) -> usize {
    session
        .snapshot_len(partial.len())
        .wrapping_add(keep(session.snapshot(word as u32, partial, out)))
        .wrapping_add(keep(session.export(word as u32, partial, out)))
}
