//! Messages to everybody: whatever happens to the connections, each session gets them once and in
//! the order in which each sender sent them, with what was sent to it alone in between.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Instant;

use outlast_core::wire::Status;
use outlast_core::{CloseCode, Config};
use outlast_service::inbox::{Inbox, InboxConfig};
use outlast_service::{
    ClientConfig, Handle, Incoming, Peer, Runtime, SendError, Server, ServerHandle, SessionInfo,
};

use crate::executor::{Rng, Sim, Wanted};
use crate::histories::join;
use crate::link::Faults;
use crate::world::{Net, Notes, client, deaf, eager, for_seeds, serve, served};

const CONFIG: Config = Config {
    max_body: 6_000,
    window: 16 << 10,
    window_max: 16 << 10,
    send_buffer: 16 << 10,
    idle_timeout_ms: 5_000,
    retention_s: 600,
    ..Config::SERVER
};

/// A session, a sender, and which of its messages it is.
type Name = (u64, u32, u32);

#[derive(Default)]
struct Book {
    seed: u64,
    said: BTreeSet<Name>,
    heard: BTreeSet<Name>,
    last: BTreeMap<(u64, u32), u32>,
    resumed: u32,
    /// Writes that no connection's task made.
    written_aside: u64,
    /// Messages to everybody that some session had no room for.
    full: u32,
}

type Shared = Arc<Mutex<Book>>;

fn encode(sender: u32, number: u32, size: usize) -> Vec<u8> {
    let mut payload = [sender.to_le_bytes(), number.to_le_bytes()].concat();
    payload.resize(8 + size, number as u8);
    payload
}

/// A client, which notes what it hears under the number of its session.
fn listen(
    book: Shared,
    own: Arc<Mutex<Option<Handle>>>,
) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) {
    let hear = move |payload: &[u8]| {
        let id = own.lock().unwrap().as_ref().and_then(Handle::id).unwrap();
        let number = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
        let (sender, count) = (number(0), number(4));
        assert!(payload[8..].iter().all(|byte| *byte == count as u8), "damaged");
        let mut book = book.lock().unwrap();
        let seed = book.seed;
        assert!(book.heard.insert((id, sender, count)), "seed {seed}: {sender} {count} twice");
        let last = book.last.insert((id, sender), count);
        assert!(last.is_none_or(|last| last < count), "seed {seed}: {count} behind {last:?}");
    };
    move |peer, event| match event {
        Incoming::Message { payload, .. } => hear(payload),
        Incoming::Request { id, payload, .. } => {
            hear(payload);
            peer.respond(id, Status::OK, &[]).unwrap();
        }
        Incoming::Finished => peer.finish(),
        _ => {}
    }
}

/// Sends to everybody and to each, numbering what it sends.
async fn say(
    sim: Sim,
    server: ServerHandle,
    ids: Vec<u64>,
    book: Shared,
    mut rng: Rng,
    sender: u32,
) {
    for number in 0..rng.range(20, 150) as u32 {
        let size = if rng.chance(10) { rng.range(0, 5_900) } else { rng.range(0, 200) } as usize;
        let payload = encode(sender, number, size);
        let id = ids[rng.range(0, ids.len() as u64 - 1) as usize];
        let one = server.get(id).unwrap();
        match rng.range(0, 9) {
            0 => one.send(1u8, &encode(sender, number, 3 * size)).await.unwrap(),
            1 => assert!(one.request(1u8, &payload).await.unwrap().status.is_ok()),
            2 => one.send_receipted(1u8, &payload).await.unwrap().await.unwrap(),
            3 => match one.try_send(1u8, &payload) {
                Ok(()) => {}
                Err(SendError::Full) => continue,
                Err(error) => panic!("{error}"),
            },
            _ => {
                let to: Vec<u64> = if rng.chance(30) {
                    ids.iter().copied().filter(|other| *other != id).collect()
                } else {
                    ids.clone()
                };
                let report = if to.len() < ids.len() {
                    server.broadcast_except(id, 1u8, &payload)
                } else {
                    server.broadcast(1u8, &payload)
                };
                // There may be sessions whose clients never learnt of them.
                assert!(report.sent + report.failed.len() >= to.len());
                let failed: BTreeMap<_, _> = report.failed.into_iter().collect();
                assert!(failed.values().all(|error| *error == SendError::Full), "{failed:?}");
                note(&book, &failed, &to, sender, number);
                if rng.chance(50) {
                    sim.sleep(rng.range(0, 20_000)).await;
                }
                continue;
            }
        }
        book.lock().unwrap().said.insert((id, sender, number));
    }
}

fn note(book: &Shared, failed: &BTreeMap<u64, SendError>, ids: &[u64], sender: u32, number: u32) {
    let mut book = book.lock().unwrap();
    book.full += failed.len() as u32;
    let to = ids.iter().filter(|id| !failed.contains_key(id));
    book.said.extend(to.map(|id| (*id, sender, number)));
}

