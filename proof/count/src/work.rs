//! The pieces of work. New ones are added to [`ALL`]; `cargo xtask instructions --bless` records
//! what they cost.

use std::hint::black_box;

use outlast_core::wire::{Frame, MAX_BODY, Route};

use crate::{ROUND, pair};

/// Something to count.
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// Does as many rounds as asked. What it sets up before must not depend on their number.
    pub(crate) run: fn(u32) -> usize,
}

impl Work {
    const fn new(name: &'static str, run: fn(u32) -> usize) -> Self {
        Self { name, run }
    }
}

/// Everything that is counted.
pub(crate) const ALL: &[Work] = &[
    Work::new("wire_decode_16", |rounds| decode(rounds, &[0x5A; 16])),
    Work::new("wire_decode_256", |rounds| decode(rounds, &[0x5A; 256])),
    Work::new("wire_encode_16", |rounds| encode(rounds, &[0x5A; 16])),
    Work::new("wire_encode_256", |rounds| encode(rounds, &[0x5A; 256])),
    Work::new("one_way_16", |rounds| pair::one_way(rounds, &[0x5A; 16])),
    Work::new("one_way_256", |rounds| pair::one_way(rounds, &[0x5A; 256])),
    Work::new("one_way_4096", |rounds| pair::one_way(rounds, &[0x5A; 4_096])),
    Work::new("request_16", |rounds| pair::requests(rounds, &[0x5A; 16])),
    Work::new("idle_hour", pair::idle_hours),
];

fn message(payload: &[u8]) -> Frame<'_> {
    Frame::Message { route: Route::from(7_u8), payload, more: false }
}

/// Splits and decodes messages out of one buffer and looks at each payload.
fn decode(rounds: u32, payload: &[u8]) -> usize {
    let mut frame = vec![0; payload.len() + 4];
    let size = message(payload).encode(&mut frame).expect("room for one frame");
    let stream = frame[..size].repeat(ROUND);
    let mut seen = 0;
    for _ in 0..rounds {
        let mut rest: &[u8] = black_box(&stream);
        while let Ok(Some((header, body, behind))) = Frame::split(rest, MAX_BODY) {
            if let Ok(Frame::Message { payload, .. }) = Frame::decode(header, body) {
                seen += black_box(payload).len();
            }
            rest = behind;
        }
    }
    seen
}

/// Encodes messages into one buffer, frame behind frame.
fn encode(rounds: u32, payload: &[u8]) -> usize {
    let mut stream = vec![0; (payload.len() + 4) * ROUND];
    let mut written = 0;
    for _ in 0..rounds {
        let mut room = black_box(stream.as_mut_slice());
        while let Some(size) = message(black_box(payload)).encode(room) {
            written += size;
            room = &mut room[size..];
        }
    }
    written
}
