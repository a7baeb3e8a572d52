//! What was handed over and is not taken yet: the release rule.
//!
//! A one-way message that waits for its handler, or is being handled in a task, holds a ticket with
//! the position behind which it came. Everything up to the oldest ticket is taken; what came after
//! it is not, even if it is done. So a peer that is sent nothing back for a while keeps what is not
//! certain to have been handled, and stops when its window is full.

use std::collections::VecDeque;

use outlast_core::Position;

/// The messages of one session that are not taken yet, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    /// Number of the first.
    first: u32,
    open: VecDeque<Ticket>,
    /// How far everything was taken when the owner was told last, if it was held back.
    told: Option<Position>,
    /// The owner would release more than when it was told last.
    owed: bool,
}

#[derive(Debug)]
struct Ticket {
    before: Position,
    /// Messages that hold it.
    holders: u32,
}

/// So much is released before the owner is woken for it, unless it would have to wait.
const QUANTUM: u64 = 16 << 10;

impl Tickets {
    /// A ticket for a message that came behind `before`. Where many wait already, small ones share.
    pub(crate) fn draw(&mut self, before: Position, crowded: bool) -> u32 {
        let number = self.open.len() as u32;
        if let Some(last) = self
            .open
            .back_mut()
            .filter(|last| crowded && last.holders > 0 && before.get() - last.before.get() < SHARED)
        {
            last.holders += 1;
            return self.first.wrapping_add(number - 1);
        }
        self.open.push_back(Ticket { before, holders: 1 });
        self.first.wrapping_add(number)
    }

    /// A message is done; whether the owner should be told at once.
    pub(crate) fn done(&mut self, number: u32) -> bool {
        let at = number.wrapping_sub(self.first) as usize;
        if let Some(ticket) = self.open.get_mut(at) {
            ticket.holders = ticket.holders.saturating_sub(1);
        }
        let before = self.first;
        while self.open.front().is_some_and(|ticket| ticket.holders == 0) {
            self.open.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        self.owed |= self.first != before;
        let Some(front) = self.open.front() else {
            return self.settle();
        };
        let far = self.told.is_none_or(|told| front.before.get() - told.get() >= QUANTUM);
        self.owed && far && self.settle()
    }

    /// Nobody will be done soon: whether the owner has to be told what is.
    pub(crate) fn settle(&mut self) -> bool {
        std::mem::take(&mut self.owed)
    }

    /// Up to where everything is taken, of what came before `received`.
    pub(crate) fn taken(&mut self, received: Position) -> Position {
        let taken = self.open.front().map_or(received, |ticket| ticket.before);
        self.told = Some(taken);
        taken
    }
}

/// Messages of a crowd share a ticket over so many bytes.
const SHARED: u64 = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions only come from sessions; this is one that has received so many bytes.
    fn positions() -> Vec<Position> {
        use outlast_core::wire::{Frame, Grant, HEADER_LEN, Hello, Route};
        use outlast_core::{Attach, Config, HANDSHAKE_MAX, Instant, Release, Session};
        let now = Instant::from_micros(1);
        let mut client = Session::client(Config::CLIENT, Vec::new()).unwrap();
        let mut hello = [0; HANDSHAKE_MAX];
        let len = client.attach(now, &Attach::default(), &mut hello).unwrap();
        let hello = Hello::decode(&hello[HEADER_LEN..len]).unwrap();
        let grant = Grant { sid: 1, epoch: 1, key_id: 0, key: [1; 16] };
        let config = Config { release: Release::Manual, ..Config::SERVER };
        let mut welcome = [0; HANDSHAKE_MAX];
        let mut server =
            Session::server(now, config, &hello, grant, 1, Vec::new(), &mut welcome).unwrap();
        let session = &mut server.session;
        let mut frame = [0; 64];
        let message = Frame::Message { route: Route::new(1), payload: &[0; 28], more: false };
        let len = message.encode(&mut frame).unwrap();
        let mut all = vec![session.received()];
        for _ in 0..1_000 {
            let mut input = &frame[..len];
            while session.handle_input(now, &mut input).unwrap().is_some() {}
            all.push(session.received());
        }
        all
    }

    struct Rng(u64);

    impl Rng {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB) % limit
        }
    }

    /// Against a model that keeps every message by itself.
    #[test]
    fn nothing_behind_a_message_that_is_not_done_is_taken() {
        let positions = positions();
        let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
        for seed in only.map_or(0..300, |seed: u64| seed..seed + 1) {
            let mut rng = Rng(seed);
            let (mut tickets, mut open, mut next) = (Tickets::default(), Vec::new(), 0);
            let shares = rng.below(2) == 0;
            for step in 0..2_000 {
                if next < 1_000 && rng.below(5) < 3 {
                    let crowded = shares && rng.below(2) == 0;
                    // Some messages are handled at once and hold nothing.
                    if rng.below(4) > 0 {
                        open.push((next, tickets.draw(positions[next], crowded)));
                    }
                    next += 1;
                } else if !open.is_empty() {
                    let at = rng.below(open.len() as u64) as usize;
                    let (_, ticket) = open.remove(at);
                    tickets.done(ticket);
                }
                let received = positions[next];
                let taken = tickets.taken(received);
                let oldest = open.iter().map(|(at, _)| *at).min();
                let exact = oldest.map_or(received, |at| positions[at]);
                let told = format!("seed {seed} step {step}: {taken:?}, exactly {exact:?}");
                assert!(taken <= exact, "{told}");
                assert!(exact.get() - taken.get() < SHARED, "{told}");
                assert!(shares || taken == exact, "{told}");
            }
            while let Some((_, ticket)) = open.pop() {
                tickets.done(ticket);
            }
            assert_eq!(tickets.taken(positions[next]), positions[next], "seed {seed}");
        }
    }
}
