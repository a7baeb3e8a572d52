//! What a server shows of its sessions, and what it tells of them, in virtual time.

use std::net::SocketAddr;
use std::time::Duration;

use outlast_core::{CloseCode, Config};
use outlast_service::{
    AccessList, Cause, Events, Handler, Incoming, Lagged, Limits, Peer, Runtime, Server,
    ServerConfig, ServerEvent, ServerLimit, SessionInfo, SessionState, Why, WhyRefused,
};

use crate::ends::PATIENT;
use crate::executor::Sim;
use crate::link::{Faults, Link};
use crate::world::{Notes, Raw, client, deaf, eager, serve, served};

/// Ends with its peer.
fn polite(peer: &mut Peer<'_>, event: Incoming<'_>) {
    if let Incoming::Finished = event {
        peer.finish();
    }
}

fn read<E>(events: &mut Events<E>) -> Vec<Result<E, Lagged>> {
    std::iter::from_fn(|| events.try_next()).collect()
}

async fn until(sim: &Sim, is_so: impl Fn() -> bool) {
    let since = sim.micros();
    while !is_so() {
        assert!(sim.micros() < since + 600_000_000, "it never was");
        sim.sleep(500).await;
    }
}

#[test]
fn the_life_of_a_session_is_told_in_order_and_the_stream_ends_with_the_server() {
    let sim = Sim::new(1);
    let (server, net) = serve(&sim, PATIENT, |_: &SessionInfo| polite);
    let mut events = server.handle().events(16);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    sim.aside(runner);
    let world = sim.clone();
    sim.run(async move {
        let Some(Ok(ServerEvent::Opened { id, principal: None, .. })) = events.next().await else {
            panic!("it is there");
        };
        // The client knows of it: else it would be forgotten.
        handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
        net.last().cut(true);
        let Some(Ok(ServerEvent::Detached { id: lost, cause, .. })) = events.next().await else {
            panic!("it has lost its connection");
        };
        assert_eq!(lost, id);
        assert!(matches!(cause, Cause::Transport(_)), "{cause}");
        let event = events.next().await;
        let Some(Ok(ServerEvent::Resumed { id: again, .. })) = event else {
            panic!("{event:?}");
        };
        assert_eq!(again, id);
        until(&world, || handle.is_connected()).await;
        handle.finish();
        let Some(Ok(ServerEvent::Closed { id: over, closed })) = events.next().await else {
            panic!("it is over");
        };
        assert_eq!((over, closed.why, closed.complete), (id, Why::Finished, true));
        until(&world, || server.handle().stats().connections == 0).await;
        // A handle alone is no server, and keeps no stream going.
        let left = server.handle();
        server.drain(Duration::ZERO).await;
        // What accepts connections has it, and the task that kept its house.
        drop((server, net));
        assert_eq!(events.next().await, None);
        assert!(events.is_over() && left.events(1).is_over());
    });
}

#[test]
fn a_reader_that_lags_is_told_how_far_and_the_server_does_not_wait() {
    let sim = Sim::new(2);
    let (server, net) = serve(&sim, PATIENT, |_: &SessionInfo| polite);
    let (mut narrow, mut wide) = (server.handle().events(4), server.handle().events(1000));
    let world = sim.clone();
    sim.run(async move {
        for seed in 0..20 {
            let (handle, runner) = client(&world, &net, eager(seed), deaf);
            world.aside(runner);
            until(&world, || handle.id().is_some()).await;
            handle.finish();
            assert!(handle.closed().await.complete);
        }
        until(&world, || server.handle().stats().sessions == 0).await;
        let all = read(&mut wide);
        let few = read(&mut narrow);
        assert_eq!(few[0], Err(Lagged(all.len() as u64 - 4)));
        assert_eq!(few[1..], all[all.len() - 4..]);
        let opened = all.iter().filter(|event| matches!(event, Ok(ServerEvent::Opened { .. })));
        let closed = all.iter().filter(|event| matches!(event, Ok(ServerEvent::Closed { .. })));
        assert_eq!((opened.count(), closed.count()), (20, 20));
    });
}

