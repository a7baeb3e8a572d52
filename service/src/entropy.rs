//! Entropy from the operating system: keys, names, nonces and seeds.

use std::cell::RefCell;

use outlast_core::registry::Entropy;

/// Bytes asked for at once: a system call serves many handshakes.
const POOL: usize = 1024;

/// Entropy not used yet. Every byte is given out once and wiped then.
struct Pool {
    bytes: [u8; POOL],
    at: usize,
}

thread_local! {
    static UNUSED: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL], at: POOL }) };
}

/// Secrets must not be guessable: without the system's entropy there is nothing to go on with.
pub(crate) fn fill(out: &mut [u8]) {
    UNUSED.with_borrow_mut(|pool| {
        if out.len() > POOL - pool.at {
            if let Err(error) = getrandom::fill(&mut pool.bytes) {
                panic!("the operating system gives no entropy: {error}");
            }
            pool.at = 0;
        }
        let end = pool.at + out.len();
        let fresh = &mut pool.bytes[pool.at..end];
        out.copy_from_slice(fresh);
        fresh.fill(0);
        pool.at = end;
    });
}

/// A fresh name and key for a session that may be made.
//= REG-15
pub(crate) fn for_session() -> Entropy {
    let mut key = [0; 16];
    fill(&mut key);
    Entropy { sid: random_u64(), key }
}

pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A seed for a connection's nonces and jitter.
//= DRV-13
pub(crate) fn seed() -> u32 {
    let mut bytes = [0; 4];
    fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

/// A number from 0 to `most`.
pub(crate) fn up_to(most: u32) -> u32 {
    (random_u64() % (u64::from(most) + 1)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    //= test REG-15
    //= test DRV-13
    #[test]
    fn nothing_is_given_out_twice_and_nothing_is_kept() {
        let mut seen = HashSet::new();
        for _ in 0..4 * POOL / 24 {
            let Entropy { sid, key } = for_session();
            assert!(seen.insert(sid), "a name was given out twice");
            assert!(seen.insert(u64::from_le_bytes(*key.first_chunk().unwrap())));
        }
        let seeds: HashSet<u32> = (0..64).map(|_| seed()).collect();
        assert!(seeds.len() > 60, "seeds repeat");
        UNUSED.with_borrow(|pool| {
            assert!(pool.bytes[..pool.at].iter().all(|byte| *byte == 0));
        });
    }
}
