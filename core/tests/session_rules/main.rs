//! Rules that span connections: snapshots, keys, credit, limits, and what ends a session for good.
#![cfg(feature = "alloc")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "whatever is wrong fails the test"
)]

mod keys;
mod written;

use outlast_core::auth::{AuthContext, Prover, Secret, SharedKeyProver, shared_key_server_proof};
use outlast_core::registry::{
    Admission, Entropy, Entry, FIRST_KEY_ID, Lease, Peer, Registry, RegistryConfig,
};
use outlast_core::state::SessionState;
use outlast_core::wire::{
    Close, CloseFlags, Frame, Grant, HEADER_LEN, Header, Hello, Op, RequestId, Route, Status,
    Terms, Welcome,
};
use outlast_core::{
    Accepted, Acceptor, Attach, CloseCode, Config, Event, Greeting, HANDSHAKE_MAX, Head, Instant,
    Position, Release, Restored, Scope, Session, SnapshotError,
};

const T: Instant = Instant::from_micros(1);
const ROUTE: u8 = 7;

type End = Session<Vec<u8>>;

fn config() -> Config {
    Config { window: 512, window_max: 512, max_body: 200, send_buffer: 4096, ..Config::SERVER }
}

fn manual() -> Config {
    Config { release: Release::Manual, ..config() }
}

const GRANT: Grant = Grant { sid: 9, epoch: 1, key_id: FIRST_KEY_ID, key: [3; 16] };

/// The first body in `bytes`, which must be of kind `op`.
fn body(bytes: &[u8], op: Op) -> &[u8] {
    let (header, body, _) = Frame::split(bytes, 1020).unwrap().unwrap();
    assert_eq!(header.op(), Some(op));
    body
}

/// Everything `end` says now.
fn output(end: &mut End) -> Vec<u8> {
    let mut all = Vec::new();
    let mut out = [0; 2048];
    loop {
        let len = end.poll_transmit(T, &mut out);
        all.extend_from_slice(&out[..len]);
        if len == 0 {
            return all;
        }
    }
}

/// What `end` makes of `input`, and the rule it found broken.
fn take<'b>(end: &mut End, mut input: &'b [u8]) -> (Vec<Event<'b>>, Option<CloseCode>) {
    let mut events = Vec::new();
    loop {
        match end.handle_input(T, &mut input) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(violation) => return (events, Some(violation.code())),
        }
    }
}

fn hello(client: &mut End) -> Vec<u8> {
    let mut out = [0; HANDSHAKE_MAX];
    client.detach(T);
    let len = client.attach(T, &Attach { seed: 7, ..Attach::default() }, &mut out).unwrap();
    out[..len].to_vec()
}

/// A connection for both, and the acknowledgements after its handshake exchanged.
fn connect(client: &mut End, server: &mut End) {
    let said = hello(client);
    server.fence(T, &mut [0; 64]);
    let mut out = [0; HANDSHAKE_MAX];
    let len = server.accept(T, &Hello::decode(body(&said, Op::Hello)).unwrap(), 5, &mut out);
    assert_eq!(take(client, &out[..len.unwrap()]).1, None);
    exchange(client, server);
}

fn exchange(client: &mut End, server: &mut End) {
    for _ in 0..4 {
        assert_eq!(take(server, &output(client)).1, None);
        assert_eq!(take(client, &output(server)).1, None);
    }
}

fn pair_with(client: Config, server: Config, grant: Grant) -> (End, End) {
    let mut client = Session::client(client, Vec::new()).unwrap();
    let said = hello(&mut client);
    let mut out = [0; HANDSHAKE_MAX];
    let greeting = Hello::decode(body(&said, Op::Hello)).unwrap();
    let Accepted { session: mut server, written } =
        Session::server(T, server, &greeting, grant, 5, Vec::new(), &mut out).unwrap();
    assert_eq!(take(&mut client, &out[..written]).1, None);
    exchange(&mut client, &mut server);
    (client, server)
}

fn pair(client: Config, server: Config) -> (End, End) {
    pair_with(client, server, GRANT)
}

fn snapshot(end: &End) -> Result<Vec<u8>, SnapshotError> {
    let mut bytes = vec![0; end.snapshot_len(0)];
    let len = end.snapshot(600, &[], &mut bytes)?;
    bytes.truncate(len);
    Ok(bytes)
}

fn restore(config: Config, bytes: &[u8]) -> End {
    let Restored { session, .. } = Session::restore(config, bytes, false, Vec::new()).unwrap();
    session
}

