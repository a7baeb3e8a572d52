//! Bad input and attacks, continued: floods, crowds and peers that vanish.

use outlast_core::registry::RegistryConfig;
use outlast_core::{CloseCode, Config};

use super::attacks::refuses_first;
use super::histories::Pair;
use super::tools::{GREET_MS, SMALL, Table, ensure, fill, open, settles, within};
use crate::bench::Bench;
use crate::driver::{Cmd, Obs};
use crate::model::Wrong;
use crate::raw::{self, Hello, MORE, kind};
use crate::rng::Rng;

type Done = Result<(), Wrong>;

pub(super) fn a07_silent_connections(bench: &mut Bench<'_>) -> Done {
    //= test HND-3
    let limit = bench.either(5_000, GREET_MS);
    let config = Config { handshake_timeout_ms: limit, ..SMALL };
    let mut table = Table::set(bench, config)?;
    let start = bench.driver().now();
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(bench.plug(&mut *table.server)?);
    }
    table.bears(bench, &[])?;
    bench.until("the end of all of them", || {
        silent.iter_mut().for_each(crate::bench::Peer::pull);
        silent.iter().all(|peer| !peer.open).then_some(())
    })?;
    within(bench, start, limit, 1_000)?;
    table.bears(bench, &[])
}

pub(super) fn a08_unknown_kinds(bench: &mut Bench<'_>) -> Done {
    //= test FRM-6 FRM-7
    let known = [0x41, 0x5E, 0xC0];
    let ignorable = (0x40..=0xFF).filter(|kind: &u8| kind & 0x60 == 0x40 && kind & 0x1F != 0x1F);
    let skipped: Vec<u8> = ignorable
        .filter(|kind| !known.contains(kind))
        .flat_map(|kind| raw::frame(kind, 1, b"?"))
        .collect();
    let mut table = Table::set(bench, SMALL)?;
    table.bears(bench, &skipped)?;
    let reserved = [0x0B, 0x83, 0x87];
    let defined = [0x01, 0x02, 0x03, 0x08, 0x09, 0x0A, 0x0C, 0x0D, 0x10];
    let critical = (0x01..=0xFF).filter(|kind: &u8| {
        kind & 0x60 == 0 && kind & 0x1F != 0x1F && *kind != 0x80 && !defined.contains(kind)
    });
    let sequenced = [0x81, 0x82, 0x84, 0x85, 0x86, 0x8F];
    for kind in critical.filter(|kind| !sequenced.contains(kind)).chain(reserved) {
        let (mut peer, _) = open(bench, &mut *table.server, &Hello::default())?;
        let _ = peer.stream().write(&raw::frame(kind, 0, &[]));
        bench
            .expect_close(&mut peer, CloseCode::UNKNOWN_CRITICAL)
            .map_err(|wrong| Wrong(format!("{wrong}, to {kind:02x}")))?;
    }
    Ok(())
}

pub(super) fn a12_text_is_text(bench: &mut Bench<'_>) -> Done {
    //= test CLS-15
    for reason in [&[0xFF, 0xFE][..], &[0xC0, 0xAF], &[0xED, 0xA0, 0x80], &[b'x'; 129]] {
        let close = [&[0; 8][..], reason].concat();
        let mut table = Table::set(bench, SMALL)?;
        table.refuses(bench, &raw::frame(kind::CLOSE, 0, &close), CloseCode::BAD_FRAME)?;
    }
    // What promises no text is bytes.
    let mut table = Table::set(bench, SMALL)?;
    let bytes = b"\0\xFF\xC0\xAF\x1B[31m\r\n".to_vec();
    bench.write(&mut table.peer, &raw::message(1, &bytes))?;
    bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: bytes }).map(drop)
}

pub(super) fn a17_ack_of_the_future(bench: &mut Bench<'_>) -> Done {
    //= test POS-8
    for ahead in [1, 4, 1_000, (1 << 31) - 1] {
        let mut table = Table::set(bench, SMALL)?;
        table.resumes(bench)?;
        table.refuses(bench, &raw::ack(ahead, 65_536), CloseCode::ACK_BEYOND_SENT)?;
        let (code, _) = table.resume_refused(bench)?;
        ensure(code == CloseCode::ACK_BEYOND_SENT, || format!("{code:?}"))?;
    }
    Ok(())
}

pub(super) fn a19_repeated_frame(bench: &mut Bench<'_>) -> Done {
    //= test POS-10
    let mut table = Table::set(bench, SMALL)?;
    let frame = raw::message(1, b"once");
    bench.write(&mut table.peer, &frame.repeat(2))?;
    // Whoever sent it once on purpose and says how far it is has lost count.
    let ping = raw::probe(kind::PING, 1, frame.len() as u32, 0, 65_536);
    table.refuses(bench, &ping, CloseCode::SEQ_DESYNC).map(drop)
}

