//! Area FRG: messages longer than a frame.

use super::*;

const ID: RequestId = RequestId(0);

fn head() -> Head {
    Head::Message { route: route() }
}

/// A server that awaits more of a message, and for which a request of its own is open.
fn in_the_middle() -> End {
    let (_, mut server) = pair(config(), config());
    server.request(ID, route(), b"?").unwrap();
    output(&mut server);
    let first = raw(Op::Message, 7, true, b"be");
    let (events, broken) = take(&mut server, &first);
    assert_eq!((events.len(), broken), (1, None));
    server
}

//= test FRG-1
#[test]
fn a_message_that_was_begun_is_continued_before_anything_else_is_sent() {
    let (mut client, mut server) = pair(config(), config());
    client.request(ID, route(), b"?").unwrap();
    server.request(ID, route(), b"?").unwrap();
    exchange(&mut client, &mut server);
    client.begin(head(), b"be").unwrap();
    let before = client.sent();
    assert_eq!(client.send(route(), b"x"), Err(SendError::MessageOpen));
    assert_eq!(client.begin(head(), b"x"), Err(SendError::MessageOpen));
    assert_eq!(client.request(RequestId(1), route(), b""), Err(SendError::MessageOpen));
    assert_eq!(client.respond(ID, Status::OK, b""), Err(SendError::MessageOpen));
    assert_eq!(client.finish(), Err(SendError::MessageOpen));
    let refused = client.send_encoded(&raw(Op::Message, 7, false, b"x"));
    assert_eq!(refused, Err((0, SendError::MessageOpen)));
    assert_eq!(client.sent(), before);
    client.cancel(ID, 0).unwrap();
    client.push_fragment(b"gun", true).unwrap();
    client.send(route(), b"x").unwrap();
    assert_eq!(ops(&output(&mut client)), [Op::Message, Op::Cancel, Op::Continue, Op::Message]);
}

//= test FRG-2
#[test]
fn between_fragments_come_only_frames_that_are_not_messages() {
    let mut server = in_the_middle();
    for allowed in [
        raw(Op::Cancel, 0, false, &[9, 0]),
        raw(Op::Skip, 0, false, b"x"),
        vec![0xD1, 0, 0, 0],
        raw(Op::Continue, 0, true, b"g"),
    ] {
        assert_eq!(take(&mut server, &allowed).1, None, "{allowed:?}");
    }
    for forbidden in [
        raw(Op::Message, 7, false, b"x"),
        raw(Op::Message, 7, true, b"x"),
        raw(Op::Request, 7, false, &[0, 0]),
        raw(Op::Response, 0, false, &[0, 0]),
        raw(Op::Fin, 0, false, &[]),
    ] {
        let broken = take(&mut server.clone(), &forbidden).1;
        assert_eq!(broken, Some(CloseCode::BAD_LANE), "{forbidden:?}");
    }
    // A client is sent keys, also in between.
    let (mut client, mut server) = pair(config(), config());
    server.begin(head(), b"be").unwrap();
    server.rotate_key(2, [8; 16]).unwrap();
    server.push_fragment(b"gun", true).unwrap();
    assert_eq!(take(&mut client, &output(&mut server)).1, None);
}

//= test FRG-3
#[test]
fn nothing_is_continued_that_is_not_open() {
    let (_, server) = pair(config(), config());
    for bytes in [raw(Op::Continue, 0, false, b"x"), raw(Op::Continue, 1, false, &[])] {
        let broken = take(&mut server.clone(), &bytes).1;
        assert_eq!(broken, Some(CloseCode::BAD_LANE));
        let mut after = in_the_middle();
        assert_eq!(take(&mut after, &bytes).1, None);
        assert_eq!(take(&mut after, &bytes).1, Some(CloseCode::BAD_LANE));
    }
}

//= test FRG-4
//= test FRG-11
#[test]
fn fragments_follow_each_other_and_the_last_one_says_so() {
    let (mut client, mut server) = pair(config(), config());
    client.begin(head(), b"be").unwrap();
    client.push_fragment(b"gun ", false).unwrap();
    client.push_fragment(b"and ended", true).unwrap();
    let said = output(&mut client);
    let mut seen = Vec::new();
    for event in take(&mut server, &said).0 {
        let Event::Fragment { head: of, offset, payload, last, position } = event else {
            panic!("{event:?}")
        };
        assert_eq!(of, head());
        seen.push((offset, payload, last, position.get()));
    }
    assert_eq!(
        seen,
        [(0, &b"be"[..], false, 6), (2, b"gun ", false, 14), (6, b"and ended", true, 27)]
    );
}

//= test FRG-6
#[test]
fn an_aborted_message_leaves_nothing() {
    let mut server = in_the_middle();
    let abort = raw(Op::Continue, 1, false, &[]);
    let (events, broken) = take(&mut server, &abort);
    assert_eq!(broken, None);
    assert!(matches!(events[..], [Event::Aborted { head: of, .. }] if of == head()));
    let next = raw(Op::Message, 7, false, b"new");
    let (events, broken) = take(&mut server, &next);
    assert_eq!(broken, None);
    assert!(matches!(events[..], [Event::Message { payload: b"new", .. }]));
}

//= test FRG-7
#[test]
fn an_aborted_request_is_forgotten_and_an_aborted_response_still_owed() {
    let (mut client, mut server) = pair(config(), config());
    let request = Head::Request { id: ID, route: route() };
    client.begin(request, b"?").unwrap();
    client.abort().unwrap();
    exchange(&mut client, &mut server);
    assert!(!client.is_open_out(ID) && !server.is_open_in(ID));
    assert!(server.respond(ID, Status::OK, b"").is_err());
    client.request(ID, route(), b"?").unwrap();
    exchange(&mut client, &mut server);
    let response = Head::Response { id: ID, status: Status::OK };
    server.begin(response, b"!").unwrap();
    server.abort().unwrap();
    exchange(&mut client, &mut server);
    assert!(client.is_open_out(ID) && server.is_open_in(ID));
    server.respond(ID, Status::OVERLOADED, b"").unwrap();
    exchange(&mut client, &mut server);
    assert!(!client.is_open_out(ID) && !server.is_open_in(ID));
}
