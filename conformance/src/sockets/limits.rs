//! Limits of what goes in and out. What is said of time is only what has to pass at least: that
//! holds however slow the machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outlast_core::Config;
use outlast_core::admission::Rate;
use outlast_service::net::Net;
use outlast_service::{
    Batch, Incoming, Limits, MemoryLimits, Outgoing, Peer, SendError, ServerEvent, TrafficLimits,
    WhenFull,
};

use super::tools::{Listening, Slow, a_client, a_server, deaf, dial, small, until, yield_now};

/// A server that counts the messages it hears.
async fn listening<N: Net>(
    net: &N,
    limits: Limits,
    outgoing: Outgoing,
    config: Config,
) -> (Listening<N>, Arc<AtomicU64>) {
    let heard = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&heard);
    let builder = a_server(net).limits(limits).outgoing(outgoing).config(config).socket(small());
    let factory = move |_: &_| {
        let counter = Arc::clone(&counter);
        move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    (Listening::start(net, builder, factory).await, heard)
}

/// How long it takes to send a hundred kilobytes in a hundred messages, through a window of sixteen
/// of them.
async fn a_hundred(net: &impl Net, traffic: TrafficLimits) -> Duration {
    let limits = Limits { traffic, ..Limits::one_source() };
    let config = Config { window: 16_387, ..Config::SERVER };
    let (server, heard) = listening(net, limits, Outgoing::default(), config).await;
    let handle = dial(net, a_client(net, server.local_addr()), deaf);
    let since = Instant::now();
    for _ in 0..100 {
        handle.send(1u8, &[7; 1_000]).await.unwrap();
    }
    handle.flushed().await.unwrap();
    assert_eq!(heard.load(Ordering::Relaxed), 100);
    assert!(server.handle().stats().throttled > 0);
    since.elapsed()
}

/// A window at once, which is sixteen messages, then fifty a second.
pub async fn messages_come_no_faster_than_they_may<N: Net>(net: N) {
    let messages = Rate::per_second(50, 1);
    let took = a_hundred(&net, TrafficLimits { messages, ..TrafficLimits::UNLIMITED }).await;
    assert!(took > Duration::from_millis(1_500), "{took:?}");
}

/// So for bytes, and for what all connections of a source say together.
pub async fn bytes_come_no_faster_than_they_may<N: Net>(net: N) {
    let unlimited = TrafficLimits::UNLIMITED;
    let bytes = Rate::per_second(50_000, 1_000);
    let limited = TrafficLimits { bytes, ..unlimited };
    let took = a_hundred(&net, limited).await;
    assert!(took > Duration::from_millis(1_500), "{took:?}");
    let limited = TrafficLimits { source_bytes: bytes, ..unlimited };
    let took = a_hundred(&net, limited).await;
    assert!(took > Duration::from_millis(1_500), "{took:?}");
}

/// Sessions together hold no more than they may: nobody new is let in, and nobody is cut.
pub async fn memory_is_limited_and_who_is_there_stays<N: Net>(net: N) {
    let mut limits = Limits::one_source();
    limits.memory = MemoryLimits { low: 64 << 10, high: 128 << 10 };
    let (server, _) = listening(&net, limits, Outgoing::default(), Config::SERVER).await;
    let mut slow = Slow::new(&net, &server).await;
    let (session, overview) = (slow.handle.id().unwrap(), server.handle());
    let mut sent = 0;
    while overview.stats().times_full == 0 {
        match overview.send_to(session, 1u8, &[7; 1_000]) {
            Ok(()) => sent += 1,
            Err(error) => assert!(matches!(error, SendError::Full), "{error}"),
        }
        yield_now().await;
    }
    assert!(sent < 1_000, "{sent}: its own queues would have taken more than a megabyte");
    assert!(overview.stats().memory <= 256 << 10);
    let other = dial(&net, a_client(&net, server.local_addr()), deaf);
    until(|| overview.stats().failed_handshakes > 0).await;
    assert!(other.id().is_none(), "nobody new is let in");
    let heard = Arc::clone(&slow.heard);
    slow.until(|| heard.lock().unwrap().0 == sent && other.id().is_some()).await;
    assert_eq!(overview.stats().resumed, 0, "nobody was cut");
}

