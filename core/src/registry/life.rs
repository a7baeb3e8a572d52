//! What becomes of an admitted session, and how it ends.

use super::entry::{Entry, SessionState, order};
use super::{Expired, Lease, Parting, Registry};
use crate::CloseCode;
use crate::auth::SessionKey;
use crate::threads::Slots;
use crate::time::Instant;

impl<M: Slots<Entry> + ?Sized> Registry<M> {
    /// The client was heard after WELCOME. Further calls do nothing; `false`: the lease is void.
    pub fn confirmed(&mut self, lease: Lease) -> bool {
        let Some(entry) = self.leased_mut(lease) else {
            return false;
        };
        //= REG-19
        entry.rx_unknown = false;
        if entry.state == Some(SessionState::Unconfirmed) {
            //= REG-8
            self.leave_state(lease.index);
            if let Some(entry) = self.entry_mut(lease.index) {
                entry.state = Some(SessionState::Attached);
            }
            self.stats.attached = self.stats.attached.wrapping_add(1);
        }
        true
    }

    /// The connection is gone, its session stays for its retention. `false`: the lease is void.
    ///
    /// A session still unconfirmed keeps its deadline. Where there are too many detached ones now,
    /// those detached longest are evicted, which [`poll_expired`](Self::poll_expired) tells.
    pub fn detached(&mut self, now: Instant, lease: Lease, parting: Parting) -> bool {
        let Some(entry) = self.leased_mut(lease) else {
            return false;
        };
        entry.rx_next = parting.rx_next;
        if parting.finished {
            return self.ended(now, lease, CloseCode::OK, parting.rx_next);
        }
        entry.owned = false;
        if entry.state == Some(SessionState::Unconfirmed) {
            return true;
        }
        let deadline = now.after(entry.ttl());
        self.stats.attached = self.stats.attached.wrapping_sub(1);
        self.put_aside(now, lease.index, deadline);
        true
    }

    /// Makes the session in entry `at`, which has no state now, a detached one.
    pub(super) fn put_aside(&mut self, now: Instant, at: u32, deadline: Instant) {
        let Some(entry) = self.entry_mut(at) else {
            return;
        };
        entry.state = Some(SessionState::Detached);
        let owner = entry.owner;
        let entries = self.entries.as_mut_slice();
        self.deadlines.set(entries, at, deadline);
        self.detached.push(entries, order, at);
        self.owner_detached(owner, at);
        self.stats.detached = self.stats.detached.wrapping_add(1);
        //= REG-10
        if let Some(surplus) = self.owner_surplus(owner) {
            self.evict(now, surplus);
        }
        let surplus = self.detached.len() > self.config.max_detached;
        if let Some(surplus) = self.detached.first().filter(|_| surplus) {
            self.evict(now, surplus);
        }
    }

    /// The session is over here for the reason `code`; what it received ends at `rx_next`. One
    /// that was exported ends with `MOVED`, which tells its client where it stands and no more.
    /// `false`: the lease is void.
    pub fn ended(&mut self, now: Instant, lease: Lease, code: CloseCode, rx_next: u64) -> bool {
        let Some(entry) = self.leased_mut(lease) else {
            return false;
        };
        entry.rx_next = rx_next;
        self.stats.ended = self.stats.ended.wrapping_add(1);
        self.die(now, lease.index, code, true);
        // Who says so knows it: there is nothing to report.
        self.settle(lease.index);
        true
    }

    /// Makes `key` the session's next one and says its number; both keys are valid until
    /// [`confirm_key`](Self::confirm_key). `None`: the lease is void, or a rotation is under way.
    ///
    /// If TOKEN could not be sent after all, say so with [`abandon_key`](Self::abandon_key).
    pub fn rotate(&mut self, lease: Lease, key: [u8; 16]) -> Option<u8> {
        //= REG-6
        let entry = self.leased_mut(lease).filter(|entry| !entry.rotating)?;
        entry.next_key = SessionKey::new(key);
        entry.rotating = true;
        Some(entry.key_id.wrapping_add(1))
    }

    /// The client acknowledged the TOKEN with key number `key_id`: the key before it is void.
    /// `false`: so is the lease, or no such rotation is under way.
    pub fn confirm_key(&mut self, lease: Lease, key_id: u8) -> bool {
        let Some(entry) = self.leased_mut(lease) else {
            return false;
        };
        if !entry.rotating || key_id != entry.key_id.wrapping_add(1) {
            return false;
        }
        entry.rotating = false;
        entry.key_id = key_id;
        entry.key = core::mem::replace(&mut entry.next_key, SessionKey::new([0; 16]));
        true
    }

    /// No TOKEN with key number `key_id` was sent: the key is void, and another one may be next.
    /// `false`: the lease is void, or no such rotation is under way.
    pub fn abandon_key(&mut self, lease: Lease, key_id: u8) -> bool {
        let Some(entry) = self.leased_mut(lease) else {
            return false;
        };
        if !entry.rotating || key_id != entry.key_id.wrapping_add(1) {
            return false;
        }
        entry.rotating = false;
        entry.next_key = SessionKey::new([0; 16]);
        true
    }

