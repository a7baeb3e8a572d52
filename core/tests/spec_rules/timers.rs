//! Area HBT: what happens when nothing happens.

use super::*;

const BEAT: [u8; 4] = encode_empty(Op::Pong);

fn silent(idle_timeout_ms: u32) -> Config {
    Config { idle_timeout_ms, ..config() }
}

/// Polls `end` at its deadlines and nothing else, until it gives the connection up; when it did.
fn left_alone(end: &mut End) -> Option<Instant> {
    let mut now = T;
    for _ in 0..100 {
        if end.link_state() == LinkState::Closed {
            return Some(now);
        }
        output_at(end, now);
        now = end.next_deadline()?.max(now);
        end.handle_timeout(now);
    }
    None
}

//= test HBT-1
#[test]
fn each_end_bears_the_silence_that_welcome_names() {
    let (mut client, mut server) = pair(silent(15_000), silent(45_000));
    assert_eq!(left_alone(&mut client), Some(ms(15_000)));
    assert_eq!(left_alone(&mut server), Some(ms(45_000)));
    // A client that beats slowly is given the time.
    let slow = Config { heartbeat_min_ms: 20_000, ..silent(15_000) };
    let (mut client, mut server) = pair(slow, silent(45_000));
    assert_eq!(left_alone(&mut client), Some(ms(15_000)));
    assert_eq!(left_alone(&mut server), Some(ms(60_000)));
}

//= test HND-22
//= test HBT-15
#[test]
fn a_limit_of_zero_is_no_limit_for_either_end() {
    let (mut client, server) = pair(silent(0), silent(0));
    for end in [client.clone(), server] {
        assert_eq!(end.next_deadline(), None);
    }
    client.handle_timeout(ms(1 << 40));
    assert_eq!(client.link_state(), LinkState::Open);
    let (mut client, mut server) = pair(silent(0), silent(30_000));
    let beat = client.next_deadline().unwrap();
    assert!(beat > ms(8_900) && beat <= ms(10_000), "the client beats: {beat:?}");
    client.handle_timeout(ms(1 << 40));
    assert_eq!(client.link_state(), LinkState::Open);
    assert_eq!(server.next_deadline(), Some(ms(20_000)), "the server only listens");
    server.handle_timeout(ms(20_000));
    assert_eq!(ops(&output_at(&mut server, ms(20_000))), [Op::Ping]);
}

//= test HBT-2
#[test]
fn something_is_sent_in_every_third_of_the_limit_and_hardly_earlier() {
    let mut earliest = u64::MAX;
    for seed in 0..64u32 {
        let (mut client, mut server) =
            fresh(silent(0), silent(30_000), seed.wrapping_mul(0x0410_4104));
        exchange(&mut client, &mut server);
        let mut last = T;
        for _ in 0..20 {
            let now = client.next_deadline().unwrap();
            client.handle_timeout(now);
            assert_eq!(output_at(&mut client, now), BEAT);
            let pause = now.as_micros() - last.as_micros();
            assert!((9_000_000..=10_000_000).contains(&pause), "seed {seed}: {pause}");
            earliest = earliest.min(pause);
            last = now;
        }
    }
    assert!(earliest < 9_500_000, "not all at the same time: {earliest}");
}

/// Lets `end` probe after two thirds of its limit and answers after `delay` milliseconds.
fn measure(end: &mut End, from: u64, delay: u64) -> u64 {
    let due = from + 20_000;
    end.handle_timeout(ms(due));
    let said = output_at(end, ms(due));
    let (header, body) = frames(&said)[0];
    let Ok(Frame::Ping(Some(probe))) = Frame::decode(header, body) else { panic!("{header:?}") };
    assert_eq!(output_at(end, ms(due)), [], "one at a time");
    let pong = Probe { nonce: probe.nonce, tx: 0, ack: 0, limit: 512 };
    let wrong = Probe { nonce: probe.nonce ^ 1, ..pong };
    let charged = end.stats().charged;
    let before = end.rtt_us();
    take_at(end, ms(due + 1), &encode_probe(Op::Pong, wrong));
    assert_eq!((end.rtt_us(), end.stats().charged), (before, charged + 1));
    take_at(end, ms(due + delay), &encode_probe(Op::Pong, pong));
    assert_eq!(end.stats().charged, charged + 1, "an answer is free");
    due + delay
}

