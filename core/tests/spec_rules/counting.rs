//! What is counted, and when an end that is owed something or cannot write asks to be woken.

use super::*;

#[test]
fn resent_is_what_was_transmitted_again_and_not_what_was_to_be() {
    let (mut client, mut server) = pair(config(), config());
    for _ in 0..4 {
        client.send(route(), &[1; 96]).unwrap();
    }
    // All of it is transmitted, and nothing arrives.
    assert_eq!(output(&mut client).len(), 400);
    assert_eq!(client.stats().resent, 0);
    // Twice a connection ends before anything is transmitted again.
    for _ in 0..2 {
        connect(&mut client, &mut server);
        assert_eq!(client.stats().resent, 0);
    }
    connect(&mut client, &mut server);
    // The first is the acknowledgement that the client owes.
    let len = client.poll_transmit(T, &mut [0; 12 + 150]);
    assert_eq!((len, client.stats().resent), (12 + 150, 150));
    connect(&mut client, &mut server);
    assert_eq!(client.stats().resent, 150);
    client.send(route(), &[1; 46]).unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(client.stats().resent, 150 + 400, "what is new does not count");
    settle(&mut client, &mut server);
    connect(&mut client, &mut server);
    exchange(&mut client, &mut server);
    assert_eq!(client.stats().resent, 550);
    // A session that dies in between keeps its count.
    client.send(route(), &[1; 96]).unwrap();
    output(&mut client);
    connect(&mut client, &mut server);
    client.kill(CloseCode::EXPIRED);
    assert_eq!(client.stats().resent, 550);
}

/// An end that cannot write what it owes has no deadline in the past.
#[test]
fn what_is_owed_is_output_and_no_deadline() {
    let config = Config { idle_timeout_ms: 3_000, ..config() };
    let (mut client, mut server) = pair(config, config);
    client.send(route(), b"x").unwrap();
    // An acknowledgement, a sign of life and a probe fall due, one after the other; the last says
    // what all of them would have said.
    let said = output(&mut client);
    take(&mut server, &said);
    for now in (1..3_000).map(ms) {
        server.handle_timeout(now);
        let next = server.next_deadline().unwrap();
        assert!(next > now, "{next:?} at {now:?}");
        if server.has_output() {
            assert!(server.poll_timeout().unwrap() <= now);
        }
    }
    assert_eq!(ops(&output_at(&mut server, ms(2_999))), [Op::Ping]);
}

/// A peer that takes and does not release: each probe is answered.
#[test]
fn an_answered_probe_is_followed_by_the_next_only_after_the_limit() {
    let config = Config { idle_timeout_ms: 3_000, ..config() };
    let (mut client, mut server) = pair(config, manual());
    client.send(route(), b"x").unwrap();
    let mut probes = 0;
    for now in (1..30_000).map(ms) {
        client.handle_timeout(now);
        server.handle_timeout(now);
        let said = output_at(&mut client, now);
        probes += ops(&said).iter().filter(|op| **op == Op::Ping).count();
        take_at(&mut server, now, &said);
        let said = output_at(&mut server, now);
        take_at(&mut client, now, &said);
    }
    assert_eq!(client.link_state(), LinkState::Open);
    assert!((9..=10).contains(&probes), "{probes} probes in ten times the limit");
}
