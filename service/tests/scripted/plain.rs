//! Connections without sessions: the failures that real systems have, in virtual time.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_core::client::{Attempts, DialerConfig};
use outlast_service::plain::formats::{Cause, Format, Key, Ltv, MsgTrans, Packet, Tlv};
use outlast_service::plain::{
    PlainCause, PlainClientConfig, PlainConfig, PlainError, PlainEvent, PlainHandle, PlainHandler,
    PlainInfo, PlainPeer, PlainRunner, PlainServer, PlainState, WhenFull,
};
use outlast_service::{Limits, Report, Transport};

use crate::executor::Sim;
use crate::link::{Faults, Io};
use crate::world::{Net, Notes, for_seeds};

pub(crate) const SECOND: u64 = 1_000_000;

/// A server of this format, and where to dial it.
pub(crate) fn serve<F: Format + Clone + Sync, H: PlainHandler>(
    sim: &Sim,
    config: PlainConfig,
    format: F,
    factory: impl Fn(&PlainInfo) -> H + Send + Sync + 'static,
) -> (PlainServer<Sim, H>, Net) {
    let limits = Limits::one_source();
    let server = PlainServer::new(sim.clone(), config, limits, format, factory).unwrap();
    let at = server.clone();
    (server, Net::new(sim, move |io| at.spawn_connection(io, None, None)))
}

/// Sends every packet back, and notes how connections begin and end.
pub(crate) fn echo(notes: &Notes) -> impl Fn(&PlainInfo) -> Echo + Send + Sync + use<> {
    let notes = notes.clone();
    move |_| Echo { notes: notes.clone() }
}

pub(crate) struct Echo {
    notes: Notes,
}

impl PlainHandler for Echo {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        match event {
            PlainEvent::Connected => self.notes.add("connected"),
            PlainEvent::Packet(packet) => {
                let reply = peer.reply_to(packet, packet.payload.clone());
                if let Err(error) = peer.send(&reply) {
                    self.notes.add(format!("unsent {error}"));
                }
            }
            PlainEvent::Closed(closed) => self.notes.add(format!("closed {:?}", closed.cause)),
            _ => {}
        }
    }
}

/// What packets a client heard, and how its connections went.
pub(crate) fn listen(notes: &Notes) -> impl PlainHandler + use<> {
    let notes = notes.clone();
    move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| match event {
        PlainEvent::Packet(packet) => notes.add(format!("{:?} {:?}", packet.key, packet.payload)),
        PlainEvent::Connected => notes.add("connected"),
        PlainEvent::Closed(closed) => notes.add(format!("closed {:?}", closed.cause)),
        PlainEvent::DialFailed { attempt, retry_in, .. } => {
            notes.add(format!("failed {attempt} {}", retry_in.is_some()));
        }
        PlainEvent::Bad(_) | PlainEvent::Finished => {}
        _ => {}
    }
}

pub(crate) fn client<F: Format + Clone>(
    sim: &Sim,
    net: &Net,
    config: PlainClientConfig,
    format: F,
    handler: impl PlainHandler,
) -> PlainHandle {
    let made = PlainRunner::new(sim.clone(), config, net.clone(), format, handler);
    let (handle, runner) = made.unwrap();
    sim.aside(runner);
    handle
}

/// Tries once.
pub(crate) fn once() -> PlainClientConfig {
    let dialer = DialerConfig { attempts: Attempts::Once, ..DialerConfig::default() };
    PlainClientConfig { dialer, ..PlainClientConfig::default() }
}

pub(crate) async fn until_connected(sim: &Sim, handle: &PlainHandle) {
    while !handle.is_connected() {
        sim.sleep(10).await;
    }
}

/// A connection whose bytes are written by hand.
pub(crate) struct Wire(Io);

impl Wire {
    pub(crate) fn to(net: &Net) -> Self {
        Self(net.dial().unwrap())
    }

    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            match poll_fn(|cx| self.0.poll_write(cx, &[IoSlice::new(bytes)])).await {
                Ok(written) => bytes = &bytes[written..],
                Err(_) => return false,
            }
        }
        true
    }

    pub(crate) async fn shut(&mut self) {
        let _ = poll_fn(|cx| self.0.poll_shutdown(cx)).await;
    }

    /// What comes until there are `count` bytes, or the end.
    pub(crate) async fn read(&mut self, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        let mut chunk = [0; 4096];
        while all.len() < count {
            match poll_fn(|cx| self.0.poll_read(cx, &mut chunk)).await {
                Ok(0) | Err(_) => break,
                Ok(read) => all.extend_from_slice(&chunk[..read]),
            }
        }
        all
    }
}