fn faults(rng: &mut Rng) -> Faults {
    let sizes = [usize::MAX, 1_000, 100, 7];
    Faults {
        write_max: sizes[rng.range(0, 3) as usize],
        capacity: rng.range(200, 20_000) as usize,
        busy: if rng.chance(50) { 20 } else { 0 },
        delay: if rng.chance(50) { 0 } else { rng.range(1, 3_000) },
        cut_after: rng.chance(30).then(|| rng.range(1, 60_000)),
        tries: rng.chance(80),
        ..Faults::default()
    }
}

async fn hurt(sim: Sim, net: Net, server: ServerHandle, mut rng: Rng) {
    for _ in 0..rng.range(5, 30) {
        sim.sleep(rng.range(100, 60_000)).await;
        let links = net.state().links.clone();
        let link = &links[rng.range(0, links.len() as u64 - 1) as usize];
        match rng.range(0, 4) {
            0 => link.cut(rng.chance(50)),
            // The session is taken over from a task that knows of nothing.
            1 => link.cut_half(),
            2 => {
                let all = server.sessions();
                let id = all[rng.range(0, all.len() as u64 - 1) as usize].id;
                server.disconnect(id, CloseCode::GOING_AWAY);
            }
            _ => {
                link.change(false, |faults| faults.stalled = true);
                sim.sleep(rng.range(0, 50_000)).await;
                link.change(false, |faults| faults.stalled = false);
            }
        }
    }
}

fn history(seed: u64, mut rng: Rng) -> Book {
    let sim = Sim::new(seed);
    let book = Arc::new(Mutex::new(Book { seed, ..Book::default() }));
    let counted = Arc::clone(&book);
    let (server, net) = serve(&sim, CONFIG, move |_: &SessionInfo| {
        let book = Arc::clone(&counted);
        move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Resumed { .. } => book.lock().unwrap().resumed += 1,
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    });
    let (mut chance, limit) = (Rng(rng.next()), rng.range(5, 40) as usize);
    net.plan(move |number| {
        let calm = number >= limit;
        let mut draw = || if calm { Faults::default() } else { faults(&mut chance) };
        Some((Faults { cut_after: None, ..draw() }, draw()))
    });
    let (world, notes) = (sim.clone(), Arc::clone(&book));
    sim.run(async move {
        let mut clients = Vec::new();
        for number in 0..rng.range(1, 6) {
            let mut options: ClientConfig = eager(seed + number);
            options.session = Some(CONFIG);
            let own = Arc::new(Mutex::new(None));
            let handler = listen(Arc::clone(&notes), Arc::clone(&own));
            let (handle, runner) = client(&world, &net, options, handler);
            *own.lock().unwrap() = Some(handle.clone());
            clients.push((handle, join(&world, runner), own));
        }
        while clients.iter().any(|(handle, ..)| handle.id().is_none()) {
            world.sleep(1_000).await;
        }
        let ids: Vec<u64> = clients.iter().filter_map(|(handle, ..)| handle.id()).collect();
        let mut talkers = Vec::new();
        for sender in 0..rng.range(1, 3) as u32 {
            let (server, rng) = (server.handle(), Rng(rng.next()));
            let said = say(world.clone(), server, ids.clone(), Arc::clone(&notes), rng, sender);
            talkers.push(join(&world, said));
        }
        let trouble =
            join(&world, hurt(world.clone(), net.clone(), server.handle(), Rng(rng.next())));
        for talker in talkers {
            talker.await;
        }
        trouble.await;
        for id in ids {
            let handle = server.handle().get(id).unwrap();
            handle.flushed().await.unwrap();
        }
        for (handle, runner, own) in clients {
            handle.finish();
            assert!(runner.await.complete, "seed {seed}");
            *own.lock().unwrap() = None;
        }
        let tries = net.state().links.iter().map(|link| link.down().tries).sum();
        notes.lock().unwrap().written_aside = tries;
    });
    let book = Arc::into_inner(book);
    book.map_or_else(|| panic!("seed {seed}: a task is left"), |book| book.into_inner().unwrap())
}

#[test]
fn everybody_gets_everything_once_and_in_order_over_any_connections() {
    let totals = Mutex::new((0, 0, 0, 0));
    for_seeds(120, |seed, rng| {
        let book = history(seed, rng);
        assert_eq!(book.heard, book.said, "seed {seed}");
        let mut totals = totals.lock().unwrap();
        totals.0 += book.resumed;
        totals.1 += book.heard.len();
        totals.2 += book.written_aside;
        totals.3 += book.full;
    });
    let (resumed, heard, aside, full) = *totals.lock().unwrap();
    println!("{resumed} resumes, {heard} messages, {aside} written aside, {full} without room");
    let one = std::env::var("SEED").is_ok();
    assert!(one || (resumed > 100 && heard > 20_000 && aside > 2_000));
}

