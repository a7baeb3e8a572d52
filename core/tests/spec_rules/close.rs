//! Areas CLS, COD, STM and BUD: how connections and sessions end.

use super::*;

fn close(code: CloseCode, ended: bool, rx_next: Option<u64>) -> Vec<u8> {
    let mut out = [0; 64];
    let close = Close {
        flags: outlast_core::wire::CloseFlags(u16::from(ended)),
        rx_next,
        ..Close::new(code)
    };
    let len = close.encode(&mut out).unwrap();
    out[..len].to_vec()
}

fn message() -> Vec<u8> {
    raw(Op::Message, 7, false, b"x")
}

//= test CLS-1
#[test]
fn nothing_is_sent_behind_the_end() {
    let (mut client, _) = pair(config(), config());
    client.send(route(), b"last").unwrap();
    client.finish().unwrap();
    assert_eq!(state_of(client.send(route(), b"x")), "finished");
    assert_eq!(state_of(client.request(RequestId(0), route(), b"")), "finished");
    assert_eq!(state_of(client.finish()), "finished");
    assert_eq!(ops(&output(&mut client)), [Op::Message, Op::Fin]);
}

//= test CLS-2
#[test]
fn nothing_sequenced_is_taken_behind_the_end() {
    let (_, mut server) = pair(config(), config());
    assert_eq!(take(&mut server, &raw(Op::Fin, 0, false, &[])).1, None);
    for bytes in [message(), raw(Op::Fin, 0, false, &[]), raw(Op::Skip, 0, false, &[])] {
        let broken = take(&mut server.clone(), &bytes).1;
        assert_eq!(broken, Some(CloseCode::BAD_STATE), "{bytes:?}");
    }
    let beat = encode_empty(Op::Pong);
    assert_eq!(take(&mut server, &beat).1, None, "control frames go on");
}

//= test CLS-7
//= test STM-6
#[test]
fn close_is_the_last_frame_and_input_is_discarded_from_then_on() {
    let (mut client, _) = pair(config(), config());
    client.close(T, CloseCode::GOING_AWAY, 0);
    client.send(route(), b"for the next connection").unwrap();
    assert_eq!(ops(&output(&mut client)), [Op::Close]);
    take(&mut client, &[]);
    let before = client.clone();
    let ping = encode_empty(Op::Ping);
    for bytes in [&message()[..], &ping, &[0; 100], &close(CloseCode::OK, true, None)] {
        let mut input = bytes;
        assert_eq!(client.handle_input(T, &mut input), Ok(None));
        assert_eq!(input, [], "it is consumed");
        assert_eq!(output(&mut client), []);
        assert!(client == before, "{bytes:?}");
    }
    client.handle_timeout(ms(2_000));
    assert_eq!(client.link_state(), LinkState::Closed);
    assert_eq!(client.handle_input(ms(2_000), &mut &[0; 100][..]), Ok(None));
}

//= test CLS-11
#[test]
fn a_close_that_nobody_takes_is_not_waited_for() {
    for linger_ms in [2_000, 310] {
        let (mut client, _) = pair(Config { linger_ms, ..config() }, config());
        client.close(T, CloseCode::GOING_AWAY, 0);
        let end = ms(linger_ms.into());
        assert_eq!(client.next_deadline(), Some(end));
        client.handle_timeout(T.after(u64::from(linger_ms) * 1_000 - 1));
        assert_eq!(client.link_state(), LinkState::Closing);
        client.handle_timeout(end);
        assert_eq!(client.link_state(), LinkState::Closed);
        assert_eq!(output_at(&mut client, end), []);
    }
}

//= test CLS-8
#[test]
fn a_connection_goes_on_after_a_drain_was_announced() {
    let (mut client, mut server) = pair(config(), config());
    server.drain(T, CloseCode::GOING_AWAY, 10_000, 60_000).unwrap();
    assert_eq!(ops(&output(&mut server)), [Op::Drain]);
    client.send(route(), b"still").unwrap();
    server.send(route(), b"here").unwrap();
    settle(&mut client, &mut server);
    assert_eq!(client.acknowledged(), client.sent());
    assert_eq!(server.acknowledged(), server.sent());
    assert_eq!(server.state(), SessionState::Attached);
}

