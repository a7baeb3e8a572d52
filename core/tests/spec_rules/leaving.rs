//! Leaving: what DRAIN says, and what becomes of requests that come after its grace.

use super::*;

const GRACE_MS: u32 = 100;

/// A client and a server that said it leaves; the grace is over at `ms(GRACE_MS)`.
fn leaving(client: Config, server: Config) -> (End, End) {
    let (mut client, mut server) = pair(client, server);
    server.drain(T, CloseCode::GOING_AWAY, GRACE_MS, 60_000).unwrap();
    let said = output(&mut server);
    assert!(matches!(take(&mut client, &said).0[..], [Event::Draining { .. }]));
    (client, server)
}

fn after_grace() -> Instant {
    ms(u64::from(GRACE_MS))
}

fn responses(events: &[Event<'_>]) -> Vec<(u16, Status)> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Response { id, status, payload, .. } => {
                assert_eq!(*payload, b"");
                Some((id.0, *status))
            }
            _ => None,
        })
        .collect()
}

//= test CLS-10
//= test REQ-10
#[test]
fn requests_after_the_grace_are_refused_and_reach_nobody() {
    let (mut client, mut server) = leaving(config(), config());
    for (id, at, refused) in
        [(0, T, false), (1, after_grace().after(0), true), (2, after_grace(), true)]
    {
        client.request(RequestId(id), route(), b"?").unwrap();
        let said = output_at(&mut client, at);
        let (events, broken) = take_at(&mut server, at, &said);
        assert_eq!(broken, None);
        let told = events.iter().any(|event| matches!(event, Event::Request { .. }));
        assert_eq!(told, !refused, "request {id}");
        let said = output_at(&mut server, at);
        let (events, _) = take_at(&mut client, at, &said);
        let expected = if refused { vec![(id, Status::REFUSED)] } else { vec![] };
        assert_eq!(responses(&events), expected);
    }
    // What came in time is answered as ever, also now.
    server.respond(RequestId(0), Status::OK, b"").unwrap();
    let said = output_at(&mut server, after_grace());
    assert_eq!(responses(&take_at(&mut client, after_grace(), &said).0), [(0, Status::OK)]);
    assert_eq!(client.open_requests().count(), 0);
    assert!(!Status::REFUSED.may_have_run());
}

//= test CLS-10
#[test]
fn the_grace_begins_when_drain_is_written_and_belongs_to_the_connection() {
    let (mut client, mut server) = pair(config(), config());
    server.drain(T, CloseCode::GOING_AWAY, GRACE_MS, 60_000).unwrap();
    // DRAIN waits for the transport: nobody has been told of a grace yet.
    client.request(RequestId(0), route(), b"?").unwrap();
    let said = output_at(&mut client, ms(300));
    let (events, _) = take_at(&mut server, ms(300), &said);
    assert!(matches!(events[..], [Event::Request { .. }]), "{events:?}");
    output_at(&mut server, ms(300));
    client.request(RequestId(1), route(), b"?").unwrap();
    let said = output_at(&mut client, ms(399));
    assert_eq!(take_at(&mut server, ms(399), &said).0.len(), 1, "in time");
    client.request(RequestId(2), route(), b"?").unwrap();
    let said = output_at(&mut client, ms(400));
    assert_eq!(take_at(&mut server, ms(400), &said).0, [], "too late");
    connect(&mut client, &mut server);
    client.request(RequestId(3), route(), b"?").unwrap();
    let said = output_at(&mut client, ms(500));
    let (events, _) = take_at(&mut server, ms(500), &said);
    assert!(events.iter().any(|event| matches!(event, Event::Request { .. })), "{events:?}");
}

//= test CLS-10
#[test]
fn refusals_wait_as_bits_where_there_is_no_room_and_survive_the_connection() {
    let small = Config { send_buffer: 256, max_requests: 16, max_requests_out: 0, ..config() };
    let (mut client, mut server) = leaving(config(), small);
    while server.send(route(), &[1; 2]).is_ok() {}
    assert!(server.room() < 6);
    for id in 0..16 {
        client.request(RequestId(id), route(), b"?").unwrap();
    }
    let (held, at) = (server.held_bytes(), after_grace());
    let said = output_at(&mut client, at);
    assert_eq!(take_at(&mut server, at, &said), (vec![], None));
    assert_eq!(server.held_bytes(), held, "nothing is queued");
    assert_eq!(server.received(), client.sent(), "and nothing is held back");
    assert!(server.respond(RequestId(3), Status::OK, b"").is_err(), "no answer but that");
    // As bytes and back, and over another connection.
    let mut bytes = vec![0; server.snapshot_len(0)];
    let len = server.snapshot(600, &[], &mut bytes).unwrap();
    let mut again = Session::restore(small, &bytes[..len], false, Vec::new()).unwrap().session;
    for server in [&mut server, &mut again] {
        let mut client = client.clone();
        connect(&mut client, server);
        let mut answers = Vec::new();
        for round in 1..40 {
            let now = at.after(round * 30_000);
            client.handle_timeout(now);
            server.handle_timeout(now);
            let said = output_at(server, now);
            answers.extend(responses(&take_at(&mut client, now, &said).0));
            let said = output_at(&mut client, now);
            assert_eq!(take_at(server, now, &said).1, None);
        }
        let expected: Vec<_> = (0..16).map(|id| (id, Status::REFUSED)).collect();
        assert_eq!(answers, expected);
        assert!((0..16).all(|id| !server.is_open_in(RequestId(id))));
    }
}

