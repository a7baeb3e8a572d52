//! Over a serial line that loses, changes and invents bytes.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::rc::Rc;

use embedded_io::{ErrorType, Read, ReadReady, Write};
use outlast_embedded::client::DialerConfig;
use outlast_embedded::serial::SerialClient;
use outlast_embedded::serial::line::{Arrived, End, Line};
use outlast_embedded::serial::packet::{
    Decoder, Kind, Packet, Received, crc32c, decoded_len, encoded_len,
};
use outlast_embedded::{Config, Event, Instant, Route, StreamConfig, StreamResources};
use proptest::prelude::*;

use crate::pipes::{Pipe, Server};

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// What is decoded from bytes, and how often it was told that something was no packet.
fn decode(memory: usize, bytes: &[u8]) -> (Vec<(u8, u16, Vec<u8>)>, usize) {
    let mut memory = vec![0; memory];
    let mut decoder = Decoder::new(&mut memory);
    let (mut packets, mut corrupt) = (Vec::new(), 0);
    for byte in bytes {
        match decoder.take(*byte) {
            Received::Nothing => {}
            Received::Corrupt => corrupt += 1,
            Received::Whole => {
                let packet = decoder.packet().expect("it is whole");
                packets.push((packet.connection, packet.number, packet.payload.to_vec()));
            }
        }
    }
    (packets, corrupt)
}

fn encode(connection: u8, number: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; encoded_len(payload.len())];
    let packet = Packet { kind: Kind::Data, connection, number, payload };
    let len = packet.encode(&mut out).expect("room as it says");
    out.truncate(len);
    out
}

#[test]
fn the_check_value_of_crc32c() {
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
}

#[test]
fn long_runs_and_zeros_come_back() {
    for len in [0, 1, 245, 246, 247, 253, 254, 255, 256, 508, 509, 510, 1_000] {
        for fill in [0_u8, 1, 0xFF] {
            let payload = vec![fill; len];
            let bytes = encode(1, 2, &payload);
            assert!(!bytes[..bytes.len() - 1].contains(&0), "{len} bytes of {fill}");
            let (packets, corrupt) = decode(decoded_len(len), &bytes);
            assert_eq!((packets, corrupt), (vec![(1, 2, payload)], 0), "{len} bytes of {fill}");
        }
    }
}

#[test]
fn no_change_of_two_bits_is_accepted() {
    let bytes = encode(7, 300, b"twelve bytes");
    let bits = bytes.len() * 8;
    for first in 0..bits {
        for second in first..bits {
            let mut bytes = bytes.clone();
            bytes[first / 8] ^= 1 << (first % 8);
            if second != first {
                bytes[second / 8] ^= 1 << (second % 8);
            }
            // The end may be gone: another one follows.
            bytes.push(0);
            assert!(decode(64, &bytes).0.is_empty(), "bits {first} and {second}");
        }
    }
}

proptest! {
    #[test]
    fn packets_come_back(
        connection: u8, number: u16, payload in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        let bytes = encode(connection, number, &payload);
        prop_assert!(bytes.len() <= encoded_len(payload.len()));
        let (packets, corrupt) = decode(decoded_len(payload.len()), &bytes);
        prop_assert_eq!((packets, corrupt), (vec![(connection, number, payload)], 0));
    }

    #[test]
    fn noise_is_no_packet_and_costs_no_more_memory(
        noise in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        prop_assert!(decode(64, &noise).0.is_empty());
    }

    /// Whatever happens to some bytes, what is accepted was sent, and the packet after the first
    /// good end is understood.
    #[test]
    fn disturbed_packets_are_not_accepted(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..8),
        disturbances in
            prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<u8>()), 1..6),
    ) {
        let mut bytes: Vec<u8> = payloads
            .iter()
            .enumerate()
            .flat_map(|(number, payload)| encode(1, number as u16, payload))
            .collect();
        for (at, what, value) in disturbances {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] ^= value,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, value),
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                bytes.push(value);
            }
        }
        bytes.push(0);
        bytes.extend(encode(2, 9, b"after"));
        let (packets, _) = decode(100, &bytes);
        let (last, others) = packets.split_last().expect("the one after");
        prop_assert_eq!(last, &(2, 9, b"after".to_vec()));
        for (connection, number, payload) in others {
            prop_assert_eq!(*connection, 1);
            prop_assert_eq!(&payloads[usize::from(*number)], payload);
        }
    }
}

/// One direction of a line; of a thousand bytes, so many are disturbed.
struct Wire {
    bytes: VecDeque<u8>,
    rng: Rng,
    per_mille: u64,
}

impl Wire {
    fn new(seed: u64, per_mille: u64) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { bytes: VecDeque::new(), rng: Rng(seed | 1), per_mille }))
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let value = self.rng.below(256) as u8;
            match self.rng.below(3) {
                _ if self.rng.below(1_000) >= self.per_mille => self.bytes.push_back(*byte),
                0 => self.bytes.push_back(value),
                1 => self.bytes.extend([*byte, value]),
                _ => {}
            }
        }
    }
}

