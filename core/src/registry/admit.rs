//! Who may have a session, and who may have one back.

use super::entry::{BySid, Entry, OwnerId, SessionState};
use super::{
    Admission, Entropy, FIRST_KEY_ID, Lease, Peer, Refusal, Registry, Stored, millis, seconds,
};
use crate::CloseCode;
use crate::auth::{SessionKey, verify_resume_proof};
use crate::threads::{self, Slots};
use crate::time::Instant;
use crate::wire::{Grant, Hello, Resume};

/// Verified against where there is no key, so that the work is the same; it admits nobody.
static NO_KEY: SessionKey = SessionKey::new([0; 16]);

/// The number of the attempt that creates a session.
const FIRST_ATTACH: u32 = 1;

/// A HELLO, who sent it, and when.
struct Asked<'a> {
    now: Instant,
    hello: &'a Hello<'a>,
    peer: &'a Peer<'a>,
}

impl<M: Slots<Entry> + ?Sized> Registry<M> {
    /// Decides about a HELLO whose authentication is over; `entropy` is used if it asks for a new
    /// session, and must not be used again in either case.
    ///
    /// # Errors
    ///
    /// The HELLO is refused, and no session differs from before, not by a bit.
    pub fn admit(
        &mut self,
        now: Instant,
        hello: &Hello<'_>,
        peer: &Peer<'_>,
        entropy: Entropy,
    ) -> Result<Admission, Refusal> {
        // What a proof needs of the stack does not lie below what follows from it, and what both
        // ways want to know is one argument.
        let asked = Asked { now, hello, peer };
        match &hello.resume {
            Some(claim) => {
                let proved = self.proves(claim, peer);
                self.resume(&asked, proved)
            }
            None => self.create(&asked, &entropy),
        }
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn create(&mut self, asked: &Asked<'_>, entropy: &Entropy) -> Result<Admission, Refusal> {
        let Asked { now, hello, peer } = *asked;
        let at = self.room(peer, entropy.sid)?;
        let ttl_s = hello.terms.ttl_s.min(self.config.max_ttl_s);
        let generation = self.enter_new(at, peer, entropy, ttl_s);
        let deadline = now.after(millis(self.config.handshake_ms));
        self.deadlines.set(self.entries.as_mut_slice(), at, deadline);
        self.stats.created = self.stats.created.wrapping_add(1);
        let lease = Lease { index: at, generation, attach: FIRST_ATTACH };
        let grant = Grant {
            sid: entropy.sid,
            epoch: self.config.epoch,
            key_id: FIRST_KEY_ID,
            key: entropy.key,
        };
        Ok(Admission::New { lease, grant, ttl_s })
    }

    /// An entry for a new session of this peer's owner.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn room(&mut self, peer: &Peer<'_>, sid: u64) -> Result<u32, Refusal> {
        //= REG-7
        let id = peer.principal.map_or(OwnerId::Source(peer.source), OwnerId::Principal);
        let (alive, unconfirmed) = self.owned_by(id);
        if alive >= self.config.max_per_owner {
            return Err(self.no_room(self.config.busy_retry_ms));
        }
        if unconfirmed >= self.config.max_unconfirmed {
            return Err(self.no_room(self.config.handshake_ms));
        }
        // Two sessions of one number cannot be; with sound entropy this does not happen.
        if self.find(sid).is_some() {
            return Err(self.no_room(self.config.busy_retry_ms));
        }
        self.take_entry().ok_or_else(|| self.no_room(self.config.busy_retry_ms))
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn enter_new(&mut self, at: u32, peer: &Peer<'_>, entropy: &Entropy, ttl_s: u32) -> u32 {
        let session = Stored {
            sid: entropy.sid,
            epoch: self.config.epoch,
            key_id: FIRST_KEY_ID,
            key: SessionKey::new(entropy.key),
            next_key: None,
            last_attach: FIRST_ATTACH,
            principal: peer.principal,
            source: peer.source,
            ttl_s,
            ttl_left_s: ttl_s,
            rx_next: 0,
            is_last: true,
        };
        let id = peer.principal.map_or(OwnerId::Source(peer.source), OwnerId::Principal);
        self.enter(at, id, session)
    }

    /// Takes in a session from a snapshot as a detached one; the answer is the lease of the
    /// connection it had last.
    ///
    /// The limits for detached sessions hold, so taking in may evict. `None`: there is no room, or
    /// a session of this number already.
    pub fn restore(&mut self, now: Instant, session: Stored) -> Option<Lease> {
        let id = session.principal.map_or(OwnerId::Source(session.source), OwnerId::Principal);
        if self.find(session.sid).is_some() {
            return None;
        }
        let at = self.take_entry()?;
        let left = seconds(session.ttl_left_s.min(session.ttl_s));
        let attach = session.last_attach;
        let generation = self.enter(at, id, session);
        self.leave_state(at);
        if let Some(entry) = self.entry_mut(at) {
            entry.owned = false;
        }
        self.put_aside(now, at, now.after(left));
        Some(Lease { index: at, generation, attach })
    }

    /// Writes a new session to entry `at`, unconfirmed and without a deadline yet; the answer is
    /// its generation.
    fn enter(&mut self, at: u32, id: OwnerId, session: Stored) -> u32 {
        let owner = self.charge(id);
        let hash = self.hash(session.sid);
        let entries = self.entries.as_mut_slice();
        let Some(entry) = entries.get_mut(at as usize) else {
            return 0;
        };
        entry.state = Some(SessionState::Unconfirmed);
        entry.sid = session.sid;
        entry.principal = session.principal.unwrap_or_default();
        entry.has_principal = session.principal.is_some();
        entry.key = session.key;
        entry.key_id = session.key_id;
        entry.rotating = session.next_key.is_some();
        if let Some(next_key) = session.next_key {
            entry.next_key = next_key;
        }
        entry.owned = true;
        entry.keep = false;
        entry.fresh = false;
        entry.last_attach = session.last_attach;
        entry.epoch = session.epoch;
        entry.ttl_s = session.ttl_s;
        entry.rx_next = session.rx_next;
        entry.rx_unknown = !session.is_last;
        entry.code = CloseCode::OK;
        entry.owner = owner;
        let generation = entry.generation;
        threads::insert::<_, BySid>(entries, hash, at);
        self.stats.unconfirmed = self.stats.unconfirmed.wrapping_add(1);
        generation
    }

    fn no_room(&mut self, retry_ms: u32) -> Refusal {
        self.stats.refused_full = self.stats.refused_full.wrapping_add(1);
        Refusal { retry_ms, ..Refusal::by(CloseCode::BUSY) }
    }

    /// Whether the claim proves a key of the session that it names; the work is the same where
    /// there is none.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn proves(&self, claim: &Resume, peer: &Peer<'_>) -> bool {
        let found = self.find(claim.sid);
        let key = found.and_then(|at| self.key_of(at, claim.key_id));
        //= REG-2
        let proved = verify_resume_proof(
            key.unwrap_or(&NO_KEY),
            claim,
            peer.channel_binding,
            peer.encrypted,
        );
        key.is_some() && proved
    }

