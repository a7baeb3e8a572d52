//! How fast connections may send: by session, by source, changed while they are up.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use outlast_core::admission::Rate;
use outlast_core::{CloseCode, Config, Release};
use outlast_service::{
    Handle, Incoming, Limits, Peer, Server, ServerConfig, SessionInfo, TrafficLimits, WhenExceeded,
};

use crate::executor::Sim;
use crate::world::{Net, client, eager, served};

const SECOND: u64 = 1_000_000;

/// When each message came, in microseconds, and from whom.
type Heard = Arc<Mutex<Vec<(u64, u64)>>>;

/// A server that notes when messages come.
fn listening(
    sim: &Sim,
    traffic: TrafficLimits,
) -> (Server<Sim, impl outlast_service::Handler>, Heard) {
    let heard = Heard::default();
    let (notes, clock) = (Arc::clone(&heard), sim.clone());
    let mut limits = Limits::one_source();
    limits.traffic = traffic;
    // The smallest window: the burst is no more than that.
    let session = Config { window: 16_387, ..Config::SERVER };
    let config = ServerConfig { limits, ..served(session) };
    let factory = move |_: &SessionInfo| {
        let (notes, clock) = (Arc::clone(&notes), clock.clone());
        move |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                let id = peer.id().unwrap();
                notes.lock().unwrap().push((clock.micros(), id));
            }
        }
    };
    (Server::new(sim.clone(), config, factory).unwrap(), heard)
}

/// Where clients of this address dial.
fn from<H: outlast_service::Handler>(sim: &Sim, server: &Server<Sim, H>, address: &str) -> Net {
    let (server, remote) = (server.clone(), SocketAddr::new(address.parse().unwrap(), 4000));
    Net::new(sim, move |io| server.spawn_connection(io, Some(remote)))
}

/// A client that sends so many messages of this size, and is told when all are taken.
fn sending(sim: &Sim, net: &Net, seed: u64, count: usize, size: usize) -> Handle {
    let clock = sim.clone();
    let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Disconnected { code, cause } = event {
            panic!("{code} {cause:?} at {}", clock.micros());
        }
    };
    let (handle, runner) = client(sim, net, eager(seed), handler);
    sim.aside(runner);
    let sender = handle.clone();
    sim.aside(async move {
        let payload = vec![7; size];
        for _ in 0..count {
            sender.send(1u8, &payload).await.unwrap();
        }
    });
    handle
}

async fn until_heard(sim: &Sim, heard: &Heard, count: usize) -> u64 {
    while heard.lock().unwrap().len() < count {
        sim.sleep(1_000).await;
    }
    let heard = heard.lock().unwrap();
    assert_eq!(heard.len(), count, "once each");
    heard[count - 1].0
}

/// Counts the most that came within any second.
fn most_in_a_second(heard: &Heard) -> usize {
    let times: Vec<u64> = heard.lock().unwrap().iter().map(|(at, _)| *at).collect();
    let within = |from: u64| times.iter().filter(|at| (from..from + SECOND).contains(*at)).count();
    times.iter().map(|at| within(*at)).max().unwrap_or(0)
}

const TEN_A_SECOND: Rate = Rate::per_second(10, 10);

#[test]
fn messages_are_read_no_faster_than_they_may_come_and_none_is_lost() {
    let sim = Sim::new(1);
    let traffic = TrafficLimits { messages: TEN_A_SECOND, ..TrafficLimits::UNLIMITED };
    let (server, heard) = listening(&sim, traffic);
    let net = from(&sim, &server, "192.0.2.1");
    let world = sim.clone();
    sim.run(async move {
        let handle = sending(&world, &net, 1, 600, 400);
        let last = until_heard(&world, &heard, 600).await;
        // A window at once, which is forty messages, then ten a second.
        assert!((54 * SECOND..60 * SECOND).contains(&last), "{last}");
        assert!(most_in_a_second(&heard) <= 51, "{}", most_in_a_second(&heard));
        let stats = server.handle().stats();
        assert!(stats.throttled > 0 && stats.resumed == 0, "{stats:?}");
        assert!(handle.is_connected(), "nobody was cut for waiting");
    });
}

