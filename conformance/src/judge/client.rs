//! Cases of clients: the judge is their server.

use super::play::{Got, Play, WINDOW};
use super::{Done, Far, Fault, Judge, ensure};
use crate::raw::{self, Claim, Frame, Hello, kind};
use crate::rng::Rng;

/// Where the claim's fields begin in the option RESUME.
const RX_NEXT: usize = 16;

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
}

fn goodbye(code: u16, flags: u8, retry_ms: u32, parts: &[u8]) -> Vec<u8> {
    let mut body = code.to_le_bytes().to_vec();
    body.extend([flags, 0]);
    body.extend(retry_ms.to_le_bytes());
    body.extend(parts);
    raw::frame(kind::CLOSE, 0, &body)
}

/// WELCOME that goes on with a session.
fn resumed(terms: &Hello, rx_next: u64, tx_first: u64) -> Vec<u8> {
    let mut frame = raw::welcome(1, [0; 16], terms);
    frame.truncate(40);
    frame[10] = 3;
    frame.extend([0x11, 20]);
    frame.extend(rx_next.to_le_bytes());
    frame.extend(tx_first.to_le_bytes());
    frame.extend(1u32.to_le_bytes());
    let length = (frame.len() - 4) as u16;
    frame[2..4].copy_from_slice(&length.to_le_bytes());
    frame
}

impl Judge<'_> {
    /// The next connection of the client, and its HELLO.
    fn greeted(&mut self) -> Done<(Far, Frame)> {
        let mut far = self.connect()?;
        let hello = self.frame(&mut far)?;
        let fits = hello.kind == kind::HELLO && hello.tag == 1 && hello.body.len() >= 36;
        ensure(fits, || format!("no HELLO, but {hello:?}"))?;
        Ok((far, hello))
    }

    /// A HELLO for a new session. A claim is answered with NO_SESSION.
    fn asked(&mut self) -> Done<(Far, Frame)> {
        for _ in 0..20 {
            let (mut far, hello) = self.greeted()?;
            if hello.option(0x02).is_none() {
                return Ok((far, hello));
            }
            self.write(&mut far, &goodbye(0x0301, 0, 0, &[]))?;
            far.stream.shut();
        }
        Err(Fault::Wrong("it claims a session that is unknown, again and again".into(), None))
    }

    fn welcomed(&mut self) -> Done<Play> {
        self.welcomed_with(0)
    }

    /// A new session with the client, whose silence is borne for so long; zero: without end.
    fn welcomed_with(&mut self, idle_ms: u32) -> Done<Play> {
        let (mut far, hello) = self.asked()?;
        let terms = terms(&hello, idle_ms);
        let sid = self.now().wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let key = [sid as u8; 16];
        self.write(&mut far, &raw::welcome(sid, key, &terms))?;
        let claim = Claim { sid, attach: 1, key_id: 1, key, rx_next: 0, tx_first: 0 };
        Ok(Play::new(far, terms, claim, hello))
    }

    /// The client's claim to the session, checked; on the connection that it came on.
    fn reclaimed(&mut self, play: &mut Play) -> Done<u64> {
        let (far, hello) = self.greeted()?;
        play.far = far;
        let option = hello.option(0x02).ok_or_else(|| {
            Fault::Wrong("it does not claim its session, but wants a new one".into(), None)
        })?;
        let (sid, attach) = (number(&option[..8]), number(&option[8..12]) as u32);
        ensure(sid == play.claim.sid, || format!("it claims {sid:016x}"))?;
        let last = play.claim.attach;
        ensure(attach > last, || format!("attach {attach} behind {last}"))?;
        play.claim.attach = attach;
        let received = number(&option[RX_NEXT..RX_NEXT + 8]);
        let tx_first = number(&option[RX_NEXT + 8..RX_NEXT + 16]);
        let right = Claim { rx_next: received, tx_first, ..play.claim.clone() }.encode();
        ensure(right[2..] == *option, || {
            let (right, option) = (&right[2..], option);
            format!("the claim is {option:02x?}, and the proof or its key is wrong: {right:02x?}")
        })?;
        ensure(tx_first <= play.claim.rx_next, || format!("tx_first {tx_first}"))?;
        Ok(received)
    }

    /// The session goes on, on the client's next connection.
    fn resumed(&mut self, play: &mut Play) -> Done {
        let received = self.reclaimed(play)?;
        let frame = resumed(&play.hello, play.claim.rx_next, play.acked());
        self.write(&mut play.far, &frame)?;
        play.limit_again();
        let again = play.unreceived(received)?;
        self.acknowledge(play)?;
        self.write(&mut play.far, &again)
    }
}

