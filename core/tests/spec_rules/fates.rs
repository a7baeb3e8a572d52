//! What is known of what was sent, above all when a session is lost; and NOTE, which nobody knows.

use super::*;
use outlast_core::Fate;

/// The ends of five frames of a client: taken, told, transmitted, half transmitted, kept.
fn sent() -> (End, End, [Position; 5]) {
    let (mut client, mut server) = pair(config(), config());
    let taken = client.request(RequestId(0), route(), &[0; 40]).unwrap();
    settle(&mut client, &mut server);
    assert_eq!(client.acknowledged(), taken);
    let told = client.request(RequestId(1), route(), &[1; 40]).unwrap();
    let known = client.request(RequestId(2), route(), &[2; 40]).unwrap();
    output_at(&mut client, ms(60));
    let half = client.request(RequestId(3), route(), &[3; 40]).unwrap();
    assert_eq!(client.poll_transmit(ms(60), &mut [0; 20]), 20);
    let kept = client.request(RequestId(4), route(), &[4; 40]).unwrap();
    (client, server, [taken, told, known, half, kept])
}

//= test CLS-14
//= test REQ-12
#[test]
fn without_the_peers_word_what_was_transmitted_is_unknown() {
    let (mut client, _, frames) = sent();
    let expected = [Fate::Arrived, Fate::Unknown, Fate::Unknown, Fate::Missing, Fate::Missing];
    client.detach(ms(60));
    client.kill(CloseCode::EXPIRED);
    let (events, _) = take_at(&mut client, ms(60), &[]);
    let lost = Event::Lost { code: CloseCode::EXPIRED, peer_received: None };
    assert!(events.contains(&lost), "{events:?}");
    assert_eq!(frames.map(|frame| client.fate(frame)), expected);
    assert_eq!(client.open_requests().map(|id| id.0).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

//= test CLS-13
//= test CLS-14
//= test REQ-12
#[test]
fn with_the_peers_word_nothing_is_unknown() {
    let (mut client, _, frames) = sent();
    let mut out = [0; 64];
    let received = Some(frames[1].get());
    let close = Close { rx_next: received, ..Close::new(CloseCode::EXPIRED) };
    let len = close.encode(&mut out).unwrap();
    let (events, _) = take_at(&mut client, ms(60), &out[..len]);
    let lost = Event::Lost { code: CloseCode::EXPIRED, peer_received: Some(frames[1]) };
    assert!(events.contains(&lost), "{events:?}");
    let expected = [Fate::Arrived, Fate::Arrived, Fate::Missing, Fate::Missing, Fate::Missing];
    assert_eq!(frames.map(|frame| client.fate(frame)), expected);
    client.detach(ms(90));
    assert_eq!(frames.map(|frame| client.fate(frame)), expected, "also without the connection");
}

//= test REQ-14
#[test]
fn a_responder_answers_behind_the_requesters_end_and_none_behind_its_own() {
    let (mut client, mut server) = pair(config(), config());
    for id in 0..3 {
        client.request(RequestId(id), route(), b"?").unwrap();
    }
    client.finish().unwrap();
    let said = output(&mut client);
    assert_eq!(
        take(&mut server, &said).0.last().map(|e| matches!(e, Event::Finished { .. })),
        Some(true)
    );
    server.respond(RequestId(1), Status::OK, b"!").unwrap();
    server.finish().unwrap();
    assert!(server.respond(RequestId(0), Status::OK, b"").is_err(), "it said it had finished");
    let said = output(&mut server);
    let (events, broken) = take(&mut client, &said);
    assert_eq!(broken, None);
    let order = |wanted: fn(&Event<'_>) -> bool| events.iter().position(wanted).unwrap();
    assert!(
        order(|e| matches!(e, Event::Response { .. }))
            < order(|e| matches!(e, Event::Finished { .. }))
    );
    assert_eq!(client.open_requests().map(|id| id.0).collect::<Vec<_>>(), [0, 2]);
    settle(&mut client, &mut server);
    assert_eq!((client.state(), server.state()), (SessionState::Ended, SessionState::Ended));
}

/// A server whose client has ended well, with a CLOSE that was lost.
fn finished() -> End {
    let (mut client, mut server) = pair(config(), config());
    client.send(route(), b"last").unwrap();
    server.send(route(), b"last").unwrap();
    client.finish().unwrap();
    settle(&mut client, &mut server);
    server.finish().unwrap();
    let said = output_at(&mut server, ms(90));
    take_at(&mut client, ms(90), &said);
    assert_eq!(client.state(), SessionState::Ended);
    assert_eq!(ops(&output_at(&mut client, ms(90))), [Op::Close]);
    server.detach(ms(90));
    server
}

//= test CLS-18
#[test]
fn a_session_with_nothing_left_to_deliver_ends_well_however_it_is_forgotten() {
    for code in [CloseCode::EXPIRED, CloseCode::EVICTED, CloseCode::NO_SESSION] {
        let mut server = finished();
        assert_eq!(server.state(), SessionState::Detached, "the farewell was lost");
        server.kill(code);
        let (events, _) = take_at(&mut server, ms(90), &[]);
        assert_eq!(events, [Event::Ended], "{code}");
        assert_eq!((server.state(), server.death()), (SessionState::Ended, None));
    }
}

//= test CLS-18
#[test]
fn a_session_with_anything_left_is_lost() {
    // Each of these lacks one thing: our end, the peer's end, its data, our data, the release.
    let lacking: [fn(&mut End, &mut End); 5] = [
        |client, _| assert!(client.finish().is_ok()),
        |_, server| assert!(server.finish().is_ok()),
        |client, server| {
            client.send(route(), b"more").unwrap();
            client.finish().unwrap();
            server.finish().unwrap();
            client.detach(T);
        },
        |client, server| {
            server.send(route(), b"more").unwrap();
            server.finish().unwrap();
            client.finish().unwrap();
        },
        |client, server| {
            client.send(route(), b"not released").unwrap();
            client.finish().unwrap();
            server.finish().unwrap();
        },
    ];
    for (number, lack) in lacking.into_iter().enumerate() {
        let (mut client, mut server) = pair(config(), manual());
        lack(&mut client, &mut server);
        let said = output(&mut client);
        take(&mut server, &said);
        output(&mut server);
        server.detach(T);
        server.kill(CloseCode::EXPIRED);
        assert_eq!(server.state(), SessionState::Dead, "{number}");
    }
}

//= test CLS-18
#[test]
fn a_client_takes_its_servers_word_that_everything_arrived() {
    for (short, ends) in [(0, true), (4, true), (5, false)] {
        let (mut client, mut server) = pair(config(), config());
        server.finish().unwrap();
        settle(&mut client, &mut server);
        client.send(route(), b"last").unwrap();
        client.finish().unwrap();
        output_at(&mut client, ms(60));
        let rx_next = Some(client.sent().get() - short);
        let mut out = [0; 64];
        let close = Close { rx_next, ..Close::new(CloseCode::EXPIRED) };
        let len = close.encode(&mut out).unwrap();
        take_at(&mut client, ms(60), &out[..len]);
        let state = if ends { SessionState::Ended } else { SessionState::Dead };
        assert_eq!(client.state(), state, "{short} bytes short");
    }
}

//= test FRM-25
#[test]
fn a_note_goes_now_behind_everything_else_or_not_at_all() {
    let (mut client, mut server) = pair(config(), config());
    let mut out = [0; 300];
    let before = (client.sent(), client.room());
    let len = client.note(T, Route::from(0x1234u16), b"psst", &mut out).unwrap();
    assert_eq!((client.sent(), client.room()), before, "it has no place in the session");
    let (events, _) = take(&mut server, &out[..len]);
    assert_eq!(events, [Event::Note { route: Route::from(0x1234u16), payload: b"psst" }]);
    assert_eq!(server.received().get(), 0);
    // Behind a message, behind the rest of one, and behind what is owed.
    client.send(route(), &[1; 100]).unwrap();
    assert_eq!(client.note(T, route(), b"x", &mut out), Ok(0));
    client.poll_transmit(T, &mut [0; 50]);
    assert_eq!(client.note(T, route(), b"x", &mut out), Ok(0));
    output(&mut client);
    take(&mut client, &encode_empty(Op::Ping));
    assert_eq!(client.note(T, route(), b"x", &mut out), Ok(0));
    output(&mut client);
    assert_eq!(client.note(T, route(), b"x", &mut out), Ok(5));
    // It is not repeated on another connection, and there is none to go to without one.
    client.detach(T);
    let broken = client.note(T, route(), b"x", &mut out);
    assert!(matches!(broken, Err(SendError::State(_))), "{broken:?}");
}

//= test FRM-25
//= test HND-20
#[test]
fn a_note_is_no_longer_than_a_frame() {
    let (mut client, mut server) = pair(config(), config());
    let mut out = [0; 300];
    let max = usize::from(config().max_body);
    let long = Route::from(0x12345u32);
    for (route, limit) in [(route(), max), (long, max - 4)] {
        let len = client.note(T, route, &vec![1; limit], &mut out).unwrap();
        assert_eq!((len, take(&mut server, &out[..len]).1), (max + 4, None));
        let refused = client.note(T, route, &vec![1; limit + 1], &mut out);
        assert_eq!(refused, Err(SendError::TooLarge { limit: limit as u32 }));
    }
    assert_eq!(
        client.note(T, route(), &[1; 20], &mut out[..20]),
        Err(SendError::TooLarge { limit: 16 })
    );
    // Notes are charged, and the session survives whoever sends too many.
    let len = client.note(T, route(), b"x", &mut out).unwrap();
    let flood = out[..len].repeat(300);
    assert_eq!(take(&mut server, &flood).1, Some(CloseCode::CALM));
    server.detach(T);
    assert_eq!(server.state(), SessionState::Detached);
}
