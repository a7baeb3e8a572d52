//! What waits to be sent: queues of every size and what becomes of the rest, batches, newest
//! values.

use std::future::{Future, poll_fn};
use std::task::Poll;
use std::time::Duration;

use outlast_core::wire::Op;
use outlast_core::{CloseCode, Config};
use outlast_service::{
    Batch, ClientConfig, Handle, Incoming, Outgoing, Peer, Runner, SendError, Server, ServerConfig,
    WhenFull, Why,
};

use crate::executor::Sim;
use crate::link::Link;
use crate::world::{Net, Notes, client, deaf, eager, ops, serve, served};

const SMALLEST: usize = 16_387;
const SECOND: u64 = 1_000_000;

/// A client that sends in this way to a server that notes what it hears, and its connection.
struct Scene {
    sim: Sim,
    handle: Handle,
    notes: Notes,
    net: Net,
}

impl Scene {
    async fn new(sim: &Sim, outgoing: Outgoing) -> Self {
        let notes = Notes::default();
        let heard = notes.clone();
        let config = Config { idle_timeout_ms: 15_000, ..Config::SERVER };
        let (_, net) = serve(sim, config, move |_| {
            let heard = heard.clone();
            move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { route, payload } => {
                    heard.add(format!("{} {:?}", route.get(), payload.first_chunk::<4>()));
                }
                Incoming::Disconnected { code, .. } => heard.add(format!("gone {code}")),
                _ => {}
            }
        });
        let config = ClientConfig { outgoing, ..eager(1) };
        let (handle, runner) = client(sim, &net, config, deaf);
        sim.aside(runner);
        while handle.id().is_none() {
            sim.sleep(100).await;
        }
        Self { sim: sim.clone(), handle, notes, net }
    }

    fn link(&self) -> Link {
        self.net.last()
    }

    /// Nothing that the client writes is taken, or everything again.
    fn stall(&self, stalled: bool) {
        self.link().change(true, |faults| faults.stalled = stalled);
    }

    /// Sends until that is not possible any more.
    async fn fill(&self) -> (usize, SendError) {
        for count in 0.. {
            if let Err(error) = self.handle.try_send(1u8, &[7; 1_000]) {
                return (count, error);
            }
            // The session takes what it has room for.
            self.sim.sleep(10).await;
        }
        unreachable!("memory has an end")
    }
}

fn with(queue: usize, when_full: WhenFull) -> Outgoing {
    Outgoing { queue, when_full, ..Outgoing::default() }
}

#[test]
fn a_queue_holds_what_it_may_and_the_rest_is_refused() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let mut held = Vec::new();
        for queue in [SMALLEST, 10 * SMALLEST] {
            let scene = Scene::new(&world, with(queue, WhenFull::Refuse)).await;
            scene.stall(true);
            let (count, error) = scene.fill().await;
            assert!(matches!(error, SendError::Full), "{error}");
            assert_eq!(scene.handle.turned_down(), 1);
            held.push(count * 1_004);
            scene.stall(false);
            scene.handle.flushed().await.unwrap();
            assert_eq!(scene.notes.count("1 "), count, "what was taken arrived");
        }
        // Twice the queue: as much again may wait behind the send buffer.
        let more = held[1] - held[0];
        assert!((17 * SMALLEST..20 * SMALLEST).contains(&more), "{held:?}");
    });
}

#[test]
fn a_message_that_finds_no_room_may_be_dropped_and_is_counted() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, with(SMALLEST, WhenFull::DropNewest)).await;
        scene.stall(true);
        for _ in 0..5_000 {
            scene.handle.try_send(1u8, &[7; 1_000]).unwrap();
            world.sleep(10).await;
        }
        let dropped = scene.handle.turned_down();
        assert!(dropped > 100, "{dropped}");
        scene.stall(false);
        scene.handle.flushed().await.unwrap();
        assert_eq!(scene.notes.count("1 ") as u64, 5_000 - dropped);
    });
}

#[test]
fn a_peer_that_is_too_slow_may_be_let_go() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, with(SMALLEST, WhenFull::Disconnect)).await;
        scene.stall(true);
        let (_, error) = scene.fill().await;
        assert!(matches!(error, SendError::Full), "{error}");
        let closed = scene.handle.closed().await;
        assert_eq!((closed.why, closed.code), (Why::Stopped, CloseCode::EVICTED));
    });
}

#[test]
fn how_long_a_transport_may_take_nothing_can_be_set() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let write_timeout = Duration::from_secs(5);
        let outgoing = Outgoing { write_timeout, ..Outgoing::default() };
        let scene = Scene::new(&world, outgoing).await;
        scene.stall(true);
        let since = world.micros();
        scene.handle.send(1u8, &[7; 100]).await.unwrap();
        while scene.handle.is_connected() {
            world.sleep(1_000).await;
        }
        let took = world.micros() - since;
        assert!((5 * SECOND..5 * SECOND + 10_000).contains(&took), "{took}");
        // The next connection takes it.
        scene.handle.flushed().await.unwrap();
        assert_eq!(scene.notes.count("1 "), 1);
    });
}

