//! Limits of what goes in and out, over real sockets. What is said of time is only what has to pass
//! at least: that holds however slow the machine is.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use outlast_core::admission::Rate;
use outlast_tokio::{
    Batch, Client, Config, Handle, Incoming, Limits, MemoryLimits, Outgoing, Peer, Runner, Running,
    SendError, Server, ServerEvent, SocketOptions, TrafficLimits, WhenFull,
};

/// Buffers of the kernel that are soon full.
fn small() -> SocketOptions {
    let size = Some(8 << 10);
    SocketOptions { send_buffer: size, receive_buffer: size, ..SocketOptions::default() }
}

/// A server that counts the messages it hears.
async fn listening(
    limits: Limits,
    outgoing: Outgoing,
    config: Config,
) -> (Running, Arc<AtomicU64>) {
    let heard = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&heard);
    let server = Server::builder().limits(limits).outgoing(outgoing).config(config);
    let server = server.socket(small()).bind("127.0.0.1:0").await.unwrap();
    let running = server.start(move |_| {
        let counter = Arc::clone(&counter);
        move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    (running.unwrap(), heard)
}

/// What a client has heard: how many messages, and the last one.
type Heard = Arc<Mutex<(u64, Vec<u8>)>>;

/// A client that reads only while its runner is polled.
struct Slow {
    handle: Handle,
    runner: Pin<Box<Runner>>,
    heard: Heard,
}

impl Slow {
    async fn new(server: &Running) -> Self {
        let heard = Heard::default();
        let notes = Arc::clone(&heard);
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { payload, .. } = event {
                let mut heard = notes.lock().unwrap();
                *heard = (heard.0 + 1, payload.to_vec());
            }
        };
        let client = Client::builder().address(server.local_addr().to_string()).socket(small());
        let (handle, runner) = client.connect(handler).unwrap();
        let mut slow = Self { handle, runner: Box::pin(runner), heard };
        let server = server.handle();
        let handle = slow.handle.clone();
        slow.until(move || handle.id().is_some_and(|id| server.get(id).is_some())).await;
        slow
    }

    /// Reads until that is so.
    async fn until(&mut self, mut is_so: impl FnMut() -> bool) {
        poll_fn(|cx| {
            let over = self.runner.as_mut().poll(cx);
            assert!(over.is_pending(), "the client is over: {over:?}");
            if is_so() {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

#[tokio::test]
async fn messages_come_no_faster_than_they_may() {
    let mut limits = Limits::one_source();
    limits.traffic =
        TrafficLimits { messages: Rate::per_second(50, 1), ..TrafficLimits::UNLIMITED };
    let config = Config { window: 16_387, ..Config::SERVER };
    let (server, heard) = listening(limits, Outgoing::default(), config).await;
    let client = Client::builder().address(server.local_addr().to_string());
    let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    tokio::spawn(runner);
    let since = Instant::now();
    for _ in 0..100 {
        handle.send(1u8, &[7; 1_000]).await.unwrap();
    }
    handle.flushed().await.unwrap();
    // A window at once, which is sixteen messages, then fifty a second.
    assert!(since.elapsed() > Duration::from_millis(1_500), "{:?}", since.elapsed());
    assert_eq!(heard.load(Ordering::Relaxed), 100);
    assert!(server.handle().stats().throttled > 0);
}

#[tokio::test]
async fn memory_is_limited_and_who_is_there_stays() {
    let mut limits = Limits::one_source();
    limits.memory = MemoryLimits { low: 64 << 10, high: 128 << 10 };
    let (server, _) = listening(limits, Outgoing::default(), Config::SERVER).await;
    let mut slow = Slow::new(&server).await;
    let (session, overview) = (slow.handle.id().unwrap(), server.handle());
    let mut sent = 0;
    while overview.stats().times_full == 0 {
        match overview.send_to(session, 1u8, &[7; 1_000]) {
            Ok(()) => sent += 1,
            Err(error) => assert!(matches!(error, SendError::Full), "{error}"),
        }
        tokio::task::yield_now().await;
    }
    assert!(sent < 1_000, "{sent}: its own queues would have taken more than a megabyte");
    assert!(overview.stats().memory <= 256 << 10);
    let other = Client::builder().address(server.local_addr().to_string());
    let (other, runner) = other.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    tokio::spawn(runner);
    while overview.stats().failed_handshakes == 0 {
        tokio::task::yield_now().await;
    }
    assert!(other.id().is_none(), "nobody new is let in");
    let heard = Arc::clone(&slow.heard);
    slow.until(|| heard.lock().unwrap().0 == sent && other.id().is_some()).await;
    assert_eq!(overview.stats().resumed, 0, "nobody was cut");
}

#[tokio::test]
async fn who_is_too_slow_is_refused_or_let_go() {
    for when_full in [WhenFull::Refuse, WhenFull::DropNewest, WhenFull::Disconnect] {
        let outgoing = Outgoing { queue: 16_387, when_full, ..Outgoing::default() };
        let config = Config { send_buffer: 64 << 10, ..Config::SERVER };
        let (server, _) = listening(Limits::one_source(), outgoing, config).await;
        let mut slow = Slow::new(&server).await;
        let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
        let (mut taken, mut last) = (0, Ok(()));
        while session.turned_down() == 0 {
            last = session.try_send(1u8, &[7; 1_000]);
            taken += u64::from(last.is_ok());
            tokio::task::yield_now().await;
        }
        assert_eq!(last.is_ok(), when_full == WhenFull::DropNewest, "{last:?}");
        if when_full == WhenFull::Disconnect {
            session.closed().await;
            while server.handle().stats().sessions > 0 {
                tokio::task::yield_now().await;
            }
        } else {
            let dropped = session.turned_down() * u64::from(last.is_ok());
            let heard = Arc::clone(&slow.heard);
            slow.until(|| heard.lock().unwrap().0 == taken - dropped).await;
        }
    }
}

#[tokio::test]
async fn a_connection_that_takes_nothing_is_given_up_and_its_session_is_not() {
    let outgoing = Outgoing { write_timeout: Duration::from_secs(1), ..Outgoing::default() };
    let (server, _) = listening(Limits::one_source(), outgoing, Config::SERVER).await;
    let mut events = server.handle().events(100);
    let mut slow = Slow::new(&server).await;
    let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
    let since = Instant::now();
    for _ in 0..500 {
        session.try_send(1u8, &[7; 1_000]).unwrap();
        tokio::task::yield_now().await;
    }
    while !matches!(events.next().await, Some(Ok(ServerEvent::Detached { .. }))) {}
    assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
    let heard = Arc::clone(&slow.heard);
    slow.until(|| heard.lock().unwrap().0 == 500).await;
    assert!(server.handle().stats().resumed > 0);
}

#[tokio::test]
async fn a_small_message_waits_for_others() {
    let delay = Duration::from_millis(100);
    let batch = Some(Batch { bytes: 10_000, messages: 100, delay });
    let outgoing = Outgoing { batch, ..Outgoing::default() };
    let (server, _) = listening(Limits::one_source(), outgoing, Config::SERVER).await;
    let mut slow = Slow::new(&server).await;
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

#[tokio::test]
async fn a_slow_reader_gets_the_newest_value() {
    let (server, _) = listening(Limits::one_source(), Outgoing::default(), Config::SERVER).await;
    let mut slow = Slow::new(&server).await;
    let session = server.handle().get(slow.handle.id().unwrap()).unwrap();
    for number in 0..2_000u64 {
        let mut payload = vec![7; 1_000];
        payload[..8].copy_from_slice(&number.to_le_bytes());
        session.send_latest(9u8, &payload).unwrap();
        tokio::task::yield_now().await;
    }
    let heard = Arc::clone(&slow.heard);
    slow.until(|| heard.lock().unwrap().1.starts_with(&1_999u64.to_le_bytes())).await;
    let count = heard.lock().unwrap().0;
    assert!(count < 1_000, "{count}: what the kernel's buffers take, and the last");
}
