//! Sessions that go on in another server, from snapshots.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use outlast_core::wire::Status;
use outlast_core::{CloseCode, Config, Release};
use outlast_service::{
    Handle, Handler, Incoming, Peer, RestoreError, Runner, Runtime, SendError, Server, SessionInfo,
    Why,
};

use crate::executor::{Rng, Sim};
use crate::link::Faults;
use crate::world::{Net, Notes, client, eager, for_seeds, served};

const SECOND: u64 = 1_000_000;
const GRACE: Duration = Duration::from_secs(5);
const SPREAD: Duration = Duration::from_millis(20);

/// Answers every number with the sum of all numbers so far, which outlasts its process.
struct Adder {
    sum: u64,
    notes: Notes,
}

impl Adder {
    fn new(info: &SessionInfo, notes: &Notes) -> Self {
        let saved = info.saved.as_deref().and_then(|saved| saved.try_into().ok());
        Self { sum: saved.map_or(0, u64::from_le_bytes), notes: notes.clone() }
    }
}

impl Handler for Adder {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Opened => self.notes.add("opened"),
            Incoming::Resumed { .. } => self.notes.add("resumed"),
            Incoming::Message { payload, .. } => {
                let number = payload.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
                self.sum += u64::from(number);
                self.notes.add(format!("number {number}"));
                // Of several lengths.
                let mut answer = vec![0; 8 + number as usize % 5 * 1_000];
                answer[..8].copy_from_slice(&self.sum.to_le_bytes());
                let handle = peer.handle();
                if let Err(SendError::Full) = handle.try_send(1u8, &answer) {
                    handle.try_send(1u8, &answer[..8]).unwrap();
                }
            }
            Incoming::Request { id, payload, .. } if payload == b"later" => {
                // Nobody ever answers it in this process.
                std::mem::forget(peer.defer(id));
            }
            Incoming::Request { id, .. } => peer.respond(id, Status::OK, b"now").unwrap(),
            Incoming::Lost { code, .. } => self.notes.add(format!("lost {code}")),
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }

    fn save(&self) -> Vec<u8> {
        self.sum.to_le_bytes().to_vec()
    }
}

fn house(sim: &Sim, config: Config, notes: &Notes) -> Server<Sim, Adder> {
    let notes = notes.clone();
    let server = Server::new(sim.clone(), served(config), move |info: &SessionInfo| {
        Adder::new(info, &notes)
    });
    let server = server.unwrap();
    let keeper = server.clone();
    sim.spawn(async move { keeper.keep_house().await });
    server
}

/// A client that checks the sums it is told, in order, each once.
fn counting(sim: &Sim, net: &Net, seed: u64, notes: &Notes) -> (Handle, Runner, Arc<AtomicU32>) {
    let (right, noted) = (Arc::new(AtomicU32::new(0)), notes.clone());
    let (counter, mut sum) = (Arc::clone(&right), 0u64);
    let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { payload, .. } => {
            let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
            sum += u64::from(number);
            let told = payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
            assert_eq!(told, Some(sum), "answer {number}");
        }
        Incoming::Resumed { .. } => noted.add("back"),
        Incoming::Lost { code, undelivered, .. } => {
            let numbers =
                |(_, payload): (_, &[u8])| u32::from_le_bytes(*payload.first_chunk().unwrap());
            let missing: Vec<u32> = undelivered.missing().map(numbers).collect();
            let unknown: Vec<u32> = undelivered.unknown().map(numbers).collect();
            noted.add(format!("lost {code}: missing {missing:?} unknown {unknown:?}"));
            // No other session is to take its place.
            peer.handle().end(CloseCode::OK);
        }
        _ => {}
    };
    let (handle, runner) = client(sim, net, eager(seed), handler);
    (handle, runner, right)
}

