//! What sending takes of memory: counted, in virtual time.

#[path = "../scripted/executor.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod executor;
#[path = "../scripted/link.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod link;
#[path = "../scripted/world.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod world;

use outlast_conformance::heap::{self, of_thread};
use outlast_core::Config;
use outlast_service::SessionInfo;

use executor::Sim;
use world::{client, deaf, eager, serve};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

const SESSIONS: usize = 200;
const LENGTH: usize = 4_000;

/// How much more is held behind so many messages to everybody, which nobody acknowledges.
fn held_behind_broadcasts(messages: usize) -> isize {
    let sim = Sim::new(1);
    let (server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
    let world = sim.clone();
    sim.run(async move {
        let mut handles = Vec::new();
        for seed in 0..SESSIONS as u64 {
            let (handle, runner) = client(&world, &net, eager(seed), deaf);
            world.aside(runner);
            handles.push(handle);
        }
        while handles.iter().any(|handle| handle.id().is_none()) {
            world.sleep(1_000).await;
        }
        // What a session may give back when it is quiet, it has given back.
        world.sleep(5_000_000).await;
        let everybody = server.handle();
        for link in &net.state().links {
            link.change(true, |faults| faults.hole = true);
        }
        let forget = || net.state().links.iter().for_each(|link| link.down().log = Vec::new());
        forget();
        let before = of_thread().held;
        for number in 0..messages {
            let report = everybody.broadcast(1u8, &[number as u8; LENGTH]);
            assert_eq!((report.sent, report.failed.len()), (SESSIONS, 0));
            world.sleep(1_000).await;
        }
        forget();
        of_thread().held - before
    })
}

/// What is sent to everybody and not acknowledged by anybody yet is there once.
#[test]
fn a_broadcast_is_one_copy_however_many_get_it() {
    const MORE: usize = 10;
    // Whatever the first ones make each session hold, such as buffers to read, is not of interest.
    let held = held_behind_broadcasts(5 + MORE) - held_behind_broadcasts(5);
    let (once, each) = ((MORE * LENGTH) as isize, (SESSIONS * MORE * LENGTH) as isize);
    println!("{held} bytes more are held; one copy is {once}, one for each session {each}");
    assert!(held >= once / 2, "nobody has acknowledged them, so they have to be somewhere");
    assert!(held < 4 * once, "{held}");
}

/// Once buffers have the size they need, a message takes no memory of its own at either end.
#[test]
fn messages_of_a_session_share_their_allocations() {
    const MANY: u64 = 20_000;
    let sim = Sim::new(2);
    let (_server, net) = serve(&sim, Config::SERVER, |_: &SessionInfo| deaf);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    let taken = sim.run(async move {
        world.aside(runner);
        for _ in 0..MANY {
            handle.send(1u8, &[0; 16]).await.unwrap();
        }
        handle.flushed().await.unwrap();
        net.last().up().log = Vec::with_capacity(1 << 20);
        let before = of_thread().taken;
        for _ in 0..MANY {
            handle.send(1u8, &[0; 16]).await.unwrap();
        }
        handle.flushed().await.unwrap();
        of_thread().taken - before
    });
    println!("{taken} allocations for {MANY} messages");
    assert!((taken as u64) < MANY / 50, "{taken} allocations for {MANY} messages");
}
