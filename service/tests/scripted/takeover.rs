//! Storms of takeovers: a client that dials again and again while the server still has its last
//! connection, which ends at about the same time.

use std::sync::{Arc, Mutex};

use outlast_core::Config;
use outlast_service::{Incoming, Peer, Runtime, SessionInfo};

use crate::executor::Sim;
use crate::histories::join;
use crate::link::Faults;
use crate::world::{Notes, client, eager, for_seeds, serve};

const MESSAGES: u32 = 400;

//= test DRV-16
#[test]
fn a_session_has_one_owner_however_fast_it_is_taken_over() {
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
                Incoming::Disconnected { code } => told.add(code.name()),
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        });
        let busy = Faults { busy: 40, ..Faults::default() };
        net.plan(move |_| Some((busy.clone(), busy.clone())));
        let mut options = eager(seed);
        options.session = Some(Config { idle_timeout_ms: 0, ..Config::CLIENT });
        options.dialer.backoff_base = 200;
        options.dialer.backoff_cap = 200;
        let (handle, runner) = client(&sim, &net, options, |_: &mut Peer<'_>, _: Incoming<'_>| {});
        let world = sim.clone();
        let closed = sim.run(async move {
            let runner = join(&world, runner);
            let storm = {
                let (world, net) = (world.clone(), net.clone());
                async move {
                    for _ in 0..30 {
                        world.sleep(rng.range(0, 400)).await;
                        let link = net.state().links.last().cloned();
                        let Some(link) = link else {
                            continue;
                        };
                        link.cut_half();
                        let (later, world) = (rng.range(0, 300), world.clone());
                        let lose = rng.chance(50);
                        world.clone().spawn(async move {
                            world.sleep(later).await;
                            link.cut(lose);
                        });
                    }
                }
            };
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
    });
}
