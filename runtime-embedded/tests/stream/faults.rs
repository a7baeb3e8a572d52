//! Transports whose reads and writes do anything but their work: what a connection ends with, how
//! often the next is tried, and that nothing is asked without end.

use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_io::{ErrorKind, ErrorType, ReadReady};
use outlast_embedded::client::DialerConfig;
use outlast_embedded::serial::{LineError, SerialClient};
use outlast_embedded::stream::{Client, Ended};
use outlast_embedded::{Config, Instant, StreamConfig, StreamResources};

use crate::pipes::Clock;

/// Ten minutes, in microseconds.
const LONG: u64 = 600_000_000;
/// Attempts that the back-off from half a second to a minute allows in that time: ten while it
/// grows, and then one in half a minute on average.
const ATTEMPTS: u32 = 45;

/// What a read or a write does.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Does {
    /// Nothing, and says so.
    Zero,
    Fails,
    /// Does not come back; on a line, nothing is there to read, and nothing is taken.
    Waits,
    /// Says that it did more than it was asked for, once.
    TooMany,
}

const ALL: [Does; 4] = [Does::Zero, Does::Fails, Does::Waits, Does::TooMany];

/// A transport without another end.
#[derive(Debug, Clone)]
struct Mad {
    read: Does,
    write: Does,
    /// How often anything was asked of it.
    calls: Rc<Cell<u32>>,
    read_too_many: bool,
    written_too_many: bool,
}

impl Mad {
    fn new(read: Does, write: Does) -> Self {
        let calls = Rc::default();
        Self { read, write, calls, read_too_many: false, written_too_many: false }
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl ErrorType for Mad {
    type Error = ErrorKind;
}

/// What comes of it; `None` if nothing does.
fn act(does: Does, is_done: &mut bool, asked: usize) -> Option<Result<usize, ErrorKind>> {
    match does {
        Does::Zero => Some(Ok(0)),
        Does::Fails => Some(Err(ErrorKind::ConnectionReset)),
        Does::Waits => None,
        Does::TooMany if core::mem::replace(is_done, true) => None,
        Does::TooMany => Some(Ok(asked + 1_000)),
    }
}

impl embedded_io_async::Read for Mad {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        self.count();
        match act(self.read, &mut self.read_too_many, buf.len()) {
            Some(done) => done,
            None => pending().await,
        }
    }
}

impl embedded_io_async::Write for Mad {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.count();
        match act(self.write, &mut self.written_too_many, buf.len()) {
            Some(done) => done,
            None => pending().await,
        }
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl ReadReady for Mad {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        self.count();
        Ok(self.read != Does::Waits && !(self.read == Does::TooMany && self.read_too_many))
    }
}

impl embedded_io::Read for Mad {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        act(self.read, &mut self.read_too_many, buf.len()).unwrap_or(Ok(0))
    }
}

impl embedded_io::Write for Mad {
    fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        self.count();
        act(self.write, &mut self.written_too_many, buf.len()).unwrap_or(Ok(0))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

fn poll<F: Future>(future: core::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Polls a future at steps of a tenth of a second until it is ready or the time is over.
fn wait<F: Future>(clock: &Clock, end: u64, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return Some(output);
        }
        if clock.micros() >= end {
            return None;
        }
        clock.pass(100_000);
    }
}

#[test]
fn a_stream_that_does_not_work_is_tried_again_after_the_back_off() {
    for read in ALL {
        for write in ALL {
            let (clock, mut resources) =
                (Clock::default(), StreamResources::<512, 256, 256>::new());
            let made = Client::new(&mut resources, StreamConfig::new(7), clock.clone());
            let mut client = made.expect("good");
            let (mut attempts, mut calls) = (0, 0);
            while let Some(dial) = wait(&clock, LONG, client.ready()) {
                let dial = dial.expect("it goes on for ever");
                attempts += 1;
                let mad = Mad::new(read, write);
                let connection = client.attach(&dial, mad.clone(), mad.clone());
                let mut connection = connection.expect("attached");
                let ended = wait(
                    &clock,
                    LONG + 60_000_000,
                    connection.run(|_, event| {
                        let text = format!("{event:?}");
                        assert!(text.starts_with("Disconnected"), "{text}");
                    }),
                );
                calls += mad.calls.get();
                let told = format!("{read:?}, {write:?}: {ended:?}");
                // Whatever is asked first; reading is.
                let expected = match (read, write) {
                    (Does::Zero, _) => Some(Ended::Eof),
                    (Does::Fails, _) => Some(Ended::Broken(ErrorKind::ConnectionReset)),
                    (_, Does::Zero) => Some(Ended::Broken(ErrorKind::WriteZero)),
                    (_, Does::Fails) => Some(Ended::Broken(ErrorKind::ConnectionReset)),
                    (_, Does::Waits | Does::TooMany) => Some(Ended::GivenUp),
                };
                assert_eq!(ended, expected, "{told}");
            }
            let told = format!("{read:?}, {write:?}");
            assert!((8..=ATTEMPTS).contains(&attempts), "{told}: {attempts} attempts");
            assert!(calls <= 10 * attempts, "{told}: {calls} calls in {attempts} attempts");
            assert_eq!(client.failures(), attempts, "{told}");
        }
    }
}

#[test]
fn transports_that_cannot_be_made_are_tried_again_after_the_back_off() {
    let (clock, mut resources) = (Clock::default(), StreamResources::<512, 256, 256>::new());
    let made = Client::new(&mut resources, StreamConfig::new(7), clock.clone());
    let mut client = made.expect("good");
    let mut attempts = 0;
    while let Some(dial) = wait(&clock, LONG, client.ready()) {
        attempts += 1;
        client.failed(&dial.expect("it goes on for ever"));
        assert_eq!(client.failures(), attempts);
    }
    assert!((8..=ATTEMPTS).contains(&attempts), "{attempts} attempts");
    // Each was given so long.
    let dial = wait(&clock, u64::MAX, client.ready()).expect("in time").expect("one more");
    let before = clock.micros();
    let connected = wait(&clock, u64::MAX, client.in_time(&dial, pending::<()>()));
    assert_eq!(connected, Some(None));
    assert_eq!(clock.micros() - before, DialerConfig::default().connect_limit);
}

