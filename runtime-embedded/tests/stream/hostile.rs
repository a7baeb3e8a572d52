//! Transports that are never quiet, and settings that cannot work.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use embedded_io::ReadReady;
use outlast_core::state::SessionState;
use outlast_embedded::serial::SerialClient;
use outlast_embedded::serial::packet::{Decoder, Kind, Packet, Received};
use outlast_embedded::stream::{Client, Ended, Timer};
use outlast_embedded::{CloseCode, Config, Instant, StreamConfig, StreamResources};

use crate::pipes::{Clock, Pipe, Server};

/// Has always another byte that is no frame, and counts its reads.
struct Babble<'c> {
    reads: &'c Cell<u32>,
    byte: u8,
}

impl embedded_io::ErrorType for Babble<'_> {
    type Error = Infallible;
}

impl Babble<'_> {
    fn fill(&self, buf: &mut [u8]) -> usize {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() < 10_000, "nobody else comes to anything");
        buf.fill(self.byte);
        buf.len()
    }
}

impl embedded_io_async::Read for Babble<'_> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.fill(buf))
    }
}

impl embedded_io::Read for Babble<'_> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.fill(buf))
    }
}

impl ReadReady for Babble<'_> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(true)
    }
}

impl embedded_io::Write for Babble<'_> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_stream_that_always_has_more_stops_neither_the_clock_nor_the_goodbye() {
    let (clock, mut resources) = (Clock::default(), StreamResources::<1_024, 256, 256>::new());
    let mut client =
        Client::new(&mut resources, StreamConfig::new(7), clock.clone()).expect("good");
    let Poll::Ready(Ok(dial)) = poll(pin!(client.ready())) else { panic!("the first attempt") };
    let reads = Cell::new(0);
    let up = Pipe::default();
    up.room.set(4_096);
    let mut connection =
        client.attach(&dial, Babble { reads: &reads, byte: 0xFF }, up).expect("attached");
    let mut run = pin!(connection.run(|_, _| {}));
    let ended = (0..100).find_map(|_| {
        clock.pass(100_000);
        match poll(run.as_mut()) {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        }
    });
    assert_eq!(ended, Some(Ended::GivenUp));
}

#[test]
fn a_line_that_always_has_more_does_not_keep_a_poll() {
    let mut resources = StreamResources::<1_024, 256, 256>::new();
    let (mut incoming, mut outgoing) = ([0; 80], [0; 80]);
    let client =
        SerialClient::new(&mut resources, &mut incoming, &mut outgoing, StreamConfig::new(7));
    let mut client = client.expect("good");
    let reads = Cell::new(0);
    let mut line = Babble { reads: &reads, byte: 0x55 };
    for second in 1..20 {
        let now = Instant::from_micros(second * 1_000_000);
        let next = client.poll(now, &mut line, |_, _| {}).expect("a line without errors");
        assert_eq!(next, Some(now), "there is more to read");
    }
}

#[test]
fn a_server_hears_of_a_stop_and_no_other_attempt_follows() {
    let (clock, mut resources) = (Clock::default(), StreamResources::<1_024, 256, 256>::new());
    let mut client =
        Client::new(&mut resources, StreamConfig::new(7), clock.clone()).expect("good");
    let Poll::Ready(Ok(dial)) = poll(pin!(client.ready())) else { panic!("the first attempt") };
    let (up, down) = (Pipe::default(), Pipe::default());
    up.room.set(4_096);
    let mut server = Server::new(Config::SERVER);
    server.connected(clock.now());
    let mut connection = client.attach(&dial, down.clone(), up.clone()).expect("attached");
    assert!(poll(pin!(connection.run(|_, _| {}))).is_pending());
    server.turn(clock.now(), &up, &down, usize::MAX);
    assert!(poll(pin!(connection.run(|_, _| {}))).is_pending());
    connection.stop(CloseCode::OK);
    assert!(poll(pin!(connection.run(|_, _| {}))).is_pending());
    server.turn(clock.now(), &up, &down, usize::MAX);
    assert_eq!(server.session().state(), SessionState::Ended, "it was not told");
    down.ended.set(true);
    assert_eq!(poll(pin!(connection.run(|_, _| {}))), Poll::Ready(Ended::Eof));
    drop(connection);
    assert!(matches!(poll(pin!(client.ready())), Poll::Ready(Err(_))));
}

#[test]
fn a_packet_is_lent_until_the_next_byte() {
    let mut memory = [0; 32];
    let mut decoder = Decoder::new(&mut memory);
    let mut bytes = [0; 32];
    let packet = Packet { kind: Kind::Data, connection: 1, number: 2, payload: b"abc" };
    let len = packet.encode(&mut bytes).expect("room");
    let last = bytes[..len].iter().map(|byte| decoder.take(*byte)).last();
    assert_eq!((last, decoder.packet()), (Some(Received::Whole), Some(packet)));
    decoder.take(9);
    decoder.take(9);
    assert_eq!(decoder.packet(), None);
}
