//! Bad input and attacks: each gets its code, or an end in bounded time and memory.

use outlast_core::{CloseCode, Config};

use super::tools::{GREET_MS, SMALL, Table, ensure, open, settles, within};
use crate::bench::Bench;
use crate::driver::Obs;
use crate::model::Wrong;
use crate::raw::{self, Hello, LANE, MORE, kind};
use crate::rng::Rng;

type Done = Result<(), Wrong>;

/// A server that reads these bytes first answers with this code.
pub(super) fn refuses_first(bench: &mut Bench<'_>, bytes: &[u8], code: CloseCode) -> Done {
    let mut server = bench.server(SMALL)?;
    let mut peer = bench.plug(&mut *server)?;
    let _ = peer.stream().write(bytes);
    bench
        .expect_close(&mut peer, code)
        .map(drop)
        .map_err(|wrong| Wrong(format!("{wrong}, to {bytes:02x?}")))
}

pub(super) fn a01_length_over_the_limit(bench: &mut Bench<'_>) -> Done {
    //= test FRM-10
    let mut table = Table::set(bench, SMALL)?;
    let longest = raw::message(1, &[7; 200]);
    bench.write(&mut table.peer, &longest)?;
    let whole = Obs::Message { route: 1, payload: vec![7; 200] };
    bench.expect(&mut *table.server, &whole)?;
    table.refuses(bench, &raw::message(1, &[7; 201])[..4], CloseCode::TOO_LARGE).map(drop)
}

pub(super) fn a02_announced_body_costs_nothing(bench: &mut Bench<'_>) -> Done {
    //= test FRG-10
    let mut table = Table::set(bench, Config { idle_timeout_ms: 0, ..Config::SERVER })?;
    let mut peers = Vec::new();
    for _ in 0..100 {
        let (peer, _) = open(bench, &mut *table.server, &Hello::default())?;
        peers.push(peer);
        bench.expect(&mut *table.server, &Obs::Opened)?;
    }
    bench.pass(10_000);
    let before = table.server.held_bytes();
    for peer in &mut peers {
        bench.write(peer, &raw::message(1, &[0; 16_000])[..4])?;
    }
    bench.pass(100_000);
    settles(bench, &*table.server, before + 100 * 300)
}

pub(super) fn a03_wrong_body_sizes(bench: &mut Bench<'_>) -> Done {
    //= test FRM-12 FRM-13 FRG-8
    let frames = [
        raw::frame(kind::ACK, 0, &[0; 7]),
        raw::frame(kind::ACK, 0, &[0; 9]),
        raw::frame(kind::ACK, 1, &[0; 8]),
        raw::frame(kind::PING, 0, &[0; 15]),
        raw::frame(kind::PONG, 0, &[0; 17]),
        raw::frame(kind::PING, 1, &[]),
        raw::frame(kind::CLOSE, 0, &[0; 7]),
        raw::frame(kind::DRAIN, 0, &[0; 11]),
        raw::frame(kind::REQ, 1, &[0]),
        raw::frame(kind::RSP, 0, &[0]),
        raw::frame(kind::CANCEL, 0, &[0; 3]),
        raw::frame(kind::FIN, 0, &[0]),
        raw::frame(kind::FIN, 1, &[]),
        raw::frame(kind::CONT, 0, &[]),
        raw::frame(kind::CONT, 1, &[0]),
        raw::frame(kind::CONT, 2, &[0]),
        raw::frame(kind::MSG, 0xFE, &[0]),
        raw::frame(kind::MSG, 0xFF, &[0; 3]),
        raw::frame(kind::MSG, 0xFC, &[]),
        raw::frame(kind::MSG, 0xFD, &[]),
    ];
    for frame in frames {
        let mut table = Table::set(bench, SMALL)?;
        table
            .refuses(bench, &frame, CloseCode::BAD_FRAME)
            .map_err(|wrong| Wrong(format!("{wrong}, to {frame:02x?}")))?;
    }
    Ok(())
}

pub(super) fn a04_byte_at_a_time(bench: &mut Bench<'_>) -> Done {
    //= test FRM-17
    let mut server = bench.server(SMALL)?;
    let mut peer = bench.plug(&mut *server)?;
    for byte in Hello::default().encode() {
        bench.write(&mut peer, &[byte])?;
        bench.pass(10);
    }
    let welcome = bench.frame(&mut peer)?;
    ensure(welcome.kind == kind::WELCOME, || format!("{welcome:?}"))?;
    for byte in raw::message(1, &[5; 100]) {
        bench.write(&mut peer, &[byte])?;
        bench.pass(10);
    }
    bench.expect(&mut *server, &Obs::Opened)?;
    bench.expect(&mut *server, &Obs::Message { route: 1, payload: vec![5; 100] }).map(drop)
}

