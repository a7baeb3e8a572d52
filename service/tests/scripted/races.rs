//! Closing while somebody sends, in every way and a hundred thousand times.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use outlast_core::{CloseCode, Config};
use outlast_service::router::{Link, Router};
use outlast_service::{Handle, Incoming, Peer, ServerHandle};

use crate::executor::{Rng, Sim};
use crate::world::{client, eager, serve};

/// How often each hook was called, and how often it should not have been.
#[derive(Clone, Default)]
struct Hooks(Arc<[AtomicU64; 4]>);

const OPENED: usize = 0;
const CLOSED: usize = 1;
const ENDED: usize = 2;
const TWICE: usize = 3;

/// What a hook leaves with its session.
#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Open,
    Closed,
}

impl Hooks {
    fn count(&self, which: usize) {
        self.0[which].fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, which: usize) -> u64 {
        self.0[which].load(Ordering::Relaxed)
    }

    fn see(&self, link: &Link, now: Seen, before: Option<Seen>) {
        if link.set(now) != before {
            self.count(TWICE);
        }
        self.count(if now == Seen::Open { OPENED } else { CLOSED });
    }
}

/// Ends the session in one of the ways there are.
fn close(rng: &mut Rng, near: &Handle, server: &ServerHandle) {
    let id = near.id().unwrap_or(0);
    match rng.range(0, 6) {
        0 => near.finish(),
        1 => near.end(CloseCode::OK),
        2 => drop(server.end(id, CloseCode::GOING_AWAY)),
        3 => drop(server.disconnect(id, CloseCode::IDLE)),
        4 => server.get(id).iter().for_each(Handle::finish),
        5 => near.disconnect(CloseCode::IDLE),
        _ => drop(server.end_all(CloseCode::EVICTED)),
    }
}

fn race(seed: u64, rounds: u64) {
    let sim = Sim::new(seed);
    let hooks = Hooks::default();
    let (opened, closed) = (hooks.clone(), hooks.clone());
    let routes = Router::new()
        .on(1u8, |cx: &mut outlast_service::router::Context<'_>| {
            let _ = cx.send(1u8, b"and back");
        })
        .on_open(move |link| opened.see(link, Seen::Open, None))
        .on_close(move |link, _| closed.see(link, Seen::Closed, Some(Seen::Open)))
        .build()
        .unwrap();
    let (server, net) = serve(&sim, Config::SERVER, routes.factory());
    let world = sim.clone();
    sim.run(async move {
        let mut rng = Rng(seed);
        for round in 0..rounds {
            let ended = hooks.clone();
            let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| {
                if matches!(event, Incoming::Lost { .. } | Incoming::Ended) {
                    ended.count(ENDED);
                }
            };
            let mut config = eager(seed ^ round);
            config.dialer.on_lost = outlast_core::client::OnLost::Stop;
            let (near, runner) = client(&world, &net, config, handler);
            world.aside(runner);
            let sender = near.clone();
            let delay = rng.range(0, 40);
            let clock = world.clone();
            world.aside(async move {
                clock.sleep(delay).await;
                while sender.send(1u8, &[7; 100]).await.is_ok() {
                    clock.sleep(3).await;
                }
            });
            world.sleep(rng.range(0, 60)).await;
            close(&mut rng, &near, &server.handle());
            world.sleep(rng.range(0, 20)).await;
            // Whatever that did, this is the end; a session that never began has one, too.
            near.end(CloseCode::OK);
            server.handle().end_all(CloseCode::GOING_AWAY);
            near.closed().await;
        }
        world.sleep(10_000_000).await;
        assert_eq!(hooks.get(TWICE), 0, "a hook was called out of turn");
        assert_eq!(hooks.get(OPENED), hooks.get(CLOSED), "each session is told of its end");
        assert!(hooks.get(OPENED) > rounds / 2 && hooks.get(ENDED) <= rounds);
        assert_eq!(server.handle().stats().sessions, 0);
    });
}

#[test]
fn closing_while_somebody_sends_is_never_told_twice_nor_hangs() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    println!("seed {seed}");
    for part in 0..10 {
        race(seed + part, 10_000);
    }
}
