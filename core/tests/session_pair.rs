//! Two sessions in memory, in virtual time, over a link that cuts, splits and breaks at random.
#![cfg(feature = "alloc")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "whatever is wrong fails the test"
)]

extern crate alloc;

use alloc::collections::VecDeque;

use outlast_core::wire::{Grant, Route, Status};
use outlast_core::{
    Accepted, Acceptor, Attach, Config, Event, Greeting, HANDSHAKE_MAX, Instant, SendError, Session,
};

const T0: Instant = Instant::from_micros(1);

struct Rng(u64);
impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

struct End {
    session: Session<Vec<u8>>,
    wire: Vec<u8>,
    sent: u32,
    got: u32,
    answers: VecDeque<outlast_core::wire::RequestId>,
    asked: u32,
    answered: u32,
}

fn message(i: u32) -> Vec<u8> {
    i.to_be_bytes().repeat(1 + (i as usize * 7) % 15)
}

fn config() -> Config {
    Config { window: 512, window_max: 2048, max_body: 200, send_buffer: 2048, ..Config::SERVER }
}

impl End {
    fn new(session: Session<Vec<u8>>) -> Self {
        let (wire, answers) = (Vec::new(), VecDeque::new());
        Self { session, wire, sent: 0, got: 0, answers, asked: 0, answered: 0 }
    }

    fn feed(&mut self, now: Instant, n: usize, seed: u64) {
        let n = n.min(self.wire.len());
        let taken = self.wire[..n].to_vec();
        let mut input = &taken[..];
        loop {
            match self.session.handle_input(now, &mut input) {
                Ok(None) => break,
                Ok(Some(Event::Message { payload, .. })) => {
                    assert_eq!(payload, message(self.got), "seed {seed}");
                    self.got += 1;
                }
                Ok(Some(Event::Request { id, .. })) => self.answers.push_back(id),
                Ok(Some(Event::Response { status, .. })) => {
                    assert_eq!(status, Status::OK);
                    self.answered += 1;
                }
                Ok(Some(
                    Event::Opened
                    | Event::Resumed { .. }
                    | Event::Acknowledged { .. }
                    | Event::Writable,
                )) => {}
                Ok(Some(other)) => panic!("seed {seed}: {other:?}"),
                Err(error) => panic!("seed {seed}: {error}"),
            }
        }
        let used = n - input.len();
        self.wire.drain(..used);
    }

