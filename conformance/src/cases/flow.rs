//! Failures of other protocols, continued: what waits for what, and who holds how much.

use outlast_core::registry::RegistryConfig;
use outlast_core::{CloseCode, Config};

use super::tools::{GREET_MS, SMALL, Table, ensure, fill, greet, open, since, within};
use crate::bench::Bench;
use crate::driver::{Cmd, Obs};
use crate::model::Wrong;
use crate::raw::{self, Claim, Hello, MORE, kind};

type Done = Result<(), Wrong>;

/// A server with much to send, and a peer that lets it.
const LARGE: Config = Config {
    max_body: 16_383,
    max_message: 16_383,
    window: 64 << 10,
    window_max: 64 << 10,
    send_buffer: 16 << 20,
    idle_timeout_ms: 0,
    ..Config::SERVER
};
const PATIENT: u32 = 1 << 28;

pub(super) fn f10_new_key_is_used(bench: &mut Bench<'_>) -> Done {
    //= test AUT-11
    let mut client = bench.driver().client(SMALL);
    let mut peer = bench.plug(&mut *client)?;
    bench.frame(&mut peer)?;
    bench.write(&mut peer, &raw::welcome(9, [7; 16], &Hello::default()))?;
    bench.expect(&mut *client, &Obs::Opened)?;
    bench.write(&mut peer, &raw::frame(kind::TOKEN, 2, &[8; 16]))?;
    loop {
        let frame = bench.frame(&mut peer)?;
        if frame.kind == kind::ACK && frame.number::<4>(0) == 20 {
            break;
        }
    }
    peer.stream().cut();
    let mut peer = bench.plug(&mut *client)?;
    let hello = bench.frame(&mut peer)?;
    let option = hello.option(0x02).unwrap_or_default().to_vec();
    ensure(option.len() == 48, || format!("no claim in {hello:?}"))?;
    let claim = Claim { sid: 9, attach: 2, key_id: 2, key: [8; 16], rx_next: 20, tx_first: 0 };
    ensure(option == claim.encode()[2..], || {
        format!("claimed with another key or position: {option:02x?}")
    })
}

pub(super) fn f14_output_never_holds_up_input(bench: &mut Bench<'_>) -> Done {
    //= test DRV-1 CRD-10
    let hello = Hello { window: PATIENT, ..Hello::default() };
    let mut table = Table::set_with(bench, LARGE, hello)?;
    let queued = fill(bench, &mut *table.server, table.session, 16_000)?;
    for n in 0..20u8 {
        let ping = raw::probe(kind::PING, n.into(), u32::from(n) * 104, 0, PATIENT);
        bench.write(&mut table.peer, &[ping, raw::message(1, &[n; 100])].concat())?;
        let message = Obs::Message { route: 1, payload: vec![n; 100] };
        bench.expect(&mut *table.server, &message)?;
    }
    let (mut came, mut ponged) = (0, false);
    let mut acked = 0u32;
    while came < queued || !ponged {
        let frame = bench.frame(&mut table.peer)?;
        match frame.kind {
            kind::MSG => {
                let size = frame.body.len() as u32 + 4;
                (came, acked) = (came + 1, acked + size);
                bench.write(&mut table.peer, &raw::ack(acked, acked.saturating_add(PATIENT)))?;
            }
            kind::PONG => ponged |= frame.number::<4>(0) == 19,
            kind::CLOSE => return Err(Wrong(format!("{frame:?}"))),
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn f17_control_goes_before_data(bench: &mut Bench<'_>) -> Done {
    //= test DRV-2
    let hello = Hello { window: PATIENT, ..Hello::default() };
    let mut table = Table::set_with(bench, LARGE, hello)?;
    fill(bench, &mut *table.server, table.session, 16_000)?;
    let ping = raw::probe(kind::PING, 7, 0, 0, PATIENT);
    bench.write(&mut table.peer, &[ping, raw::message(1, b"asked")].concat())?;
    bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: b"asked".to_vec() })?;
    // Nothing is acknowledged, so that the send buffer is all there can be.
    let most = LARGE.send_buffer as usize * 3 / 4;
    let mut data = 0;
    loop {
        let frame = bench.frame(&mut table.peer)?;
        if frame.kind == kind::PONG && frame.number::<4>(0) == 7 {
            return Ok(());
        }
        data += frame.body.len();
        ensure(data < most, || format!("the answer comes after {data} bytes of data"))?;
    }
}

pub(super) fn f17_any_byte_is_life(bench: &mut Bench<'_>) -> Done {
    //= test HBT-12
    let idle = bench.either(3_000, 2_400);
    let mut table = Table::alone(bench, Config { idle_timeout_ms: idle, ..SMALL })?;
    for n in 0..12u8 {
        bench.pass(u64::from(idle) * 1_000 / 6);
        // Every other time half a frame.
        let message = raw::message(1, &[n / 2; 10]);
        let half = if n % 2 == 0 { &message[..7] } else { &message[7..] };
        bench.write(&mut table.peer, half)?;
    }
    for n in 0..6 {
        bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: vec![n; 10] })?;
    }
    Ok(())
}

