//! Frames out of arbitrary bytes: total, bounded, and the same again after encoding.

use outlast_core::CloseCode;
use outlast_core::wire::{Close, Drain, Frame, HEADER_LEN, Header, Hello, MAX_BODY, Welcome};

use crate::bytes::Bytes;

/// The first two bytes set the receiver's limit; the rest is a stream.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let max_body = bytes.u16();
    let stream = bytes.take(usize::MAX);
    let mut rest = stream;
    loop {
        check_prefixes(rest, max_body);
        match Frame::split(rest, max_body) {
            Ok(Some((header, body, behind))) => {
                assert_eq!(header.frame_size(), HEADER_LEN + body.len());
                assert_eq!(rest.len(), header.frame_size() + behind.len());
                assert!(header.body_len() <= max_body, "beyond the limit");
                check_frame(header, body);
                rest = behind;
            }
            Ok(None) | Err(_) => break,
        }
    }
    check_first(stream, max_body);
    check_bodies(stream);
}

/// What a frame is refused for is known from its header; before the header nothing is.
fn check_prefixes(rest: &[u8], max_body: u16) {
    let whole = Frame::split(rest, max_body);
    for len in 0..rest.len().min(HEADER_LEN) {
        assert_eq!(Frame::split(&rest[..len], max_body), Ok(None));
    }
    if let Some(header) = rest.get(..HEADER_LEN) {
        let early = Frame::split(header, max_body);
        assert_eq!(early.err(), whole.err(), "the verdict changed with the body");
    }
    if let Ok(Some((header, ..))) = whole {
        assert_eq!(Frame::split(&rest[..header.frame_size() - 1], max_body), Ok(None));
    }
}

fn check_frame(header: Header, body: &[u8]) {
    let Ok(frame) = Frame::decode(header, body) else {
        return;
    };
    check_round_trip(&frame);
}

/// What was decoded can be encoded, into exactly the room it needs, and is the same when read back.
fn check_round_trip(frame: &Frame<'_>) {
    let mut out = vec![0; HEADER_LEN + usize::from(MAX_BODY)];
    let size = frame.encode(&mut out).expect("what was decoded can be encoded");
    let mut exact = vec![0; size];
    assert_eq!(frame.encode(&mut exact), Some(size));
    assert_eq!(exact, out[..size]);
    // Only the reason of a CLOSE may be cut to fit.
    let short = frame.encode(&mut exact[..size - 1]);
    assert!(short.is_none() || matches!(frame, Frame::Close(close) if !close.reason.is_empty()));
    let (header, body, behind) =
        Frame::split(&out[..size], MAX_BODY).expect("legal").expect("whole");
    assert!(behind.is_empty());
    assert_eq!(Frame::decode(header, body).as_ref(), Ok(frame));
}

/// The first frame of a connection is taken in the same way or refused earlier.
fn check_first(stream: &[u8], max_body: u16) {
    if let Ok(Some(first)) = Frame::split_first(stream, max_body) {
        assert_eq!(Frame::split(stream, max_body), Ok(Some(first)));
    }
    // A refusal stands however much follows.
    for len in 0..stream.len().min(16) {
        let early = Frame::split_first(&stream[..len], max_body);
        if let Err(code) = early {
            assert_ne!(code, CloseCode::OK);
            assert!(Frame::split_first(stream, max_body).is_err(), "taken after a refusal");
        }
    }
}

/// The bodies with an inner structure, without a header in the way.
fn check_bodies(body: &[u8]) {
    if let Ok(hello) = Hello::decode(body) {
        check_round_trip(&Frame::Hello(hello));
    }
    if let Ok(welcome) = Welcome::decode(body) {
        check_round_trip(&Frame::Welcome(welcome));
    }
    if let Ok(drain) = Drain::decode(body) {
        check_round_trip(&Frame::Drain(drain));
    }
    if let Ok(close) = Close::decode(body) {
        check_round_trip(&Frame::Close(close));
    }
}
