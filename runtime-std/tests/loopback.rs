//! Clients and servers whose calls block, over loopback.

use std::sync::mpsc;
use std::time::Duration;

use outlast_conformance::net::Unserved;
use outlast_std::inbox::{self, InboxConfig, Received, RecvError};
use outlast_std::pool::{PoolConfig, PoolError};
use outlast_std::{
    Client, CloseCode, Config, Handle, Incoming, LinkState, OnLost, Peer, ReconnectPolicy,
    RequestError, Responder, Running, SendError, Server, SessionInfo, Status, Token, Tokens, Why,
};

const ECHO: u8 = 1;
/// Answered by another thread.
const LATER: u8 = 2;
/// Never answered, and never dropped.
const NEVER: u8 = 3;
/// The server's application asks back.
const BACK: u8 = 4;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

fn serve() -> Running {
    let (keep, _kept) = mpsc::sync_channel(64);
    let server = Server::builder().bind("127.0.0.1:0").unwrap();
    server
        .start(move |_: &SessionInfo| {
            let keep = keep.clone();
            let mut unanswered = Vec::new();
            move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Request { id, route, payload } if route == LATER.into() => {
                    let responder = Responder::from(peer.defer(id));
                    let payload = payload.to_vec();
                    std::thread::spawn(move || responder.reply(&payload));
                }
                Incoming::Request { id, route, .. } if route == NEVER.into() => {
                    unanswered.push(peer.defer(id));
                    let _ = keep.try_send(());
                }
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
                Incoming::Message { route, payload } if route == BACK.into() => {
                    let handle = Handle::from(peer.handle());
                    let payload = payload.to_vec();
                    std::thread::spawn(move || {
                        let answer = handle.request(ECHO, &payload).unwrap();
                        handle.send(BACK, &answer.payload).unwrap();
                    });
                }
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        })
        .unwrap()
}

fn client(server: &Running) -> Handle {
    let builder = Client::builder().address(server.local_addr().to_string());
    builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap()
}

#[test]
fn requests_and_long_messages_come_back() {
    let server = serve();
    let handle = client(&server);
    for len in [0, 1, 16_379, 16_380, 100_000, 1 << 20] {
        let payload: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
        for route in [ECHO, LATER] {
            let answer = handle.request(route, &payload).unwrap();
            assert_eq!(answer.status, Status::OK);
            assert!(answer.payload == payload, "{len} bytes differ");
        }
    }
    assert!(handle.is_connected() && handle.id().is_some());
    handle.finish();
    let closed = handle.closed();
    assert!(closed.complete && matches!(closed.why, Why::Finished), "{closed:?}");
    server.shutdown(LONG);
}

#[test]
fn many_threads_share_a_session_and_receipts_tell() {
    let server = serve();
    let handle = client(&server);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let handle = &handle;
            scope.spawn(move || {
                for number in 0..200u32 {
                    let payload = (thread << 16 | number).to_le_bytes();
                    let answer = handle.request(ECHO, &payload).unwrap();
                    assert_eq!(answer.payload[..], payload);
                    if number % 50 == 0 {
                        handle.send_receipted(ECHO, &payload).unwrap().wait().unwrap();
                    }
                }
            });
        }
    });
    handle.flushed().unwrap();
    assert_eq!(handle.flushed_timeout(LONG), Some(Ok(())));
    server.shutdown(Duration::ZERO);
}

#[test]
fn both_ends_ask_and_send() {
    let server = serve();
    let (tell, told) = mpsc::sync_channel(1);
    let builder = Client::builder().address(server.local_addr().to_string());
    let handle = builder
        .connect(move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Request { id, payload, .. } => {
                peer.respond(id, Status::OK, payload).unwrap();
            }
            Incoming::Message { payload, .. } => tell.send(payload.to_vec()).unwrap(),
            _ => {}
        })
        .unwrap();
    handle.send(BACK, b"and back").unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), b"and back");
    server.shutdown(Duration::ZERO);
}

