//! Sessions over real sockets on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_tokio::{
    Client, CloseCode, Config, Incoming, Peer, ReconnectPolicy, Server, SessionInfo, Status,
};

/// Cuts here are many and wanted: there is nothing to wait for.
fn eager() -> ReconnectPolicy {
    ReconnectPolicy { backoff_base: 1_000, backoff_cap: 10_000, ..ReconnectPolicy::default() }
}

async fn echo_server() -> outlast_tokio::Running {
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    server
        .start(|_| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { route, payload } => {
                    peer.send(route, payload).unwrap();
                }
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        })
        .unwrap()
}

#[tokio::test]
async fn requests_and_long_messages_come_back() {
    let server = echo_server().await;
    let (handle, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})
        .unwrap();
    let client = tokio::spawn(runner);
    for size in [0, 1, 100, 16_000, 16_383, 16_384, 100_000, 1_000_000] {
        let payload: Vec<u8> = (0..size).map(|i| i as u8).collect();
        let response = handle.request(3u8, &payload).await.unwrap();
        assert_eq!(response.status, Status::OK, "{size}");
        assert!(response.payload == payload, "{size}");
    }
    handle.finish();
    let closed = client.await.unwrap();
    assert!(closed.complete, "{closed}");
    server.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn callers_share_a_connection_and_receipts_tell() {
    let server = echo_server().await;
    let got = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&got);
    let (handle, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .reconnect(eager())
        .connect(move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        })
        .unwrap();
    let client = tokio::spawn(runner);
    let mut callers = Vec::new();
    for caller in 0..300u32 {
        let handle = handle.clone();
        callers.push(tokio::spawn(async move {
            for i in 0..20u32 {
                let asked = (caller * 1000 + i).to_le_bytes();
                let response = handle.request(70_000u32, &asked).await.unwrap();
                assert_eq!(response.payload, asked[..]);
            }
        }));
    }
    for caller in callers {
        caller.await.unwrap();
    }
    handle.send_receipted(9u8, b"taken").await.unwrap().await.unwrap();
    for _ in 0..10 {
        handle.disconnect(CloseCode::GOING_AWAY);
        handle.send_receipted(9u8, b"taken").await.unwrap().await.unwrap();
    }
    handle.finish();
    let closed = client.await.unwrap();
    assert!(closed.complete, "{closed}");
    assert_eq!(got.load(Ordering::Relaxed), 11);
    server.shutdown(Duration::from_secs(1)).await;
}

/// Limits that are reached at once.
fn small() -> Config {
    Config {
        send_buffer: 8 << 10,
        window: 32 << 10,
        window_max: 32 << 10,
        max_requests: 4,
        ..Config::SERVER
    }
}

/// Both ends stream as fast as they can and ask at the same time: if either held back what it owes
/// the other until it had room itself, they would wait for each other for ever.
#[tokio::test]
async fn two_saturated_ends_never_wait_for_each_other() {
    const MESSAGES: u32 = 60_000;
    let small = small();
    let server = Server::builder().config(small).bind("127.0.0.1:0").await.unwrap();
    let running = server
        .start(|_| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Opened => {
                    let handle = peer.handle();
                    drop(tokio::spawn(async move {
                        for i in 0..MESSAGES {
                            handle.send(1u8, &i.to_le_bytes()).await.unwrap();
                        }
                    }));
                }
                Incoming::Finished => peer.finish(),
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, &payload.repeat(300)).unwrap();
                }
                _ => {}
            }
        })
        .unwrap();
    let got = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&got);
    let all = Arc::new(tokio::sync::Notify::new());
    let tell = Arc::clone(&all);
    let (handle, runner) = Client::builder()
        .address(running.local_addr().to_string())
        .config(small)
        .connect(move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { payload, .. } = event {
                let expected = counter.fetch_add(1, Ordering::Relaxed) as u32;
                assert_eq!(payload, expected.to_le_bytes());
                if expected + 1 == MESSAGES {
                    tell.notify_one();
                }
            }
        })
        .unwrap();
    let client = tokio::spawn(runner);
    let asking = tokio::spawn({
        let handle = handle.clone();
        async move {
            for i in 0..500u32 {
                let response = handle.request(2u8, &i.to_le_bytes()).await.unwrap();
                assert_eq!(response.payload.len(), 1200);
            }
        }
    });
    for i in 0..MESSAGES {
        handle.send(1u8, &i.to_le_bytes()).await.unwrap();
    }
    asking.await.unwrap();
    all.notified().await;
    handle.finish();
    let closed = client.await.unwrap();
    assert!(closed.complete, "{closed}");
    assert_eq!(got.load(Ordering::Relaxed), u64::from(MESSAGES));
    running.shutdown(Duration::from_secs(1)).await;
}