//= test SNP-2
#[test]
fn what_was_not_released_is_in_no_snapshot_and_comes_again() {
    let (mut client, mut server) = pair(config(), manual());
    // A message can be taken twice where the first time is forgotten.
    client.send(Route::from(ROUTE), b"again").unwrap();
    exchange(&mut client, &mut server);
    assert_eq!((server.received().get(), server.released().get()), (9, 0));
    let before = snapshot(&server).unwrap();
    let id = client.free_request().unwrap();
    client.request(id, Route::from(ROUTE), b"?").unwrap();
    client.finish().unwrap();
    let sent = output(&mut client);
    let (events, _) = take(&mut server, &sent);
    assert!(matches!(events[..], [Event::Request { .. }, Event::Finished { .. }]), "{events:?}");
    assert_eq!(snapshot(&server), Err(SnapshotError::Unreleased));
    server.release(T, Position::default());
    assert_eq!(snapshot(&server), Err(SnapshotError::Unreleased));
    // What was stored before is still good: everything comes again and is new to it.
    let mut again = restore(manual(), &before);
    assert_eq!(again.received().get(), 0);
    connect(&mut client, &mut again);
    assert_eq!(again.received(), client.sent());
    assert!(again.is_open_in(id));
    again.respond(id, Status::OK, b"!").unwrap();
    again.release(T, again.received());
    assert_eq!(again.released(), again.received());
    let mut once_more = restore(manual(), &snapshot(&again).unwrap());
    connect(&mut client, &mut once_more);
    assert!(!once_more.is_open_in(id) && !client.is_open_out(id));
    once_more.finish().unwrap();
    exchange(&mut client, &mut once_more);
    assert_eq!((client.state(), once_more.state()), (SessionState::Ended, SessionState::Ended));
}

//= test SNP-2
#[test]
fn fragments_and_responses_have_to_be_released_before_a_snapshot() {
    let (mut client, mut server) = pair(manual(), manual());
    let head = Head::Message { route: Route::from(ROUTE) };
    client.begin(head, b"part").unwrap();
    let id = server.free_request().unwrap();
    server.request(id, Route::from(ROUTE), b"?").unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(snapshot(&server), Err(SnapshotError::Unreleased));
    server.release(T, server.received());
    let mut bytes = vec![0; server.snapshot_len(4)];
    server.snapshot(600, b"part", &mut bytes).unwrap();
    assert_eq!(Session::restore(manual(), &bytes, false, Vec::new()).unwrap().partial, b"part");
    client.push_fragment(b"last", true).unwrap();
    client.respond(id, Status::OK, b"!").unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(snapshot(&server), Err(SnapshotError::Unreleased), "last fragment, response");
    server.release(T, server.received());
    assert!(snapshot(&server).is_ok());
}

//= test RSM-11
#[test]
fn connecting_often_does_not_widen_what_an_application_does_not_take() {
    let (mut client, mut server) = pair(config(), manual());
    let window = u64::from(config().window);
    for round in 0..100 {
        while client.send(Route::from(ROUTE), &[1; 60]).is_ok() {}
        connect(&mut client, &mut server);
        assert_eq!(server.released().get(), 0);
        assert!(server.received().get() <= window, "round {round}: {:?}", server.received());
        assert_eq!(client.transmitted(), server.received());
    }
    // A client that believes it may send more is wrong.
    let next = server.received().get();
    let mut more = vec![0; 204];
    more[..4].copy_from_slice(&Header::new(Op::Message, ROUTE, 200).to_bytes());
    assert!(next + 204 > window);
    assert_eq!(take(&mut server, &more).1, Some(CloseCode::FLOW_VIOLATION));
}

fn narrowed(terms: Terms) -> [Terms; 3] {
    [
        Terms { max_body: terms.max_body - 1, ..terms },
        Terms { max_requests: 1, ..terms },
        Terms { max_msg: terms.max_msg - 1, ..terms },
    ]
}

//= test RSM-14
#[test]
fn a_server_refuses_a_resume_with_narrower_limits() {
    let (mut client, mut server) = pair(config(), config());
    client.send(Route::from(ROUTE), &[1; 200]).unwrap();
    let said = hello(&mut client);
    let honest = Hello::decode(body(&said, Op::Hello)).unwrap();
    server.detach(T);
    let mut out = [0; HANDSHAKE_MAX];
    let before = server.clone();
    for terms in narrowed(honest.terms) {
        let hello = Hello { terms, ..honest };
        assert_eq!(server.accept(T, &hello, 5, &mut out), Err(CloseCode::LIMITS), "{terms:?}");
        assert!(server == before, "refused without a trace");
    }
    let wide = Terms { max_body: 16_383, window: 1 << 20, ..honest.terms };
    assert!(server.accept(T, &Hello { terms: wide, ..honest }, 5, &mut out).is_ok());
    assert_eq!(server.max_body(), 200, "and more is of no use");
}

