//! Inputs without feedback: made up from the seeds and from nothing, each from its own number.
//!
//! An input depends only on the seed of the run and its own index, so a finding is replayed by
//! naming both.

/// The longest input in bytes.
const MAX_INPUT: usize = 4_096;
/// Bytes at which decisions turn.
const EDGES: [u8; 10] = [0x00, 0x01, 0x04, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFE, 0xFF];

/// A small, fast generator (SplitMix64); good enough to make up inputs.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The generator for input number `index` of a run.
    #[must_use]
    pub const fn new(seed: u64, index: u64) -> Self {
        Self(seed ^ index.wrapping_mul(0xD1B5_4A32_D192_ED03))
    }

    /// The next 64 bits.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be zero.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Makes up one input: random, or one to four seeds behind each other with some changes.
#[must_use]
pub fn input(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut data = Vec::new();
    if seeds.is_empty() || random.below(4) == 0 {
        let size = 1 << random.below(10);
        let len = random.below(size);
        data.extend((0..len).map(|_| random.byte()));
    } else {
        for _ in 0..=random.below(4) {
            data.extend_from_slice(&seeds[random.below(seeds.len())]);
        }
        for _ in 0..random.below(8) {
            mutate(random, &mut data);
        }
    }
    data.truncate(MAX_INPUT);
    data
}

fn mutate(random: &mut Random, data: &mut Vec<u8>) {
    if data.is_empty() {
        data.push(random.byte());
    }
    let at = random.below(data.len());
    match random.below(7) {
        0 => data[at] ^= 1 << random.below(8),
        1 => data[at] = EDGES[random.below(EDGES.len())],
        2 => data[at] = random.byte(),
        3 => data.truncate(at),
        4 => {
            let end = at + random.below(data.len() - at + 1).min(16);
            data.drain(at..end);
        }
        5 => {
            let end = at + random.below(data.len() - at + 1).min(64);
            let copy = data[at..end].to_vec();
            data.splice(at..at, copy);
        }
        _ => {
            let fresh: Vec<u8> = (0..random.below(8)).map(|_| random.byte()).collect();
            data.splice(at..at, fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_depends_on_seed_and_index_alone() {
        let seeds = [vec![1, 2, 3], vec![4; 40]];
        let make = |seed, index| input(&mut Random::new(seed, index), &seeds);
        assert_eq!(make(1, 7), make(1, 7));
        let distinct = (0..100).filter(|index| make(1, *index) != make(2, *index)).count();
        assert!(distinct > 80, "{distinct}");
    }
}
