//! The same routes over sessions and over formats that have none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_core::Config;
use outlast_core::admission::Rate;
use outlast_core::client::Attempts;
use outlast_core::wire::Status;
use outlast_service::plain::formats::{Format, Key, Ltv, MsgTrans, Ndjson, Packet, Tlv};
use outlast_service::plain::{
    PlainClientConfig, PlainConfig, PlainError, PlainEvent, PlainHandle, PlainPeer, PlainRunner,
    PlainServer,
};
use outlast_service::router::{
    End, Hook, Link, QueueLimits, Router, Routes, Session, WhenFull, named, rate_limit,
};
use outlast_service::{Bytes, Limits, SendError};

use crate::executor::Sim;
use crate::routed::{play, stats};
use crate::world::{Net, Notes, for_seeds};

const SECOND: Duration = Duration::from_secs(1);

/// A listener of this format with these routes, and a client in front of it that notes what comes.
fn play_plain<H: Hook, X: Format + Clone + Sync, F, Fut>(
    seed: u64,
    format: X,
    routes: &Routes<H>,
    script: F,
) where
    F: FnOnce(Sim, PlainHandle, Notes) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sim, notes) = (Sim::new(seed), Notes::default());
    let config = PlainConfig::default();
    let (limits, factory) = (Limits::one_source(), routes.plain_factory());
    let server = PlainServer::new(sim.clone(), config, limits, format.clone(), factory);
    let server = server.unwrap();
    let net = Net::new(&sim, move |io| server.spawn_connection(io, None, None));
    let mut options = PlainClientConfig::default();
    options.dialer.attempts = Attempts::Once;
    let noted = notes.clone();
    let handler = move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
        if let PlainEvent::Packet(packet) = event {
            let payload = String::from_utf8_lossy(&packet.payload);
            noted.add(match &packet.key {
                Key::Id(id) => format!("{id} {payload}"),
                Key::Name(name) => format!("{name} {payload}"),
                Key::None => payload.into_owned(),
            });
        }
    };
    let made = PlainRunner::new(sim.clone(), options, net, format, handler);
    let (handle, runner) = made.unwrap();
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        assert!(handle.connected().await);
        script(world.clone(), handle.clone(), notes).await;
        handle.close();
        world.sleep(1_000_000).await;
    });
}

fn shout(bytes: Bytes) -> Vec<u8> {
    bytes.to_ascii_uppercase()
}

async fn slowly(bytes: Bytes, _: Link) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

/// What the application does, whatever its clients speak.
fn application(lives: &Notes) -> Routes {
    let (opened, closed) = (lives.clone(), lives.clone());
    Router::new()
        .route(1u8, shout)
        .route(2u8, slowly)
        .route(3u8, || Err::<(), _>((Status::DENIED, "not you")))
        .route(4u8, || ())
        .route(5u8, |Session(_): Session| "only in a session")
        .route(6u8, |bytes: Bytes| assert!(!bytes.is_empty(), "on purpose"))
        .route("chat_message", |bytes: Bytes, link: Link| async move {
            assert!(link.session().is_none() == link.plain().is_some());
            let _ = link.send(named("chat_message"), &bytes).await;
            r#"{"message_type": "thanks"}"#
        })
        .on_open(move |link| opened.add(format!("open {}", link.session().is_some())))
        .on_close(move |_, end| {
            let how = if matches!(end, End::Plain(_)) { "plain" } else { "session" };
            closed.add(format!("close {how}"));
        })
        .build()
        .unwrap()
}