pub(super) fn f21_control_needs_no_room(bench: &mut Bench<'_>) -> Done {
    //= test HBT-9 POS-14
    let config = Config { send_buffer: 128, ..SMALL };
    let mut table = Table::set(bench, config)?;
    fill(bench, &mut *table.server, table.session, 28)?;
    let mut said = 0;
    for nonce in 1..=16 {
        let ping = raw::probe(kind::PING, nonce, said, 0, 65_536);
        bench.write(&mut table.peer, &[ping, raw::message(1, b"taken")].concat())?;
        said += 9;
        let (mut ponged, mut acked) = (false, false);
        while !ponged || !acked {
            let frame = bench.frame(&mut table.peer)?;
            match frame.kind {
                kind::PONG if frame.number::<4>(0) == u64::from(nonce) => {
                    ponged = true;
                    acked |= frame.number::<4>(8) == u64::from(said);
                }
                kind::ACK => acked |= frame.number::<4>(0) == u64::from(said),
                kind::CLOSE => return Err(Wrong(format!("{frame:?}"))),
                _ => {}
            }
        }
    }
    Ok(())
}

pub(super) fn f25_hint_of_the_server_is_kept(bench: &mut Bench<'_>) -> Done {
    //= test CLI-1
    const HINT: u32 = 700;
    let mut client = bench.driver().client(SMALL);
    let mut peer = bench.plug(&mut *client)?;
    bench.frame(&mut peer)?;
    let mut close = CloseCode::BUSY.get().to_le_bytes().to_vec();
    close.extend([0, 0]);
    close.extend(HINT.to_le_bytes());
    let start = bench.driver().now();
    bench.write(&mut peer, &raw::frame(kind::CLOSE, 0, &close))?;
    peer.stream().shut();
    bench.plug(&mut *client)?;
    // At the hint, and at most as much later as this client's first delays are long.
    within(bench, start, HINT, 60_000)
}

pub(super) fn f28_one_message_at_a_time(bench: &mut Bench<'_>) -> Done {
    //= test FRG-1 FRG-2 FRM-9
    let mut table = Table::set(bench, SMALL)?;
    let begun = raw::frame_with(kind::MSG, 1, MORE, &[0; 100]);
    bench.write(&mut table.peer, &begun)?;
    let ping = raw::probe(kind::PING, 3, begun.len() as u32, 0, 65_536);
    bench.write(&mut table.peer, &ping)?;
    while bench.frame(&mut table.peer)?.kind != kind::PONG {}
    table.refuses(bench, &raw::message(2, b"between"), CloseCode::BAD_LANE)?;
    let mut table = Table::set(bench, SMALL)?;
    let bulk = raw::frame_with(kind::MSG, 1, raw::LANE, b"bulk");
    table.refuses(bench, &bulk, CloseCode::BAD_LANE).map(drop)
}

pub(super) fn f29_nothing_is_compressed(bench: &mut Bench<'_>) -> Done {
    //= test FRM-6
    // One option: a codec and a length that would be gigabytes.
    let option = [1, 0x83, 5, 1, 0xFF, 0xFF, 0xFF, 0x7F];
    for kind in [kind::MSG, kind::REQ, kind::RSP] {
        let mut table = Table::set(bench, SMALL)?;
        let body = [&option[..], b"tiny"].concat();
        let frame = raw::frame(kind | 0x20, 1, &body);
        table.refuses(bench, &frame, CloseCode::UNKNOWN_CRITICAL)?;
    }
    Ok(())
}

pub(super) fn f33_grants_are_reserved(bench: &mut Bench<'_>) -> Done {
    //= test FRM-6
    let frames = [
        raw::frame(0x0B, 0, &[5, 0, 32, 0, 0, 0]),
        raw::frame(0x87, 1, &[1, 0, 8, 0]),
        raw::frame(0x83, 0, &[1, 0, 1]),
    ];
    for frame in frames {
        let mut table = Table::set(bench, SMALL)?;
        table.refuses(bench, &frame, CloseCode::UNKNOWN_CRITICAL)?;
    }
    Ok(())
}

