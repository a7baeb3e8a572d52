//! What the registry remembers of one session, and the threads that order it.

use crate::CloseCode;
use crate::auth::SessionKey;
use crate::threads::{Chain, Link, List, NONE};
use crate::time::Instant;

use super::seconds;

/// Where a session stands for its server.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum SessionState {
    /// Created; nothing the client sent behind its HELLO was seen yet.
    Unconfirmed,
    /// A connection owns it.
    Attached,
    /// No connection owns it; it can be resumed until its deadline.
    Detached,
    /// It is over; only how it ended is still known.
    Tombstone,
}

/// Memory for one session. Its content is the registry's business.
#[derive(Clone)]
pub struct Entry {
    /// `None`: not in use.
    pub(super) state: Option<SessionState>,
    /// Counts the sessions this memory has served.
    pub(super) generation: u32,
    pub(super) sid: u64,
    /// Meaningful if it has one: an `Option` would be twice as large.
    pub(super) principal: u64,
    pub(super) has_principal: bool,
    pub(super) key: SessionKey,
    pub(super) next_key: SessionKey,
    pub(super) key_id: u8,
    /// `next_key` is valid too, as number `key_id + 1`.
    pub(super) rotating: bool,
    /// A connection was given the session and has not reported its end.
    pub(super) owned: bool,
    /// The tombstone stays after its report.
    pub(super) keep: bool,
    /// What was received may be more than `rx_next` says.
    pub(super) rx_unknown: bool,
    /// The tombstone is in the list of those to report.
    pub(super) fresh: bool,
    pub(super) last_attach: u32,
    pub(super) epoch: u32,
    /// Time from detaching to expiry, in seconds.
    pub(super) ttl_s: u32,
    pub(super) rx_next: u64,
    pub(super) code: CloseCode,
    /// Meaningful while the entry is in the heap.
    pub(super) deadline: Instant,

    pub(super) by_sid: Bucket,
    /// In the list of the entry's state, or of free entries.
    pub(super) order: Link,
    /// In its owner's list of detached sessions.
    pub(super) siblings: Link,
    /// Position `n` of the heap of deadlines is kept in entry `n`: which entry stands there.
    pub(super) heap: u32,
    /// The entry's own position in the heap; `NONE` outside it.
    pub(super) heap_at: u32,
    /// Which entry holds the owner's record; `NONE` for the dead.
    pub(super) owner: u32,
    /// A record of some owner, unrelated to this entry's session.
    pub(super) record: Owner,
}

/// The two numbers of a chain.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) struct Bucket {
    head: u32,
    next: u32,
}

/// What one principal (or source, where there is none) has in the registry.
#[derive(Clone)]
pub(super) struct Owner {
    /// The principal's number or the source's: see [`Owner::id`].
    number: u64,
    is_source: bool,
    /// Sessions that are not over; 0: the record is not in use.
    pub(super) alive: u32,
    pub(super) unconfirmed: u32,
    pub(super) detached: List,
    pub(super) by_id: Bucket,
    /// In the list of free records.
    pub(super) order: Link,
}

/// Whom a session is charged to.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum OwnerId {
    Principal(u64),
    Source(u64),
}

impl OwnerId {
    /// A number to hash; the kinds are kept apart by comparing.
    pub(super) const fn number(self) -> u64 {
        match self {
            Self::Principal(id) => id,
            Self::Source(id) => !id,
        }
    }
}

impl Bucket {
    const NEW: Self = Self { head: NONE, next: NONE };

    pub(super) const fn reset(&mut self) {
        *self = Self::NEW;
    }
}

impl Owner {
    const NEW: Self = Self {
        number: 0,
        is_source: false,
        alive: 0,
        unconfirmed: 0,
        detached: List::NEW,
        by_id: Bucket::NEW,
        order: Link::NEW,
    };

    /// Whose record it is.
    pub(super) const fn id(&self) -> OwnerId {
        if self.is_source { OwnerId::Source(self.number) } else { OwnerId::Principal(self.number) }
    }

    /// Makes it the record of `id`.
    pub(super) const fn set_id(&mut self, id: OwnerId) {
        (self.number, self.is_source) = match id {
            OwnerId::Principal(number) => (number, false),
            OwnerId::Source(number) => (number, true),
        };
    }
}

impl Entry {
    /// Whose session it is, if authentication found somebody.
    pub(super) const fn principal(&self) -> Option<u64> {
        if self.has_principal { Some(self.principal) } else { None }
    }

    /// Time from detaching to expiry, in microseconds.
    pub(super) const fn ttl(&self) -> u64 {
        seconds(self.ttl_s)
    }

    /// Memory not in use.
    pub const EMPTY: Self = Self {
        state: None,
        generation: 0,
        sid: 0,
        principal: 0,
        has_principal: false,
        key: SessionKey::new([0; 16]),
        next_key: SessionKey::new([0; 16]),
        key_id: 0,
        rotating: false,
        owned: false,
        keep: false,
        rx_unknown: false,
        fresh: false,
        last_attach: 0,
        epoch: 0,
        ttl_s: 0,
        rx_next: 0,
        code: CloseCode::OK,
        deadline: Instant::from_micros(0),
        by_sid: Bucket::NEW,
        order: Link::NEW,
        siblings: Link::NEW,
        heap: NONE,
        heap_at: NONE,
        owner: NONE,
        record: Owner::NEW,
    };
}

impl Default for Entry {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl core::fmt::Debug for Entry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Entry").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Sessions by their number.
pub(super) struct BySid;

impl Chain<Entry> for BySid {
    fn head(entry: &mut Entry) -> &mut u32 {
        &mut entry.by_sid.head
    }
    fn next(entry: &mut Entry) -> &mut u32 {
        &mut entry.by_sid.next
    }
    fn peek_head(entry: &Entry) -> u32 {
        entry.by_sid.head
    }
    fn peek_next(entry: &Entry) -> u32 {
        entry.by_sid.next
    }
}

/// Owners by their number.
pub(super) struct ByOwner;

impl Chain<Entry> for ByOwner {
    fn head(entry: &mut Entry) -> &mut u32 {
        &mut entry.record.by_id.head
    }
    fn next(entry: &mut Entry) -> &mut u32 {
        &mut entry.record.by_id.next
    }
    fn peek_head(entry: &Entry) -> u32 {
        entry.record.by_id.head
    }
    fn peek_next(entry: &Entry) -> u32 {
        entry.record.by_id.next
    }
}

pub(super) fn order(entry: &mut Entry) -> &mut Link {
    &mut entry.order
}

pub(super) fn siblings(entry: &mut Entry) -> &mut Link {
    &mut entry.siblings
}

pub(super) fn record_order(entry: &mut Entry) -> &mut Link {
    &mut entry.record.order
}
