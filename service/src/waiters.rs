//! Tasks that wait for the same thing, each in a place of its own.
//!
//! To come, to come again and to go takes the same time however many there are, and who goes leaves
//! nothing behind: a future that is dropped takes its waker along.

use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;

/// Tells places apart that one after the other have the same index, of whatever list.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Those who wait.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    places: Vec<Place>,
    /// Places that nobody has.
    free: Vec<usize>,
}

#[derive(Debug)]
struct Place {
    number: u64,
    waker: Option<Waker>,
}

/// Where somebody waits, or [`Key::NONE`].
#[derive(Debug, Copy, Clone)]
pub(crate) struct Key {
    index: usize,
    number: u64,
}

impl Key {
    /// Nowhere yet.
    pub(crate) const NONE: Self = Self { index: 0, number: 0 };

    /// Whether it was anywhere.
    pub(crate) const fn is_some(self) -> bool {
        self.number != 0
    }
}

impl Waiters {
    /// Whether nobody waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.places.len() == self.free.len()
    }

    /// Calls `waker` once: in the place that `key` says, or in a new one if it was called since.
    pub(crate) fn wait(&mut self, key: &mut Key, waker: &Waker) {
        if let Some(place) = self.place(*key) {
            if let Some(there) = &mut place.waker {
                there.clone_from(waker);
            }
            return;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = Place { number, waker: Some(waker.clone()) };
        let index = match self.free.pop() {
            Some(index) => {
                self.places[index] = place;
                index
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        *key = Key { index, number };
    }

    /// Does not call any more who waits there. The waker is for the caller to drop, without a lock.
    pub(crate) fn leave(&mut self, key: Key) -> Option<Waker> {
        let waker = self.place(key)?.waker.take();
        self.free.push(key.index);
        if self.is_empty() {
            *self = Self::default();
        }
        waker
    }

    /// Everybody, to be called.
    pub(crate) fn take(&mut self) -> Vec<Waker> {
        self.free.clear();
        let places = std::mem::take(&mut self.places);
        places.into_iter().filter_map(|place| place.waker).collect()
    }

    fn place(&mut self, key: Key) -> Option<&mut Place> {
        let place = self.places.get_mut(key.index)?;
        (place.number == key.number && place.waker.is_some()).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn somebody() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count(AtomicU64::new(0)));
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn who_waits_is_called_once_and_who_has_gone_is_not() {
        let mut waiters = Waiters::default();
        let mut keys = [Key::NONE; 3];
        let everybody = [somebody(), somebody(), somebody()];
        for (key, (_, waker)) in keys.iter_mut().zip(&everybody) {
            waiters.wait(key, waker);
            waiters.wait(key, waker);
        }
        drop(waiters.leave(keys[1]));
        assert!(waiters.leave(keys[1]).is_none(), "gone is gone");
        waiters.take().into_iter().for_each(Waker::wake);
        let called = everybody.each_ref().map(|(count, _)| count.0.load(Ordering::Relaxed));
        assert_eq!(called, [1, 0, 1]);
        assert!(waiters.is_empty());
    }

    #[test]
    fn a_place_is_used_again_and_its_old_key_is_not_good_for_it() {
        let mut waiters = Waiters::default();
        let (mut first, mut second, mut third) = (Key::NONE, Key::NONE, Key::NONE);
        let (count, waker) = somebody();
        waiters.wait(&mut first, &waker);
        waiters.wait(&mut second, &waker);
        let left = first;
        drop(waiters.leave(first));
        waiters.wait(&mut third, &waker);
        assert_eq!(third.index, left.index);
        assert!(waiters.leave(left).is_none());
        // Nor after everybody was called, or after nobody was left.
        drop(waiters.take());
        waiters.wait(&mut first, &waker);
        assert!(waiters.leave(third).is_none() && waiters.leave(second).is_none());
        drop(waiters.leave(first));
        assert!(waiters.is_empty() && waiters.places.capacity() == 0);
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 1, "nothing is left behind");
    }

    #[test]
    fn one_that_waits_elsewhere_now_is_called_there() {
        let mut waiters = Waiters::default();
        let mut key = Key::NONE;
        let ((before, first), (now, second)) = (somebody(), somebody());
        waiters.wait(&mut key, &first);
        waiters.wait(&mut key, &second);
        waiters.take().into_iter().for_each(Waker::wake);
        let called = [before, now].map(|count| count.0.load(Ordering::Relaxed));
        assert_eq!(called, [0, 1]);
    }
}
