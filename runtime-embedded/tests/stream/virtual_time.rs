//! Over pipes, in virtual time.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use outlast_core::client::DialerConfig;
use outlast_embedded::stream::{Client, Ended, Timer};
use outlast_embedded::{CloseCode, Config, Event, Route, StreamConfig, StreamResources};

use crate::pipes::{Clock, Pipe, Server};

const CONFIG: Config = Config { idle_timeout_ms: 3_000, send_buffer: 1_024, ..Config::CONSTRAINED };
/// A server that bears as little silence as the client.
const SERVER: Config = Config { idle_timeout_ms: 3_000, ..Config::SERVER };

type Resources = StreamResources<1_024, 256, 256>;

fn client<'m>(resources: &'m mut Resources, clock: &Clock) -> Client<'m, Clock> {
    let dialer = DialerConfig { backoff_base: 1_000, ..DialerConfig::default() };
    let config = StreamConfig { session: CONFIG, dialer, ..StreamConfig::new(7) };
    Client::new(resources, config, clock.clone()).expect("a good configuration")
}

fn pipe(room: usize) -> Pipe {
    let pipe = Pipe::default();
    pipe.room.set(room);
    pipe
}

/// Polls once.
fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// The output of what is ready at once.
fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("this waits"),
    }
}

#[test]
fn heartbeats_are_sent_while_a_read_waits_and_the_read_is_not_given_up() {
    let (clock, mut resources) = (Clock::default(), Resources::new());
    let mut client = client(&mut resources, &clock);
    let (up, down) = (pipe(4_096), pipe(4_096));
    let dial = now(client.ready()).expect("the first attempt");
    let mut server = Server::new(SERVER);
    server.connected(clock.now());
    let mut connection = client.attach(&dial, down.clone(), up.clone()).expect("attached");
    {
        let mut run = pin!(connection.run(|_, event| {
            assert!(matches!(event, Event::Opened | Event::Acknowledged { .. }), "{event:?}");
        }));
        // Ten minutes in which nobody has anything to say.
        for _ in 0..6_000 {
            assert!(poll(run.as_mut()).is_pending());
            server.turn(clock.now(), &up, &down, usize::MAX);
            clock.pass(100_000);
        }
        assert_eq!(down.given_up.get(), 0, "a read was given up for a heartbeat");
    }
    let stats = connection.session().stats();
    assert!(stats.beats_out + stats.pings_out > 200, "{stats:?}");
    assert_eq!((stats.silences, server.session().stats().silences), (0, 0));
    assert_eq!(up.flushes.get(), 0, "nothing was closed, so nothing is flushed");
}