pub(super) fn f34_noise_delivers_nothing(bench: &mut Bench<'_>) -> Done {
    //= test HND-1 FRM-5
    let mut table = Table::set(bench, SMALL)?;
    let mut rng = crate::rng::Rng::new(34);
    for round in 0..100 {
        let mut peer = bench.plug(&mut *table.server)?;
        // Noise from the start, or a HELLO with one bit of its first eight bytes turned.
        let mut noise: Vec<u8> = (0..300).map(|_| rng.next() as u8).collect();
        if round % 2 == 0 {
            noise = Hello::default().encode();
            noise[rng.below(8) as usize] ^= 1 << rng.below(8);
            noise.extend(raw::message(1, b"?"));
        }
        let _ = peer.stream().write(&noise);
        peer.stream().shut();
        bench.until("an end", || {
            peer.pull();
            (!peer.open).then_some(())
        })?;
    }
    bench.expect_silence(&mut *table.server)?;
    table.bears(bench, &[])
}

pub(super) fn f35_heard_once_is_confirmed(bench: &mut Bench<'_>) -> Done {
    //= test REG-8
    let limit = bench.either(5_000, GREET_MS);
    let mut server = bench.server(Config { handshake_timeout_ms: limit, ..SMALL })?;
    let hello = Hello::default();
    let mut claims = Vec::new();
    for _ in 0..20 {
        // What it says and the end of its stream come as close together as can be.
        let (mut peer, claim) = greet(bench, &mut *server, &hello)?;
        let message = raw::message(1, b"all there is");
        let all = [raw::ack(0, hello.window), message].concat();
        ensure(peer.stream().write(&all) == all.len(), || "it was not taken".into())?;
        peer.stream().shut();
        while !matches!(bench.next(&mut *server)?.what, Obs::Message { .. }) {}
        claims.push(claim);
    }
    bench.pass(u64::from(limit) * 1_000 + bench.either(10_000, 2_000_000));
    for claim in claims {
        let mut peer = bench.plug(&mut *server)?;
        bench.write(&mut peer, &hello.resuming(&Claim { attach: 2, ..claim }).encode())?;
        let frame = bench.frame(&mut peer)?;
        ensure(frame.kind == kind::WELCOME, || format!("{frame:?}"))?;
    }
    Ok(())
}

pub(super) fn f36_hoarding_evicts_the_oldest(bench: &mut Bench<'_>) -> Done {
    //= test REG-10
    let sessions = RegistryConfig { max_detached_per_owner: 2, ..RegistryConfig::default() };
    let server = bench.server_with(SMALL, sessions)?;
    let mut table = Table::at(bench, server, Hello::default())?;
    table.bears(bench, &[])?;
    let oldest = table.claim.clone();
    detach(bench, &mut table)?;
    for _ in 0..2 {
        let (peer, claim) = open(bench, &mut *table.server, &table.hello.clone())?;
        (table.peer, table.claim) = (peer, claim);
        bench.until("the session", || {
            Some(()).filter(|()| table.server.poll().is_some_and(|seen| seen.what == Obs::Opened))
        })?;
        detach(bench, &mut table)?;
    }
    let newest = std::mem::replace(&mut table.claim, oldest);
    let (code, close) = table.resume_refused(bench)?;
    ensure(code == CloseCode::EVICTED, || format!("{code:?}"))?;
    ensure(close.number::<2>(2) & 5 == 5, || "neither ended nor a position".into())?;
    ensure(close.number::<8>(8) == 6, || format!("{} received", close.number::<8>(8)))?;
    table.claim = newest;
    table.resumes(bench).map(drop)
}

/// Ends the stream, and waits until the server has noticed.
fn detach(bench: &mut Bench<'_>, table: &mut Table) -> Done {
    table.peer.stream().shut();
    bench.until("the end", || {
        table.peer.pull();
        (!table.peer.open).then_some(())
    })
}

pub(super) fn a40_vanished_peer_with_data(bench: &mut Bench<'_>) -> Done {
    //= test HBT-4
    let idle = bench.either(3_000, 900);
    // The server begins to count when it reads the peer's last bytes, which are written later.
    let start = bench.driver().now();
    let mut table = Table::alone(bench, Config { idle_timeout_ms: idle, ..SMALL })?;
    let send = Cmd::Send { route: 1, payload: b"kept".to_vec() };
    table.server.command(table.session, send).map_err(Wrong)?;
    bench.expect_disconnected(&mut *table.server, CloseCode::IDLE)?;
    let passed = since(bench, start);
    ensure(passed >= u64::from(idle), || format!("given up after {passed} ms"))?;
    table.resumes(bench)?;
    while bench.frame(&mut table.peer)?.body != b"kept" {}
    Ok(())
}
