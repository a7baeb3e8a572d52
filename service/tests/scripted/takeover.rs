//! Storms of takeovers: a client that dials again and again while the server still has its last
//! connection, which ends at about the same time.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;

use outlast_core::Config;
use outlast_service::{Incoming, Peer, Runtime, SessionInfo};

use crate::executor::{Rng, Sim};
use crate::histories::join;
use crate::link::{Faults, Link};
use crate::world::{Net, Notes, client, eager, for_seeds, serve};

const MESSAGES: u32 = 400;

/// Lets others have so many turns.
async fn pass(mut turns: u64) {
    poll_fn(|cx| {
        if turns == 0 {
            return Poll::Ready(());
        }
        turns -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Cuts half of the newest connection again and again; the other half is left in `half` for the
/// next one's greeting, or cut after a while.
async fn storm(sim: Sim, net: Net, mut rng: Rng, half: Arc<Mutex<Option<Link>>>) {
    for _ in 0..30 {
        sim.sleep(rng.range(0, 400)).await;
        let link = net.state().links.last().cloned();
        let Some(link) = link else {
            continue;
        };
        link.cut_half();
        let (later, lose) = (rng.range(0, 300), rng.chance(50));
        if rng.chance(70) {
            *half.lock().unwrap() = Some(link);
            continue;
        }
        let world = sim.clone();
        sim.spawn(async move {
            world.sleep(later).await;
            link.cut(lose);
        });
    }
}

//= test DRV-16
#[test]
fn a_session_has_one_owner_however_fast_it_is_taken_over() {
    let (taken_over, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for_seeds(300, |seed, mut rng| {
        let sim = Sim::new(seed);
        let config = Config { idle_timeout_ms: 0, ..Config::SERVER };
        let heard = Arc::new(Mutex::new(0));
        let (count, gone) = (Arc::clone(&heard), Notes::default());
        let told = gone.clone();
        let (server, net) = serve(&sim, config, move |_: &SessionInfo| {
            let (count, told) = (Arc::clone(&count), told.clone());
            move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { payload, .. } => {
                    let mut count = count.lock().unwrap();
                    assert_eq!(payload, u32::to_le_bytes(*count), "seed {seed}");
                    *count += 1;
                }
                Incoming::Disconnected { code, .. } => told.add(code.name()),
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        });
        let busy = Faults { busy: 40, ..Faults::default() };
        // The other half of a cut comes in the moment in which the next connection greets.
        let half: Arc<Mutex<Option<Link>>> = Arc::default();
        let (mut chance, world, rest) = (Rng(rng.next()), sim.clone(), Arc::clone(&half));
        net.plan(move |_| {
            if let Some(link) = rest.lock().unwrap().take() {
                let (turns, lose) = (chance.range(0, 12), chance.chance(50));
                world.spawn(async move {
                    pass(turns).await;
                    link.cut(lose);
                });
            }
            Some((busy.clone(), busy.clone()))
        });
        let mut options = eager(seed);
        options.session = Some(Config { idle_timeout_ms: 0, ..Config::CLIENT });
        options.dialer.backoff_base = 200;
        options.dialer.backoff_cap = 200;
        let (handle, runner) = client(&sim, &net, options, |_: &mut Peer<'_>, _: Incoming<'_>| {});
        let world = sim.clone();
        let closed = sim.run(async move {
            let runner = join(&world, runner);
            let storm = storm(world.clone(), net.clone(), rng, half);
            let storm = join(&world, storm);
            for number in 0..MESSAGES {
                handle.send(1u8, &number.to_le_bytes()).await.unwrap();
                if number % 4 == 0 {
                    world.sleep(50).await;
                }
            }
            storm.await;
            handle.finish();
            runner.await
        });
        assert!(closed.complete, "seed {seed}: {closed}");
        assert_eq!(*heard.lock().unwrap(), MESSAGES, "seed {seed}");
        let stats = server.handle().stats();
        assert_eq!(stats.created, 1, "seed {seed}");
        failed.fetch_add(stats.failed_handshakes as usize, Ordering::Relaxed);
        taken_over.fetch_add(gone.count("SUPERSEDED"), Ordering::Relaxed);
    });
    // Nobody is turned away; only a connection that is cut before it greets fails.
    let (taken_over, failed) = (taken_over.into_inner(), failed.into_inner());
    assert!(failed * 100 <= taken_over, "{failed} of {taken_over} handshakes failed");
    assert!(std::env::var("SEED").is_ok() || taken_over > 1_000, "{taken_over} takeovers");
}
