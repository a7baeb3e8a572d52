//! Messages that a driver writes by itself, from one copy for many sessions.
//!
//! What is for a thousand sessions need not be in a thousand rings. A driver that keeps one copy
//! may write it to the transports itself while nothing else happens to these sessions, and tells
//! each of them later, before anything else does happen: most of it is acknowledged by then, and
//! was never in any ring.

use super::send::run_of;
use super::{CloseCode, Session};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{HEADER_LEN, Header, Op};

impl<S: Storage + ?Sized> Session<S> {
    /// Bytes of whole one-way messages, each in one frame, that the driver may write to the
    /// transport itself now, for [`handle_written`](Self::handle_written) to be told of: credit
    /// and room for as much is there, and nothing is to be transmitted before. 0 if there is not,
    /// or if there is.
    ///
    /// It holds for as long as nothing but that is done with the session. What the driver has
    /// written is not taken off until it is told.
    #[must_use]
    pub fn room_for_written(&self) -> usize {
        let retained = self.ring.len();
        let quiet = self.open_out.is_none()
            && self.tx.sent as usize == retained
            && self.rx.unreported() == 0
            && !self.has_output()
            && self.link.is_open();
        if !quiet || self.check_state().is_err() {
            return 0;
        }
        self.ring.room().min((self.tx.credit() as usize).saturating_sub(retained))
    }

    /// Books whole one-way messages that the driver wrote to the transport: all of `frames`, but
    /// for `unwritten` bytes at their end, which the transport has not taken and which are
    /// transmitted next. `now` is when the last of them was written. It is as
    /// [`send_encoded`](Self::send_encoded) and then
    /// [`handle_transmitted`](Self::handle_transmitted) would have been at that time.
    ///
    /// `input` is what came from the peer since, which must be handed to
    /// [`handle_input`](Self::handle_input) next; it may be empty. If it begins with an
    /// acknowledgement, what that is about is not kept first only to be dropped then.
    ///
    /// Frames that [`room_for_written`](Self::room_for_written) did not admit end the session.
    //= POS-3
    pub fn handle_written(&mut self, now: Instant, frames: &[u8], unwritten: usize, input: &[u8]) {
        self.link.tick(now);
        let written = frames.len().saturating_sub(unwritten);
        let done = self.skip_acknowledged(frames.get(..written).unwrap_or_default(), input);
        let rest = frames.get(done..).unwrap_or_default();
        if self.send_encoded(rest) != Ok(rest.len()) {
            return self.die(CloseCode::INTERNAL, None);
        }
        self.open_gate();
        self.handle_transmitted(now, written.saturating_sub(done));
    }

    /// Counts what the acknowledgement at the front of `input` is about as sent, transmitted and
    /// acknowledged, but for the last frame of it, with which the acknowledgement will do what is
    /// to be done. Returns the bytes of `frames` that are not to be kept.
    fn skip_acknowledged(&mut self, frames: &[u8], input: &[u8]) -> usize {
        let retained = self.tx.sent;
        // A key is taken from the ring when it is acknowledged.
        let Some(upto) = self.acknowledged_of(input).filter(|_| !self.identity.rotating) else {
            return 0;
        };
        if self.tx.sent as usize != self.ring.len() {
            return 0;
        }
        let (mut end, mut last, mut count) = (0, 0, 0u32);
        while let Some(rest) = frames.get(end..upto)
            && let Some((head, _)) = rest.split_first_chunk::<HEADER_LEN>()
        {
            let header = Header::from_bytes(*head);
            let size = header.frame_size();
            let (run, more) = run_of(rest.get(size..).unwrap_or_default(), header, rest.len());
            last = end + run;
            end = last + size;
            count = count.wrapping_add(1 + more);
        }
        // An acknowledgement in the middle of a frame is for `handle_input` to find.
        if end != upto || last == 0 {
            return 0;
        }
        self.tx.acknowledge(retained);
        self.ring.drop_front(retained as usize);
        self.tx.acked += last as u64;
        self.stats.messages_out = self.stats.messages_out.wrapping_add(count.wrapping_sub(1));
        last
    }

    /// How far behind what the ring retains the acknowledgement at the front of `input` is.
    fn acknowledged_of(&self, input: &[u8]) -> Option<usize> {
        let (head, body) = input.split_first_chunk::<HEADER_LEN>()?;
        let header = Header::from_bytes(*head);
        if header.op() != Some(Op::Ack) || header.frame_size() != HEADER_LEN + ACK_BODY {
            return None;
        }
        let ack = u32::from_le_bytes(*body.get(..ACK_BODY)?.first_chunk()?);
        #[expect(clippy::cast_possible_truncation, reason = "the wire carries the low half")]
        let distance = ack.wrapping_sub(self.tx.acked as u32) as usize;
        distance.checked_sub(self.ring.len())
    }
}

/// Bytes of an acknowledgement's body.
const ACK_BODY: usize = 8;