#[test]
fn bytes_are_limited_to_less_than_a_frame_in_the_time_that_a_frame_may_take() {
    let sim = Sim::new(1);
    // A message of 16 KB takes more than half a minute.
    let bytes = Rate::per_second(500, 1_000);
    let traffic = TrafficLimits { bytes, ..TrafficLimits::UNLIMITED };
    let (server, heard) = listening(&sim, traffic);
    let net = from(&sim, &server, "192.0.2.1");
    let world = sim.clone();
    sim.run(async move {
        let handle = sending(&world, &net, 1, 4, 16_000);
        let last = until_heard(&world, &heard, 4).await;
        assert!((92 * SECOND..98 * SECOND).contains(&last), "{last}");
        assert_eq!(server.handle().stats().resumed, 0);
        assert!(handle.is_connected(), "nobody was cut for waiting");
    });
}

#[test]
fn a_source_shares_its_rate_and_another_one_has_its_own() {
    source_shares(TrafficLimits { source_messages: TEN_A_SECOND, ..TrafficLimits::UNLIMITED });
}

#[test]
fn a_source_shares_its_bytes_and_another_one_has_its_own() {
    let source_bytes = Rate::per_second(5_000, 500);
    source_shares(TrafficLimits { source_bytes, ..TrafficLimits::UNLIMITED });
}

fn source_shares(traffic: TrafficLimits) {
    let sim = Sim::new(1);
    let (server, heard) = listening(&sim, traffic);
    // Two addresses of one network of IPv6 are one source.
    let nets = ["2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"];
    let nets = nets.map(|address| from(&sim, &server, address));
    let world = sim.clone();
    sim.run(async move {
        let handles: Vec<_> =
            (0..3).map(|n| sending(&world, &nets[n], n as u64, 100, 400)).collect();
        until_heard(&world, &heard, 300).await;
        let heard = heard.lock().unwrap().clone();
        let last = |handle: &Handle| {
            heard.iter().rev().find(|(_, id)| Some(*id) == handle.id()).unwrap().0
        };
        let both = last(&handles[0]).max(last(&handles[1]));
        assert!((11 * SECOND..20 * SECOND).contains(&both), "{both}");
        let alone = last(&handles[2]);
        assert!((5 * SECOND..10 * SECOND).contains(&alone), "{alone}");
    });
}

#[test]
fn rates_change_at_once_for_connections_that_are_up() {
    let sim = Sim::new(1);
    let slow = TrafficLimits { messages: Rate::per_second(1, 1), ..TrafficLimits::UNLIMITED };
    let (server, heard) = listening(&sim, TrafficLimits::UNLIMITED);
    let net = from(&sim, &server, "192.0.2.1");
    let world = sim.clone();
    sim.run(async move {
        let handle = sending(&world, &net, 1, 50, 400);
        assert!(until_heard(&world, &heard, 50).await < SECOND, "nothing is limited yet");
        let mut limits = Limits::one_source();
        limits.traffic = slow;
        server.handle().set_limits(&limits).unwrap();
        let since = world.micros();
        let sender = handle.clone();
        world.aside(async move {
            for _ in 0..100 {
                sender.send(1u8, &[7; 400]).await.unwrap();
            }
        });
        world.sleep(20 * SECOND).await;
        let few = heard.lock().unwrap().len() - 50;
        assert!((30..50).contains(&few), "a window, and no more: {few}");
        limits.traffic = TrafficLimits::UNLIMITED;
        server.handle().set_limits(&limits).unwrap();
        let rest = until_heard(&world, &heard, 150).await - since;
        assert!(rest < 21 * SECOND, "{rest}: nobody waits any longer");
    });
}

