//! How fast connections without sessions may send.

use std::time::Duration;

use outlast_core::admission::Rate;
use outlast_service::plain::formats::{Ltv, Packet};
use outlast_service::plain::{Batch, PlainConfig, PlainServer};
use outlast_service::{Limits, TrafficLimits, WhenExceeded};

use crate::executor::Sim;
use crate::plain::{Echo, SECOND, Wire, client, echo, listen, once, serve, until_connected};
use crate::world::{Net, Notes};

/// A server with these rates, and how many packets it heard by when.
fn throttled(sim: &Sim, traffic: TrafficLimits) -> (PlainServer<Sim, Echo>, Net, Notes) {
    let notes = Notes::default();
    let limits = Limits { traffic, ..Limits::one_source() };
    let made =
        PlainServer::new(sim.clone(), PlainConfig::default(), limits, Ltv::default(), echo(&notes));
    let server = made.unwrap();
    let at = server.clone();
    (server, Net::new(sim, move |io| at.spawn_connection(io, None, None)), notes)
}

#[test]
fn packets_are_read_no_faster_than_they_may_come_and_none_is_lost() {
    let sim = Sim::new(1);
    let messages = Rate::per_second(10, 10);
    let traffic = TrafficLimits { messages, ..TrafficLimits::UNLIMITED };
    let (server, net, _) = throttled(&sim, traffic);
    let world = sim.clone();
    sim.run(async move {
        let notes = Notes::default();
        let handle = client(&world, &net, once(), Ltv::default(), listen(&notes));
        until_connected(&world, &handle).await;
        let since = world.micros();
        for number in 0..500 {
            let packet = Packet::one_way(number, &[1; 100]);
            handle.send(&packet).await.unwrap();
        }
        // More than the idle timeout passes: who is not read cannot show that it lives.
        while notes.count("Id(") < 500 {
            world.sleep(10_000).await;
            assert_eq!(notes.count("closed"), 0, "{:?}", notes.all().last());
        }
        let took = world.micros() - since;
        assert!((48 * SECOND..50 * SECOND).contains(&took), "{took}");
        assert!(server.handle().stats().throttled > 0);
    });
}

#[test]
fn who_sends_packets_faster_may_be_disconnected() {
    let sim = Sim::new(1);
    let traffic = TrafficLimits {
        bytes: Rate::per_second(1_000, 5_000),
        when_exceeded: WhenExceeded::Disconnect,
        ..TrafficLimits::UNLIMITED
    };
    let (server, net, notes) = throttled(&sim, traffic);
    let world = sim.clone();
    sim.run(async move {
        let packet: Vec<u8> =
            [&992_u32.to_le_bytes()[..], &7_u32.to_le_bytes()[..], &[1; 992]].concat();
        let mut wire = Wire::to(&net);
        assert!(wire.write(&packet.repeat(5)).await);
        assert_eq!(wire.read(5_000).await.len(), 5_000, "a burst is no excess");
        world.sleep(2 * SECOND).await;
        assert_eq!(server.handle().stats().throttled, 0);
        assert!(wire.write(&packet.repeat(3)).await);
        notes.wait(&world, "closed TooFast").await;
        assert_eq!(server.handle().stats().throttled, 1);
    });
}

#[test]
fn rates_of_packets_change_at_once() {
    let sim = Sim::new(1);
    let messages = Rate::per_second(1, 1);
    let (server, net, _) = throttled(&sim, TrafficLimits { messages, ..TrafficLimits::UNLIMITED });
    let world = sim.clone();
    sim.run(async move {
        let mut wire = Wire::to(&net);
        let packet: Vec<u8> =
            [&992_u32.to_le_bytes()[..], &7_u32.to_le_bytes()[..], &[1; 992]].concat();
        assert!(wire.write(&packet.repeat(20)).await);
        world.sleep(5 * SECOND).await;
        server.handle().set_limits(&Limits::one_source()).unwrap();
        let since = world.micros();
        assert_eq!(wire.read(20_000).await.len(), 20_000);
        assert!(world.micros() - since < SECOND);
    });
}

#[test]
fn small_packets_wait_for_others_and_no_longer_than_they_may() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (_, net) = serve(&sim, PlainConfig::default(), Ltv::default(), echo(&notes));
    let world = sim.clone();
    sim.run(async move {
        let batch = Batch { bytes: 5_000, messages: 10, delay: Duration::from_millis(100) };
        let mut config = once();
        config.connection.batch = Some(batch);
        let heard = Notes::default();
        let handle = client(&world, &net, config, Ltv::default(), listen(&heard));
        until_connected(&world, &handle).await;
        let link = net.last();
        let send = async |id: u32, size: usize| {
            handle.send(&Packet::one_way(id, &vec![1; size])).await.unwrap();
            world.sleep(1_000).await;
        };
        for _ in 0..100 {
            send(1, 16).await;
        }
        assert_eq!((link.up().writes, heard.count("Id(1)")), (10, 100));
        for _ in 0..5 {
            send(2, 1_000).await;
        }
        assert_eq!((link.up().writes, heard.count("Id(2)")), (11, 5));
        let since = world.micros();
        send(3, 16).await;
        heard.wait(&world, "Id(3)").await;
        let took = world.micros() - since;
        assert!((100_000..101_000).contains(&took), "{took}");
        // Who leaves does not wait.
        send(4, 16).await;
        let since = world.micros();
        handle.finish();
        handle.closed().await;
        assert!(world.micros() - since < 10_000);
        let last = [&[16, 0, 0, 0, 4, 0, 0, 0][..], &[1; 16]].concat();
        assert!(link.up().log.ends_with(&last), "{:?}", link.up().log);
    });
}

#[test]
fn a_batch_that_the_transport_does_not_take_times_out() {
    let sim = Sim::new(1);
    let notes = Notes::default();
    let (_, net) = serve(&sim, PlainConfig::default(), Ltv::default(), echo(&Notes::default()));
    let world = sim.clone();
    sim.run(async move {
        let batch = Batch { bytes: 5_000, messages: 10, delay: Duration::from_millis(100) };
        let mut config = once();
        config.connection.batch = Some(batch);
        config.connection.write_timeout = Duration::from_secs(5);
        let handle = client(&world, &net, config, Ltv::default(), listen(&notes));
        until_connected(&world, &handle).await;
        net.last().change(true, |faults| faults.stalled = true);
        let since = world.micros();
        handle.try_send(&Packet::one_way(1, &[1; 100])).unwrap();
        notes.wait(&world, "closed WriteTimeout").await;
        let took = world.micros() - since;
        assert!((5 * SECOND..6 * SECOND).contains(&took), "{took}");
    });
}