//= test RSM-14
#[test]
fn a_client_refuses_a_resume_with_narrower_limits() {
    let (mut client, mut server) = pair(config(), config());
    let said = hello(&mut client);
    server.detach(T);
    let mut out = [0; HANDSHAKE_MAX];
    let honest = Hello::decode(body(&said, Op::Hello)).unwrap();
    let len = server.accept(T, &honest, 5, &mut out).unwrap();
    let welcome = Welcome::decode(body(&out[..len], Op::Welcome)).unwrap();
    for terms in narrowed(welcome.terms) {
        let mut client = client.clone();
        let mut bytes = [0; HANDSHAKE_MAX];
        let len = Welcome { terms, ..welcome }.encode(&mut bytes).unwrap();
        assert_eq!(take(&mut client, &bytes[..len]).1, Some(CloseCode::LIMITS), "{terms:?}");
        assert_eq!(client.state(), SessionState::Detached);
    }
    assert_eq!(take(&mut client, &out[..len]).1, None);
}

//= test AUT-7
#[test]
fn a_welcome_is_not_believed_before_the_server_proved_itself() {
    let context = AuthContext { client_id: b"c", channel_binding: &[], encrypted: false };
    let key = Secret::new(&[4; 32]).unwrap();
    for proves in [false, true] {
        let mut prover = SharedKeyProver::new(key.clone(), [1; 16]);
        let mut data = [0; 64];
        prover.start(&context, &mut data).unwrap();
        let mut client = Session::client(config(), Vec::new()).unwrap();
        let mut out = [0; HANDSHAKE_MAX];
        let attach = Attach { seed: 7, mutual: true, ..Attach::default() };
        let len = client.attach(T, &attach, &mut out).unwrap();
        let greeting = out[..len].to_vec();
        let greeting = Hello::decode(body(&greeting, Op::Hello)).unwrap();
        prover.handle_step(&context, &[2; 16], &mut data);
        if proves {
            let proof = shared_key_server_proof(&key, &[2; 16], &[1; 16], &context);
            prover.handle_step(&context, &proof, &mut data);
        }
        if prover.is_satisfied() {
            client.trust_server();
        }
        let accepted =
            Session::server(T, config(), &greeting, GRANT, 5, Vec::new(), &mut out).unwrap();
        let (_, broken) = take(&mut client, &out[..accepted.written]);
        let expected = (!proves).then_some(CloseCode::AUTH_FAILED);
        assert_eq!((broken, client.id()), (expected, proves.then_some(GRANT.sid)));
    }
}

//= test CLS-16
#[test]
fn a_refusal_fits_the_peer_before_and_after_its_hello() {
    let reason = "ä".repeat(64);
    let close = Close {
        rx_next: Some(1),
        last_attach: Some(2),
        flags: CloseFlags::NONE,
        reason: &reason,
        ..Close::new(CloseCode::STALE_ATTACH)
    };
    for max_body in [60, 61, 100, 200] {
        let mut acceptor = Acceptor::new(T, &config());
        let mut out = [0; HANDSHAKE_MAX];
        let len = acceptor.clone().refuse(&close, &mut out);
        assert!(len <= HEADER_LEN + 60, "nothing is known of the peer: {len}");
        let own = Config { max_body, ..config() };
        let said = hello(&mut Session::client(own, Vec::new()).unwrap());
        let greeting = acceptor.handle_input(T, &mut &said[..]).unwrap();
        assert!(matches!(greeting, Some(Greeting::Hello(_))));
        let len = acceptor.refuse(&close, &mut out);
        let read = Close::decode(&out[HEADER_LEN..len]).unwrap();
        assert!(len <= HEADER_LEN + usize::from(max_body) && reason.starts_with(read.reason));
        assert_eq!((read.rx_next, read.last_attach), (Some(1), Some(2)));
    }
}

/// A response nobody waits for: an error of the connection that moves nothing.
fn offend(end: &mut End) -> CloseCode {
    let mut bytes = Header::new(Op::Response, 0, 2).to_bytes().to_vec();
    bytes.extend_from_slice(&RequestId(0).0.to_le_bytes());
    take(end, &bytes).1.unwrap()
}

