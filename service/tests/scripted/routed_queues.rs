//! Routers: what runs in other tasks, in which order, and what becomes of too much.

use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_core::Config;
use outlast_core::wire::Status;
use outlast_service::router::{
    Balance, Context, Link, QueueLimits, Router, WhenFull, WorkerPool, concurrent, pooled,
};
use outlast_service::{Bytes, Handle, Incoming, Peer};

use crate::executor::{Rng, Sim};
use crate::link::Faults;
use crate::routed::{play, stats};
use crate::world::{Notes, client, deaf, eager, for_seeds, serve};

const SMALLEST: QueueLimits = QueueLimits { count: 1, bytes: 1, when_full: WhenFull::Wait };

/// A client that counts what comes back, and whether that is in order.
fn counting(
    back: &Arc<AtomicUsize>,
) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static + use<> {
    let back = Arc::clone(back);
    move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Message { payload, .. } = event {
            let number = u32::from_le_bytes(*payload.first_chunk().unwrap());
            assert_eq!(number as usize, back.fetch_add(1, Ordering::Relaxed), "out of order");
        }
    }
}

/// The failure that stops servers of this kind: everybody waits for room, and nobody reads.
#[test]
fn a_million_messages_to_a_handler_that_awaits_each_echo_arrive_whatever_the_queues() {
    const COUNT: u32 = 1_000_000;
    // As little as there may be of everything.
    let small = Config { ack_delay_ms: 5, heartbeat_min_ms: 0, ..Config::CONSTRAINED };
    let config = Config { window: 256, window_max: 256, max_message: 252, ..small };
    let routes = Router::new()
        .queue(SMALLEST)
        .route(1u8, |link: Link, payload: Bytes| async move {
            link.send(1u8, &payload).await.unwrap();
        })
        .build()
        .unwrap();
    let sim = Sim::new(1);
    let (_server, net) = serve(&sim, config, routes.factory());
    let faults = Faults { delay: 50, ..Faults::default() };
    net.plan(move |_| Some((faults.clone(), faults.clone())));
    let back = Arc::new(AtomicUsize::new(0));
    let mut options = eager(1);
    options.session = Some(config);
    let (handle, runner) = client(&sim, &net, options, counting(&back));
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let mut payload = [0; 16];
        for number in 0..COUNT {
            payload[..4].copy_from_slice(&number.to_le_bytes());
            handle.send(1u8, &payload).await.unwrap();
        }
        handle.flushed().await.unwrap();
        while back.load(Ordering::Relaxed) < COUNT as usize {
            world.sleep(1_000).await;
        }
    });
    assert_eq!(routes.stats(), stats(|it| it.handled = u64::from(COUNT)));
}

/// What was done: where, and the message's number. Clones are the same list.
#[derive(Clone, Default)]
struct Done(Arc<Mutex<Vec<(u8, u32)>>>);

impl Done {
    fn add(&self, place: u8, payload: &[u8]) {
        let number = u32::from_le_bytes(*payload.first_chunk().unwrap());
        self.0.lock().unwrap().push((place, number));
    }

    /// With it, everything that came before it.
    fn has_all_up_to(&self, number: u32) -> bool {
        let done = self.0.lock().unwrap();
        (0..=number).all(|number| done.iter().any(|(_, known)| *known == number))
    }

    fn of(&self, places: &[u8]) -> Vec<u32> {
        let done = self.0.lock().unwrap();
        let there = done.iter().filter(|(place, _)| places.contains(place));
        there.map(|(_, number)| *number).collect()
    }
}

/// A handler that takes its time, mostly none.
fn worker(
    place: u8,
    sim: &Sim,
    done: &Done,
    seed: u64,
) -> impl Fn(Bytes) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync + 'static + use<> {
    let (sim, done, chance) = (sim.clone(), done.clone(), Mutex::new(Rng(seed)));
    move |payload: Bytes| {
        let mut chance = chance.lock().unwrap();
        let micros = if chance.chance(60) { 0 } else { chance.range(1, 20_000) };
        let (sim, done) = (sim.clone(), done.clone());
        Box::pin(async move {
            if micros > 0 {
                sim.sleep(micros).await;
            }
            done.add(place, &payload);
        })
    }
}

