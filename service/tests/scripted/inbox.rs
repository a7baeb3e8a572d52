//! Receiving instead of being called: nothing lost, nothing unbounded, nothing acknowledged early.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_core::wire::Status;
use outlast_core::{CloseCode, Config};
use outlast_service::inbox::{Inbox, InboxConfig, Received, Receiver, RecvError, WhenFull};
use outlast_service::plain::formats::{Key, MsgTrans, Packet};
use outlast_service::plain::{
    PlainConfig, PlainError, PlainEvent, PlainHandle, PlainInbox, PlainPeer, PlainReceiver,
    PlainRunner, PlainServer,
};
use outlast_service::{Handle, Limits, SendError, Why};

use crate::executor::Sim;
use crate::world::{Net, client, deaf, eager, for_seeds, serve};

const SECOND: Duration = Duration::from_secs(1);

fn room(messages: usize, when_full: WhenFull) -> InboxConfig {
    InboxConfig { messages, bytes: 1 << 20, when_full }
}

/// A server whose one session is received from, and a client in front of it.
fn play<F, Fut>(seed: u64, config: Config, inbox: InboxConfig, script: F)
where
    F: FnOnce(Sim, Handle, Receiver) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let sim = Sim::new(seed);
    let (inbox, receiver) = Inbox::new(&sim, inbox);
    let inbox = Mutex::new(Some(inbox));
    let (_server, net) = serve(&sim, config, move |_| inbox.lock().unwrap().take().unwrap());
    let mut options = eager(seed);
    options.dialer.on_lost = outlast_core::client::OnLost::Stop;
    let (handle, runner) = client(&sim, &net, options, deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        script(world.clone(), handle, receiver).await;
    });
}

fn number(received: &Received) -> u32 {
    u32::from_le_bytes(*received.payload().first_chunk().unwrap())
}

#[test]
fn what_is_not_received_is_not_acknowledged_and_stops_the_peer() {
    const WINDOW: u32 = 20 << 10;
    let small = Config { window: WINDOW, window_max: WINDOW, ..Config::SERVER };
    play(1, small, room(1, WhenFull::Wait), |sim, handle, mut receiver| async move {
        let open = Arc::new(Mutex::new(0));
        let (sender, counted) = (handle.clone(), Arc::clone(&open));
        let world = sim.clone();
        sim.aside(async move {
            for number in 0..200u32 {
                let mut payload = vec![0; 1 << 10];
                payload[..4].copy_from_slice(&number.to_le_bytes());
                let receipt = sender.send_receipted(1u8, &payload).await.unwrap();
                let counted = Arc::clone(&counted);
                world.aside(async move {
                    receipt.await.unwrap();
                    *counted.lock().unwrap() += 1;
                });
            }
        });
        sim.sleep(5_000_000).await;
        let (messages, bytes) = receiver.waiting();
        assert!(messages > 8 && bytes <= WINDOW as usize, "{messages} messages, {bytes} bytes");
        assert_eq!(*open.lock().unwrap(), 0, "nothing was received");
        for expected in 0..200u32 {
            assert_eq!(number(&receiver.recv().await.unwrap()), expected);
            assert!(receiver.waiting().1 <= WINDOW as usize);
            let told = *open.lock().unwrap();
            assert!(told <= expected + 1, "{told} receipts, {expected} received");
        }
        handle.flushed().await.unwrap();
        sim.sleep(1_000).await;
        assert_eq!((*open.lock().unwrap(), receiver.dropped()), (200, 0));
        handle.finish();
        assert!(receiver.recv().await.is_none(), "the peer has finished");
        receiver.handle().unwrap().finish();
        assert!(handle.closed().await.complete);
    });
}

#[test]
fn messages_are_received_once_and_in_order_over_breaking_connections() {
    for_seeds(30, |seed, mut rng| {
        let when_full = if seed % 2 == 0 { WhenFull::Wait } else { WhenFull::End };
        play(
            seed,
            Config::SERVER,
            room(1_000, when_full),
            move |sim, handle, mut receiver| async move {
                let (sender, world) = (handle.clone(), sim.clone());
                let pauses: Vec<u64> = (0..100).map(|_| rng.range(0, 3_000)).collect();
                let cuts: Vec<bool> = (0..100).map(|_| rng.chance(15)).collect();
                sim.aside(async move {
                    for number in 0..500u32 {
                        sender.send(1u8, &number.to_le_bytes()).await.unwrap();
                        if cuts[number as usize % 100] {
                            sender.disconnect(CloseCode::GOING_AWAY);
                            world.sleep(100).await;
                        }
                    }
                    sender.finish();
                });
                for expected in 0..500u32 {
                    let received = receiver.recv().await.unwrap();
                    assert_eq!(number(&received), expected, "seed {seed}");
                    if expected % 5 == 0 {
                        sim.sleep(pauses[expected as usize / 5]).await;
                    }
                }
                assert!(receiver.recv().await.is_none());
            },
        );
    });
}

