//! Who may come in, and how fast, before a byte of theirs is read.
//!
//! A [`Gate`] counts connections in total, by source and by whether their handshake is over. It
//! owns no socket: a driver asks when it accepted one, and says what became of it.

mod rate;
mod rules;
mod source;

#[cfg(test)]
mod tests;

use core::fmt;
use core::net::IpAddr;

use crate::backoff::mix;
use crate::config::{self, ConfigError};
use crate::threads::{self, Chain, Link, List, NONE, count};
use crate::time::Instant;

pub use crate::threads::Slots;
pub use rate::{Meter, Rate};
pub use rules::{Access, Rule, access};
pub use source::Source;

/// The longest lock-out that can be set, in microseconds: a year.
const LONGEST: u64 = 365 * 86_400 * 1_000_000;

/// Limits of a [`Gate`].
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct GateConfig {
    /// Connections in total, at least 1.
    pub max_connections: u32,
    /// One in this many of them only resumes may have, see [`Gate::has_room`], at least 2; 0: none.
    pub reserve_share: u32,
    /// Handshakes under way, at least 1; further connections wait for one of them to end.
    pub max_handshakes: u32,
    /// Connections of one source, at least 1.
    pub max_per_source: u32,
    /// New connections of one source.
    pub source_rate: Rate,
    /// New connections in total.
    pub total_rate: Rate,
    /// How many bits of an IPv6 address make a source, 1 to 64.
    pub v6_prefix: u8,
    /// Failed authentications in a row that a source may have without being locked out: an honest
    /// client can present a session that is gone. One is forgotten for each
    /// [`lockout_cap`](Self::lockout_cap) without another one, and all when a client authenticates.
    pub free_failures: u32,
    /// How long a source is locked out after the first failure beyond those, in microseconds; each
    /// further one doubles it; up to a year.
    pub lockout_base: u64,
    /// The longest lock-out, in microseconds: from `lockout_base` to a year.
    pub lockout_cap: u64,
}

impl GateConfig {
    /// Checks that these limits let anybody in at all, and every pair that must fit each other. A
    /// gate takes any limits; whoever lets a person set them checks them first.
    ///
    /// # Errors
    ///
    /// The first item out of range, with the range.
    pub const fn validate(&self) -> Result<(), ConfigError> {
        const COUNT: u64 = u32::MAX as u64;
        let share = self.reserve_share as u64;
        config::check(&[
            ("max_connections", self.max_connections as u64, 1, COUNT),
            // One in one would leave none to new sessions.
            ("reserve_share", share, if share == 0 { 0 } else { 2 }, COUNT),
            ("max_handshakes", self.max_handshakes as u64, 1, COUNT),
            ("max_per_source", self.max_per_source as u64, 1, COUNT),
            ("v6_prefix", self.v6_prefix as u64, 1, 64),
            ("lockout_base", self.lockout_base, 0, LONGEST),
            ("lockout_cap", self.lockout_cap, self.lockout_base, LONGEST),
        ])
    }
}

impl Default for GateConfig {
    /// 65,536 connections, 4,096 of them for resumes, 512 handshakes; per source 1,024 connections
    /// and 64 new ones a second (256 at once); in total 8,192 new ones a second (16,384 at once);
    /// IPv6 by /64; locked out for 0.1 s to 60 s from the ninth failure in a row.
    fn default() -> Self {
        Self {
            max_connections: 65_536,
            reserve_share: 16,
            max_handshakes: 512,
            max_per_source: 1024,
            source_rate: Rate::per_second(64, 256),
            total_rate: Rate::per_second(8192, 16_384),
            v6_prefix: 64,
            free_failures: 8,
            lockout_base: 100_000,
            lockout_cap: 60_000_000,
        }
    }
}