//= test CLS-9
#[test]
fn clients_leave_a_draining_server_spread_over_the_time_it_names() {
    let mut moments = Vec::new();
    for seed in 0..32u32 {
        let calm = Config { idle_timeout_ms: 0, ..config() };
        let (mut client, mut server) = fresh(calm, calm, seed << 27 | 1);
        exchange(&mut client, &mut server);
        server.drain(T, CloseCode::GOING_AWAY, 0, 32_000).unwrap();
        take(&mut client, &output(&mut server));
        let at = client.next_deadline().unwrap();
        assert!(at <= ms(32_000), "seed {seed}");
        let again = [&[0x0C, 0, 12, 0][..], &[1, 0, 0, 0], &[0; 8]].concat();
        assert_eq!(take(&mut client, &again), (vec![], None));
        assert_eq!(client.next_deadline(), Some(at), "a second one changes nothing");
        client.handle_timeout(at);
        let said = output_at(&mut client, at);
        assert_eq!(close_in(&said).code, CloseCode::GOING_AWAY);
        client.detach(at);
        assert_eq!(client.state(), SessionState::Detached);
        moments.push((at.as_micros() - T.as_micros()) / 1_000_000);
    }
    for quarter in 0..4u64 {
        let range = quarter * 8..quarter * 8 + 8;
        let count = moments.iter().filter(|second| range.contains(second)).count();
        assert_eq!(count, 8, "evenly: {moments:?}");
    }
}

//= test CLS-17
#[test]
fn a_position_that_cannot_be_is_no_news() {
    let (mut client, mut server) = pair(config(), config());
    client.send(route(), b"taken").unwrap();
    settle(&mut client, &mut server);
    client.send(route(), b"on its way").unwrap();
    let (acked, end) = (client.acknowledged().get(), client.sent().get());
    assert!(acked > 0 && end > acked);
    for (told, known) in [
        (acked - 1, None),
        (acked, Some(acked)),
        (end, Some(end)),
        (end + 1, None),
        (u64::MAX, None),
    ] {
        let mut client = client.clone();
        take_at(&mut client, ms(60), &close(CloseCode::INTERNAL, true, Some(told)));
        let death = client.death().unwrap();
        assert_eq!(death.peer_received.map(Position::get), known, "told {told}");
    }
}

//= test COD-4
#[test]
fn codes_of_session_scope_end_the_session_and_others_do_not() {
    let (client, server) = pair(config(), config());
    for code in CloseCode::ALL {
        for end in [&client, &server] {
            let mut end = end.clone();
            take(&mut end, &close(*code, false, None));
            end.detach(T);
            let ends = code.scope() == Scope::Session && *code != CloseCode::STALE_ATTACH;
            let state = if ends { SessionState::Dead } else { SessionState::Detached };
            assert_eq!(end.state(), state, "{code}");
        }
    }
    for (bytes, code) in [
        (encode_ack(4, 512), CloseCode::ACK_BEYOND_SENT),
        (encode_ack(u32::MAX, 512), CloseCode::ACK_REGRESS),
        (encode_ack(0, 511), CloseCode::CREDIT_SHRINK),
    ] {
        let mut end = server.clone();
        assert_eq!(take(&mut end, &bytes).1, Some(code));
        assert_eq!(end.death().map(|death| death.code), Some(code));
        assert_eq!(close_in(&output(&mut end)).code, code);
    }
}

//= test STM-4
#[test]
fn whoever_finds_a_rule_broken_says_so_stops_reading_and_detaches() {
    let (_, mut server) = pair(config(), config());
    let bytes = [raw(Op::Hello, 1, false, &[0; 36]), message()].concat();
    let mut input = &bytes[..];
    assert!(server.handle_input(T, &mut input).is_err());
    assert_eq!(input, [], "nothing behind it is looked at");
    assert_eq!(server.received().get(), 0);
    let said = output(&mut server);
    assert_eq!(ops(&said), [Op::Close]);
    assert_eq!(close_in(&said).code, CloseCode::BAD_STATE);
    server.detach(T);
    assert_eq!(server.state(), SessionState::Detached);
}

//= test BUD-4
#[test]
fn whoever_used_up_its_budget_is_told_to_wait() {
    let (_, mut server) = pair(config(), config());
    let flood = encode_empty(Op::Ping).repeat(300);
    assert_eq!(take(&mut server, &flood).1, Some(CloseCode::CALM));
    let said = output(&mut server);
    let close = close_in(&said);
    assert_eq!((close.code, close.retry_ms), (CloseCode::CALM, 1_000));
}