#[test]
fn every_wait_ends_at_its_limit() {
    let server = serve();
    let handle = client(&server);
    assert_eq!(handle.request(ECHO, b"").unwrap().status, Status::OK);
    let short = Duration::from_millis(20);
    let late = handle.request_timeout(NEVER, b"", short).unwrap_err();
    assert!(matches!(late, RequestError::TimedOut), "{late}");
    assert_eq!(handle.closed_timeout(short), None);
    // The session goes on.
    assert_eq!(handle.request_timeout(ECHO, b"x", LONG).unwrap().payload[..], *b"x");
    handle.end(CloseCode::GOING_AWAY);
    assert!(handle.closed_timeout(LONG).is_some());

    // Nobody listens here: there is no session to send in.
    let nobody = Unserved::new();
    let builder = Client::builder().address(nobody.address().to_string());
    let handle = builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    assert_eq!(handle.send_timeout(ECHO, b"x", short), Err(SendError::TimedOut));
    let receipted = handle.send_receipted_timeout(ECHO, b"x", short);
    assert!(matches!(receipted, Err(SendError::TimedOut)), "{receipted:?}");
    let late = handle.request_timeout(ECHO, b"x", short).unwrap_err();
    assert!(matches!(late, RequestError::NotSent(SendError::TimedOut)), "{late}");
    handle.end(CloseCode::GOING_AWAY);
    assert!(matches!(handle.closed().why, Why::Stopped));
}

#[test]
fn an_answer_without_room_ends_at_its_limit() {
    let (tell, told) = mpsc::sync_channel(1);
    let small = Config { send_buffer: 1_024, ..Config::SERVER };
    let server = Server::builder().config(small).bind("127.0.0.1:0").unwrap();
    let server = server
        .start(move |_: &SessionInfo| {
            let tell = tell.clone();
            move |peer: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Request { id, .. } = event {
                    peer.send(BACK, b"wait").unwrap();
                    let (responder, tell) = (Responder::from(peer.defer(id)), tell.clone());
                    std::thread::spawn(move || {
                        let limit = Duration::from_millis(50);
                        let answered = responder.respond_timeout(Status::OK, &[7; 900_000], limit);
                        tell.send(answered).unwrap();
                    });
                }
            }
        })
        .unwrap();
    // Until the answer was given up, its peer takes nothing.
    let builder = Client::builder().address(server.local_addr().to_string());
    let (go_on, gate) = mpsc::sync_channel(1);
    let handle = builder
        .connect(move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                gate.recv_timeout(LONG).unwrap();
            }
        })
        .unwrap();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| handle.request_timeout(ECHO, b"", LONG));
        assert_eq!(told.recv_timeout(LONG).unwrap(), Err(SendError::TimedOut));
        go_on.send(()).unwrap();
        assert_eq!(asked.join().unwrap().unwrap().status, Status::INTERNAL);
    });
    server.shutdown(Duration::ZERO);
}

#[test]
fn session_outlives_its_connections() {
    let server = serve();
    let (tell, told) = mpsc::sync_channel(64);
    let builder = Client::builder().address(server.local_addr().to_string());
    let eager =
        ReconnectPolicy { backoff_base: 1_000, backoff_cap: 10_000, ..ReconnectPolicy::default() };
    let handle = builder
        .reconnect(eager)
        .connect(move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Resumed { .. } = event {
                tell.send(()).unwrap();
            }
        })
        .unwrap();
    for number in 0..20u8 {
        assert_eq!(handle.request(ECHO, &[number]).unwrap().payload[..], [number]);
        handle.disconnect(CloseCode::GOING_AWAY);
        told.recv_timeout(LONG).unwrap();
    }
    handle.finish();
    assert!(handle.closed().complete);
    assert_eq!(server.handle().stats().resumed, 20);
    server.shutdown(LONG);
}

#[test]
fn shutdown_ends_everything_and_tells() {
    let server = serve();
    let handle = client(&server);
    assert_eq!(handle.request(ECHO, b"").unwrap().status, Status::OK);
    let address = server.local_addr();
    let everybody = server.handle();
    server.shutdown(Duration::ZERO);
    assert_eq!(everybody.stats().connections, 0);
    assert!(everybody.sessions().is_empty());
    assert!(std::net::TcpStream::connect(address).is_err(), "it listens still");
    handle.end(CloseCode::GOING_AWAY);
    let _ = handle.closed();
}

#[test]
fn what_is_wrong_is_said_at_once() {
    let nothing = |_: &mut Peer<'_>, _: Incoming<'_>| {};
    assert!(Client::builder().connect(nothing).is_err(), "no address");
    let wrong = Config { max_requests: u16::MAX, ..Config::SERVER };
    assert!(Server::builder().config(wrong).bind("127.0.0.1:0").is_err());
    assert!(Server::builder().bind("not an address").is_err());
}