//= test HBT-5
//= test HBT-11
#[test]
fn a_round_trip_is_from_a_ping_to_its_pong_and_smoothed() {
    // Only the server bears no silence, so that nothing else is due.
    let (_, mut server) = pair(silent(0), silent(30_000));
    let at = measure(&mut server, 0, 80);
    assert_eq!(server.rtt_us(), 80_000);
    let at = measure(&mut server, at, 160);
    assert_eq!(server.rtt_us(), 80_000 - 10_000 + 20_000);
    let charged = server.stats().charged;
    assert_eq!(take_at(&mut server, ms(at + 1), &BEAT), (vec![], None));
    assert_eq!(output_at(&mut server, ms(at + 1)), [], "a beat is not answered");
    assert_eq!(server.stats().charged, charged);
}

//= test HBT-7
#[test]
fn data_that_nobody_acknowledges_is_asked_after_and_then_given_up() {
    let (_, mut server) = pair(silent(0), silent(30_000));
    server.send(route(), b"into the void").unwrap();
    output(&mut server);
    for second in (5..30).step_by(5) {
        take_at(&mut server, ms(second * 1_000), &BEAT);
        server.handle_timeout(ms(second * 1_000));
        assert_eq!(output_at(&mut server, ms(second * 1_000)), []);
    }
    // Within two milliseconds, which is as exact as it is kept.
    server.handle_timeout(ms(30_000));
    assert_eq!(output_at(&mut server, ms(30_000)), [], "not before");
    server.handle_timeout(ms(30_002));
    assert_eq!(ops(&output_at(&mut server, ms(30_002))), [Op::Ping]);
    for second in (35..60).step_by(5) {
        take_at(&mut server, ms(second * 1_000), &BEAT);
        server.handle_timeout(ms(second * 1_000));
        assert_eq!(server.link_state(), LinkState::Open);
    }
    assert_eq!(server.next_deadline(), Some(ms(60_002)));
    server.handle_timeout(ms(60_002));
    assert_eq!(server.link_state(), LinkState::Closed);
    let (events, _) = take_at(&mut server, ms(60_002), &[]);
    assert!(matches!(events[..], [Event::Disconnected { code: CloseCode::IDLE, .. }]));
}

//= test HBT-12
#[test]
fn a_clock_that_goes_back_stands_still() {
    let (_, mut ahead) = pair(silent(0), silent(30_000));
    take_at(&mut ahead, ms(5_000), &BEAT);
    let mut behind = ahead.clone();
    let input = raw(Op::Message, 7, false, b"x");
    take_at(&mut ahead, ms(5_000), &input);
    take_at(&mut behind, ms(1_000), &input);
    behind.handle_timeout(T);
    assert!(ahead == behind);
    let due = ahead.next_deadline().unwrap();
    assert!(due > ms(5_023) && due <= ms(5_025), "{due:?}");
}

//= test HBT-14
#[test]
fn waking_early_changes_nothing() {
    let (_, mut patient) = pair(silent(0), silent(30_000));
    let mut restless = patient.clone();
    for now in (0..20_000).step_by(10) {
        restless.handle_timeout(ms(now));
        assert_eq!(output_at(&mut restless, ms(now)), []);
        assert_eq!(restless.next_deadline(), Some(ms(20_000)));
    }
    for end in [&mut patient, &mut restless] {
        end.handle_timeout(ms(20_000));
    }
    assert!(patient == restless);
    assert_eq!(left_alone(&mut restless), Some(ms(30_000)));
}

//= test HBT-16
#[test]
fn no_peer_makes_an_end_beat_faster_than_every_ten_milliseconds() {
    for (limit, least, most) in [(1, 10_000, 13_000), (30, 10_000, 13_000), (300, 89_000, 100_000)]
    {
        let (mut server, mut beats) = (pair(silent(limit), silent(0)).1, 0);
        let mut now = T;
        while now < T.after(1_000_000) {
            now = server.next_deadline().unwrap().max(now);
            server.handle_timeout(now);
            beats += output_at(&mut server, now).len() / BEAT.len();
        }
        let times = 1_000_000 / most..=1_000_000 / least + 1;
        assert!(times.contains(&beats), "{limit} ms: {beats} beats in a second");
    }
}

//= test HND-26
#[test]
fn a_client_does_not_choose_for_how_long_its_silence_is_borne() {
    for (beat, refused) in [(600_000, false), (600_001, true), (u32::MAX, true)] {
        let said = hello_of(&mut Session::client(config(), Vec::new()).unwrap(), T, 7);
        let mut greeting = hello(&said);
        greeting.terms.heartbeat_ms = beat;
        let mut out = [0; HANDSHAKE_MAX];
        let made = Session::server(T, config(), &greeting, GRANT, 5, Vec::new(), &mut out);
        assert_eq!(made.err(), refused.then_some(CloseCode::LIMITS), "{beat}");
    }
    let slow = Config { heartbeat_min_ms: 600_001, ..config() };
    assert_eq!(slow.validate().unwrap_err().key(), "heartbeat_min_ms");
}
