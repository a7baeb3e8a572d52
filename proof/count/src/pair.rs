//! Two ends in memory, connected, with acknowledgements and credit flowing as on a real link.

use std::hint::black_box;

use outlast_core::wire::{Grant, RequestId, Route, Status};
use outlast_core::{Acceptor, Attach, Config, Event, Greeting, HANDSHAKE_MAX, Instant, Session};

use crate::ROUND;

/// Messages that are on their way at once.
const BATCH: usize = 50;
/// Virtual time from batch to batch in microseconds.
const TICK: u64 = 1_000;

struct Pair {
    now: Instant,
    client: Session<Vec<u8>>,
    server: Session<Vec<u8>>,
    wire: Vec<u8>,
}

/// One-way messages through both ends: sent, transmitted, received, acknowledged.
pub(crate) fn one_way(rounds: u32, payload: &[u8]) -> usize {
    let mut pair = Pair::connected();
    let mut seen = 0;
    for _ in 0..rounds as usize * (ROUND / BATCH) {
        for _ in 0..BATCH {
            pair.client.send(Route::from(7_u8), black_box(payload)).expect("room for a batch");
        }
        seen += pair.reach_server(|_, event| usize::from(matches!(event, Event::Message { .. })));
        pair.reach_client();
    }
    assert_eq!(seen, rounds as usize * ROUND);
    seen
}

/// Requests and their responses.
pub(crate) fn requests(rounds: u32, payload: &[u8]) -> usize {
    let mut pair = Pair::connected();
    let mut seen = 0;
    for _ in 0..rounds as usize * (ROUND / BATCH) {
        for number in 0..BATCH {
            let id = RequestId(u16::try_from(number).expect("a small batch"));
            let sent = pair.client.request(id, Route::from(7_u8), black_box(payload));
            sent.expect("room for a batch");
        }
        seen += pair.reach_server(|server, event| match event {
            Event::Request { id, payload, .. } => {
                server.respond(id, Status::OK, payload).expect("room for a batch");
                1
            }
            _ => 0,
        });
        pair.reach_client();
    }
    assert_eq!(seen, rounds as usize * ROUND);
    seen
}

impl Pair {
    fn connected() -> Self {
        let now = Instant::from_micros(1_000_000);
        let (mut hello, mut welcome) = ([0; HANDSHAKE_MAX], [0; HANDSHAKE_MAX]);
        let mut client = Session::client(Config::CLIENT, Vec::new()).expect("legal limits");
        let len = client.attach(now, &Attach::default(), &mut hello).expect("a first HELLO");
        let mut acceptor = Acceptor::new(now, &Config::SERVER);
        let greeting = acceptor.handle_input(now, &mut &hello[..len]);
        let Ok(Some(Greeting::Hello(hello))) = greeting else { panic!("{greeting:?}") };
        let grant = Grant { sid: 1, epoch: 1, key_id: 1, key: [1; 16] };
        let accepted =
            Session::server(now, Config::SERVER, &hello, grant, 1, Vec::new(), &mut welcome);
        let accepted = accepted.expect("limits that fit");
        let mut input = &welcome[..accepted.written];
        while let Ok(Some(_)) = client.handle_input(now, &mut input) {}
        let mut pair = Self { now, client, server: accepted.session, wire: vec![0; 256 << 10] };
        // A first exchange, so that the memory of both has its size.
        pair.client.send(Route::from(7_u8), &[0; 1_000]).expect("an open session");
        pair.reach_server(|_, _| 0);
        pair.reach_client();
        pair
    }

    fn reach_server(
        &mut self,
        mut handle: impl FnMut(&mut Session<Vec<u8>>, Event<'_>) -> usize,
    ) -> usize {
        self.now = self.now.after(TICK);
        let len = self.client.poll_transmit(self.now, &mut self.wire);
        let mut input = black_box(&self.wire[..len]);
        let mut seen = 0;
        while let Ok(Some(event)) = self.server.handle_input(self.now, &mut input) {
            seen += handle(&mut self.server, black_box(event));
        }
        self.server.handle_timeout(self.now);
        seen
    }

    fn reach_client(&mut self) {
        let len = self.server.poll_transmit(self.now, &mut self.wire);
        let mut input = black_box(&self.wire[..len]);
        while let Ok(Some(event)) = self.client.handle_input(self.now, &mut input) {
            black_box(event);
        }
        self.client.handle_timeout(self.now);
    }
}

/// A session that only keeps its connection alive: a round is an hour of silence.
pub(crate) fn idle_hours(rounds: u32) -> usize {
    let mut pair = Pair::connected();
    let end = pair.now.after(u64::from(rounds) * 3_600_000_000);
    let mut beats = 0;
    while pair.now < end {
        let next =
            [pair.client.poll_timeout(), pair.server.poll_timeout()].into_iter().flatten().min();
        pair.now = next.unwrap_or(end).max(pair.now.after(1));
        pair.client.handle_timeout(pair.now);
        pair.server.handle_timeout(pair.now);
        beats += pair.reach_server(|_, _| 0) + 1;
        pair.reach_client();
    }
    assert!(!pair.client.is_closing() && !pair.server.is_closing(), "silence closed it");
    beats
}
