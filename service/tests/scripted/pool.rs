//! Pools: which session is taken, who waits and for how long, and what becomes of the dead.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_core::client::OnLost;
use outlast_core::wire::Status;
use outlast_core::{CloseCode, Config};
use outlast_service::pool::{Pool, PoolConfig, PoolError, PoolStats};
use outlast_service::{Incoming, Peer, RequestError, Responder, SendError, Server, SessionInfo};

use crate::executor::Sim;
use crate::link::Faults;
use crate::world::{Net, client, deaf, eager, for_seeds, serve};

const SECOND: Duration = Duration::from_secs(1);

type Kept = Arc<Mutex<Vec<(u64, Responder)>>>;
type Serving = Server<Sim, Box<dyn FnMut(&mut Peer<'_>, Incoming<'_>) + Send>>;

/// A server that echoes on route 1 and keeps what comes on others; and a pool in front of it.
fn play<F, Fut>(seed: u64, config: PoolConfig, script: F)
where
    F: FnOnce(Sim, Arc<Serving>, Net, Kept, Pool) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (sim, kept) = (Sim::new(seed), Kept::default());
    let keeping = Arc::clone(&kept);
    let factory = move |_: &SessionInfo| {
        let kept = Arc::clone(&keeping);
        let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Request { id, route, payload } if route.get() == 1 => {
                peer.respond(id, Status::OK, payload).unwrap();
            }
            Incoming::Request { id, .. } => {
                kept.lock().unwrap().push((peer.id().unwrap(), peer.defer(id)));
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        };
        Box::new(handler) as Box<dyn FnMut(&mut Peer<'_>, Incoming<'_>) + Send>
    };
    let (server, net) = serve(&sim, Config::SERVER, factory);
    let (world, dialled) = (sim.clone(), net.clone());
    sim.run(async move {
        let (at, clock) = (dialled.clone(), world.clone());
        let pool = Pool::new(&world, config, move |place| {
            let mut options = eager(seed * 100 + place as u64);
            options.dialer.on_lost = OnLost::Stop;
            Ok(client(&clock, &at, options, deaf))
        });
        script(world.clone(), Arc::new(server), dialled, kept, pool.unwrap()).await;
    });
}

fn of(connections: usize, keep: usize, in_use: usize) -> PoolConfig {
    PoolConfig { connections, keep, in_use, ..PoolConfig::default() }
}

async fn until(sim: &Sim, pool: &Pool, is: impl Fn(PoolStats) -> bool) -> PoolStats {
    for _ in 0..100_000 {
        if is(pool.stats()) {
            return pool.stats();
        }
        sim.sleep(1_000).await;
    }
    panic!("{:?}", pool.stats());
}

#[test]
fn the_session_that_is_used_least_is_taken_and_others_are_opened_as_they_are_needed() {
    play(1, of(3, 1, 256), |sim, _server, net, kept, pool| async move {
        let stats = until(&sim, &pool, |stats| stats.connected == 1).await;
        assert_eq!((stats.total, stats.idle, net.state().dialled), (1, 1, 1));
        assert_eq!(pool.request(1u8, b"one").await.unwrap().payload, "one");
        assert_eq!(pool.stats().total, 1, "one is enough for one after the other");
        for asked in 1..=9 {
            let asking = pool.clone();
            sim.aside(async move { asking.request(2u8, b"later").await });
            until(&sim, &pool, |stats| stats.in_use == asked).await;
            // Who finds none idle has another one opened, for those who come after.
            let connected = [1, 2, 2, 3].get(asked - 1).copied().unwrap_or(3);
            until(&sim, &pool, |stats| stats.connected == connected).await;
            sim.sleep(10_000).await;
        }
        let stats = pool.stats();
        assert_eq!((stats.total, stats.active, stats.in_use), (3, 3, 9), "{stats:?}");
        let mut sessions: Vec<u64> = kept.lock().unwrap().iter().map(|(id, _)| *id).collect();
        sessions.sort_unstable();
        for three in sessions.chunks(3) {
            assert!(three.iter().all(|id| *id == three[0]), "three each: {sessions:?}");
        }
        // As soon as they are answered they are free.
        let answered = std::mem::take(&mut *kept.lock().unwrap());
        for (_, responder) in answered {
            responder.reply(b"").await.unwrap();
        }
        let stats = until(&sim, &pool, |stats| stats.in_use == 0).await;
        assert_eq!((stats.idle, stats.active, stats.waits), (3, 0, 0));
    });
}