#[test]
fn small_messages_wait_for_others_and_no_longer_than_they_may() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let delay = Duration::from_millis(100);
        let batch = Batch { bytes: 5_000, messages: 10, delay };
        let outgoing = Outgoing { batch: Some(batch), ..Outgoing::default() };
        let scene = Scene::new(&world, outgoing).await;
        world.sleep(SECOND).await;
        // Ten at a time.
        let writes = scene.link().up().writes;
        for _ in 0..100 {
            scene.handle.send(1u8, &[7; 16]).await.unwrap();
            world.sleep(1_000).await;
        }
        assert_eq!((scene.link().up().writes - writes, scene.notes.count("1 ")), (10, 100));
        // So many bytes.
        for _ in 0..5 {
            scene.handle.send(2u8, &[7; 1_000]).await.unwrap();
            world.sleep(1_000).await;
        }
        assert_eq!((scene.link().up().writes - writes, scene.notes.count("2 ")), (11, 5));
        // So long.
        let since = world.micros();
        scene.handle.send(3u8, &[7; 16]).await.unwrap();
        scene.notes.wait(&world, "3 ").await;
        let took = world.micros() - since;
        assert!((100_000..101_000).contains(&took), "{took}");
    });
}

#[test]
fn a_sign_of_life_takes_along_what_waits() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let batch = Batch { bytes: 5_000, messages: 10, delay: Duration::from_secs(10) };
        let outgoing = Outgoing { batch: Some(batch), ..Outgoing::default() };
        let scene = Scene::new(&world, outgoing).await;
        world.sleep(SECOND).await;
        scene.handle.send(1u8, &[7; 16]).await.unwrap();
        let since = world.micros();
        scene.notes.wait(&world, "1 ").await;
        let took = world.micros() - since;
        assert!(took < 5 * SECOND, "a third of the fifteen seconds that the server bears: {took}");
    });
}

#[test]
fn a_slow_peer_gets_the_newest_value_and_no_old_ones() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, with(SMALLEST, WhenFull::Refuse)).await;
        // A peer that keeps up gets every value.
        for number in 0..10u32 {
            scene.handle.send_latest(9u8, &number.to_le_bytes()).unwrap();
            world.sleep(10_000).await;
        }
        assert_eq!(scene.notes.count("9 "), 10);
        scene.stall(true);
        for number in 1..=1_000u32 {
            for route in [1u8, 2, 3] {
                scene.handle.send_latest(route, &number.to_le_bytes()).unwrap();
            }
            world.sleep(1_000).await;
        }
        scene.stall(false);
        world.sleep(SECOND).await;
        let newest = format!("{:?}", Some(1_000u32.to_le_bytes()));
        for route in ["1 ", "2 ", "3 "] {
            let all = scene.notes.all();
            let values: Vec<_> = all.iter().filter(|note| note.starts_with(route)).collect();
            assert!((1..=2).contains(&values.len()), "{values:?}");
            assert_eq!(values.last().unwrap()[2..], newest);
        }
        // Other routes have their places, and those have an end.
        scene.stall(true);
        scene.handle.try_send(1u8, &[7; 1_000]).unwrap();
        world.sleep(1_000).await;
        let kept = (0..300u16).map(|route| scene.handle.send_latest(route, b"x"));
        assert_eq!(kept.filter(Result::is_ok).count(), 256);
    });
}

