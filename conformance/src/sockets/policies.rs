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
    let deadline = Duration::from_secs(2);
    let limits =
        QueueLimits { count: 2, when_full: WhenFull::DropNewest, ..QueueLimits::default() };
    let routes = Router::new().queue(limits).deadline(deadline).route(1u8, pending::<()>);
    let routes = routes.build().unwrap();
    let server = Listening::start(&net, a_server(&net), routes.factory()).await;
    let handle = dial(&net, a_client(&net, server.local_addr()), deaf);
    handle.send_receipted(2u8, b"in").await.unwrap().await.unwrap();
    let (since, answers) = (Instant::now(), Arc::new(Mutex::new(Vec::new())));
    for _ in 0..3 {
        let (handle, answers) = (handle.clone(), Arc::clone(&answers));
        net.spawn(async move {
            let response = handle.request(1u8, b"").await.unwrap();
            answers.lock().unwrap().push(response.status);
        });
    }
    until(|| answers.lock().unwrap().len() == 3).await;
    assert!(since.elapsed() >= deadline, "{:?}", since.elapsed());
    let expected = [Status::OVERLOADED, Status::DEADLINE, Status::DEADLINE];
    assert_eq!(*answers.lock().unwrap(), expected);
    until(|| (routes.stats().late, routes.stats().overloaded) == (2, 1)).await;
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
    assert_eq!(overview.stats().sessions, 1, "it may come back");
    assert_eq!(visit(&net, at, None::<Token>).await.code, CloseCode::BUSY);
    until(|| overview.stats().sessions == 0).await;
    assert!(since.elapsed() >= Duration::from_secs(2), "{:?}", since.elapsed());
}

/// Whoever reads too slowly of what happens loses the oldest, and is told how much.
pub async fn who_reads_events_too_slowly_is_told_how_many_are_lost<N: Net>(net: N) {
    let server = Listening::finishing(&net, a_server(&net)).await;
    let (at, overview) = (server.local_addr(), server.handle());
    let mut events = overview.events(3);
    for _ in 0..4 {
        assert!(visit(&net, at, None::<Token>).await.complete);
    }
    // Each session is opened and closed.
    let Some(Err(Lagged(mut told))) = events.next().await else {
        panic!("three events are kept, and nobody has read any");
    };
    assert!((1..=5).contains(&told), "{told} of eight are lost");
    while told < 8 {
        assert!(matches!(events.next().await, Some(Ok(_))));
        told += 1;
    }
}