pub(super) fn a25_pings_without_progress(bench: &mut Bench<'_>) -> Done {
    //= test POS-5 HBT-9
    let mut table = Table::set(bench, SMALL)?;
    fill(bench, &mut *table.server, table.session, 100)?;
    let held = table.server.held_bytes();
    for nonce in 1..=100 {
        bench.write(&mut table.peer, &raw::probe(kind::PING, nonce, 0, 0, 65_536))?;
        loop {
            let frame = bench.frame(&mut table.peer)?;
            ensure(frame.kind != kind::CLOSE, || format!("{frame:?}"))?;
            if frame.kind == kind::PONG && frame.number::<4>(0) == u64::from(nonce) {
                break;
            }
        }
    }
    settles(bench, &*table.server, held + 4_095)?;
    let send = Cmd::Send { route: 1, payload: vec![0; 100] };
    ensure(table.server.command(table.session, send).is_err(), || "there was room".into())
}

pub(super) fn a26_both_ends_full(bench: &mut Bench<'_>) -> Done {
    //= test CRD-10 DRV-1
    let mut pair = Pair::join(bench, SMALL, SMALL)?;
    let session = pair.session;
    // Nothing is carried while both ends send all they can.
    let down = fill(bench, &mut *pair.server, session, 100)?;
    let up = fill(bench, &mut *pair.client, 0, 100)?;
    let (mut came_down, mut came_up) = (0, 0);
    let limit = bench.either(1_000_000_000, 60_000_000);
    bench.until_within("everything", limit, || {
        pair.proxy.carry(1_700, 1_700);
        while let Some(seen) = pair.client.poll() {
            came_down += u32::from(matches!(seen.what, Obs::Message { .. }));
        }
        while let Some(seen) = pair.server.poll() {
            came_up += u32::from(matches!(seen.what, Obs::Message { .. }));
        }
        (came_down == down && came_up == up).then_some(())
    })
}

pub(super) fn a28_small_messages_are_free(bench: &mut Bench<'_>) -> Done {
    //= test BUD-5
    let config = Config { window: 64 << 10, window_max: 64 << 10, ..SMALL };
    let mut table = Table::set(bench, config)?;
    bench.write(&mut table.peer, &raw::message(1, &[]).repeat(3_000))?;
    for _ in 0..3_000 {
        bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: Vec::new() })?;
    }
    table.bears(bench, &[])
}

pub(super) fn a32_message_that_never_ends(bench: &mut Bench<'_>) -> Done {
    //= test FRG-6 FRG-10
    let config = Config { window: 4_000, window_max: 4_000, ..SMALL };
    let mut table = Table::set(bench, config)?;
    let held = table.server.held_bytes();
    let mut bytes = raw::frame_with(kind::MSG, 1, MORE, &[0; 200]);
    for _ in 0..4 {
        bytes.extend(raw::frame_with(kind::CONT, 0, MORE, &[0; 200]));
    }
    bench.write(&mut table.peer, &bytes)?;
    bench.expect_silence(&mut *table.server)?;
    settles(bench, &*table.server, held + 2 * config.max_message as usize + 4_096)?;
    table.bears(bench, &raw::frame(kind::CONT, 1, &[]))
}

pub(super) fn a33_tiny_fragments(bench: &mut Bench<'_>) -> Done {
    //= test FRG-4
    let config = Config { window: 8_000, window_max: 8_000, ..SMALL };
    let mut table = Table::set(bench, config)?;
    let mut bytes = raw::frame_with(kind::MSG, 1, MORE, &[9]);
    for _ in 0..998 {
        bytes.extend(raw::frame_with(kind::CONT, 0, MORE, &[9]));
    }
    bytes.extend(raw::frame(kind::CONT, 0, &[9]));
    bench.write(&mut table.peer, &bytes)?;
    bench.expect(&mut *table.server, &Obs::Message { route: 1, payload: vec![9; 1_000] })?;
    table.bears(bench, &[])
}

