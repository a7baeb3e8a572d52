//! Cases of servers: who gets a session, and what it goes on with.

use super::play::{Play, WINDOW};
use super::{Done, Fault, Judge, Match, close, ensure};
use crate::raw::{self, Frame, kind};

/// A HELLO on another connection, while the session keeps its own.
fn claim_beside(judge: &mut Judge<'_>, hello: &[u8], code: u16, flags: u8) -> Done<Frame> {
    let mut far = judge.connect()?;
    judge.write(&mut far, hello)?;
    judge.closes(&mut far, code, flags)
}

pub(super) fn a_session_goes_on(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    judge.send(&mut play, &raw::frame(kind::SKIP, 0, &[0; 8]))?;
    judge.is_alive(&mut play, 1)?;
    // Half a frame does not count.
    judge.say(&mut play, &raw::frame(kind::SKIP, 0, &[0; 8])[..7])?;
    judge.pass(50_000);
    play.far.stream.cut();
    judge.resume(&mut play)?;
    judge.is_alive(&mut play, 2)?;
    // The end of the stream leaves the session alone, too.
    play.far.stream.shut();
    judge.resume(&mut play)?;
    judge.send(&mut play, &raw::frame(kind::SKIP, 0, &[0; 8]))?;
    judge.is_alive(&mut play, 3).map(drop)
}

pub(super) fn it_acks_after_a_resume(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    judge.is_alive(&mut play, 1)?;
    judge.resume(&mut play)?;
    loop {
        let frame = judge.frame(&mut play.far)?;
        match frame.kind {
            kind::ACK => return Ok(()),
            kind::TOKEN | kind::PONG => {}
            _ => return Err(Fault::Wrong(format!("no ACK, but {frame:?}"), None)),
        }
    }
}

pub(super) fn a_repeated_attach_is_stale(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let mut wanted = close(0x0304, 8);
    wanted.extend([Match::Any; 4]);
    wanted.extend([1, 0, 0, 0].map(Match::Is));
    let hello = play.hello.resuming(&play.claim).encode();
    let mut far = judge.connect()?;
    judge.write(&mut far, &hello)?;
    judge.expect(&mut far, "CLOSE with STALE_ATTACH and the last number", &wanted)?;
    // The session and its connection stay untouched.
    judge.is_alive(&mut play, 9)?;
    let mut recorded = play.claim.clone();
    recorded.attach += 1;
    let recorded = play.hello.resuming(&recorded).encode();
    judge.resume(&mut play)?;
    judge.is_alive(&mut play, 10)?;
    let mut thief = judge.connect()?;
    judge.write(&mut thief, &recorded)?;
    let answer = judge.frame(&mut thief)?;
    // If the key was changed meanwhile, the proof is wrong.
    let code = answer.close().map(|(code, _)| code);
    let fits = matches!(code, Some(0x0304 | 0x0301 | 0x0303));
    ensure(fits, || format!("a recorded HELLO: {answer:?}"))?;
    judge.is_alive(&mut play, 11).map(drop)
}

pub(super) fn stolen_claims_are_unknown(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let codes = if judge.options.token.is_some() { [0x0301, 0x0303] } else { [0x0301; 2] };
    let mut guessed = play.claim.clone();
    (guessed.attach, guessed.sid) = (2, guessed.sid ^ 0xFFFF_0000);
    let close = claim_beside(judge, &play.hello.resuming(&guessed).encode(), codes[0], 0)?;
    let mut stolen = play.claim.clone();
    (stolen.attach, stolen.key) = (2, [0x55; 16]);
    let other = claim_beside(judge, &play.hello.resuming(&stolen).encode(), codes[1], 0)?;
    if codes[0] == codes[1] {
        ensure(close == other, || format!("told apart: {close:?} and {other:?}"))?;
    }
    // What the proof covers cannot be changed.
    let claimed = play.claim.clone();
    let mut bytes = play.hello.resuming(&raw::Claim { attach: 2, ..claimed }).encode();
    let length = bytes.len();
    bytes[length - 17] ^= 1;
    claim_beside(judge, &bytes, codes[1], 0)?;
    judge.is_alive(&mut play, 12).map(drop)
}

pub(super) fn a_takeover_supersedes(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let half = raw::message(1, b"from the old connection");
    judge.say(&mut play, &half[..6])?;
    judge.pass(50_000);
    let mut old = judge.resume(&mut play)?;
    // NO_RETRY
    judge.closes(&mut old, 0x0002, 2)?;
    let _ = old.stream.write(&half[6..]);
    judge.is_alive(&mut play, 13).map(drop)
}

pub(super) fn wrong_claims_of_positions(judge: &mut Judge<'_>) -> Done {
    // More than was sent, or more than was received.
    for (rx_next, tx_first) in [(4, 0), (0, 4)] {
        let mut play = judge.play()?;
        judge.is_alive(&mut play, 14)?;
        play.claim.attach += 1;
        let sent = play.claim.rx_next;
        let claim = raw::Claim { rx_next: sent + rx_next, tx_first, ..play.claim.clone() };
        let hello = play.hello.resuming(&claim).encode();
        claim_beside(judge, &hello, 0x0306, 5)?;
        judge.claim(&mut play)?;
        judge.closes(&mut play.far, 0x0306, 5)?;
    }
    Ok(())
}

