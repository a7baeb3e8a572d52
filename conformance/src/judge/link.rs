//! Cases of servers: floods, heartbeats and silence.

use super::{Done, Judge, ensure};
use crate::raw::{self, Hello, kind};

pub(super) fn floods_are_calmed(judge: &mut Judge<'_>) -> Done {
    let empty = raw::frame(kind::PING, 0, &[]).repeat(2_000);
    let cancels = raw::numbered(kind::CANCEL, 0, 0, b"").repeat(2_000);
    let notes = raw::frame(kind::NOTE, 1, b"n").repeat(2_000);
    for flood in [empty, cancels, notes] {
        let mut play = judge.play()?;
        judge.say(&mut play, &flood)?;
        judge.closes(&mut play.far, 0x0004, 0)?;
        // The session survives it; its position is whatever was taken of the flood.
        judge.claim(&mut play)?;
        let welcome = judge.frame(&mut play.far)?;
        ensure(welcome.option(0x11).is_some(), || format!("not resumed: {welcome:?}"))?;
    }
    Ok(())
}

pub(super) fn messages_are_no_flood(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    for _ in 0..1_000 {
        judge.send(&mut play, &raw::frame(kind::SKIP, 0, &[0; 4]))?;
    }
    judge.is_alive(&mut play, 1).map(drop)
}

pub(super) fn it_beats(judge: &mut Judge<'_>) -> Done {
    const BORNE: u32 = 1_500;
    let hello = Hello { idle_ms: BORNE, ..super::play::hello(judge) };
    let mut play = judge.play_with(hello)?;
    let granted = play.welcome.number::<4>(16);
    let limit = granted.max(BORNE.into()) * 1_000;
    let (start, mut beats) = (judge.now(), 0);
    while judge.now() - start < 3 * limit.min(5_000_000) {
        judge.pass(10_000);
        // The judge is not silent itself.
        judge.say(&mut play, &raw::frame(kind::PONG, 0, &[]))?;
        let before = play.far.heard;
        judge.pull(&mut play.far);
        beats += u32::from(play.far.heard > before);
        let silence = judge.now() - play.far.heard;
        ensure(silence < limit, || format!("{silence} us of silence, {limit} are borne"))?;
        ensure(play.far.open, || "it ended".into())?;
    }
    ensure(beats >= 4, || format!("{beats} signs of life in three times the limit"))
}

pub(super) fn silence_has_an_end(judge: &mut Judge<'_>) -> Done {
    // Silence begins when the last bytes were read, which are not written yet.
    let start = judge.now();
    let mut play = judge.play()?;
    let limit = play.welcome.number::<4>(12) * 1_000;
    if limit == 0 || limit > 120_000_000 {
        return Ok(());
    }
    let mut asked = false;
    loop {
        judge.pass(20_000);
        judge.pull(&mut play.far);
        while let Some(frame) = raw::Frame::take(&mut play.far.inbox) {
            asked |= frame.kind == kind::PING;
        }
        let passed = judge.now() - start;
        if !play.far.open {
            ensure(passed + 100_000 >= limit, || format!("given up after {passed} us"))?;
            ensure(asked, || "given up without a PING".into())?;
            return judge.resume(&mut play).map(drop);
        }
        ensure(passed < 3 * limit + 5_000_000, || "silence has no end".into())?;
    }
}

pub(super) fn a_frame_has_an_end(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let limit = (play.welcome.number::<4>(12) * 1_000).max(10_000_000);
    if limit > 120_000_000 {
        return Ok(());
    }
    let message = raw::message(1, &[0; 200]);
    let every = limit / 40;
    for byte in &message[..199] {
        judge.say(&mut play, &[*byte])?;
        judge.pass(every);
        judge.pull(&mut play.far);
        let first = raw::Frame::take(&mut play.far.inbox.clone());
        let closed = first.is_some_and(|frame| frame.kind == kind::CLOSE);
        if !play.far.open || closed {
            return judge.closes(&mut play.far, 0x0107, 0).map(drop);
        }
    }
    ensure(false, || "its bytes extend the time".into())
}
