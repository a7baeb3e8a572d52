//! Limits, memory, and sessions from snapshots.

extern crate alloc;

use alloc::vec::Vec;

use super::{
    Fixed, PARTING, SEED, at, attached, claim, config, create, entropy, fixed, hello, image, key,
    peer, resume,
};
use crate::CloseCode;
use crate::registry::*;

//= test REG-7
#[test]
fn owners_are_limited_each_for_itself() {
    let mut registry = fixed(config());
    for sid in 0..3 {
        create(&mut registry, at(0), sid, None);
    }
    let new = |registry: &mut Fixed, sid, peer: &Peer<'_>| {
        registry.admit(at(1), &hello(None), peer, entropy(sid)).map(|_| ())
    };
    let before = image(&registry);
    let full = new(&mut registry, 3, &peer(None)).unwrap_err();
    assert_eq!((full.code, full.retry_ms), (CloseCode::BUSY, 5000));
    assert_eq!(image(&registry), before);
    assert!(new(&mut registry, 3, &Peer { source: 98, ..peer(None) }).is_ok());
    assert!(new(&mut registry, 4, &peer(Some(99))).is_ok(), "a principal is not a source");
    for sid in 5..9 {
        let lease = create(&mut registry, at(1), sid, Some(7));
        registry.confirmed(lease);
        if sid == 7 {
            break;
        }
    }
    let room = new(&mut registry, 8, &peer(Some(1))).unwrap_err();
    assert_eq!((room.code, room.retry_ms), (CloseCode::BUSY, 700), "no entry is left");
}

#[test]
fn sessions_of_one_owner_are_limited() {
    let mut registry = fixed(config());
    for sid in 0..5 {
        attached(&mut registry, at(0), sid, Some(1));
    }
    let full = registry.admit(at(0), &hello(None), &peer(Some(1)), entropy(5)).unwrap_err();
    assert_eq!((full.code, full.retry_ms), (CloseCode::BUSY, 700));
    attached(&mut registry, at(0), 5, Some(2));
    let again = registry.admit(at(0), &hello(None), &peer(Some(3)), entropy(5)).unwrap_err();
    assert_eq!(again.code, CloseCode::BUSY, "one number, two sessions");
}

//= test REG-10
#[test]
fn the_session_detached_longest_makes_room() {
    let mut registry = fixed(config());
    let leases: Vec<_> =
        (0..5).map(|sid| attached(&mut registry, at(0), sid, Some(sid / 3))).collect();
    for (n, lease) in (1..).zip(&leases[..3]) {
        assert!(registry.detached(at(n), *lease, PARTING));
    }
    let evicted = registry.poll_expired(at(3)).unwrap();
    assert_eq!((evicted.sid, evicted.code), (0, CloseCode::EVICTED));
    assert_eq!(registry.poll_expired(at(3)), None);
    let answer = resume(&mut registry, at(4), Some(0), claim(0, 2, 1, key(0))).unwrap_err();
    assert_eq!((answer.code, answer.rx_next), (CloseCode::EVICTED, Some(42)));
    assert!(resume(&mut registry, at(4), Some(0), claim(1, 2, 1, key(1))).is_ok());

    let mut small = config();
    small.max_detached = 1;
    let mut registry = fixed(small);
    let first = attached(&mut registry, at(0), 1, Some(1));
    let second = attached(&mut registry, at(0), 2, Some(2));
    registry.detached(at(1), first, PARTING);
    registry.detached(at(2), second, PARTING);
    assert_eq!(registry.poll_timeout(), Some(at(0)), "there is something to tell");
    assert_eq!(registry.poll_expired(at(2)).map(|expired| expired.sid), Some(1));
    assert_eq!(registry.state(second.index()), Some(SessionState::Detached));
}

