//! Which sessions a server has, who may take one over, and which must make room.
//!
//! A [`Registry`] decides and remembers; it owns no session and no connection. A session is named
//! by the index of its entry, which a driver may use for a table of its own: the index is not
//! given to another session before the end of this one was reported.
//!
//! Every operation costs a bounded amount of work: sessions and owners are found by hashes under
//! an injected seed, deadlines are in a heap, and what is oldest is first in a list.

mod admit;
mod deadlines;
mod entry;
mod life;
mod owners;

#[cfg(test)]
mod tests;

use crate::CloseCode;
use crate::auth::SessionKey;
use crate::backoff::mix;
use crate::config::{self, ConfigError};
use crate::threads::{self, List, count};
use crate::wire::{Close, CloseFlags, Grant};

use deadlines::Deadlines;
use entry::{ByOwner, BySid, order, record_order};

pub use crate::threads::Slots;
pub use entry::{Entry, SessionState};

/// Number of the first key of a session; each rotation takes the next (modulo 256).
pub const FIRST_KEY_ID: u8 = 1;

/// Limits of a [`Registry`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistryConfig {
    /// Sessions and tombstones together, at least 1; what fixed memory holds is a limit too.
    pub max_entries: u32,
    /// Sessions of one owner that are not over, at least 1.
    pub max_per_owner: u32,
    /// Sessions of one owner whose client was not heard since WELCOME, at least 1.
    pub max_unconfirmed: u32,
    /// Detached sessions in total, at least 1; beyond it the one detached longest is evicted.
    pub max_detached: u32,
    /// Detached sessions of one owner, at least 1; beyond it the owner's one detached longest is
    /// evicted.
    pub max_detached_per_owner: u32,
    /// The longest retention a client is granted, in seconds.
    pub max_ttl_s: u32,
    /// Time from the admission to the client's first frame, in milliseconds: 1 to 600,000.
    pub handshake_ms: u32,
    /// What clients are told to wait when there is no room, in milliseconds: up to a day.
    pub busy_retry_ms: u32,
    /// The epoch of every session created here; greater than that of any earlier registry that
    /// could have had the same sessions.
    pub epoch: u32,
}

impl RegistryConfig {
    /// Checks that these limits let any session be at all. A registry takes any limits; whoever
    /// lets a person set them checks them first.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        const COUNT: u64 = u32::MAX as u64;
        config::check(&[
            ("max_entries", self.max_entries as u64, 1, COUNT),
            ("max_per_owner", self.max_per_owner as u64, 1, COUNT),
            ("max_unconfirmed", self.max_unconfirmed as u64, 1, COUNT),
            ("max_detached", self.max_detached as u64, 1, COUNT),
            ("max_detached_per_owner", self.max_detached_per_owner as u64, 1, COUNT),
            ("handshake_ms", self.handshake_ms as u64, 1, 600_000),
            ("busy_retry_ms", self.busy_retry_ms as u64, 0, 86_400_000),
        ])
    }
}

impl Default for RegistryConfig {
    /// 65,536 entries, 1,024 sessions per owner (8 unconfirmed, 64 detached), half of all entries
    /// for detached ones, 10 min, 5 s, 1 s, epoch 1.
    fn default() -> Self {
        Self {
            max_entries: 65_536,
            max_per_owner: 1024,
            max_unconfirmed: 8,
            max_detached: 32_768,
            max_detached_per_owner: 64,
            max_ttl_s: 600,
            handshake_ms: 5000,
            busy_retry_ms: 1000,
            epoch: 1,
        }
    }
}

/// Fresh randomness for a session that may be created. Nobody may be able to predict it.
#[derive(Clone)]
pub struct Entropy {
    /// The number of the session. Its upper bits may name a server, the rest must be random.
    pub sid: u64,
    /// The first key of the session.
    pub key: [u8; 16],
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// Who sent a HELLO, as far as is known when authentication is over.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Whom authentication found, or `None` where the server asks for none. Sessions of
    /// principals are charged to them, the others to their source.
    pub principal: Option<u64>,
    /// Where the connection comes from, such as [`Source::get`](crate::admission::Source::get).
    pub source: u64,
    /// What both ends know about this transport and no other has; empty where there is nothing.
    pub channel_binding: &'a [u8],
    /// Whether the transport is confidential and its server authenticated.
    pub encrypted: bool,
}