/// Why a connection is turned away. Close it without reading.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Turned {
    /// [`GateConfig::max_connections`] is reached, and every connection is open.
    Full,
    /// It is reached, but not every connection is open: close the one that has been longest
    /// without, give its ticket back, and ask again for this one.
    MakeRoom,
    /// [`GateConfig::max_per_source`] is reached.
    SourceFull,
    /// The source connects too often; it may again in this many microseconds.
    SourceRate(u64),
    /// All sources together connect too often; they may again in this many microseconds.
    TotalRate(u64),
    /// The source failed to authenticate; it may try again in this many microseconds.
    LockedOut(u64),
    /// There is no memory for another source: every entry has connections.
    TableFull,
    /// Its address may not connect, see [`access`]. Nothing is said to it.
    Denied,
}

impl Turned {
    /// Microseconds until it may come again, where time alone decides.
    #[must_use]
    pub const fn wait(self) -> Option<u64> {
        match self {
            Self::SourceRate(wait) | Self::TotalRate(wait) | Self::LockedOut(wait) => Some(wait),
            Self::Full | Self::MakeRoom | Self::SourceFull | Self::TableFull | Self::Denied => None,
        }
    }
}

impl fmt::Display for Turned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("every connection there may be is open"),
            Self::MakeRoom => f.write_str("no connection is free before a handshake makes room"),
            Self::SourceFull => f.write_str("its source has all connections it may have"),
            Self::SourceRate(wait) => write!(f, "its source connects too often: wait {wait} µs"),
            Self::TotalRate(wait) => write!(f, "too many connect at once: wait {wait} µs"),
            Self::LockedOut(wait) => write!(f, "its source failed too often: wait {wait} µs"),
            Self::TableFull => f.write_str("no memory for another source"),
            Self::Denied => f.write_str("its address may not connect"),
        }
    }
}

impl core::error::Error for Turned {}

/// A connection that was let in. It is to be given back, see [`Gate::handle_disconnect`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is not given back counts as a connection for ever"]
pub struct Ticket {
    at: u32,
    stage: Stage,
}

impl Ticket {
    /// Whether the connection still waits for [`Gate::poll_handshake`] to let it begin.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting)
    }
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Stage {
    Waiting,
    Handshake,
    Open,
}

/// What a [`Gate`] has now and has done so far.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct GateStats {
    /// Connections now.
    pub connections: u32,
    /// Of these, how many wait for their handshake to begin.
    pub waiting: u32,
    /// Of these, how many are in their handshake.
    pub handshakes: u32,
    /// Sources remembered now.
    pub sources: u32,
    /// Connections let in.
    pub admitted: u64,
    /// Connections turned away.
    pub turned: u64,
    /// Failed authentications.
    pub failures: u64,
}

/// Memory for one source. Its content is the gate's business.
#[derive(Debug)]
pub struct SourceEntry {
    source: Option<Source>,
    connections: u32,
    failures: u32,
    /// When it failed last.
    failed_at: Instant,
    meter: Meter,
    locked_until: Instant,
    head: u32,
    next: u32,
    order: Link,
}

impl SourceEntry {
    /// Memory not in use.
    pub const EMPTY: Self = Self {
        source: None,
        connections: 0,
        failures: 0,
        failed_at: Instant::from_micros(0),
        meter: Meter::NEW,
        locked_until: Instant::from_micros(0),
        head: NONE,
        next: NONE,
        order: Link::NEW,
    };
}

impl Default for SourceEntry {
    fn default() -> Self {
        Self::EMPTY
    }
}

struct BySource;

impl Chain<SourceEntry> for BySource {
    fn head(entry: &mut SourceEntry) -> &mut u32 {
        &mut entry.head
    }
    fn next(entry: &mut SourceEntry) -> &mut u32 {
        &mut entry.next
    }
    fn peek_head(entry: &SourceEntry) -> u32 {
        entry.head
    }
    fn peek_next(entry: &SourceEntry) -> u32 {
        entry.next
    }
}

fn order(entry: &mut SourceEntry) -> &mut Link {
    &mut entry.order
}

