extern crate alloc;

use alloc::format;
use alloc::vec::Vec;

mod model;
mod room;

use super::*;
use crate::auth::{PROOF_BEARER, PROOF_MAC, SessionKey, resume_proof};
use crate::time::Instant;
use crate::wire::{Hello, Resume, Terms};

pub(super) const SEED: u64 = 0x5EED;

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

pub(super) fn config() -> RegistryConfig {
    RegistryConfig {
        max_entries: 8,
        max_per_owner: 5,
        max_unconfirmed: 3,
        max_detached: 4,
        max_detached_per_owner: 2,
        max_ttl_s: 10,
        handshake_ms: 5000,
        busy_retry_ms: 700,
        epoch: 3,
    }
}

pub(super) type Fixed = Registry<[Entry; 8]>;

pub(super) fn fixed(config: RegistryConfig) -> Fixed {
    Registry::new(config, SEED, [const { Entry::EMPTY }; 8])
}

pub(super) fn peer(principal: Option<u64>) -> Peer<'static> {
    Peer { principal, source: 99, channel_binding: b"cb", encrypted: false }
}

pub(super) fn hello(resume: Option<Resume>) -> Hello<'static> {
    Hello {
        version_min: 1,
        version_max: 1,
        wants_session: true,
        terms: Terms {
            max_body: 1024,
            max_requests: 4,
            idle_ms: 15_000,
            heartbeat_ms: 5000,
            window: 4096,
            max_msg: 4096,
            ttl_s: 600,
            send_buffer: 4096,
        },
        caps: 0,
        resume,
        auth: None,
        agent: None,
        client_id: None,
    }
}

/// Entropy that can be told apart: the key is the session's number, repeated.
pub(super) fn entropy(sid: u64) -> Entropy {
    Entropy { sid, key: key(sid) }
}