/// Sends to all places, asks for some receipts, and changes the pool's size meanwhile.
async fn send_all(sim: &Sim, handle: &Handle, done: &Done, pool: &WorkerPool, mut rng: Rng) {
    let open = Arc::new(AtomicUsize::new(0));
    for number in 0..MESSAGES {
        let mut payload = vec![0; 4 + rng.range(0, 40) as usize * 50];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        let receipt = handle.send_receipted(rng.range(0, 4) as u8, &payload).await.unwrap();
        if rng.chance(30) {
            let (done, open) = (done.clone(), Arc::clone(&open));
            open.fetch_add(1, Ordering::Relaxed);
            sim.aside(async move {
                receipt.await.unwrap();
                assert!(done.has_all_up_to(number), "{number} was told to be taken");
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
        if rng.chance(2) {
            pool.resize(rng.range(1, 4) as usize);
        }
    }
    handle.flushed().await.unwrap();
    sim.sleep(1_000).await;
    assert_eq!(open.load(Ordering::Relaxed), 0);
}

const MESSAGES: u32 = 300;

/// Whatever the mixture, the order, the times and the connections, nothing counts as taken before
/// it was handled, and everything is done once, in the order of its place.
#[test]
fn messages_are_in_order_and_taken_when_they_are_handled() {
    for_seeds(60, |seed, mut rng| {
        let (sim, done) = (Sim::new(seed), Done::default());
        let mut work = |place: u8| worker(place, &sim, &done, rng.next());
        let (zero, one, two, three) = (work(0), work(1), work(2), work(3));
        let pool = WorkerPool::new(rng.range(1, 4) as usize, Balance::Pinned);
        let limits = QueueLimits { count: rng.range(1, 20) as usize, ..QueueLimits::default() };
        let inline = done.clone();
        let routes = Router::new()
            .queue(limits)
            .route(0u8, zero)
            .route(1u8, one)
            .route(2u8, pooled(&pool, two))
            .route(3u8, concurrent(rng.range(1, 5) as usize, three))
            .on(4u8, move |cx: &mut Context<'_>| inline.add(4, cx.payload()))
            .build()
            .unwrap();
        let window = 1 << rng.range(12, 16);
        let config = Config { max_body: 1_000, window, window_max: window, ..Config::SERVER };
        let (_server, net) = serve(&sim, config, routes.factory());
        let mut cuts = Rng(rng.next());
        net.plan(move |number| {
            let cut_after = (number < 4).then(|| cuts.range(1_000, 100_000));
            let faults = Faults { cut_after, delay: cuts.range(0, 300), ..Faults::default() };
            Some((faults, Faults::default()))
        });
        let (handle, runner) = client(&sim, &net, eager(seed), deaf);
        let (world, seen) = (sim.clone(), done.clone());
        sim.run(async move {
            world.aside(runner);
            send_all(&world, &handle, &seen, &pool, rng).await;
        });
        assert_eq!(done.of(&[0, 1, 2, 3, 4]).len(), MESSAGES as usize, "each once");
        for places in [&[0, 1][..], &[2], &[4]] {
            assert!(done.of(places).is_sorted(), "{places:?}: {:?}", done.of(places));
        }
    });
}

/// A handler that never ends.
async fn stuck() {
    pending().await
}

#[test]
fn a_slow_handler_holds_up_its_own_session_and_no_other() {
    let routes = Router::new()
        .route(1u8, stuck)
        .route(2u8, || async { "in order" })
        .route(3u8, || "inline")
        .route(4u8, concurrent(2, || async { "beside" }))
        .build()
        .unwrap();
    let sim = Sim::new(2);
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let (one, first) = client(&sim, &net, eager(1), deaf);
    let (two, second) = client(&sim, &net, eager(2), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(first);
        world.aside(second);
        one.send(1u8, b"").await.unwrap();
        let limit = Duration::from_secs(1);
        assert!(one.request_timeout(2u8, b"", limit).await.is_err());
        for (handle, route) in [(&one, 3u8), (&one, 4), (&two, 2), (&two, 3), (&two, 4)] {
            let answer = handle.request_timeout(route, b"", limit).await.unwrap();
            assert_eq!(answer.status, Status::OK, "{route}");
        }
    });
}

#[test]
fn so_many_of_one_session_run_at_the_same_time_and_no_more() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let sim = Sim::new(3);
    let work = {
        let (now, most, sim) = (Arc::clone(&now), Arc::clone(&most), sim.clone());
        move || {
            let (now, most, sim) = (Arc::clone(&now), Arc::clone(&most), sim.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                sim.sleep(10_000).await;
                now.fetch_sub(1, Ordering::Relaxed);
            }
        }
    };
    let pool = WorkerPool::new(3, Balance::LeastLoaded);
    let routes = Router::new()
        .route(1u8, concurrent(5, work.clone()))
        .route(2u8, pooled(&pool, work.clone()))
        .route(3u8, work)
        .build()
        .unwrap();
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        handle.request(9u8, b"").await.unwrap();
        let all = |route: u8, count: usize| {
            let (world, handle) = (world.clone(), handle.clone());
            async move {
                let before = world.micros();
                let left = Arc::new(AtomicUsize::new(count));
                for _ in 0..count {
                    let (handle, left) = (handle.clone(), Arc::clone(&left));
                    world.aside(async move {
                        handle.request(route, b"").await.unwrap();
                        left.fetch_sub(1, Ordering::Relaxed);
                    });
                }
                while left.load(Ordering::Relaxed) > 0 {
                    world.sleep(100).await;
                }
                (most.swap(0, Ordering::Relaxed), (world.micros() - before) / 10_000)
            }
        };
        // How many at a time, and how many times over; the network takes its time, too.
        assert_eq!(all.clone()(1, 20).await.0, 5);
        assert_eq!(all.clone()(2, 21).await.0, 3);
        pool.resize(6);
        assert_eq!(all.clone()(2, 24).await.0, 6);
        pool.resize(2);
        assert_eq!((pool.size(), pool.load()), (2, 0));
        assert_eq!(all.clone()(2, 10).await.0, 2);
        assert_eq!(all(3, 5).await.0, 1);
    });
    assert_eq!(now.load(Ordering::Relaxed), 0);
}