pub(super) fn a05_handshake_drip(bench: &mut Bench<'_>) -> Done {
    //= test HND-3
    let (limit, every) = bench.either((5_000, 1_000), (GREET_MS, 100));
    let mut server = bench.server(Config { handshake_timeout_ms: limit, ..SMALL })?;
    let start = bench.driver().now();
    let mut peer = bench.plug(&mut *server)?;
    for byte in Hello::default().encode() {
        let _ = peer.stream().write(&[byte]);
        bench.pass(every * 1_000);
        peer.pull();
        if !peer.open {
            return within(bench, start, limit, 1_010);
        }
    }
    Err(Wrong("its bytes extended the time".into()))
}

pub(super) fn a06_frame_drip(bench: &mut Bench<'_>) -> Done {
    //= test HBT-8
    let (limit, every) = bench.either((10_000, 500), (500, 60));
    let mut table = Table::set(bench, Config { frame_timeout_ms: limit, ..SMALL })?;
    let start = bench.driver().now();
    for byte in raw::message(1, &[0; 100]) {
        let _ = table.peer.stream().write(&[byte]);
        bench.pass(every * 1_000);
        table.peer.pull();
        if let Some(frame) = raw::Frame::take(&mut table.peer.inbox) {
            let code = frame.close().map(|(code, _)| code);
            let expected = Some(CloseCode::FRAME_TIMEOUT.get());
            ensure(code == expected, || format!("{frame:?}"))?;
            return within(bench, start, limit, 1_010);
        }
    }
    Err(Wrong("its bytes extended the time".into()))
}

pub(super) fn a09_reserved_bits(bench: &mut Bench<'_>) -> Done {
    //= test FRM-8 FRM-9 FRM-11
    let wrong = [
        (raw::frame_with(kind::MSG, 1, LANE, b"x"), CloseCode::BAD_LANE),
        (raw::frame_with(kind::ACK, 0, MORE, &[0; 8]), CloseCode::BAD_FRAME),
        (raw::frame_with(kind::FIN, 0, MORE, &[]), CloseCode::BAD_FRAME),
        (raw::frame_with(kind::ACK, 0, MORE | LANE, &[0; 8]), CloseCode::BAD_LANE),
        (raw::frame(kind::CLOSE, 0, &[0, 0, 32, 0, 0, 0, 0, 0]), CloseCode::BAD_FRAME),
    ];
    for (frame, code) in wrong {
        let mut table = Table::set(bench, SMALL)?;
        table
            .refuses(bench, &frame, code)
            .map_err(|wrong| Wrong(format!("{wrong}, to {frame:02x?}")))?;
    }
    //= test HND-8
    let flags = Hello { flags: 2 | 8, ..Hello::default() };
    refuses_first(bench, &flags.encode(), CloseCode::BAD_FRAME)?;
    let claim = Hello { flags: 2 | 1, ..Hello::default() };
    refuses_first(bench, &claim.encode(), CloseCode::BAD_OPTION)
}

pub(super) fn a10_noise(bench: &mut Bench<'_>) -> Done {
    //= test FRM-5 HND-1
    refuses_first(bench, &[0; 64], CloseCode::BAD_FRAME)?;
    refuses_first(bench, &[0xFF; 64], CloseCode::BAD_FRAME)?;
    let mut rng = Rng::new(1);
    for _ in 0..200 {
        let mut table = Table::set(bench, SMALL)?;
        let noise: Vec<u8> = (0..4_000).map(|_| rng.next() as u8).collect();
        let _ = table.peer.stream().write(&noise);
        table.peer.stream().shut();
        bench.until("an end", || {
            table.peer.pull();
            (!table.peer.open).then_some(())
        })?;
    }
    Ok(())
}

pub(super) fn a11_foreign_protocols(bench: &mut Bench<'_>) -> Done {
    //= test HND-1 HND-2
    let openings: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /x HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x00\x00\x85\xffSMBr\x00\x00\x00\x00",
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n",
        b"\x0d\x0a\x0d\x0a\x00\x0d\x0aQUIT\x0a",
        b"\x10\x2a\x00\x04MQTT\x05\x02\x00\x3c",
        b"{\"message_type\": \"login_request\"}\n",
        b"EHLO mail.example\r\n",
    ];
    for opening in openings {
        let mut server = bench.server(SMALL)?;
        let mut peer = bench.plug(&mut *server)?;
        let _ = peer.stream().write(opening);
        let (code, close) = bench.close(&mut peer)?;
        // What begins with the byte of AUTH or CLOSE is refused by its state or its length.
        let codes = [CloseCode::BAD_FRAME, CloseCode::BAD_STATE, CloseCode::TOO_LARGE];
        let fits = codes.contains(&code);
        ensure(fits, || format!("{code:?} to {opening:02x?}"))?;
        ensure(close.body.len() == 8, || "something was echoed".into())?;
    }
    Ok(())
}