fn bytes(format: &mut impl Format, packets: &[Packet<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    packets.iter().for_each(|packet| format.encode(packet, &mut out).unwrap());
    out
}

#[test]
fn packets_are_the_same_however_they_are_divided() {
    for_seeds(40, |seed, mut rng| {
        let sim = Sim::new(seed);
        let notes = Notes::default();
        let (_server, net) = serve(&sim, PlainConfig::default(), Ltv::default(), echo(&notes));
        let faults =
            move || Faults { read_max: 1 + seed as usize, write_max: 5, ..Faults::default() };
        net.plan(move |_| Some((faults(), faults())));
        let packets: Vec<(u32, Vec<u8>)> =
            (0..30).map(|id| (id, vec![id as u8; rng.range(0, 300) as usize])).collect();
        let (noted, world) = (notes, sim.clone());
        sim.run(async move {
            let all: Vec<Packet<'_>> =
                packets.iter().map(|(id, payload)| Packet::one_way(*id, payload)).collect();
            let sent = bytes(&mut Ltv::default(), &all);
            let mut wire = Wire::to(&net);
            assert!(wire.write(&sent).await);
            assert_eq!(wire.read(sent.len()).await, sent, "seed {seed}");
            wire.shut().await;
            noted.wait(&world, "closed").await;
            assert_eq!(noted.all(), ["connected", "closed Finished"]);
        });
    });
}

#[test]
fn an_empty_packet_the_end_and_half_a_packet_are_three_things() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (_server, net) = serve(&sim, PlainConfig::default(), Ltv::default(), echo(&notes));
    let world = sim.clone();
    sim.run(async move {
        let empty = bytes(&mut Ltv::default(), &[Packet::one_way(0, b"")]);
        let mut wire = Wire::to(&net);
        wire.write(&empty).await;
        assert_eq!(wire.read(empty.len()).await, empty);
        wire.shut().await;
        assert_eq!(wire.read(1).await, b"");
        notes.wait(&world, "closed Finished").await;
        let mut wire = Wire::to(&net);
        wire.write(&[empty.clone(), b"\x05\0\0\0\x01\0\0\0ab".to_vec()].concat()).await;
        wire.shut().await;
        assert_eq!(wire.read(99).await, empty, "what was whole is answered");
        notes.wait(&world, "closed Truncated { have: 10, need: 13 }").await;
    });
}

#[test]
fn a_length_beyond_the_limit_costs_the_connection_at_once() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (server, net) = serve(&sim, PlainConfig::default(), Ltv::default(), echo(&notes));
    let world = sim.clone();
    sim.run(async move {
        let mut wire = Wire::to(&net);
        wire.write(b"\xff\xff\xff\xff\x01\0\0\0").await;
        assert_eq!(wire.read(1).await, b"");
        notes.wait(&world, "closed Malformed(TooLong").await;
        assert_eq!(world.micros(), 0, "nothing was waited for");
        assert_eq!(server.handle().stats().connections, 0);
    });
}

#[test]
fn a_silent_peer_and_half_a_packet_are_given_up_on_time() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (server, net) = serve(&sim, PlainConfig::default(), Ltv::default(), echo(&notes));
    let world = sim.clone();
    sim.run(async move {
        let _wire = Wire::to(&net);
        world.sleep(60 * SECOND - 1).await;
        assert_eq!(notes.count("closed"), 0);
        world.sleep(2).await;
        assert_eq!(notes.count("closed Silence"), 1);
        assert_eq!(server.handle().stats().connections, 0, "its place is free");
        // Bytes that come now and then do not make a packet.
        let mut wire = Wire::to(&net);
        let since = world.micros();
        for byte in b"\x50\0\0\0\x01\0\0\0abcdefgh" {
            wire.write(&[*byte]).await;
            world.sleep(SECOND).await;
            if notes.count("closed PacketTimeout") > 0 {
                break;
            }
        }
        assert_eq!(notes.count("closed PacketTimeout"), 1);
        assert_eq!((world.micros() - since) / SECOND, 10);
    });
}

