//! Who may come in: limits that change while the server runs, connections that wait for room, and
//! addresses that may not connect.

use std::net::SocketAddr;
use std::time::Duration;

use outlast_core::wire::{Close, Frame, MAX_BODY};
use outlast_core::{CloseCode, Config};
use outlast_service::{AccessList, Incoming, Limits, Peer, Server, ServerConfig, SessionInfo};

use crate::executor::Sim;
use crate::link::{Faults, Link};
use crate::world::{Raw, deaf, served};

type Handler = fn(&mut Peer<'_>, Incoming<'_>);

/// A server that connections come to from anywhere.
#[derive(Clone)]
struct House {
    sim: Sim,
    server: Server<Sim, Handler>,
}

impl House {
    fn new(sim: &Sim, limits: Limits) -> Self {
        let config = ServerConfig { limits, ..served(Config::SERVER) };
        let factory = |_: &SessionInfo| deaf as Handler;
        Self { server: Server::new(sim.clone(), config, factory).unwrap(), sim: sim.clone() }
    }

    /// A connection from this address.
    fn knock(&self, from: &str) -> Raw {
        let link = Link::new(&self.sim, Faults::default(), Faults::default(), 7);
        let (near, far) = link.ends();
        let remote = SocketAddr::new(from.parse().unwrap(), 4000);
        self.server.spawn_connection(far, Some(remote));
        Raw::new(&self.sim, near)
    }

    /// Whether a connection from there is let in, greets, and has a session.
    async fn lets_in(&self, from: &str) -> Option<Raw> {
        let mut raw = self.knock(from);
        let before = self.server.handle().stats().created;
        raw.greet(Config::CLIENT).await.then_some(())?;
        assert_eq!(self.server.handle().stats().created, before + 1);
        Some(raw)
    }
}

/// What a connection is told that says nothing: the CLOSE, if there is one before the end.
async fn told(mut raw: Raw) -> Option<CloseCode> {
    let frame = raw.frame().await?;
    let (header, body, _) = Frame::split(&frame, MAX_BODY).unwrap().unwrap();
    match Frame::decode(header, body) {
        Ok(Frame::Close(Close { code, .. })) => Some(code),
        other => panic!("{other:?} instead of CLOSE"),
    }
}

fn one_connection() -> Limits {
    let mut limits = Limits::one_source();
    (limits.connections.max_connections, limits.connections.reserve_share) = (1, 0);
    limits
}

#[test]
fn limits_change_at_once_and_nobody_has_to_leave() {
    let sim = Sim::new(1);
    let house = House::new(&sim, one_connection());
    sim.run(async move {
        let handle = house.server.handle();
        let first = house.lets_in("192.0.2.1").await.unwrap();
        assert_eq!(told(house.knock("192.0.2.1")).await, Some(CloseCode::BUSY));
        let mut limits = one_connection();
        limits.connections.max_connections = 2;
        handle.set_limits(&limits).unwrap();
        let second = house.lets_in("192.0.2.1").await.unwrap();
        handle.set_limits(&one_connection()).unwrap();
        assert_eq!(handle.stats().connections, 2, "nobody had to leave");
        assert_eq!(told(house.knock("192.0.2.2")).await, Some(CloseCode::BUSY));
        assert_eq!((handle.stats().refused, handle.stats().refusals.full), (2, 2));
        // Sessions too: those of the two connections stay, another one does not begin.
        limits.sessions.max_entries = 2;
        limits.connections.max_connections = 9;
        handle.set_limits(&limits).unwrap();
        assert_eq!(told_after_hello(house.knock("192.0.2.3")).await, Some(CloseCode::BUSY));
        limits.sessions.max_entries = 0;
        assert_eq!(handle.set_limits(&limits).unwrap_err().key(), "max_entries");
        drop((first, second));
    });
}

/// What a connection is told in answer to HELLO.
async fn told_after_hello(mut raw: Raw) -> Option<CloseCode> {
    raw.hello(Config::CLIENT).await;
    told(raw).await
}

