//! Replacing the key that resumes the session.
//!
//! The new key travels in a TOKEN, and until that is acknowledged it is kept nowhere else: what is
//! sent and not acknowledged is in the ring.

use core::num::NonZeroU64;

use super::{Pending, SendError, Session};
use crate::event::Position;
use crate::state::StateError;
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
        if self.is_client() || self.identity.token.is_some() {
            let state = if self.is_client() { "client" } else { "rotating" };
            return Err(SendError::State(StateError { verb: "rotate the key", state }));
        }
        if key_id == self.identity.key_id {
            let state = "the present key has this number";
            return Err(SendError::State(StateError { verb: "rotate the key", state }));
        }
        let position = self.push(Header::new(Op::Token, key_id, 16), &[], &key)?;
        self.identity.token = NonZeroU64::new(position.0);
        Ok(position)
    }

    /// The key that is to follow, and its number, while the peer is not known to have it.
    pub(crate) fn next_key(&self) -> Option<(u8, [u8; KEY_LEN])> {
        let start = self.identity.token?.get().saturating_sub(TOKEN_SIZE as u64);
        let at = self.offset(start);
        let mut frame = [0; TOKEN_SIZE];
        if self.ring.copy_out(at, at + TOKEN_SIZE, &mut frame) < TOKEN_SIZE {
            return None;
        }
        let (head, key) = frame.split_first_chunk::<HEADER_LEN>()?;
        Some((Header::from_bytes(*head).tag(), *key.first_chunk()?))
    }

    /// The client proved possession of this key; if it is the new one, the old one is done with.
    //= AUT-13
    pub(super) fn adopt_key(&mut self, key_id: u8) {
        if self.next_key().is_some_and(|(next, _)| next == key_id) {
            self.adopt_next_key();
        }
    }

    /// The client has the new key: the old one is done with. TOKEN must still be in the ring.
    pub(super) fn adopt_next_key(&mut self) {
        if let Some((key_id, key)) = self.next_key() {
            self.identity.key_id = key_id;
            self.identity.key = key;
            self.pending.add(Pending::KEY);
        }
        self.identity.token = None;
    }

    /// After a restore: the position of the last TOKEN in the ring.
    pub(crate) fn find_token(&self) -> Option<NonZeroU64> {
        let (mut at, mut found) = (0, None);
        while at < self.ring.len() {
            let header = self.ring.header_at(at);
            at += header.frame_size();
            if header.op() == Some(Op::Token) {
                found = NonZeroU64::new(self.tx.acked + at as u64);
            }
        }
        found
    }
}
