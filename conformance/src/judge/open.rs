//! Cases of servers: the frames of an open connection.

use super::play::{Play, WINDOW};
use super::{Done, Judge, Match, ensure};
use crate::raw::{self, LANE, MORE, kind};

/// These bytes close the connection of a new session with this code.
fn refuses(judge: &mut Judge<'_>, bytes: &[u8], code: u16) -> Done<Play> {
    let mut play = judge.play()?;
    judge.say(&mut play, bytes)?;
    judge.closes(&mut play.far, code, 0)?;
    Ok(play)
}

pub(super) fn illegal_kinds(judge: &mut Judge<'_>) -> Done {
    for kind in [0x00, 0x1F, 0x5F, 0x9F, 0xFF] {
        refuses(judge, &raw::frame(kind, 0, &[]), 0x0101)?;
    }
    for kind in [0x04, 0x0B, 0x11, 0x21, 0x83, 0x87, 0x88, 0xA0, 0xA1] {
        refuses(judge, &raw::frame(kind, 0, &[]), 0x0108)?;
    }
    Ok(())
}

pub(super) fn reserved_bits(judge: &mut Judge<'_>) -> Done {
    refuses(judge, &raw::frame_with(kind::MSG, 1, LANE, b"x"), 0x0105)?;
    refuses(judge, &raw::frame_with(kind::ACK, 0, MORE, &[0; 8]), 0x0101)?;
    refuses(judge, &raw::frame_with(kind::ACK, 0, MORE | LANE, &[0; 8]), 0x0105)?;
    refuses(judge, &raw::frame_with(0x04, 0, LANE, &[]), 0x0108)?;
    refuses(judge, &raw::frame(kind::CLOSE, 0, &[0, 0, 32, 0, 0, 0, 0, 0]), 0x0101)?;
    let drain = raw::frame(kind::DRAIN, 0, &[1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    refuses(judge, &drain, 0x0101).map(drop)
}

pub(super) fn wrong_sizes(judge: &mut Judge<'_>) -> Done {
    let frames = [
        raw::frame(kind::ACK, 0, &[0; 7]),
        raw::frame(kind::ACK, 1, &[0; 8]),
        raw::frame(kind::PING, 0, &[0; 15]),
        raw::frame(kind::PONG, 0, &[0; 17]),
        raw::frame(kind::CLOSE, 0, &[0; 7]),
        raw::frame(kind::REQ, 1, &[0]),
        raw::frame(kind::RSP, 0, &[0]),
        raw::frame(kind::CANCEL, 0, &[0; 3]),
        raw::frame(kind::FIN, 0, &[0]),
        raw::frame(kind::FIN, 1, &[]),
        raw::frame(kind::CONT, 0, &[]),
        raw::frame(kind::CONT, 2, &[0]),
        raw::frame(kind::MSG, 0xFE, &[0]),
        raw::frame(kind::MSG, 0xFC, &[]),
    ];
    for frame in frames {
        refuses(judge, &frame, 0x0101)?;
    }
    Ok(())
}

pub(super) fn text_is_text(judge: &mut Judge<'_>) -> Done {
    for reason in [&[0xFF, 0xFE][..], &[0xC0, 0xAF], &[b'x'; 129]] {
        let close = [&[0; 8][..], reason].concat();
        refuses(judge, &raw::frame(kind::CLOSE, 0, &close), 0x0101)?;
    }
    Ok(())
}

pub(super) fn handshake_frames(judge: &mut Judge<'_>) -> Done {
    let hello = super::play::hello(judge);
    let frames = [
        hello.encode(),
        raw::welcome(1, [0; 16], &hello),
        raw::frame(kind::AUTH, 0, b"x"),
        raw::frame(kind::TOKEN, 2, &[0; 16]),
        raw::frame(kind::HELLO, 1, &[0; 4]),
    ];
    for frame in frames {
        refuses(judge, &frame, 0x0104)?;
    }
    Ok(())
}

pub(super) fn over_the_limits(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let longest = play.welcome.number::<2>(8) as u16;
    if longest < 16_383 {
        // Its header is enough.
        let [low, high] = (longest + 1).to_le_bytes();
        judge.say(&mut play, &[kind::MSG, 1, low, high])?;
        judge.closes(&mut play.far, 0x0102, 0)?;
        play = judge.play()?;
    }
    let most = play.welcome.number::<4>(24) as usize;
    let part = usize::from(longest).min(most);
    judge.send(&mut play, &raw::frame_with(kind::MSG, 1, MORE, &vec![7; part]))?;
    let mut sum = part;
    while sum + part <= most {
        sum += part;
        judge.send(&mut play, &raw::frame_with(kind::CONT, 0, MORE, &vec![7; part]))?;
    }
    let over = (most - sum + 1).min(part);
    judge.say(&mut play, &raw::frame_with(kind::CONT, 0, MORE, &vec![7; over]))?;
    judge.closes(&mut play.far, 0x0102, 0).map(drop)
}

pub(super) fn unknown_is_counted(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let sequenced = [raw::frame(0xC5, 3, b"abc"), raw::frame(kind::SKIP, 9, &[0])].concat();
    judge.send(&mut play, &sequenced)?;
    let others = [raw::frame(0x45, 3, b"abc"), raw::frame(0x41, 1, b"i"), raw::frame(0x5E, 0, b"")];
    judge.say(&mut play, &others.concat())?;
    judge.is_alive(&mut play, 0x0102_0304).map(drop)
}

pub(super) fn pings_are_answered(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    for nonce in [1, 0, u32::MAX, 0xA1B2_C3D4] {
        judge.is_alive(&mut play, nonce)?;
    }
    judge.say(&mut play, &raw::frame(kind::PING, 0, &[]))?;
    let empty = [Match::Is(kind::PONG), Match::Is(0), Match::Is(0), Match::Is(0)];
    judge.expect(&mut play.far, "an empty PONG", &empty)?;
    // A PONG that nobody asked for has no effect.
    let pong = play.probe(kind::PONG, 99);
    judge.say(&mut play, &pong)?;
    judge.is_alive(&mut play, 7).map(drop)
}

/// The session ends with this code, and says so to every claim.
fn ends(judge: &mut Judge<'_>, bytes: &[u8], code: u16) -> Done {
    let mut play = judge.play()?;
    judge.say(&mut play, bytes)?;
    // SESSION_ENDED and HAS_RX
    judge.closes(&mut play.far, code, 5)?;
    for _ in 0..2 {
        judge.claim(&mut play)?;
        let close = judge.closes(&mut play.far, code, 5)?;
        ensure(close.number::<8>(8) == 0, || format!("rx_next {}", close.number::<8>(8)))?;
    }
    Ok(())
}

pub(super) fn wrong_positions(judge: &mut Judge<'_>) -> Done {
    let ahead = |tx| raw::probe(kind::PING, 1, tx, 0, WINDOW);
    ends(judge, &ahead(4), 0x0309)?;
    ends(judge, &ahead(u32::MAX), 0x0309)?;
    // A frame that was sent twice.
    let mut play = judge.play()?;
    let skip = raw::frame(kind::SKIP, 0, &[0; 4]);
    judge.say(&mut play, &[skip.clone(), skip, ahead(8)].concat())?;
    judge.closes(&mut play.far, 0x0309, 5).map(drop)
}

pub(super) fn wrong_acks(judge: &mut Judge<'_>) -> Done {
    for ahead in [1, 4, (1 << 31) - 1] {
        ends(judge, &raw::ack(ahead, WINDOW), 0x0307)?;
    }
    ends(judge, &raw::ack(1 << 31, WINDOW), 0x0308)?;
    ends(judge, &raw::ack(u32::MAX, WINDOW), 0x0308)?;
    ends(judge, &raw::ack(0, WINDOW - 1), 0x030D)
}

pub(super) fn requests(judge: &mut Judge<'_>) -> Done {
    let play = judge.play()?;
    let most = play.welcome.number::<2>(10) as u16;
    if most < u16::MAX {
        refuses(judge, &raw::numbered(kind::REQ, 1, most, b""), 0x010A)?;
        refuses(judge, &raw::numbered(kind::CANCEL, 0, most, b""), 0x010A)?;
    }
    refuses(judge, &raw::numbered(kind::RSP, 0, 0, b""), 0x010A)?;
    if most > 0 {
        // The RSP may have crossed it.
        let mut play = judge.play()?;
        judge.send(&mut play, &raw::numbered(kind::CANCEL, 0, 0, b""))?;
        judge.is_alive(&mut play, 5)?;
    }
    Ok(())
}

pub(super) fn fragments(judge: &mut Judge<'_>) -> Done {
    refuses(judge, &raw::frame(kind::CONT, 0, b"x"), 0x0105)?;
    let begun = raw::frame_with(kind::MSG, 1, MORE, b"begun");
    for between in [raw::message(1, b"other"), raw::frame(kind::FIN, 0, &[])] {
        refuses(judge, &[begun.clone(), between].concat(), 0x0105)?;
    }
    // What is aborted was never sent, and control may pass.
    let mut play = judge.play()?;
    judge.send(&mut play, &begun)?;
    judge.is_alive(&mut play, 3)?;
    judge.send(&mut play, &raw::frame(kind::CONT, 1, &[]))?;
    judge.is_alive(&mut play, 4).map(drop)
}

pub(super) fn behind_fin(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    judge.send(&mut play, &raw::frame(kind::FIN, 0, &[]))?;
    // It is acknowledged, whatever the application has still to say.
    while play.acked() < play.sent() {
        match judge.step(&mut play) {
            Ok(()) => {}
            // The application had nothing to say either: CLOSE with OK tells the same.
            Err(_) if play.has_ended(4) => break,
            Err(fault) => return Err(fault),
        }
    }
    let fin = raw::frame(kind::FIN, 0, &[]);
    refuses(judge, &[fin, raw::message(1, b"late")].concat(), 0x0104).map(drop)
}

pub(super) fn a_peer_may_drain(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let drain = [1, 0, 0, 0, 0x10, 0x27, 0, 0, 0, 0, 0, 0];
    judge.say(&mut play, &raw::frame(kind::DRAIN, 0, &drain))?;
    judge.is_alive(&mut play, 11).map(drop)
}