//= test REG-16
#[test]
fn the_oldest_tombstone_makes_room_for_a_session() {
    let mut registry = fixed(config());
    for sid in 0..8 {
        let lease = attached(&mut registry, at(0), sid, Some(sid));
        registry.ended(at(sid), lease, CloseCode::OK, 0);
    }
    attached(&mut registry, at(8), 8, None);
    let answer = resume(&mut registry, at(8), Some(0), claim(0, 2, 1, key(0))).unwrap_err();
    assert_eq!(answer.code, CloseCode::NO_SESSION);
    let answer = resume(&mut registry, at(8), Some(1), claim(1, 2, 1, key(1))).unwrap_err();
    assert_eq!(answer.code, CloseCode::OK);
}

fn stored(sid: u64) -> Stored {
    Stored {
        sid,
        epoch: 9,
        key_id: 4,
        key: SessionKey::new(key(sid)),
        next_key: Some(SessionKey::new(key(sid + 100))),
        last_attach: 6,
        principal: Some(5),
        source: 0,
        ttl_s: 10,
        ttl_left_s: 4,
        rx_next: 42,
        is_last: true,
    }
}

#[test]
fn a_stored_session_is_resumed_or_expires_as_if_never_away() {
    for (attach, key_id, number) in [(7, 4, 1), (8, 5, 101)] {
        let mut registry = fixed(config());
        let lease = registry.restore(at(0), stored(1)).unwrap();
        assert_eq!(registry.restore(at(0), stored(1)), None, "it is there");
        assert_eq!(registry.state(lease.index()), Some(SessionState::Detached));
        assert_eq!((lease.attach(), registry.retention_left_s(at(0), lease)), (6, 4));
        assert_eq!(registry.retention_left_s(at(500), lease), 4, "it is rounded up");
        assert_eq!(registry.retention_left_s(at(4000), lease), 0);
        assert_eq!(registry.poll_timeout(), Some(at(4000)));
        let resume = hello(Some(claim(1, attach, key_id, key(number))));
        match registry.admit(at(3999), &resume, &peer(Some(5)), entropy(0)) {
            Ok(Admission::Resume { lease, fence: false, epoch: 9, ttl_s: 10 }) => {
                assert_eq!(registry.rotate(lease, key(3)), None, "a rotation is under way");
                assert_eq!(registry.retention_left_s(at(3999), lease), 10, "all of it again");
                assert!(registry.confirm_key(lease, 5));
            }
            other => panic!("{other:?}"),
        }
    }
    let mut registry = fixed(config());
    registry.restore(at(0), stored(1)).unwrap();
    assert_eq!(registry.poll_expired(at(4000)).map(|e| e.code), Some(CloseCode::EXPIRED));
    for sid in 2..5 {
        registry.restore(at(5000), stored(sid)).unwrap();
    }
    let evicted = registry.poll_expired(at(5000)).unwrap();
    assert_eq!((evicted.sid, evicted.code, evicted.owned), (2, CloseCode::EVICTED, false));
    assert_eq!((registry.stats().detached, registry.stats().unconfirmed), (2, 0));
}

#[test]
fn memory_may_be_borrowed_and_its_size_erased() {
    let mut memory = [const { Entry::EMPTY }; 2];
    let mut registry = Registry::new(config(), SEED, &mut memory[..]);
    assert!(registry.admit(at(0), &hello(None), &peer(None), entropy(1)).is_ok());
    let mut fixed = fixed(config());
    let erased: &mut Registry<[Entry]> = &mut fixed;
    assert!(erased.admit(at(0), &hello(None), &peer(None), entropy(1)).is_ok());
    let mut none = Registry::new(config(), SEED, &mut [][..]);
    assert!(none.admit(at(0), &hello(None), &peer(None), entropy(1)).is_err());
    let unknown = hello(Some(claim(1, 2, 1, key(1))));
    assert!(none.admit(at(0), &unknown, &peer(None), entropy(1)).is_err());
}