/// What the judge grants to a client.
fn terms(hello: &Frame, idle_ms: u32) -> Hello {
    // What the client asks for is granted.
    let beat_ms = hello.number::<4>(12) as u32;
    let retention_s = hello.number::<4>(28) as u32;
    Hello { idle_ms, beat_ms, retention_s, window: WINDOW, send_buffer: WINDOW, ..Hello::default() }
}

pub(super) fn hello_is_legal(judge: &mut Judge<'_>) -> Done {
    let (mut far, hello) = judge.asked()?;
    let (body, window) = (hello.number::<2>(8), hello.number::<4>(20));
    ensure(hello.body[..4] == *b"OUTL", || "another magic".into())?;
    ensure(hello.body[4] >= 1 && hello.body[4] <= hello.body[5], || "versions".into())?;
    ensure((60..=16_383).contains(&body), || format!("max_body {body}"))?;
    ensure(window >= body + 4 && window < 1 << 31, || format!("window {window}"))?;
    ensure(hello.number::<4>(24) >= body, || "max_msg below max_body".into())?;
    ensure(hello.number::<4>(16) <= 600_000, || "hb_min_ms above ten minutes".into())?;
    ensure(hello.body.len() <= 1_020, || "longer than 1024 bytes".into())?;
    let flags = hello.number::<2>(6);
    ensure(flags & !4 == 2, || format!("flags {flags}"))?;
    // Nothing may follow before WELCOME.
    judge.pass(300_000);
    judge.pull(&mut far);
    ensure(far.open && far.inbox.is_empty(), || "it goes on before WELCOME".into())
}

pub(super) fn confirms_its_session(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    let limit = 2_000_000;
    let start = judge.now();
    judge.frame(&mut play.far)?;
    ensure(judge.now() - start < limit, || "it is silent after WELCOME".into())
}

pub(super) fn refuses_what_is_no_welcome(judge: &mut Judge<'_>) -> Done {
    let answers: [(&[u8], u16); 5] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 0x0101),
        (&[0; 16], 0x0101),
        (&[0x80, 1, 0, 0], 0x0104),
        (&[kind::HELLO, 1, 36, 0, b'O', b'U', b'X'], 0x0101),
        (&[kind::WELCOME, 1, 0xFD, 3], 0x0102),
    ];
    for (answer, code) in answers {
        let (mut far, _) = judge.asked()?;
        judge.write(&mut far, answer)?;
        judge.closes(&mut far, code, 0)?;
    }
    Ok(())
}

pub(super) fn byte_at_a_time(judge: &mut Judge<'_>) -> Done {
    let (mut far, hello) = judge.asked()?;
    let terms = terms(&hello, 0);
    let (sid, key) = (77, [7; 16]);
    for byte in raw::welcome(sid, key, &terms) {
        judge.write(&mut far, &[byte])?;
        judge.pass(2_000);
    }
    let claim = Claim { sid, attach: 1, key_id: 1, key, rx_next: 0, tx_first: 0 };
    let mut play = Play::new(far, terms, claim, hello);
    judge.is_alive(&mut play, 1).map(drop)
}

pub(super) fn refuses_and_resumes(judge: &mut Judge<'_>) -> Done {
    let wrong = [
        (raw::frame(0x04, 0, &[]), 0x0108),
        (raw::frame(0xA1, 1, &[0; 8]), 0x0108),
        (raw::frame_with(kind::MSG, 1, raw::LANE, b"x"), 0x0105),
        (raw::frame(kind::ACK, 0, &[0; 7]), 0x0101),
        (raw::frame(kind::CONT, 0, b"x"), 0x0105),
        (raw::numbered(kind::RSP, 0, 0x7FFF, b""), 0x010A),
        (raw::frame(kind::AUTH, 0, b"x"), 0x0104),
        (raw::frame(kind::HELLO, 1, &[0; 4]), 0x0104),
    ];
    for (bytes, code) in wrong {
        let mut play = judge.welcomed()?;
        judge.say(&mut play, &bytes)?;
        judge.closes(&mut play.far, code, 0)?;
        judge.resumed(&mut play)?;
        judge.is_alive(&mut play, 2)?;
    }
    Ok(())
}