pub(super) fn a41_resets(bench: &mut Bench<'_>) -> Done {
    //= test DRV-7
    let mut table = Table::set(bench, SMALL)?;
    let hello = Hello::default().encode();
    for round in 0..20 {
        let mut peer = bench.plug(&mut *table.server)?;
        let cut_at = [0, 3, 20, hello.len()][round % 4];
        let _ = peer.stream().write(&hello[..cut_at]);
        peer.stream().cut();
    }
    bench.write(&mut table.peer, &raw::message(1, b"half")[..6])?;
    table.peer.stream().cut();
    table.resumes(bench)?;
    bench.write(&mut table.peer, &raw::message(1, b"whole"))?;
    loop {
        let seen = bench.next(&mut *table.server)?;
        match seen.what {
            Obs::Message { payload, .. } => {
                return ensure(payload == b"whole", || format!("{payload:?}"));
            }
            Obs::Opened | Obs::Resumed => {}
            what => ensure(seen.session != table.session, || format!("{what:?}"))?,
        }
    }
}

pub(super) fn a43_resume_flood(bench: &mut Bench<'_>) -> Done {
    //= test REG-2 REG-3
    let mut table = Table::set(bench, SMALL)?;
    let mut rng = Rng::new(43);
    for round in 0..200 {
        let mut claim = table.claim.clone();
        (claim.attach, claim.key) = (2, [rng.next() as u8; 16]);
        if round % 2 == 0 {
            claim.sid = rng.next();
        }
        let mut thief = bench.plug(&mut *table.server)?;
        let _ = thief.stream().write(&table.hello.resuming(&claim).encode());
        let close = bench.expect_close(&mut thief, CloseCode::NO_SESSION)?;
        // The two must not be told apart.
        ensure(close.body.len() == 8, || format!("{close:?}"))?;
    }
    table.bears(bench, &[])
}

pub(super) fn a47_superseded_client_stops(bench: &mut Bench<'_>) -> Done {
    //= test CLI-5
    let mut client = bench.driver().client(SMALL);
    let mut peer = bench.plug(&mut *client)?;
    bench.frame(&mut peer)?;
    bench.write(&mut peer, &raw::welcome(9, [7; 16], &Hello::default()))?;
    bench.expect(&mut *client, &Obs::Opened)?;
    let close = [2, 0, 2, 0, 0, 0, 0, 0];
    bench.write(&mut peer, &raw::frame(kind::CLOSE, 0, &close))?;
    peer.stream().shut();
    for _ in 0..30 {
        bench.pass(10_000);
        ensure(client.plug().is_none(), || "it dials again".into())?;
    }
    Ok(())
}

pub(super) fn a48_orphans_are_limited(bench: &mut Bench<'_>) -> Done {
    //= test REG-7
    let sessions = RegistryConfig { max_unconfirmed: 4, ..RegistryConfig::default() };
    let mut server = bench.server_with(SMALL, sessions)?;
    let mut orphans = Vec::new();
    for _ in 0..4 {
        let mut peer = bench.plug(&mut *server)?;
        bench.write(&mut peer, &Hello::default().encode())?;
        let frame = bench.frame(&mut peer)?;
        ensure(frame.kind == kind::WELCOME, || format!("{frame:?}"))?;
        orphans.push(peer);
    }
    let mut peer = bench.plug(&mut *server)?;
    bench.write(&mut peer, &Hello::default().encode())?;
    bench.expect_close(&mut peer, CloseCode::BUSY)?;
    // One of them becomes a session, which makes room for another.
    bench.write(&mut orphans[0], &[raw::ack(0, 65_536), raw::message(1, b"here")].concat())?;
    while !matches!(bench.next(&mut *server)?.what, Obs::Message { .. }) {}
    // Its application may hear of it a moment before the table of sessions does.
    for _ in 0..100 {
        if open(bench, &mut *server, &Hello::default()).is_ok() {
            return Ok(());
        }
        bench.pass(50_000);
    }
    open(bench, &mut *server, &Hello::default()).map(drop)
}

pub(super) fn a49_too_long_a_greeting(bench: &mut Bench<'_>) -> Done {
    //= test HND-4
    let option = [&[0x70, 255][..], &[0; 255]].concat();
    let hello = Hello { options: option.repeat(4), ..Hello::default() };
    refuses_first(bench, &hello.encode()[..4], CloseCode::TOO_LARGE)?;
    let secret = [&[0x03, 200, 1][..], &[0x5A; 199]].concat();
    let hello = Hello { options: secret, flags: 2 | 4, ..Hello::default() };
    let mut server = bench.server(SMALL)?;
    let mut peer = bench.plug(&mut *server)?;
    bench.write(&mut peer, &hello.encode())?;
    let frame = bench.frame(&mut peer)?;
    let code = frame.close().map(|(code, _)| CloseCode::new(code));
    let fits = frame.kind == kind::WELCOME || code == Some(CloseCode::AUTH_FAILED);
    ensure(fits, || format!("{frame:?}"))
}