#[test]
fn tokens_and_panics_behave_as_elsewhere() {
    let allowed = Tokens::new([(&b"open sesame"[..], 7)]).allow_plaintext();
    let server = Server::builder().authenticator(allowed).bind("127.0.0.1:0").unwrap();
    let server = server
        .start(|info: &SessionInfo| {
            assert_eq!(info.principal, Some(7));
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Request { payload: b"panic", .. } => panic!("on purpose"),
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
                _ => {}
            }
        })
        .unwrap();
    let dial = |token: &[u8]| {
        let shown = Token::new(token.to_vec()).allow_plaintext();
        let builder = Client::builder().address(server.local_addr().to_string());
        // A session that takes the place of the lost one would be waited for in its turn.
        let one = ReconnectPolicy { on_lost: OnLost::Stop, ..ReconnectPolicy::default() };
        let builder = builder.credentials(shown).reconnect(one);
        builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap()
    };
    let refused = dial(b"open barley").closed();
    assert!(matches!(refused.why, Why::Refused), "{refused:?}");
    let (other, handle) = (dial(b"open sesame"), dial(b"open sesame"));
    assert_eq!(other.request(ECHO, b"a").unwrap().status, Status::OK);
    assert!(handle.request(ECHO, b"panic").is_err());
    assert!(!handle.closed().complete);
    assert_eq!(other.request(ECHO, b"b").unwrap().status, Status::OK);
    server.shutdown(Duration::ZERO);
}

#[test]
fn threads_wait_for_states() {
    let server = serve();
    let builder = Client::builder().address(server.local_addr().to_string());
    let (tell, told) = mpsc::sync_channel(8);
    let builder = builder.on_state(move |state| tell.send(state).unwrap());
    let handle = builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    let mut states = handle.states();
    let connected = states.wait_for_timeout(LinkState::is_connected, LONG);
    assert_eq!(connected, Some(LinkState::Connected { resumed: false }));
    assert_eq!(states.changed_timeout(Duration::from_millis(20)), None);
    assert_eq!((handle.state(), states.latest()), (connected.unwrap(), connected.unwrap()));
    handle.end(CloseCode::GOING_AWAY);
    assert_eq!(states.wait_for(LinkState::is_closed), Some(LinkState::Closed));
    assert_eq!(states.changed(), None);
    for name in ["connecting", "connected", "closed"] {
        assert_eq!(told.recv_timeout(LONG).unwrap().to_string(), name);
    }
    server.shutdown(Duration::ZERO);
}

#[test]
fn threads_receive_with_a_limit() {
    let server = serve();
    let (inbox, mut receiver) = inbox::new(InboxConfig::default());
    let builder = Client::builder().address(server.local_addr().to_string());
    let handle = builder.connect(inbox).unwrap();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(20)).unwrap_err(), RecvError::Empty);
    handle.send(BACK, b"and back").unwrap();
    // The server's thread asks first, and is answered by this one.
    match receiver.recv_timeout(LONG).unwrap() {
        Received::Request { payload, responder, .. } => {
            Responder::from(responder).reply(&payload).unwrap();
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(receiver.recv().unwrap().payload(), "and back");
    assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
    receiver.handle().unwrap().end(CloseCode::GOING_AWAY);
    assert!(receiver.recv().is_none());
    server.shutdown(Duration::ZERO);
}

#[test]
fn threads_share_a_pool() {
    let server = serve();
    let client = Client::builder().address(server.local_addr().to_string());
    let config = PoolConfig { connections: 3, in_use: 2, ..PoolConfig::default() };
    let pool = client.pool(config, |_| |_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..12u8 {
            let pool = &pool;
            scope.spawn(move || {
                for number in 0..50u8 {
                    let answer = pool.request_timeout(LATER, &[thread, number], LONG).unwrap();
                    assert_eq!(answer.payload[..], [thread, number]);
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!((stats.total, stats.in_use, stats.timed_out, stats.died), (3, 0, 0, 0));
    assert!(stats.waits > 0, "twelve threads, and six may ask");
    let lease = pool.get().unwrap();
    lease.send(ECHO, b"x").unwrap();
    let late = pool.request_timeout(NEVER, b"", Duration::from_millis(20)).unwrap_err();
    assert_eq!(late, PoolError::Request(RequestError::TimedOut));
    drop(lease);
    pool.shutdown(LONG);
    assert_eq!(pool.send(ECHO, b"x"), Err(PoolError::Over));
    server.shutdown(Duration::ZERO);
}