#[test]
fn newest_values_of_a_session_that_is_lost_are_told_of() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let lost = Notes::default();
        let notes = lost.clone();
        let (server, net) = serve(&world, Config::SERVER, |_| deaf);
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Lost { undelivered, .. } = event {
                let all = undelivered.missing().chain(undelivered.unknown());
                all.for_each(|(route, payload)| notes.add(format!("{} {payload:?}", route.get())));
            }
        };
        let (handle, runner) = client(&world, &net, eager(1), handler);
        world.aside(runner);
        while handle.id().is_none() {
            world.sleep(100).await;
        }
        net.last().change(true, |faults| faults.stalled = true);
        handle.try_send(1u8, b"a").unwrap();
        world.sleep(1_000).await;
        handle.send_latest(2u8, b"old").unwrap();
        handle.send_latest(2u8, b"new").unwrap();
        server.handle().end_all(CloseCode::GOING_AWAY);
        handle.closed().await;
        let mut all = lost.all();
        all.sort();
        assert_eq!(all, ["1 [97]", "2 [110, 101, 119]"]);
    });
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    let refused = |outgoing: Outgoing| {
        let sim = Sim::new(1);
        let (_, net) = serve(&sim, Config::SERVER, |_| deaf);
        let config = ClientConfig { outgoing, ..eager(1) };
        let of_client = Runner::new(sim.clone(), config, net, deaf).err().unwrap();
        let config = ServerConfig { outgoing, ..served(Config::SERVER) };
        let of_server = Server::new(sim, config, |_| deaf).err().unwrap();
        assert_eq!(of_client.key(), of_server.key());
        of_client.key()
    };
    let some = Outgoing::default();
    let batch = Batch { bytes: 1, messages: 1, delay: Duration::ZERO };
    let of = |batch| Outgoing { batch: Some(batch), ..some };
    assert_eq!(refused(Outgoing { queue: SMALLEST - 1, ..some }), "queue");
    assert_eq!(refused(Outgoing { write_timeout: Duration::ZERO, ..some }), "write_timeout_ms");
    assert_eq!(refused(of(Batch { messages: 0, ..batch })), "batch.messages");
    assert_eq!(refused(of(Batch { delay: Duration::from_secs(11), ..batch })), "batch.delay_ms");
}

/// The first bytes of a connection are written however few they are.
#[test]
fn a_handshake_does_not_wait_for_a_batch() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let batch = Batch { bytes: 5_000, messages: 10, delay: Duration::from_secs(10) };
        let outgoing = Outgoing { batch: Some(batch), ..Outgoing::default() };
        let scene = Scene::new(&world, outgoing).await;
        assert!(world.micros() < SECOND, "{}", world.micros());
        let log = scene.link().up().log.clone();
        assert_eq!(ops(&log)[..2], [Op::Hello, Op::Ack]);
    });
}

/// What was given to send before the end is sent before the end.
#[test]
fn newest_values_are_sent_before_the_end() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, Outgoing::default()).await;
        scene.stall(true);
        scene.handle.send(1u8, b"first").await.unwrap();
        world.sleep(1_000).await;
        scene.handle.send_latest(9u8, b"last value").unwrap();
        scene.handle.finish();
        world.sleep(SECOND).await;
        scene.stall(false);
        scene.notes.wait(&world, "9 ").await;
    });
}

/// A long message is under way, and whoever sends it has other things to do.
#[test]
fn newest_values_wait_for_the_end_of_a_long_message_without_spinning() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, with(SMALLEST, WhenFull::Refuse)).await;
        let long = [7; 10 * SMALLEST];
        let mut sending = Box::pin(scene.handle.send(1u8, &long));
        let polled = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_pending())).await;
        assert!(polled, "it does not fit");
        scene.handle.send_latest(9u8, b"last value").unwrap();
        world.sleep(SECOND).await;
        let before = world.turned();
        world.sleep(SECOND).await;
        assert!(world.turned() < before + 100, "{}", world.turned() - before);
        sending.await.unwrap();
        scene.notes.wait(&world, "9 ").await;
    });
}

/// Who takes nothing is not spared because what waits for it is little.
#[test]
fn a_batch_that_the_transport_does_not_take_is_not_tried_for_ever() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let batch = Batch { bytes: 1_000, messages: 100, delay: Duration::from_millis(10) };
        let write_timeout = Duration::from_secs(5);
        let outgoing = Outgoing { write_timeout, batch: Some(batch), ..Outgoing::default() };
        let scene = Scene::new(&world, outgoing).await;
        scene.stall(true);
        let since = world.micros();
        scene.handle.send(1u8, &[7; 100]).await.unwrap();
        while scene.handle.is_connected() {
            world.sleep(1_000).await;
        }
        let took = world.micros() - since;
        assert!((5 * SECOND..5 * SECOND + 30_000).contains(&took), "{took}");
    });
}

/// Who waits for the rest of a long message is not too slow.
#[test]
fn nobody_is_let_go_because_a_long_message_is_under_way() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, with(SMALLEST, WhenFull::Disconnect)).await;
        let long = [7; 10 * SMALLEST];
        let mut sending = Box::pin(scene.handle.send(1u8, &long));
        let polled = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_pending())).await;
        assert!(polled, "it does not fit");
        world.sleep(SECOND).await;
        assert_eq!(scene.handle.try_send(2u8, b"short"), Err(SendError::Full));
        sending.await.unwrap();
        scene.notes.wait(&world, "1 ").await;
        scene.handle.try_send(2u8, b"short").unwrap();
        scene.notes.wait(&world, "2 ").await;
    });
}

