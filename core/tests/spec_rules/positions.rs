//! Areas FRM, POS and CRD: what counts, and what it counts for.

use super::*;

fn skip(size: usize) -> Vec<u8> {
    raw(Op::Skip, 0, false, &vec![0; size - 4])
}

fn message(len: usize) -> Vec<u8> {
    raw(Op::Message, 7, false, &vec![1; len])
}

//= test POS-4
#[test]
fn credit_is_checked_before_the_state_and_the_state_before_anything_counts() {
    let (_, mut server) = pair(config(), manual());
    for _ in 0..2 {
        assert_eq!(take(&mut server, &message(196)).1, None);
    }
    assert_eq!(server.received().get(), 400);
    let unasked = |len: usize| raw(Op::Response, 0, false, &vec![0; len]);
    let mut other = server.clone();
    let broken = take(&mut other, &unasked(109)).1;
    assert_eq!(broken, Some(CloseCode::FLOW_VIOLATION), "one byte too many");
    assert_eq!(other.received().get(), 400);
    assert_eq!(take(&mut server, &unasked(108)).1, Some(CloseCode::BAD_REQUEST));
    assert_eq!(server.received().get(), 400);
}

//= test POS-6
#[test]
fn what_was_handed_over_counts_once_however_often_it_is_sent() {
    let (mut client, mut server) = pair(config(), config());
    client.send(route(), &[1; 96]).unwrap();
    let high = |end: &End| end.transmitted().get();
    let mut out = [0; 96];
    assert_eq!(client.poll_transmit(T, &mut out[..60]), 60);
    assert_eq!((high(&client), client.acknowledged().get()), (60, 0));
    connect(&mut client, &mut server);
    assert_eq!(high(&client), 60);
    let parts = client.poll_transmit_parts(T, &mut out);
    assert_eq!(parts.ring.concat().len(), 100, "from the beginning");
    client.handle_transmitted(T, 50);
    assert_eq!(high(&client), 60, "not beyond what went before");
    client.handle_transmitted(T, 25);
    assert_eq!(high(&client), 75);
}

//= test POS-11
#[test]
fn a_full_ping_or_pong_acknowledges_and_grants() {
    let probes = [(Op::Ping, 100), (Op::Pong, 200)];
    let (mut client, _) = pair(config(), config());
    client.send(route(), &[1; 96]).unwrap();
    client.send(route(), &[1; 96]).unwrap();
    output(&mut client);
    for (op, ack) in probes {
        let probe = Probe { nonce: 1, tx: 0, ack, limit: 700 + ack };
        assert_eq!(take(&mut client, &encode_probe(op, probe)).1, None);
        assert_eq!(client.acknowledged().get(), u64::from(ack));
    }
    while client.send(route(), &[1; 96]).is_ok() {}
    output(&mut client);
    assert_eq!(client.transmitted().get(), 900);
    let less = Probe { nonce: 1, tx: 0, ack: 200, limit: 899 };
    let broken = take(&mut client, &encode_probe(Op::Ping, less)).1;
    assert_eq!(broken, Some(CloseCode::CREDIT_SHRINK));
}

//= test POS-13
#[test]
fn an_application_learns_that_its_message_was_taken_and_not_before() {
    let (mut client, mut server) = pair(config(), manual());
    client.begin(Head::Message { route: route() }, b"be").unwrap();
    let end = client.push_fragment(b"gun", true).unwrap();
    let told = |client: &mut End, server: &mut End, now| {
        take_at(server, now, &output_at(client, now));
        let said = output_at(server, now);
        let (events, _) = take_at(client, now, &said);
        events
            .iter()
            .any(|event| matches!(event, Event::Acknowledged { position } if *position >= end))
    };
    assert!(!told(&mut client, &mut server, ms(30)), "it was received");
    server.release(ms(30), Position::default());
    assert!(!told(&mut client, &mut server, ms(60)));
    server.release(ms(60), server.received());
    assert!(told(&mut client, &mut server, ms(90)), "it was taken");
}

