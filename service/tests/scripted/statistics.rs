//! What a server counts, in virtual time.

use std::time::Duration;

use outlast_core::Config;
use outlast_service::plain::PlainConfig;
use outlast_service::plain::formats::{Packet, Tlv};
use outlast_service::{
    Handler, Incoming, Peer, Server, ServerConfig, ServerHandle, SessionInfo, Statistics,
};

use crate::executor::Sim;
use crate::link::{Faults, Link};
use crate::plain::{echo, listen, once, serve as serve_plain, until_connected};
use crate::world::{Net, Notes, Raw, client, deaf, eager, serve, served};

/// Sends every message back, and ends with its peer.
struct Echo;

impl Handler for Echo {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => drop(peer.send(route, payload).unwrap()),
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

fn delayed(net: &Net) {
    let slow = || Faults { delay: 500, ..Faults::default() };
    net.plan(move |_| Some((slow(), slow())));
}

/// How often something of this kind went wrong.
fn errors(all: &Statistics, stage: &str, kind: &str) -> u64 {
    let found = all.errors.iter().find(|error| error.stage.name() == stage && error.kind == kind);
    found.expect("every kind is there").count
}

/// One client after the other says `count` messages and goes.
async fn visits(sim: &Sim, net: &Net, server: &ServerHandle, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let (handle, runner) = client(sim, net, eager(seed), deaf);
        sim.aside(runner);
        for _ in 0..10 {
            handle.send(2u8, &[7; 96]).await.unwrap();
        }
        handle.finish();
        assert!(handle.closed().await.complete);
        while server.stats().connections > 0 {
            sim.sleep(500).await;
        }
    }
}

#[test]
fn totals_outlive_their_sessions_and_a_reset_begins_anew() {
    let sim = Sim::new(1);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| Echo);
    delayed(&net);
    let (world, server) = (sim.clone(), server.handle());
    sim.run(async move {
        let none = server.statistics();
        assert_eq!((none.messages_in, none.connections.total, none.error_count()), (0, 0, 0));
        visits(&world, &net, &server, 0..5).await;
        let all = server.statistics();
        assert_eq!((all.messages_in, all.messages_out), (50, 50));
        assert!(all.bytes_in >= 50 * 100 && all.bytes_out >= 50 * 100, "{all:?}");
        assert_eq!((all.sessions.total, all.sessions.now, all.sessions.peak), (5, 0, 1));
        assert_eq!((all.connections.total, all.connections.now), (5, 0));
        assert_eq!((all.connections.peak, all.disconnections), (1, 5));
        assert_eq!(all.error_count(), 0, "{:?}", all.errors);
        assert!(all.handler.count() >= 5, "the first message of each is timed");
        assert!(all.rates.messages_in > 0.0 && all.uptime == all.counted);
        // From here on anew, and from the start as before.
        server.reset_statistics();
        let anew = server.statistics();
        assert_eq!((anew.messages_in, anew.bytes_out, anew.handler.count()), (0, 0, 0));
        assert_eq!((anew.connections.total, anew.connections.peak), (0, 0));
        world.sleep(1_000_000).await;
        visits(&world, &net, &server, 5..7).await;
        let (anew, all) = (server.statistics(), server.statistics_since_start());
        assert_eq!((anew.messages_in, all.messages_in), (20, 70));
        assert_eq!((anew.sessions.total, all.sessions.total), (2, 7));
        assert_eq!((anew.sessions.peak, anew.disconnections), (1, 2));
        assert!(anew.counted + Duration::from_millis(1) < all.counted);
        assert_eq!(all.started, none.started);
    });
}

#[test]
fn resumes_and_what_was_sent_again_are_counted_and_so_is_what_went_wrong() {
    let sim = Sim::new(2);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| Echo);
    delayed(&net);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    sim.aside(runner);
    let world = sim.clone();
    sim.run(async move {
        let shown = server.handle();
        handle.send_receipted(1u8, b"x").await.unwrap().await.unwrap();
        for round in 0..3 {
            // Echoes are under way when the link breaks.
            for _ in 0..20 {
                handle.send(2u8, &[7; 1000]).await.unwrap();
            }
            world.sleep(700).await;
            net.last().cut(true);
            while shown.statistics().resumes <= round {
                world.sleep(500).await;
            }
        }
        let all = shown.statistics();
        assert_eq!((all.sessions.total, all.connections.total, all.resumes), (1, 4, 3));
        let broken =
            errors(&all, "connection", "STREAM_ENDED") + errors(&all, "connection", "TRANSPORT");
        assert_eq!((broken, all.error_count()), (3, 3), "{:?}", all.errors);
        assert!(all.replayed > 0, "{all:?}");
        // Somebody who says nothing that is allowed.
        let link = Link::new(&world, Faults::default(), Faults::default(), 7);
        let (near, far) = link.ends();
        server.spawn_connection(far, None);
        let mut raw = Raw::new(&world, near);
        raw.write(&[0xFF; 64]).await.unwrap();
        while raw.frame().await.is_some() {}
        let all = shown.statistics();
        assert_eq!((errors(&all, "handshake", "BAD_FRAME"), all.error_count()), (1, 4));
    });
}