pub(super) fn a15_bad_options(bench: &mut Bench<'_>) -> Done {
    //= test FRM-23 FRM-24
    let options: [&[u8]; 6] = [
        &[0x01],
        &[0x01, 4, 0, 0],
        &[0x01, 3, 0, 0, 0],
        &[0x01, 4, 0, 0, 0, 0, 0x01, 4, 0, 0, 0, 0],
        &[0xF0, 0],
        &[0x02, 47],
    ];
    for option in options {
        let hello = Hello { options: option.to_vec(), ..Hello::default() };
        refuses_first(bench, &hello.encode(), CloseCode::BAD_OPTION)?;
    }
    let hello = Hello { options: vec![0x70, 2, 1, 2, 0x71, 0], ..Hello::default() };
    Table::set_with(bench, SMALL, hello).map(drop)
}

pub(super) fn a16_frames_out_of_state(bench: &mut Bench<'_>) -> Done {
    //= test HND-19 FRM-20
    let hello = Hello::default();
    let welcome = raw::welcome(1, [0; 16], &hello);
    let token = raw::frame(kind::TOKEN, 2, &[0; 16]);
    let auth = raw::frame(kind::AUTH, 0, b"x");
    let torn = raw::frame(kind::HELLO, 1, &[0; 4]);
    for frame in [hello.encode(), welcome.clone(), token, auth, torn] {
        let mut table = Table::set(bench, SMALL)?;
        table
            .refuses(bench, &frame, CloseCode::BAD_STATE)
            .map_err(|wrong| Wrong(format!("{wrong}, to {frame:02x?}")))?;
    }
    for frame in [
        raw::message(1, b"early"),
        raw::ack(0, 0),
        raw::frame(kind::PING, 0, &[]),
        raw::frame(kind::FIN, 0, &[]),
        welcome,
    ] {
        refuses_first(bench, &frame, CloseCode::BAD_STATE)?;
    }
    Ok(())
}

pub(super) fn a18_ack_regress(bench: &mut Bench<'_>) -> Done {
    //= test POS-9
    let mut table = Table::set(bench, SMALL)?;
    table.refuses(bench, &raw::ack(u32::MAX, 65_536), CloseCode::ACK_REGRESS)?;
    let (code, _) = table.resume_refused(bench)?;
    ensure(code == CloseCode::ACK_REGRESS, || format!("{code:?}"))
}

pub(super) fn a20_position_gap(bench: &mut Bench<'_>) -> Done {
    //= test POS-10
    let mut table = Table::set(bench, SMALL)?;
    table.bears(bench, &[])?;
    let claims_more = raw::probe(kind::PING, 1, 100, 0, 65_536);
    table.refuses(bench, &claims_more, CloseCode::SEQ_DESYNC).map(drop)
}

pub(super) fn a22_credit_overrun_by_one(bench: &mut Bench<'_>) -> Done {
    //= test CRD-1
    let config = Config { release: outlast_core::Release::Automatic, ..SMALL };
    let mut table = Table::set(bench, Config { window: 204, window_max: 204, ..config })?;
    // A frame of 204 bytes fits exactly, one of 4 more does not before the first is acknowledged.
    let bytes = [raw::message(1, &[0; 200]), raw::message(1, &[])].concat();
    table.refuses(bench, &bytes, CloseCode::FLOW_VIOLATION).map(drop)
}

pub(super) fn a22_credit_shrink(bench: &mut Bench<'_>) -> Done {
    //= test POS-9 CRD-8
    let mut table = Table::set(bench, SMALL)?;
    table.refuses(bench, &raw::ack(0, 65_535), CloseCode::CREDIT_SHRINK).map(drop)
}

pub(super) fn a23_extreme_hellos(bench: &mut Bench<'_>) -> Done {
    //= test HND-9 HND-24
    for value in [0, 1, u32::MAX] {
        let base = Hello::default;
        let hellos = [
            Hello { max_body: value as u16, ..base() },
            Hello { max_requests: value as u16, ..base() },
            Hello { idle_ms: value, ..base() },
            Hello { beat_ms: value, ..base() },
            Hello { window: value, ..base() },
            Hello { max_message: value, ..base() },
            Hello { retention_s: value, ..base() },
            Hello { send_buffer: value, ..base() },
        ];
        for hello in hellos {
            let mut server = bench.server(SMALL)?;
            let mut peer = bench.plug(&mut *server)?;
            bench.write(&mut peer, &hello.encode())?;
            let frame = bench.frame(&mut peer)?;
            let limits = Some(CloseCode::LIMITS.get());
            let fits = frame.kind == kind::WELCOME || frame.close().map(|c| c.0) == limits;
            ensure(fits, || format!("{frame:?} to {hello:?}"))?;
            let a_while = bench.either(1_000_000, 10_000);
            bench.pass(a_while);
        }
    }
    Ok(())
}

