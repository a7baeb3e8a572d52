//! A binary heap of deadlines inside the entries: the earliest one is known at any time.

use super::entry::Entry;
use crate::threads::NONE;
use crate::time::Instant;

/// How many entries are in the heap; the heap itself is in the entries.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) struct Deadlines {
    len: u32,
}

impl Deadlines {
    pub(super) const NEW: Self = Self { len: 0 };

    /// The earliest deadline and whose it is.
    pub(super) fn first(self, entries: &[Entry]) -> Option<(Instant, u32)> {
        if self.len == 0 {
            return None;
        }
        let at = entries.first()?.heap;
        Some((entries.get(at as usize)?.deadline, at))
    }

    /// Sets the deadline of entry `at`, which may have had another one.
    pub(super) fn set(&mut self, entries: &mut [Entry], at: u32, deadline: Instant) {
        self.clear(entries, at);
        let Some(entry) = entries.get_mut(at as usize) else {
            return;
        };
        entry.deadline = deadline;
        place(entries, self.len, at);
        rise(entries, self.len);
        self.len = self.len.wrapping_add(1);
    }

    /// Takes the deadline of entry `at` away, if it has one.
    pub(super) fn clear(&mut self, entries: &mut [Entry], at: u32) {
        let Some(entry) = entries.get_mut(at as usize) else {
            return;
        };
        let hole = core::mem::replace(&mut entry.heap_at, NONE);
        if hole == NONE {
            return;
        }
        self.len = self.len.wrapping_sub(1);
        let last = standing(entries, self.len);
        if hole != self.len {
            place(entries, hole, last);
            rise(entries, hole);
            sink(entries, self.len, hole);
        }
    }
}

fn standing(entries: &[Entry], position: u32) -> u32 {
    entries.get(position as usize).map_or(NONE, |entry| entry.heap)
}

fn deadline(entries: &[Entry], position: u32) -> Option<Instant> {
    entries.get(standing(entries, position) as usize).map(|entry| entry.deadline)
}

fn place(entries: &mut [Entry], position: u32, at: u32) {
    if let Some(entry) = entries.get_mut(position as usize) {
        entry.heap = at;
    }
    if let Some(entry) = entries.get_mut(at as usize) {
        entry.heap_at = position;
    }
}

fn swap(entries: &mut [Entry], a: u32, b: u32) {
    let (at_a, at_b) = (standing(entries, a), standing(entries, b));
    place(entries, a, at_b);
    place(entries, b, at_a);
}

fn rise(entries: &mut [Entry], mut position: u32) {
    while position > 0 {
        let parent = position.wrapping_sub(1) / 2;
        if deadline(entries, parent) <= deadline(entries, position) {
            return;
        }
        swap(entries, parent, position);
        position = parent;
    }
}

fn sink(entries: &mut [Entry], len: u32, mut position: u32) {
    loop {
        let left = position.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let mut least = position;
        for child in [left, right] {
            if child < len && deadline(entries, child) < deadline(entries, least) {
                least = child;
            }
        }
        if least == position {
            return;
        }
        swap(entries, least, position);
        position = least;
    }
}