    /// The next session that ended by itself; to be asked until there is none.
    pub fn poll_expired(&mut self, now: Instant) -> Option<Expired> {
        loop {
            if let Some(at) = self.to_report.first() {
                return self.report(at);
            }
            let (deadline, at) = self.deadlines.first(self.entries.as_slice())?;
            if deadline > now {
                return None;
            }
            match self.state(at)? {
                SessionState::Detached => {
                    //= REG-11
                    self.stats.expired = self.stats.expired.wrapping_add(1);
                    //= RSM-19
                    self.die(deadline, at, CloseCode::EXPIRED, true);
                }
                SessionState::Unconfirmed => {
                    self.stats.reaped = self.stats.reaped.wrapping_add(1);
                    self.die(deadline, at, CloseCode::HS_TIMEOUT, false);
                }
                SessionState::Tombstone => self.bury(at),
                SessionState::Attached => {
                    self.deadlines.clear(self.entries.as_mut_slice(), at);
                }
            }
        }
    }

    /// How long the session of this lease is still kept without a connection: until its retention
    /// ends if it has none now, and all of it if it has one. In whole seconds, rounded up; 0 if
    /// the session is over.
    #[must_use]
    pub fn retention_left_s(&self, now: Instant, lease: Lease) -> u32 {
        let Some(entry) = self.entry(lease.index).filter(|it| it.generation == lease.generation)
        else {
            return 0;
        };
        let left = match entry.state {
            Some(SessionState::Detached) => entry.deadline.micros_since(now),
            Some(SessionState::Attached | SessionState::Unconfirmed) => entry.ttl(),
            Some(SessionState::Tombstone) | None => 0,
        };
        u32::try_from(left.div_ceil(1_000_000)).unwrap_or(u32::MAX)
    }

    /// When [`poll_expired`](Self::poll_expired) has something to do next; a time in the past
    /// while it has something to tell now.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.to_report.first().is_some() {
            return Some(Instant::from_micros(0));
        }
        self.deadlines.first(self.entries.as_slice()).map(|(deadline, _)| deadline)
    }

    fn evict(&mut self, now: Instant, at: u32) {
        self.stats.evicted = self.stats.evicted.wrapping_add(1);
        self.die(now, at, CloseCode::EVICTED, true);
    }

    fn report(&mut self, at: u32) -> Option<Expired> {
        let entry = self.entry_mut(at)?;
        let owned = core::mem::take(&mut entry.owned);
        let (sid, code, keep) = (entry.sid, entry.code, entry.keep);
        if keep {
            self.settle(at);
        } else {
            self.bury(at);
        }
        Some(Expired { index: at, sid, code, owned })
    }

    /// Moves a tombstone from those to report to the others.
    fn settle(&mut self, at: u32) {
        let Some(entry) = self.entry_mut(at) else {
            return;
        };
        entry.fresh = false;
        entry.owned = false;
        let entries = self.entries.as_mut_slice();
        self.to_report.remove(entries, order, at);
        self.dead.push(entries, order, at);
    }

    /// Undoes what the state of the living session in entry `at` has set up.
    pub(super) fn leave_state(&mut self, at: u32) {
        let Some((state, owner)) =
            self.entry(at).and_then(|entry| Some((entry.state?, entry.owner)))
        else {
            return;
        };
        match state {
            SessionState::Unconfirmed => {
                self.owner_confirmed(owner);
                self.stats.unconfirmed = self.stats.unconfirmed.wrapping_sub(1);
            }
            SessionState::Attached => {
                self.stats.attached = self.stats.attached.wrapping_sub(1);
            }
            SessionState::Detached => {
                self.detached.remove(self.entries.as_mut_slice(), order, at);
                self.owner_returned(owner, at);
                self.stats.detached = self.stats.detached.wrapping_sub(1);
            }
            SessionState::Tombstone => {}
        }
        self.deadlines.clear(self.entries.as_mut_slice(), at);
    }

    /// Ends the living session in entry `at`, at `when`. Its tombstone answers for twice the
    /// retention if `keep` is set, and otherwise goes when it is reported.
    fn die(&mut self, when: Instant, at: u32, code: CloseCode, keep: bool) {
        self.leave_state(at);
        let Some(entry) = self.entry_mut(at) else {
            return;
        };
        entry.state = Some(SessionState::Tombstone);
        entry.code = code;
        entry.keep = keep;
        entry.fresh = true;
        //= REG-9
        let deadline = when.after(entry.ttl().saturating_mul(2));
        entry.deadline = if keep { deadline } else { when };
        let owner = core::mem::replace(&mut entry.owner, crate::threads::NONE);
        self.discharge(owner);
        let entries = self.entries.as_mut_slice();
        if keep {
            self.deadlines.set(entries, at, deadline);
        }
        self.to_report.push(entries, order, at);
        self.stats.tombstones = self.stats.tombstones.wrapping_add(1);
    }
}
