//! Cases of servers whose application gives back what it gets.

use super::play::{Got, Play};
use super::{Done, Judge, ensure};
use crate::raw::{self, MORE, kind};
use crate::rng::Rng;

/// The next message must be this.
fn comes_back(judge: &mut Judge<'_>, play: &mut Play, route: u32, payload: &[u8]) -> Done {
    let got = judge.next(play)?;
    let what = || format!("{} bytes on route {route} sent, got {}", payload.len(), short(&got));
    ensure(got == Got::Message(route, payload.to_vec()), what)
}

fn short(got: &Got) -> String {
    format!("{got:?}").chars().take(200).collect()
}

pub(super) fn messages(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    for payload in [&b"hello"[..], b"", b"\0\xFF\xC0\xAF\x1B[31m\r\n", &[7; 1_000]] {
        judge.send(&mut play, &raw::message(250, payload))?;
        comes_back(judge, &mut play, 250, payload)?;
    }
    judge.send(&mut play, &raw::frame(kind::MSG, 0xFE, &[0xFC, 0, b'x']))?;
    comes_back(judge, &mut play, 0xFC, b"x")?;
    judge.send(&mut play, &raw::frame(kind::MSG, 0xFF, &[0x45, 0x23, 1, 0, b'y']))?;
    comes_back(judge, &mut play, 0x12345, b"y")
}

pub(super) fn byte_at_a_time(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let message = raw::message(1, b"slowly");
    play.counts(&message);
    for byte in &message {
        judge.say(&mut play, &[*byte])?;
        judge.pass(5_000);
    }
    comes_back(judge, &mut play, 1, b"slowly")
}

pub(super) fn long_messages(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let part = (play.welcome.number::<2>(8) as usize).min(1_000);
    let most = (play.welcome.number::<4>(24) as usize).min(100_000);
    let payload: Vec<u8> = (0..most).map(|n| n as u8).collect();
    let mut parts = payload.chunks(part).peekable();
    let mut kind = kind::MSG;
    while let Some(part) = parts.next() {
        let bits = if parts.peek().is_some() { MORE } else { 0 };
        let tag = u8::from(kind == kind::MSG);
        judge.send(&mut play, &raw::frame_with(kind, tag, bits, part))?;
        kind = kind::CONT;
    }
    comes_back(judge, &mut play, 1, &payload)
}

pub(super) fn requests(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    let most = (play.welcome.number::<2>(10) as u16).min(16);
    for round in 0..3u8 {
        for id in 0..most {
            judge.send(&mut play, &raw::numbered(kind::REQ, 9, id, &[round, id as u8]))?;
        }
        let mut open: Vec<u16> = (0..most).collect();
        while !open.is_empty() {
            let got = judge.next(&mut play)?;
            let what = || format!("no response to one of {open:?}: {}", short(&got));
            let Got::Response(id, 0, ref payload) = got else {
                return ensure(false, what);
            };
            ensure(open.contains(&id) && payload[..] == [round, id as u8], what)?;
            open.retain(|open| *open != id);
        }
    }
    Ok(())
}

pub(super) fn exactly_once(judge: &mut Judge<'_>) -> Done {
    const MESSAGES: u32 = 200;
    let mut play = judge.play()?;
    let mut rng = Rng::new(0x0071_a57e);
    let (mut said, mut back) = (0, 0);
    while back < MESSAGES {
        for _ in 0..rng.below(20) {
            if said < MESSAGES {
                judge.send(&mut play, &raw::message(1, &said.to_le_bytes()))?;
                said += 1;
            }
        }
        for _ in 0..rng.below(12) {
            if back < said {
                comes_back(judge, &mut play, 1, &back.to_le_bytes())?;
                back += 1;
            }
        }
        if rng.below(2) == 0 {
            // A break loses what is under way in both directions.
            play.far.stream.cut();
            judge.resume(&mut play)?;
        }
    }
    judge.is_alive(&mut play, 20).map(drop)
}

pub(super) fn a_good_end(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.play()?;
    judge.send(&mut play, &raw::message(1, b"last words"))?;
    judge.send(&mut play, &raw::frame(kind::FIN, 0, &[]))?;
    comes_back(judge, &mut play, 1, b"last words")?;
    let got = judge.next(&mut play)?;
    ensure(got == Got::Fin, || format!("no FIN, but {}", short(&got)))?;
    let sent = play.sent();
    let close = judge.closes(&mut play.far, 0, 5)?;
    ensure(close.number::<8>(8) == sent, || format!("rx_next {}", close.number::<8>(8)))?;
    // It answers so for ever.
    judge.claim(&mut play)?;
    judge.closes(&mut play.far, 0, 5).map(drop)
}
