//! Messages that a driver writes by itself: the session is afterwards what it would have been had
//! it sent and transmitted them.

use super::*;

struct Rng(u64);

impl Rng {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// A server with its client, and what is on its way to either.
struct Pair {
    client: End,
    server: End,
    down: Vec<u8>,
    up: Vec<u8>,
    heard: usize,
}

impl Pair {
    fn new() -> Self {
        let (client, server) = pair(config(), config());
        Self { client, server, down: Vec::new(), up: Vec::new(), heard: 0 }
    }

    /// The client takes the first `count` bytes on their way, and says what it has to.
    fn hear(&mut self, count: usize) {
        let mut input = &self.down[..count];
        while let Some(event) = self.client.handle_input(T, &mut input).unwrap() {
            self.heard += usize::from(matches!(event, Event::Message { .. }));
        }
        let left = input.len();
        self.down.drain(..count - left);
        self.up.extend(output(&mut self.client));
    }

    /// The server takes what is on its way, and says what it has to.
    fn listen(&mut self) {
        assert_eq!(take(&mut self.server, &core::mem::take(&mut self.up)).1, None);
        self.down.extend(output(&mut self.server));
    }
}

fn messages(rng: &mut Rng) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..=rng.below(4) {
        let size = if rng.below(2) == 0 { 20 } else { rng.below(40) };
        let byte = u8::try_from(size).unwrap();
        frames.extend(Header::new(Op::Message, ROUTE, byte.into()).to_bytes());
        frames.resize(frames.len() + size, byte);
    }
    frames
}

/// One history; how often something was written aside, and how much of it was never kept.
fn history(seed: u64) -> (usize, usize) {
    let mut rng = Rng(seed);
    let (mut one, mut other) = (Pair::new(), Pair::new());
    let (mut lent, mut aside, mut never_kept) = (Vec::new(), 0, 0);
    for _ in 0..200 {
        let frames = messages(&mut rng);
        let lends = other.server.room_for_written() >= lent.len() + frames.len();
        if lends {
            assert_eq!(one.server.send_encoded(&frames), Ok(frames.len()), "seed {seed}");
            one.down.extend(output(&mut one.server));
            other.down.extend(&frames);
            lent.extend(&frames);
            aside += 1;
        }
        // The transport may have taken less; nobody hears more than it has taken.
        let short = rng.below(6) == 0 && !lent.is_empty() && lends;
        let unwritten = if short { rng.below(frames.len()) } else { 0 };
        let there = other.down.len() - unwritten;
        assert_eq!(one.down, other.down, "seed {seed}");
        let heard = rng.below(there + 1);
        one.hear(heard);
        other.hear(heard);
        assert_eq!((&one.client, one.heard), (&other.client, other.heard), "seed {seed}");
        if !lends || short || rng.below(4) == 0 {
            other.down.truncate(other.down.len() - unwritten);
            let kept = lent.len();
            other.server.handle_written(T, &lent, unwritten, &other.up);
            never_kept += kept.saturating_sub(other.server.unacknowledged());
            lent.clear();
            one.listen();
            other.listen();
            assert_eq!(one.server, other.server, "seed {seed}");
            let counts = [&one, &other].map(|pair| pair.server.stats());
            assert_eq!(counts[0], counts[1], "seed {seed}");
        }
    }
    (aside, never_kept)
}

//= test POS-3
#[test]
fn what_was_written_aside_is_booked_as_if_it_had_been_sent() {
    let seeds = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = seeds.map_or(1..=300, |seed: u64| seed..=seed);
    let mut totals = (0, 0);
    for seed in seeds {
        let (aside, never_kept) = history(seed);
        totals = (totals.0 + aside, totals.1 + never_kept);
    }
    println!("{} times aside, {} bytes never kept", totals.0, totals.1);
    assert!(totals.0 > 50 && totals.1 > 500);
}

#[test]
fn nothing_is_written_aside_before_something_else_or_beyond_credit_and_room() {
    let (_, mut server) = pair(config(), config());
    let credit = 512;
    assert_eq!(server.room_for_written(), credit);
    server.send(Route::from(ROUTE), &[0; 96]).unwrap();
    assert_eq!(server.room_for_written(), 0, "a message comes first");
    assert_eq!(output(&mut server).len(), 100);
    assert_eq!(server.room_for_written(), credit - 100);
    server.begin(Head::Message { route: Route::from(ROUTE) }, b"part").unwrap();
    output(&mut server);
    assert_eq!(server.room_for_written(), 0, "nothing comes between fragments");
    let small = Config { send_buffer: 300, ..config() };
    let (mut client, mut server) = pair(config(), small);
    assert_eq!(server.room_for_written(), server.room());
    client.send(Route::from(ROUTE), b"something").unwrap();
    let said = output(&mut client);
    assert_eq!(take(&mut server, &said).1, None);
    assert_eq!(server.room_for_written(), 0, "an acknowledgement is due soon");
    server.finish().unwrap();
    output(&mut server);
    assert_eq!(server.room_for_written(), 0, "it has finished");
}

/// Even where it is for frames that are not in the ring, an acknowledgement is checked.
#[test]
fn an_acknowledgement_in_the_middle_of_a_frame_written_aside_is_found() {
    for (distance, good) in [(24, true), (48, true), (20, false), (47, false), (49, false)] {
        let (_, mut server) = pair(config(), config());
        let mut frames = Vec::new();
        for _ in 0..2 {
            frames.extend(Header::new(Op::Message, ROUTE, 20).to_bytes());
            frames.extend([7; 20]);
        }
        let ack = outlast_core::wire::encode_ack(distance, 512 + distance);
        server.handle_written(T, &frames, 0, &ack);
        let found = take(&mut server, &ack).1;
        assert_eq!(found, (!good).then_some(CloseCode::ACK_BEYOND_SENT), "{distance}");
    }
}

#[test]
fn frames_that_were_not_admitted_end_the_session() {
    let (_, mut server) = pair(config(), config());
    let cancel = Header::new(Op::Cancel, 0, 2).to_bytes();
    server.handle_written(T, &[&cancel[..], &[0, 0]].concat(), 0, &[]);
    assert_eq!(server.state(), SessionState::Dead);
}
