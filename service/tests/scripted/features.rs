//! What users of other systems look for and no other test here is about: see `docs/features.md`.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use outlast_core::client::{Attempts, DialerConfig};
use outlast_core::{CloseCode, Config};
use outlast_service::plain::formats::Tlv;
use outlast_service::plain::{
    PlainClientConfig, PlainConfig, PlainError, PlainEvent, PlainPeer, PlainRunner,
};
use outlast_service::{
    Connector, Dialed, Incoming, Peer, RequestError, SendError, SessionInfo, Why,
};

use crate::executor::Sim;
use crate::link::Io;
use crate::plain::{echo, listen, serve as serve_plain, until_connected};
use crate::world::{Notes, client, deaf, eager, serve};

const SECOND: u64 = 1_000_000;

/// Switched off, heartbeats keep nothing alive: the limit on silence is what is left.
#[test]
fn without_signs_of_life_a_quiet_connection_ends() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (_server, net) = serve_plain(&sim, PlainConfig::default(), Tlv::default(), echo(&notes));
    let connection = PlainConfig { heartbeat: std::time::Duration::ZERO, ..Default::default() };
    let config = PlainClientConfig { connection, ..PlainClientConfig::default() };
    let made = PlainRunner::new(sim.clone(), config, net, Tlv::default(), listen(&notes));
    let (handle, runner) = made.unwrap();
    sim.aside(runner);
    let world = sim.clone();
    sim.run(async move {
        until_connected(&world, &handle).await;
        let since = world.micros();
        notes.wait(&world, "closed Silence").await;
        assert!((60 * SECOND..61 * SECOND).contains(&(world.micros() - since)));
    });
}

/// Without a limit on silence at either end nobody beats, and nobody is given up.
#[test]
fn sessions_without_a_limit_on_silence_are_silent() {
    let quiet = Config { idle_timeout_ms: 0, ..Config::SERVER };
    for (idle_timeout_ms, beats) in [(0, false), (30_000, true)] {
        let sim = Sim::new(1);
        let (_server, net) = serve(&sim, quiet, |_: &SessionInfo| deaf);
        let mut options = eager(1);
        options.session = Some(Config { idle_timeout_ms, ..Config::CLIENT });
        let (handle, runner) = client(&sim, &net, options, deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
            world.sleep(SECOND).await;
            let carried = || net.last().up().log.len() + net.last().down().log.len();
            let before = carried();
            world.sleep(3_600 * SECOND).await;
            assert!(handle.is_connected());
            assert_eq!(carried() > before, beats, "{idle_timeout_ms}");
            assert_eq!(net.state().dialled, 1);
        });
    }
}

/// Dials and never gets through.
struct Nowhere;

impl Connector for Nowhere {
    type Io = Io;

    async fn connect(&mut self, _: usize) -> io::Result<Dialed<Io>> {
        pending().await
    }
}

#[test]
fn an_attempt_has_its_limit_without_sessions_too() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let told = notes.clone();
    let dialer = DialerConfig {
        connect_limit: 3 * SECOND,
        attempts: Attempts::Once,
        ..DialerConfig::default()
    };
    let config = PlainClientConfig { dialer, ..PlainClientConfig::default() };
    let handler = move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
        if let PlainEvent::DialFailed { error, retry_in: None, .. } = event {
            told.add(format!("{:?}", error.kind()));
        }
    };
    let made = PlainRunner::new(sim.clone(), config, Nowhere, Tlv::default(), handler);
    let (handle, runner) = made.unwrap();
    sim.aside(runner);
    let world = sim.clone();
    sim.run(async move {
        notes.wait(&world, "TimedOut").await;
        assert!((3 * SECOND..3 * SECOND + 1_000).contains(&world.micros()), "{}", world.micros());
        assert!(!handle.is_connected());
    });
}