/// Connections that are slow, split, and break now and then.
fn rough(net: &Net, mut rng: Rng) {
    net.plan(move |_| {
        let mut one = || {
            let cut = rng.chance(60).then(|| rng.range(500, 60_000));
            let (read_max, write_max) =
                (rng.range(1, 5_000) as usize, rng.range(1, 5_000) as usize);
            let delay = rng.range(0, 3_000);
            Faults { read_max, write_max, delay, cut_after: cut, ..Faults::default() }
        };
        Some((one(), one()))
    });
}

/// Servers follow each other in the midst of traffic over breaking connections: every message is
/// handled exactly once, and what the handlers know goes along.
#[test]
fn sessions_outlast_their_servers() {
    const COUNT: u32 = 150;
    for_seeds(25, |seed, mut rng| {
        let sim = Sim::new(seed);
        let (notes, heard) = (Notes::default(), Notes::default());
        let mut server = house(&sim, Config::SERVER, &notes);
        let net = Net::serving(&sim, &server);
        rough(&net, Rng(rng.next()));
        let world = sim.clone();
        sim.run(async move {
            let (handle, runner, right) = counting(&world, &net, seed, &heard);
            world.aside(runner);
            let sender = handle.clone();
            let pause = rng.range(50, 2_000);
            let timer = world.clone();
            world.aside(async move {
                for number in 1..=COUNT {
                    // In fragments now and then.
                    let mut payload = vec![0; 4 + usize::from(number % 10 == 0) * 20_000];
                    payload[..4].copy_from_slice(&number.to_le_bytes());
                    sender.send(1u8, &payload).await.unwrap();
                    timer.sleep(pause).await;
                }
            });
            for _ in 0..4 {
                world.sleep(rng.range(1, SECOND / 8)).await;
                let snapshots = server.hand_over(GRACE, SPREAD).await;
                let next = house(&world, Config::SERVER, &notes);
                let restored = next.restore(&snapshots);
                assert!(restored.iter().all(Result::is_ok), "{restored:?}");
                assert_eq!(next.handle().stats().restored, restored.len() as u64);
                net.move_to(&next);
                server = next;
            }
            let since = world.micros();
            while right.load(Ordering::Relaxed) < COUNT {
                assert!(world.micros() < since + 600 * SECOND, "{:?}", heard.all());
                assert_eq!(heard.count("lost"), 0, "{:?}", heard.all());
                world.sleep(10_000).await;
            }
            assert_eq!((notes.count("opened"), notes.count("lost")), (1, 0), "{:?}", notes.all());
            // And the session ends as any other.
            handle.finish();
            assert!(handle.closed().await.complete);
        });
    });
}

/// The numbers that a handler has had.
fn numbers(notes: &Notes) -> Vec<u32> {
    let all = notes.all();
    let numbers = all.iter().filter_map(|note| note.strip_prefix("number "));
    numbers.map(|number| number.parse().unwrap()).collect()
}

/// Numbers as they are printed.
fn list(text: &str) -> Vec<u32> {
    let inside = text.trim_matches(['[', ']']);
    inside.split(", ").filter(|it| !it.is_empty()).map(|it| it.parse().unwrap()).collect()
}

