//! What becomes of what is too much, behind the connections: queues of handlers, readers of events,
//! and sessions that nobody comes back to.

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outlast_core::wire::Status;
use outlast_core::{CloseCode, Config};
use outlast_service::net::Net;
use outlast_service::router::{QueueLimits, Router, WhenFull};
use outlast_service::{Lagged, Limits, Token};

use super::tools::{Listening, Slow, a_client, a_server, deaf, dial, until, visit};

/// The handlers of a session have so many requests at once, each until its deadline, and what comes
/// beyond is refused.
pub async fn requests_end_at_their_deadline_and_too_many_are_refused<N: Net>(net: N) {
    let queue = |count, deadline| {
        let when_full = WhenFull::DropNewest;
        let limits = QueueLimits { count, when_full, ..QueueLimits::default() };
        let routes = Router::new().queue(limits).deadline(deadline).route(1u8, pending::<()>);
        routes.build().unwrap()
    };
    // A deadline that never comes, so that it is no matter how long the third one is under way.
    let routes = queue(2, Duration::from_secs(3_600));
    let server = Listening::start(&net, a_server(&net), routes.factory()).await;
    let handle = dial(&net, a_client(&net, server.local_addr()), deaf);
    let answers = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..3 {
        let (handle, answers) = (handle.clone(), Arc::clone(&answers));
        net.spawn(async move {
            let response = handle.request(1u8, b"").await;
            answers.lock().unwrap().extend(response.map(|response| response.status));
        });
    }
    until(|| !answers.lock().unwrap().is_empty()).await;
    assert_eq!(*answers.lock().unwrap(), [Status::OVERLOADED]);
    until(|| (routes.stats().late, routes.stats().overloaded) == (0, 1)).await;
    handle.end(CloseCode::GOING_AWAY);
    // One at a time: whoever comes next finds the place free.
    let deadline = Duration::from_millis(300);
    let routes = queue(1, deadline);
    let server = Listening::start(&net, a_server(&net), routes.factory()).await;
    let handle = dial(&net, a_client(&net, server.local_addr()), deaf);
    for late in 1..=3 {
        let since = Instant::now();
        assert_eq!(handle.request(1u8, b"").await.unwrap().status, Status::DEADLINE);
        assert!(since.elapsed() >= deadline, "{:?}", since.elapsed());
        until(|| (routes.stats().late, routes.stats().overloaded) == (late, 0)).await;
    }
}

/// A session whose client does not come back is kept as long as it was told, and has its place so
/// long.
pub async fn a_session_that_nobody_resumes_has_its_place_until_its_time_is_over<N: Net>(net: N) {
    let mut limits = Limits::one_source();
    limits.sessions.max_ttl_s = 2;
    limits.sessions.max_per_owner = 1;
    let builder = a_server(&net).limits(limits).config(Config { retention_s: 2, ..Config::SERVER });
    let server = Listening::finishing(&net, builder).await;
    let (at, overview) = (server.local_addr(), server.handle());
    let mut slow = Slow::new(&net, &server).await;
    let receipt = slow.handle.clone();
    let receipt = receipt.send_receipted(1u8, b"in").await.unwrap();
    let taken = Arc::new(AtomicBool::new(false));
    let done = Arc::clone(&taken);
    net.spawn(async move {
        receipt.await.unwrap();
        done.store(true, Ordering::Relaxed);
    });
    slow.until(|| taken.load(Ordering::Relaxed)).await;
    let since = Instant::now();
    // The connection ends without a word.
    drop(slow);
    until(|| overview.stats().connections == 0).await;
    // Whoever looks too late has not seen it go too early.
    let keeps_its_place = visit(&net, at, None::<Token>).await.code == CloseCode::BUSY;
    let kept = Duration::from_secs(2);
    assert!(keeps_its_place || since.elapsed() >= kept, "it may come back");
    until(|| overview.stats().sessions == 0).await;
    assert!(since.elapsed() >= kept, "{:?}", since.elapsed());
}

/// Whoever reads too slowly of what happens loses the oldest, and is told how much.
pub async fn who_reads_events_too_slowly_is_told_how_many_are_lost<N: Net>(net: N) {
    let server = Listening::finishing(&net, a_server(&net)).await;
    let (at, overview) = (server.local_addr(), server.handle());
    let mut events = overview.events(3);
    for _ in 0..4 {
        assert!(visit(&net, at, None::<Token>).await.complete);
    }
    // Each session is opened and closed; only when they are gone nothing more happens.
    until(|| server.handle().stats().sessions == 0).await;
    let Some(Err(Lagged(mut told))) = events.next().await else {
        panic!("three events are kept, and nobody has read any");
    };
    assert!((1..=5).contains(&told), "{told} of eight are lost");
    while told < 8 {
        // What is told of the last one may come behind its place, and push out another one.
        told += match events.next().await {
            Some(Ok(_)) => 1,
            Some(Err(Lagged(more))) => more,
            None => panic!("{told} of eight are told"),
        };
    }
    assert_eq!(told, 8);
}
