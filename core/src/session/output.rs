//! Bytes out: control frames first, at frame boundaries, then the ring.

use super::{Role, SendError, Session, UPKEEP};
use crate::code::CloseCode;
use crate::heartbeat::micros;
use crate::link::{Farewell, Owed};
use crate::state::{LinkState, Obstacle, StateError, Verb};
use crate::storage::Storage;
use crate::time::{Coarse, Instant};
use crate::wire::{
    Close, HEADER_LEN, Op, Probe, Route, encode_ack, encode_empty, encode_note, encode_probe,
};

/// What is to be written next: `control`, then the two runs of `ring`, in this order.
#[derive(Debug, Copy, Clone)]
pub struct Parts<'a> {
    /// Control frames, encoded into the buffer that was given. They are the driver's now: it must
    /// write all of them before it asks again.
    pub control: &'a [u8],
    /// Sequenced frames, borrowed from the ring. How many of these bytes were written is told with
    /// [`Session::handle_transmitted`].
    pub ring: [&'a [u8]; 2],
}

impl Parts<'_> {
    /// Whether there is nothing to write.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let [a, b] = self.ring;
        self.control.is_empty() && a.is_empty() && b.is_empty()
    }

    /// Bytes to write.
    #[must_use]
    pub const fn len(&self) -> usize {
        let [a, b] = self.ring;
        self.control.len() + a.len() + b.len()
    }
}

impl<S: Storage + ?Sized> Session<S> {
    /// Writes bytes for the peer into `out` and returns how many; zero if there are none.
    ///
    /// The driver must write all of them to the transport, in order, or detach. Frames of the
    /// application may be cut anywhere, control frames are not: `out` should have room for
    /// [`CONTROL_MAX`](super::CONTROL_MAX) bytes.
    #[inline]
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> usize {
        self.link.tick(now);
        let mut written = 0;
        if self.tx.sent < self.tx.frame_end {
            written = self.copy_ring(self.tx.frame_end, out);
            if self.tx.sent < self.tx.frame_end {
                return self.note_transmitted(written);
            }
        }
        if self.owes_control()
            && let Some(out) = out.get_mut(written..)
        {
            written += self.write_control(None, out);
        }
        if self.link.is_open() && !self.link.owed.any() {
            self.open_gate();
            if let Some(out) = out.get_mut(written..) {
                written += self.copy_ring(self.tx.gate, out);
            }
        }
        self.note_transmitted(written)
    }

    /// As [`poll_transmit`](Self::poll_transmit), but lends the application's frames instead of
    /// copying them. `control` should have room for [`CONTROL_MAX`](super::CONTROL_MAX) bytes.
    pub fn poll_transmit_parts<'a>(&'a mut self, now: Instant, control: &'a mut [u8]) -> Parts<'a> {
        self.link.tick(now);
        let due = self.owes_control();
        if self.tx.sent < self.tx.frame_end && due {
            // A frame is under way: it must end before a control frame can begin.
            let ring = self.ring_parts(self.tx.frame_end);
            return Parts { control: &[], ring };
        }
        let written = if due { self.write_control(None, control) } else { 0 };
        self.note_transmitted(written);
        let ring = if self.link.is_open() {
            self.open_gate();
            self.ring_parts(self.tx.gate)
        } else {
            [&[][..]; 2]
        };
        Parts { control: control.get(..written).unwrap_or_default(), ring }
    }

    /// `count` bytes of [`Parts::ring`] were written.
    pub fn handle_transmitted(&mut self, now: Instant, count: usize) {
        self.link.tick(now);
        let left = self.tx.gate.max(self.tx.frame_end).saturating_sub(self.tx.sent);
        self.advance_tx(u32::try_from(count).unwrap_or(u32::MAX).min(left));
        self.note_transmitted(count);
    }

    /// Writes a NOTE to `out`: a payload that is transmitted now or not at all, without a place in
    /// the session. Returns how many bytes it is; the driver must write them before anything else.
    ///
    /// It is zero while anything else waits to be transmitted, for a NOTE comes last: offer it
    /// again once [`poll_transmit`](Self::poll_transmit) has nothing more, or drop it. The peer may
    /// drop it as well, and charges each one: whoever sends more than 64 in a second for long is
    /// told to be [`CALM`](CloseCode::CALM).
    ///
    /// # Errors
    ///
    /// [`SendError::State`] if no connection is open, and [`SendError::TooLarge`] if it does not
    /// fit one frame or `out`.
    //= FRM-25
    pub fn note(
        &mut self,
        now: Instant,
        route: Route,
        payload: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SendError> {
        self.link.tick(now);
        if !self.link.is_open() {
            let state = Obstacle::Link(self.link.state);
            return Err(SendError::State(StateError::new(Verb::SendNote, state)));
        }
        let ahead = route.encoded_len();
        let limit = usize::from(self.peer.max_body).min(out.len().saturating_sub(HEADER_LEN));
        let limit = limit.saturating_sub(ahead);
        if payload.len() > limit {
            return Err(SendError::TooLarge { limit: u32::try_from(limit).unwrap_or(u32::MAX) });
        }
        if self.owes_control() || self.has_ring_output() {
            return Ok(0);
        }
        let written = encode_note(route, payload, out).unwrap_or_default();
        Ok(self.note_transmitted(written))
    }

    /// Whether there is something to transmit now.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.owes_control() || self.has_ring_output()
    }