/// A server is gone without warning, and the next one has snapshots of some time before: its client
/// goes on as if nothing had happened, or is told exactly what did not arrive.
#[test]
fn old_snapshots_repeat_nothing_and_lose_nothing_unsaid() {
    let counts = (AtomicU32::new(0), AtomicU32::new(0));
    for_seeds(60, |seed, mut rng| {
        let sim = Sim::new(seed);
        let (notes, later, heard) = (Notes::default(), Notes::default(), Notes::default());
        let server = house(&sim, Config::SERVER, &notes);
        let net = Net::serving(&sim, &server);
        let (world, told) = (sim.clone(), heard.clone());
        let second = later.clone();
        sim.run(async move {
            let (handle, runner, right) = counting(&world, &net, seed, &told);
            world.aside(runner);
            let (sender, timer) = (handle.clone(), world.clone());
            let pause = rng.range(100, 3_000);
            world.aside(async move {
                // A session that is lost takes no more.
                for number in 1..=40u32 {
                    if sender.send(1u8, &number.to_le_bytes()).await.is_err() {
                        return;
                    }
                    timer.sleep(pause).await;
                }
            });
            world.sleep(rng.range(10_000, 60_000)).await;
            let snapshots = server.snapshot(GRACE).await;
            assert_eq!(snapshots.len(), 1);
            // Mostly something happens between the snapshot and the end, and sometimes nothing.
            let pause = if rng.chance(50) { rng.range(0, 30_000) } else { rng.range(0, 50) };
            world.sleep(pause).await;
            net.last().cut(true);
            let next = house(&world, Config::SERVER, &second);
            assert!(next.restore(&snapshots).iter().all(Result::is_ok));
            net.move_to(&next);
            let since = world.micros();
            while told.count("lost") == 0 && right.load(Ordering::Relaxed) < 40 {
                assert!(world.micros() < since + 60 * SECOND, "{:?}", told.all());
                world.sleep(10_000).await;
            }
        });
        let (first, second, all) = (numbers(&notes), numbers(&later), heard.all());
        assert!(first.iter().copied().eq(1..=first.len() as u32), "{first:?}");
        let Some(verdict) = all.iter().find(|note| note.starts_with("lost")) else {
            counts.0.fetch_add(1, Ordering::Relaxed);
            // What the first one did after the snapshot is forgotten with it, and done again.
            let from = second.first().copied().unwrap_or(41);
            assert!(from <= first.len() as u32 + 1 && second.iter().copied().eq(from..=40));
            return;
        };
        counts.1.fetch_add(1, Ordering::Relaxed);
        assert!(second.is_empty(), "it was resumed in part: {second:?}");
        let (_, parts) = verdict.split_once("missing ").unwrap();
        let (missing, unknown) = parts.split_once(" unknown ").unwrap();
        let (missing, unknown) = (list(missing), list(unknown));
        // Nothing is called missing that was handled, and whatever was not handled is called so.
        assert!(missing.iter().all(|number| !first.contains(number)), "{verdict}: {first:?}");
        let handled = first.len() as u32;
        let unsaid = missing.iter().chain(&unknown).min().copied().unwrap_or(handled + 1);
        assert!(unsaid <= handled + 1, "{verdict}, but {handled} were handled");
    });
    let (resumed, lost) = (counts.0.into_inner(), counts.1.into_inner());
    let all = std::env::var_os("SEED").is_none();
    assert!(!all || resumed > 5 && lost > 5, "{resumed} resumed, {lost} lost");
}

/// A client of `net` that has its session, and what its handler noted.
async fn guest(sim: &Sim, net: &Net, seed: u64) -> (Handle, Notes) {
    let notes = Notes::default();
    let noted = notes.clone();
    let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { payload, .. } => {
            noted.add(format!("{} of {}", payload.first().unwrap_or(&0), payload.len()));
        }
        Incoming::Aborted { .. } => noted.add("aborted"),
        Incoming::Request { id, .. } => {
            std::mem::forget(peer.defer(id));
            noted.add("asked");
        }
        Incoming::Resumed { .. } => noted.add("resumed"),
        Incoming::Disconnected { code, .. } => noted.add(format!("gone {}", code.name())),
        Incoming::Lost { code, .. } => noted.add(format!("lost {code}")),
        _ => {}
    };
    let (handle, runner) = client(sim, net, eager(seed), handler);
    sim.aside(runner);
    while handle.id().is_none() {
        sim.sleep(100).await;
    }
    (handle, notes)
}