#[test]
fn one_router_serves_sessions_zinx_and_lines_of_json() {
    let lives = Notes::default();
    let routes = application(&lives);
    play(1, Config::SERVER, &routes, |_, handle| async move {
        assert_eq!(handle.request(1u8, b"ping").await.unwrap().payload, "PING");
        assert_eq!(handle.request(2u8, b"abc").await.unwrap().payload, "cba");
        assert_eq!(handle.request(3u8, b"").await.unwrap().status, Status::DENIED);
        assert_eq!(handle.request(5u8, b"").await.unwrap().payload, "only in a session");
    });
    play_plain(1, Tlv::default(), &routes, |sim, handle, notes| async move {
        for (id, payload) in [(1, "ping"), (2, "abc"), (3, ""), (4, "no answer"), (5, ""), (6, "")]
        {
            handle.send(&Packet::one_way(id, payload.as_bytes())).await.unwrap();
        }
        handle.send(&Packet::one_way(77, b"nobody")).await.unwrap();
        handle.send(&Packet::one_way(1, b"still here")).await.unwrap();
        notes.wait(&sim, "1 STILL HERE").await;
        notes.wait(&sim, "2 cba").await;
        // zinx has no word for a failure.
        let mut all = notes.all();
        all.sort();
        assert_eq!(all, ["1 PING", "1 STILL HERE", "2 cba"]);
    });
    play_plain(1, Ndjson::default(), &routes, |sim, handle, notes| async move {
        let said = r#"{"message_type": "chat_message", "content": "hello"}"#;
        handle.send(&Packet::plain(said.as_bytes())).await.unwrap();
        notes.wait(&sim, "thanks").await;
        handle.send(&Packet::plain(br#"{"message_type": "what?"}"#)).await.unwrap();
        notes.wait(&sim, "error_message").await;
        let all = notes.all();
        assert_eq!(all[0], format!("chat_message {said}"), "sent before the answer");
        assert!(all[2].contains("1008"), "an unknown type: {all:?}");
    });
    let close = ["open true", "close session", "open false", "close plain", "open false"];
    assert_eq!(lives.all()[..5], close);
    assert_eq!(lives.count("close plain"), 2);
    let counted = routes.stats();
    assert_eq!((counted.no_route, counted.rejected, counted.panicked), (2, 1, 1), "{counted:?}");
}

#[test]
fn answers_find_their_requests_and_messages_have_none() {
    let lives = Notes::default();
    let routes = application(&lives);
    play_plain(2, MsgTrans::default(), &routes, |sim, handle, notes| async move {
        for number in 0..50u8 {
            let answer = handle.request(1, &[b'a' + number % 26], SECOND).await.unwrap();
            assert_eq!(answer.payload[..], [b'A' + number % 26]);
            let answer = handle.request(2, &[number, 7], SECOND).await.unwrap();
            assert_eq!(answer.payload[..], [7, number]);
        }
        assert_eq!(handle.request(4, b"", SECOND).await.unwrap().payload, "", "an empty answer");
        // msgtrans has no word for a failure: nothing is what a failure looks like.
        let begun = sim.micros();
        assert_eq!(handle.request(3, b"", SECOND).await, Err(PlainError::TimedOut));
        assert_eq!(sim.micros() - begun, 1_000_000);
        handle.send(&Packet::one_way(1, b"a message")).await.unwrap();
        sim.sleep(1_000_000).await;
        assert_eq!(notes.all(), [""; 0], "what is no request is not answered");
    });
}

/// Where handlers are slower than a peer, the peer waits, and nothing is lost or out of order.
#[test]
fn a_peer_that_cannot_be_told_to_wait_is_not_read_from() {
    for_seeds(6, |seed, _| {
        let limits = QueueLimits { count: 2, bytes: 64, when_full: WhenFull::Wait };
        let busy = Arc::new(AtomicUsize::new(0));
        let routes = Router::new().queue(limits).route(1u8, move |bytes: Bytes, link: Link| {
            let busy = Arc::clone(&busy);
            async move {
                assert_eq!(busy.fetch_add(1, Ordering::SeqCst), 0, "one after the other");
                link.send(9u8, &bytes).await.unwrap();
                busy.fetch_sub(1, Ordering::SeqCst);
            }
        });
        let routes = routes.build().unwrap();
        let count = 20_000u32;
        play_plain(seed, Ltv::default(), &routes, move |sim, handle, notes| async move {
            let sender = handle.clone();
            sim.aside(async move {
                for number in 0..count {
                    let text = number.to_string();
                    sender.send(&Packet::one_way(1, text.as_bytes())).await.unwrap();
                }
            });
            notes.wait(&sim, &format!("9 {}", count - 1)).await;
            let all = notes.all();
            assert!((0..count).all(|number| all[number as usize] == format!("9 {number}")));
        });
        assert_eq!(routes.stats(), stats(|it| it.handled = u64::from(count)));
    });
}

#[test]
fn too_much_is_dropped_or_costs_the_connection_where_that_is_wanted() {
    for (when_full, kept) in [(WhenFull::DropNewest, true), (WhenFull::Disconnect, false)] {
        let limits = QueueLimits { count: 2, bytes: 1 << 20, when_full };
        let routes = Router::new().queue(limits).route(1u8, |bytes: Bytes| async move {
            std::future::pending::<()>().await;
            bytes
        });
        let routes = routes.build().unwrap();
        play_plain(3, MsgTrans::default(), &routes, move |sim, handle, _| async move {
            for _ in 0..5 {
                let _ = handle.try_send(&Packet::one_way(1, b""));
            }
            sim.sleep(1_000_000).await;
            assert_eq!(handle.is_connected(), kept);
        });
        assert!(routes.stats().dropped >= 3, "{:?}", routes.stats());
    }
}

#[test]
fn hooks_deadlines_and_properties_hold_for_connections_as_well() {
    let routes = Router::new()
        .hook(rate_limit(Rate::new(1, 1_000_000, 2)))
        .deadline(Duration::from_millis(500))
        .route(1u8, |link: Link| {
            let count = link.get::<u32>().unwrap_or(0) + 1;
            link.set(count);
            count.to_string()
        })
        .route(2u8, || async { std::future::pending::<()>().await })
        .route(3u8, |link: Link| {
            assert!(link.id().is_some() && link.is_connected() && link.remote().is_none());
            let no = link.try_send(70_000u32, &[0; 20 << 20]).unwrap_err();
            assert!(matches!(no, SendError::Plain(_)) && !no.is_retryable(), "{no}");
            link.end(outlast_core::CloseCode::CALM);
        })
        .build()
        .unwrap();
    play_plain(4, MsgTrans::default(), &routes, |sim, handle, _| async move {
        let ask = |id| handle.request(id, b"", SECOND);
        assert_eq!(ask(1).await.unwrap().payload, "1");
        assert_eq!(ask(1).await.unwrap().payload, "2");
        assert_eq!(ask(1).await, Err(PlainError::TimedOut), "beyond the rate");
        sim.sleep(10_000_000).await;
        assert_eq!(ask(1).await.unwrap().payload, "3");
        assert_eq!(ask(2).await, Err(PlainError::TimedOut));
        sim.sleep(10_000_000).await;
        assert_eq!(ask(3).await.unwrap().payload, "", "its answer is the last");
        assert!(handle.closed().await.is_some());
    });
    let counted = routes.stats();
    assert_eq!((counted.stopped, counted.late), (1, 1), "{counted:?}");
}