/// Who is silent for long is asked for a sign of life, and that is when it is measured.
#[test]
fn round_trips_are_counted_when_they_were_measured() {
    let sim = Sim::new(6);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| Echo);
    delayed(&net);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    sim.aside(runner);
    let (world, server) = (sim.clone(), server.handle());
    sim.run(async move {
        handle.send_receipted(2u8, b"x").await.unwrap().await.unwrap();
        world.sleep(2_000_000).await;
        assert_eq!(server.statistics().rtt.count(), 0, "nobody had to ask");
        net.last().change(true, |faults| faults.stalled = true);
        world.sleep(36_000_000).await;
        net.last().change(true, |faults| faults.stalled = false);
        let since = world.micros();
        while server.statistics().rtt.count() == 0 {
            assert!(world.micros() < since + 60_000_000, "it was never measured");
            world.sleep(500).await;
        }
        let rtt = server.statistics().rtt;
        assert!(rtt.quantile(0.5) >= Duration::from_millis(1), "{rtt:?}");
        assert!(rtt.count() <= 2, "once in a second, however often it was awake: {rtt:?}");
    });
}

#[test]
fn rates_are_those_of_the_last_ten_seconds() {
    let sim = Sim::new(3);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| Echo);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    sim.aside(runner);
    let (world, server) = (sim.clone(), server.handle());
    sim.run(async move {
        for second in 0..60 {
            // A hundred in each of the first thirty, ten in each of the others.
            for _ in 0..if second < 30 { 100 } else { 10 } {
                handle.send(2u8, &[7; 96]).await.unwrap();
            }
            world.sleep(1_000_000).await;
            let rates = server.statistics().rates;
            let expected = match second {
                15..30 => 100.0,
                45.. => 10.0,
                _ => continue,
            };
            assert!((rates.messages_in - expected).abs() < expected / 9.0, "{second}: {rates:?}");
            assert!((rates.bytes_in - expected * 100.0).abs() < expected * 12.0, "{rates:?}");
            assert!(rates.window >= Duration::from_secs(9), "{rates:?}");
        }
    });
}

#[test]
fn what_is_switched_off_is_not_counted_and_connections_are() {
    let sim = Sim::new(4);
    let config = ServerConfig { statistics: false, ..served(Config::SERVER) };
    let server = Server::new(sim.clone(), config, |_: &SessionInfo| Echo).unwrap();
    let net = Net::serving(&sim, &server);
    let (world, server) = (sim.clone(), server.handle());
    sim.run(async move {
        visits(&world, &net, &server, 0..3).await;
        let all = server.statistics();
        assert_eq!((all.messages_in, all.bytes_out, all.handler.count()), (0, 0, 0));
        assert_eq!((all.rtt.count(), all.connections.total, all.sessions.total), (0, 3, 3));
    });
}

#[test]
fn connections_without_sessions_are_counted_the_same_way() {
    let sim = Sim::new(5);
    let notes = Notes::default();
    let (server, net) = serve_plain(&sim, PlainConfig::default(), Tlv::default(), echo(&notes));
    let (world, server) = (sim.clone(), server.handle());
    sim.run(async move {
        for round in 1..=3 {
            let handle = crate::plain::client(&world, &net, once(), Tlv::default(), listen(&notes));
            until_connected(&world, &handle).await;
            handle.send(&Packet::one_way(1, &b"something"[..])).await.unwrap();
            while server.statistics().messages_out < round {
                world.sleep(500).await;
            }
            handle.close();
            while server.stats().connections > 0 {
                world.sleep(500).await;
            }
        }
        let all = server.statistics();
        assert_eq!((all.messages_in, all.messages_out, all.sessions.total), (3, 3, 0));
        assert_eq!((all.connections.total, all.connections.peak, all.disconnections), (3, 1, 3));
        assert_eq!((all.bytes_in, all.handler.count()), (3 * 17, 3), "{all:?}");
        server.reset_statistics();
        assert_eq!((server.statistics().messages_in, server.is_draining()), (0, false));
        assert_eq!(server.statistics_since_start().messages_in, 3);
    });
}