/// The right of one connection to one session, until another connection takes it over.
///
/// News under an old lease is ignored, so the late end of a fenced connection cannot detach the
/// connection that came after it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Lease {
    index: u32,
    generation: u32,
    attach: u32,
}

impl Lease {
    /// Which entry the session has, from 0.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Whether both are leases of one session: entries are used again.
    #[must_use]
    pub const fn is_of_same_session(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }

    /// The number of the attempt to attach that got this lease; 1 is the session's creation.
    #[must_use]
    pub const fn attach(&self) -> u32 {
        self.attach
    }
}

/// A HELLO that may come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Create a session.
    New {
        /// The connection's right to it.
        lease: Lease,
        /// For the WELCOME.
        grant: Grant,
        /// The retention granted, in seconds, for the WELCOME.
        ttl_s: u32,
    },
    /// Attach to the session that is there.
    Resume {
        /// The connection's right to it; every earlier lease is void.
        lease: Lease,
        /// A connection may still own the session: fence it before anything is read from the
        /// session, its receive position above all.
        fence: bool,
        /// The epoch of the session, for the WELCOME.
        epoch: u32,
        /// The retention granted, in seconds, for the WELCOME.
        ttl_s: u32,
    },
}

/// A HELLO that may not come in. No session was changed by it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Refusal {
    /// Why; the same for an unknown session and a wrong proof.
    pub code: CloseCode,
    /// With `STALE_ATTACH`: the latest attempt.
    pub last_attach: Option<u32>,
    /// For a session that is over: where its receiving had stopped, if that is known.
    pub rx_next: Option<u64>,
    /// When to come again, in milliseconds; 0 is no hint.
    pub retry_ms: u32,
    /// The session that was named, if the key was proved or the principal is its own: whoever
    /// has it may be told.
    pub index: Option<u32>,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "the connection may not have a session: {}", self.code)
    }
}

impl core::error::Error for Refusal {}

impl Refusal {
    const fn by(code: CloseCode) -> Self {
        Self { code, last_attach: None, rx_next: None, retry_ms: 0, index: None }
    }

    /// The CLOSE frame to answer with.
    #[must_use]
    pub const fn close(&self) -> Close<'static> {
        let flags =
            if self.rx_next.is_some() { CloseFlags::SESSION_ENDED } else { CloseFlags::NONE };
        Close {
            code: self.code,
            flags,
            retry_ms: self.retry_ms,
            rx_next: self.rx_next,
            last_attach: self.last_attach,
            versions: None,
            reason: "",
        }
    }
}

/// How a connection left its session.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Parting {
    /// Position of the next sequenced byte the session has not received.
    pub rx_next: u64,
    /// Both sides had finished and were acknowledged: there is nothing to come back for.
    pub finished: bool,
}

/// A session from a snapshot, to be resumed by its client.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The session's number.
    pub sid: u64,
    /// The session's epoch, greater than any under which another server may still have it.
    pub epoch: u32,
    /// Number of the key.
    pub key_id: u8,
    /// The key.
    pub key: SessionKey,
    /// The key that is to follow, where its TOKEN is not acknowledged yet.
    pub next_key: Option<SessionKey>,
    /// The latest attempt to attach.
    pub last_attach: u32,
    /// Whose session it is; `None` where the server asks for no authentication.
    pub principal: Option<u64>,
    /// What to charge it to if it has no principal, see [`Peer::source`].
    pub source: u64,
    /// The retention granted, in seconds.
    pub ttl_s: u32,
    /// How much of it is left, in seconds.
    pub ttl_left_s: u32,
    /// Position of the next sequenced byte the session has not received.
    pub rx_next: u64,
    /// Whether the session was over for whoever took the snapshot: otherwise more may have been
    /// received after it, and that end is said of no session before a client has resumed it.
    pub is_last: bool,
}

