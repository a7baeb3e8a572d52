//! Failures that other protocols have and this one rules out.

use outlast_core::{CloseCode, Config, Release};

use super::tools::{GREET_MS, SMALL, Table, ensure, open, since, within};
use crate::bench::Bench;
use crate::driver::{Cmd, Obs};
use crate::model::Wrong;
use crate::raw::{self, Hello, kind};

type Done = Result<(), Wrong>;

pub(super) fn f01_ends_count_alike(bench: &mut Bench<'_>) -> Done {
    //= test POS-10
    let mut table = Table::set(bench, SMALL)?;
    let ping = raw::probe(kind::PING, 1, 4, 0, 65_536);
    table.refuses(bench, &ping, CloseCode::SEQ_DESYNC)?;
    bench.expect(&mut *table.server, &Obs::Lost(CloseCode::SEQ_DESYNC, None)).map(drop)
}

pub(super) fn f02_positions_wrap(bench: &mut Bench<'_>) -> Done {
    //= test POS-2 POS-9
    let mut table = Table::set(bench, SMALL)?;
    table.refuses(bench, &raw::ack(1 << 31, 65_536), CloseCode::ACK_REGRESS).map(drop)
}

pub(super) fn f03_ack_beyond_sent(bench: &mut Bench<'_>) -> Done {
    //= test POS-8
    let mut table = Table::set(bench, SMALL)?;
    table.refuses(bench, &raw::ack(4, 65_536), CloseCode::ACK_BEYOND_SENT).map(drop)
}

pub(super) fn f03_ack_in_mid_frame(bench: &mut Bench<'_>) -> Done {
    //= test POS-8
    let mut table = Table::set(bench, SMALL)?;
    let send = Cmd::Send { route: 1, payload: vec![0; 16] };
    table.server.command(table.session, send).map_err(Wrong)?;
    bench.frame(&mut table.peer)?;
    table.refuses(bench, &raw::ack(10, 65_536), CloseCode::ACK_BEYOND_SENT).map(drop)
}

pub(super) fn f04_takeover_fences_first(bench: &mut Bench<'_>) -> Done {
    //= test RSM-8 DRV-6 DRV-16
    let mut table = Table::set(bench, SMALL)?;
    let mut half = raw::message(1, b"from the old connection");
    let rest = half.split_off(6);
    bench.write(&mut table.peer, &half)?;
    bench.pass(5_000);
    let (mut old, welcome) = table.takes_over(bench)?;
    let next = welcome.option(0x11).map(|option| option[..8] == [0; 8]);
    ensure(next == Some(true), || format!("half a message was counted: {welcome:?}"))?;
    let _ = old.stream().write(&rest);
    bench.write(&mut table.peer, &raw::message(1, b"new"))?;
    loop {
        match bench.next(&mut *table.server)?.what {
            Obs::Message { payload, .. } if payload == b"new" => return Ok(()),
            Obs::Message { payload, .. } => return Err(Wrong(format!("{payload:?} came"))),
            _ => {}
        }
    }
}

pub(super) fn f05_stale_hello_is_refused(bench: &mut Bench<'_>) -> Done {
    //= test RSM-3 RSM-4
    let mut table = Table::set(bench, SMALL)?;
    let mut thief = bench.plug(&mut *table.server)?;
    let hello = table.hello.resuming(&table.claim).encode();
    bench.write(&mut thief, &hello)?;
    let close = bench.expect_close(&mut thief, CloseCode::STALE_ATTACH)?;
    ensure(close.number::<2>(2) & 8 != 0, || "the last number is missing".into())?;
    table.bears(bench, &[])
}

pub(super) fn f06_ack_means_taken(bench: &mut Bench<'_>) -> Done {
    //= test POS-12 POS-14
    let mut table = Table::set(bench, SMALL)?;
    let message = raw::message(1, b"take this");
    bench.write(&mut table.peer, &message)?;
    loop {
        let frame = bench.frame(&mut table.peer)?;
        if frame.kind == kind::ACK {
            let acked = frame.number::<4>(0);
            let taken = Obs::Message { route: 1, payload: b"take this".to_vec() };
            bench.expect(&mut *table.server, &taken)?;
            return ensure(acked == message.len() as u64, || format!("{acked} acknowledged"));
        }
    }
}

