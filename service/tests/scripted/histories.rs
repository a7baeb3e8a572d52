//! Random histories: whatever happens to the connections, everything arrives exactly once and in
//! order, or it is told exactly what did not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use outlast_core::wire::{Route, Status};
use outlast_core::{CloseCode, Config};
use outlast_service::{ClientConfig, Handle, Incoming, Peer, Runtime, SendError, Server};
use outlast_service::{Handler, SessionInfo};

use crate::executor::{Rng, Sim};
use crate::link::Faults;
use crate::world::{Net, client, eager, for_seeds, serve};

/// Who sent it and which of its messages it is.
type Name = (u32, u32);

/// What was said and what was heard.
#[derive(Default)]
struct Book {
    seed: u64,
    /// Messages that `send` or `request` took.
    said: BTreeSet<Name>,
    /// What the server's handlers were given, and the last of each sender.
    heard: BTreeSet<Name>,
    last: BTreeMap<u32, u32>,
    /// What a client was told of a lost session: this did not arrive, this may have.
    missing: BTreeSet<Name>,
    unknown: BTreeSet<Name>,
    /// Sessions that were lost.
    lost: u32,
    opened: u32,
    resumed: u32,
}

type Shared = Arc<Mutex<Book>>;

const CONFIG: Config = Config {
    max_body: 400,
    window: 4 << 10,
    window_max: 8 << 10,
    send_buffer: 4 << 10,
    max_requests: 3,
    idle_timeout_ms: 1_000,
    retention_s: 2,
    ..Config::SERVER
};

fn encode((sender, number): Name, size: usize) -> Vec<u8> {
    let mut payload = [sender.to_le_bytes(), number.to_le_bytes()].concat();
    payload.resize(8 + size, number as u8);
    payload
}

fn decode(payload: &[u8]) -> Name {
    let number = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
    let (sender, count) = (number(0), number(4));
    assert!(payload[8..].iter().all(|byte| *byte == count as u8), "damaged");
    (sender, count)
}

/// The server's side of a session: notes, answers, and sends numbers of its own.
struct Hears {
    sim: Sim,
    book: Shared,
    to_send: u32,
}

impl Hears {
    fn hear(&self, payload: &[u8]) {
        let name = decode(payload);
        let mut book = self.book.lock().unwrap();
        let seed = book.seed;
        assert!(book.heard.insert(name), "seed {seed}: {name:?} came twice");
        let last = book.last.insert(name.0, name.1);
        assert!(last.is_none_or(|last| last < name.1), "seed {seed}: {name:?} behind {last:?}");
    }
}