#[test]
fn who_sends_to_many_leaves_out_whom_it_wants_to() {
    let sim = Sim::new(1);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
    let heard = Notes::default();
    let mut runners = Vec::new();
    for number in 0..4_u64 {
        let told = heard.clone();
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { payload, .. } = event {
                told.add(format!("{number} {}", String::from_utf8_lossy(payload)));
            }
        };
        runners.push(client(&sim, &net, eager(number + 1), handler));
    }
    let world = sim.clone();
    sim.run(async move {
        let mut ids = Vec::new();
        for (handle, runner) in runners {
            world.aside(runner);
            handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
            ids.push(handle.id().unwrap());
        }
        let server = server.handle();
        assert_eq!(server.broadcast(1u8, b"all").sent, 4);
        let others = ids.iter().copied().filter(|id| *id != ids[0]);
        let report = server.send_to_many(others, 1u8, b"others");
        assert_eq!((report.sent, report.failed.len()), (3, 0));
        world.sleep(SECOND).await;
        assert!(server.end(ids[3], CloseCode::GOING_AWAY));
        world.sleep(SECOND).await;
        let report = server.send_to_many(ids.iter().copied(), 1u8, b"last");
        assert_eq!(report.sent, 3, "one failure keeps nothing from the others");
        assert!(matches!(report.failed[..], [(id, _)] if id == ids[3]), "{report:?}");
        world.sleep(SECOND).await;
        let count = |note: &str| heard.all().iter().filter(|it| it.ends_with(note)).count();
        assert_eq!((count(" all"), count(" others"), count(" last")), (4, 3, 3));
        assert_eq!(heard.count("0 others"), 0);
    });
}

/// Errors are values of a few kinds, and say by themselves whether to try again.
#[test]
fn errors_say_whether_trying_again_makes_sense() {
    let sim = Sim::new(1);
    let (_server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    let closed = sim.run(async move {
        world.aside(runner);
        handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
        handle.end(CloseCode::GOING_AWAY);
        let closed = handle.closed().await;
        assert_eq!(handle.try_send(1u8, b"late"), Err(SendError::Closed(closed.clone())));
        closed
    });
    assert_eq!(closed.why, Why::Stopped);
    let over = SendError::Closed(closed.clone());
    for (error, again) in [
        (SendError::Full, true),
        (SendError::NotOpen, true),
        (SendError::TimedOut, true),
        (SendError::TooLarge { limit: 7 }, false),
        (SendError::NoSuchSession(7), false),
        (over.clone(), false),
    ] {
        assert_eq!(error.is_retryable(), again, "{error}");
    }
    assert!(RequestError::NotSent(SendError::Full).is_safe_to_repeat());
    assert!(!RequestError::OutcomeUnknown(closed).is_safe_to_repeat());
    assert!(!RequestError::TimedOut.is_safe_to_repeat());
    assert!(
        PlainError::NotConnected.is_retryable() && !PlainError::NoSuchConnection(1).is_retryable()
    );
    assert!(over.to_string().contains("ended here"), "{over}");
}

struct Idle;

impl Wake for Idle {
    fn wake(self: Arc<Self>) {}
}

/// Each of these has a task of its own, and nothing changes for long.
#[test]
fn who_no_longer_waits_for_a_connection_leaves_nothing_behind() {
    let sim = Sim::new(1);
    let (config, handler) = (PlainClientConfig::default(), listen(&Notes::default()));
    let made = PlainRunner::new(sim.clone(), config, Nowhere, Tlv::default(), handler);
    let (handle, runner) = made.unwrap();
    sim.aside(runner);
    let world = sim.clone();
    sim.run(async move {
        world.sleep(100).await;
        let tasks: Vec<Arc<Idle>> = (0..1_000).map(|_| Arc::new(Idle)).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            let mut waiting = Box::pin(handle.connected());
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let held = tasks.iter().filter(|task| Arc::strong_count(task) > 1).count();
        assert_eq!(held, 0, "tasks that are kept for wakers that nobody wants called");
        handle.close();
        assert!(!handle.connected().await);
    });
}