#[test]
fn a_session_without_connection_is_not_chosen_until_it_is_back() {
    play(2, of(2, 2, 256), |sim, server, net, _kept, pool| async move {
        until(&sim, &pool, |stats| stats.connected == 2).await;
        // One is cut, and does not come back.
        net.plan(|_| None);
        let first = pool.try_get().unwrap();
        let cut = first.id();
        first.disconnect(CloseCode::GOING_AWAY);
        drop(first);
        until(&sim, &pool, |stats| stats.connected == 1).await;
        for _ in 0..20 {
            let lease = pool.get().await.unwrap();
            assert!(lease.id() != cut && lease.is_connected());
            assert_eq!(lease.request(1u8, b"x").await.unwrap().payload, "x");
        }
        net.plan(|_| Some((Faults::default(), Faults::default())));
        let stats = until(&sim, &pool, |stats| stats.connected == 2).await;
        assert_eq!((stats.died, server.handle().stats().resumed), (0, 1));
        let both = [pool.get().await.unwrap(), pool.get().await.unwrap()];
        assert!(both.iter().any(|lease| lease.id() == cut));
        assert_eq!(pool.stats().in_use, 2);
    });
}

#[test]
fn a_session_that_is_over_for_good_is_replaced_and_what_it_did_not_send_is_asked_elsewhere() {
    play(3, of(1, 1, 256), |sim, server, _net, kept, pool| async move {
        until(&sim, &pool, |stats| stats.connected == 1).await;
        let asking = pool.clone();
        sim.aside(async move {
            let lost = asking.request(2u8, b"it is there").await.unwrap_err();
            let unknown = PoolError::Request(RequestError::TimedOut);
            assert!(lost != unknown && lost.is_retryable(), "{lost}");
            let PoolError::Request(RequestError::OutcomeUnknown(_)) = lost else {
                panic!("{lost:?}");
            };
        });
        while kept.lock().unwrap().is_empty() {
            sim.sleep(1_000).await;
        }
        let id = kept.lock().unwrap()[0].0;
        let died = sim.micros();
        server.handle().get(id).unwrap().end(CloseCode::new(0x8001));
        let stats = until(&sim, &pool, |stats| stats.died == 1).await;
        assert_eq!((stats.total, stats.in_use), (0, 0));
        // This one waits for the next session, which is opened a second later.
        assert_eq!(pool.request(1u8, b"next").await.unwrap().payload, "next");
        assert!(sim.micros() >= died + 1_000_000, "after the pause that is configured");
        let stats = pool.stats();
        assert_eq!((stats.total, stats.waits, server.handle().stats().created), (1, 1, 2));
    });
}

#[test]
fn as_many_wait_as_may_in_order_and_not_longer_than_they_want() {
    let config = PoolConfig { waiting: 2, patience: 10 * SECOND, ..of(1, 0, 1) };
    play(4, config, |sim, _server, net, _kept, pool| async move {
        assert_eq!(net.state().dialled, 0, "none is kept");
        let first = pool.get().await.unwrap();
        assert_eq!(pool.try_get().unwrap_err(), PoolError::Full);
        let order = Arc::new(Mutex::new(Vec::new()));
        for number in 0..2u8 {
            let (pool, order, world) = (pool.clone(), Arc::clone(&order), sim.clone());
            sim.aside(async move {
                let begun = world.micros();
                let lease = pool.get_timeout(if number == 0 { SECOND } else { 5 * SECOND }).await;
                order.lock().unwrap().push((number, lease.is_ok(), world.micros() - begun));
            });
            sim.sleep(1_000).await;
        }
        assert_eq!(pool.get().await.unwrap_err(), PoolError::Full);
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.waits, stats.refused), (2, 3, 1), "{stats:?}");
        sim.sleep(2_000_000).await;
        drop(first);
        sim.sleep(1_000).await;
        let told = order.lock().unwrap().clone();
        assert_eq!(told[0], (0, false, 1_000_000), "who waits in vain does so for its time");
        assert_eq!((told[1].0, told[1].1), (1, true), "who waits behind has its turn");
        let stats = pool.stats();
        assert_eq!((stats.waiting, stats.timed_out, stats.in_use), (0, 1, 0));
        assert!(PoolError::Full.is_retryable() && PoolError::TimedOut.is_retryable());
        // With its own patience, a request waits for its turn and for its answer.
        let held = pool.get().await.unwrap();
        let begun = sim.micros();
        let late = pool.request(1u8, b"").await.unwrap_err();
        assert_eq!((late, sim.micros() - begun), (PoolError::TimedOut, 10_000_000));
        drop(held);
        let begun = sim.micros();
        let late = pool.request_timeout(2u8, b"", SECOND).await.unwrap_err();
        assert_eq!(late, PoolError::Request(RequestError::TimedOut));
        assert_eq!(sim.micros() - begun, 1_000_000);
    });
}

