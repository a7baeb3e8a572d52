//! Deadlines, who waits for what, and limits that change while a server runs. What is said of time
//! is only what has to pass at least.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outlast_core::CloseCode;
use outlast_core::admission::Rate;
use outlast_core::client::DialerConfig;
use outlast_service::net::Net;
use outlast_service::pool::{PoolConfig, PoolError};
use outlast_service::{AccessList, Incoming, Limits, Peer, RequestError, SessionInfo, Token};

use super::tools::{
    Bare, Listening, a_client, a_server, deaf, dial, finish, hello, until, visit, within,
};

const SHORT: Duration = Duration::from_millis(300);
/// However busy the machine is, this is long.
const LONG: Duration = Duration::from_secs(60);

fn one_connection() -> Limits {
    let mut limits = Limits::one_source();
    limits.connections.max_connections = 1;
    limits
}

/// A place that becomes free is that of who has waited for it longest, and patience ends.
pub async fn a_connection_may_wait_for_another_one_to_go<N: Net>(net: N) {
    let limits = Limits { patience: SHORT, ..one_connection() };
    let server = Listening::finishing(&net, a_server(&net).limits(limits)).await;
    let (at, overview) = (server.local_addr(), server.handle());
    let first = dial(&net, a_client(&net, at), deaf);
    first.send_receipted(1u8, b"in").await.unwrap().await.unwrap();
    let since = Instant::now();
    let (code, _) = Bare::connect(&net, at).await.told().await.unwrap();
    assert_eq!(code, CloseCode::BUSY);
    assert!(since.elapsed() >= SHORT, "{:?}", since.elapsed());
    until(|| overview.stats().refused == 1).await;
    // More patience counts at once, and for who waits already the least that it was told.
    overview.set_limits(&Limits { patience: LONG, ..one_connection() }).unwrap();
    let second = dial(&net, a_client(&net, at), deaf);
    let waits = within(&net, SHORT, second.send(1u8, b"not yet")).await;
    assert!(waits.is_none() && second.id().is_none());
    first.end(CloseCode::GOING_AWAY);
    second.send_receipted(1u8, b"in").await.unwrap().await.unwrap();
    assert_eq!(overview.stats().refused, 1);
}

/// Places and addresses: what is told a server that runs holds for whoever comes next.
pub async fn limits_change_at_once_and_nobody_has_to_leave<N: Net>(net: N) {
    let server = Listening::finishing(&net, a_server(&net).limits(one_connection())).await;
    let (at, overview) = (server.local_addr(), server.handle());
    let busy = async || Bare::connect(&net, at).await.told().await.map(|(code, _)| code);
    let first = dial(&net, a_client(&net, at), deaf);
    first.send_receipted(1u8, b"in").await.unwrap().await.unwrap();
    assert_eq!(busy().await, Some(CloseCode::BUSY));
    let mut two = one_connection();
    two.connections.max_connections = 2;
    overview.set_limits(&two).unwrap();
    let second = dial(&net, a_client(&net, at), deaf);
    second.send_receipted(1u8, b"in").await.unwrap().await.unwrap();
    overview.set_limits(&one_connection()).unwrap();
    assert_eq!(busy().await, Some(CloseCode::BUSY));
    overview.set_limits(&Limits::one_source()).unwrap();
    overview.set_access(AccessList::open().deny("127.0.0.0/8").unwrap());
    assert_eq!(busy().await, None, "nothing is said to who may not come");
    until(|| overview.stats().refusals.denied == 1).await;
    for handle in [&first, &second] {
        handle.send_receipted(1u8, b"still in").await.unwrap().await.unwrap();
    }
    overview.set_access(AccessList::open());
    assert!(visit(&net, at, None::<Token>).await.complete);
}

/// A source that connects too often waits until it may.
pub async fn connections_come_no_faster_than_they_may<N: Net>(net: N) {
    let mut limits = Limits { patience: LONG, ..Limits::one_source() };
    limits.connections.source_rate = Rate::per_second(10, 1);
    let server = Listening::finishing(&net, a_server(&net).limits(limits)).await;
    let since = Instant::now();
    for _ in 0..6 {
        assert!(visit(&net, server.local_addr(), None::<Token>).await.complete);
    }
    assert!(since.elapsed() >= Duration::from_millis(490), "{:?}", since.elapsed());
    assert_eq!(server.handle().stats().refused, 0);
}