/// Decides which connections may come in; `M` is the memory for what it knows of their sources.
///
/// With at least `max_connections` entries no connection is turned away for want of memory. What
/// is remembered of sources without a connection makes room first, the longest unused ahead.
pub struct Gate<M: ?Sized> {
    config: GateConfig,
    seed: u64,
    stats: GateStats,
    meter: Meter,
    /// Entries from here on were never used.
    fresh_from: u32,
    /// Sources without a connection, the longest unused first.
    idle: List,
    entries: M,
}

impl<M: ?Sized> fmt::Debug for Gate<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("stats", &self.stats).finish_non_exhaustive()
    }
}

impl<M: Slots<SourceEntry>> Gate<M> {
    /// A gate nobody has come through. `seed` is entropy no client can know.
    #[must_use]
    pub fn new(config: GateConfig, seed: u64, mut entries: M) -> Self {
        for entry in entries.as_mut_slice() {
            *entry = SourceEntry::EMPTY;
        }
        Self {
            config,
            seed,
            stats: GateStats::default(),
            meter: Meter::NEW,
            fresh_from: 0,
            idle: List::NEW,
            entries,
        }
    }
}

impl<M: Slots<SourceEntry> + ?Sized> Gate<M> {
    /// Goes by other limits from now on. Whoever is in stays, even if there are more of them than
    /// may come in now; what is remembered of sources is kept.
    pub const fn reconfigure(&mut self, config: GateConfig) {
        self.config = config;
    }

    /// The limits in force.
    #[must_use]
    pub const fn config(&self) -> &GateConfig {
        &self.config
    }

    /// What there is and what happened.
    #[must_use]
    pub const fn stats(&self) -> &GateStats {
        &self.stats
    }

    /// A connection from `address` was accepted at `now`.
    ///
    /// # Errors
    ///
    /// It is turned away; nothing is to be given back for it.
    pub fn handle_connect(&mut self, now: Instant, address: IpAddr) -> Result<Ticket, Turned> {
        self.poll_connect(now, address).inspect_err(|_| self.handle_turned())
    }

    /// As [`handle_connect`](Self::handle_connect), for a connection that would wait rather than be
    /// turned away: only coming in is counted.
    ///
    /// # Errors
    ///
    /// It may not come in yet. Ask again when another one is gone, or after the time that it says.
    pub fn poll_connect(&mut self, now: Instant, address: IpAddr) -> Result<Ticket, Turned> {
        let ticket = self.connect(now, Source::new(address, self.config.v6_prefix))?;
        self.stats.admitted = self.stats.admitted.wrapping_add(1);
        Ok(ticket)
    }

    /// A connection was turned away, by this gate or before it was asked.
    pub const fn handle_turned(&mut self) {
        self.stats.turned = self.stats.turned.wrapping_add(1);
    }

    /// Whether the handshake of this connection may begin; if not, it is asked again when another
    /// one's ended. A driver that asks for those that wait longest first keeps them in order.
    pub fn poll_handshake(&mut self, ticket: &mut Ticket) -> bool {
        if ticket.stage != Stage::Waiting {
            return true;
        }
        if self.stats.handshakes >= self.config.max_handshakes {
            return false;
        }
        self.leave_stage(ticket.stage);
        ticket.stage = Stage::Handshake;
        self.stats.handshakes = self.stats.handshakes.wrapping_add(1);
        true
    }

    /// Whether one more connection may be opened, for a session that `resumes` or for a new one.
    /// Where there is no room a HELLO is answered with `BUSY`.
    #[must_use]
    pub const fn has_room(&self, resumes: bool) -> bool {
        //= REG-14
        let all = self.config.max_connections;
        let reserve = match all.checked_div(self.config.reserve_share) {
            Some(reserve) if !resumes => reserve,
            Some(_) | None => 0,
        };
        self.open() < all.saturating_sub(reserve)
    }