pub(super) fn a_resume_with_less(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    judge.is_alive(&mut play, 15)?;
    let hello = play.hello.clone();
    play.hello.max_body = 60;
    judge.claim(&mut play)?;
    let close = judge.closes(&mut play.far, 0x0206, 0)?;
    ensure(close.number::<2>(2) & 1 == 0, || "the session ended".into())?;
    play.hello = hello;
    judge.resume(&mut play)?;
    judge.is_alive(&mut play, 16).map(drop)
}

/// CLOSE of the judge.
fn goodbye(code: u16, flags: u8, rx_next: u64) -> Vec<u8> {
    let mut body = code.to_le_bytes().to_vec();
    body.extend([flags, 0, 0, 0, 0, 0]);
    if flags & 4 != 0 {
        body.extend(rx_next.to_le_bytes());
    }
    raw::frame(kind::CLOSE, 0, &body)
}

pub(super) fn codes_of_close(judge: &mut Judge<'_>) -> Done {
    // The connection alone.
    for code in [0x0001, 0x0003, 0x0107, 0x8001, 0x7FFF] {
        let mut play = judge.play()?;
        judge.say(&mut play, &goodbye(code, 0, 0))?;
        judge.resume(&mut play)?;
        judge.is_alive(&mut play, 17)?;
    }
    // The session, by a flag or by the code's scope.
    for (code, flags) in [(0x8001, 5), (0x0001, 1), (0x030C, 0), (0x03FF, 0)] {
        let mut play = judge.play()?;
        judge.say(&mut play, &goodbye(code, flags, 0))?;
        expect_end(judge, &mut play)?;
        judge.claim(&mut play)?;
        judge.closes(&mut play.far, code, 5)?;
    }
    Ok(())
}

/// The stream ends, and nothing of substance comes before.
fn expect_end(judge: &mut Judge<'_>, play: &mut Play) -> Done {
    while let Some(frame) = judge.try_frame(&mut play.far, 20_000_000)? {
        let fits = matches!(frame.kind, kind::ACK | kind::PONG | kind::TOKEN);
        ensure(fits, || format!("behind CLOSE: {frame:?}"))?;
    }
    Ok(())
}

pub(super) fn the_same_place_twice_is_poison(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    judge.say(&mut play, &[0; 4])?;
    judge.closes(&mut play.far, 0x0101, 0)?;
    judge.resume(&mut play)?;
    judge.say(&mut play, &[0; 4])?;
    judge.closes(&mut play.far, 0x030A, 5)?;
    judge.claim(&mut play)?;
    judge.closes(&mut play.far, 0x030A, 5)?;
    // Progress in between makes a new row of it.
    let mut play = judge.play()?;
    judge.say(&mut play, &[0; 4])?;
    judge.closes(&mut play.far, 0x0101, 0)?;
    judge.resume(&mut play)?;
    judge.send(&mut play, &raw::frame(kind::SKIP, 0, &[0; 4]))?;
    judge.is_alive(&mut play, 18)?;
    judge.say(&mut play, &[0; 4])?;
    judge.closes(&mut play.far, 0x0101, 0).map(drop)
}

pub(super) fn the_unconfirmed_are_dropped(judge: &mut Judge<'_>) -> Done {
    let mut far = judge.connect()?;
    let hello = super::play::hello(judge);
    judge.write(&mut far, &hello.encode())?;
    let welcome = judge.frame(&mut far)?;
    let session = welcome.option(0x10).unwrap_or_default().to_vec();
    ensure(session.len() == 32, || format!("no WELCOME with a session, but {welcome:?}"))?;
    // Not a frame: it may be that nobody knows of this session.
    let told = judge.closes_within(&mut far, 0x0106, 1, 60_000_000);
    let bears = welcome.number::<4>(12);
    if (1..10_000).contains(&bears) && far.inbox.is_empty() && !far.open {
        // It was given up for its silence before that, and without a word.
        judge.pass(10_000_000);
    } else {
        told?;
    }
    let sid = session[..8].iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte));
    let key = session[16..].first_chunk().copied().unwrap_or_default();
    let key_id = session[12];
    let claim = raw::Claim { sid, attach: 2, key_id, key, rx_next: 0, tx_first: 0 };
    claim_beside(judge, &hello.resuming(&claim).encode(), 0x0301, 0).map(drop)
}

pub(super) fn credit_is_an_absolute_position(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    // Equal values are legal, and more of them than the budget holds at once would not be.
    for _ in 0..20 {
        judge.say(&mut play, &raw::ack(0, WINDOW))?;
    }
    judge.is_alive(&mut play, 19).map(drop)
}