#[test]
fn the_newest_is_dropped_and_the_peer_does_not_wait() {
    play(1, Config::SERVER, room(10, WhenFull::DropNewest), |_, handle, mut receiver| async move {
        for number in 0..100u32 {
            handle.send(1u8, &number.to_le_bytes()).await.unwrap();
        }
        handle.flushed().await.unwrap();
        assert_eq!((receiver.waiting(), receiver.dropped()), ((10, 40), 90));
        for expected in 0..10u32 {
            assert_eq!(number(&receiver.try_recv().unwrap()), expected);
        }
        assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Empty);
        handle.send(1u8, &[0; 2 << 20]).await.unwrap_err();
    });
    let bytes = InboxConfig { messages: 100, bytes: 50, when_full: WhenFull::DropNewest };
    play(1, Config::SERVER, bytes, |_, handle, receiver| async move {
        for number in 0..100u32 {
            handle.send(1u8, &number.to_le_bytes()).await.unwrap();
        }
        handle.flushed().await.unwrap();
        assert_eq!((receiver.waiting(), receiver.dropped()), ((12, 48), 88));
    });
}

#[test]
fn a_session_ends_that_floods_one_who_wants_it_so() {
    play(1, Config::SERVER, room(10, WhenFull::End), |_, handle, mut receiver| async move {
        for number in 0..100u32 {
            if let Err(error) = handle.send(1u8, &number.to_le_bytes()).await {
                assert!(matches!(error, SendError::Closed(_)), "{error}");
            }
        }
        let closed = handle.closed().await;
        assert!(matches!(closed.why, Why::Lost) && closed.code == CloseCode::CALM, "{closed}");
        for expected in 0..10u32 {
            assert_eq!(number(&receiver.recv().await.unwrap()), expected, "what came is there");
        }
        assert!(receiver.recv().await.is_none());
    });
}

#[test]
fn waiting_ends_at_its_limit_and_requests_have_their_answers() {
    play(1, Config::SERVER, room(2, WhenFull::Wait), |sim, handle, mut receiver| async move {
        let begun = sim.micros();
        assert_eq!(receiver.recv_timeout(SECOND).await.unwrap_err(), RecvError::Empty);
        assert_eq!(sim.micros() - begun, 1_000_000);
        let (asking, world) = (handle.clone(), sim.clone());
        sim.aside(async move {
            let asked = asking.request(7u8, b"why?").await.unwrap();
            assert_eq!((asked.status, &asked.payload[..]), (Status::OK, &b"because"[..]));
            world.sleep(1).await;
            asking.send(9u8, b"done").await.unwrap();
        });
        match receiver.recv_timeout(SECOND).await.unwrap() {
            Received::Request { route, payload, responder } => {
                assert_eq!((route.get(), &payload[..]), (7, &b"why?"[..]));
                responder.reply(b"because").await.unwrap();
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(receiver.recv().await.unwrap().route().get(), 9);
        // There is room for two requests, and the third is told so; those dropped are as well.
        let mut asked = Vec::new();
        for number in 0..3u8 {
            let (asking, answer) = (handle.clone(), Arc::new(Mutex::new(None)));
            asked.push(Arc::clone(&answer));
            sim.aside(async move {
                let status = asking.request(7u8, &[number]).await.unwrap().status;
                *answer.lock().unwrap() = Some(status);
            });
            sim.sleep(100_000).await;
        }
        assert_eq!((receiver.waiting().0, receiver.dropped()), (2, 1));
        assert_eq!(*asked[2].lock().unwrap(), Some(Status::OVERLOADED));
        drop(receiver);
        sim.sleep(100_000).await;
        assert_eq!(*asked[0].lock().unwrap(), Some(Status::INTERNAL));
        assert_eq!(*asked[1].lock().unwrap(), Some(Status::INTERNAL));
        assert_eq!(handle.request(7u8, b"").await.unwrap().status, Status::NO_ROUTE);
        handle.send_receipted(7u8, b"nobody").await.unwrap().await.unwrap();
    });
}

/// A server whose one connection is received from, and a client in front of it.
fn play_plain<F, Fut>(inbox: InboxConfig, script: F)
where
    F: FnOnce(Sim, PlainHandle, PlainReceiver) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let sim = Sim::new(1);
    let (inbox, receiver) = PlainInbox::new(&sim, inbox);
    let inbox = Mutex::new(Some(inbox));
    let config = PlainConfig { send_queue: 4 << 10, ..PlainConfig::default() };
    let limits = Limits::one_source();
    let format = MsgTrans::default();
    let server = PlainServer::new(sim.clone(), config, limits, format.clone(), move |_| {
        inbox.lock().unwrap().take().unwrap()
    });
    let server = server.unwrap();
    let net = Net::new(&sim, move |io| server.spawn_connection(io, None, None));
    let mut options = outlast_service::plain::PlainClientConfig::default();
    // Nothing is answered, and nothing taken for a while: that is for the server to bear.
    let long = 1_000 * SECOND;
    options.connection = PlainConfig { write_timeout: long, idle_timeout: long, ..config };
    options.dialer.attempts = outlast_core::client::Attempts::Once;
    let nothing = |_: &mut PlainPeer<'_>, _: PlainEvent<'_>| {};
    let made = PlainRunner::new(sim.clone(), options, net, format, nothing);
    let (handle, runner) = made.unwrap();
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        assert!(handle.connected().await);
        script(world.clone(), handle, receiver).await;
    });
}

