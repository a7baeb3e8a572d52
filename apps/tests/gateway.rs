//! zinx, Paguma and sessions behind one router: bytes written by hand, and the program's client.

mod common;

use std::io::Write;

use common::{RUNTIMES, Running, dial, expect};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tcp-gateway");

fn start(runtime: &str, options: &[&str]) -> (Running, [String; 3]) {
    let listen = ["--sessions", "127.0.0.1:0", "--zinx", "127.0.0.1:0", "--paguma", "127.0.0.1:0"];
    let mut gateway =
        Running::start(PROGRAM, &[&listen[..], &["--runtime", runtime], options].concat());
    let at = ["sessions on", "zinx on", "paguma on"].map(|what| gateway.address(what));
    (gateway, at)
}

fn call(runtime: &str, format: &str, at: &str, id: &str, text: &str) -> String {
    let args = ["--runtime", runtime, "call", "--format", format, "--server", at, id, text];
    let (status, said) = Running::start(PROGRAM, &args).finish();
    assert!(status.success(), "{said}");
    said
}

#[test]
fn bytes_of_zinx_and_paguma_are_answered() {
    for runtime in RUNTIMES {
        let (_gateway, [_, zinx, paguma]) = start(runtime, &[]);
        let (mut zinx, mut paguma) = (dial(&zinx), dial(&paguma));
        zinx.write_all(b"\0\0\0\x01\0\0\0\x04ping").unwrap();
        expect(&mut zinx, b"\0\0\0\xc8\0\0\0\x04pong");
        paguma.write_all(b"\x04\0\0\0\x01\0\0\0ping").unwrap();
        expect(&mut paguma, b"\x04\0\0\0\xc8\0\0\0pong");
        // Two in one piece, one in two; the second is longer than nothing and not answered by it.
        zinx.write_all(b"\0\0\0\x02\0\0\0\x03abc\0\0\0\x04\0\0").unwrap();
        expect(&mut zinx, b"\0\0\0\x02\0\0\0\x03abc");
        zinx.write_all(b"\0\0").unwrap();
        expect(&mut zinx, b"\0\0\0\x04\0\0\0\x013");
        // A heartbeat is answered with one, whoever asks; nobody takes message 77.
        for beat in [b"\0\x01\x86\x9f\0\0\0\0".as_slice(), b"\0\0\0\x4d\0\0\0\0"] {
            zinx.write_all(beat).unwrap();
        }
        let local = zinx.local_addr().unwrap();
        let text = format!("heartbeat [{}->{local}]", zinx.peer_addr().unwrap());
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        expect(&mut zinx, &[b"\0\x01\x86\x9f", &length[..], text.as_bytes()].concat());
        paguma.write_all(b"\0\0\0\0\x9f\x86\x01\0").unwrap();
        expect(&mut paguma, &[&(text.len() as u32).to_le_bytes()[..], b"\x9f\x86\x01\0"].concat());
    }
}

#[test]
fn what_one_says_all_hear_whatever_they_speak() {
    for runtime in RUNTIMES {
        let (_gateway, [sessions, zinx, paguma]) = start(runtime, &[]);
        let (mut first, mut second) = (dial(&zinx), dial(&paguma));
        // An answer means that it is known there.
        first.write_all(b"\0\0\0\x02\0\0\0\x01a").unwrap();
        expect(&mut first, b"\0\0\0\x02\0\0\0\x01a");
        second.write_all(b"\x01\0\0\0\x02\0\0\0b").unwrap();
        expect(&mut second, b"\x01\0\0\0\x02\0\0\0b");
        let said = call(runtime, "session", &sessions, "3", "hello");
        // The answer may be ahead of what everybody hears.
        let heard = said.lines().find_map(|line| line.strip_prefix("203: ")).expect("its words");
        assert!(said.lines().any(|line| line == "3 (Status(0)): 3 hear it"), "{said}");
        assert!(heard.ends_with(": hello"), "{heard}");
        let length = u32::try_from(heard.len()).unwrap();
        let words = heard.as_bytes();
        expect(&mut first, &[b"\0\0\0\xcb", &length.to_be_bytes()[..], words].concat());
        expect(&mut second, &[&length.to_le_bytes()[..], b"\xcb\0\0\0", words].concat());
    }
}

#[test]
fn the_client_speaks_all_three() {
    for runtime in RUNTIMES {
        let (_gateway, [sessions, zinx, paguma]) = start(runtime, &[]);
        assert_eq!(call(runtime, "zinx", &zinx, "1", "ping"), "200: pong");
        assert_eq!(call(runtime, "paguma", &paguma, "2", "back"), "2: back");
        let said = call(runtime, "session", &sessions, "2", "back");
        assert_eq!(said, "2 (Status(0)): back");
    }
}

#[test]
fn a_length_beyond_the_limit_costs_that_connection_alone() {
    let (_gateway, [_, zinx, _]) = start("tokio", &["--max-packet", "16"]);
    let (mut long, mut other) = (dial(&zinx), dial(&zinx));
    long.write_all(b"\0\0\0\x02\0\0\0\x11").unwrap();
    let mut rest = Vec::new();
    let ended = std::io::Read::read_to_end(&mut long, &mut rest);
    assert!(ended.is_err() || rest.is_empty(), "closed without a word");
    other.write_all(b"\0\0\0\x02\0\0\0\x100123456789abcdef").unwrap();
    expect(&mut other, b"\0\0\0\x02\0\0\0\x100123456789abcdef");
}
