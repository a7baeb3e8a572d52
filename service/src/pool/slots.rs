//! The sessions of a pool, and those who wait for one: under the pool's lock.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use super::{PoolConfig, PoolError, PoolStats};
use crate::handle::Handle;

/// What a lease is for.
pub(super) struct Chosen {
    pub(super) handle: Handle,
    place: usize,
    /// Which of the sessions of this place.
    number: u64,
}

/// A place for a session.
#[derive(Default)]
struct Slot {
    /// None while one is made, or has to be replaced.
    handle: Option<Handle>,
    /// How many sessions this place has had.
    number: u64,
    in_use: usize,
    /// Its session was never connected yet.
    fresh: bool,
}

pub(super) struct Slots {
    config: PoolConfig,
    slots: Vec<Slot>,
    waiting: VecDeque<(u64, Waker)>,
    next: u64,
    over: bool,
    waits: u64,
    pub(super) timed_out: u64,
    refused: u64,
    died: u64,
}

impl Slots {
    pub(super) const fn new(config: PoolConfig) -> Self {
        Self {
            config,
            slots: Vec::new(),
            waiting: VecDeque::new(),
            next: 0,
            over: false,
            waits: 0,
            timed_out: 0,
            refused: 0,
            died: 0,
        }
    }

    /// Another place.
    pub(super) fn reserve(&mut self) -> usize {
        self.slots.push(Slot { fresh: true, ..Slot::default() });
        self.slots.len() - 1
    }

    /// Another place, if there may be one and there is use for it.
    pub(super) fn grow(&mut self) -> Option<usize> {
        let may = !self.over && self.slots.len() < self.config.connections;
        // As many as are needed come one by one: the first may be enough, or not to be had.
        let needed = may && !self.slots.iter().any(|slot| slot.fresh || slot.load() == Some(IDLE));
        needed.then(|| self.reserve())
    }

    /// A place has a session; false if nobody wants it any more.
    pub(super) fn fill(&mut self, place: usize, handle: Handle) -> bool {
        if self.over {
            return false;
        }
        if let Some(slot) = self.slots.get_mut(place) {
            slot.number += 1;
            (slot.handle, slot.in_use, slot.fresh) = (Some(handle), 0, true);
        }
        true
    }

    /// The session of a place is over, if it had one; false if the pool is.
    pub(super) fn empty(&mut self, place: usize) -> bool {
        if let Some(slot) = self.slots.get_mut(place) {
            let died = slot.handle.take().is_some();
            self.died += u64::from(died && !self.over);
            slot.in_use = 0;
        }
        !self.over
    }

    /// The session of a place is connected.
    pub(super) fn connected(&mut self, place: usize) {
        if let Some(slot) = self.slots.get_mut(place) {
            slot.fresh = false;
        }
    }

    /// The session that is used least, of those that are connected and have room.
    fn choose(&mut self) -> Option<Chosen> {
        let limit = self.config.in_use;
        let loads = self.slots.iter().enumerate();
        let loads = loads.filter_map(|(place, slot)| Some((slot.load()?, place)));
        let (_, place) = loads.filter(|(load, _)| load.0 < limit).min()?;
        let slot = self.slots.get_mut(place)?;
        let handle = slot.handle.clone()?;
        slot.in_use += 1;
        Some(Chosen { handle, place, number: slot.number })
    }

    /// The same, without waiting, and not before those who wait.
    pub(super) fn try_choose(&mut self) -> Result<Chosen, PoolError> {
        if self.over {
            return Err(PoolError::Over);
        }
        let chosen = if self.waiting.is_empty() { self.choose() } else { None };
        chosen.ok_or(PoolError::Full)
    }

    /// The same, for a caller who waits under `number` if there is none.
    pub(super) fn poll_choose(
        &mut self,
        number: &mut Option<u64>,
        waker: &Waker,
    ) -> Poll<Result<Chosen, PoolError>> {
        if self.over {
            return Poll::Ready(Err(PoolError::Over));
        }
        let first = self.waiting.front().map(|(number, _)| *number);
        if (first.is_none() || first == *number)
            && let Some(chosen) = self.choose()
        {
            if number.take().is_some() {
                self.waiting.pop_front();
            }
            return Poll::Ready(Ok(chosen));
        }
        match number {
            Some(number) => {
                let mine = self.waiting.iter_mut().find(|(other, _)| other == number);
                mine.into_iter().for_each(|(_, known)| known.clone_from(waker));
            }
            None if self.waiting.len() >= self.config.waiting => {
                self.refused += 1;
                return Poll::Ready(Err(PoolError::Full));
            }
            None => {
                self.next += 1;
                self.waits += 1;
                *number = Some(self.next);
                self.waiting.push_back((self.next, waker.clone()));
            }
        }
        Poll::Pending
    }

    /// A caller waits no more; whose turn it is now.
    pub(super) fn forget(&mut self, number: u64) -> Option<Waker> {
        self.waiting.retain(|(other, _)| *other != number);
        self.first_waiting()
    }

    /// Whose turn it is.
    pub(super) fn first_waiting(&self) -> Option<Waker> {
        self.waiting.front().map(|(_, waker)| waker.clone())
    }

    /// A use is over; whose turn it is now.
    pub(super) fn give_back(&mut self, chosen: &Chosen) -> Option<Waker> {
        // Its place may have another session by now.
        if let Some(slot) = self.slots.get_mut(chosen.place)
            && slot.number == chosen.number
        {
            slot.in_use = slot.in_use.saturating_sub(1);
        }
        self.first_waiting()
    }

    /// The pool is over: its sessions, and those who wait.
    pub(super) fn shut(&mut self) -> (Vec<Handle>, Vec<Waker>) {
        self.over = true;
        let handles = self.slots.iter().filter_map(|slot| slot.handle.clone()).collect();
        (handles, self.waiting.iter().map(|(_, waker)| waker.clone()).collect())
    }

    pub(super) fn stats(&self) -> PoolStats {
        let count = |is: &dyn Fn(&Slot) -> bool| self.slots.iter().filter(|slot| is(slot)).count();
        let connected = count(&|slot| slot.load().is_some());
        let active = count(&|slot| slot.load().is_some() && slot.in_use > 0);
        PoolStats {
            total: count(&|slot| slot.handle.is_some()),
            connected,
            active,
            idle: connected - active,
            in_use: self.slots.iter().map(|slot| slot.in_use).sum(),
            waiting: self.waiting.len(),
            waits: self.waits,
            timed_out: self.timed_out,
            refused: self.refused,
            died: self.died,
        }
    }
}

/// How much a session is used: uses, and bytes that wait to be sent.
type Load = (usize, usize);

/// Not at all.
const IDLE: Load = (0, 0);

impl Slot {
    /// `None` if its session is not connected.
    fn load(&self) -> Option<Load> {
        let inner = self.handle.as_ref()?.shared().lock();
        inner.facts.connected.then_some((self.in_use, inner.staged_len()))
    }
}