pub(super) fn resumes_with_its_positions(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    judge.send(&mut play, &raw::frame(0xC5, 0, &[0; 8]))?;
    judge.is_alive(&mut play, 3)?;
    judge.say(&mut play, &raw::frame(kind::SKIP, 0, &[0; 8])[..7])?;
    judge.pass(50_000);
    play.far.stream.cut();
    let received = judge.reclaimed(&mut play)?;
    ensure(received == play.sent(), || format!("rx_next {received} of {}", play.sent()))?;
    // It is sent away without an answer, and its next number is higher.
    play.far.stream.shut();
    judge.resumed(&mut play)?;
    loop {
        let frame = judge.frame(&mut play.far)?;
        match frame.kind {
            kind::ACK => return Ok(()),
            kind::PONG => {}
            _ => return Err(Fault::Wrong(format!("no ACK, but {frame:?}"), None)),
        }
    }
}

pub(super) fn uses_the_new_key(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    judge.send(&mut play, &raw::frame(kind::TOKEN, 2, &[8; 16]))?;
    judge.is_alive(&mut play, 4)?;
    (play.claim.key_id, play.claim.key) = (2, [8; 16]);
    play.far.stream.cut();
    judge.resumed(&mut play)?;
    judge.is_alive(&mut play, 5).map(drop)
}

/// The session ends with this code, and a new one is asked for.
fn ends(judge: &mut Judge<'_>, bytes: &[u8], code: u16) -> Done {
    let mut play = judge.welcomed()?;
    judge.is_alive(&mut play, 6)?;
    judge.say(&mut play, bytes)?;
    judge.closes(&mut play.far, code, 5)?;
    let (_, hello) = judge.greeted()?;
    ensure(hello.option(0x02).is_none(), || "it claims a session that is over".into())
}

pub(super) fn counts(judge: &mut Judge<'_>) -> Done {
    ends(judge, &raw::probe(kind::PING, 1, 4, 0, WINDOW), 0x0309)?;
    // Whatever it has sent, this is behind it.
    ends(judge, &raw::ack((1 << 31) - 1, WINDOW), 0x0307)?;
    ends(judge, &raw::ack(1 << 31, WINDOW), 0x0308)?;
    ends(judge, &raw::ack(0, WINDOW - 1), 0x030D)
}

pub(super) fn a_lost_session_is_replaced(judge: &mut Judge<'_>) -> Done {
    for (code, flags) in [(0x030C, 0), (0x0302, 1), (0x8001, 1)] {
        let mut play = judge.welcomed()?;
        judge.is_alive(&mut play, 7)?;
        judge.say(&mut play, &goodbye(code, flags, 0, &[]))?;
        play.far.stream.shut();
        let (_, hello) = judge.greeted()?;
        ensure(hello.option(0x02).is_none(), || "it claims a session that is over".into())?;
    }
    Ok(())
}

pub(super) fn takes_the_told_attach(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    judge.is_alive(&mut play, 8)?;
    play.far.stream.cut();
    judge.reclaimed(&mut play)?;
    let stale = goodbye(0x0304, 8, 0, &50u32.to_le_bytes());
    judge.say(&mut play, &stale)?;
    play.far.stream.shut();
    let start = judge.now();
    judge.resumed(&mut play)?;
    ensure(play.claim.attach == 51, || format!("attach {}, not 51", play.claim.attach))?;
    ensure(judge.now() - start < 5_000_000, || "it did not try again at once".into())?;
    judge.is_alive(&mut play, 9).map(drop)
}

pub(super) fn leaves_when_asked(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    judge.is_alive(&mut play, 10)?;
    let drain = [1, 0, 0, 0, 0x10, 0x27, 0, 0, 0xC8, 0, 0, 0];
    judge.say(&mut play, &raw::frame(kind::DRAIN, 0, &drain))?;
    judge.closes(&mut play.far, 0x0001, 0)?;
    judge.resumed(&mut play)?;
    judge.is_alive(&mut play, 11).map(drop)
}