#[test]
fn refusals_say_why_and_a_limit_is_told_of_once() {
    let sim = Sim::new(3);
    let mut limits = Limits::one_source();
    (limits.connections.max_connections, limits.connections.reserve_share) = (1, 0);
    limits.access = AccessList::open().deny("198.51.100.0/24").unwrap();
    let config = ServerConfig { limits, ..served(Config::SERVER) };
    type Deaf = fn(&mut Peer<'_>, Incoming<'_>);
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf as Deaf).unwrap();
    let mut events = server.handle().events(64);
    let world = sim.clone();
    sim.run(async move {
        let knock = |from: &str| {
            let link = Link::new(&world, Faults::default(), Faults::default(), 7);
            let (near, far) = link.ends();
            let remote: SocketAddr = from.parse().unwrap();
            server.spawn_connection(far, Some(remote));
            (Raw::new(&world, near), Some(remote))
        };
        let (mut first, _) = knock("192.0.2.1:1000");
        assert!(first.greet(Config::CLIENT).await);
        let (_second, two) = knock("192.0.2.2:1000");
        let (_third, three) = knock("192.0.2.3:1000");
        let (_fourth, four) = knock("198.51.100.4:1000");
        world.sleep(1_000).await;
        let (full, denied) = (WhyRefused::Full, WhyRefused::Denied);
        let told = read(&mut events);
        assert!(matches!(told[0], Ok(ServerEvent::Opened { .. })), "{told:?}");
        assert_eq!(
            told[1..],
            [
                Ok(ServerEvent::Refused { remote: two, why: full }),
                Ok(ServerEvent::LimitReached(ServerLimit::Connections)),
                Ok(ServerEvent::Refused { remote: three, why: full }),
                Ok(ServerEvent::Refused { remote: four, why: denied }),
            ]
        );
        // The first one goes, another comes in and says nothing that is allowed.
        drop(first);
        until(&world, || server.handle().stats().connections == 0).await;
        let (mut fifth, five) = knock("192.0.2.5:1000");
        fifth.write(&[0xFF; 64]).await.unwrap();
        while fifth.frame().await.is_some() {}
        let told = read(&mut events);
        assert!(matches!(told[0], Ok(ServerEvent::Detached { .. })), "{told:?}");
        let Ok(ServerEvent::HandshakeFailed { remote, code }) = told[1] else {
            panic!("{told:?}");
        };
        assert_eq!((remote, code == CloseCode::OK), (five, false));
    });
}

#[test]
fn a_server_that_has_no_room_for_another_session_says_so_once() {
    let sim = Sim::new(6);
    let mut limits = Limits::one_source();
    limits.sessions.max_entries = 1;
    let config = ServerConfig { limits, ..served(Config::SERVER) };
    type Deaf = fn(&mut Peer<'_>, Incoming<'_>);
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf as Deaf).unwrap();
    let mut events = server.handle().events(64);
    let world = sim.clone();
    sim.run(async move {
        let knock = || {
            let link = Link::new(&world, Faults::default(), Faults::default(), 7);
            let (near, far) = link.ends();
            server.spawn_connection(far, None);
            Raw::new(&world, near)
        };
        let mut first = knock();
        assert!(first.greet(Config::CLIENT).await);
        for _ in 0..2 {
            assert!(!knock().greet(Config::CLIENT).await);
        }
        let told: Vec<_> = read(&mut events).into_iter().map(Result::unwrap).collect();
        let failed = ServerEvent::HandshakeFailed { remote: None, code: CloseCode::BUSY };
        assert!(matches!(told[0], ServerEvent::Opened { .. }));
        let reached = ServerEvent::LimitReached(ServerLimit::Sessions);
        assert_eq!(told[1..], [reached, failed.clone(), failed]);
    });
}

/// Echoes what comes on route 2.
struct Counted;

impl Handler for Counted {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } if route.get() == 2 => {
                peer.send(2u8, payload).unwrap();
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// Notes each message.
fn count(notes: &Notes) -> impl Handler + use<> {
    let notes = notes.clone();
    move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { .. } = event {
            notes.add("message");
        }
    }
}

