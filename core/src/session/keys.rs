//! Replacing the key that resumes the session.
//!
//! The new key travels in a TOKEN, and until that is acknowledged it is kept nowhere else: what is
//! sent and not acknowledged is in the ring. The verb is in `upkeep.rs`.

use super::{Pending, Session};
use crate::ring::Ring;
use crate::storage::Storage;
use crate::wire::{HEADER_LEN, Op};

/// Bytes of a key.
const KEY_LEN: usize = 16;
/// Size of a TOKEN frame.
const TOKEN_SIZE: usize = HEADER_LEN + KEY_LEN;

impl<S: Storage + ?Sized> Session<S> {
    /// The key that is to follow, and its number, while the peer is not known to have it.
    pub(crate) fn next_key(&self) -> Option<(u8, [u8; KEY_LEN])> {
        self.next_key_at().map(|(key_id, at)| (key_id, self.ring.bytes_at(at)))
    }

    /// The number of that key, and where in the ring it is.
    fn next_key_at(&self) -> Option<(u8, usize)> {
        key_before(&self.ring, self.token_offset()?)
    }

    /// The client proved possession of this key; if it is the new one, the old one is done with.
    //= AUT-13
    pub(super) fn adopt_key(&mut self, key_id: u8) {
        if self.next_key_at().is_some_and(|(next, _)| next == key_id) {
            self.adopt_next_key();
        }
    }

    /// The client has the new key: the old one is done with. TOKEN must still be in the ring.
    pub(super) fn adopt_next_key(&mut self) {
        if let Some((key_id, at)) = self.next_key_at() {
            self.identity.key_id = key_id;
            self.ring.read(at, &mut self.identity.key);
            self.pending.add(Pending::KEY);
        }
        self.identity.rotating = false;
    }

    /// How far behind `acked` the TOKEN in the ring ends, if there is one that matters.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    pub(crate) fn token_offset(&self) -> Option<usize> {
        let distance = self.identity.token.wrapping_sub(self.tx.acked as u32);
        self.identity.rotating.then_some(distance as usize)
    }
}

/// The number of the key in the TOKEN that ends at this offset of the ring, and where the key is.
pub(crate) fn key_before<S: Storage + ?Sized>(ring: &Ring<S>, end: usize) -> Option<(u8, usize)> {
    let at = end.checked_sub(TOKEN_SIZE)?;
    (end <= ring.len()).then(|| (ring.header_at(at).tag(), at + HEADER_LEN))
}

/// Where in the ring its last TOKEN ends, if there is one: for a restore.
pub(crate) fn last_token<S: Storage + ?Sized>(ring: &Ring<S>) -> Option<usize> {
    let (mut at, mut last) = (0, None);
    while at < ring.len() {
        let header = ring.header_at(at);
        at += header.frame_size();
        if header.op() == Some(Op::Token) {
            last = Some(at);
        }
    }
    last
}