#[test]
fn nothing_is_read_from_a_plain_peer_while_the_queue_is_full() {
    play_plain(room(4, WhenFull::Wait), |sim, handle, mut receiver| async move {
        let sender = handle.clone();
        sim.aside(async move {
            for number in 0..1_000u32 {
                sender.send(&Packet::one_way(7, &[number as u8; 512])).await.unwrap();
            }
            sender.finish();
        });
        // Longer than a silent peer has: it is not the peer that is silent.
        sim.sleep(100_000_000).await;
        let there = receiver.handle().unwrap();
        let read = there.info().packets_in;
        assert!(receiver.waiting().0 == 4 && read <= 5 && there.is_connected(), "{read} were read");
        for number in 0..1_000u32 {
            let received = receiver.recv_timeout(60 * SECOND).await.unwrap();
            assert!(received.key == Key::Id(7) && received.responder.is_none());
            assert_eq!(received.payload[..], [number as u8; 512]);
            assert!(receiver.waiting().0 <= 4);
        }
        assert_eq!(receiver.recv_timeout(SECOND).await.unwrap_err(), RecvError::Ended);
        assert_eq!(receiver.dropped(), 0);
    });
}

#[test]
fn plain_requests_are_answered_and_too_much_is_dropped_or_costs_the_connection() {
    play_plain(room(2, WhenFull::DropNewest), |sim, handle, mut receiver| async move {
        let asking = handle.clone();
        sim.aside(async move {
            let answer = asking.request(3, b"why?", SECOND).await.unwrap();
            assert_eq!(answer.payload, "because");
            for number in 0..9u8 {
                asking.send(&Packet::one_way(7, &[number])).await.unwrap();
            }
        });
        let asked = receiver.recv().await.unwrap();
        assert_eq!(asked.payload, "why?");
        asked.responder.unwrap().respond(b"because").unwrap();
        sim.sleep(1_000_000).await;
        assert_eq!((receiver.waiting(), receiver.dropped()), ((2, 2), 7));
        assert_eq!(receiver.try_recv().unwrap().payload[..], [0]);
        drop(receiver);
        assert!(handle.is_connected());
    });
    play_plain(room(2, WhenFull::End), |_, handle, mut receiver| async move {
        for number in 0..9u8 {
            let sent = handle.try_send(&Packet::one_way(7, &[number]));
            assert!(matches!(sent, Ok(()) | Err(PlainError::NotConnected)));
        }
        assert!(handle.closed().await.is_some());
        assert_eq!(receiver.recv().await.unwrap().payload[..], [0]);
        assert_eq!(receiver.recv().await.unwrap().payload[..], [1]);
        assert!(receiver.recv().await.is_none());
    });
}
