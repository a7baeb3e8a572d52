//! What whoever runs servers for long does to sessions: leaving, and replacing keys. What follows
//! from either is in `drain.rs` and `keys.rs`, and is linked only together with this.

use super::{SendError, Session};
use crate::code::CloseCode;
use crate::event::Position;
use crate::link::{Leaving, Owed};
use crate::state::{LinkEvent, Obstacle, StateError, Verb};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{Header, Op};

/// Longest address that DRAIN can carry.
const ADDRESS_MAX: usize = 255;

impl<S: Storage + ?Sized> Session<S> {
    /// Announces that this end will leave: `grace_ms` for new requests, and connections moving away
    /// over `spread_ms`.
    ///
    /// Requests that arrive on this connection after the grace are answered with
    /// [`Status::REFUSED`](crate::wire::Status::REFUSED) by the session itself.
    ///
    /// # Errors
    ///
    /// If no connection is open.
    //= CLS-8
    pub fn drain(
        &mut self,
        now: Instant,
        code: CloseCode,
        grace_ms: u32,
        spread_ms: u32,
    ) -> Result<(), StateError> {
        self.link.tick(now);
        if !self.link.is_open() || !self.link.step(LinkEvent::Drain) {
            return Err(StateError::new(Verb::Drain, Obstacle::Link(self.link.state)));
        }
        self.link.farewell = Leaving { code, grace_ms, spread_ms }.into();
        self.link.owed.add(Owed::DRAIN);
        Ok(())
    }

    /// As [`drain`](Self::drain), and says where to connect next: at most 255 bytes that the peer's
    /// dialer understands.
    ///
    /// A session has no room to keep an address, so it is written to `out` at once, behind the rest
    /// of a frame that is under way and what else is due before it; the result is how many bytes
    /// that is, and the driver must write them before anything else, as those of
    /// [`poll_transmit`](Self::poll_transmit). If `out` cannot take all that, or the frame would be
    /// too long for the peer, DRAIN goes without the address, with what is transmitted next.
    /// [`HANDSHAKE_MAX`](crate::HANDSHAKE_MAX) bytes suffice where no frame is under way.
    ///
    /// # Errors
    ///
    /// If no connection is open, or the address is too long.
    pub fn drain_to(
        &mut self,
        now: Instant,
        code: CloseCode,
        (grace_ms, spread_ms): (u32, u32),
        address: &[u8],
        out: &mut [u8],
    ) -> Result<usize, StateError> {
        if address.len() > ADDRESS_MAX {
            return Err(StateError::new(Verb::Drain, Obstacle::LongAddress));
        }
        self.drain(now, code, grace_ms, spread_ms)?;
        Ok(self.transmit_control(Some(address), out))
    }

    /// Writes what is due now and no frame of the application's, but the rest of one under way.
    fn transmit_control(&mut self, address: Option<&[u8]>, out: &mut [u8]) -> usize {
        let mut written = self.copy_ring(self.tx.frame_end, out);
        if self.tx.sent >= self.tx.frame_end
            && let Some(out) = out.get_mut(written..)
        {
            written += self.write_control(address, out);
        }
        self.note_transmitted(written)
    }

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

    /// The TOKEN that ends at `position` is the one that matters.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    const fn note_token(&mut self, position: u64) {
        self.identity.rotating = true;
        self.identity.token = position as u32;
    }
}