pub(super) fn f07_rollback_is_noticed(bench: &mut Bench<'_>) -> Done {
    //= test RSM-6 RSM-7
    let mut table = Table::set(bench, SMALL)?;
    table.claim.rx_next = 4;
    let (code, close) = table.resume_refused(bench)?;
    ensure(code == CloseCode::SELF_STATE_LOST, || format!("{code:?}"))?;
    ensure(close.number::<2>(2) & 5 == 5, || "neither ended nor a position".into())
}

pub(super) fn f08_dead_session_answers(bench: &mut Bench<'_>) -> Done {
    //= test RSM-12 REG-9
    let mut table = Table::set(bench, SMALL)?;
    table.bears(bench, &[])?;
    let session = table.session;
    table.server.command(session, Cmd::End(CloseCode::new(0x8001))).map_err(Wrong)?;
    bench.close(&mut table.peer)?;
    for _ in 0..3 {
        let (code, close) = table.resume_refused(bench)?;
        ensure(code.get() == 0x8001, || format!("{code:?}"))?;
        ensure(close.number::<2>(2) & 5 == 5, || "neither ended nor a position".into())?;
        ensure(close.number::<8>(8) == 6, || format!("{} received", close.number::<8>(8)))?;
    }
    Ok(())
}

pub(super) fn f09_guessed_sid_is_unknown(bench: &mut Bench<'_>) -> Done {
    //= test REG-3
    let mut table = Table::set(bench, SMALL)?;
    table.claim.sid ^= 0xFFFF_0000;
    let (code, _) = table.resume_refused(bench)?;
    ensure(code == CloseCode::NO_SESSION, || format!("{code:?}"))
}

pub(super) fn f09_wrong_proof_is_unknown(bench: &mut Bench<'_>) -> Done {
    //= test REG-2 REG-3
    let mut table = Table::set(bench, SMALL)?;
    let mut thief = bench.plug(&mut *table.server)?;
    let mut claim = table.claim.clone();
    (claim.attach, claim.key) = (9, [0; 16]);
    bench.write(&mut thief, &table.hello.resuming(&claim).encode())?;
    bench.expect_close(&mut thief, CloseCode::NO_SESSION)?;
    table.bears(bench, &[])
}

pub(super) fn f11_superseded_forbids_retry(bench: &mut Bench<'_>) -> Done {
    //= test RSM-10
    let mut table = Table::set(bench, SMALL)?;
    let (mut old, _) = table.takes_over(bench)?;
    let close = bench.expect_close(&mut old, CloseCode::SUPERSEDED)?;
    ensure(close.number::<2>(2) & 2 != 0, || "a retry is not forbidden".into())
}

pub(super) fn f12_poison_ends_the_session(bench: &mut Bench<'_>) -> Done {
    //= test CLS-12
    let mut table = Table::set(bench, SMALL)?;
    table.refuses(bench, &[0; 4], CloseCode::BAD_FRAME)?;
    table.resumes(bench)?;
    table.refuses(bench, &[0; 4], CloseCode::POISON)?;
    let (code, _) = table.resume_refused(bench)?;
    ensure(code == CloseCode::POISON, || format!("{code:?}"))
}

pub(super) fn f13_control_needs_no_credit(bench: &mut Bench<'_>) -> Done {
    //= test CRD-9
    let config = Config { release: Release::Automatic, ack_delay_ms: 60_000, ..SMALL };
    let hello = Hello { window: 16_387, ..Hello::default() };
    let mut table = Table::set_with(bench, config, hello)?;
    bench.write(&mut table.peer, &raw::probe(kind::PING, 77, 0, 0, 16_387))?;
    let pong = bench.frame(&mut table.peer)?;
    let answers = pong.kind == kind::PONG && pong.number::<4>(0) == 77;
    ensure(answers, || format!("{pong:?}"))
}

pub(super) fn f15_ping_flood_is_calmed(bench: &mut Bench<'_>) -> Done {
    //= test BUD-1 BUD-2 BUD-3
    let mut table = Table::set(bench, SMALL)?;
    let flood = raw::frame(kind::PING, 0, &[]).repeat(2_000);
    table.refuses(bench, &flood, CloseCode::CALM)?;
    table.resumes(bench).map(drop)
}