#[test]
fn a_peer_that_takes_nothing_costs_a_bounded_queue_and_its_own_connection() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let config = PlainConfig { send_queue: 4096, ..PlainConfig::default() };
    let (server, net) = serve(&sim, config, Ltv::default(), echo(&notes));
    net.plan(|number| {
        let down = Faults { capacity: 1000, stalled: number == 0, ..Faults::default() };
        Some((Faults { capacity: 1 << 20, ..Faults::default() }, down))
    });
    let world = sim.clone();
    sim.run(async move {
        let mut slow = Wire::to(&net);
        let flood = bytes(&mut Ltv::default(), &vec![Packet::one_way(1, &[7; 1000]); 900]);
        slow.write(&flood).await;
        let mut other = Wire::to(&net);
        let one = bytes(&mut Ltv::default(), &[Packet::one_way(1, b"hello")]);
        for _ in 0..100 {
            other.write(&one).await;
            assert_eq!(other.read(one.len()).await, one, "others are served");
        }
        let info = server.handle().connections();
        let slow_info = info.iter().find(|info| info.bytes_in > 5000).unwrap();
        assert!(
            slow_info.bytes_in < 200_000,
            "{} of {} bytes read",
            slow_info.bytes_in,
            flood.len()
        );
        let since = world.micros();
        notes.wait(&world, "closed WriteTimeout").await;
        assert!((29 * SECOND..31 * SECOND).contains(&(world.micros() - since)));
        assert_eq!(notes.count("unsent"), 0, "what was read was answered");
    });
}

#[test]
fn a_hundred_thousand_pipelined_messages_come_back_through_the_smallest_queue() {
    let sim = Sim::new(1);
    let config = PlainConfig { send_queue: 1, ..PlainConfig::default() };
    let notes = Notes::default();
    let (_server, net) = serve(&sim, config, Ltv::default(), echo(&notes));
    let tight = || Faults { capacity: 3000, ..Faults::default() };
    net.plan(move |_| Some((tight(), tight())));
    let heard = Arc::new(Mutex::new(0u32));
    let count = Arc::clone(&heard);
    let handler = move |_: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
        if let PlainEvent::Packet(packet) = event {
            let mut count = count.lock().unwrap();
            assert_eq!(packet.payload[..], count.to_le_bytes());
            *count += 1;
        }
    };
    let config = PlainClientConfig { connection: config, ..once() };
    let handle = client(&sim, &net, config, Ltv::default(), handler);
    let world = sim.clone();
    sim.run(async move {
        until_connected(&world, &handle).await;
        for number in 0..100_000u32 {
            let sent = handle.send(&Packet::one_way(1, &number.to_le_bytes())).await;
            assert_eq!(sent, Ok(()), "{number}: {:?}", notes.all());
            if number % 1000 == 0 {
                world.sleep(1).await;
            }
        }
        while *heard.lock().unwrap() < 100_000 {
            world.sleep(1).await;
        }
    });
}

/// Answers requests to 1 at once, to 2 from another task, to 3 never, to 4 with an error.
fn answers(sim: &Sim) -> impl Fn(&PlainInfo) -> Answers + Send + Sync + use<> {
    let sim = sim.clone();
    move |_| Answers { sim: sim.clone(), kept: Vec::new() }
}

struct Answers {
    sim: Sim,
    kept: Vec<outlast_service::plain::PlainResponder>,
}

impl PlainHandler for Answers {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        let PlainEvent::Packet(packet) = event else {
            return;
        };
        match packet.key {
            Key::Id(1) => peer.respond(packet, &packet.payload).unwrap(),
            Key::Id(2) => {
                let (responder, sim) = (peer.defer(packet), self.sim.clone());
                let payload = packet.payload.to_vec();
                self.sim.aside(async move {
                    sim.sleep(3 * SECOND).await;
                    let _ = responder.respond(&payload);
                });
            }
            Key::Id(3) => self.kept.push(peer.defer(packet)),
            _ => drop(peer.fail(Some(packet), Cause::NoRoute, None)),
        }
    }
}