/// What is answered after one of three workers is busy for ever: of six sessions so many, and the
/// one whose message keeps it busy, or not.
fn answered_beside_a_busy_worker(balance: Balance) -> (usize, bool) {
    let pool = WorkerPool::new(3, balance);
    let routes = Router::new()
        .route(1u8, pooled(&pool, stuck))
        .route(2u8, pooled(&pool, || async { "done" }))
        .build()
        .unwrap();
    let sim = Sim::new(4);
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let world = sim.clone();
    sim.run(async move {
        let mut handles = Vec::new();
        for seed in 0..7 {
            let (handle, runner) = client(&world, &net, eager(seed), deaf);
            world.aside(runner);
            while handle.id().is_none() {
                world.sleep(1_000).await;
            }
            handles.push(handle);
        }
        let busy = handles.remove(0);
        busy.send(1u8, b"").await.unwrap();
        world.sleep(100_000).await;
        let ask = |handle: &Handle| {
            let handle = handle.clone();
            async move { handle.request_timeout(2u8, b"", Duration::from_secs(1)).await.is_ok() }
        };
        let mut others = 0;
        for handle in &handles {
            others += usize::from(ask(handle).await);
        }
        (others, ask(&busy).await)
    })
}

#[test]
fn workers_are_taken_by_load_in_turn_or_by_session() {
    assert_eq!(answered_beside_a_busy_worker(Balance::LeastLoaded), (6, true));
    assert_eq!(answered_beside_a_busy_worker(Balance::RoundRobin), (4, true));
    assert_eq!(answered_beside_a_busy_worker(Balance::Pinned), (4, false));
}