pub(super) fn f15_pongs_are_coalesced(bench: &mut Bench<'_>) -> Done {
    //= test HBT-9 HBT-10
    let mut table = Table::set(bench, SMALL)?;
    let pings: Vec<u8> =
        (1..=50).flat_map(|nonce| raw::probe(kind::PING, nonce, 0, 0, 65_536)).collect();
    bench.write(&mut table.peer, &pings)?;
    let mut pongs = 0;
    loop {
        let frame = bench.frame(&mut table.peer)?;
        if frame.kind == kind::PONG {
            pongs += 1;
            if frame.number::<4>(0) == 50 {
                return ensure(pongs < 50, || format!("{pongs} PONGs for 50 PINGs"));
            }
        }
    }
}

pub(super) fn f16_honest_pings_are_fine(bench: &mut Bench<'_>) -> Done {
    //= test BUD-1
    // More than the budget holds at once, at less than it gains: late ones only cost less.
    let (pings, every) = bench.either((6_000, 100_000), (320, 25_000));
    let mut table = Table::set(bench, SMALL)?;
    for nonce in 0..pings {
        bench.write(&mut table.peer, &raw::probe(kind::PING, nonce, 0, 0, 65_536))?;
        bench.pass(every);
    }
    table.bears(bench, &[])
}

pub(super) fn f18_partial_frame_times_out(bench: &mut Bench<'_>) -> Done {
    //= test HBT-8
    let limit = bench.either(10_000, 700);
    let mut table = Table::set(bench, Config { frame_timeout_ms: limit, ..SMALL })?;
    let start = bench.driver().now();
    bench.write(&mut table.peer, &raw::message(1, &[0; 100])[..50])?;
    bench.expect_close(&mut table.peer, CloseCode::FRAME_TIMEOUT)?;
    within(bench, start, limit, 1_000)
}

pub(super) fn f18_handshake_times_out(bench: &mut Bench<'_>) -> Done {
    //= test HND-3
    let limit = bench.either(5_000, GREET_MS);
    let config = Config { handshake_timeout_ms: limit, ..SMALL };
    let mut server = bench.server(config)?;
    let start = bench.driver().now();
    let mut peer = bench.plug(&mut *server)?;
    bench.until("the end", || {
        peer.pull();
        (!peer.open).then_some(())
    })?;
    within(bench, start, limit, 20)
}

pub(super) fn f19_late_poll_is_forgiven(bench: &mut Bench<'_>) -> Done {
    //= test HBT-6
    let config = Config { idle_timeout_ms: 3_000, ..SMALL };
    let mut table = Table::alone(bench, config)?;
    let asleep = bench.either(3_600_000_000, 4_000_000);
    bench.driver().starve(asleep);
    table.bears(bench, &[])
}

pub(super) fn f20_timers_begin_anew(bench: &mut Bench<'_>) -> Done {
    //= test HBT-13
    let idle = bench.either(3_000, 1_500);
    let mut table = Table::alone(bench, Config { idle_timeout_ms: idle, ..SMALL })?;
    let almost = u64::from(idle) * 29 / 30 - 100;
    bench.pass(almost * 1_000);
    table.peer.stream().cut();
    // The new silence begins when the server has read a claim, which is not written yet.
    let start = bench.driver().now();
    table.resumes(bench)?;
    while since(bench, start) < almost {
        bench.pass(10_000);
        table.peer.pull();
        // Whoever looks too late has not seen it close too early.
        let too_early = !table.peer.open && since(bench, start) < almost;
        ensure(!too_early, || "the silence of the old connection was counted".into())?;
    }
    Ok(())
}

pub(super) fn f22_silence_is_noticed(bench: &mut Bench<'_>) -> Done {
    //= test HBT-3 HBT-4
    let idle = bench.either(3_000, 900);
    // The server begins to count when it reads the peer's last bytes, which are written later.
    let start = bench.driver().now();
    let mut table = Table::alone(bench, Config { idle_timeout_ms: idle, ..SMALL })?;
    bench.until("the end", || {
        table.peer.pull();
        (!table.peer.open).then_some(())
    })?;
    within(bench, start, idle, 100)?;
    let probed = raw::Frame::take(&mut table.peer.inbox).is_some();
    ensure(probed, || "given up without a PING".into())?;
    bench.expect_disconnected(&mut *table.server, CloseCode::IDLE)?;
    table.resumes(bench).map(drop)
}