#[cfg(feature = "alloc")]
#[test]
fn growing_memory_grows_to_the_limit_and_loses_nothing() {
    let limits = RegistryConfig {
        max_entries: 1000,
        max_per_owner: 1000,
        max_unconfirmed: 1000,
        ..config()
    };
    let mut registry = Registry::new(limits, SEED, Vec::new());
    for sid in 0..1000 {
        let made = registry.admit(at(sid), &hello(None), &peer(Some(sid % 7)), entropy(sid));
        assert!(made.is_ok());
    }
    let full = registry.admit(at(0), &hello(None), &peer(None), entropy(1000)).unwrap_err();
    assert_eq!(full.code, CloseCode::BUSY);
    assert_eq!(registry.entries.len(), 1000);
    for sid in 0..1000 {
        let resume = hello(Some(claim(sid, 2, 1, key(sid))));
        let peer = peer(Some(sid % 7));
        assert!(registry.admit(at(1), &resume, &peer, entropy(0)).is_ok());
        assert_eq!(
            registry.owned_by(entry::OwnerId::Principal(sid % 7)).0,
            if sid % 7 == 6 { 142 } else { 143 }
        );
    }
}

#[test]
fn limits_that_let_no_session_be_are_named() {
    let key = |config: RegistryConfig| config.validate().map_err(|error| error.key());
    let config = RegistryConfig::default();
    assert_eq!(key(config), Ok(()));
    let wrong = [
        (RegistryConfig { max_entries: 0, ..config }, "max_entries"),
        (RegistryConfig { max_per_owner: 0, ..config }, "max_per_owner"),
        (RegistryConfig { max_unconfirmed: 0, ..config }, "max_unconfirmed"),
        (RegistryConfig { max_detached: 0, ..config }, "max_detached"),
        (RegistryConfig { max_detached_per_owner: 0, ..config }, "max_detached_per_owner"),
        (RegistryConfig { handshake_ms: 0, ..config }, "handshake_ms"),
        (RegistryConfig { busy_retry_ms: u32::MAX, ..config }, "busy_retry_ms"),
    ];
    for (config, expected) in wrong {
        assert_eq!(key(config), Err(expected), "{config:?}");
    }
}

//= test REG-19
#[test]
fn what_came_after_a_snapshot_is_not_known_before_its_client_is_back() {
    let old = || Stored { is_last: false, epoch: 3, ..stored(1) };
    let claim_of = |attach| claim(1, attach, 4, key(1));
    // Over before anybody came, in whatever way: it is not said how far it had come.
    let mut registry = fixed(config());
    registry.restore(at(0), old()).unwrap();
    let late = resume(&mut registry, at(4000), Some(5), claim_of(7)).unwrap_err();
    assert_eq!((late.code, late.rx_next), (CloseCode::EXPIRED, None));
    let mut registry = fixed(config());
    registry.restore(at(0), old()).unwrap();
    let (lease, _) = resume(&mut registry, at(1), Some(5), claim_of(7)).unwrap();
    assert!(registry.ended(at(1), lease, CloseCode::POISON, 42));
    let late = resume(&mut registry, at(2), Some(5), claim_of(8)).unwrap_err();
    assert_eq!((late.code, late.rx_next), (CloseCode::POISON, None));
    // Once its client was heard, what was received is known.
    let mut registry = fixed(config());
    registry.restore(at(0), old()).unwrap();
    let (lease, _) = resume(&mut registry, at(1), Some(5), claim_of(7)).unwrap();
    assert!(registry.confirmed(lease));
    assert!(registry.ended(at(2), lease, CloseCode::POISON, 42));
    let late = resume(&mut registry, at(3), Some(5), claim_of(8)).unwrap_err();
    assert_eq!((late.code, late.rx_next), (CloseCode::POISON, Some(42)));
}

/// Servers have as many as sessions, and some to spare: whoever needs more bytes takes them from
/// those that are there.
#[test]
fn an_entry_takes_little() {
    assert!(size_of::<Entry>() <= 176);
}