    /// Whether the protocol has something to say now that is not the application's: an
    /// acknowledgement, a sign of life, a CLOSE.
    #[must_use]
    pub fn has_control_output(&self) -> bool {
        self.owes_control()
    }

    fn has_ring_output(&self) -> bool {
        if self.tx.sent < self.tx.frame_end {
            return self.link.is_open() || self.link.state == LinkState::Closing;
        }
        let sent = self.tx.sent as usize;
        if !self.link.is_open() || sent >= self.ring.len() {
            return false;
        }
        sent + self.ring.header_at(sent).frame_size() <= self.tx.credit() as usize
    }

    /// Whether an acknowledgement is due. One that will soon be goes with data that goes now, and
    /// saves a write.
    //= CRD-5
    fn owes_ack(&self) -> bool {
        let unreported = self.rx.unreported();
        unreported > 0
            && (unreported >= self.ack_threshold()
                || self.link.ack_at.is_some_and(|at| {
                    let soon = self.link.now.after(self.ack_delay() / 2);
                    at.is_due(self.link.now) || at.is_due(soon) && self.has_ring_output()
                }))
    }

    /// A quarter of the window, or half of what the peer can keep, whichever is less.
    fn ack_threshold(&self) -> u32 {
        (self.window.size() / 4).min(self.peer.send_buffer / 2).max(1)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn owes_control(&self) -> bool {
        match self.link.state {
            LinkState::Open | LinkState::Draining => self.link.owed.any() || self.owes_ack(),
            LinkState::Closing => self.link.owed.has(Owed::CLOSE),
            LinkState::Idle | LinkState::Wait | LinkState::Auth | LinkState::Closed => false,
        }
    }

    /// Copies ring bytes up to position `to`; returns how many.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    #[expect(clippy::cast_possible_truncation, reason = "the ring is shorter than 2^30 bytes")]
    pub(super) fn copy_ring(&mut self, to: u32, out: &mut [u8]) -> usize {
        if to <= self.tx.sent {
            return 0;
        }
        let count = self.ring.copy_out(self.tx.sent as usize, to as usize, out);
        self.advance_tx(count as u32);
        count
    }

    fn ring_parts(&self, to: u32) -> [&[u8]; 2] {
        self.ring.slices(self.tx.sent as usize, to as usize)
    }

    /// Moves the gate to the last frame boundary within the peer's credit.
    //= CRD-2
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the ring is shorter than 2^30 bytes")]
    pub(super) fn open_gate(&mut self) {
        let (end, credit) = (self.ring.len(), self.tx.credit() as usize);
        self.tx.gate = if end <= credit {
            end as u32
        } else {
            self.ring.boundary(self.tx.gate as usize, end, credit) as u32
        };
    }

    /// Bytes up to here are on the present connection.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the ring is shorter than 2^30 bytes")]
    fn advance_tx(&mut self, count: u32) {
        if count == 0 {
            return;
        }
        if self.link.progress_at.is_none() {
            self.link.progress_at = Some(Coarse::after(self.link.now));
        }
        //= POS-6
        self.tx.sent += count;
        self.tx.high = self.tx.high.max(self.tx.sent);
        if self.tx.sent == self.tx.gate {
            self.tx.frame_end = self.tx.sent;
        } else if self.tx.sent > self.tx.frame_end {
            let (from, to) = (self.tx.frame_end as usize, self.tx.sent as usize);
            self.tx.frame_end = self.ring.boundary(from, to, usize::MAX) as u32;
        }
    }

    pub(super) fn note_transmitted(&mut self, count: usize) -> usize {
        if count > 0 {
            self.link.heartbeat.transmitted_at = Coarse::before(self.link.now);
        }
        count
    }

    /// Encodes control frames in their order of precedence, as many as fit.
    //= FRM-14
    #[cold]
    pub(super) fn write_control(&mut self, address: Option<&[u8]>, out: &mut [u8]) -> usize {
        let mut out = Writer { out, written: 0 };
        if self.link.owed.has(Owed::CLOSE) {
            self.write_close(&mut out);
            return out.written;
        }
        if !self.link.is_open() {
            return 0;
        }
        let unreported = self.rx.unreported();
        if (self.link.owed.has(Owed::ACK) || unreported > 0)
            && self.window.wants_sample(self.link.now, unreported)
            && !self.link.heartbeat.is_probing()
        {
            self.link.owed.add(Owed::PING);
            self.window.sample(self.rx.next);
        }
        if self.link.owed.has(Owed::PONG) && out.has_room(20) {
            self.write_probe(Op::Pong, self.link.heartbeat.answer, &mut out);
            self.link.owed.remove(Owed::PONG);
        }
        if self.link.owed.has(Owed::PING) && out.has_room(20) {
            let nonce = self.link.heartbeat.probe(self.link.now);
            self.write_probe(Op::Ping, nonce, &mut out);
            self.link.owed.remove(Owed::PING);
            self.stats.pings_out = self.stats.pings_out.wrapping_add(1);
        }
        if (self.link.owed.has(Owed::ACK) || self.rx.unreported() > 0) && out.has_room(12) {
            let (ack, limit) = self.report();
            out.put(&encode_ack(ack, limit));
            self.link.owed.remove(Owed::BEAT);
            self.stats.acks_out = self.stats.acks_out.wrapping_add(1);
        }
        if UPKEEP && self.link.owed.has(Owed::DRAIN) {
            self.write_drain(address, &mut out);
        }
        if self.link.owed.has(Owed::BEAT) && out.has_room(4) {
            out.put(&encode_empty(Op::Pong));
            self.link.owed.remove(Owed::BEAT);
            self.stats.beats_out = self.stats.beats_out.wrapping_add(1);
        }
        out.written
    }

    /// Nothing that this writes is without a sign of life and an acknowledgement.
    #[inline(never)]
    fn write_probe(&mut self, op: Op, nonce: u32, out: &mut Writer<'_>) {
        #[expect(clippy::cast_possible_truncation, reason = "the wire carries the low half")]
        let tx = (self.tx.acked as u32).wrapping_add(self.tx.sent);
        let (ack, limit) = self.report();
        out.put(&encode_probe(op, Probe { nonce, tx, ack, limit }));
        self.link.owed.remove(Owed::BEAT);
    }

    fn write_drain(&mut self, address: Option<&[u8]>, out: &mut Writer<'_>) {
        if let Some(leaving) = self.link.leaving()
            && out.with(|free| self.encode_drain(leaving, address, free))
        {
            let grace_until = self.link.now.after(micros(leaving.grace_ms)).into();
            self.link.farewell = Farewell::Left { grace_until };
            self.link.owed.remove(Owed::DRAIN);
            self.link.owed.remove(Owed::BEAT);
        }
    }

    fn write_close(&mut self, out: &mut Writer<'_>) {
        let Some(closing) = self.link.closing() else {
            self.link.owed.remove(Owed::CLOSE);
            return;
        };
        let knows = self.id().is_some();
        let close = Close {
            flags: closing.flags,
            retry_ms: closing.retry_ms,
            rx_next: knows.then_some(self.rx.next),
            versions: (closing.code == CloseCode::VERSION)
                .then_some((crate::wire::VERSION, crate::wire::VERSION)),
            ..Close::new(closing.code)
        };
        if out.with(|free| close.encode(free)) {
            //= CLS-7
            self.link.owed = Owed::NOTHING;
        }
    }

    /// What the peer is told about its sending; from now on it counts as told.
    //= CRD-3
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn report(&mut self) -> (u32, u32) {
        self.grant_window();
        self.link.ack_at = None;
        self.link.owed.remove(Owed::ACK);
        //= POS-12
        //= CRD-8
        (self.rx.report(), self.rx.limit)
    }

    pub(crate) const fn is_client(&self) -> bool {
        matches!(self.identity.role, Role::Client)
    }
}

/// A buffer that takes whole frames or nothing.
struct Writer<'o> {
    out: &'o mut [u8],
    written: usize,
}

impl Writer<'_> {
    const fn has_room(&self, size: usize) -> bool {
        self.out.len() - self.written >= size
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn put(&mut self, frame: &[u8]) {
        let free = self.out.get_mut(self.written..).unwrap_or_default();
        if let Some(slot) = free.get_mut(..frame.len()) {
            slot.copy_from_slice(frame);
            self.written += frame.len();
        }
    }

    /// Lets `encode` write a frame into what is free; whether it did.
    fn with(&mut self, encode: impl FnOnce(&mut [u8]) -> Option<usize>) -> bool {
        let free = self.out.get_mut(self.written..).unwrap_or_default();
        match encode(free) {
            Some(size) => {
                self.written += size;
                true
            }
            None => false,
        }
    }
}