#[test]
fn messages_to_everybody_wait_for_others_where_messages_do() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let batch = Batch { bytes: 10_000, messages: 100, delay: Duration::from_millis(100) };
        let outgoing = Outgoing { batch: Some(batch), ..Outgoing::default() };
        let config = ServerConfig { outgoing, ..served(Config::SERVER) };
        let server = Server::new(world.clone(), config, |_: &_| deaf).unwrap();
        let net = Net::serving(&world, &server);
        let (handle, runner) = client(&world, &net, eager(1), deaf);
        world.aside(runner);
        while handle.id().is_none() {
            world.sleep(100).await;
        }
        let all = server.handle();
        for _ in 0..3 {
            // The first finds nobody who is quiet yet.
            assert_eq!(all.broadcast(1u8, b"small").sent, 1);
            world.sleep(SECOND).await;
        }
        let before = net.last().down().log.len();
        assert_eq!(all.broadcast(1u8, b"small").sent, 1);
        world.sleep(50_000).await;
        assert_eq!(net.last().down().log.len(), before, "it waits for others");
        world.sleep(100_000).await;
        assert!(net.last().down().log.len() > before);
        // They wait where the session was left, and go with one write that its task does not make.
        let seen = || {
            let link = net.last();
            let down = link.down();
            (down.tries, down.log.len())
        };
        let (tries, before) = seen();
        for _ in 0..10 {
            assert_eq!(all.broadcast(1u8, b"small").sent, 1);
            world.sleep(1_000).await;
        }
        assert_eq!(seen(), (tries, before));
        world.sleep(100_000).await;
        assert_eq!(seen(), (tries + 1, before + 10 * 9));
        // As many as need not wait.
        for _ in 0..100 {
            assert_eq!(all.broadcast(1u8, b"small").sent, 1);
        }
        world.sleep(1_000).await;
        assert_eq!(seen(), (tries + 2, before + 110 * 9));
    });
}

/// However much waits, in however many places: what was taken is sent before the end.
#[test]
fn everything_that_was_queued_is_sent_before_the_end() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let scene = Scene::new(&world, with(SMALLEST, WhenFull::Refuse)).await;
        scene.stall(true);
        let (count, error) = scene.fill().await;
        assert!(matches!(error, SendError::Full), "{error}");
        scene.handle.finish();
        world.sleep(1_000).await;
        scene.stall(false);
        world.sleep(SECOND).await;
        assert_eq!(scene.notes.count("1 "), count);
    });
}

/// What is dropped is dropped whole, and a long message that waits for room loses nothing.
#[test]
fn full_queues_drop_whole_messages_while_a_long_one_is_under_way() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let heard = Notes::default();
        let notes = heard.clone();
        let (_, net) = serve(&world, Config::SERVER, move |_| {
            let notes = notes.clone();
            move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { route, payload } => {
                    let number = u32::from_le_bytes(*payload.first_chunk().unwrap());
                    let same = payload[4..].iter().all(|byte| *byte == number as u8);
                    notes.add(format!("{} {number} {} {same}", route.get(), payload.len()));
                }
                Incoming::Aborted { .. } | Incoming::Fragment { .. } => notes.add("half"),
                _ => {}
            }
        });
        let outgoing = with(SMALLEST, WhenFull::DropNewest);
        let config = Config { send_buffer: 32 << 10, ..Config::CLIENT };
        let config = ClientConfig { outgoing, session: Some(config), ..eager(1) };
        let (handle, runner) = client(&world, &net, config, deaf);
        world.aside(runner);
        while handle.id().is_none() {
            world.sleep(100).await;
        }
        let numbered = |number: u32, len: usize| {
            let mut payload = vec![number as u8; len];
            payload[..4].copy_from_slice(&number.to_le_bytes());
            payload
        };
        let (mut expected, mut dropped) = (Vec::new(), 0);
        for long in 0..4 {
            let (sender, payload) = (handle.clone(), numbered(long, 200_000 + long as usize));
            world.aside(async move { sender.send(2u8, &payload).await.unwrap() });
            for number in 0..300u32 {
                // Nothing goes for a while, again and again.
                net.last().change(true, |faults| faults.stalled = number % 50 < 40);
                let len = 10 + number as usize * 40;
                handle.try_send(1u8, &numbered(number, len)).unwrap();
                if handle.turned_down() == dropped {
                    expected.push(format!("1 {number} {len} true"));
                }
                dropped = handle.turned_down();
                world.sleep(50).await;
            }
            net.last().change(true, |faults| faults.stalled = false);
            world.sleep(SECOND).await;
        }
        assert!((100..1_100).contains(&dropped), "{dropped}");
        let (long, short): (Vec<_>, Vec<_>) =
            heard.all().into_iter().partition(|note| note.starts_with("2 "));
        assert_eq!(short, expected);
        let whole = |number: usize| format!("2 {number} {} true", 200_000 + number);
        assert_eq!(long, (0..4).map(whole).collect::<Vec<_>>());
    });
}