pub(super) fn keeps_the_hint(judge: &mut Judge<'_>) -> Done {
    let (mut far, _) = judge.asked()?;
    let start = judge.now();
    judge.write(&mut far, &goodbye(0x0005, 0, 1_500, &[]))?;
    far.stream.shut();
    let next = judge.connect()?;
    let waited = judge.now() - start;
    drop(next);
    ensure(waited >= 1_500_000, || format!("it dials after {waited} us, told 1500 ms"))
}

pub(super) fn beats(judge: &mut Judge<'_>) -> Done {
    let (far, hello) = judge.asked()?;
    drop(far);
    let limit = (3 * hello.number::<4>(16)).max(1_500);
    if limit > 30_000 {
        return Ok(());
    }
    let mut play = judge.welcomed_with(limit as u32)?;
    judge.is_alive(&mut play, 12)?;
    let (start, mut beats) = (judge.now(), 0);
    while judge.now() - start < 3 * limit * 1_000 {
        judge.pass(10_000);
        // The judge is not silent itself.
        judge.say(&mut play, &raw::frame(kind::PONG, 0, &[]))?;
        let before = play.far.heard;
        judge.pull(&mut play.far);
        beats += u32::from(play.far.heard > before);
        let silence = judge.now() - play.far.heard;
        ensure(silence < limit * 1_000, || format!("{silence} us of silence, {limit} ms borne"))?;
    }
    ensure(beats >= 4, || format!("{beats} signs of life in three times the limit"))
}

pub(super) fn silence_has_an_end(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    let limit = u64::from(play.hello.beat_ms) * 1_000;
    if limit == 0 || limit > 120_000_000 {
        return Ok(());
    }
    let (start, mut asked) = (judge.now(), false);
    loop {
        judge.pass(20_000);
        judge.pull(&mut play.far);
        while let Some(frame) = Frame::take(&mut play.far.inbox) {
            asked |= frame.kind == kind::PING;
        }
        let passed = judge.now() - start;
        if !play.far.open {
            ensure(passed + 100_000 >= limit, || format!("given up after {passed} us"))?;
            ensure(asked, || "given up without a PING".into())?;
            return judge.resumed(&mut play);
        }
        ensure(passed < 3 * limit + 5_000_000, || "silence has no end".into())?;
    }
}

pub(super) fn echo_exactly_once(judge: &mut Judge<'_>) -> Done {
    const MESSAGES: u32 = 100;
    let mut play = judge.welcomed()?;
    let mut rng = Rng::new(0x0071_a57e);
    let (mut said, mut back) = (0u32, 0u32);
    while back < MESSAGES {
        for _ in 0..rng.below(20) {
            if said < MESSAGES {
                judge.send(&mut play, &raw::message(1, &said.to_le_bytes()))?;
                said += 1;
            }
        }
        for _ in 0..rng.below(12) {
            if back < said {
                let got = judge.next(&mut play)?;
                let wanted = Got::Message(1, back.to_le_bytes().to_vec());
                ensure(got == wanted, || format!("{wanted:?} is next, and {got:?} came"))?;
                back += 1;
            }
        }
        if rng.below(4) == 0 {
            play.far.stream.cut();
            judge.resumed(&mut play)?;
        }
    }
    judge.send(&mut play, &raw::numbered(kind::REQ, 9, 0, b"ping"))?;
    let got = judge.next(&mut play)?;
    ensure(got == Got::Response(0, 0, b"ping".to_vec()), || format!("no response, but {got:?}"))
}

pub(super) fn obeys_no_retry(judge: &mut Judge<'_>) -> Done {
    let mut play = judge.welcomed()?;
    judge.is_alive(&mut play, 13)?;
    judge.say(&mut play, &goodbye(0x0002, 2, 0, &[]))?;
    play.far.stream.shut();
    ensure(!judge.dials_within(3_000_000), || "it dials again, told not to".into())
}

#[cfg(test)]
mod unit {
    use super::super::{Match, close};
    use super::*;

    #[test]
    fn the_specifications_welcome_comes_out() {
        let terms = Hello {
            max_body: 16_380,
            max_requests: 256,
            idle_ms: 45_000,
            beat_ms: 15_000,
            ..Hello::default()
        };
        let frame = resumed(&terms, 1_232, 360);
        assert_eq!(frame[..4], [2, 1, 0x3A, 0]);
        assert_eq!(frame[40..44], [0x11, 0x14, 0xD0, 0x04]);
        assert_eq!(close(0x0302, 1)[4..6], [Match::Is(2), Match::Is(3)]);
    }
}
