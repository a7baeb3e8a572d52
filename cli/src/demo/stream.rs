//! Numbered messages that prove their own order and content.

use std::collections::BTreeSet;

use crate::rng::Rng;

/// Numbers that are remembered as missing; beyond it something is broken anyway.
const MISSING_MAX: usize = 1 << 16;
/// Bytes of the number in front of a message.
const HEAD: usize = 8;

/// Message n of a stream is the same wherever it is made.
#[derive(Debug, Copy, Clone)]
pub(super) struct Stream(u64);

/// What became of the messages of one stream.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) disordered: u64,
    pub(super) damaged: u64,
    pub(super) bytes: u64,
}

/// Compares what comes with what should.
#[derive(Debug)]
pub(super) struct Checker {
    stream: Stream,
    next: u64,
    missing: BTreeSet<u64>,
    tally: Tally,
    expected: Vec<u8>,
}

impl Stream {
    /// `up` tells the two directions of a client apart.
    pub(super) fn new(seed: u64, client: u32, up: bool) -> Self {
        Self(Rng::stream(seed, u64::from(client) * 2 + u64::from(up)).next())
    }

    /// Writes message `number` to `out`: mostly small, sometimes long, rarely longer than a frame.
    pub(super) fn write(self, number: u64, out: &mut Vec<u8>) {
        let mut rng = Rng::stream(self.0, number);
        let len = match rng.within(0, 999) {
            0..950 => rng.within(8, 500),
            950..998 => rng.within(1_000, 12_000),
            _ => rng.within(17_000, 60_000),
        };
        out.clear();
        out.extend_from_slice(&number.to_le_bytes());
        let len = usize::try_from(len).unwrap_or(HEAD);
        out.resize(HEAD + len, 0);
        rng.fill(&mut out[HEAD..]);
    }
}

impl Checker {
    pub(super) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            next: 0,
            missing: BTreeSet::new(),
            tally: Tally {
                sent: 0,
                received: 0,
                lost: 0,
                duplicated: 0,
                disordered: 0,
                damaged: 0,
                bytes: 0,
            },
            expected: Vec::new(),
        }
    }

    /// Takes note of a message that came.
    pub(super) fn take(&mut self, payload: &[u8]) {
        let tally = &mut self.tally;
        tally.received += 1;
        tally.bytes += payload.len() as u64;
        let Some(number) = payload.first_chunk::<HEAD>().map(|head| u64::from_le_bytes(*head))
        else {
            tally.damaged += 1;
            return;
        };
        if number < self.next {
            if self.missing.remove(&number) {
                tally.disordered += 1;
            } else {
                tally.duplicated += 1;
            }
        } else {
            let room = MISSING_MAX - self.missing.len().min(MISSING_MAX);
            self.missing.extend((self.next..number).take(room));
            self.next = number + 1;
        }
        self.stream.write(number, &mut self.expected);
        tally.damaged += u64::from(self.expected != payload);
    }

    /// What became of the first `sent` messages.
    pub(super) fn tally(&self, sent: u64) -> Tally {
        let late = sent.saturating_sub(self.next);
        Tally { sent, lost: self.missing.len() as u64 + late, ..self.tally }
    }

    /// What came so far.
    pub(super) const fn received(&self) -> u64 {
        self.tally.received
    }
}

impl Tally {
    const FIELDS: usize = 7;

    pub(super) fn add(&mut self, other: &Self) {
        let sum = self.fields().into_iter().zip(other.fields()).map(|(a, b)| a + b);
        *self = Self::from_fields(sum);
    }

    /// Whether everything that was sent came once, in order and undamaged.
    pub(super) const fn is_clean(&self) -> bool {
        self.lost == 0
            && self.duplicated == 0
            && self.disordered == 0
            && self.damaged == 0
            && self.sent == self.received
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.fields().iter().flat_map(|field| field.to_le_bytes()).collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, rest) = bytes.as_chunks::<8>();
        let whole = fields.len() == Self::FIELDS && rest.is_empty();
        whole.then(|| Self::from_fields(fields.iter().map(|field| u64::from_le_bytes(*field))))
    }

    const fn fields(&self) -> [u64; Self::FIELDS] {
        let Self { sent, received, lost, duplicated, disordered, damaged, bytes } = *self;
        [sent, received, lost, duplicated, disordered, damaged, bytes]
    }

    fn from_fields(mut fields: impl Iterator<Item = u64>) -> Self {
        let mut next = || fields.next().unwrap_or(0);
        Self {
            sent: next(),
            received: next(),
            lost: next(),
            duplicated: next(),
            disordered: next(),
            damaged: next(),
            bytes: next(),
        }
    }
}

/// Which numbers were seen, for numbers that come almost in order.
#[derive(Debug, Default)]
pub(super) struct Seen {
    below: u64,
    above: BTreeSet<u64>,
}

impl Seen {
    /// Whether `number` is seen for the first time.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        if number < self.below || !self.above.insert(number) {
            return false;
        }
        while self.above.remove(&self.below) {
            self.below += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: Stream = Stream(3);

    fn message(number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        STREAM.write(number, &mut out);
        out
    }

    fn checked(numbers: &[u64]) -> Tally {
        let mut checker = Checker::new(STREAM);
        for number in numbers {
            checker.take(&message(*number));
        }
        let tally = checker.tally(5);
        Tally { bytes: 0, ..tally }
    }

    #[test]
    fn every_kind_of_failure_is_told_apart() {
        let clean = Tally { sent: 5, received: 5, ..Tally::default() };
        assert_eq!(checked(&[0, 1, 2, 3, 4]), clean);
        assert!(clean.is_clean());
        let lost = Tally { received: 3, lost: 2, ..clean };
        assert_eq!(checked(&[0, 2, 3]), lost);
        assert_eq!(checked(&[0, 1, 1, 2, 3, 4]), Tally { received: 6, duplicated: 1, ..clean });
        assert_eq!(checked(&[0, 2, 1, 3, 4]), Tally { disordered: 1, ..clean });
        assert!(!lost.is_clean());
    }

    #[test]
    fn damage_is_noticed() {
        let mut checker = Checker::new(STREAM);
        let mut bad = message(0);
        *bad.last_mut().unwrap() ^= 1;
        checker.take(&bad);
        checker.take(b"short");
        assert_eq!(checker.tally(1).damaged, 2);
    }

    #[test]
    fn tallies_travel_and_add_up() {
        let mut tally = checked(&[0, 2, 1]);
        assert_eq!(Tally::decode(&tally.encode()), Some(tally));
        assert_eq!(Tally::decode(&[0; 8]), None);
        let once = tally;
        tally.add(&once);
        assert_eq!(tally.sent, 10);
    }

    #[test]
    fn numbers_are_seen_once() {
        let mut seen = Seen::default();
        let news = [1, 0, 0, 3, 1, 2, 3].map(|number| seen.insert(number));
        assert_eq!(news, [true, true, false, true, false, true, false]);
        assert!(seen.above.is_empty());
    }
}
