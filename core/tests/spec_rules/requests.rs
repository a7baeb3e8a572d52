//! Area REQ: the numbers of requests, and what their answers say.

use super::*;

fn few() -> Config {
    Config { max_requests: 2, ..config() }
}

//= test REQ-1
#[test]
fn a_request_takes_a_number_that_is_free_and_in_range() {
    let (mut client, mut server) = pair(config(), few());
    assert_eq!(client.max_requests(), 2);
    for id in [0, 1] {
        assert_eq!(client.free_request(), Some(RequestId(id)));
        client.request(RequestId(id), route(), b"?").unwrap();
    }
    assert_eq!(client.free_request(), None);
    let before = client.sent();
    for id in [0, 2] {
        assert!(client.request(RequestId(id), route(), b"?").is_err());
    }
    assert_eq!(client.sent(), before);
    exchange(&mut client, &mut server);
    // The same number in the other direction is another request.
    server.request(RequestId(1), route(), b"!").unwrap();
    server.respond(RequestId(0), Status::OK, b"").unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(client.free_request(), Some(RequestId(0)));
    assert!(client.is_open_out(RequestId(1)) && client.is_open_in(RequestId(1)));
}

//= test REQ-8
#[test]
fn nothing_is_cancelled_that_is_not_open() {
    let (mut client, mut server) = pair(config(), few());
    let id = RequestId(1);
    assert_eq!(client.cancel(id, 0), Err(SendError::NoSuchRequest));
    client.request(id, route(), b"?").unwrap();
    client.cancel(id, 0).unwrap();
    exchange(&mut client, &mut server);
    server.respond(id, Status::CANCELLED, b"").unwrap();
    exchange(&mut client, &mut server);
    let before = client.sent();
    assert_eq!(client.cancel(id, 0), Err(SendError::NoSuchRequest));
    assert_eq!(client.sent(), before);
}

//= test REQ-9
#[test]
fn statuses_and_reasons_arrive_as_they_were_sent() {
    for number in 0..=255 {
        let (mut client, mut server) = pair(config(), few());
        let id = RequestId(0);
        client.request(id, route(), b"?").unwrap();
        client.cancel(id, number).unwrap();
        let said = output(&mut client);
        let (events, _) = take(&mut server, &said);
        assert!(matches!(
            events[1],
            Event::Cancelled { reason, .. } if reason == number
        ));
        server.respond(id, Status(number), b"").unwrap();
        let said = output(&mut server);
        let (events, _) = take(&mut client, &said);
        assert!(events.iter().any(|event| matches!(
            event,
            Event::Response { status: Status(status), .. } if *status == number
        )));
    }
}
