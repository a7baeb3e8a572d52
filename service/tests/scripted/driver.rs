//! The driver's contract: what a connection's task does with a transport that misbehaves.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use outlast_core::wire::{Frame, MAX_BODY, Op, Probe, Route, Status};
use outlast_core::{CloseCode, Config, Release, Session};
use outlast_service::{Handler, Incoming, Peer, Server, SessionInfo};

use crate::executor::Sim;
use crate::link::{Faults, Link};
use crate::world::{Net, Notes, Raw, client, deaf, eager, ops, serve, welcome};

const MINUTE: u64 = 60_000_000;

type Boxed = Box<dyn FnMut(&mut Peer<'_>, Incoming<'_>) + Send>;

/// A peer driven by hand in front of a server that notes what it is told and echoes.
struct Bench {
    sim: Sim,
    server: Server<Sim, Boxed>,
    net: Net,
    notes: Notes,
}

impl Bench {
    fn new(seed: u64, config: Config, echo: bool) -> Self {
        let (sim, notes) = (Sim::new(seed), Notes::default());
        let told = notes.clone();
        let factory = move |_: &SessionInfo| {
            let told = told.clone();
            let handler = move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Message { route, payload } => {
                    told.add("message");
                    // What has no room is not missed here.
                    let _ = if echo { peer.send(route, payload).map(drop) } else { Ok(()) };
                }
                Incoming::Disconnected { code, .. } => told.add(format!("gone {}", code.name())),
                Incoming::Request { id, .. } => {
                    peer.respond(id, Status::OK, b"answer").unwrap();
                }
                _ => {}
            };
            Box::new(handler) as Boxed
        };
        let (server, net) = serve(&sim, config, factory);
        Self { sim, server, net, notes }
    }

    /// Runs `test` with a session that is open.
    fn play<W: Future<Output = ()> + Send + 'static>(
        self,
        client: Config,
        test: impl FnOnce(Self, Raw, Session<Vec<u8>>, Link) -> W + Send + 'static,
    ) {
        self.sim.clone().run(async move {
            let mut raw = Raw::new(&self.sim, self.net.dial().unwrap());
            let session = raw.open(client).await;
            let link = self.net.last();
            self.sim.sleep(10_000).await;
            test(self, raw, session, link).await;
        });
    }
}

/// No silence is too long.
const PATIENT: Config = Config { idle_timeout_ms: 0, ..Config::SERVER };

/// Sends messages numbered from `from`.
async fn send(
    raw: &mut Raw,
    session: &mut Session<Vec<u8>>,
    numbers: std::ops::Range<u32>,
    size: usize,
) {
    for number in numbers {
        session.send(Route::from(1u8), &number.to_le_bytes().repeat(size / 4)).unwrap();
        let mut out = [0; 4096];
        let len = session.poll_transmit(raw.now(), &mut out);
        raw.write(&out[..len]).await.unwrap();
    }
}

//= test DRV-1
#[test]
fn reading_and_writing_do_not_wait_for_each_other() {
    Bench::new(1, PATIENT, true).play(PATIENT, |it, mut raw, mut session, link| async move {
        link.change(false, |faults| faults.stalled = true);
        send(&mut raw, &mut session, 0..500, 100).await;
        it.sim.sleep(1_000_000).await;
        assert_eq!(it.notes.count("message"), 500, "read while nothing could be written");
        link.change(false, |faults| faults.stalled = false);
        for _ in 0..500 {
            raw.wait_for(Op::Message).await.unwrap();
        }
    });
}