/// What was queued for a session goes along, newest values too; what nobody waits for any more is
/// answered or left out.
#[test]
fn what_was_queued_goes_along_and_what_was_asked_is_answered() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.run(async move {
        let notes = Notes::default();
        let server = house(&world, Config::SERVER, &notes);
        let net = Net::serving(&world, &server);
        let (handle, heard) = guest(&world, &net, 1).await;
        let id = handle.id().unwrap();
        // Asked, and not answered in this process; the answer to the other one is not heard.
        let (later, caller) = (Notes::default(), handle.clone());
        let said = later.clone();
        world.aside(async move {
            match caller.request(1u8, b"later").await {
                Ok(answer) => said.add(format!("{:?}", answer.status)),
                Err(error) => said.add(error.to_string()),
            }
        });
        let here = server.handle().get(id).unwrap();
        let asking = here.clone();
        world.aside(async move { asking.request(1u8, b"you?").await });
        heard.wait(&world, "asked").await;
        // No connection: everything is queued.
        net.plan(|_| None);
        net.last().cut(false);
        while here.is_connected() || handle.is_connected() {
            world.sleep(1_000).await;
        }
        here.try_send(1u8, &[1]).unwrap();
        here.send(1u8, &vec![2; 50_000]).await.unwrap();
        here.send_latest(2u8, &[3]).unwrap();
        here.send_latest(2u8, &[4]).unwrap();
        // A message that is too long for the room there is stays half given.
        let half = here.clone();
        world.aside(async move {
            let filler = vec![5; 900_000];
            for _ in 0..8 {
                let _ = half.send(1u8, &filler).await;
            }
        });
        world.sleep(SECOND).await;
        let snapshots = server.hand_over(GRACE, SPREAD).await;
        assert_eq!(snapshots.len(), 1);
        let closed = here.closed().await;
        assert_eq!((closed.why, closed.code), (Why::HandedOver, CloseCode::MOVED));
        let next = house(&world, Config::SERVER, &notes);
        assert_eq!(next.restore(&snapshots), [Ok(id)]);
        assert_eq!(next.restore(&snapshots), [Err(RestoreError::NoRoom)], "it is there already");
        // From now on, as if it had always been here: by handle, too, and before it is connected.
        let there = next.handle().get(id).unwrap();
        assert!(!there.is_connected());
        net.move_to(&next);
        net.plan(|_| Some((Faults::default(), Faults::default())));
        heard.wait(&world, "aborted").await;
        later.wait(&world, "").await;
        assert_eq!(later.all(), [format!("{:?}", Status::INTERNAL)]);

        assert_eq!(handle.request(1u8, b"and you?").await.unwrap().payload, b"now"[..]);
        let all = heard.all();
        let received: Vec<&str> = all.iter().map(String::as_str).collect();
        assert_eq!(received[..4], ["asked", "gone IDLE", "resumed", "1 of 1"]);
        assert_eq!(received[4], "2 of 50000");
        assert!(received.contains(&"4 of 1") && !received.contains(&"3 of 1"), "{received:?}");
        assert_eq!(heard.count("aborted"), 1);
        assert_eq!(notes.count("lost"), 0);
    });
}

/// Sessions come back under other limits than they began with, as far as there is room; what is too
/// old, or no snapshot at all, does not.
#[test]
fn limits_may_change_between_processes() {
    let sim = Sim::new(2);
    let world = sim.clone();
    sim.run(async move {
        let notes = Notes::default();
        let server = house(&world, Config::SERVER, &notes);
        let net = Net::serving(&world, &server);
        let (handle, heard) = guest(&world, &net, 1).await;
        let snapshots = server.hand_over(GRACE, SPREAD).await;
        // Smaller than what the client was promised, which stands.
        let small =
            Config { max_body: 1_000, max_message: 5_000, max_requests: 2, ..Config::SERVER };
        let next = house(&world, small, &notes);
        assert!(next.restore(&snapshots)[0].is_ok());
        net.move_to(&next);
        heard.wait(&world, "resumed").await;
        handle.send(1u8, &[9; 40_000]).await.unwrap();
        let there = next.handle().get(handle.id().unwrap()).unwrap();
        while notes.count("number 151587081") == 0 {
            world.sleep(1_000).await;
        }
        assert!(there.is_connected());
        // A window that is too small for a frame of the session's.
        let tiny = Config { max_body: 1_000, window: 2_000, window_max: 2_000, ..small };
        let tight = house(&world, tiny, &notes);
        assert_eq!(tight.restore(&snapshots), [Err(RestoreError::Limits)]);
        let mut damaged = snapshots[0].clone();
        let last = damaged.len() / 2;
        damaged[last] ^= 1;
        assert_eq!(tight.restore([&damaged[..], b"", b"OUTV"]), [Err(RestoreError::Corrupt); 3]);
        // Taken longer ago than sessions are kept: its time is at byte 24.
        let mut old = snapshots[0].clone();
        let taken_at = u64::from_le_bytes(*old[24..].first_chunk().unwrap());
        old[24..32].copy_from_slice(&(taken_at - 601).to_le_bytes());
        assert_eq!(tight.restore([&old]), [Err(RestoreError::Expired)]);
        assert_eq!(tight.handle().stats().sessions, 0);
    });
}