#[test]
fn silence_is_noticed_while_a_read_waits() {
    let (clock, mut resources) = (Clock::default(), Resources::new());
    let mut client = client(&mut resources, &clock);
    let (up, down) = (pipe(4_096), pipe(4_096));
    let dial = now(client.ready()).expect("the first attempt");
    let mut server = Server::new(SERVER);
    server.connected(clock.now());
    let mut connection = client.attach(&dial, down.clone(), up.clone()).expect("attached");
    let mut code = None;
    {
        let mut run = pin!(connection.run(|_, event| {
            if let Event::Disconnected { code: found, .. } = event {
                code = Some(found);
            }
        }));
        assert!(poll(run.as_mut()).is_pending());
        server.turn(clock.now(), &up, &down, usize::MAX);
        let ended = (0..100).find_map(|_| {
            clock.pass(100_000);
            match poll(run.as_mut()) {
                Poll::Ready(ended) => Some(ended),
                Poll::Pending => None,
            }
        });
        assert_eq!(ended, Some(Ended::GivenUp));
    }
    assert_eq!(code, Some(CloseCode::IDLE));
    drop(connection);
    // The next attempt resumes the session.
    clock.pass(10_000_000);
    assert!(now(client.ready()).expect("another attempt").resume);
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Messages go up and come back, while connections break and futures are given up at any moment.
fn history(seed: u64) {
    let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (clock, mut resources) = (Clock::default(), Resources::new());
    let mut client = client(&mut resources, &clock);
    let mut server = Server::new(SERVER);
    let (mut sent, mut echoed, mut cuts) = (0_u32, 0_u32, 0);
    const MANY: u32 = 150;
    let mut rounds = 0;
    while echoed < MANY {
        rounds += 1;
        assert!(rounds < 2_000, "seed {seed}: {echoed} of {sent} came back");
        clock.pass(1_000_000);
        let dial = now(client.ready()).unwrap_or_else(|end| panic!("seed {seed}: {end:?}"));
        let (up, down) = (pipe(1 + rng.below(300)), pipe(usize::MAX));
        server.connected(clock.now());
        let mut connection =
            client.attach(&dial, down.clone(), up.clone()).expect("a transport is there");
        let mut steps = if rng.below(3) == 0 { usize::MAX } else { 5 + rng.below(60) };
        while echoed < MANY && steps > 0 {
            {
                let mut run = pin!(connection.run(|session, event| {
                    if let Event::Message { payload, .. } = event {
                        assert_eq!(payload, message(echoed), "seed {seed}");
                        echoed += 1;
                        // Something is said while the event is held.
                        if sent < MANY && session.send(Route::from(1u8), &message(sent)).is_ok() {
                            sent += 1;
                        }
                    }
                }));
                for _ in 0..1 + rng.below(4) {
                    let ended = poll(run.as_mut());
                    assert!(ended.is_pending(), "seed {seed}: {ended:?}");
                    clock.pass(rng.below(30_000) as u64);
                    server.turn(clock.now(), &up, &down, 1 + rng.below(200));
                }
            }
            // The run was given up, and goes on after this.
            let session = connection.session();
            if sent < MANY && session.id().is_some() {
                sent += u32::from(session.send(Route::from(1u8), &message(sent)).is_ok());
            }
            steps -= 1;
        }
        cuts += 1;
    }
    assert_eq!(server.heard.len(), MANY as usize, "seed {seed}");
    assert!(cuts >= 1 && server.has_session());
}

fn message(n: u32) -> Vec<u8> {
    n.to_le_bytes().repeat(1 + n as usize % 40)
}

#[test]
fn messages_come_once_and_in_order_over_breaking_connections_and_given_up_futures() {
    let only = std::env::var("OUTLAST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    match only {
        Some(seed) => history(seed),
        None => (1..=200).for_each(history),
    }
}

#[test]
fn input_is_taken_while_a_write_waits() {
    let (clock, mut resources) = (Clock::default(), Resources::new());
    let mut client = client(&mut resources, &clock);
    let (up, down) = (pipe(4_096), pipe(usize::MAX));
    let dial = now(client.ready()).expect("the first attempt");
    let mut server = Server::new(SERVER);
    server.connected(clock.now());
    let mut connection = client.attach(&dial, down.clone(), up.clone()).expect("attached");
    let heard = std::cell::Cell::new(0);
    let mut run = pin!(connection.run(|session, event| match event {
        // More than the pipe takes from now on.
        Event::Opened => drop(session.send(Route::from(1u8), &[7; 200]).expect("room")),
        Event::Message { .. } => heard.set(heard.get() + 1),
        _ => {}
    }));
    assert!(poll(run.as_mut()).is_pending());
    server.turn(clock.now(), &up, &down, usize::MAX);
    up.room.set(10);
    assert!(poll(run.as_mut()).is_pending());
    assert_eq!(up.bytes.borrow().len(), 10, "the writer waits");
    for n in 0..3_u8 {
        server.session().send(Route::from(1u8), &[n]).expect("room");
        let idle = pipe(0);
        server.turn(clock.now(), &idle, &down, usize::MAX);
        assert!(poll(run.as_mut()).is_pending());
        assert!(down.bytes.borrow().is_empty(), "message {n} is not taken");
    }
    assert_eq!(heard.get(), 3);
}
