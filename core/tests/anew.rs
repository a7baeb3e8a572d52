//! Sessions that begin anew in the memory of those before them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "whatever is wrong fails the test"
)]

use outlast_core::state::{LinkState, SessionState};
use outlast_core::wire::{Grant, Hello, RequestId, Route};
use outlast_core::{
    Acceptor, Attach, CloseCode, Config, Event, Greeting, HANDSHAKE_MAX, Instant, SendError,
    Session,
};

const NOW: Instant = Instant::from_micros(1_000_000);
const CONFIG: Config = Config { max_requests: 4, max_requests_out: 4, ..Config::CONSTRAINED };

fn grant(sid: u64) -> Grant {
    Grant { sid, epoch: 1, key_id: 1, key: [3; 16] }
}

/// Lets a client greet, and a server answer by `welcome`, which writes WELCOME.
fn greet(client: &mut Session<[u8; 512]>, welcome: impl FnOnce(&Hello<'_>, &mut [u8]) -> usize) {
    let (mut hello, mut answer) = ([0; HANDSHAKE_MAX], [0; HANDSHAKE_MAX]);
    let len = client.attach(NOW, &Attach::default(), &mut hello).expect("a greeting");
    let mut acceptor = Acceptor::new(NOW, &CONFIG);
    let greeting = acceptor.handle_input(NOW, &mut &hello[..len]);
    let Ok(Some(Greeting::Hello(hello))) = greeting else { panic!("{greeting:?}") };
    let len = welcome(&hello, &mut answer);
    let event = client.handle_input(NOW, &mut &answer[..len]);
    assert_eq!(event, Ok(Some(Event::Opened)));
}

fn open_pair() -> (Session<[u8; 512]>, Session<[u8; 512]>) {
    let mut client = Session::client(CONFIG, [0; 512]).expect("a good configuration");
    let mut server = None;
    greet(&mut client, |hello, out| {
        let made = Session::server(NOW, CONFIG, hello, grant(1), 5, [0; 512], out);
        let made = made.expect("a session");
        server = Some(made.session);
        made.written
    });
    (client, server.expect("it was greeted"))
}

#[test]
fn a_client_begins_anew_as_if_there_had_been_nothing() {
    let (mut client, _) = open_pair();
    client.request(RequestId(0), Route::from(1u8), b"?").expect("room");
    client.send(Route::from(1u8), &[7; 200]).expect("room");
    let erased: &mut Session<[u8]> = &mut client;
    erased.renew(CONFIG).expect("a good configuration");

    assert_eq!((client.state(), client.link_state()), (SessionState::New, LinkState::Idle));
    assert_eq!((client.id(), client.unacknowledged()), (None, 0));
    assert_eq!(client.stats(), Session::client(CONFIG, [0; 512]).expect("good").stats());
    greet(&mut client, |hello, out| {
        assert!(hello.resume.is_none(), "nothing is left to resume");
        Session::server(NOW, CONFIG, hello, grant(2), 5, [0; 512], out).expect("new").written
    });
    assert_eq!(client.id(), Some(2));
    assert!(!client.is_open_out(RequestId(0)), "the request belonged to the other session");
}

#[test]
fn what_is_out_of_range_changes_nothing() {
    let (mut client, _) = open_pair();
    client.send(Route::from(1u8), b"kept").expect("room");
    let held = client.unacknowledged();
    assert!(client.renew(Config { window: 1, ..CONFIG }).is_err());
    assert_eq!((client.id(), client.unacknowledged()), (Some(1), held));
}

#[test]
fn a_server_begins_anew_in_the_memory_of_a_lost_session() {
    let (_, mut place) = open_pair();
    place.send(Route::from(1u8), &[7; 200]).expect("room");
    place.end(NOW, CloseCode::EVICTED);
    let mut client = Session::client(CONFIG, [0; 512]).expect("a good configuration");
    greet(&mut client, |hello, out| {
        let erased: &mut Session<[u8]> = &mut place;
        erased.renew_server(NOW, CONFIG, hello, grant(2), 6, out).expect("a session")
    });
    assert_eq!((place.id(), place.death(), place.unacknowledged()), (Some(2), None, 0));
    assert_eq!(place.handle_input(NOW, &mut &[][..]), Ok(Some(Event::Opened)));
    place.send(Route::from(1u8), b"new").expect("room");
    let mut out = [0; 256];
    let len = place.poll_transmit(NOW, &mut out);
    let mut input = &out[..len];
    let Ok(Some(Event::Message { payload, .. })) = client.handle_input(NOW, &mut input) else {
        panic!("a message")
    };
    assert_eq!(payload, b"new");
}

#[test]
fn a_greeting_that_does_not_fit_leaves_nothing_behind() {
    let (_, mut place) = open_pair();
    let mut client = Session::client(CONFIG, [0; 512]).expect("a good configuration");
    let mut hello = [0; HANDSHAKE_MAX];
    let len = client.attach(NOW, &Attach::default(), &mut hello).expect("a greeting");
    let mut acceptor = Acceptor::new(NOW, &CONFIG);
    let greeting = acceptor.handle_input(NOW, &mut &hello[..len]);
    let Ok(Some(Greeting::Hello(hello))) = greeting else { panic!("{greeting:?}") };
    // No room for WELCOME.
    let opened = place.renew_server(NOW, CONFIG, &hello, grant(2), 6, &mut [0; 8]);
    assert_eq!(opened, Err(CloseCode::LIMITS));
    assert_eq!((place.state(), place.id()), (SessionState::New, None));
    assert!(matches!(place.send(Route::from(1u8), b"?"), Err(SendError::State(_))));
}