//= test CLS-10
#[test]
fn a_long_request_is_refused_once_it_is_whole_and_forgotten_if_it_is_given_up() {
    let (mut client, mut server) = leaving(config(), config());
    let at = after_grace();
    let head = |id| Head::Request { id: RequestId(id), route: route() };
    let tell = |client: &mut End, server: &mut End| {
        let said = output_at(client, at);
        assert_eq!(take_at(server, at, &said), (vec![], None), "nobody is told");
        let said = output_at(server, at);
        responses(&take_at(client, at, &said).0)
    };
    client.begin(head(0), &[1; 100]).unwrap();
    client.push_fragment(&[2; 100], false).unwrap();
    assert_eq!(tell(&mut client, &mut server), []);
    client.cancel(RequestId(0), 0).unwrap();
    assert_eq!(tell(&mut client, &mut server), []);
    client.push_fragment(&[3; 100], true).unwrap();
    assert_eq!(tell(&mut client, &mut server), [(0, Status::REFUSED)]);
    client.begin(head(1), &[1; 100]).unwrap();
    tell(&mut client, &mut server);
    client.abort().unwrap();
    assert_eq!(tell(&mut client, &mut server), []);
    assert!(!server.is_open_in(RequestId(1)), "it was never asked");
    // A message of our own that is under way holds the refusal back until it is whole.
    server.begin(Head::Message { route: route() }, b"part").unwrap();
    client.request(RequestId(2), route(), b"?").unwrap();
    assert_eq!(tell(&mut client, &mut server), []);
    server.push_fragment(b"rest", true).unwrap();
    assert_eq!(tell(&mut client, &mut server), [(2, Status::REFUSED)]);
}

//= test BUD-2
#[test]
fn refusing_is_charged_to_whoever_asks() {
    let (mut client, mut server) = leaving(config(), config());
    let at = after_grace();
    let mut asked = 0;
    let broken = loop {
        client.request(RequestId(0), route(), b"").unwrap();
        let said = output_at(&mut client, at);
        asked += 1;
        if let (_, Some(code)) = take_at(&mut server, at, &said) {
            break code;
        }
        let said = output_at(&mut server, at);
        take_at(&mut client, at, &said);
        assert!(asked < 1_000);
    };
    assert_eq!(broken, CloseCode::CALM);
    assert!(asked > 200, "after a whole budget: {asked}");
}

//= test CLS-8
//= test CLI-11
#[test]
fn drain_says_where_to_go_if_it_can() {
    let address = b"other.example:7000";
    for under_way in [false, true] {
        let (mut client, mut server) = pair(config(), config());
        server.send(route(), &[9; 150]).unwrap();
        let mut said = vec![0; if under_way { 40 } else { 200 }];
        let len = server.poll_transmit(T, &mut said);
        said.truncate(len);
        let mut out = [0; 1024];
        let spread = (10_000, 0);
        let len = server.drain_to(T, CloseCode::GOING_AWAY, spread, address, &mut out).unwrap();
        said.extend_from_slice(&out[..len]);
        said.extend(output(&mut server));
        let (events, broken) = take(&mut client, &said);
        assert_eq!(broken, None);
        let [Event::Message { .. }, Event::Draining { address: told, grace_ms, .. }] = events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!((told, grace_ms), (Some(&address[..]), 10_000));
    }
}

//= test CLS-16
#[test]
fn an_address_that_does_not_fit_is_left_out() {
    for (body, len, there) in [(60, 46, true), (60, 47, false), (200, 186, true), (200, 187, false)]
    {
        let narrow = Config { max_body: body, ..config() };
        let (mut client, mut server) = pair(narrow, config());
        let address = vec![b'a'; len];
        let mut out = [0; 1024];
        let code = CloseCode::GOING_AWAY;
        let len = server.drain_to(T, code, (1, 1), &address, &mut out).unwrap();
        let (events, broken) = take(&mut client, &out[..len]);
        let [Event::Draining { address, .. }] = events[..] else { panic!("{events:?} {broken:?}") };
        assert_eq!(address.is_some(), there, "{body}");
        // Nor does it fit a buffer that is too small: then it goes later, without it.
        let (mut client, mut server) = pair(config(), config());
        let len = server.drain_to(T, code, (1, 1), &[b'a'; 30], &mut out[..40]).unwrap();
        let said = [&out[..len], &output(&mut server)].concat();
        assert!(matches!(take(&mut client, &said).0[..], [Event::Draining { address: None, .. }]));
        let long = [0; 256];
        assert!(server.drain_to(T, code, (1, 1), &long, &mut out).is_err(), "no option is as long");
    }
}

//= test CLS-9
#[test]
fn a_client_that_leaves_by_itself_still_leaves_as_its_server_asks() {
    let calm = Config { idle_timeout_ms: 0, ..config() };
    let (mut client, mut server) = pair(calm, calm);
    client.drain(T, CloseCode::GOING_AWAY, 0, 0).unwrap();
    server.drain(T, CloseCode::GOING_AWAY, 0, 4_000).unwrap();
    let (to_server, to_client) = (output(&mut client), output(&mut server));
    assert!(matches!(take(&mut server, &to_server).0[..], [Event::Draining { .. }]));
    assert!(matches!(take(&mut client, &to_client).0[..], [Event::Draining { .. }]));
    assert!(client.next_deadline().is_some_and(|at| at <= ms(4_000)));
    assert_eq!(server.next_deadline(), None);
}