    /// Connections whose handshake succeeded.
    const fn open(&self) -> u32 {
        let rest = self.stats.connections.saturating_sub(self.stats.waiting);
        rest.saturating_sub(self.stats.handshakes)
    }

    /// The handshake of this connection succeeded; earlier failures of its source are forgotten
    /// if it `authenticated`.
    pub fn handle_open(&mut self, ticket: &mut Ticket, authenticated: bool) {
        self.leave_stage(ticket.stage);
        ticket.stage = Stage::Open;
        if let Some(entry) = self.entry_mut(ticket.at).filter(|_| authenticated) {
            entry.failures = 0;
        }
    }

    /// The connection failed to authenticate, or could not prove the session it named: with too
    /// many of those its source is locked out. Connections it has already stay.
    pub fn handle_failure(&mut self, now: Instant, ticket: &Ticket) {
        //= REG-12
        let GateConfig { lockout_base: base, lockout_cap: cap, free_failures: free, .. } =
            self.config;
        if let Some(entry) = self.entry_mut(ticket.at) {
            // Whoever tries no faster than the longest lock-out allows gains nothing by this, and
            // an old mistake is not held against an address for ever.
            let quiet = now.saturating_since(entry.failed_at).as_micros();
            let forgiven = quiet.checked_div(u128::from(cap)).unwrap_or(0);
            let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
            entry.failures = entry.failures.saturating_sub(forgiven).saturating_add(1);
            entry.failed_at = now;
            if let Some(doublings) = entry.failures.checked_sub(free.saturating_add(1)) {
                let factor = 1u64.checked_shl(doublings).unwrap_or(u64::MAX);
                let until = now.after(base.saturating_mul(factor).min(cap));
                entry.locked_until = entry.locked_until.max(until);
            }
        }
        self.stats.failures = self.stats.failures.wrapping_add(1);
    }

    /// The connection is gone.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is given back once")]
    pub fn handle_disconnect(&mut self, ticket: Ticket) {
        self.leave_stage(ticket.stage);
        self.stats.connections = self.stats.connections.wrapping_sub(1);
        let Some(entry) = self.entry_mut(ticket.at) else {
            return;
        };
        entry.connections = entry.connections.wrapping_sub(1);
        if entry.connections == 0 {
            self.idle.push(self.entries.as_mut_slice(), order, ticket.at);
        }
    }

    /// Connections of `address`'s source now.
    #[must_use]
    pub fn connections_of(&self, address: IpAddr) -> u32 {
        let found = self.find(Source::new(address, self.config.v6_prefix));
        let entry = found.and_then(|at| self.entries.as_slice().get(at as usize));
        entry.map_or(0, |entry| entry.connections)
    }

    fn connect(&mut self, now: Instant, source: Source) -> Result<Ticket, Turned> {
        let config = self.config;
        let at = self.entry_of(source).ok_or(Turned::TableFull)?;
        let Some(entry) = self.entry_mut(at) else {
            return Err(Turned::TableFull);
        };
        if entry.locked_until > now {
            return Err(Turned::LockedOut(entry.locked_until.micros_since(now)));
        }
        if entry.connections >= config.max_per_source {
            return Err(Turned::SourceFull);
        }
        let mut meter = entry.meter;
        meter.take(now, &config.source_rate).map_err(Turned::SourceRate)?;
        let wait = self.meter.wait(now, &config.total_rate);
        if wait > 0 {
            return Err(Turned::TotalRate(wait));
        }
        if self.stats.connections >= config.max_connections {
            //= REG-14
            let all_open = self.open() >= self.stats.connections;
            return Err(if all_open { Turned::Full } else { Turned::MakeRoom });
        }
        // Only who comes in is counted: being turned away leaves everything as it was.
        self.meter.take(now, &config.total_rate).map_err(Turned::TotalRate)?;
        if let Some(entry) = self.entry_mut(at) {
            entry.meter = meter;
        }
        self.enter(at);
        Ok(Ticket { at, stage: Stage::Waiting })
    }