#[test]
fn a_session_shows_what_it_has_carried() {
    let sim = Sim::new(4);
    let (server, net) = serve(&sim, Config::SERVER, |info: &SessionInfo| {
        assert_eq!((info.state, info.messages_in), (SessionState::Opening, 0));
        Counted
    });
    net.plan(|_| {
        Some((
            Faults { delay: 500, ..Faults::default() },
            Faults { delay: 500, ..Faults::default() },
        ))
    });
    let heard = Notes::default();
    let listen = count(&heard);
    let (handle, runner) = client(&sim, &net, eager(1), listen);
    sim.aside(runner);
    let world = sim.clone();
    sim.run(async move {
        world.sleep(2_000_000).await;
        let begun = world.now();
        let (server, id) = (server.handle(), handle.id().unwrap());
        let info = || server.info(id).unwrap();
        let idle = info();
        assert_eq!((idle.state, idle.connected, idle.resumes), (SessionState::Connected, true, 0));
        assert!(idle.opened_at < begun && idle.connected_at.unwrap() <= begun);
        assert!(idle.active_at < begun);
        assert_eq!((idle.messages_in, idle.messages_out, idle.errors), (0, 0, 0));
        for _ in 0..10 {
            handle.send(2u8, &[7; 100]).await.unwrap();
        }
        handle.flushed().await.unwrap();
        until(&world, || heard.count("message") == 10).await;
        world.sleep(100_000).await;
        let carried = info();
        assert_eq!((carried.messages_in, carried.messages_out), (10, 10));
        assert_eq!((carried.bytes_in, carried.bytes_out), (1040, 1040));
        assert_eq!((carried.queued, carried.unacknowledged), (0, 0));
        assert!(carried.active_at >= begun && carried.active_at < world.now());
        assert_eq!(carried.rtt, Duration::ZERO, "nobody had to ask");
        // The client is silent for so long that the server asks, and answers then.
        net.last().change(true, |faults| faults.stalled = true);
        world.sleep(36_000_000).await;
        net.last().change(true, |faults| faults.stalled = false);
        until(&world, || info().rtt > Duration::from_millis(1)).await;
        // The client takes nothing any more: what is sent piles up, and is shown.
        net.last().change(false, |faults| faults.stalled = true);
        let session = server.get(id).unwrap();
        for _ in 0..100 {
            session.try_send(3u8, &[0; 1000]).unwrap();
        }
        world.sleep(10_000).await;
        let waiting = info();
        assert_eq!(waiting.queued + waiting.unacknowledged, 100_400, "{waiting:?}");
        assert_eq!(waiting.messages_out, 110);
        net.plan(|_| None);
        net.last().cut(true);
        until(&world, || info().state == SessionState::Detached).await;
        assert_eq!((info().connected, info().connected_at), (false, None));
        net.plan(|_| Some(Default::default()));
        until(&world, || info().state == SessionState::Connected).await;
        until(&world, || info().unacknowledged == 0).await;
        assert_eq!((info().resumes, info().messages_out), (1, 110), "each is counted once");
        assert_eq!(server.sessions(), [info()]);
        let session = server.get(id).unwrap();
        handle.finish();
        until(&world, || server.info(id).is_none()).await;
        assert_eq!(session.info().unwrap().state, SessionState::Closed);
    });
}

#[cfg(feature = "formats")]
mod plain {
    use outlast_service::plain::formats::{Ltv, Packet};
    use outlast_service::plain::{
        PlainCause, PlainConfig, PlainEvent, PlainInfo, PlainPeer, PlainServer, PlainServerEvent,
    };

    use super::*;
    use crate::plain::Wire;
    use crate::world::Net;

    #[test]
    fn a_server_without_sessions_tells_and_shows_as_much() {
        let sim = Sim::new(5);
        let mut limits = Limits::one_source();
        (limits.connections.max_connections, limits.connections.reserve_share) = (1, 0);
        let config = PlainConfig::default();
        let factory = |_: &PlainInfo| {
            |peer: &mut PlainPeer<'_>, event: PlainEvent<'_>| {
                if let PlainEvent::Packet(packet) = event {
                    std::mem::forget(peer.defer(packet));
                }
            }
        };
        let made = PlainServer::new(sim.clone(), config, limits, Ltv::default(), factory);
        let server = made.unwrap();
        let (at, local) = (server.clone(), "192.0.2.9:7".parse::<SocketAddr>().unwrap());
        let net = Net::new(&sim, move |io| at.spawn_connection(io, Some(local), None));
        net.plan(|_| Some((Faults::default(), Faults { stalled: true, ..Faults::default() })));
        let mut events = server.handle().events(16);
        let world = sim.clone();
        sim.run(async move {
            let mut wire = Wire::to(&net);
            assert!(wire.write(&[6, 0, 0, 0, 1, 0, 0, 0]).await);
            world.sleep(1_000).await;
            let _refused = Wire::to(&net);
            world.sleep(1_000).await;
            let server = server.handle();
            let id = server.connections()[0].id;
            for payload in [&b"one"[..], b"two", b"three"] {
                server.send_to(id, &Packet::one_way(1, payload)).unwrap();
                world.sleep(1_000).await;
            }
            let info = server.connections()[0];
            assert_eq!(info.local, Some(local));
            assert_eq!((info.queued_packets, info.packets_out, info.connections), (3, 3, 1));
            assert_eq!((info.queued, info.bytes_out, info.sent_at), (3 * 8 + 11, 0, None));
            let report = server.send_to_many([id, 77], &Packet::one_way(1, b"x"));
            assert_eq!((report.sent, report.failed.len()), (1, 1));
            server.close(id);
            until(&world, || server.connections().is_empty()).await;
            let told: Vec<_> = read(&mut events).into_iter().map(Result::unwrap).collect();
            let [
                PlainServerEvent::Connected { id: first, .. },
                PlainServerEvent::Refused { why: WhyRefused::Full, .. },
                PlainServerEvent::LimitReached(ServerLimit::Connections),
                PlainServerEvent::Closed { id: last, closed },
            ] = told[..]
            else {
                panic!("{told:?}");
            };
            assert_eq!((first, last, closed.cause), (id, id, PlainCause::Local));
        });
    }
}