/// A peer that takes nothing does not hold the end up, and its session goes along all the same.
#[test]
fn who_does_not_leave_is_left() {
    let sim = Sim::new(3);
    let world = sim.clone();
    sim.run(async move {
        let notes = Notes::default();
        let server = house(&world, Config::SERVER, &notes);
        let net = Net::serving(&world, &server);
        let (handle, _) = guest(&world, &net, 1).await;
        let id = handle.id().unwrap();
        net.last().change(false, |faults| faults.stalled = true);
        let here = server.handle().get(id).unwrap();
        here.try_send(1u8, &[1; 10_000]).unwrap();
        let before = world.micros();
        let snapshots = server.hand_over(Duration::from_secs(1), SPREAD).await;
        let took = world.micros() - before;
        assert_eq!(snapshots.len(), 1);
        assert!((SECOND..SECOND * 3 / 2).contains(&took), "{took} µs");
        let next = house(&world, Config::SERVER, &notes);
        assert_eq!(next.restore(&snapshots), [Ok(id)]);
    });
}

/// However little time there is, clients are told to come again, and do.
#[test]
fn who_is_sent_away_at_once_comes_again() {
    let sim = Sim::new(4);
    let world = sim.clone();
    sim.run(async move {
        let notes = Notes::default();
        let server = house(&world, Config::SERVER, &notes);
        let net = Net::serving(&world, &server);
        let mut guests = Vec::new();
        for seed in 0..20 {
            guests.push(guest(&world, &net, seed).await);
        }
        let snapshots = server.hand_over(Duration::ZERO, SPREAD).await;
        assert_eq!(snapshots.len(), guests.len());
        let next = house(&world, Config::SERVER, &notes);
        assert!(next.restore(&snapshots).iter().all(Result::is_ok));
        net.move_to(&next);
        for (_, heard) in &guests {
            heard.wait(&world, "resumed").await;
            assert_eq!(heard.count("gone GOING_AWAY"), 1, "{:?}", heard.all());
        }
    });
}

/// What cannot be stored is not said to go on: its handler is told that it is lost.
#[test]
fn what_no_snapshot_can_be_taken_of_is_lost_and_told_so() {
    let sim = Sim::new(5);
    let world = sim.clone();
    sim.run(async move {
        let notes = Notes::default();
        let server = house(&world, Config { release: Release::Manual, ..Config::SERVER }, &notes);
        let net = Net::serving(&world, &server);
        let (handle, _) = guest(&world, &net, 1).await;
        let here = server.handle().get(handle.id().unwrap()).unwrap();
        // The handler has it, and does not say that it has taken it.
        let asking = handle.clone();
        world.aside(async move { asking.request(1u8, b"later").await });
        while server.handle().info(handle.id().unwrap()).unwrap().messages_in == 0 {
            world.sleep(1_000).await;
        }
        assert!(server.snapshot(GRACE).await.is_empty());
        assert!(server.hand_over(GRACE, SPREAD).await.is_empty());
        assert_eq!(notes.count("lost"), 1, "{:?}", notes.all());
        assert_ne!(here.closed().await.why, Why::HandedOver);
    });
}
