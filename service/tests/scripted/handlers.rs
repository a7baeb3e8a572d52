//! Handlers that send by themselves, in their turns.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outlast_core::wire::Route;
use outlast_core::{CloseCode, Config};
use outlast_service::{
    Handler, Incoming, Peer, Runtime, SendError, Server, ServerConfig, SessionInfo, Why,
};

use crate::executor::Sim;
use crate::link::Faults;
use crate::world::{Net, client, deaf, eager, for_seeds, served};

const SECOND: u64 = 1_000_000;

/// Sends everything back, and keeps what finds no room until there is some.
#[derive(Default)]
struct Echo(VecDeque<(Route, Vec<u8>)>);

impl Echo {
    fn pump(&mut self, peer: &mut Peer<'_>) {
        while let Some((route, payload)) = self.0.front() {
            match peer.send_long(*route, payload) {
                Err(SendError::Full) => return,
                sent => sent.unwrap(),
            }
            self.0.pop_front();
        }
    }
}

impl Handler for Echo {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => {
                self.0.push_back((route, payload.to_vec()));
                self.pump(peer);
            }
            Incoming::Resumed { .. } | Incoming::Writable => self.pump(peer),
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// Messages of all lengths come back once and in order, though there is little room, connections
/// break, and others send through a handle between them: whenever a handler was refused it is told
/// when there is room, whoever had taken it.
#[test]
fn a_handler_that_was_refused_is_told_when_there_is_room() {
    const COUNT: u32 = 60;
    for_seeds(20, |seed, mut rng| {
        let sim = Sim::new(seed);
        let config = Config { send_buffer: 20_000, ..Config::SERVER };
        let server = Server::new(sim.clone(), served(config), |_: &SessionInfo| Echo::default());
        let server = server.unwrap();
        let house = server.clone();
        sim.spawn(async move { house.keep_house().await });
        let net = Net::serving(&sim, &server);
        let mut cuts = crate::executor::Rng(rng.next());
        net.plan(move |_| {
            let mut one = || Faults {
                read_max: cuts.range(1_000, 9_000) as usize,
                delay: cuts.range(0, 2_000),
                cut_after: cuts.chance(50).then(|| cuts.range(10_000, 200_000)),
                ..Faults::default()
            };
            Some((one(), one()))
        });
        let world = sim.clone();
        sim.run(async move {
            let (right, noise) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
            let (echoed, heard) = (Arc::clone(&right), Arc::clone(&noise));
            let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
                if let Incoming::Message { route, payload } = event {
                    let number = payload.first_chunk().map(|it| u32::from_le_bytes(*it));
                    let counter = if route == Route::new(1) { &echoed } else { &heard };
                    assert_eq!(number, Some(counter.fetch_add(1, Ordering::Relaxed)));
                }
            };
            let (handle, runner) = client(&world, &net, eager(seed), handler);
            world.aside(runner);
            while handle.id().is_none() {
                world.sleep(100).await;
            }
            let there = server.handle().get(handle.id().unwrap()).unwrap();
            let timer = world.clone();
            let pause = rng.range(10, 5_000);
            world.aside(async move {
                for number in 0..COUNT {
                    let mut payload = number.to_le_bytes().to_vec();
                    payload.resize(1_000, 0);
                    there.send(2u8, &payload).await.unwrap();
                    timer.sleep(pause).await;
                }
            });
            for number in 0..COUNT {
                let mut payload = number.to_le_bytes().to_vec();
                payload.resize(4 + rng.range(0, 40_000) as usize, 7);
                handle.send(1u8, &payload).await.unwrap();
            }
            let since = world.micros();
            while right.load(Ordering::Relaxed) + noise.load(Ordering::Relaxed) < 2 * COUNT {
                assert!(world.micros() < since + 600 * SECOND, "{right:?} {noise:?}");
                world.sleep(10_000).await;
            }
            handle.finish();
            assert!(handle.closed().await.complete);
        });
    });
}

/// A message that the peer would not take is refused, whatever room there is.
#[test]
fn a_handler_sends_what_the_peer_takes_and_no_more() {
    let sim = Sim::new(1);
    let (server, net) = crate::world::serve(&sim, Config::SERVER, |_: &SessionInfo| {
        |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Opened = event {
                let limit = peer.session().max_message() as usize;
                let long = vec![0; limit + 1];
                assert_eq!(peer.send_long(1u8, &long), Err(SendError::TooLarge { limit }));
                assert_eq!(peer.send_long(1u8, &long[..limit]), Ok(()));
                // It waits for its own end.
                assert_eq!(peer.send_long(1u8, b"short"), Err(SendError::Full));
            }
        }
    });
    let world = sim.clone();
    sim.run(async move {
        let came = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&came);
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Message { payload, .. } = event {
                counter.store(payload.len() as u32, Ordering::Relaxed);
            }
        };
        let (handle, runner) = client(&world, &net, eager(1), handler);
        world.aside(runner);
        while came.load(Ordering::Relaxed) == 0 {
            world.sleep(1_000).await;
        }
        assert_eq!(came.load(Ordering::Relaxed), Config::CLIENT.max_message);
        handle.end(CloseCode::OK);
        assert_eq!(handle.closed().await.why, Why::Stopped);
        drop(server);
    });
}

/// Clients leave a server that drains within the time that was set for it, and not all at once; it
/// is never longer than the grace.
#[test]
fn clients_leave_over_the_time_that_is_set() {
    const CLIENTS: usize = 40;
    // In milliseconds: grace, spread, and between which times the last of them has left.
    for (grace, spread, least, most) in [
        (10_000, None, 2_500, 5_500),
        (10_000, Some(0), 0, 500),
        (10_000, Some(8_000), 5_500, 8_500),
        (2_000, Some(8_000), 1_000, 2_500),
    ] {
        let sim = Sim::new(7);
        let spread = spread.map(Duration::from_millis);
        let config = ServerConfig { spread, ..served(Config::SERVER) };
        let server = Server::new(sim.clone(), config, |_: &SessionInfo| deaf).unwrap();
        let house = server.clone();
        sim.spawn(async move { house.keep_house().await });
        let net = Net::serving(&sim, &server);
        let world = sim.clone();
        sim.run(async move {
            let mut handles = Vec::new();
            for seed in 0..CLIENTS {
                let (handle, runner) = client(&world, &net, eager(seed as u64), deaf);
                world.aside(runner);
                handles.push(handle);
            }
            while !handles.iter().all(|handle| handle.is_connected()) {
                world.sleep(1_000).await;
            }
            net.plan(|_| None);
            let since = world.micros();
            server.drain(Duration::from_millis(grace)).await;
            let took = (world.micros() - since) / 1_000;
            assert!((least..=most).contains(&took), "{grace} {spread:?}: {took} ms");
        });
    }
}
