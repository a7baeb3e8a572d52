//! What exactly-once-in-order means: an application at each end that knows what must come.
//!
//! Everything an end will say follows from its [`Plan`], so the other end can check every byte
//! without being told. An [`App`] sends its plan's items in order, and judges what arrives: the
//! next item of the peer's plan, whole, once, and nothing else; one answer to each request; and
//! every report of success or loss true.

mod app;

use std::fmt;

use outlast_core::CloseCode;
use outlast_core::wire::Route;

pub use app::App;

use crate::rng::mix;

/// All that one end will say, as a function of an item's number.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct Plan {
    /// Distinguishes plans.
    pub seed: u64,
    /// How many items there are.
    pub items: u32,
    /// Length of the shortest item, in bytes.
    pub shortest: u32,
    /// Length of the longest item, in bytes.
    pub longest: u32,
    /// Length of the longest answer to its requests, in bytes.
    pub longest_answer: u32,
    /// Parts of 100 that are requests; the others are one-way messages.
    pub requests: u8,
    /// Whether the end finishes once it has said everything and has all its answers.
    pub finishes: bool,
}

/// One item of a plan.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Item {
    /// Whether it wants an answer.
    pub is_request: bool,
    /// Where it goes.
    pub route: Route,
    /// Its length in bytes.
    pub len: u32,
}

impl Plan {
    /// An end that says nothing.
    pub const SILENT: Self = Self {
        seed: 0,
        items: 0,
        shortest: 0,
        longest: 0,
        longest_answer: 0,
        requests: 0,
        finishes: false,
    };

    /// The item with this number.
    #[must_use]
    pub const fn item(&self, number: u32) -> Item {
        let dice = mix(self.seed ^ (number as u64) << 32);
        let span = self.longest.saturating_sub(self.shortest) as u64 + 1;
        // Most items are short; one in eight is of any length.
        let spread = if dice >> 60 < 2 { span } else { min(span, 40) };
        let route = match dice % 16 {
            0 => 300,
            1 => 70_000,
            small => small as u32,
        };
        Item {
            is_request: dice / 16 % 100 < self.requests as u64,
            route: Route::new(route),
            len: self.shortest + (dice / 4096 % spread) as u32,
        }
    }

    /// What the item with this number says, to one who was set back `life` times.
    #[must_use]
    pub fn payload(&self, number: u32, life: u8) -> Vec<u8> {
        content(self.seed ^ u64::from(life) << 8, number, self.item(number).len)
    }

    /// The only right answer to the request with this number.
    #[must_use]
    pub fn answer(&self, number: u32) -> Vec<u8> {
        content(!self.seed, number, (self.item(number).len / 2).min(self.longest_answer))
    }
}

const fn min(a: u64, b: u64) -> u64 {
    if a < b { a } else { b }
}

/// Bytes that name their number and their length, as far as there is room for it.
fn content(seed: u64, number: u32, len: u32) -> Vec<u8> {
    let name = u64::from(number) | u64::from(len) << 32;
    let dice = mix(seed ^ name).to_le_bytes();
    let stamp = name.to_le_bytes();
    let byte = |at: usize| match at {
        0 => stamp[0],
        1..8 if len >= 16 => stamp[at],
        _ => dice[at % 8] ^ at as u8,
    };
    (0..len as usize).map(byte).collect()
}

/// What an end found to be wrong.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// How an end was told that its session is over.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Over {
    /// Both ends finished and everything arrived.
    Ended,
    /// It is lost, for this reason; this much is known to have arrived.
    Lost(CloseCode, Option<u64>),
}
