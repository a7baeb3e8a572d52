//! What each owner has: found by number, counted, its detached sessions in order of leaving.

use super::Registry;
use super::entry::{ByOwner, Entry, Owner, OwnerId, record_order, siblings};
use crate::threads::{self, NONE, Slots};

impl<M: Slots<Entry> + ?Sized> Registry<M> {
    fn record(&self, at: u32) -> Option<&Owner> {
        self.entry(at).map(|entry| &entry.record)
    }

    fn record_mut(&mut self, at: u32) -> Option<&mut Owner> {
        self.entry_mut(at).map(|entry| &mut entry.record)
    }

    pub(super) fn find_owner(&self, id: OwnerId) -> Option<u32> {
        let hash = self.hash(id.number());
        threads::find::<_, ByOwner>(self.entries.as_slice(), hash, |entry| {
            entry.record.alive > 0 && entry.record.id() == id
        })
    }

    /// Sessions of `id` that are not over, and how many of them are unconfirmed.
    pub(super) fn owned_by(&self, id: OwnerId) -> (u32, u32) {
        let record = self.find_owner(id).and_then(|at| self.record(at));
        record.map_or((0, 0), |record| (record.alive, record.unconfirmed))
    }

    /// Charges an unconfirmed session to `id`; the answer is where its record is.
    pub(super) fn charge(&mut self, id: OwnerId) -> u32 {
        let at = match self.find_owner(id) {
            Some(at) => at,
            None => self.open_record(id),
        };
        if let Some(record) = self.record_mut(at) {
            record.alive = record.alive.wrapping_add(1);
            record.unconfirmed = record.unconfirmed.wrapping_add(1);
        }
        at
    }

    fn open_record(&mut self, id: OwnerId) -> u32 {
        let hash = self.hash(id.number());
        let entries = self.entries.as_mut_slice();
        let Some(at) = self.free_records.first() else {
            return NONE;
        };
        self.free_records.remove(entries, record_order, at);
        if let Some(entry) = entries.get_mut(at as usize) {
            entry.record.set_id(id);
        }
        threads::insert::<_, ByOwner>(entries, hash, at);
        at
    }

    /// The session of an owner is over: it counts no more.
    pub(super) fn discharge(&mut self, owner: u32) {
        let Some(record) = self.record_mut(owner) else {
            return;
        };
        record.alive = record.alive.wrapping_sub(1);
        if record.alive > 0 {
            return;
        }
        let number = record.id().number();
        let hash = self.hash(number);
        let entries = self.entries.as_mut_slice();
        threads::remove::<_, ByOwner>(entries, hash, owner);
        self.free_records.push(entries, record_order, owner);
    }

    pub(super) fn owner_confirmed(&mut self, owner: u32) {
        if let Some(record) = self.record_mut(owner) {
            record.unconfirmed = record.unconfirmed.wrapping_sub(1);
        }
    }

    pub(super) fn owner_detached(&mut self, owner: u32, at: u32) {
        let Some(mut list) = self.record(owner).map(|record| record.detached) else {
            return;
        };
        list.push(self.entries.as_mut_slice(), siblings, at);
        if let Some(record) = self.record_mut(owner) {
            record.detached = list;
        }
    }

    pub(super) fn owner_returned(&mut self, owner: u32, at: u32) {
        let Some(mut list) = self.record(owner).map(|record| record.detached) else {
            return;
        };
        list.remove(self.entries.as_mut_slice(), siblings, at);
        if let Some(record) = self.record_mut(owner) {
            record.detached = list;
        }
    }

    /// The owner's session detached longest, if it has more detached ones than it may.
    pub(super) fn owner_surplus(&self, owner: u32) -> Option<u32> {
        let record = self.record(owner)?;
        let surplus = record.detached.len() > self.config.max_detached_per_owner;
        record.detached.first().filter(|_| surplus)
    }
}