/// What shrinks lets go of nothing.
#[test]
fn a_pool_that_shrinks_finishes_what_it_has() {
    for balance in [Balance::LeastLoaded, Balance::RoundRobin, Balance::Pinned] {
        let sim = Sim::new(4);
        let (pool, notes) = (WorkerPool::new(8, balance), Notes::default());
        let (done, world) = (notes.clone(), sim.clone());
        let routes = Router::new()
            .route(
                1u8,
                pooled(&pool, move || {
                    let (done, world) = (done.clone(), world.clone());
                    async move {
                        world.sleep(50_000).await;
                        done.add("done");
                    }
                }),
            )
            .build()
            .unwrap();
        let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
        let (handle, runner) = client(&sim, &net, eager(1), deaf);
        let world = sim.clone();
        sim.run(async move {
            world.aside(runner);
            for _ in 0..40 {
                handle.send(1u8, b"").await.unwrap();
            }
            world.sleep(20_000).await;
            pool.resize(1);
            handle.flushed().await.unwrap();
            assert_eq!(notes.count("done"), 40);
        });
    }
}

#[test]
fn a_full_queue_refuses_requests_and_does_with_messages_what_it_is_told() {
    for when_full in [WhenFull::Wait, WhenFull::DropNewest, WhenFull::Disconnect] {
        let limits = QueueLimits { count: 3, bytes: 1_000, when_full };
        let notes = Notes::default();
        let ends = notes.clone();
        let routes = Router::new()
            .queue(limits)
            .route(1u8, stuck)
            .on_close(move |_, end| ends.add(format!("{end:?}")))
            .build()
            .unwrap();
        let counted = routes.clone();
        play(5, Config::SERVER, &routes, move |world, handle| async move {
            for _ in 0..3 {
                let handle = handle.clone();
                world.aside(async move { handle.request(1u8, b"").await });
            }
            world.sleep(100_000).await;
            let refused = handle.request(1u8, b"").await.unwrap();
            assert_eq!(refused.status, Status::OVERLOADED);
            for _ in 0..5 {
                // It may be over by now.
                let _ = handle.send(1u8, b"").await;
            }
            world.sleep(100_000).await;
            let stats = counted.stats();
            assert_eq!((stats.overloaded, stats.handled), (1, 0), "{when_full:?}");
            let dropped = match when_full {
                WhenFull::Wait => 0..=0,
                WhenFull::DropNewest => 5..=5,
                _ => 1..=5,
            };
            assert!(dropped.contains(&stats.dropped), "{when_full:?}: {stats:?}");
            if when_full == WhenFull::Disconnect {
                assert_eq!(notes.count("Lost"), 1, "{:?}", notes.all());
            } else {
                let refused = handle.request(1u8, b"").await.unwrap();
                assert_eq!(refused.status, Status::OVERLOADED);
            }
        });
    }
}

/// One that is too long for the queue, alone in it.
#[test]
fn what_waits_is_limited_in_bytes() {
    let limits = QueueLimits { count: 100, bytes: 1_000, when_full: WhenFull::DropNewest };
    let routes = Router::new().queue(limits).route(1u8, stuck).build().unwrap();
    play(6, Config::SERVER, &routes, |world, handle| async move {
        let ask = |len: usize| {
            let handle = handle.clone();
            world.aside(async move { handle.request(1u8, &vec![0; len]).await });
        };
        ask(10);
        world.sleep(100_000).await;
        // That one is under way and waits no more.
        ask(5_000);
        world.sleep(100_000).await;
        assert_eq!(handle.request(1u8, b"1").await.unwrap().status, Status::OVERLOADED);
    });
    assert_eq!(routes.stats().overloaded, 1);
}

