//! Which sessions or connections there are, by number.
//!
//! Divided into parts with a lock each, so that those who look one up rarely wait for those who
//! come and go. A lock is held for a look into a table, never while something is sent or asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::overview::lock;

/// A power of two: more than there are processors to contend for them, and little to go through.
const PARTS: usize = 16;

/// Everybody there is. What is kept is shared with whoever asked for it.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    parts: [Mutex<HashMap<u64, Arc<T>>>; PARTS],
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl<T> Directory<T> {
    /// Numbers are drawn at random today; whatever they are, these are the bits that vary most.
    fn part(&self, id: u64) -> &Mutex<HashMap<u64, Arc<T>>> {
        let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - PARTS.ilog2());
        &self.parts[mixed as usize]
    }

    pub(crate) fn insert(&self, id: u64, value: Arc<T>) {
        lock(self.part(id)).insert(id, value);
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<T>> {
        lock(self.part(id)).get(&id).map(Arc::clone)
    }

    pub(crate) fn remove(&self, id: u64) -> Option<Arc<T>> {
        lock(self.part(id)).remove(&id)
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    /// Everybody, as far as they were there during the whole call; others may be among them.
    pub(crate) fn all(&self) -> Vec<(u64, Arc<T>)> {
        let mut all = Vec::with_capacity(self.len());
        for part in &self.parts {
            all.extend(lock(part).iter().map(|(id, value)| (*id, Arc::clone(value))));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_found_until_it_is_taken_out() {
        let directory = Directory::default();
        for id in 0..1000u64 {
            directory.insert(id, Arc::new(id * 2));
        }
        assert_eq!(directory.len(), 1000);
        assert!((0..1000).all(|id| directory.get(id).as_deref() == Some(&(id * 2))));
        let mut all: Vec<u64> = directory.all().into_iter().map(|(id, _)| id).collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        assert_eq!(directory.remove(7).as_deref(), Some(&14));
        assert_eq!(directory.remove(7), None, "nobody leaves twice");
        assert_eq!((directory.get(7), directory.len()), (None, 999));
    }

    /// Numbers one after the other, as multiples, or at random: no part has more than twice its
    /// share.
    #[test]
    fn the_parts_are_about_as_full_as_each_other() {
        let random = |n: u64| (n ^ 0x5DEE_CE66).wrapping_mul(0xD134_2543_DE82_EF95).rotate_left(17);
        let series: [fn(u64) -> u64; 3] = [|n| n, |n| n * 16, |n| n << 40];
        let shares = |number: &dyn Fn(u64) -> u64| {
            let directory = Directory::default();
            (0..4096).for_each(|n| directory.insert(number(n), Arc::new(())));
            directory.parts.iter().map(|part| lock(part).len()).max().unwrap()
        };
        assert!(shares(&random) <= 2 * 4096 / PARTS);
        assert!(series.iter().all(|number| shares(number) <= 2 * 4096 / PARTS));
    }
}