#[test]
fn answers_find_their_requests_and_nobody_waits_for_ever() {
    let sim = Sim::new(1);
    let (server, net) = serve(&sim, PlainConfig::default(), MsgTrans::default(), answers(&sim));
    let config = PlainClientConfig {
        connection: PlainConfig { max_requests: 2, ..PlainConfig::default() },
        ..once()
    };
    let handle = client(&sim, &net, config, MsgTrans::default(), listen(&Notes::default()));
    let world = sim.clone();
    sim.run(async move {
        until_connected(&world, &handle).await;
        let limit = Duration::from_secs(10);
        let slow = handle.clone();
        let (done, waits) = (Notes::default(), Notes::default());
        let told = done.clone();
        world.aside(async move {
            let answer = slow.request(2, b"slow", limit).await.unwrap();
            told.add(format!("{:?}", answer.payload));
        });
        for _ in 0..10_000 {
            let answer = handle.request(1, b"quick", limit).await.unwrap();
            assert_eq!((answer.id, &answer.payload[..]), (Some(1), &b"quick"[..]));
        }
        assert_eq!(done.count("b\"slow\""), 0, "a slow one stands in nobody's way");
        done.wait(&world, "b\"slow\"").await;
        let since = world.micros();
        let never = handle.request(3, b"", limit).await;
        assert_eq!((never, world.micros() - since), (Err(PlainError::TimedOut), 10 * SECOND));
        // Two requests may be open: the third waits for a number.
        for _ in 0..3 {
            let (handle, waits) = (handle.clone(), waits.clone());
            world.aside(async move {
                waits.add(format!("{:?}", handle.request(3, b"", limit).await.is_err()));
            });
        }
        world.sleep(10 * SECOND + 1).await;
        assert_eq!(waits.count("true"), 3, "the wait for a number counts");
        let closing = handle.clone();
        world.aside(async move { closing.request(3, b"", limit).await });
        let asking = handle.request(3, b"", limit);
        let (all, later) = (server.handle(), world.clone());
        world.aside(async move {
            later.sleep(SECOND).await;
            all.close_all()
        });
        let Err(PlainError::Closed(closed)) = asking.await else {
            panic!("the connection is over");
        };
        assert_eq!(closed.cause, PlainCause::Finished);
    });
}

#[test]
fn drain_sends_what_is_owed_first() {
    let sim = Sim::new(1);
    let (server, net) = serve(&sim, PlainConfig::default(), MsgTrans::default(), answers(&sim));
    let handle = client(&sim, &net, once(), MsgTrans::default(), listen(&Notes::default()));
    let world = sim.clone();
    sim.run(async move {
        until_connected(&world, &handle).await;
        let (asking, notes) = (handle.clone(), Notes::default());
        let told = notes.clone();
        world.aside(async move {
            let answer = asking.request(2, b"owed", Duration::from_secs(10)).await;
            told.add(format!("{:?}", answer.map(|answer| answer.payload)));
        });
        world.sleep(SECOND).await;
        let since = world.micros();
        server.drain(Duration::from_secs(30)).await;
        assert_eq!(world.micros() - since, 2 * SECOND, "no longer than the answer takes");
        notes.wait(&world, "Ok(b\"owed\")").await;
        assert!(!server.ready().await);
        let mut late = Wire::to(&net);
        assert_eq!(late.read(1).await, b"");
    });
}

#[test]
fn a_client_dials_again_and_says_so() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (server, net) =
        serve(&sim, PlainConfig::default(), Ltv::default(), echo(&Notes::default()));
    net.plan(|number| (number != 1).then(|| (Faults::default(), Faults::default())));
    let handle = client(&sim, &net, PlainClientConfig::default(), Ltv::default(), listen(&notes));
    let world = sim.clone();
    sim.run(async move {
        assert_eq!(handle.state().name(), "disconnected");
        assert_eq!(handle.try_send(&Packet::one_way(1, b"")), Err(PlainError::NotConnected));
        until_connected(&world, &handle).await;
        server.handle().close_all();
        notes.wait(&world, "closed Finished").await;
        notes.wait(&world, "failed 2 true").await;
        until_connected(&world, &handle).await;
        handle.send(&Packet::one_way(5, b"again")).await.unwrap();
        notes.wait(&world, "Id(5)").await;
        handle.close();
        notes.wait(&world, "closed Local").await;
        world.sleep(100 * SECOND).await;
        assert_eq!((net.state().dialled, handle.state()), (3, PlainState::Closed));
        let Err(PlainError::Closed(closed)) = handle.send(&Packet::one_way(1, b"")).await else {
            panic!("it is over");
        };
        assert_eq!(closed.cause, PlainCause::Local);
    });
}

