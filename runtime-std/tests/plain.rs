//! Clients and listeners of other systems' formats whose calls block, over loopback.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_conformance::net::Unserved;
use outlast_std::inbox::{InboxConfig, RecvError};
use outlast_std::plain::formats::{Ltv, MsgTrans, Packet};
use outlast_std::plain::{
    PlainCause, PlainClient, PlainConfig, PlainError, PlainEvent, PlainHandle, PlainPeer,
    PlainServerHandle, PlainState, inbox,
};
use outlast_std::{Attempts, ReconnectPolicy, Running, Server};

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// Answered at once.
const ECHO: u32 = 1;
/// Answered by another thread, which asks the client first.
const BACK: u32 = 2;
/// Never answered, and never dropped.
const NEVER: u32 = 3;

fn serve() -> (Running<PlainServerHandle>, Arc<AtomicUsize>) {
    let never = Arc::new(AtomicUsize::new(0));
    let (format, kept) = (MsgTrans::default(), Arc::clone(&never));
    let listener = Server::builder().format(format).bind("127.0.0.1:0").unwrap();
    let running = listener
        .start(move |_| {
            let (kept, mut unanswered) = (Arc::clone(&kept), Vec::new());
            move |peer: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
                let PlainEvent::Packet(packet) = event else {
                    return;
                };
                match &packet.key {
                    key if *key == id(BACK) => {
                        let handle = PlainHandle::from(peer.handle());
                        let (responder, payload) = (peer.defer(packet), packet.payload.to_vec());
                        std::thread::spawn(move || {
                            let answer = handle.request(ECHO, &payload, LONG).unwrap();
                            responder.respond(&answer.payload).unwrap();
                        });
                    }
                    key if *key == id(NEVER) => {
                        unanswered.push(peer.defer(packet));
                        kept.fetch_add(1, Ordering::SeqCst);
                    }
                    _ => peer.respond(packet, &packet.payload).unwrap(),
                }
            }
        })
        .unwrap();
    (running, never)
}

fn id(id: u32) -> outlast_std::plain::formats::Key<'static> {
    outlast_std::plain::formats::Key::Id(id)
}

/// Answers what the server asks, with a word before it.
fn answer(peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
    if let PlainEvent::Packet(packet) = event {
        let answer = [b"client: ", &packet.payload[..]].concat();
        peer.respond(packet, &answer).unwrap();
    }
}

/// Dials again at once.
fn eager() -> ReconnectPolicy {
    ReconnectPolicy { backoff_base: 1_000, backoff_cap: 10_000, ..ReconnectPolicy::default() }
}

fn client(server: &Running<PlainServerHandle>) -> PlainHandle {
    let builder = PlainClient::builder(MsgTrans::default());
    let builder = builder.address(server.local_addr().to_string()).reconnect(eager());
    let handle = builder.connect(answer).unwrap();
    assert!(handle.connected() && handle.is_connected());
    handle
}

#[test]
fn both_ends_ask_and_wait() {
    let (server, _) = serve();
    let handle = client(&server);
    for len in [0, 1, 70_000] {
        let payload = vec![7; len];
        assert_eq!(handle.request(ECHO, &payload, LONG).unwrap().payload, payload);
    }
    assert_eq!(handle.request(BACK, b"who?", LONG).unwrap().payload, "client: who?");
    let (asked, id) = (server.handle(), server.handle().connections()[0].id);
    let other = PlainHandle::from(asked.get(id).unwrap());
    assert_eq!(other.request(ECHO, b"you", LONG).unwrap().payload, "client: you");
    handle.finish();
    assert_eq!(handle.closed().unwrap().cause, PlainCause::Local);
    server.shutdown(LONG);
}

#[test]
fn many_threads_share_a_connection() {
    let (server, _) = serve();
    let handle = client(&server);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let handle = &handle;
            scope.spawn(move || {
                for number in 0..100u32 {
                    let payload = (thread << 16 | number).to_le_bytes();
                    let answer = handle.request(ECHO, &payload, LONG).unwrap();
                    assert_eq!(answer.payload[..], payload);
                }
            });
        }
    });
    assert_eq!(handle.info().packets_out, 800);
    server.shutdown(Duration::ZERO);
}

