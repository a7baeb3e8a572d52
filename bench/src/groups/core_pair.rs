//! Two sessions in memory whose clock stands still.

use core::hint::black_box;

use outlast_core::wire::{Grant, Route, encode_ack};
use outlast_core::{Acceptor, Attach, Config, Event, Greeting, HANDSHAKE_MAX, Instant, Session};

const NOW: Instant = Instant::from_micros(1);
/// When every acknowledgement is due.
const LATER: Instant = Instant::from_micros(1_000_000);
const WINDOW: u32 = 1 << 20;

pub(super) struct Pair {
    client: Session<Vec<u8>>,
    server: Session<Vec<u8>>,
    wire: Vec<u8>,
    filled: usize,
    /// Positions that a peer beside this pair would be at.
    unseen: u64,
}

impl Pair {
    pub(super) fn new() -> Self {
        let config = Config {
            window: WINDOW,
            window_max: WINDOW,
            send_buffer: WINDOW,
            idle_timeout_ms: 0,
            ..Config::SERVER
        };
        let mut out = [0; HANDSHAKE_MAX];
        let made = Session::client(config, Vec::new());
        let mut client =
            made.unwrap_or_else(|error| unreachable!("a legal configuration: {error}"));
        let hello = client.attach(NOW, &Attach::default(), &mut out).map(|len| out[..len].to_vec());
        let hello = hello.unwrap_or_else(|error| unreachable!("a new session attaches: {error}"));
        let mut acceptor = Acceptor::new(NOW, &config);
        let Ok(Some(Greeting::Hello(greeting))) = acceptor.handle_input(NOW, &mut &hello[..])
        else {
            unreachable!("a HELLO is understood");
        };
        let grant = Grant { sid: 1, epoch: 1, key_id: 1, key: [0; 16] };
        let accepted = Session::server(NOW, config, &greeting, grant, 1, Vec::new(), &mut out);
        let accepted = accepted.unwrap_or_else(|code| unreachable!("equal limits fit: {code}"));
        let welcome = out[..accepted.written].to_vec();
        let mut pair = Self {
            client,
            server: accepted.session,
            wire: vec![0; 2 * WINDOW as usize],
            filled: 0,
            unseen: 0,
        };
        take_all(&mut pair.client, &welcome);
        pair.deliver();
        pair
    }

    pub(super) fn send(&mut self, payload: &[u8], count: usize) {
        for _ in 0..count {
            let sent = self.client.send(Route::from(7u8), payload);
            assert!(sent.is_ok(), "a batch fits the window");
        }
    }

    /// Transmits what was sent into the wire and returns how much there is.
    pub(super) fn transmit(&mut self) -> usize {
        self.filled = 0;
        loop {
            match self.client.poll_transmit(NOW, &mut self.wire[self.filled..]) {
                0 => return self.filled,
                more => self.filled += more,
            }
        }
    }

    /// The frames of a batch.
    pub(super) fn frames(&mut self, payload: &[u8], count: usize) -> Vec<u8> {
        self.send(payload, count);
        let len = self.transmit();
        let frames = self.wire[..len].to_vec();
        take_all(&mut self.server, &frames);
        self.answer();
        frames
    }

    /// Hands frames to the server; how many messages came out.
    pub(super) fn receive(&mut self, frames: &[u8]) -> usize {
        take_all(&mut self.server, frames)
    }

    /// Lets the server report what it received to nobody.
    pub(super) fn acknowledge_unseen(&mut self) {
        let mut out = [0; 256];
        black_box(self.server.poll_transmit(LATER, &mut out));
    }

    /// Tells the client that all was taken, as a peer would.
    pub(super) fn acknowledged(&mut self) {
        self.unseen = self.client.sent().get();
        let (ack, limit) = (self.unseen as u32, (self.unseen + u64::from(WINDOW)) as u32);
        take_all(&mut self.client, &encode_ack(ack, limit));
    }

    /// Everything sent goes over and is acknowledged; how many messages came out.
    pub(super) fn deliver(&mut self) -> usize {
        self.transmit();
        let taken = take_all(&mut self.server, &self.wire[..self.filled]);
        self.answer();
        taken
    }

    fn answer(&mut self) {
        let mut out = [0; 256];
        let len = self.server.poll_transmit(LATER, &mut out);
        take_all(&mut self.client, &out[..len]);
    }
}

fn take_all(session: &mut Session<Vec<u8>>, mut input: &[u8]) -> usize {
    let mut messages = 0;
    while let Ok(Some(event)) = session.handle_input(NOW, &mut input) {
        if let Event::Message { payload, .. } = event {
            black_box(payload);
            messages += 1;
        }
    }
    messages
}