    /// Counts a connection of the source in entry `at`.
    fn enter(&mut self, at: u32) {
        let entries = self.entries.as_mut_slice();
        let Some(entry) = entries.get_mut(at as usize) else {
            return;
        };
        entry.connections = entry.connections.wrapping_add(1);
        if entry.connections == 1 {
            self.idle.remove(entries, order, at);
        }
        self.stats.connections = self.stats.connections.wrapping_add(1);
        self.stats.waiting = self.stats.waiting.wrapping_add(1);
    }

    const fn leave_stage(&mut self, stage: Stage) {
        match stage {
            Stage::Waiting => self.stats.waiting = self.stats.waiting.wrapping_sub(1),
            Stage::Handshake => self.stats.handshakes = self.stats.handshakes.wrapping_sub(1),
            Stage::Open => {}
        }
    }

    fn entry_mut(&mut self, at: u32) -> Option<&mut SourceEntry> {
        self.entries.as_mut_slice().get_mut(at as usize)
    }

    fn hash(&self, source: Source) -> u64 {
        mix(source.get() ^ self.seed)
    }

    fn find(&self, source: Source) -> Option<u32> {
        let hash = self.hash(source);
        threads::find::<_, BySource>(self.entries.as_slice(), hash, |entry| {
            entry.source == Some(source)
        })
    }

    /// The entry of `source`, made if there is none; one without connections is in `idle`, and is
    /// now the one used last.
    fn entry_of(&mut self, source: Source) -> Option<u32> {
        if let Some(at) = self.find(source) {
            self.touch(at);
            return Some(at);
        }
        let at = self.take_entry()?;
        let hash = self.hash(source);
        let entries = self.entries.as_mut_slice();
        let entry = entries.get_mut(at as usize)?;
        entry.source = Some(source);
        entry.connections = 0;
        entry.failures = 0;
        entry.meter = Meter::NEW;
        entry.failed_at = Instant::from_micros(0);
        entry.locked_until = Instant::from_micros(0);
        threads::insert::<_, BySource>(entries, hash, at);
        self.idle.push(entries, order, at);
        self.stats.sources = self.stats.sources.wrapping_add(1);
        Some(at)
    }

    fn touch(&mut self, at: u32) {
        let entries = self.entries.as_mut_slice();
        if entries.get(at as usize).is_some_and(|entry| entry.connections == 0) {
            self.idle.remove(entries, order, at);
            self.idle.push(entries, order, at);
        }
    }

    fn take_entry(&mut self) -> Option<u32> {
        let limit = self.config.max_connections.saturating_mul(2);
        if self.fresh_from == count(self.entries.as_slice()) && self.fresh_from < limit {
            self.grow(limit);
        }
        if self.fresh_from < count(self.entries.as_slice()) {
            let at = self.fresh_from;
            self.fresh_from = at.wrapping_add(1);
            return Some(at);
        }
        let at = self.idle.first()?;
        let source = self.entry_mut(at)?.source.take()?;
        let hash = self.hash(source);
        let entries = self.entries.as_mut_slice();
        threads::remove::<_, BySource>(entries, hash, at);
        self.idle.remove(entries, order, at);
        self.stats.sources = self.stats.sources.wrapping_sub(1);
        Some(at)
    }

    /// Makes more entries; as there are more buckets then, everything is chained anew.
    fn grow(&mut self, limit: u32) {
        if !self.entries.grow(limit as usize) {
            return;
        }
        for entry in self.entries.as_mut_slice() {
            (entry.head, entry.next) = (NONE, NONE);
        }
        for at in 0..self.fresh_from {
            let entry = self.entries.as_slice().get(at as usize);
            if let Some(source) = entry.and_then(|entry| entry.source) {
                let hash = self.hash(source);
                threads::insert::<_, BySource>(self.entries.as_mut_slice(), hash, at);
            }
        }
    }
}