/// As with any server that is a future: who drops it wants it gone.
#[tokio::test]
async fn a_server_whose_future_is_dropped_is_gone() {
    let server = Server::builder().bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (opened, mut open) = tokio::sync::mpsc::channel(1);
    let serving = tokio::spawn(server.serve(move |_: &SessionInfo| {
        let opened = opened.clone();
        move |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Opened = event {
                let _ = opened.try_send(peer.handle());
            }
        }
    }));
    let (gone, mut left) = tokio::sync::mpsc::channel(1);
    let (_handle, runner) = Client::builder()
        .address(address.to_string())
        .connect(move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Disconnected { code, .. } = event {
                let _ = gone.try_send(code);
            }
        })
        .unwrap();
    let client = tokio::spawn(runner);
    let there = open.recv().await.unwrap();
    serving.abort();
    assert_eq!(left.recv().await, Some(CloseCode::GOING_AWAY));
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens");
    assert_eq!(there.closed().await.code, CloseCode::GOING_AWAY);
    client.abort();
}

#[tokio::test]
async fn waiting_for_a_server_does_not_take_it_away() {
    let mut server = echo_server().await;
    tokio::select! {
        biased;
        () = server.finished() => panic!("nobody stopped it"),
        () = std::future::ready(()) => {}
    }
    server.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_client_whose_handler_panics_tells_everybody() {
    let server = echo_server().await;
    let (handle, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .connect(|_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                panic!("as this test wants it");
            }
        })
        .unwrap();
    let client = tokio::spawn(runner);
    handle.send(1u8, b"echo").await.unwrap();
    assert_eq!(handle.closed().await.code, CloseCode::INTERNAL);
    assert!(handle.request(1u8, b"?").await.is_err());
    assert!(client.await.unwrap_err().is_panic());
}

/// A handler that panics when it hears that its session is lost takes that session along, and
/// nothing else: the others still end when their time is over.
#[tokio::test]
async fn a_handler_that_panics_on_loss_stops_no_other_session_from_ending() {
    let config = Config { retention_s: 1, ..Config::SERVER };
    let server = Server::builder().config(config).bind("127.0.0.1:0").await.unwrap();
    let running = server
        .start(|_| {
            |_: &mut Peer<'_>, event: Incoming<'_>| {
                assert!(!matches!(event, Incoming::Lost { .. }), "planted: the handler panics");
            }
        })
        .unwrap();
    let mut runners = Vec::new();
    for _ in 0..4 {
        let (handle, runner) = Client::builder()
            .address(running.local_addr().to_string())
            .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})
            .unwrap();
        let runner = tokio::spawn(runner);
        handle.send_receipted(1u8, b"here").await.unwrap().await.unwrap();
        runners.push(runner);
    }
    let server = running.handle();
    let sessions: Vec<_> =
        server.sessions().iter().map(|info| server.get(info.id).unwrap()).collect();
    assert_eq!(sessions.len(), 4);
    runners.iter().for_each(tokio::task::JoinHandle::abort);
    for session in sessions {
        let over = tokio::time::timeout(Duration::from_secs(30), session.closed());
        assert!(!over.await.expect("every session ends").complete);
    }
    assert_eq!(server.stats().sessions, 0);
}