pub(super) fn f23_end_of_stream_detaches(bench: &mut Bench<'_>) -> Done {
    //= test RSM-17 DRV-7
    let mut table = Table::set(bench, SMALL)?;
    table.bears(bench, &[])?;
    table.peer.stream().shut();
    bench.pass(10_000);
    let send = Cmd::Send { route: 1, payload: b"kept".to_vec() };
    table.server.command(table.session, send).map_err(Wrong)?;
    table.resumes(bench)?;
    loop {
        let frame = bench.frame(&mut table.peer)?;
        if frame.kind == kind::MSG {
            return ensure(frame.body == b"kept", || format!("{frame:?}"));
        }
    }
}

pub(super) fn f23_finish_ends_well(bench: &mut Bench<'_>) -> Done {
    //= test CLS-3
    let mut table = Table::set(bench, SMALL)?;
    table.server.command(table.session, Cmd::Finish).map_err(Wrong)?;
    loop {
        if bench.frame(&mut table.peer)?.kind == kind::FIN {
            break;
        }
    }
    bench.write(&mut table.peer, &[raw::ack(4, 65_536), raw::frame(kind::FIN, 0, &[])].concat())?;
    let close = bench.expect_close(&mut table.peer, CloseCode::OK)?;
    ensure(close.number::<2>(2) & 5 == 5, || "neither ended nor a position".into())?;
    bench.expect(&mut *table.server, &Obs::Finished)?;
    bench.expect(&mut *table.server, &Obs::Ended).map(drop)
}

pub(super) fn f24_loss_says_what_arrived(bench: &mut Bench<'_>) -> Done {
    //= test CLS-6 CLS-13
    let mut client = bench.driver().client(SMALL);
    let mut peer = bench.plug(&mut *client)?;
    let hello = bench.frame(&mut peer)?;
    ensure(hello.kind == kind::HELLO, || format!("{hello:?}"))?;
    bench.write(&mut peer, &raw::welcome(9, [7; 16], &Hello::default()))?;
    bench.expect(&mut *client, &Obs::Opened)?;
    for _ in 0..3 {
        let send = Cmd::Send { route: 1, payload: vec![0; 16] };
        client.command(0, send).map_err(Wrong)?;
        while bench.frame(&mut peer)?.kind != kind::MSG {}
    }
    let mut close = vec![0x0C, 0x03, 5, 0, 0, 0, 0, 0];
    close.extend(40u64.to_le_bytes());
    bench.write(&mut peer, &raw::frame(kind::CLOSE, 0, &close))?;
    bench.expect(&mut *client, &Obs::Lost(CloseCode::EVICTED, Some(40))).map(drop)
}

pub(super) fn f26_send_never_waits(bench: &mut Bench<'_>) -> Done {
    //= test POS-5
    let hello = Hello { max_body: 200, max_message: 200, window: 1_000, ..Hello::default() };
    let mut table = Table::set_with(bench, SMALL, hello)?;
    let most = SMALL.send_buffer as usize + bench.driver().slack();
    let mut taken = 0;
    loop {
        let send = Cmd::Send { route: 1, payload: vec![0; 96] };
        match table.server.command(table.session, send) {
            Ok(()) if taken > most => return Err(Wrong("no end to what is kept".into())),
            Ok(()) => taken += 100,
            Err(_) => break,
        }
    }
    let fits = taken <= most && taken + 100 >= SMALL.send_buffer as usize;
    ensure(fits, || format!("{taken} bytes of messages in {most}"))
}

pub(super) fn f27_resume_with_other_limits(bench: &mut Bench<'_>) -> Done {
    //= test RSM-14
    let mut table = Table::set(bench, SMALL)?;
    table.hello.max_body = 100;
    let (code, _) = table.resume_refused(bench)?;
    ensure(code == CloseCode::LIMITS, || format!("{code:?}"))
}

pub(super) fn f30_unknown_critical(bench: &mut Bench<'_>) -> Done {
    //= test FRM-6 DRV-17
    for kind in [0x04, 0x11, 0x88, 0x83, 0x0B, 0x87, 0xA0, 0x21] {
        let mut table = Table::set(bench, SMALL)?;
        table.refuses(bench, &raw::frame(kind, 0, &[]), CloseCode::UNKNOWN_CRITICAL)?;
    }
    Ok(())
}

