//! Replacing the key that resumes the session.
//!
//! The new key travels in a TOKEN, and until that is acknowledged it is kept nowhere else: what is
//! sent and not acknowledged is in the ring.

use super::{Pending, SendError, Session};
use crate::event::Position;
use crate::state::{Obstacle, StateError, Verb};
use crate::storage::Storage;
use crate::wire::{HEADER_LEN, Header, Op};

/// Bytes of a key.
const KEY_LEN: usize = 16;
/// Size of a TOKEN frame.
const TOKEN_SIZE: usize = HEADER_LEN + KEY_LEN;

impl<S: Storage + ?Sized> Session<S> {
    /// Replaces the key that resumes the session. The old one works until the client is known to
    /// have the new one, which [`Event::KeyConfirmed`](crate::Event::KeyConfirmed) tells.
    ///
    /// A server with a registry asks it first: [`Registry::rotate`](crate::registry::Registry)
    /// gives the number, [`confirm_key`](crate::registry::Registry::confirm_key) takes the event,
    /// and [`abandon_key`](crate::registry::Registry::abandon_key) takes an error of this verb.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); and if this is a client, or an earlier replacement is under way.
    //= AUT-12
    pub fn rotate_key(&mut self, key_id: u8, key: [u8; 16]) -> Result<Position, SendError> {
        self.check_state()?;
        if self.is_client() || self.identity.rotating {
            let state = if self.is_client() { Obstacle::Client } else { Obstacle::Rotating };
            return Err(SendError::State(StateError::new(Verb::RotateKey, state)));
        }
        if key_id == self.identity.key_id {
            return Err(SendError::State(StateError::new(Verb::RotateKey, Obstacle::SameKey)));
        }
        let position = self.push(Header::new(Op::Token, key_id, 16), &[], &key)?;
        self.note_token(position.0);
        Ok(position)
    }

    /// The key that is to follow, and its number, while the peer is not known to have it.
    pub(crate) fn next_key(&self) -> Option<(u8, [u8; KEY_LEN])> {
        self.next_key_at().map(|(key_id, at)| (key_id, self.ring.bytes_at(at)))
    }

    /// The number of that key, and where in the ring it is.
    fn next_key_at(&self) -> Option<(u8, usize)> {
        let at = self.token_offset()?.checked_sub(TOKEN_SIZE)?;
        (at + TOKEN_SIZE <= self.ring.len())
            .then(|| (self.ring.header_at(at).tag(), at + HEADER_LEN))
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

    /// The TOKEN that ends at `position` is the one that matters.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    const fn note_token(&mut self, position: u64) {
        self.identity.rotating = true;
        self.identity.token = position as u32;
    }

    /// After a restore: the last TOKEN in the ring.
    pub(crate) fn find_token(&mut self) {
        let mut at = 0;
        while at < self.ring.len() {
            let header = self.ring.header_at(at);
            at += header.frame_size();
            if header.op() == Some(Op::Token) {
                self.note_token(self.tx.acked + at as u64);
            }
        }
    }
}