pub(super) fn a24_request_reuse(bench: &mut Bench<'_>) -> Done {
    //= test REQ-2
    let ask = |id| raw::numbered(kind::REQ, 1, id, b"");
    for bytes in [[ask(1), ask(1)].concat(), ask(4), raw::numbered(kind::CANCEL, 0, 4, b"")] {
        let mut table = Table::set(bench, SMALL)?;
        table.refuses(bench, &bytes, CloseCode::BAD_REQUEST)?;
    }
    //= test REQ-7
    let mut table = Table::set(bench, SMALL)?;
    table.bears(bench, &raw::numbered(kind::CANCEL, 0, 3, b""))
}

pub(super) fn a27_ping_flood(bench: &mut Bench<'_>) -> Done {
    //= test BUD-2
    let mut table = Table::set(bench, SMALL)?;
    let flood: Vec<u8> =
        (0..2_000).flat_map(|nonce| raw::probe(kind::PING, nonce, 0, 0, 65_536)).collect();
    table.refuses(bench, &flood, CloseCode::CALM).map(drop)
}

pub(super) fn a29_request_and_cancel_flood(bench: &mut Bench<'_>) -> Done {
    //= test BUD-2
    let config = Config { window: 1 << 20, window_max: 1 << 20, ..SMALL };
    let mut table = Table::set(bench, config)?;
    let mut flood = raw::numbered(kind::REQ, 1, 0, b"");
    flood.extend(raw::numbered(kind::CANCEL, 0, 0, b"").repeat(2_000));
    table.refuses(bench, &flood, CloseCode::CALM).map(drop)
}

pub(super) fn a34_message_over_the_limit(bench: &mut Bench<'_>) -> Done {
    //= test FRG-5
    let mut table = Table::set(bench, Config { window: 4_000, window_max: 4_000, ..SMALL })?;
    let mut bytes = raw::frame_with(kind::MSG, 1, MORE, &[0; 200]);
    for _ in 0..4 {
        bytes.extend(raw::frame_with(kind::CONT, 0, MORE, &[0; 200]));
    }
    bytes.extend(raw::frame_with(kind::CONT, 0, MORE, &[0; 1]));
    table.refuses(bench, &bytes, CloseCode::TOO_LARGE).map(drop)
}

pub(super) fn a42_end_in_mid_frame(bench: &mut Bench<'_>) -> Done {
    //= test POS-7
    let mut table = Table::set(bench, SMALL)?;
    bench.write(&mut table.peer, &raw::message(1, b"half")[..6])?;
    bench.pass(1_000);
    table.peer.stream().shut();
    bench.pass(1_000);
    table.resumes(bench)?;
    bench.write(&mut table.peer, &raw::message(1, b"whole"))?;
    loop {
        if let Obs::Message { payload, .. } = bench.next(&mut *table.server)?.what {
            return ensure(payload == b"whole", || format!("{payload:?}"));
        }
    }
}

pub(super) fn a44_replayed_resume(bench: &mut Bench<'_>) -> Done {
    //= test RSM-3
    let mut table = Table::set(bench, SMALL)?;
    table.resumes(bench)?;
    let recorded = table.hello.resuming(&table.claim).encode();
    for _ in 0..2 {
        let mut thief = bench.plug(&mut *table.server)?;
        bench.write(&mut thief, &recorded)?;
        bench.expect_close(&mut thief, CloseCode::STALE_ATTACH)?;
    }
    bench.expect(&mut *table.server, &Obs::Resumed)?;
    table.bears(bench, &[])
}

pub(super) fn a46_late_bytes_after_takeover(bench: &mut Bench<'_>) -> Done {
    //= test RSM-8
    let mut table = Table::set(bench, SMALL)?;
    let (mut old, _) = table.takes_over(bench)?;
    for _ in 0..10 {
        let _ = old.stream().write(&raw::message(1, b"late"));
        bench.pass(1_000);
    }
    bench.write(&mut table.peer, &raw::message(1, b"new"))?;
    loop {
        if let Obs::Message { payload, .. } = bench.next(&mut *table.server)?.what {
            return ensure(payload == b"new", || format!("{payload:?}"));
        }
    }
}

pub(super) fn a69_bytes_behind_hello(bench: &mut Bench<'_>) -> Done {
    //= test HND-10
    let bytes = [Hello::default().encode(), raw::message(1, b"eager")].concat();
    refuses_first(bench, &bytes, CloseCode::BAD_STATE)
}