/// The caller of a request says how long, and the peer is told that nobody waits any more.
pub async fn a_request_whose_time_is_over_is_cancelled_at_the_peer<N: Net>(net: N) {
    let cancelled = Arc::new(Mutex::new(0));
    let count = Arc::clone(&cancelled);
    let server = Listening::start(&net, a_server(&net), move |_: &SessionInfo| {
        let count = Arc::clone(&count);
        let mut kept = Vec::new();
        move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Request { id, .. } => kept.push(peer.defer(id)),
            Incoming::Cancelled { .. } => *count.lock().unwrap() += 1,
            _ => {}
        }
    })
    .await;
    let handle = dial(&net, a_client(&net, server.local_addr()), deaf);
    handle.send_receipted(1u8, b"in").await.unwrap().await.unwrap();
    let since = Instant::now();
    let error = handle.request_timeout(1u8, b"never", SHORT).await.unwrap_err();
    assert!(since.elapsed() >= SHORT, "{:?}", since.elapsed());
    assert!(matches!(error, RequestError::TimedOut), "{error}");
    until(|| *cancelled.lock().unwrap() == 1).await;
}

/// An attempt has one limit, from the first packet to WELCOME; a client without connection has its
/// pauses between attempts.
pub async fn an_attempt_that_takes_too_long_is_given_up<N: Net>(net: N) {
    // The kernel takes connections for it, and nobody answers them.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let failed = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&failed);
    let policy = DialerConfig {
        connect_limit: 200_000,
        backoff_base: 1_000,
        backoff_cap: 1_000,
        ..DialerConfig::default()
    };
    let since = Instant::now();
    let builder = a_client(&net, silent.local_addr().unwrap()).reconnect(policy);
    let handle = dial(&net, builder, move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::DialFailed { attempt, .. } = event {
            noted.lock().unwrap().push(attempt);
        }
    });
    until(|| failed.lock().unwrap().len() >= 3).await;
    assert!(since.elapsed() >= Duration::from_millis(600), "{:?}", since.elapsed());
    handle.end(CloseCode::GOING_AWAY);
    handle.closed().await;
}

/// A server that ends gives who is there the time that it was told, and takes no longer than they
/// do.
pub async fn a_drain_ends_when_everybody_has_left_or_its_time_is_over<N: Net>(net: N) {
    let start = async || {
        let server = a_server(&net).bind("127.0.0.1:0").await.unwrap();
        server.start(|_: &SessionInfo| finish).unwrap()
    };
    let running = start().await;
    let leaves = |peer: &mut Peer<'_>, event: Incoming<'_>| {
        if matches!(event, Incoming::Draining { .. }) {
            peer.finish();
        }
    };
    let handle = dial(&net, a_client(&net, running.local_addr()), leaves);
    handle.send_receipted(1u8, b"in").await.unwrap().await.unwrap();
    assert!(within(&net, LONG, running.shutdown(2 * LONG)).await.is_some());
    assert!(handle.closed().await.complete);
    let running = start().await;
    let mut stays = Bare::connect(&net, running.local_addr()).await;
    stays.write(&hello(None)).await;
    let overview = running.handle();
    until(|| overview.stats().sessions == 1).await;
    let since = Instant::now();
    running.shutdown(SHORT).await;
    assert!(since.elapsed() >= SHORT, "{:?}", since.elapsed());
    assert_eq!(stays.told().await, None, "it was told WELCOME first, and the end at last");
}

/// Of those who ask a pool for a session as many wait as may, and no longer than they want.
pub async fn a_pool_without_connection_lets_wait_as_many_as_may<N: Net>(net: N) {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let builder = a_client(&net, silent.local_addr().unwrap());
    let config = PoolConfig { connections: 1, waiting: 1, ..PoolConfig::default() };
    let pool = builder.pool(config, |_| deaf).unwrap();
    let since = Instant::now();
    assert!(within(&net, SHORT, pool.get()).await.is_none());
    assert!(since.elapsed() >= SHORT);
    let first = pool.get();
    let mut first = std::pin::pin!(first);
    assert!(within(&net, Duration::ZERO, first.as_mut()).await.is_none());
    let error = pool.get().await.unwrap_err();
    assert!(matches!(error, PoolError::Full), "{error}");
    pool.shutdown(Duration::ZERO).await;
}