/// A transport that takes three bytes at a time, and then none for a while.
//= test DRV-2 DRV-12
#[test]
fn frames_come_whole_and_in_order_however_little_the_transport_takes() {
    for seed in 0..20 {
        let bench = Bench::new(seed, PATIENT, true);
        bench.net.plan(|_| {
            Some((Faults::default(), Faults { capacity: 16, write_max: 7, ..Faults::default() }))
        });
        bench.play(PATIENT, move |it, mut raw, mut session, _link| async move {
            let pings = 40;
            let mut nonces = Vec::new();
            let mut echoes = Vec::new();
            for round in 0..pings {
                send(&mut raw, &mut session, round * 3..round * 3 + 3, 40).await;
                let probe = Probe { nonce: round, tx: 0, ack: 0, limit: 0 };
                let tx = session.sent().get() as u32;
                let limit = PATIENT.window;
                let ping = outlast_core::wire::encode_probe(Op::Ping, Probe { tx, limit, ..probe });
                raw.write(&ping).await.unwrap();
                while nonces.last() != Some(&round) {
                    let frame = raw.frame().await.unwrap();
                    let (header, body, _) = Frame::split(&frame, MAX_BODY).unwrap().unwrap();
                    match Frame::decode(header, body).unwrap() {
                        Frame::Pong(Some(probe)) => nonces.push(probe.nonce),
                        Frame::Message { payload, .. } => echoes.push(payload.to_vec()),
                        _ => {}
                    }
                    it.sim.sleep(50).await;
                }
            }
            while echoes.len() < pings as usize * 3 {
                let frame = raw.wait_for(Op::Message).await.unwrap();
                echoes.push(frame[4..].to_vec());
            }
            for (number, echo) in (0u32..).zip(&echoes) {
                assert_eq!(echo, &number.to_le_bytes().repeat(10), "seed {seed}");
            }
        });
    }
}

//= test DRV-3
#[test]
fn a_transport_that_takes_nothing_is_waited_for_and_not_spun_on() {
    Bench::new(3, PATIENT, true).play(PATIENT, |it, mut raw, mut session, link| async move {
        link.change(false, |faults| faults.stalled = true);
        send(&mut raw, &mut session, 0..100, 100).await;
        it.sim.sleep(1_000_000).await;
        let (turns, writes) = (it.sim.turned(), link.down().writes);
        it.sim.sleep(10_000_000).await;
        assert!(it.sim.turned() - turns < 100, "{} turns", it.sim.turned() - turns);
        assert!(link.down().writes - writes < 50, "{} writes", link.down().writes - writes);
        // Once it takes something, it gets it then, not when a timer fires.
        let before = it.sim.micros();
        link.change(false, |faults| faults.stalled = false);
        raw.wait_for(Op::Message).await.unwrap();
        assert_eq!(it.sim.micros(), before);
    });
}

/// The transport stops in the middle of a frame, or of what was due; meanwhile input comes, so that
/// acknowledgements, signs of life and probes fall due that cannot be written.
#[test]
fn nothing_that_falls_due_while_nothing_can_be_written_is_spun_on() {
    for (capacity, size) in [(60, 100), (64 << 10, 100), (104, 100), (1_000, 300)] {
        let bench = Bench::new(16, IMPATIENT, true);
        bench
            .net
            .plan(move |_| Some((Faults::default(), Faults { capacity, ..Faults::default() })));
        let client = Config { idle_timeout_ms: 1_000, ..PATIENT };
        bench.play(client, move |it, mut raw, mut session, link| async move {
            for round in 0..20 {
                send(&mut raw, &mut session, round * 10..round * 10 + 10, size).await;
                if capacity > 10_000 {
                    link.change(false, |faults| faults.stalled = true);
                }
                let turns = it.sim.turned();
                it.sim.sleep(1_000_000).await;
                let turns = it.sim.turned() - turns;
                assert!(turns < 60, "{turns} turns in a second, {capacity}");
            }
        });
    }
}

/// Only so long, though: a transport that never takes anything holds memory for nothing.
#[test]
fn a_transport_that_never_takes_anything_is_given_up() {
    Bench::new(4, PATIENT, true).play(PATIENT, |it, mut raw, mut session, link| async move {
        link.change(false, |faults| faults.stalled = true);
        send(&mut raw, &mut session, 0..100, 100).await;
        it.sim.sleep(29_000_000).await;
        assert_eq!(it.notes.count("gone"), 0);
        it.sim.sleep(2_000_000).await;
        assert_eq!(it.notes.count("gone"), 1);
    });
}

/// Slow is not stuck: as long as it takes something now and then, it is waited for.
#[test]
fn a_transport_that_takes_little_at_a_time_is_not_given_up() {
    let bench = Bench::new(5, PATIENT, true);
    let faults = Faults { capacity: 200, ..Faults::default() };
    bench.net.plan(move |_| Some((Faults::default(), faults.clone())));
    bench.play(PATIENT, |it, mut raw, mut session, _link| async move {
        send(&mut raw, &mut session, 0..300, 100).await;
        for _ in 0..90 {
            it.sim.sleep(1_000_000).await;
            raw.frame().await.unwrap();
            assert_eq!(it.notes.count("gone"), 0, "at {}", it.sim.micros());
        }
    });
}