#[test]
fn a_connection_may_wait_for_another_one_to_go() {
    let sim = Sim::new(1);
    let patience = Duration::from_secs(5);
    let house = House::new(&sim, Limits { patience, ..one_connection() });
    let world = sim.clone();
    sim.run(async move {
        let handle = house.server.handle();
        let first = house.lets_in("192.0.2.1").await.unwrap();
        let waiting = house.knock("192.0.2.2");
        world.sleep(4_999_000).await;
        assert_eq!(handle.stats().refused, 0, "it waits");
        drop(first);
        // The place that is free now is that of the one who waited, not of who comes later.
        let mut waiting = waiting;
        assert!(waiting.greet(Config::CLIENT).await);
        let late = house.knock("192.0.2.3");
        let since = world.micros();
        assert_eq!(told(late).await, Some(CloseCode::BUSY));
        assert_eq!(world.micros() - since, 5_000_000, "refused when its patience is over");
        assert_eq!((handle.stats().refused, handle.stats().accepted), (1, 2));
    });
}

#[test]
fn who_connects_too_often_waits_until_the_rate_allows_it() {
    let sim = Sim::new(1);
    let mut limits = Limits { patience: Duration::from_secs(5), ..Limits::one_source() };
    limits.connections.source_rate = outlast_core::admission::Rate::per_second(1, 1);
    let house = House::new(&sim, limits);
    let world = sim.clone();
    sim.run(async move {
        let since = world.micros();
        let first = house.lets_in("192.0.2.1").await.unwrap();
        let second = house.lets_in("192.0.2.1").await.unwrap();
        assert_eq!(world.micros() - since, 1_000_000);
        let other = house.lets_in("192.0.2.2").await.unwrap();
        assert_eq!(world.micros() - since, 1_000_000, "each source has its own rate");
        drop((first, second, other));
    });
}

#[test]
fn an_address_that_may_not_connect_is_told_nothing() {
    let sim = Sim::new(1);
    let access = AccessList::open().deny("192.0.2.0/24").unwrap();
    let patience = Duration::from_secs(5);
    let house = House::new(&sim, Limits { access, patience, ..Limits::one_source() });
    let world = sim.clone();
    sim.run(async move {
        let handle = house.server.handle();
        let since = world.micros();
        assert_eq!(told(house.knock("192.0.2.1")).await, None);
        assert_eq!(told(house.knock("::ffff:192.0.2.1")).await, None, "IPv4 inside IPv6");
        assert_eq!(world.micros(), since, "and does not wait");
        assert_eq!((handle.stats().refused, handle.stats().refusals.denied), (2, 2));
        let inside = house.lets_in("198.51.100.1").await.unwrap();
        handle.set_access(AccessList::closed().allow("192.0.2.0/24").unwrap());
        assert_eq!(told(house.knock("198.51.100.1")).await, None);
        assert_eq!(handle.stats().connections, 1, "who is in stays");
        assert!(house.lets_in("192.0.2.1").await.is_some());
        drop(inside);
    });
}

#[test]
fn all_sessions_can_be_ended_and_the_server_goes_on() {
    let sim = Sim::new(1);
    let house = House::new(&sim, Limits::one_source());
    let world = sim.clone();
    sim.run(async move {
        let handle = house.server.handle();
        let mut all = vec![
            house.lets_in("192.0.2.1").await.unwrap(),
            house.lets_in("192.0.2.2").await.unwrap(),
        ];
        let ids: Vec<u64> = handle.sessions().iter().map(|info| info.id).collect();
        assert_eq!(handle.end_all(CloseCode::GOING_AWAY), 2);
        for raw in &mut all {
            let frame = raw.wait_for(outlast_core::wire::Op::Close).await.unwrap();
            let (header, body, _) = Frame::split(&frame, MAX_BODY).unwrap().unwrap();
            let Ok(Frame::Close(close)) = Frame::decode(header, body) else {
                panic!("no CLOSE");
            };
            assert_eq!(close.code, CloseCode::GOING_AWAY);
        }
        drop(all);
        world.sleep(10_000).await;
        assert!(!handle.end(ids[0], CloseCode::GOING_AWAY), "it is over");
        assert!(!handle.disconnect(ids[1], CloseCode::GOING_AWAY));
        assert!(house.lets_in("192.0.2.1").await.is_some());
    });
}