#[test]
fn who_sends_faster_may_be_disconnected_and_keeps_its_session() {
    let sim = Sim::new(1);
    let traffic = TrafficLimits {
        messages: TEN_A_SECOND,
        when_exceeded: WhenExceeded::Disconnect,
        ..TrafficLimits::UNLIMITED
    };
    let (server, heard) = listening(&sim, traffic);
    let net = from(&sim, &server, "192.0.2.1");
    let world = sim.clone();
    sim.run(async move {
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Disconnected { code, .. } = event {
                notes.lock().unwrap().push(code);
            }
        };
        let (handle, runner) = client(&world, &net, eager(1), handler);
        world.aside(runner);
        for _ in 0..10 {
            handle.send(1u8, &[7; 400]).await.unwrap();
        }
        until_heard(&world, &heard, 10).await;
        world.sleep(5 * SECOND).await;
        assert!(told.lock().unwrap().is_empty(), "a burst is no excess");
        for _ in 0..11 {
            handle.send(1u8, &[7; 400]).await.unwrap();
        }
        until_heard(&world, &heard, 21).await;
        world.sleep(5 * SECOND).await;
        assert_eq!(*told.lock().unwrap(), [CloseCode::CALM]);
        let stats = server.handle().stats();
        assert_eq!((stats.resumed, stats.created, stats.throttled), (1, 1, 1));
    });
}

/// An application that says itself what it has taken cannot give credit that there is not.
#[test]
fn rates_hold_for_who_releases_by_hand() {
    let sim = Sim::new(1);
    let mut limits = Limits::one_source();
    limits.traffic = TrafficLimits { messages: TEN_A_SECOND, ..TrafficLimits::UNLIMITED };
    let session = Config { window: 16_387, release: Release::Manual, ..Config::SERVER };
    let config = ServerConfig { limits, ..served(session) };
    let heard = Heard::default();
    let (notes, clock) = (Arc::clone(&heard), sim.clone());
    let factory = move |_: &SessionInfo| {
        let (notes, clock) = (Arc::clone(&notes), clock.clone());
        move |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { .. } = event {
                notes.lock().unwrap().push((clock.micros(), peer.id().unwrap()));
                peer.release(peer.position());
            }
        }
    };
    let server = Server::new(sim.clone(), config, factory).unwrap();
    let net = from(&sim, &server, "192.0.2.1");
    let world = sim.clone();
    sim.run(async move {
        let handle = sending(&world, &net, 1, 200, 1_000);
        let last = until_heard(&world, &heard, 200).await;
        assert!(last > 15 * SECOND, "{last}");
        handle.flushed().await.unwrap();
        assert!(server.handle().stats().throttled > 0);
    });
}

/// What was too much at a lower rate is not waited for at a higher one.
#[test]
fn a_rate_that_is_raised_is_not_waited_for_any_longer() {
    for by_source in [false, true] {
        let sim = Sim::new(1);
        let limited = move |rate| match by_source {
            false => TrafficLimits { messages: rate, ..TrafficLimits::UNLIMITED },
            true => TrafficLimits { source_messages: rate, ..TrafficLimits::UNLIMITED },
        };
        let (server, heard) = listening(&sim, limited(Rate::per_second(1, 1)));
        let net = from(&sim, &server, "192.0.2.1");
        let world = sim.clone();
        sim.run(async move {
            let _handle = sending(&world, &net, 1, 2_000, 10);
            world.sleep(SECOND).await;
            let few = heard.lock().unwrap().len();
            assert!((900..1_500).contains(&few), "a window, and no more: {few}");
            let mut limits = Limits::one_source();
            limits.traffic = limited(Rate::per_second(1_000, 1_000));
            server.handle().set_limits(&limits).unwrap();
            let last = until_heard(&world, &heard, 2_000).await;
            assert!(last < 5 * SECOND, "{last}");
        });
    }
}