impl Handler for Hears {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Opened => {
                let (handle, count) = (peer.handle(), self.to_send);
                self.sim.spawn(async move {
                    for number in 0..count {
                        if handle.send(2u8, &number.to_le_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
            Incoming::Message { payload, .. } => self.hear(payload),
            Incoming::Request { id, payload, .. } => {
                self.hear(payload);
                if payload.len() % 2 == 0 {
                    peer.respond(id, Status::OK, payload).unwrap();
                } else {
                    let (responder, payload) = (peer.defer(id), payload.to_vec());
                    self.sim.spawn(async move {
                        // The session may be over.
                        let _ = responder.reply(&payload).await;
                    });
                }
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// The client's side.
fn listen(book: Shared) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + 'static {
    let mut expected = 0;
    move |_, event| match event {
        Incoming::Opened => {
            expected = 0;
            book.lock().unwrap().opened += 1;
        }
        Incoming::Resumed { .. } => book.lock().unwrap().resumed += 1,
        Incoming::Message { payload, .. } => {
            assert_eq!(payload, u32::to_le_bytes(expected));
            expected += 1;
        }
        Incoming::Lost { undelivered, .. } => {
            let name = |(_, payload): (Route, &[u8])| decode(payload);
            let mut book = book.lock().unwrap();
            book.lost += 1;
            book.missing.extend(undelivered.missing().map(name));
            book.unknown.extend(undelivered.unknown().map(name));
        }
        _ => {}
    }
}

/// One task that says numbered things with a handle.
async fn say(handle: Handle, book: Shared, mut rng: Rng, sender: u32, count: u32) {
    for number in 0..count {
        let name = (sender, number);
        let size = if rng.chance(15) { rng.range(400, 9_000) } else { rng.range(0, 300) } as usize;
        let payload = encode(name, size);
        let short = payload.len() <= 400;
        match rng.range(0, 3) {
            0 => match handle.request(1u8, &payload).await {
                Ok(response) => {
                    assert!(response.payload == payload, "another's answer");
                    assert!(book.lock().unwrap().heard.contains(&name));
                }
                Err(error) => {
                    let mut book = book.lock().unwrap();
                    if error.is_safe_to_repeat() { &mut book.missing } else { &mut book.unknown }
                        .insert(name);
                }
            },
            1 => {
                let receipt = handle.send_receipted(1u8, &payload).await;
                let (taken, sent) = match receipt {
                    Ok(receipt) => (receipt.await.is_ok(), true),
                    Err(_) => (false, false),
                };
                let mut book = book.lock().unwrap();
                if taken {
                    let seed = book.seed;
                    assert!(book.heard.contains(&name), "seed {seed}: {name:?} has a receipt");
                } else if !sent {
                    book.missing.insert(name);
                } else if !short {
                    book.unknown.insert(name);
                }
            }
            _ => {
                let sent = handle.send(1u8, &payload).await;
                let mut book = book.lock().unwrap();
                match sent {
                    // Long messages are not in what a lost session tells.
                    Ok(()) if !short => drop(book.unknown.insert(name)),
                    Ok(()) => {}
                    Err(SendError::Closed(_)) => drop(book.missing.insert(name)),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        book.lock().unwrap().said.insert(name);
    }
}

/// Hurts connections as long as it is told to.
async fn hurt<H: Handler>(sim: Sim, net: Net, server: Server<Sim, H>, mut rng: Rng, lose: bool) {
    for _ in 0..rng.range(5, 40) {
        sim.sleep(rng.range(100, 60_000)).await;
        if net.state().links.is_empty() {
            continue;
        }
        let link = net.last();
        match rng.range(0, if lose { 6 } else { 5 }) {
            0 => link.cut(rng.chance(50)),
            1 | 2 => link.cut_half(),
            3 => {
                let up = rng.chance(50);
                link.change(up, |faults| faults.stalled = true);
                sim.sleep(rng.range(0, 30_000)).await;
                link.change(up, |faults| faults.stalled = false);
            }
            4 => link.change(rng.chance(50), |faults| faults.hole = true),
            5 => {
                // Half a cut, and the other half about when the next connection comes.
                link.cut_half();
                sim.sleep(rng.range(0, 3_000)).await;
                link.cut(true);
            }
            _ => {
                for info in server.handle().sessions() {
                    let handle = server.handle().get(info.id);
                    handle.into_iter().for_each(|handle| handle.end(CloseCode::EVICTED));
                }
            }
        }
    }
}

fn faults(rng: &mut Rng) -> Faults {
    let sizes = [usize::MAX, 1_000, 100, 7];
    let mut size = || sizes[rng.range(0, 3) as usize];
    let (read_max, write_max) = (size(), size());
    Faults {
        read_max,
        write_max,
        capacity: rng.range(200, 20_000) as usize,
        busy: if rng.chance(30) { 20 } else { 0 },
        delay: if rng.chance(50) { 0 } else { rng.range(1, 3_000) },
        cut_after: rng.chance(40).then(|| rng.range(1, 20_000)),
        ..Faults::default()
    }
}

/// One history; `lose` says that sessions may be lost.
fn history(seed: u64, mut rng: Rng, lose: bool) -> Book {
    let sim = Sim::new(seed);
    let book = Arc::new(Mutex::new(Book { seed, ..Book::default() }));
    let (world, heard) = (sim.clone(), Arc::clone(&book));
    let to_send = rng.range(0, 200) as u32;
    let retention_s = if lose { 2 } else { 600 };
    let (server, net) = serve(&sim, Config { retention_s, ..CONFIG }, move |_: &SessionInfo| {
        Hears { sim: world.clone(), book: Arc::clone(&heard), to_send }
    });
    let (mut chance, limit) = (Rng(rng.next()), rng.range(5, 30) as usize);
    net.plan(move |number| {
        if number >= limit {
            return Some((Faults::default(), Faults::default()));
        }
        let away = lose && chance.chance(3);
        (!away && !chance.chance(10)).then(|| (faults(&mut chance), faults(&mut chance)))
    });
    let mut options: ClientConfig = eager(seed);
    options.session = Some(CONFIG);
    let (handle, runner) = client(&sim, &net, options, listen(Arc::clone(&book)));
    let (world, notes) = (sim.clone(), Arc::clone(&book));
    sim.run(async move {
        let client = join(&world, runner);
        let mut talkers = Vec::new();
        for sender in 0..rng.range(1, 4) as u32 {
            let said = say(
                handle.clone(),
                Arc::clone(&notes),
                Rng(rng.next()),
                sender,
                rng.range(5, 60) as u32,
            );
            talkers.push(join(&world, said));
        }
        let trouble = hurt(world.clone(), net.clone(), server, Rng(rng.next()), lose);
        let trouble = join(&world, trouble);
        for talker in talkers {
            talker.await;
        }
        trouble.await;
        // What is in flight at the end arrives, or the session is lost once more.
        while handle.flushed().await.is_err() {
            world.sleep(1_000).await;
        }
        loop {
            handle.finish();
            let over = handle.closed().await;
            if over.complete {
                break;
            }
            // It is replaced as soon as its task runs again.
            world.sleep(1_000).await;
        }
        assert!(client.await.complete, "seed {seed}");
    });
    let book = Arc::into_inner(book);
    book.map_or_else(|| panic!("seed {seed}: a task is left"), |book| book.into_inner().unwrap())
}

/// Runs a future in a task of its own.
pub(crate) fn join<T: Send + 'static>(
    sim: &Sim,
    future: impl Future<Output = T> + Send + 'static,
) -> impl Future<Output = T> + Send {
    let result = Arc::new(Mutex::new(None));
    let put = Arc::clone(&result);
    sim.spawn(async move {
        let value = future.await;
        *put.lock().unwrap() = Some(value);
    });
    let sim = sim.clone();
    async move {
        loop {
            if let Some(value) = result.lock().unwrap().take() {
                return value;
            }
            sim.sleep(500).await;
        }
    }
}

//= test DRV-16
#[test]
fn everything_arrives_once_and_in_order_over_any_connections() {
    let (mut resumed, mut heard) = (0, 0);
    let totals = Mutex::new((&mut resumed, &mut heard));
    for_seeds(110, |seed, rng| {
        let book = history(seed, rng, false);
        assert_eq!(book.lost, 0, "seed {seed}");
        assert_eq!(book.heard, book.said, "seed {seed}");
        let mut totals = totals.lock().unwrap();
        *totals.0 += book.resumed;
        *totals.1 += book.heard.len();
    });
    assert!(
        std::env::var("SEED").is_ok() || resumed > 1_000,
        "{resumed} resumes, {heard} messages"
    );
}

#[test]
fn what_a_lost_session_did_not_deliver_is_told() {
    let mut lost = 0;
    let total = Mutex::new(&mut lost);
    for_seeds(110, |seed, rng| {
        let book = history(seed, rng, true);
        for name in &book.said {
            let told = book.missing.contains(name) || book.unknown.contains(name);
            assert!(book.heard.contains(name) || told, "seed {seed}: {name:?} is gone silently");
        }
        for name in &book.missing {
            assert!(
                !book.heard.contains(name),
                "seed {seed}: {name:?} arrived, though told not to"
            );
        }
        **total.lock().unwrap() += book.lost;
        let _ = (book.opened, book.last);
    });
    assert!(std::env::var("SEED").is_ok() || lost > 100, "{lost} lost sessions");
}