    /// Goes on after the proof.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn resume(&mut self, asked: &Asked<'_>, proved: bool) -> Result<Admission, Refusal> {
        let Asked { now, hello, peer } = *asked;
        let Some(claim) = &hello.resume else {
            return Err(Refusal::by(CloseCode::NO_SESSION));
        };
        let found = self.find(claim.sid);
        let Some(at) = found.filter(|_| proved) else {
            return Err(self.unproven(found, peer));
        };
        self.check(now, at, claim, peer)?;
        self.reattach(at, claim.attach).ok_or(Refusal::by(CloseCode::NO_SESSION))
    }

    /// The key of entry `at` with this number, if it is valid now.
    fn key_of(&self, at: u32, key_id: u8) -> Option<&SessionKey> {
        let entry = self.entry(at)?;
        if key_id == entry.key_id {
            Some(&entry.key)
        } else if entry.rotating && key_id == entry.key_id.wrapping_add(1) {
            //= REG-6
            Some(&entry.next_key)
        } else {
            None
        }
    }

    /// The answer to who did not prove the key. Only the session's own principal, whom something
    /// else has identified, learns that the session exists.
    fn unproven(&mut self, found: Option<u32>, peer: &Peer<'_>) -> Refusal {
        //= REG-3
        let owner = found.and_then(|at| self.entry(at)).and_then(Entry::principal);
        if owner.is_some() && owner == peer.principal {
            self.stats.bad_tokens = self.stats.bad_tokens.wrapping_add(1);
            return Refusal { index: found, ..Refusal::by(CloseCode::BAD_TOKEN) };
        }
        self.stats.unproven = self.stats.unproven.wrapping_add(1);
        Refusal::by(CloseCode::NO_SESSION)
    }

    /// Whether the session in entry `at` may be had, now that its key was proved.
    fn check(
        &mut self,
        now: Instant,
        at: u32,
        claim: &Resume,
        peer: &Peer<'_>,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.entries.as_slice().get(at as usize) else {
            return Err(Refusal::by(CloseCode::NO_SESSION));
        };
        let refusal = |code| Refusal { index: Some(at), ..Refusal::by(code) };
        let stats = &mut self.stats;
        //= AUT-10
        //= RSM-4
        if entry.principal() != peer.principal {
            //= REG-4
            stats.identity_mismatches = stats.identity_mismatches.wrapping_add(1);
            return Err(refusal(CloseCode::IDENTITY_MISMATCH));
        }
        if let Some((code, rx_next)) = entry.over(now) {
            //= REG-9
            stats.answered_dead = stats.answered_dead.wrapping_add(1);
            return Err(Refusal { rx_next, ..refusal(code) });
        }
        //= RSM-3
        if claim.attach <= entry.last_attach {
            //= REG-5
            stats.stale_attaches = stats.stale_attaches.wrapping_add(1);
            let last_attach = Some(entry.last_attach);
            return Err(Refusal { last_attach, ..refusal(CloseCode::STALE_ATTACH) });
        }
        Ok(())
    }

    //= REG-1
    fn reattach(&mut self, at: u32, attach: u32) -> Option<Admission> {
        self.leave_state(at);
        let entry = self.entry_mut(at)?;
        entry.state = Some(SessionState::Attached);
        entry.last_attach = attach;
        let fence = core::mem::replace(&mut entry.owned, true);
        let lease = Lease { index: at, generation: entry.generation, attach };
        let epoch = entry.epoch;
        let ttl_s = entry.ttl_s;
        self.stats.attached = self.stats.attached.wrapping_add(1);
        self.stats.resumed = self.stats.resumed.wrapping_add(1);
        self.stats.taken_over = self.stats.taken_over.wrapping_add(u64::from(fence));
        Some(Admission::Resume { lease, fence, epoch, ttl_s })
    }
}

impl Entry {
    /// How the session ended, if it has at `now`: when its time is up it is over, whether or not
    /// somebody has noticed yet.
    //= RSM-12
    fn over(&self, now: Instant) -> Option<(CloseCode, Option<u64>)> {
        match self.state? {
            SessionState::Tombstone => {
                let forgotten = self.deadline <= now;
                let code = if forgotten { CloseCode::NO_SESSION } else { self.code };
                //= REG-17
                //= REG-19
                let says_rx = !forgotten && code != CloseCode::MOVED && !self.rx_unknown;
                Some((code, Some(self.rx_next).filter(|_| says_rx)))
            }
            SessionState::Detached if self.deadline <= now => {
                Some((CloseCode::EXPIRED, Some(self.rx_next).filter(|_| !self.rx_unknown)))
            }
            SessionState::Unconfirmed if self.deadline <= now => {
                Some((CloseCode::NO_SESSION, None))
            }
            SessionState::Attached | SessionState::Detached | SessionState::Unconfirmed => None,
        }
    }
}
