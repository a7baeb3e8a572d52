//! Which sessions or connections there are, by number.
//!
//! Divided into parts with a lock each, so that those who look one up rarely wait for those who
//! come and go. A lock is held for a look into a table, never while something is sent or asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::overview::lock;

/// A power of two: more than there are processors to contend for them, and little to go through.
const PARTS: usize = 16;

/// What somebody has carried, over all connections.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) messages: [u64; 2],
    pub(crate) bytes: [u64; 2],
    pub(crate) resumes: u64,
    /// Bytes that were sent again.
    pub(crate) replayed: u64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        for at in 0..2 {
            self.messages[at] += other.messages[at];
            self.bytes[at] += other.bytes[at];
        }
        self.resumes += other.resumes;
        self.replayed += other.replayed;
    }
}

/// Who can say what it has carried.
pub(crate) trait Carries {
    fn carried(&self) -> Totals;
}

/// Everybody there is. What is kept is shared with whoever asked for it.
#[derive(Debug)]
pub(crate) struct Directory<T> {
    parts: [Mutex<HashMap<u64, Arc<T>>>; PARTS],
    /// What those carried that are not there any more, by part and changed under its lock.
    gone: [Mutex<Totals>; PARTS],
}

impl<T> Default for Directory<T> {
    fn default() -> Self {
        let (parts, gone) = (std::array::from_fn(|_| Mutex::default()), Default::default());
        Self { parts, gone }
    }
}

impl<T> Directory<T> {
    /// Numbers are drawn at random today; whatever they are, these are the bits that vary most.
    const fn place(id: u64) -> usize {
        (id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - PARTS.ilog2())) as usize
    }

    fn part(&self, id: u64) -> &Mutex<HashMap<u64, Arc<T>>> {
        &self.parts[Self::place(id)]
    }

    pub(crate) fn insert(&self, id: u64, value: Arc<T>) {
        lock(self.part(id)).insert(id, value);
    }

    pub(crate) fn get(&self, id: u64) -> Option<Arc<T>> {
        lock(self.part(id)).get(&id).map(Arc::clone)
    }

    /// Takes one out that carries nothing any more, and keeps what it carried.
    pub(crate) fn remove(&self, id: u64) -> Option<Arc<T>>
    where
        T: Carries,
    {
        // Before the lock of the part: none is held while another one is taken.
        let carried = self.get(id)?.carried();
        let mut part = lock(self.part(id));
        let removed = part.remove(&id)?;
        lock(&self.gone[Self::place(id)]).add(&carried);
        Some(removed)
    }

    /// What all that are there and all that were have carried. Nothing is left out or counted
    /// twice, whoever comes and goes meanwhile.
    pub(crate) fn carried(&self) -> Totals
    where
        T: Carries,
    {
        let mut all = Totals::default();
        for (part, gone) in self.parts.iter().zip(&self.gone) {
            let part = lock(part);
            let here: Vec<Arc<T>> = part.values().map(Arc::clone).collect();
            all.add(&lock(gone));
            drop(part);
            here.iter().for_each(|one| all.add(&one.carried()));
        }
        all
    }

    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    /// At most so many of them, mostly the same ones each time.
    pub(crate) fn some(&self, most: usize) -> Vec<Arc<T>> {
        let mut some = Vec::new();
        for part in &self.parts {
            let left = most.saturating_sub(some.len());
            some.extend(lock(part).values().take(left).map(Arc::clone));
        }
        some
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

    impl Carries for u64 {
        fn carried(&self) -> Totals {
            Totals { messages: [*self, 0], ..Totals::default() }
        }
    }

    #[test]
    fn what_was_carried_is_counted_once_whoever_goes_meanwhile() {
        let directory = Directory::default();
        (1..=1000u64).for_each(|id| directory.insert(id, Arc::new(id)));
        let all: u64 = (1..=1000).sum();
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=1000).for_each(|id| assert!(directory.remove(id).is_some())));
            for _ in 0..100 {
                assert_eq!(directory.carried().messages, [all, 0]);
            }
        });
        assert_eq!((directory.carried().messages, directory.len()), ([all, 0], 0));
    }

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

    /// Whoever is held up in one part holds up nobody in another.
    #[test]
    fn a_part_that_is_locked_keeps_nobody_from_the_others() {
        let directory = Directory::default();
        (0..64u64).for_each(|id| directory.insert(id, Arc::new(id)));
        let locked = lock(directory.part(0));
        let mine = |id: &u64| Directory::<u64>::place(*id) == Directory::<u64>::place(0);
        let others: Vec<u64> = (0..64).filter(|id| !mine(id)).collect();
        assert!(others.len() > 32, "{others:?}");
        assert!(others.iter().all(|id| directory.get(*id).is_some()));
        assert!(others.iter().all(|id| directory.remove(*id).is_some()));
        drop(locked);
        assert_eq!(directory.len(), 64 - others.len());
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