#[test]
fn a_client_comes_back_and_what_was_under_way_says_so() {
    let (server, never) = serve();
    let handle = client(&server);
    for round in 1..=5 {
        let asking = handle.clone();
        let asked = std::thread::spawn(move || asking.request(NEVER, b"", LONG));
        while never.load(Ordering::SeqCst) < round {
            std::thread::yield_now();
        }
        server.handle().close_all();
        let lost = asked.join().unwrap().unwrap_err();
        assert!(matches!(lost, PlainError::Closed(_)), "{lost}");
        assert!(handle.connected());
        while handle.request(ECHO, b"again", LONG).is_err() {
            // The server may have closed this one as well.
            assert!(handle.connected());
        }
    }
    server.shutdown(Duration::ZERO);
}

#[test]
fn every_wait_ends_at_its_limit() {
    let (server, _) = serve();
    let handle = client(&server);
    assert_eq!(handle.request(NEVER, b"", SHORT), Err(PlainError::TimedOut));
    assert_eq!(handle.closed_timeout(SHORT), None);
    assert!(handle.is_connected(), "it goes on");
    handle.close();
    assert!(handle.closed_timeout(LONG).is_some());

    // Somebody listens and takes nothing.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = PlainConfig { send_queue: 1024, ..PlainConfig::default() };
    let builder = PlainClient::builder(Ltv::default()).config(config);
    let builder = builder.address(deaf.local_addr().unwrap().to_string());
    let handle = builder.connect(|_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {}).unwrap();
    assert!(handle.connected_timeout(LONG));
    let packet = Packet::one_way(1, &[0; 4096]);
    let full = loop {
        match handle.send_timeout(&packet, SHORT) {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(full, PlainError::TimedOut);
    assert_eq!(handle.try_send(&packet), Err(PlainError::Full));
    handle.close();

    // Nobody listens.
    let nobody = Unserved::new();
    let once = ReconnectPolicy { attempts: Attempts::Once, ..ReconnectPolicy::default() };
    let dial = |policy| {
        let builder = PlainClient::builder(Ltv::default()).address(nobody.address().to_string());
        let builder = builder.reconnect(policy);
        builder.connect(|_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {}).unwrap()
    };
    let patient = dial(ReconnectPolicy::default());
    assert!(!patient.connected_timeout(SHORT));
    assert_eq!(patient.send(&packet), Err(PlainError::NotConnected));
    patient.close();
    assert!(!patient.connected(), "it dials no more");
    assert!(!dial(once).connected(), "it has given up");
    server.shutdown(Duration::ZERO);
}

#[test]
fn shutdown_ends_connections_and_what_is_wrong_is_said_at_once() {
    let (server, _) = serve();
    let handle = client(&server);
    let address = server.local_addr();
    server.shutdown(Duration::ZERO);
    assert!(std::net::TcpStream::connect(address).is_err(), "it listens still");
    handle.close();
    let _ = handle.closed();
    while handle.state() != PlainState::Closed {
        std::thread::yield_now();
    }
    let nothing = |_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {};
    assert!(PlainClient::builder(Ltv::default()).connect(nothing).is_err(), "no address");
    let wrong = PlainConfig { send_queue: 0, ..PlainConfig::default() };
    let server = Server::builder().format(Ltv::default()).config(wrong);
    assert!(server.bind("127.0.0.1:0").is_err());
}

#[test]
fn threads_receive_with_a_limit() {
    let (server, _) = serve();
    let (inbox, mut receiver) = inbox(InboxConfig::default());
    let builder = PlainClient::builder(MsgTrans::default());
    let handle = builder.address(server.local_addr().to_string()).connect(inbox).unwrap();
    assert!(handle.connected_timeout(LONG));
    assert_eq!(receiver.recv_timeout(SHORT).unwrap_err(), RecvError::Empty);
    for number in 0..100u8 {
        handle.send(&Packet::one_way(ECHO, &[number])).unwrap();
    }
    for number in 0..100u8 {
        assert_eq!(receiver.recv_timeout(LONG).unwrap().payload[..], [number]);
    }
    assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
    receiver.handle().unwrap().close();
    assert!(receiver.recv().is_none());
    server.shutdown(Duration::ZERO);
}