const IMPATIENT: Config = Config { idle_timeout_ms: 3_000, ..Config::SERVER };

/// When a server gives up a client that falls silent, in microseconds; in the last of them the
/// client speaks at `speaks`.
fn silent_until(seed: u64, speaks: Option<u64>) -> Option<u64> {
    let end = Arc::new(Mutex::new(None));
    let put = Arc::clone(&end);
    Bench::new(seed, IMPATIENT, false).play(PATIENT, move |it, raw, _session, link| async move {
        let mut raw = raw;
        if let Some(at) = speaks {
            let delay = at - it.sim.micros();
            link.change(true, |faults| faults.delay = delay);
            raw.write(&outlast_core::wire::encode_ack(0, 256 << 10)).await.unwrap();
        }
        for _ in 0..4_500 {
            it.sim.sleep(1_000).await;
            if it.notes.count("gone IDLE") > 0 {
                *put.lock().unwrap() = Some(it.sim.micros());
                break;
            }
        }
        drop(raw);
    });
    let end = end.lock().unwrap();
    *end
}

//= test DRV-4
#[test]
fn deadlines_are_kept_though_nothing_else_happens() {
    let gone = silent_until(5, None).expect("a silent peer is given up");
    assert!((3_000_000..3_020_000).contains(&gone), "{gone}");
}

/// A byte that arrives in the very moment in which its absence would count.
//= test DRV-5
#[test]
fn what_has_arrived_counts_before_the_time_does() {
    // The last that was heard was the client's first acknowledgement, at the very beginning.
    for seed in 0..50 {
        assert_eq!(silent_until(seed, Some(3_000_000)), None, "seed {seed}");
        assert!(silent_until(seed, Some(3_001_000)).is_some(), "seed {seed}");
    }
}

//= test DRV-15
#[test]
fn an_idle_connection_sleeps() {
    Bench::new(6, PATIENT, true).play(PATIENT, |it, mut raw, mut session, link| async move {
        send(&mut raw, &mut session, 0..10, 100).await;
        it.sim.sleep(3_000_000).await;
        let (turns, reads) = (it.sim.turned(), link.up().reads);
        it.sim.sleep(10 * MINUTE).await;
        assert_eq!(link.up().reads, reads);
        // The server's house is kept once a second; nothing else happens.
        assert!(it.sim.turned() - turns <= 601, "{} turns", it.sim.turned() - turns);
    });
}

/// A transport that says that it took nothing, though it did not ask to wait.
#[test]
fn a_transport_that_writes_nothing_is_over() {
    Bench::new(7, PATIENT, true).play(PATIENT, |it, mut raw, mut session, link| async move {
        link.change(false, |faults| faults.nothing = true);
        send(&mut raw, &mut session, 0..10, 100).await;
        it.sim.sleep(10_000).await;
        assert_eq!(it.notes.count("gone"), 1);
    });
}

//= test DRV-17
#[test]
fn after_an_error_what_is_left_is_written_and_the_rest_of_the_input_read() {
    Bench::new(8, PATIENT, true).play(PATIENT, |it, mut raw, mut session, link| async move {
        link.change(false, |faults| faults.stalled = true);
        send(&mut raw, &mut session, 0..20, 100).await;
        // A frame that cannot be.
        raw.write(&[0, 0, 0, 0]).await.unwrap();
        it.sim.sleep(500_000).await;
        link.change(false, |faults| (faults.stalled, faults.write_max) = (false, 3));
        // What comes behind is read, so that nothing resets the connection under the CLOSE.
        for _ in 0..100 {
            raw.write(&[7; 1_000]).await.unwrap();
        }
        let close = raw.wait_for(Op::Close).await.expect("the error is told");
        assert_eq!(close[4..6], CloseCode::BAD_FRAME.get().to_le_bytes());
        assert!(raw.frame().await.is_none(), "CLOSE is the last");
        assert_eq!(it.server.handle().stats().connections, 1, "it waits for the end of the stream");
        drop(raw);
        it.sim.sleep(1_000).await;
        assert_eq!(it.server.handle().stats().connections, 0);
        assert_eq!(it.notes.count("message"), 20);
        assert!(ops(&link.down().log).ends_with(&[Op::Close]));
    });
}