/// A session that time or want of room has ended. Drop it; its entry answers for it.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Expired {
    /// The session's entry.
    pub index: u32,
    /// The session's number.
    pub sid: u64,
    /// `EXPIRED`, `EVICTED`, or `HS_TIMEOUT` for a client never heard after WELCOME.
    pub code: CloseCode,
    /// A connection may still own the session: close it.
    pub owned: bool,
}

/// What a registry has now and has done so far.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RegistryStats {
    /// Sessions in [`SessionState::Unconfirmed`] now.
    pub unconfirmed: u32,
    /// Sessions in [`SessionState::Attached`] now.
    pub attached: u32,
    /// Sessions in [`SessionState::Detached`] now.
    pub detached: u32,
    /// Sessions in [`SessionState::Tombstone`] now.
    pub tombstones: u32,
    /// Sessions created.
    pub created: u64,
    /// Resumes admitted.
    pub resumed: u64,
    /// Resumes that took the session from a connection that had not reported its end.
    pub taken_over: u64,
    /// Resumes of unknown sessions, and those with a wrong proof.
    pub unproven: u64,
    /// Wrong proofs by the authenticated owner of the session: an old key, so perhaps a clone.
    pub bad_tokens: u64,
    /// Proven resumes of another principal's session.
    pub identity_mismatches: u64,
    /// Proven resumes with an attach number already used.
    pub stale_attaches: u64,
    /// Resumes answered by a tombstone.
    pub answered_dead: u64,
    /// Sessions not created because of a limit.
    pub refused_full: u64,
    /// Sessions that ended by a call to [`Registry::ended`], or finished.
    pub ended: u64,
    /// Sessions whose retention ran out.
    pub expired: u64,
    /// Detached sessions that had to make room.
    pub evicted: u64,
    /// Sessions whose client was not heard after WELCOME.
    pub reaped: u64,
}

/// All sessions of one server; `M` is the memory for their entries.
#[derive(Clone)]
pub struct Registry<M: ?Sized> {
    config: RegistryConfig,
    seed: u64,
    stats: RegistryStats,
    deadlines: Deadlines,
    /// Entries from here on were never used.
    fresh_from: u32,
    free: List,
    free_records: List,
    detached: List,
    /// Tombstones whose session's end was not reported yet.
    to_report: List,
    /// Other tombstones, the oldest first.
    dead: List,
    /// Last, so that a registry of fixed size coerces to one of `[Entry]`.
    entries: M,
}

impl<M: ?Sized> core::fmt::Debug for Registry<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Registry").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<M: Slots<Entry>> Registry<M> {
    /// An empty registry. `seed` is entropy no client can know, so that nobody can choose names
    /// that are slow to find.
    #[must_use]
    pub fn new(config: RegistryConfig, seed: u64, mut entries: M) -> Self {
        for entry in entries.as_mut_slice() {
            *entry = Entry::EMPTY;
        }
        Self {
            config,
            seed,
            stats: RegistryStats::default(),
            deadlines: Deadlines::NEW,
            fresh_from: 0,
            free: List::NEW,
            free_records: List::NEW,
            detached: List::NEW,
            to_report: List::NEW,
            dead: List::NEW,
            entries,
        }
    }
}

impl<M: Slots<Entry> + ?Sized> Registry<M> {
    /// What there is and what happened.
    #[must_use]
    pub const fn stats(&self) -> &RegistryStats {
        &self.stats
    }

    /// Goes by other limits from now on. Sessions that there are stay, even if there are more of
    /// them than may begin now, and keep what they were granted. The epoch never changes.
    pub const fn reconfigure(&mut self, config: RegistryConfig) {
        self.config = RegistryConfig { epoch: self.config.epoch, ..config };
    }

    /// The limits.
    #[must_use]
    pub const fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// The state of the session in entry `index`; `None` if there is none.
    #[must_use]
    pub fn state(&self, index: u32) -> Option<SessionState> {
        self.entry(index)?.state
    }