    fn act(&mut self, rng: &mut Rng) {
        while rng.below(4) != 0 {
            match self.session.send(Route::from(7u8), &message(self.sent)) {
                Ok(_) => self.sent += 1,
                Err(SendError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        if rng.below(3) == 0
            && let Some(id) = self.session.free_request()
            && self.session.request(id, Route::from(70_000u32), b"?").is_ok()
        {
            self.asked += 1;
        }
        if let Some(id) = self.answers.front()
            && self.session.respond(*id, Status::OK, b"!").is_ok()
        {
            self.answers.pop_front();
        }
    }
}

/// Dials: a whole handshake over a good link; the old one is fenced first.
fn dial(now: Instant, client: &mut End, server: &mut Option<End>) {
    let mut out = [0; HANDSHAKE_MAX];
    client.session.detach(now);
    let attach = Attach { seed: 77, ..Attach::default() };
    let n = client.session.attach(now, &attach, &mut out).unwrap();
    let hello_bytes = out[..n].to_vec();
    let mut acceptor = Acceptor::new(now, &config());
    let mut input = &hello_bytes[..];
    let Some(Greeting::Hello(hello)) = acceptor.handle_input(now, &mut input).unwrap() else {
        panic!("no hello");
    };
    let mut out = [0; HANDSHAKE_MAX];
    let n = match server {
        None => {
            let grant = Grant { sid: 9, epoch: 1, key_id: 1, key: [3; 16] };
            let Accepted { session, written } =
                Session::server(now, config(), &hello, grant, 5, Vec::new(), &mut out).unwrap();
            *server = Some(End::new(session));
            written
        }
        Some(end) => {
            let mut farewell = [0; 256];
            end.session.fence(now, &mut farewell);
            end.wire.clear();
            end.session.accept(now, &hello, 5, &mut out).unwrap()
        }
    };
    client.wire = out[..n].to_vec();
}

fn history(seed: u64) -> (u32, u32, u32) {
    let mut rng = Rng(seed | 1);
    let mut now = T0;
    let mut client = End::new(Session::client(config(), Vec::new()).unwrap());
    let mut server = None;
    dial(now, &mut client, &mut server);
    let n = client.wire.len();
    client.feed(now, n, seed);
    let mut cuts = 0;
    for _ in 0..4000 {
        let Some(server) = server.as_mut() else { panic!() };
        now = now.after(rng.below(5_000) as u64);
        let mut out = [0u8; 512];
        match rng.below(6) {
            0 => client.act(&mut rng),
            1 => server.act(&mut rng),
            2 => {
                let room = 100 + rng.below(400);
                let n = client.session.poll_transmit(now, &mut out[..room]);
                server.wire.extend_from_slice(&out[..n]);
            }
            3 => {
                let mut control = [0; 128];
                let parts = server.session.poll_transmit_parts(now, &mut control);
                client.wire.extend_from_slice(parts.control);
                let all = parts.ring.concat();
                let n = rng.below(all.len() + 1);
                client.wire.extend_from_slice(&all[..n]);
                server.session.handle_transmitted(now, n);
            }
            4 => client.feed(now, rng.below(300), seed),
            _ => server.feed(now, rng.below(300), seed),
        }
        client.session.handle_timeout(now);
        server.session.handle_timeout(now);
        if rng.below(100) == 0 {
            cuts += 1;
            let mut slot = Some(core::mem::replace(
                server,
                End::new(Session::client(config(), Vec::new()).unwrap()),
            ));
            dial(now, &mut client, &mut slot);
            *server = slot.unwrap();
        }
    }
    let server = server.as_mut().unwrap();
    settle(now, &mut client, server, seed);
    assert_eq!((client.got, server.got), (server.sent, client.sent), "seed {seed}");
    assert_eq!((client.asked, server.asked), (client.answered, server.answered), "seed {seed}");
    assert_eq!(client.session.unacknowledged(), 0, "seed {seed}");
    (cuts, client.got, server.got)
}

/// Lets both say and hear everything there is.
fn settle(mut now: Instant, client: &mut End, server: &mut End, seed: u64) {
    for round in 0..600 {
        now = now.after(30_000);
        let mut out = [0u8; 512];
        let n = client.session.poll_transmit(now, &mut out);
        server.wire.extend_from_slice(&out[..n]);
        let n = server.session.poll_transmit(now, &mut out);
        client.wire.extend_from_slice(&out[..n]);
        client.feed(now, usize::MAX, seed);
        server.feed(now, usize::MAX, seed);
        for end in [&mut *client, &mut *server] {
            end.session.handle_timeout(now);
            while let Some(id) = end.answers.front()
                && end.session.respond(*id, Status::OK, b"!").is_ok()
            {
                end.answers.pop_front();
            }
        }
        if round > 590 {
            assert!(!client.session.has_output(), "seed {seed}");
        }
    }
}

#[test]
fn exactly_once_in_order_over_breaking_links() {
    let mut total = (0, 0, 0);
    for seed in 1..300 {
        let (cuts, a, b) = history(seed * 7919);
        total = (total.0 + cuts, total.1 + a, total.2 + b);
    }
    assert!(total.0 > 5_000 && total.1 > 10_000 && total.2 > 10_000, "{total:?}");
}

#[test]
fn a_session_in_fixed_memory_is_small() {
    let size = size_of::<Session<[u8; 0]>>();
    println!("Session<[u8; 0]> {size} B, Event {} B", size_of::<Event<'_>>());
    assert!(size <= 512);
}