/// Polls for so long when it asks for it, and not more often than each millisecond; how often that
/// was, and how often the line failed.
fn polls(client: &mut SerialClient<'_>, line: &mut Mad, from: u64, time: u64) -> (u32, u32) {
    let (mut now, mut polls, mut failed) = (from, 0, 0);
    while now < from + time {
        let at = Instant::from_micros(now);
        let next = match client.poll(at, line, |_, _| {}) {
            Ok(next) => next,
            Err(LineError { error, poll_at }) => {
                assert_eq!(error, ErrorKind::ConnectionReset);
                failed += 1;
                poll_at
            }
        };
        polls += 1;
        let next = next.expect("it goes on for ever").as_micros();
        now = next.max(now + 1_000);
    }
    (polls, failed)
}

#[test]
fn a_line_that_does_not_work_is_tried_again_after_the_back_off() {
    for read in ALL {
        for write in ALL {
            let mut resources = StreamResources::<512, 256, 256>::new();
            let (mut incoming, mut outgoing) = ([0; 80], [0; 80]);
            let config = StreamConfig::new(7);
            let client = SerialClient::new(&mut resources, &mut incoming, &mut outgoing, config);
            let mut client = client.expect("good");
            let mut line = Mad::new(read, write);
            let (polls, failed) = polls(&mut client, &mut line, 1_000, LONG);
            let attempts = client.failures();
            let told = format!("{read:?}, {write:?}: {polls} polls, {failed} failed");
            assert!((8..=ATTEMPTS).contains(&attempts), "{told}: {attempts} attempts");
            assert!(polls <= 10 * attempts, "{told} in {attempts} attempts");
            let fails = read == Does::Fails || (write == Does::Fails && read != Does::Fails);
            assert_eq!(failed > 0, fails, "{told}");
            assert!(line.calls.get() <= 4 * polls, "{told}: {} calls", line.calls.get());
        }
    }
}

/// Where nothing is ever answered, an attempt takes as long as it may.
#[test]
fn a_silent_line_is_given_up_after_the_time_for_an_attempt() {
    for (connect_limit, handshake_timeout_ms) in [(2_000_000, 60_000), (60_000_000, 2_000)] {
        let mut resources = StreamResources::<512, 256, 256>::new();
        let (mut incoming, mut outgoing) = ([0; 80], [0; 80]);
        let dialer = DialerConfig { connect_limit, ..DialerConfig::default() };
        let session = Config { handshake_timeout_ms, ..Config::CONSTRAINED };
        let config = StreamConfig { dialer, session, ..StreamConfig::new(7) };
        let client = SerialClient::new(&mut resources, &mut incoming, &mut outgoing, config);
        let mut client = client.expect("good");
        let mut line = Mad::new(Does::Waits, Does::TooMany);
        polls(&mut client, &mut line, 1_000, 1_900_000);
        assert_eq!(client.failures(), 0, "{connect_limit} us, {handshake_timeout_ms} ms");
        polls(&mut client, &mut line, 1_901_000, 200_000);
        assert_eq!(client.failures(), 1, "{connect_limit} us, {handshake_timeout_ms} ms");
    }
}

/// A line of noise, which begins with every byte that there is: no spin, no panic, and the back-off
/// is kept.
#[test]
fn a_noisy_line_is_no_server() {
    struct Noise(u64, u32);
    impl ErrorType for Noise {
        type Error = ErrorKind;
    }
    impl ReadReady for Noise {
        fn read_ready(&mut self) -> Result<bool, ErrorKind> {
            Ok(self.1 > 0)
        }
    }
    impl embedded_io::Read for Noise {
        fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
            for byte in &mut *buf {
                self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Ends of packets come more often than they would by chance.
                *byte = if self.0 >> 60 == 0 { 0 } else { (self.0 >> 40) as u8 };
            }
            self.1 = self.1.saturating_sub(1);
            Ok(buf.len())
        }
    }
    impl embedded_io::Write for Noise {
        fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
            Ok(buf.len())
        }
        fn flush(&mut self) -> Result<(), ErrorKind> {
            Ok(())
        }
    }
    for seed in 1..20 {
        let mut resources = StreamResources::<512, 256, 256>::new();
        let (mut incoming, mut outgoing) = ([0; 80], [0; 80]);
        let config = StreamConfig::new(seed);
        let client = SerialClient::new(&mut resources, &mut incoming, &mut outgoing, config);
        let mut client = client.expect("good");
        let mut line = Noise(seed, 0);
        let mut polls = 0;
        for tenth in 1..LONG / 100_000 {
            let now = Instant::from_micros(tenth * 100_000);
            // More than a poll takes, now and then.
            line.1 = if tenth % 50 == 0 { 200 } else { 2 };
            loop {
                polls += 1;
                let next = client.poll(now, &mut line, |_, event| {
                    let text = format!("{event:?}");
                    assert!(text.starts_with("Disconnected"), "seed {seed}: {text}");
                });
                if next.expect("a line without errors").is_none_or(|next| next > now) {
                    break;
                }
            }
        }
        let failures = client.failures();
        assert!((8..=ATTEMPTS).contains(&failures), "seed {seed}: {failures} failures");
        assert!(polls < 2 * LONG / 100_000, "seed {seed}: {polls} polls");
    }
}