//= test DRV-19
#[test]
fn a_connection_that_always_has_input_lets_others_run() {
    let bench = Bench::new(9, PATIENT, false);
    bench.net.plan(|_| {
        Some((Faults { read_max: 60, capacity: 1 << 20, ..Faults::default() }, Faults::default()))
    });
    bench.play(PATIENT, |it, mut raw, mut session, link| async move {
        let (turns, reads) = (it.sim.turned(), link.up().reads);
        send(&mut raw, &mut session, 0..1_000, 100).await;
        while it.notes.count("message") < 1_000 {
            it.sim.sleep(100).await;
        }
        let (turns, reads) = (it.sim.turned() - turns, link.up().reads - reads);
        assert!(reads > 1_500, "the input came in many pieces: {reads}");
        assert!(turns * 10 > reads, "{reads} reads in {turns} turns");
    });
}

/// Applications that take nothing: callers that do not look at their answers, a handler that
/// answers nothing and releases nothing. The connection lives, beats and writes.
//= test DRV-18
#[test]
fn an_application_that_takes_its_time_stops_neither_clock_nor_writing() {
    let sim = Sim::new(10);
    let config = Config { idle_timeout_ms: 2_000, release: Release::Manual, ..Config::SERVER };
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let (server, net) = serve(&sim, config, move |_: &SessionInfo| {
        let keep = Arc::clone(&keep);
        let mut asked = 0;
        move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Opened => {
                let handle = peer.handle();
                // More answers than anybody takes.
                keep.lock().unwrap().push((Some(handle), None));
            }
            Incoming::Request { id, .. } => {
                asked += 1;
                if asked % 2 == 0 {
                    keep.lock().unwrap().push((None, Some(peer.defer(id))));
                } else {
                    peer.respond(id, Status::OK, &[0; 10_000]).unwrap();
                }
            }
            _ => {}
        }
    });
    let notes = Notes::default();
    let told = notes.clone();
    let mut options = eager(1);
    options.session = Some(Config { idle_timeout_ms: 2_000, ..Config::CLIENT });
    let (handle, runner) =
        client(&sim, &net, options, move |_: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Disconnected { code, .. } = event {
                told.add(code.name());
            }
        });
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let mut callers: Vec<_> = (0..40)
            .map(|_| {
                let handle = handle.clone();
                Box::pin(async move { handle.request(1u8, &[1; 1_000]).await })
            })
            .collect();
        for caller in &mut callers {
            world.sleep(100_000).await;
            let poll = |cx: &mut std::task::Context<'_>| {
                let _ = caller.as_mut().poll(cx);
                std::task::Poll::Ready(())
            };
            std::future::poll_fn(poll).await;
        }
        // The other direction gets through all the while.
        let back = kept.lock().unwrap()[0].0.clone().unwrap();
        for _ in 0..100 {
            world.sleep(1_000_000).await;
            back.send_receipted(1u8, b"on time").await.unwrap().await.unwrap();
        }
        assert_eq!(notes.all(), Vec::<String>::new());
        assert_eq!(server.handle().stats().connections, 1);
    });
}

/// A client whose messages arrive and are never released by the application.
#[test]
fn a_peer_that_releases_nothing_is_asked_once_in_each_limit() {
    let sim = Sim::new(15);
    let config = Config { release: Release::Manual, ..PATIENT };
    let (_server, net) = serve(&sim, config, |_: &SessionInfo| deaf);
    let mut options = eager(1);
    options.session = Some(Config { idle_timeout_ms: 3_000, ..Config::CLIENT });
    let (handle, runner) = client(&sim, &net, options, deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        handle.send(1u8, b"never released").await.unwrap();
        world.sleep(10 * MINUTE).await;
        assert_eq!(net.state().dialled, 1);
        let link = net.last();
        let pings = ops(&link.up().log).iter().filter(|op| **op == Op::Ping).count();
        assert!(pings <= 201, "{pings} in 200 times the limit");
    });
}

