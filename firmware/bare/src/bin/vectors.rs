//! The golden vectors on the target itself: every frame in `conformance/vectors` is read and
//! written as its file says. Tells by its exit code.
#![no_std]
#![no_main]

use outlast_core::wire::{
    AuthData, Close, CloseFlags, Drain, Frame, Grant, HEADER_LEN, Hello, MAX_BODY, Probe,
    RequestId, Resume, Resumed, Route, Status, Terms, Welcome,
};
use outlast_core::{Acceptor, Attach, CloseCode, Config, HANDSHAKE_MAX, Instant, Session};
use semihosting::{println, process};

/// One golden vector.
struct Vector {
    name: &'static str,
    bytes: &'static [u8],
    max_body: u16,
    want: Want,
}

enum Want {
    Accepted { canonical: bool },
    Refused { code: CloseCode, stage: Stage },
}

enum Stage {
    Header,
    Body,
    First,
}

include!(concat!(env!("OUT_DIR"), "/vectors.rs"));

/// What did not hold.
type Check = Result<(), &'static str>;

#[panic_handler]
fn on_panic(_: &core::panic::PanicInfo<'_>) -> ! {
    process::exit(101)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut failed = 0;
    // The negative control: each vector is checked against the frame of the next one.
    let shift = usize::from(cfg!(feature = "planted"));
    for (index, vector) in VECTORS.iter().enumerate() {
        if let Err(what) = check(index + shift, vector) {
            failed += 1;
            println!("FAILED {}: {}", vector.name, what);
        }
    }
    println!("{} vectors, {} failed", VECTORS.len(), failed);
    process::exit(i32::from(failed > 0))
}

#[inline(never)]
fn check(index: usize, v: &Vector) -> Check {
    match (&v.want, frame(index)) {
        (Want::Accepted { canonical }, Some(frame)) => {
            read(v, &frame)?;
            if *canonical { written(v, &frame) } else { Ok(()) }
        }
        (Want::Refused { code, stage }, None) => refused(v, *code, stage),
        _ => Err("a vector that is neither accepted nor refused"),
    }
}

fn ensure(holds: bool, what: &'static str) -> Check {
    if holds { Ok(()) } else { Err(what) }
}

fn is_handshake(frame: &Frame<'_>) -> bool {
    matches!(frame, Frame::Hello(_) | Frame::Welcome(_) | Frame::Auth { .. } | Frame::Close(_))
}

#[inline(never)]
fn read(v: &Vector, wanted: &Frame<'_>) -> Check {
    for end in 0..v.bytes.len() {
        ensure(Frame::split(&v.bytes[..end], v.max_body) == Ok(None), "a prefix is no frame")?;
    }
    let Ok(Some((header, body, rest))) = Frame::split(v.bytes, v.max_body) else {
        return Err("it is a frame");
    };
    ensure(rest.is_empty() && header.frame_size() == v.bytes.len(), "its length")?;
    ensure(Frame::decode(header, body).as_ref() == Ok(wanted), "its fields")?;
    let first = Frame::split_first(v.bytes, v.max_body);
    ensure(!is_handshake(wanted) || first == Ok(Some((header, body, rest))), "it may be first")
}

#[inline(never)]
fn written(v: &Vector, frame: &Frame<'_>) -> Check {
    let mut out = [0xEE; HANDSHAKE_MAX + 1];
    let len = v.bytes.len();
    let Some(room) = out.get_mut(..len + 1) else { return Err("it is too long for this test") };
    ensure(frame.encode(room) == Some(len), "its length when written")?;
    ensure(room[..len] == *v.bytes, "its bytes when written")?;
    ensure(room[len] == 0xEE, "nothing is written behind it")?;
    if !matches!(frame, Frame::Close(close) if !close.reason.is_empty()) {
        for short in 0..len {
            ensure(frame.encode(&mut room[..short]).is_none(), "too little room is seen")?;
        }
    }
    Ok(())
}

#[inline(never)]
fn refused(v: &Vector, code: CloseCode, stage: &Stage) -> Check {
    match stage {
        Stage::Header => {
            let short = Frame::split(&v.bytes[..HEADER_LEN - 1], v.max_body);
            ensure(short == Ok(None), "three bytes say nothing")?;
            let at = Frame::split(&v.bytes[..HEADER_LEN], v.max_body);
            ensure(at == Err(code), "refused from the header")?;
            ensure(Frame::split(v.bytes, v.max_body) == Err(code), "refused as a whole")
        }
        Stage::Body => match Frame::split(v.bytes, v.max_body) {
            Ok(Some((header, body, []))) => {
                ensure(Frame::decode(header, body) == Err(code), "refused from the body")
            }
            _ => Err("its header is legal"),
        },
        Stage::First => {
            let mut prefixes = (0..=v.bytes.len()).map(|end| &v.bytes[..end]);
            let at = prefixes.find(|part| Frame::split_first(part, v.max_body).is_err());
            let Some(at) = at else { return Err("refused as first bytes") };
            ensure(Frame::split_first(at, v.max_body) == Err(code), "refused with this code")?;
            ensure(at.is_empty() || ends(&at[..at.len() - 1]) == [None, None], "one byte less")?;
            ensure(ends(at) == [Some(code), Some(code)], "both ends refuse it")
        }
    }
}

/// What a client and a server say to a connection that begins so.
#[inline(never)]
fn ends(bytes: &[u8]) -> [Option<CloseCode>; 2] {
    let (now, config) = (Instant::from_micros(1), Config::CONSTRAINED);
    let (mut out, mut of_client) = ([0; 256], None);
    if let Ok(mut client) = Session::client(config, [0; 512]) {
        if client.attach(now, &Attach::default(), &mut out).is_err() {
            return [None, None];
        }
        of_client = client.handle_input(now, &mut &*bytes).err().map(|broken| broken.code());
    }
    let mut acceptor = Acceptor::new(now, &config);
    let of_server = acceptor.handle_input(now, &mut &*bytes).err().map(|broken| broken.code());
    [of_client, of_server]
}
