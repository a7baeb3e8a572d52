//! Headers, frames, codes and times.

use core::hint::black_box;

use outlast_core::wire::{self, Frame, Header, Op, Probe, RequestId, Route, Status};
use outlast_core::{CloseCode, Instant};

use super::word;

pub(super) fn all(input: &[u8], out: &mut [u8]) -> usize {
    let word = word(input);
    time(word)
        .wrapping_add(codes(word))
        .wrapping_add(headers(word))
        .wrapping_add(frames(input, out))
        .wrapping_add(replies(word, out))
}

fn time(word: u64) -> usize {
    let early = Instant::from_micros(word);
    let late = early.after(word.rotate_left(7));
    late.saturating_since(early).as_micros() as usize ^ late.as_micros() as usize
}

fn codes(word: u64) -> usize {
    let code = CloseCode::new(word as u16);
    code.name().len()
        ^ code.explain().len()
        ^ code.scope() as usize
        ^ code.retry() as usize
        ^ usize::from(code.get())
}

fn headers(word: u64) -> usize {
    let header = Header::from_word(word as u32).with_more(word & 1 == 0);
    let flags = [header.more(), header.lane(), header.is_sequenced(), header.is_ignorable()];
    let set = flags.iter().filter(|flag| **flag).count();
    set ^ header.frame_size() ^ usize::from(header.tag()) ^ header.op().map_or(0, |op| op as usize)
}

/// Splits, decodes and encodes again whatever stands in the input.
fn frames(input: &[u8], out: &mut [u8]) -> usize {
    let max_body = word(input) as u16;
    let mut written = match Frame::split_first(input, max_body) {
        Ok(Some((header, body, _))) => frame(header, body, out),
        Ok(None) => 0,
        Err(code) => usize::from(code.get()),
    };
    let mut rest = input;
    while let Ok(Some((header, body, behind))) = Frame::split(rest, max_body) {
        written = written.wrapping_add(frame(header, body, out));
        rest = behind;
    }
    written
}

fn frame(header: Header, body: &[u8], out: &mut [u8]) -> usize {
    match Frame::decode(header, body) {
        Ok(frame) => black_box(frame).encode(out).unwrap_or(1),
        Err(code) => usize::from(code.get()),
    }
}

/// The encoders that take values instead of frames.
fn replies(word: u64, out: &mut [u8]) -> usize {
    let (low, high) = (word as u32, (word >> 32) as u32);
    let probe = Probe { nonce: low, tx: high, ack: low, limit: high };
    let sum = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, b| sum.wrapping_add((*b).into()));
    let id = RequestId(low as u16);
    let (route, status) = (Route::from(high), Status(low as u8));
    let response = Frame::Response { id, status, payload: &[], more: status.is_ok() };
    let request = Frame::Request { id, route, payload: &[], more: status.may_have_run() };
    sum(&wire::encode_ack(low, high))
        .wrapping_add(sum(&wire::encode_probe(Op::Ping, probe)))
        .wrapping_add(sum(&wire::encode_empty(Op::Fin)))
        .wrapping_add(black_box(response).encode(out).unwrap_or(1))
        .wrapping_add(black_box(request).encode(out).unwrap_or(1))
}