//= test CLS-12
#[test]
fn only_errors_in_a_row_are_poison() {
    let (mut client, mut server) = pair(config(), config());
    for round in 0..5 {
        assert_eq!(offend(&mut client), CloseCode::BAD_REQUEST, "round {round}");
        // A connection in between that ends well, or just breaks, begins a new row.
        connect(&mut client, &mut server);
        if round % 2 == 0 {
            client.close(T, CloseCode::GOING_AWAY, 0);
        }
        connect(&mut client, &mut server);
    }
    assert_eq!(offend(&mut client), CloseCode::BAD_REQUEST);
    // So does progress.
    connect(&mut client, &mut server);
    server.send(Route::from(ROUTE), b"news").unwrap();
    exchange(&mut client, &mut server);
    assert_eq!(offend(&mut client), CloseCode::BAD_REQUEST);
    connect(&mut client, &mut server);
    assert_eq!(offend(&mut client), CloseCode::POISON);
    assert_eq!(client.death().map(|death| death.code), Some(CloseCode::POISON));
}

//= test CLS-12
#[test]
fn a_stall_neither_poisons_a_session_nor_heals_it() {
    let patient = Config { idle_timeout_ms: 0, ..config() };
    let (mut client, mut server) = pair(patient, patient);
    let stall = |client: &mut End, server: &mut End, is_told: bool, code: CloseCode| {
        let mut bytes = [0; HANDSHAKE_MAX];
        if is_told {
            let len = Close::new(code).encode(&mut bytes).unwrap();
            assert_eq!(take(client, &bytes[..len]).1, None);
        } else {
            // The first byte of a frame, and never its last.
            assert_eq!(take(client, &[Op::Message as u8]).1, None);
            let mut said = Vec::new();
            while !said.windows(2).any(|two| two == code.get().to_le_bytes()) {
                let next = client.poll_timeout().unwrap();
                client.handle_timeout(next);
                said = output(client);
            }
        }
        connect(client, server);
        assert_eq!(client.state(), SessionState::Attached, "{code}");
    };
    for is_told in [true, false, false, true] {
        stall(&mut client, &mut server, is_told, CloseCode::FRAME_TIMEOUT);
    }
    stall(&mut client, &mut server, true, CloseCode::HS_TIMEOUT);
    assert_eq!(offend(&mut client), CloseCode::BAD_REQUEST, "the first in its row");
    connect(&mut client, &mut server);
    stall(&mut client, &mut server, false, CloseCode::FRAME_TIMEOUT);
    stall(&mut client, &mut server, true, CloseCode::FRAME_TIMEOUT);
    stall(&mut client, &mut server, true, CloseCode::HS_TIMEOUT);
    assert_eq!(offend(&mut client), CloseCode::POISON, "the second in its row");
}

//= test CLS-12
//= test RSM-13
#[test]
fn attempts_that_carry_no_session_neither_poison_nor_heal_it() {
    let (mut client, mut server) = pair(config(), config());
    let mut out = [0; HANDSHAKE_MAX];
    let mut fail = |client: &mut End, epoch: u32| {
        let said = hello(client);
        let greeting = Hello::decode(body(&said, Op::Hello)).unwrap();
        let mut server = server.clone();
        server.detach(T);
        let len = server.accept(T, &greeting, 5, &mut out).unwrap();
        let mut welcome = Welcome::decode(body(&out[..len], Op::Welcome)).unwrap();
        welcome.resumed.as_mut().unwrap().epoch = epoch;
        let mut bytes = [0; HANDSHAKE_MAX];
        let len = welcome.encode(&mut bytes).unwrap();
        assert_eq!(take(client, &bytes[..len]).1, Some(CloseCode::BAD_STATE));
        hello(client);
        let (_, broken) = take(client, b"HTTP/1.1 302 Found\r\n");
        assert_eq!(broken.map(CloseCode::scope), Some(Scope::Connection));
        hello(client);
        let len = Close::new(CloseCode::HS_TIMEOUT).encode(&mut bytes).unwrap();
        assert_eq!(take(client, &bytes[..len]).1, None);
        assert_eq!(client.state(), SessionState::Detached);
    };
    for _ in 0..3 {
        fail(&mut client, 0);
    }
    connect(&mut client, &mut server);
    assert_eq!(offend(&mut client), CloseCode::BAD_REQUEST);
    let mut later = client.clone();
    later.detach(T);
    assert_eq!(take(&mut later, &[]).1, None);
    hello(&mut later);
    later.detach(T);
    connect(&mut later, &mut server);
    assert_eq!(offend(&mut later), CloseCode::POISON);
}