/// What a sleeping task left elsewhere is found by whoever wants something of its session.
#[test]
fn sessions_whose_tasks_sleep_are_ended_like_others() {
    for_seeds(20, |seed, mut rng| {
        let (sim, notes) = (Sim::new(seed), Notes::default());
        let (server, net) = serve(&sim, CONFIG, |_: &SessionInfo| deaf);
        let world = sim.clone();
        sim.run(async move {
            let count = rng.range(1, 8) as usize;
            let mut handles = Vec::new();
            for _ in 0..count {
                let told = notes.clone();
                let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
                    Incoming::Message { .. } => told.add("message"),
                    Incoming::Lost { code, .. } => told.add(format!("lost {}", code.name())),
                    _ => {}
                };
                let (handle, runner) = client(&world, &net, eager(seed), handler);
                world.aside(runner);
                handles.push(handle);
            }
            while handles.iter().any(|handle| handle.id().is_none()) {
                world.sleep(1_000).await;
            }
            let everybody = server.handle();
            for round in 1..4 {
                assert_eq!(everybody.broadcast(1u8, b"all").sent, count);
                world.sleep(100_000).await;
                assert_eq!(notes.count("message"), round * count);
            }
            assert!(net.state().links.iter().any(|link| link.down().tries > 0), "none was parked");
            // With a message on its way to each.
            let sent = everybody.broadcast(1u8, b"all").sent;
            assert_eq!((sent, everybody.end_all(CloseCode::EVICTED)), (count, count));
            world.sleep(1_000_000).await;
            assert_eq!(notes.count("lost EVICTED"), count);
        });
    });
}

/// What had no room is not overtaken by what came while it was carried and is shorter.
#[test]
fn a_short_message_does_not_overtake_a_long_one_for_which_there_was_no_room() {
    for_seeds(60, |seed, _| {
        let sim = Sim::new(seed);
        let world = sim.clone();
        sim.run(async move {
            let (server, net) = serve(&world, CONFIG, |_| deaf);
            let down = Faults { busy: 100, ..Faults::default() };
            net.plan(move |_| Some((Faults::default(), down.clone())));
            let (inbox, mut receiver) = Inbox::new(&world, InboxConfig::default());
            let (client, runner) = client(&world, &net, eager(seed), inbox);
            world.aside(runner);
            while client.id().is_none() {
                world.sleep(100).await;
            }
            let all = server.handle();
            assert_eq!(all.broadcast(1u8, &encode(0, 0, 0)).sent, 1);
            world.sleep(10_000).await;
            for number in 1..16 {
                assert_eq!(all.broadcast(1u8, &encode(0, number, 900)).sent, 1);
            }
            assert_eq!(all.broadcast(1u8, &encode(0, 16, 3_000)).sent, 1);
            let other = all.clone();
            world.spawn(async move {
                for number in 17..27 {
                    assert_eq!(other.broadcast(1u8, &encode(0, number, 0)).sent, 1);
                    let mut once = false;
                    poll_fn(|cx| {
                        cx.waker().wake_by_ref();
                        if std::mem::replace(&mut once, true) {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                    .await;
                }
            });
            world.sleep(50_000).await;
            for number in 0..27u32 {
                let received = receiver.recv().await.unwrap();
                assert_eq!(received.payload()[4..8], number.to_le_bytes(), "seed {seed}");
            }
        });
    });
}

/// A runtime whose clock fails once, when it is told to.
#[derive(Clone)]
struct Failing(Sim, Arc<AtomicBool>);

impl Runtime for Failing {
    type Timer = <Sim as Runtime>::Timer;

    fn now(&self) -> Instant {
        if self.1.swap(false, Ordering::Relaxed) {
            std::panic::panic_any(Wanted);
        }
        self.0.now()
    }

    fn timer(&self) -> Self::Timer {
        self.0.timer()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

/// It has sessions with it, of which nobody else knows where they are.
#[test]
fn a_panic_of_the_task_that_carries_costs_no_session() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let fails = Arc::new(AtomicBool::new(false));
        let runtime = Failing(world.clone(), Arc::clone(&fails));
        let server = Server::new(runtime, served(CONFIG), |_: &SessionInfo| deaf).unwrap();
        let (house, host) = (server.clone(), server.clone());
        world.spawn(async move { house.keep_house().await });
        let net = Net::new(&world, move |io| host.spawn_connection(io, None));
        let heard = Notes::default();
        let mut clients = Vec::new();
        for seed in 0..10 {
            let notes = heard.clone();
            let (handle, runner) =
                client(&world, &net, eager(seed), move |_: &mut Peer<'_>, event: Incoming<'_>| {
                    match event {
                        Incoming::Message { payload, .. } => {
                            notes.add(format!("{:02}", payload[0]))
                        }
                        Incoming::Disconnected { .. } => notes.add("gone"),
                        _ => {}
                    }
                });
            world.aside(runner);
            clients.push(handle);
        }
        world.sleep(1_000_000).await;
        let server = server.handle();
        for number in 0..20u8 {
            assert_eq!(server.broadcast(1u8, &[number]).sent, 10);
            // All sleep, so that the next to ask for the time is who carries it to them.
            fails.store(number % 4 == 3, Ordering::Relaxed);
            world.sleep(1_300_000).await;
            assert!(!fails.load(Ordering::Relaxed));
            assert_eq!(heard.count(&format!("{number:02}")), 10);
        }
        assert_eq!(heard.count("gone"), 0);
    });
}