/// A queue that is full: what is sent is refused or dropped, or the session is over.
pub async fn who_is_too_slow_is_refused_or_let_go<N: Net>(net: N) {
    for when_full in [WhenFull::Refuse, WhenFull::DropNewest, WhenFull::Disconnect] {
        let outgoing = Outgoing { queue: 16_387, when_full, ..Outgoing::default() };
        let config = Config { send_buffer: 64 << 10, ..Config::SERVER };
        let (server, _) = listening(&net, Limits::one_source(), outgoing, config).await;
        let mut slow = Slow::new(&net, &server).await;
        let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
        let (mut taken, mut last) = (0, Ok(()));
        while session.turned_down() == 0 {
            last = session.try_send(1u8, &[7; 1_000]);
            taken += u64::from(last.is_ok());
            yield_now().await;
        }
        assert_eq!(last.is_ok(), when_full == WhenFull::DropNewest, "{last:?}");
        if when_full == WhenFull::Disconnect {
            session.closed().await;
            until(|| server.handle().stats().sessions == 0).await;
        } else {
            let dropped = session.turned_down() * u64::from(last.is_ok());
            let heard = Arc::clone(&slow.heard);
            slow.until(|| heard.lock().unwrap().0 == taken - dropped).await;
        }
    }
}

/// The deadline of a write ends the connection, and the session goes on with the next.
pub async fn a_connection_that_takes_nothing_is_given_up_and_its_session_is_not<N: Net>(net: N) {
    let outgoing = Outgoing { write_timeout: Duration::from_secs(1), ..Outgoing::default() };
    let (server, _) = listening(&net, Limits::one_source(), outgoing, Config::SERVER).await;
    let mut events = server.handle().events(100);
    let mut slow = Slow::new(&net, &server).await;
    let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
    let since = Instant::now();
    for _ in 0..500 {
        session.send(1u8, &[7; 1_000]).await.unwrap();
    }
    while !matches!(events.next().await, Some(Ok(ServerEvent::Detached { .. }))) {}
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
    let heard = Arc::clone(&slow.heard);
    slow.until(|| heard.lock().unwrap().0 == 500).await;
    assert!(server.handle().stats().resumed > 0);
}

/// A batch goes when it is big enough, or when its delay is over.
pub async fn a_small_message_waits_for_others<N: Net>(net: N) {
    let delay = Duration::from_millis(100);
    let batch = Some(Batch { bytes: 10_000, messages: 100, delay });
    let outgoing = Outgoing { batch, ..Outgoing::default() };
    let (server, _) = listening(&net, Limits::one_source(), outgoing, Config::SERVER).await;
    let mut slow = Slow::new(&net, &server).await;
    let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
    let heard = Arc::clone(&slow.heard);
    let since = Instant::now();
    for number in 1..=20 {
        session.try_send(1u8, b"alone").unwrap();
        slow.until(|| heard.lock().unwrap().0 == number).await;
    }
    // What the protocol has to say takes along what waits, so that some may come sooner.
    assert!(since.elapsed() >= 10 * delay, "{:?}", since.elapsed());
    for _ in 0..100 {
        session.try_send(1u8, b"in company").unwrap();
    }
    slow.until(|| heard.lock().unwrap().0 == 120).await;
}

/// Conflation: of values that are sent faster than they are read, the last arrives.
pub async fn a_slow_reader_gets_the_newest_value<N: Net>(net: N) {
    let limits = Limits::one_source();
    let (server, _) = listening(&net, limits, Outgoing::default(), Config::SERVER).await;
    let mut slow = Slow::new(&net, &server).await;
    let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
    for number in 0..2_000u64 {
        let mut payload = vec![7; 1_000];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        session.send_latest(9u8, &payload).unwrap();
        yield_now().await;
    }
    let heard = Arc::clone(&slow.heard);
    slow.until(|| heard.lock().unwrap().1.starts_with(&1_999u64.to_le_bytes())).await;
    let count = heard.lock().unwrap().0;
    assert!(count < 1_000, "{count}: what the kernel's buffers take, and the last");
}
