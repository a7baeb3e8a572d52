//! Routers: whatever becomes of a message or a request, each hook is called once before it, and
//! once after it if it let it go on.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_core::wire::Status;
use outlast_core::{CloseCode, Config};
use outlast_service::router::{
    Context, Flow, Hook, Kind, QueueLimits, Reply, Router, WhenFull, hooked,
};

use crate::routed::play;
use crate::world::for_seeds;

/// How often it was called before, let go on, and was called after.
#[derive(Clone, Default)]
struct Counting(Arc<[AtomicUsize; 3]>);

impl Counting {
    fn all(&self) -> [usize; 3] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    fn add(&self, at: usize) {
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }
}

impl Hook for Counting {
    fn before(&self, cx: &Context<'_>) -> Flow {
        self.add(0);
        if cx.payload().starts_with(b"stop") {
            return Flow::Answer(Reply::status(Status(99)));
        }
        self.add(1);
        Flow::Go
    }

    fn after(&self, _: &Context<'_>, _: &Reply) {
        self.add(2);
    }
}

/// Lets everything go on.
struct Outer(Counting);

impl Hook for Outer {
    fn before(&self, _: &Context<'_>) -> Flow {
        self.0.add(0);
        self.0.add(1);
        Flow::Go
    }

    fn after(&self, _: &Context<'_>, _: &Reply) {
        self.0.add(2);
    }
}

#[test]
fn hooks_are_called_once_before_and_once_after_whatever_happens() {
    for_seeds(30, |seed, mut rng| {
        let hooks: [Counting; 4] = <_>::default();
        let [outer, inner, own, nested] = hooks.clone();
        let when_full = if rng.chance(50) { WhenFull::Wait } else { WhenFull::DropNewest };
        let limits = QueueLimits { count: 4, when_full, ..QueueLimits::default() };
        let turns = rng.range(5, 60);
        let nest = Router::new()
            .hook(nested)
            .route(5u8, async || -> () { panic!("in a task") })
            .route(6u8, async |kind: Kind| {
                // Until its deadline.
                if kind == Kind::Request {
                    pending::<()>().await;
                }
            });
        let routes = Router::new()
            .queue(limits)
            .deadline(Duration::from_secs(2))
            .hook(Outer(outer))
            .hook(inner)
            .on(1u8, |_: &mut Context<'_>| "fine")
            .on(2u8, |_: &mut Context<'_>| -> () { panic!("inline") })
            .route(3u8, hooked(own, || "in time"))
            .route(4u8, async || "in a task")
            .nest(nest)
            .build()
            .unwrap();
        let ends = rng.chance(50);
        play(seed, Config::SERVER, &routes, move |world, handle| async move {
            for _ in 0..turns {
                let (route, handle) = (rng.range(1, 7) as u8, handle.clone());
                let payload: &[u8] = if rng.chance(20) { b"stop" } else { b"go" };
                let limit = Duration::from_millis(rng.range(1, 3_000));
                match rng.range(0, 2) {
                    0 => drop(handle.try_send(route, payload)),
                    1 => world.aside(async move { handle.request(route, payload).await }),
                    _ => world
                        .aside(async move { handle.request_timeout(route, payload, limit).await }),
                }
                world.sleep(rng.range(0, 100_000)).await;
            }
            if ends {
                handle.end(CloseCode::GOING_AWAY);
            }
            // Longer than any deadline. Messages have none, and may be in front.
            world.sleep(300_000_000).await;
            handle.end(CloseCode::GOING_AWAY);
            world.sleep(1_000_000).await;
        });
        for (place, hook) in hooks.iter().enumerate() {
            let [_, let_go, after] = hook.all();
            assert!(after <= let_go, "seed {seed}: hook {place}: {after} after {let_go}");
            // What waits when its session ends is dropped, and nobody is called for it.
            assert!(ends || after == let_go, "seed {seed}: hook {place}: {after} of {let_go}");
        }
        assert!(hooks[0].all()[2] > 0);
    });
}