struct Uart {
    from: Rc<RefCell<Wire>>,
    to: Rc<RefCell<Wire>>,
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl ReadReady for Uart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.from.borrow().bytes.is_empty())
    }
}

impl Read for Uart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let bytes = &mut self.from.borrow_mut().bytes;
        let count = bytes.len().min(buf.len());
        assert!(count > 0, "this would wait");
        for (to, from) in buf.iter_mut().zip(bytes.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        let count = buf.len().min(16);
        self.to.borrow_mut().put(&buf[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// The server's end of the line: its connections are those of the line.
struct FarEnd<'m> {
    line: Line<'m>,
    server: Server,
    up: Pipe,
    down: Pipe,
    connections: u32,
}

impl FarEnd<'_> {
    fn turn(&mut self, now: Instant, from: &RefCell<Wire>, to: &RefCell<Wire>) {
        let bytes: Vec<u8> = from.borrow_mut().bytes.drain(..).collect();
        for byte in bytes {
            match self.line.receive(byte) {
                None => {}
                Some(Arrived::Over) => self.server.lost(now),
                Some(Arrived::Data(bytes)) => self.up.bytes.borrow_mut().extend(bytes),
                Some(Arrived::Start(bytes)) => {
                    (self.up, self.down) = (Pipe::default(), Pipe::default());
                    self.server.connected(now);
                    self.up.bytes.borrow_mut().extend(bytes);
                    self.connections += 1;
                }
            }
        }
        if self.line.is_open() {
            self.server.turn(now, &self.up, &self.down, usize::MAX);
        }
        let mut out = [0; 80];
        loop {
            let rest: Vec<u8> = self.down.bytes.borrow().iter().copied().collect();
            let (taken, len) = self.line.encode(&rest, &mut out);
            self.down.bytes.borrow_mut().drain(..taken);
            to.borrow_mut().put(&out[..len]);
            if len == 0 {
                return;
            }
        }
    }
}

fn message(n: u32) -> Vec<u8> {
    n.to_le_bytes().repeat(1 + n as usize % 30)
}

/// Messages and their echoes over a line with so many disturbed bytes of a thousand; how many
/// connections that took.
fn history(seed: u64, per_mille: u64) -> u32 {
    const MANY: u32 = 60;
    let (up, down) = (Wire::new(seed * 77, per_mille), Wire::new(seed * 99, per_mille));
    let mut resources = StreamResources::<1_024, 256, 256>::new();
    let (mut incoming, mut outgoing) = ([0; 80], [0; 80]);
    let session = Config {
        send_buffer: 1_024,
        idle_timeout_ms: 3_000,
        handshake_timeout_ms: 1_000,
        ..Config::CONSTRAINED
    };
    let dialer = DialerConfig {
        backoff_base: 10_000,
        backoff_cap: 100_000,
        connect_limit: 1_000_000,
        ..DialerConfig::default()
    };
    let config = StreamConfig { session, dialer, ..StreamConfig::new(seed) };
    let client = SerialClient::new(&mut resources, &mut incoming, &mut outgoing, config);
    let mut client = client.expect("a good configuration");
    let mut uart = Uart { from: Rc::clone(&down), to: Rc::clone(&up) };
    let mut memory = [0; 80];
    let mut far = FarEnd {
        line: Line::new(End::Server, 0, &mut memory),
        server: Server::new(Config { idle_timeout_ms: 3_000, ..Config::SERVER }),
        up: Pipe::default(),
        down: Pipe::default(),
        connections: 0,
    };
    let (mut sent, mut echoed, mut now) = (0, 0, 0);
    while echoed < MANY {
        now += 5_000;
        assert!(now < 3_600_000_000, "seed {seed}: {echoed} of {sent} came back in an hour");
        let at = Instant::from_micros(now);
        let polled = client.poll(at, &mut uart, |_, event| {
            if let Event::Message { payload, .. } = event {
                assert_eq!(payload, message(echoed), "seed {seed}");
                echoed += 1;
            }
            assert!(!matches!(event, Event::Lost { .. }), "seed {seed}: {event:?}");
        });
        polled.expect("this line has no errors");
        if sent < MANY && client.session().id().is_some() {
            sent += u32::from(client.session().send(Route::from(1u8), &message(sent)).is_ok());
        }
        far.turn(at, &up, &down);
    }
    assert_eq!(far.server.heard.len(), MANY as usize, "seed {seed}");
    far.connections
}

#[test]
fn a_clean_line_carries_one_connection() {
    assert_eq!(history(1, 0), 1);
}

#[test]
fn messages_come_once_and_in_order_over_a_disturbed_line() {
    let only = std::env::var("OUTLAST_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let seeds = only.map_or(1..=100, |seed| seed..=seed);
    let connections: u32 = seeds.map(|seed| history(seed, 1)).sum();
    assert!(only.is_some() || connections > 300, "{connections} connections: hardly disturbed");
}