#[test]
fn attempts_are_counted_and_dialling_can_be_called_off() {
    let sim = Sim::new(1);
    let (_server, net) =
        serve(&sim, PlainConfig::default(), Ltv::default(), echo(&Notes::default()));
    net.plan(|_| None);
    let dialer = DialerConfig {
        attempts: Attempts::UpTo(3),
        backoff_base: 100_000,
        backoff_cap: 100_000,
        ..DialerConfig::default()
    };
    let config = PlainClientConfig { dialer, ..PlainClientConfig::default() };
    let notes = Notes::default();
    let handle = client(&sim, &net, config.clone(), Ltv::default(), listen(&notes));
    let world = sim.clone();
    sim.run(async move {
        notes.wait(&world, "failed 3 false").await;
        assert_eq!(notes.count("failed"), 3);
        assert!(world.micros() <= 200_000, "two pauses of at most 0.1 s");
        world.sleep(SECOND).await;
        assert_eq!((net.state().dialled, handle.state()), (3, PlainState::Closed));
        let second = client(&world, &net, config, Ltv::default(), listen(&notes));
        second.close();
        world.sleep(SECOND).await;
        assert_eq!((net.state().dialled, second.state()), (3, PlainState::Closed));
    });
}

#[test]
fn signs_of_life_keep_a_quiet_connection() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (server, net) = serve(&sim, PlainConfig::default(), Tlv::default(), echo(&notes));
    let heard = Notes::default();
    let handle = client(&sim, &net, PlainClientConfig::default(), Tlv::default(), listen(&heard));
    let world = sim.clone();
    sim.run(async move {
        world.sleep(600 * SECOND).await;
        assert!(handle.is_connected());
        assert_eq!(notes.all(), ["connected"]);
        assert_eq!(heard.all(), ["connected"], "they go to no handler");
        let info = server.handle().connections()[0];
        assert_eq!((info.packets_in, info.packets_out), (19, 0));
        assert!(handle.info().bytes_in > 19 * 16, "each was answered");
    });
}

#[test]
fn a_full_queue_is_refused_or_costs_the_connection_as_configured() {
    for when_full in [WhenFull::Refuse, WhenFull::Disconnect] {
        let sim = Sim::new(1);
        let notes = Notes::default();
        let config = PlainConfig { send_queue: 1000, when_full, ..PlainConfig::default() };
        let (server, net) = serve(&sim, config, Ltv::default(), echo(&notes));
        net.plan(|_| Some((Faults::default(), Faults { stalled: true, ..Faults::default() })));
        let world = sim.clone();
        sim.run(async move {
            let _wire = Wire::to(&net);
            notes.wait(&world, "connected").await;
            let server = server.handle();
            let packet = Packet::one_way(1, &[0; 600]);
            assert_eq!(server.broadcast(&packet, |_| true).sent, 1);
            assert_eq!(server.broadcast(&packet, |_| true).sent, 1);
            let refused = server.broadcast(&packet, |_| true).failed;
            assert!(matches!(refused[..], [(_, PlainError::Full)]), "{refused:?}");
            assert_eq!(
                server.broadcast(&packet, |_| false),
                Report::default(),
                "nobody was chosen"
            );
            world.sleep(SECOND).await;
            let overflow = usize::from(when_full == WhenFull::Disconnect);
            assert_eq!(notes.count("closed Overflow"), overflow);
            assert_eq!(server.connections().len(), 1 - overflow);
        });
    }
}

#[test]
fn close_and_send_race_and_each_connection_begins_and_ends_once() {
    for_seeds(200, |seed, mut rng| {
        let sim = Sim::new(seed);
        let (notes, heard) = (Notes::default(), Notes::default());
        let config = PlainConfig { send_queue: 500, ..PlainConfig::default() };
        let (server, net) = serve(&sim, config, Ltv::default(), echo(&notes));
        net.plan(|_| {
            let busy = || Faults { busy: 30, delay: 7, capacity: 2000, ..Faults::default() };
            Some((busy(), busy()))
        });
        let config = PlainClientConfig { connection: config, ..once() };
        let handle = client(&sim, &net, config, Ltv::default(), listen(&heard));
        let world = sim.clone();
        let (at, by) = (rng.range(0, 60), rng.range(0, 3));
        sim.run(async move {
            until_connected(&world, &handle).await;
            let sender = handle.clone();
            world.aside(
                async move { while sender.send(&Packet::one_way(1, b"x")).await.is_ok() {} },
            );
            world.sleep(at).await;
            match by {
                0 => handle.close(),
                1 => handle.finish(),
                2 => {
                    // It may not know of the connection yet.
                    while server.handle().close_all() == 0 {
                        world.sleep(1).await;
                    }
                }
                _ => net.last().cut(true),
            }
            heard.wait(&world, "closed").await;
            notes.wait(&world, "closed").await;
            world.sleep(200 * SECOND).await;
            for notes in [&heard, &notes] {
                assert_eq!(
                    (notes.count("connected"), notes.count("closed")),
                    (1, 1),
                    "seed {seed}"
                );
            }
        });
    });
}