//= test POS-16
#[test]
fn what_gives_the_application_nothing_is_released_with_what_came_before() {
    let (_, mut server) = pair(config(), manual());
    take(&mut server, &skip(8));
    assert_eq!(server.released().get(), 8, "nothing before it");
    let bytes = [message(10), skip(8), skip(12)].concat();
    let (events, broken) = take(&mut server, &bytes);
    assert_eq!(broken, None);
    let [Event::Message { position, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!((position.get(), server.released().get()), (22, 8));
    server.release(T, position);
    assert_eq!(server.released(), server.received());
    // An unknown frame that may be skipped counts in the same way.
    take(&mut server, &[0xD1, 0, 2, 0, 9, 9]);
    assert_eq!(server.released().get(), 48);
}

//= test POS-17
#[test]
fn a_message_may_be_longer_than_the_window() {
    for server in [config(), manual()] {
        let (mut client, mut server) = pair(config(), server);
        client.begin(Head::Message { route: route() }, &[1; 196]).unwrap();
        let mut received = 196;
        for part in 0..20 {
            client.push_fragment(&[1; 196], part == 19).unwrap();
            exchange(&mut client, &mut server);
            server.release(T, server.received());
            exchange_at(&mut client, &mut server, ms(30 * (part + 1)));
            received += 196;
        }
        assert!(received > 512);
        assert_eq!(client.acknowledged(), client.sent());
    }
}

//= test CRD-3
#[test]
fn every_report_grants_a_window_beyond_what_was_released() {
    let (_, mut server) = pair(config(), manual());
    for _ in 0..2 {
        take(&mut server, &message(196));
    }
    let ping = Probe { nonce: 1, tx: 400, ack: 0, limit: 512 };
    let pong = |server: &mut End| {
        assert_eq!(take(server, &encode_probe(Op::Ping, ping)).1, None);
        let said = output(server);
        let (header, body) = frames(&said)[0];
        let Ok(Frame::Pong(Some(probe))) = Frame::decode(header, body) else {
            panic!("{header:?}")
        };
        (probe.ack, probe.limit)
    };
    assert_eq!(pong(&mut server), (0, 512));
    let mut other = server.clone();
    server.release(T, Position::default());
    other.release(T, other.received());
    assert_eq!(ack_in(&output(&mut other)), Some((400, 912)));
    server.release(T, server.received());
    assert_eq!(pong(&mut server), (400, 912));
}

//= test CRD-5
#[test]
fn acknowledgements_come_for_a_quarter_of_the_window_or_after_their_delay() {
    let small = Config { send_buffer: 204, ..config() };
    for (client, least) in [(config(), 128), (small, 102)] {
        let (_, mut server) = pair(client, config());
        assert_eq!(take(&mut server, &message(least - 5)).1, None);
        assert_eq!(output(&mut server), [], "{least}: one byte is missing");
        let mut later = server.clone();
        let due = later.next_deadline().unwrap();
        assert!(due > ms(23) && due <= ms(25), "no later than that: {due:?}");
        assert_eq!(output_at(&mut later, ms(23)), []);
        later.handle_timeout(ms(25));
        let ack = ack_in(&output_at(&mut later, ms(25)));
        assert_eq!(ack.map(|(ack, _)| ack), Some(least as u32 - 1));
        take(&mut server, &message(0));
        assert!(ack_in(&output(&mut server)).is_some(), "{least}");
    }
}

//= test CRD-12
#[test]
fn a_frame_without_payload_costs_its_header() {
    let (_, mut server) = pair(config(), manual());
    for _ in 0..512 / 4 {
        assert_eq!(take(&mut server, &message(0)).1, None);
    }
    assert_eq!(take(&mut server, &message(0)).1, Some(CloseCode::FLOW_VIOLATION));
}

//= test RSM-18
#[test]
fn what_is_sent_again_stays_within_the_credit() {
    let (mut client, mut server) = pair(config(), manual());
    while client.send(route(), &[1; 96]).is_ok() {}
    let said = output(&mut client);
    assert_eq!(said.len(), 500, "as far as whole frames fit");
    take(&mut server, &said[..250]);
    for _ in 0..3 {
        connect(&mut client, &mut server);
        let again = output(&mut client);
        let sequenced: usize = frames(&again)
            .iter()
            .filter(|(header, _)| header.is_sequenced())
            .map(|(header, _)| header.frame_size())
            .sum();
        assert_eq!(sequenced, 300);
    }
    assert_eq!(client.transmitted().get(), 500);
}

//= test FRM-14
#[test]
fn control_frames_wait_for_a_frame_to_end_and_go_ahead_of_those_that_wait() {
    let (mut client, _) = pair(config(), config());
    client.send(route(), &[1; 96]).unwrap();
    let mut out = [0; 50];
    assert_eq!(client.poll_transmit(T, &mut out), 50);
    client.send(route(), &[1; 96]).unwrap();
    let ping = Probe { nonce: 1, tx: 0, ack: 0, limit: 512 };
    take(&mut client, &encode_probe(Op::Ping, ping));
    take(&mut client, &message(196));
    let mut closing = client.clone();
    closing.close(T, CloseCode::GOING_AWAY, 0);
    let said = [&out[..], &output(&mut client)].concat();
    assert_eq!(ops(&said)[..2], [Op::Message, Op::Pong]);
    assert_eq!(ops(&said).last(), Some(&Op::Message));
    let said = [&out[..], &output(&mut closing)].concat();
    assert_eq!(ops(&said), [Op::Message, Op::Close]);
}
