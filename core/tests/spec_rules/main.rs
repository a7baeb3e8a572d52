//! Sentences of the specification, one by one: two ends in virtual time, and bytes by hand.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it expects, and no more")]
#![cfg(feature = "alloc")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "whatever is wrong fails the test"
)]

mod close;
mod counting;
mod fates;
mod fragments;
mod handshake;
mod identity;
mod leaving;
mod positions;
mod requests;
mod snapshot;
mod timers;
mod work;

use outlast_core::auth::{SessionKey, resume_proof};
use outlast_core::state::{LinkState, SessionState};
use outlast_core::wire::{
    Close, Frame, Grant, Header, Hello, Op, Probe, RequestId, Route, Status, encode_ack,
    encode_empty, encode_probe,
};
use outlast_core::{
    Acceptor, Attach, CloseCode, Config, Event, Greeting, HANDSHAKE_MAX, Head, Instant, Position,
    Release, Scope, SendError, Session, SnapshotError,
};

type End = Session<Vec<u8>>;

const T: Instant = Instant::from_micros(1_000_000);
const GRANT: Grant = Grant { sid: 9, epoch: 4, key_id: 1, key: [3; 16] };

/// So many milliseconds after the beginning.
fn ms(count: u64) -> Instant {
    T.after(count * 1_000)
}

fn route() -> Route {
    Route::from(7u8)
}

fn config() -> Config {
    Config {
        window: 512,
        window_max: 512,
        max_body: 200,
        send_buffer: 4096,
        idle_timeout_ms: 30_000,
        ..Config::SERVER
    }
}

fn manual() -> Config {
    Config { release: Release::Manual, ..config() }
}

/// What `end` makes of `input`, and the rule it found broken.
fn take_at<'b>(
    end: &mut End,
    now: Instant,
    mut input: &'b [u8],
) -> (Vec<Event<'b>>, Option<CloseCode>) {
    let mut events = Vec::new();
    loop {
        match end.handle_input(now, &mut input) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(violation) => return (events, Some(violation.code())),
        }
    }
}

fn take<'b>(end: &mut End, input: &'b [u8]) -> (Vec<Event<'b>>, Option<CloseCode>) {
    take_at(end, T, input)
}

/// Everything `end` says at `now`.
fn output_at(end: &mut End, now: Instant) -> Vec<u8> {
    let mut all = Vec::new();
    let mut out = [0; 2048];
    loop {
        let len = end.poll_transmit(now, &mut out);
        all.extend_from_slice(&out[..len]);
        if len == 0 {
            return all;
        }
    }
}

fn output(end: &mut End) -> Vec<u8> {
    output_at(end, T)
}

/// The frames in `bytes`: header and body.
fn frames(mut bytes: &[u8]) -> Vec<(Header, &[u8])> {
    let mut frames = Vec::new();
    while let Some((header, body, rest)) = Frame::split(bytes, 16_383).unwrap() {
        frames.push((header, body));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "whole frames only");
    frames
}

fn ops(bytes: &[u8]) -> Vec<Op> {
    frames(bytes).iter().map(|(header, _)| header.op().unwrap()).collect()
}

/// A frame made by hand.
fn raw(op: Op, tag: u8, more: bool, body: &[u8]) -> Vec<u8> {
    let header = Header::new(op, tag, body.len() as u16).with_more(more);
    [&header.to_bytes(), body].concat()
}

fn ack_in(bytes: &[u8]) -> Option<(u32, u32)> {
    frames(bytes).iter().find_map(|(header, body)| {
        let frame = Frame::decode(*header, body).unwrap();
        if let Frame::Ack { ack, limit } = frame { Some((ack, limit)) } else { None }
    })
}

fn close_in(bytes: &[u8]) -> Close<'_> {
    let last = frames(bytes).pop().unwrap();
    assert_eq!(last.0.op(), Some(Op::Close));
    Close::decode(last.1).unwrap()
}

fn hello_of(client: &mut End, now: Instant, seed: u32) -> Vec<u8> {
    let mut out = [0; HANDSHAKE_MAX];
    client.detach(now);
    let attach = Attach { seed, ..Attach::default() };
    let len = client.attach(now, &attach, &mut out).unwrap();
    out[..len].to_vec()
}

fn hello(bytes: &[u8]) -> Hello<'_> {
    Hello::decode(frames(bytes)[0].1).unwrap()
}

/// The WELCOME of a server that is new, for the client's HELLO.
fn open(server: Config, said: &[u8]) -> (End, Vec<u8>) {
    let mut out = [0; HANDSHAKE_MAX];
    let accepted =
        Session::server(T, server, &hello(said), GRANT, 5, Vec::new(), &mut out).unwrap();
    (accepted.session, out[..accepted.written].to_vec())
}

/// Two ends that have just been greeted and have told their events; the client owes its first ACK.
fn fresh(client: Config, server: Config, seed: u32) -> (End, End) {
    let mut client = Session::client(client, Vec::new()).unwrap();
    let said = hello_of(&mut client, T, seed);
    let (mut server, welcome) = open(server, &said);
    assert_eq!(take(&mut client, &welcome).0, [Event::Opened]);
    assert_eq!(take(&mut server, &[]).0, [Event::Opened]);
    (client, server)
}

fn pair(client: Config, server: Config) -> (End, End) {
    let (mut client, mut server) = fresh(client, server, 7);
    exchange(&mut client, &mut server);
    (client, server)
}

/// The WELCOME of a server that is resumed.
fn reopen(client: &mut End, server: &mut End) -> Vec<u8> {
    let said = hello_of(client, T, 7);
    server.fence(T, &mut [0; 64]);
    let mut out = [0; HANDSHAKE_MAX];
    let len = server.accept(T, &hello(&said), 5, &mut out).unwrap();
    out[..len].to_vec()
}

fn connect(client: &mut End, server: &mut End) {
    let welcome = reopen(client, server);
    assert_eq!(take(client, &welcome).1, None);
    take(server, &[]);
}

fn exchange_at(client: &mut End, server: &mut End, now: Instant) {
    for _ in 0..4 {
        assert_eq!(take_at(server, now, &output_at(client, now)).1, None);
        assert_eq!(take_at(client, now, &output_at(server, now)).1, None);
    }
}

fn exchange(client: &mut End, server: &mut End) {
    exchange_at(client, server, T);
}

/// Exchanges everything, also what is only due after a while.
fn settle(client: &mut End, server: &mut End) {
    for now in [T, ms(30), ms(60)] {
        client.handle_timeout(now);
        server.handle_timeout(now);
        exchange_at(client, server, now);
    }
}

fn state_of(result: Result<Position, SendError>) -> &'static str {
    match result {
        Err(SendError::State(error)) => error.state(),
        other => panic!("{other:?}"),
    }
}