pub(super) fn key(number: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

pub(super) fn claim(sid: u64, attach: u32, key_id: u8, key: [u8; 16]) -> Resume {
    let mut claim = Resume {
        sid,
        attach,
        key_id,
        proof_kind: PROOF_MAC,
        rx_next: 7,
        tx_first: 8,
        proof: [0; 16],
    };
    claim.proof = resume_proof(&SessionKey::new(key), &claim, b"cb");
    claim
}

pub(super) fn create(registry: &mut Fixed, now: Instant, sid: u64, who: Option<u64>) -> Lease {
    match registry.admit(now, &hello(None), &peer(who), entropy(sid)) {
        Ok(Admission::New { lease, grant, ttl_s }) => {
            assert_eq!((grant.sid, grant.epoch, grant.key_id, grant.key), (sid, 3, 1, key(sid)));
            assert_eq!((lease.attach(), ttl_s), (1, 10));
            lease
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn attached(registry: &mut Fixed, now: Instant, sid: u64, who: Option<u64>) -> Lease {
    let lease = create(registry, now, sid, who);
    assert!(registry.confirmed(lease));
    lease
}

pub(super) fn resume(
    registry: &mut Fixed,
    now: Instant,
    who: Option<u64>,
    claim: Resume,
) -> Result<(Lease, bool), Refusal> {
    match registry.admit(now, &hello(Some(claim)), &peer(who), entropy(u64::MAX))? {
        Admission::Resume { lease, fence, epoch, ttl_s } => {
            assert_eq!((epoch, ttl_s), (3, 10));
            Ok((lease, fence))
        }
        Admission::New { .. } => panic!("a resume made a session"),
    }
}

pub(super) const PARTING: Parting = Parting { rx_next: 42, finished: false };

/// Everything an entry holds, to compare.
pub(super) fn image(registry: &Fixed) -> Vec<alloc::string::String> {
    let entry = |e: &Entry| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            (e.state, e.generation, e.sid, e.principal(), e.key.expose(), e.next_key.expose()),
            (e.key_id, e.rotating, e.owned, e.keep, e.fresh, e.last_attach, e.epoch),
            (e.ttl_s, e.rx_next, e.code, e.deadline, e.heap, e.heap_at, e.owner),
            e.by_sid,
            e.order,
            e.siblings,
            (e.record.id(), e.record.alive, e.record.unconfirmed, e.record.detached),
            e.record.by_id,
            e.record.order
        )
    };
    registry.entries.iter().map(entry).collect()
}

#[test]
fn a_session_is_created_confirmed_left_and_resumed() {
    let mut registry = fixed(config());
    let lease = create(&mut registry, at(0), 1, Some(5));
    assert_eq!(registry.state(lease.index()), Some(SessionState::Unconfirmed));
    assert_eq!(registry.poll_timeout(), Some(at(5000)));
    assert!(registry.confirmed(lease));
    assert!(registry.confirmed(lease));
    assert_eq!(registry.poll_timeout(), None);
    assert!(registry.detached(at(100), lease, PARTING));
    assert_eq!(registry.state(lease.index()), Some(SessionState::Detached));
    assert_eq!(registry.poll_timeout(), Some(at(10_100)));
    assert!(!registry.confirmed(lease), "the lease ended with the connection");

    let (again, fence) = resume(&mut registry, at(200), Some(5), claim(1, 2, 1, key(1))).unwrap();
    assert_eq!((again.index(), again.attach(), fence), (lease.index(), 2, false));
    assert_eq!(registry.state(again.index()), Some(SessionState::Attached));
    assert_eq!(registry.poll_timeout(), None);
    let stats = registry.stats();
    assert_eq!((stats.created, stats.resumed, stats.taken_over, stats.attached), (1, 1, 0, 1));
}

//= test REG-1
#[test]
fn a_takeover_fences_and_voids_the_old_lease() {
    let mut registry = fixed(config());
    let old = attached(&mut registry, at(0), 1, None);
    let (new, fence) = resume(&mut registry, at(1), None, claim(1, 2, 1, key(1))).unwrap();
    assert!(fence);
    assert!(!registry.detached(at(2), old, PARTING));
    assert!(!registry.ended(at(2), old, CloseCode::POISON, 9));
    assert_eq!(registry.rotate(old, key(2)), None);
    assert_eq!(registry.state(new.index()), Some(SessionState::Attached));
    assert_eq!(registry.stats().taken_over, 1);
}

//= test REG-2
//= test REG-3
#[test]
fn unknown_sessions_and_wrong_proofs_look_the_same() {
    let mut registry = fixed(config());
    attached(&mut registry, at(0), 1, Some(5));
    let before = image(&registry);
    let unknown = resume(&mut registry, at(1), None, claim(2, 2, 1, key(1))).unwrap_err();
    let wrong = resume(&mut registry, at(1), None, claim(1, 2, 1, key(9))).unwrap_err();
    let wrong_id = resume(&mut registry, at(1), None, claim(1, 2, 2, key(1))).unwrap_err();
    assert_eq!(unknown, Refusal::by(CloseCode::NO_SESSION));
    assert_eq!((unknown, unknown), (wrong, wrong_id));
    let other = resume(&mut registry, at(1), Some(6), claim(1, 2, 1, key(9))).unwrap_err();
    assert_eq!(other, unknown, "another principal learns nothing either");
    let own = resume(&mut registry, at(1), Some(5), claim(1, 2, 1, key(9))).unwrap_err();
    assert_eq!((own.code, own.index), (CloseCode::BAD_TOKEN, Some(0)));
    // The key that stands in for unknown ones opens nothing.
    let dummy = resume(&mut registry, at(1), None, claim(2, 2, 1, [0; 16])).unwrap_err();
    assert_eq!(dummy, unknown);
    let dummy = resume(&mut registry, at(1), None, claim(1, 2, 77, [0; 16])).unwrap_err();
    assert_eq!(dummy, unknown);
    assert_eq!(image(&registry), before);
    assert_eq!((registry.stats().unproven, registry.stats().bad_tokens), (6, 1));
}

//= test REG-4
//= test REG-5
#[test]
fn a_refused_hello_changes_nothing() {
    let mut registry = fixed(config());
    let lease = attached(&mut registry, at(0), 1, Some(5));
    registry.rotate(lease, key(11)).unwrap();
    let before = image(&registry);
    let thief = resume(&mut registry, at(1), Some(6), claim(1, 2, 1, key(1))).unwrap_err();
    assert_eq!((thief.code, thief.index), (CloseCode::IDENTITY_MISMATCH, Some(lease.index())));
    let stale = resume(&mut registry, at(1), Some(5), claim(1, 1, 1, key(1))).unwrap_err();
    assert_eq!((stale.code, stale.last_attach), (CloseCode::STALE_ATTACH, Some(1)));
    assert_eq!(stale.close().last_attach, Some(1));
    assert_eq!(stale.close().flags, CloseFlags::NONE);
    let replayed = claim(1, 0, 1, key(1));
    assert!(resume(&mut registry, at(1), Some(5), replayed).is_err());
    assert_eq!(image(&registry), before);
    let (taken, _) = resume(&mut registry, at(2), Some(5), claim(1, 900, 1, key(1))).unwrap();
    assert_eq!(taken.attach(), 900);
    let replay = resume(&mut registry, at(3), Some(5), claim(1, 900, 1, key(1))).unwrap_err();
    assert_eq!((replay.code, replay.last_attach), (CloseCode::STALE_ATTACH, Some(900)));
}

#[test]
fn the_key_itself_counts_only_where_it_cannot_be_read() {
    let mut registry = fixed(config());
    let shown = Resume { proof_kind: PROOF_BEARER, proof: key(1), ..claim(1, 2, 1, key(1)) };
    attached(&mut registry, at(0), 1, None);
    let refusal = resume(&mut registry, at(1), None, shown).unwrap_err();
    assert_eq!(refusal.code, CloseCode::NO_SESSION);
    let encrypted = Peer { encrypted: true, ..peer(None) };
    assert!(registry.admit(at(1), &hello(Some(shown)), &encrypted, entropy(2)).is_ok());
}

//= test REG-6
#[test]
fn both_keys_are_valid_until_the_new_one_is_acknowledged() {
    let mut registry = fixed(config());
    let mut lease = attached(&mut registry, at(0), 1, None);
    assert_eq!(registry.rotate(lease, key(11)), Some(2));
    assert_eq!(registry.rotate(lease, key(12)), None, "one rotation at a time");
    for (attach, key_id, number) in [(2, 1, 1), (3, 2, 11), (4, 1, 1)] {
        let claim = claim(1, attach, key_id, key(number));
        lease = resume(&mut registry, at(1), None, claim).unwrap().0;
    }
    assert!(!registry.confirm_key(lease, 3));
    assert!(registry.confirm_key(lease, 2));
    assert!(!registry.confirm_key(lease, 2), "confirmed already");
    let old = resume(&mut registry, at(2), None, claim(1, 5, 1, key(1))).unwrap_err();
    assert_eq!(old.code, CloseCode::NO_SESSION);
    let none = resume(&mut registry, at(2), None, claim(1, 5, 3, [0; 16])).unwrap_err();
    assert_eq!(none.code, CloseCode::NO_SESSION, "a cleared key opens nothing");
    assert!(resume(&mut registry, at(2), None, claim(1, 5, 2, key(11))).is_ok());
}

//= test REG-11
#[test]
fn expiry_is_exact_whether_or_not_it_was_polled() {
    for polled in [false, true] {
        let mut registry = fixed(config());
        let lease = attached(&mut registry, at(0), 1, None);
        registry.detached(at(0), lease, PARTING);
        if polled {
            assert_eq!(registry.poll_expired(at(9999)), None);
            let expired = registry.poll_expired(at(10_000)).unwrap();
            assert_eq!((expired.sid, expired.code), (1, CloseCode::EXPIRED));
            assert_eq!((expired.index, expired.owned), (lease.index(), false));
            assert_eq!(registry.poll_expired(at(10_000)), None);
        }
        let late = resume(&mut registry, at(10_000), None, claim(1, 2, 1, key(1))).unwrap_err();
        assert_eq!((late.code, late.rx_next), (CloseCode::EXPIRED, Some(42)));
        assert_eq!(late.close().flags, CloseFlags::SESSION_ENDED);
    }
    let mut registry = fixed(config());
    let lease = attached(&mut registry, at(0), 1, None);
    registry.detached(at(0), lease, PARTING);
    assert!(resume(&mut registry, at(9999), None, claim(1, 2, 1, key(1))).is_ok());
}

//= test REG-9
#[test]
fn tombstones_answer_the_same_for_twice_the_retention() {
    let mut registry = fixed(config());
    let lease = attached(&mut registry, at(0), 1, Some(5));
    assert!(registry.ended(at(100), lease, CloseCode::POISON, 77));
    assert_eq!(registry.poll_expired(at(100)), None, "who ended it knows");
    for attach in [2, 2, 9, 1] {
        let claim = claim(1, attach, 1, key(1));
        let answer = resume(&mut registry, at(20_099), Some(5), claim).unwrap_err();
        assert_eq!((answer.code, answer.rx_next), (CloseCode::POISON, Some(77)));
    }
    let wrong = resume(&mut registry, at(100), None, claim(1, 2, 1, key(2))).unwrap_err();
    assert_eq!((wrong.code, wrong.rx_next), (CloseCode::NO_SESSION, None));
    let gone = resume(&mut registry, at(20_100), Some(5), claim(1, 2, 1, key(1))).unwrap_err();
    assert_eq!((gone.code, gone.rx_next), (CloseCode::NO_SESSION, None));
    assert_eq!(registry.stats().tombstones, 1);
    assert_eq!(registry.poll_timeout(), Some(at(20_100)));
    assert_eq!(registry.poll_expired(at(20_100)), None);
    assert_eq!((registry.stats().tombstones, registry.poll_timeout()), (0, None));
}

//= test REG-17
#[test]
fn an_exported_session_has_moved_and_is_not_over() {
    let mut registry = fixed(config());
    let lease = attached(&mut registry, at(0), 1, None);
    registry.ended(at(1), lease, CloseCode::MOVED, 77);
    let answer = resume(&mut registry, at(2), None, claim(1, 2, 1, key(1))).unwrap_err();
    assert_eq!((answer.code, answer.rx_next), (CloseCode::MOVED, None));
    assert_eq!(answer.close().flags, CloseFlags::NONE);
}

#[test]
fn a_finished_session_leaves_a_tombstone_that_says_so() {
    let mut registry = fixed(config());
    let lease = attached(&mut registry, at(0), 1, None);
    assert!(registry.detached(at(1), lease, Parting { rx_next: 5, finished: true }));
    let answer = resume(&mut registry, at(2), None, claim(1, 2, 1, key(1))).unwrap_err();
    assert_eq!((answer.code, answer.rx_next), (CloseCode::OK, Some(5)));
}

//= test REG-8
#[test]
fn a_client_not_heard_after_welcome_is_reaped() {
    for left in [false, true] {
        let mut registry = fixed(config());
        let lease = create(&mut registry, at(0), 1, None);
        if left {
            assert!(registry.detached(at(10), lease, PARTING));
        }
        assert_eq!(registry.poll_expired(at(4999)), None);
        let reaped = registry.poll_expired(at(5000)).unwrap();
        assert_eq!((reaped.code, reaped.owned), (CloseCode::HS_TIMEOUT, !left));
        assert!(!registry.confirmed(lease));
        assert_eq!(registry.state(0), None, "it leaves no tombstone");
        let answer = resume(&mut registry, at(5000), None, claim(1, 2, 1, key(1))).unwrap_err();
        assert_eq!(answer.code, CloseCode::NO_SESSION);
    }
    let mut registry = fixed(config());
    create(&mut registry, at(0), 1, None);
    let (_, fence) = resume(&mut registry, at(4999), None, claim(1, 2, 1, key(1))).unwrap();
    assert!(fence, "a valid proof confirms as well as a frame does");
    assert_eq!(registry.poll_timeout(), None);
}

#[test]
fn nothing_secret_is_printed() {
    let mut registry = fixed(config());
    create(&mut registry, at(0), 0x0123_4567_89ab_cdef, None);
    let text = format!("{registry:?} {:?}", entropy(1));
    assert!(!text.contains("key: [") && text.contains("Entropy(..)"));
    assert!(!text.contains("81985529216486895"));
}