    /// The number of the session in entry `index`; `None` if there is none.
    #[must_use]
    pub fn sid(&self, index: u32) -> Option<u64> {
        self.entry(index).filter(|entry| entry.state.is_some()).map(|entry| entry.sid)
    }

    fn entry(&self, at: u32) -> Option<&Entry> {
        self.entries.as_slice().get(at as usize)
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut Entry> {
        self.entries.as_mut_slice().get_mut(at as usize)
    }

    /// The entry `lease` is for, if it is still good.
    fn leased(&self, lease: Lease) -> Option<&Entry> {
        self.entry(lease.index).filter(|entry| {
            entry.owned
                && entry.state != Some(SessionState::Tombstone)
                && entry.generation == lease.generation
                && entry.last_attach == lease.attach
        })
    }

    fn leased_mut(&mut self, lease: Lease) -> Option<&mut Entry> {
        self.leased(lease)?;
        self.entry_mut(lease.index)
    }

    fn hash(&self, number: u64) -> u64 {
        mix(number ^ self.seed)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn find(&self, sid: u64) -> Option<u32> {
        let hash = self.hash(sid);
        threads::find::<_, BySid>(self.entries.as_slice(), hash, |entry| {
            entry.state.is_some() && entry.sid == sid
        })
    }

    /// An entry without a session, if room can be had at no living session's cost.
    //= REG-16
    fn take_entry(&mut self) -> Option<u32> {
        if let Some(at) = self.free.first() {
            self.free.remove(self.entries.as_mut_slice(), order, at);
            return Some(at);
        }
        let limit = self.config.max_entries;
        if self.fresh_from == count(self.entries.as_slice()) && self.fresh_from < limit {
            self.grow(limit);
        }
        if self.fresh_from < count(self.entries.as_slice()).min(limit) {
            let at = self.fresh_from;
            self.fresh_from = at.wrapping_add(1);
            // As many records as entries: an owner without a session needs none.
            self.free_records.push(self.entries.as_mut_slice(), record_order, at);
            return Some(at);
        }
        let at = self.dead.first()?;
        self.bury(at);
        self.free.remove(self.entries.as_mut_slice(), order, at);
        Some(at)
    }

    /// Makes more entries; as there are more buckets then, everything is chained anew.
    fn grow(&mut self, limit: u32) {
        if !self.entries.grow(limit as usize) {
            return;
        }
        for entry in self.entries.as_mut_slice() {
            entry.by_sid.reset();
            entry.record.by_id.reset();
        }
        for at in 0..self.fresh_from {
            let Some(entry) = self.entry(at) else {
                return;
            };
            let by_sid = entry.state.map(|_| self.hash(entry.sid));
            let by_id = (entry.record.alive > 0).then(|| self.hash(entry.record.id().number()));
            let entries = self.entries.as_mut_slice();
            if let Some(hash) = by_sid {
                threads::insert::<_, BySid>(entries, hash, at);
            }
            if let Some(hash) = by_id {
                threads::insert::<_, ByOwner>(entries, hash, at);
            }
        }
    }

    /// Forgets the tombstone in entry `at`.
    fn bury(&mut self, at: u32) {
        let Some(entry) = self.entry_mut(at) else {
            return;
        };
        entry.state = None;
        entry.generation = entry.generation.wrapping_add(1);
        let (sid, was_fresh) = (entry.sid, core::mem::take(&mut entry.fresh));
        entry.key = SessionKey::new([0; 16]);
        entry.next_key = SessionKey::new([0; 16]);
        let hash = self.hash(sid);
        let entries = self.entries.as_mut_slice();
        threads::remove::<_, BySid>(entries, hash, at);
        let list = if was_fresh { &mut self.to_report } else { &mut self.dead };
        list.remove(entries, order, at);
        self.deadlines.clear(entries, at);
        self.free.push(entries, order, at);
        self.stats.tombstones = self.stats.tombstones.wrapping_sub(1);
    }
}

const fn seconds(s: u32) -> u64 {
    s as u64 * 1_000_000
}

const fn millis(ms: u32) -> u64 {
    ms as u64 * 1000
}