/// The machine sleeps for two hours: what was promised for one minute is over, though no task
/// ran.
//= test DRV-9
#[test]
fn time_is_that_of_the_runtimes_clock_alone() {
    let config = Config { retention_s: 60, ..PATIENT };
    for asleep in [30_000_000, 7_200_000_000] {
        let bench = Bench::new(11, config, false);
        bench.play(PATIENT, move |it, raw, session, _link| async move {
            let mut session = session;
            drop(raw);
            it.sim.sleep(10_000).await;
            session.detach(outlast_core::Instant::from_micros(it.sim.micros()));
            assert_eq!(it.server.handle().stats().sessions, 1);
            it.sim.suspend(asleep);
            it.sim.sleep(2_000_000).await;
            let sessions = usize::from(asleep < 60_000_000);
            assert_eq!(it.server.handle().stats().sessions, sessions);
        });
    }
}

/// The nonce of the first probe that comes.
async fn nonce(raw: &mut Raw) -> u32 {
    loop {
        let frame = raw.wait_for(Op::Ping).await.unwrap();
        let (header, body, _) = Frame::split(&frame, MAX_BODY).unwrap().unwrap();
        if let Ok(Frame::Ping(Some(probe))) = Frame::decode(header, body) {
            return probe.nonce;
        }
    }
}

//= test DRV-13
#[test]
fn every_connection_has_nonces_of_its_own() {
    // The server's, for clients that say the same.
    let nonces: Arc<Mutex<BTreeSet<u32>>> = Arc::default();
    let put = Arc::clone(&nonces);
    let bench = Bench::new(12, IMPATIENT, false);
    bench.play(PATIENT, |it, _raw, _session, _link| async move {
        for _ in 0..10 {
            let mut raw = Raw::new(&it.sim, it.net.dial().unwrap());
            let _session = raw.open(PATIENT).await;
            let heard = nonce(&mut raw).await;
            put.lock().unwrap().insert(heard);
        }
    });
    assert_eq!(nonces.lock().unwrap().len(), 10);
    // One client's, over several connections.
    let sim = Sim::new(13);
    let ends = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&ends);
    let net = Net::new(&sim, move |io| keep.lock().unwrap().push(io));
    let mut options = eager(1);
    options.session = Some(IMPATIENT);
    options.dialer.on_lost = outlast_core::client::OnLost::Replace;
    let (_handle, runner) = client(&sim, &net, options, deaf);
    let world = sim.clone();
    let heard = sim.run(async move {
        world.aside(runner);
        let mut heard = BTreeSet::new();
        for number in 1..=10 {
            let io = loop {
                let next = ends.lock().unwrap().pop();
                match next {
                    Some(io) => break io,
                    None => world.sleep(1_000).await,
                }
            };
            let mut raw = Raw::new(&world, io);
            let mut session = welcome(&mut raw, PATIENT, number).await;
            heard.insert(nonce(&mut raw).await);
            session.end(raw.now(), CloseCode::EVICTED);
            let mut out = [0; 256];
            let len = session.poll_transmit(raw.now(), &mut out);
            raw.write(&out[..len]).await.unwrap();
        }
        heard
    });
    assert_eq!(heard.len(), 10);
}

/// A handler that neither answers nor defers has done nothing; a responder that is dropped may
/// have.
//= test REQ-10
#[test]
fn only_a_request_that_nobody_took_has_no_route() {
    struct Picky;
    impl Handler for Picky {
        fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
            if let Incoming::Request { id, payload: b"taken", .. } = event {
                drop(peer.defer(id));
            }
        }
    }
    let sim = Sim::new(14);
    let (_server, net) = serve(&sim, PATIENT, |_: &SessionInfo| Picky);
    let (handle, runner) = client(&sim, &net, eager(1), deaf);
    let world = sim.clone();
    sim.run(async move {
        world.aside(runner);
        let ignored = handle.request(1u8, b"ignored").await.unwrap();
        assert_eq!(ignored.status, Status::NO_ROUTE);
        let taken = handle.request(1u8, b"taken").await.unwrap();
        assert_eq!(taken.status, Status::INTERNAL);
    });
}