#[test]
fn a_request_ends_at_its_deadline_or_when_it_is_cancelled() {
    struct Dropped(Notes);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let notes = Notes::default();
    let noted = notes.clone();
    let routes = Router::new()
        .deadline(Duration::from_secs(5))
        .route(1u8, move || {
            let dropped = Dropped(noted.clone());
            async move {
                pending::<()>().await;
                drop(dropped);
            }
        })
        .route(2u8, || async { "fine" })
        .build()
        .unwrap();
    play(7, Config::SERVER, &routes, move |world, handle| async move {
        let before = world.micros();
        assert_eq!(handle.request(1u8, b"").await.unwrap().status, Status::DEADLINE);
        let took = world.micros() - before;
        assert!((5_000_000..5_100_000).contains(&took), "{took}");
        assert_eq!(notes.count("dropped"), 1);
        // The first is cancelled while it runs, the second while it waits.
        let limit = Duration::from_secs(1);
        let (first, second) = (handle.clone(), handle.clone());
        world.aside(async move { first.request_timeout(1u8, b"", limit).await });
        world.sleep(100_000).await;
        world.aside(async move { second.request_timeout(1u8, b"", limit / 2).await });
        world.sleep(1_500_000).await;
        assert_eq!(notes.count("dropped"), 2, "what never began has nothing to drop");
        assert_eq!(handle.request(2u8, b"").await.unwrap().status, Status::OK);
        // What is late before it begins does not begin.
        let blocker = handle.clone();
        world.aside(async move { blocker.send(1u8, b"").await });
        world.sleep(100_000).await;
        let before = world.micros();
        assert!(handle.request_timeout(2u8, b"", Duration::from_secs(20)).await.is_err());
        assert!(world.micros() - before > 5_000_000);
    });
    let stats = routes.stats();
    assert_eq!((stats.handled, stats.late, stats.cancelled), (1, 1, 2), "{stats:?}");
}

/// A peer that asks for more than it reads keeps its own answers waiting.
#[test]
fn an_answer_that_has_no_room_does_not_keep_a_pool_from_working() {
    let pool = WorkerPool::new(1, Balance::LeastLoaded);
    let routes =
        Router::new().route(1u8, pooled(&pool, || async { vec![0; 200_000] })).build().unwrap();
    let sim = Sim::new(8);
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let (one, first) = client(&sim, &net, eager(1), deaf);
    let (two, second) = client(&sim, &net, eager(2), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(first);
        one.request(9u8, b"").await.unwrap();
        net.last().change(false, |faults| faults.stalled = true);
        for _ in 0..40 {
            let one = one.clone();
            world.aside(async move { one.request(1u8, b"").await });
        }
        world.sleep(1_000_000).await;
        world.aside(second);
        let answer = two.request_timeout(1u8, b"", Duration::from_secs(2)).await.unwrap();
        assert_eq!(answer.payload.len(), 200_000);
    });
}

/// What was handed over when the session ended is done, what waited is not; both are counted.
#[test]
fn what_waits_ends_with_its_session() {
    let sim = Sim::new(9);
    let (notes, world) = (Notes::default(), sim.clone());
    let noted = notes.clone();
    let routes = Router::new()
        .route(1u8, move |payload: Bytes| {
            let (noted, world) = (noted.clone(), world.clone());
            async move {
                world.sleep(1_000_000).await;
                noted.add(format!("{payload:?}"));
            }
        })
        .build()
        .unwrap();
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let (handle, runner): (Handle, _) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        for number in 0..5_u8 {
            handle.send(1u8, &[number]).await.unwrap();
        }
        world.sleep(100_000).await;
        handle.end(outlast_core::CloseCode::GOING_AWAY);
        world.sleep(10_000_000).await;
        assert_eq!(notes.all().len(), 1);
    });
    assert_eq!(routes.stats(), stats(|it| (it.handled, it.dropped) = (1, 4)));
}

/// The farewell waits for the answers.
#[test]
fn a_session_is_finished_when_everything_is_handled() {
    let sim = Sim::new(10);
    let world = sim.clone();
    let routes = Router::new()
        .route(1u8, move || {
            let world = world.clone();
            async move {
                world.sleep(3_000_000).await;
                "late"
            }
        })
        .build()
        .unwrap();
    let (_server, net) = serve(&sim, Config::SERVER, routes.factory());
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let asking = handle.clone();
        let answered = Notes::default();
        let note = answered.clone();
        world.aside(async move { note.add(format!("{:?}", asking.request(1u8, b"").await)) });
        world.sleep(100_000).await;
        handle.finish();
        assert!(handle.closed().await.complete);
        assert_eq!(answered.count("Ok"), 1, "{:?}", answered.all());
    });
}