pub(super) fn f30_unknown_ignorable_is_counted(bench: &mut Bench<'_>) -> Done {
    //= test FRM-3 FRM-7 FRM-27
    let mut table = Table::set(bench, SMALL)?;
    let skipped =
        [raw::frame(0xC5, 3, b"abc"), raw::frame(0x45, 3, b"abc"), raw::frame(kind::SKIP, 9, &[0])];
    table.bears(bench, &skipped.concat())?;
    let tx = 7 + 5 + 6;
    bench.write(&mut table.peer, &raw::probe(kind::PING, 5, tx, 0, 65_536))?;
    loop {
        let frame = bench.frame(&mut table.peer)?;
        match frame.kind {
            kind::PONG => return Ok(()),
            kind::CLOSE => return Err(Wrong(format!("{frame:?}"))),
            _ => {}
        }
    }
}

pub(super) fn f30_zeros_and_ones(bench: &mut Bench<'_>) -> Done {
    //= test FRM-5
    for byte in [0, 0xFF] {
        let mut table = Table::set(bench, SMALL)?;
        table.refuses(bench, &[byte; 4], CloseCode::BAD_FRAME)?;
    }
    Ok(())
}

pub(super) fn f31_version_range_is_told(bench: &mut Bench<'_>) -> Done {
    //= test HND-6
    let mut server = bench.server(SMALL)?;
    let mut peer = bench.plug(&mut *server)?;
    let hello = Hello { versions: (2, 9), ..Hello::default() };
    bench.write(&mut peer, &hello.encode())?;
    let close = bench.expect_close(&mut peer, CloseCode::VERSION)?;
    ensure(close.number::<2>(2) & 16 != 0, || "the range is missing".into())?;
    ensure(close.body[8..10] == [1, 1], || format!("{:?}", close.body))
}

pub(super) fn f32_one_response_for_each_request(bench: &mut Bench<'_>) -> Done {
    //= test REQ-3 REQ-5 REQ-6
    let mut table = Table::set(bench, SMALL)?;
    for round in 0..3 {
        let ask = raw::numbered(kind::REQ, 1, 2, b"");
        // The route stands in the tag, the number first in the body.
        bench.write(&mut table.peer, &[ask, raw::numbered(kind::CANCEL, 0, 2, b"")].concat())?;
        let asked = bench.next(&mut *table.server)?;
        ensure(matches!(asked.what, Obs::Request { id: 2, route: 1, .. }), || {
            format!("{asked:?}")
        })?;
        let answer = Cmd::Respond { id: 2, status: 4, payload: vec![round] };
        table.server.command(table.session, answer.clone()).map_err(Wrong)?;
        let again = table.server.command(table.session, answer);
        ensure(again.is_err(), || "answered twice".into())?;
        loop {
            let frame = bench.frame(&mut table.peer)?;
            if frame.kind == kind::RSP {
                ensure(frame.body == [2, 0, round] && frame.tag == 4, || format!("{frame:?}"))?;
                break;
            }
        }
    }
    Ok(())
}

pub(super) fn f32_response_unasked(bench: &mut Bench<'_>) -> Done {
    //= test REQ-4
    let mut table = Table::set(bench, SMALL)?;
    table.refuses(bench, &raw::numbered(kind::RSP, 0, 0, b""), CloseCode::BAD_REQUEST).map(drop)
}

pub(super) fn f35_unconfirmed_is_reaped(bench: &mut Bench<'_>) -> Done {
    //= test REG-8
    let limit = bench.either(5_000, GREET_MS);
    let mut server = bench.server(Config { handshake_timeout_ms: limit, ..SMALL })?;
    let mut peer = bench.plug(&mut *server)?;
    let hello = Hello::default();
    bench.write(&mut peer, &hello.encode())?;
    let welcome = bench.frame(&mut peer)?;
    ensure(welcome.kind == kind::WELCOME, || format!("{welcome:?}"))?;
    peer.stream().cut();
    // A claim would confirm it, so that there is no asking before it must be over.
    bench.pass(u64::from(limit) * 1_000 + bench.either(10_000, 3_000_000));
    bench.pass(10_000);
    let mut key = [0; 16];
    let session = welcome.option(0x10).unwrap_or(&[0; 32]);
    key.copy_from_slice(&session[16..32]);
    let sid = session[..8].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let claim = raw::Claim { sid, attach: 2, key_id: session[12], key, rx_next: 0, tx_first: 0 };
    let mut peer = bench.plug(&mut *server)?;
    bench.write(&mut peer, &hello.resuming(&claim).encode())?;
    bench.expect_close(&mut peer, CloseCode::NO_SESSION)?;
    open(bench, &mut *server, &hello).map(drop)
}