#[test]
fn a_pool_ends_gently_or_at_once() {
    play(5, of(3, 3, 256), |sim, server, _net, _kept, pool| async move {
        until(&sim, &pool, |stats| stats.connected == 3).await;
        pool.send(9u8, b"last words").await.unwrap();
        pool.shutdown(5 * SECOND).await;
        assert_eq!(pool.get().await.unwrap_err(), PoolError::Over);
        assert!(!PoolError::Over.is_retryable());
        sim.sleep(100_000).await;
        assert!(server.handle().sessions().is_empty());
        assert_eq!((pool.stats().total, pool.stats().died), (0, 0));
    });
    play(6, of(2, 2, 256), |sim, server, _net, _kept, pool| async move {
        until(&sim, &pool, |stats| stats.connected == 2).await;
        let (kept, lease) = (pool.clone(), pool.get().await.unwrap());
        drop(pool);
        drop(kept);
        assert_eq!(lease.request(1u8, b"still").await.unwrap().payload, "still");
        drop(lease);
        sim.sleep(1_000_000).await;
        assert!(server.handle().sessions().is_empty(), "nobody has it any more");
    });
}

#[test]
fn what_cannot_be_made_is_said_at_once() {
    let sim = Sim::new(1);
    let refuse = |_| Err(io::Error::other("no"));
    assert!(Pool::new(&sim, of(1, 1, 1), refuse).is_err());
    for wrong in [of(0, 0, 1), of(1, 2, 1), of(1, 1, 0), of(4_097, 1, 1)] {
        let error = Pool::new(&sim, wrong, refuse).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong:?}");
    }
    // Later on it is tried again and again, and who waits is told when the time is over.
    let world = sim.clone();
    sim.run(async move {
        let made = Arc::new(Mutex::new(0));
        let count = Arc::clone(&made);
        let pool = Pool::new(&world, of(1, 0, 1), move |_| {
            *count.lock().unwrap() += 1;
            Err(io::Error::other("no"))
        });
        let pool = pool.unwrap();
        assert_eq!(pool.get_timeout(5 * SECOND).await.unwrap_err(), PoolError::TimedOut);
        assert!((4..=6).contains(&*made.lock().unwrap()), "once a second");
        assert_eq!(pool.send(1u8, b"").await.unwrap_err(), PoolError::TimedOut);
    });
}

/// Many callers, few sessions, connections that break and sessions that die.
#[test]
fn nothing_is_left_behind_whatever_happens() {
    for_seeds(20, |seed, mut rng| {
        let config = PoolConfig { waiting: 1_000, patience: 60 * SECOND, ..of(3, 1, 4) };
        play(seed, config, move |sim, server, _net, _kept, pool| async move {
            let open = Arc::new(Mutex::new(0));
            for number in 0..300u32 {
                let (pool, open, world) = (pool.clone(), Arc::clone(&open), sim.clone());
                let pause = rng.range(0, 2_000_000);
                *open.lock().unwrap() += 1;
                sim.aside(async move {
                    world.sleep(pause).await;
                    match pool.request_timeout(1u8, &number.to_le_bytes(), 30 * SECOND).await {
                        Ok(answer) => assert_eq!(answer.payload[..], number.to_le_bytes()),
                        Err(PoolError::Request(RequestError::OutcomeUnknown(_))) => {}
                        Err(error) => panic!("seed {seed}: {error:?}"),
                    }
                    *open.lock().unwrap() -= 1;
                });
            }
            for _ in 0..20 {
                sim.sleep(rng.range(0, 200_000)).await;
                let sessions = server.handle().sessions();
                let Some(session) = sessions.first().and_then(|it| server.handle().get(it.id))
                else {
                    continue;
                };
                if rng.chance(30) {
                    session.end(CloseCode::new(0x8001));
                } else {
                    session.disconnect(CloseCode::GOING_AWAY);
                }
            }
            while *open.lock().unwrap() > 0 {
                sim.sleep(10_000).await;
            }
            let stats = pool.stats();
            assert_eq!((stats.in_use, stats.waiting, stats.timed_out), (0, 0, 0), "{stats:?}");
            assert!(stats.total <= 3);
            let sent = pool.send_timeout(9u8, &[0; 4 << 20], SECOND).await.unwrap_err();
            assert!(matches!(sent, PoolError::Send(SendError::TooLarge { .. })), "{sent}");
        });
    });
}
