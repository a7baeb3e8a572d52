//! Leaving: DRAIN, and the requests that come too late for it.

use super::input::Taken;
use super::{Open, Session};
use crate::code::CloseCode;
use crate::event::{Event, Head};
use crate::link::{Leaving, Marks, Owed};
use crate::state::{LinkEvent, LinkState, Obstacle, StateError, Verb};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{Drain, HEADER_LEN, Header, Op, RequestId, Status};

/// Longest address that DRAIN can carry.
const ADDRESS_MAX: usize = 255;
/// Bytes of a response without payload.
const REFUSAL_SIZE: usize = HEADER_LEN + 2;

impl<S: Storage + ?Sized> Session<S> {
    /// Announces that this end will leave: `grace_ms` for new requests, and connections moving away
    /// over `spread_ms`.
    ///
    /// Requests that arrive on this connection after the grace are answered with
    /// [`Status::REFUSED`] by the session itself.
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

    /// What DRAIN says now: without an address where that would be too long for the peer.
    //= CLS-16
    pub(super) fn encode_drain(
        &self,
        leaving: Leaving,
        address: Option<&[u8]>,
        out: &mut [u8],
    ) -> Option<usize> {
        let Leaving { code, grace_ms, spread_ms } = leaving;
        let plain = Drain { code, grace_ms, spread_ms, address: None };
        let longest = HEADER_LEN + usize::from(self.peer.max_body);
        let full = out
            .get_mut(..longest.min(out.len()))
            .and_then(|out| Drain { address, ..plain }.encode(out));
        full.or_else(|| plain.encode(out))
    }

    /// The peer will leave: a client goes too, at a random time within the spread.
    //= CLS-9
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn handle_drain(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        frame.header.check_tag()?;
        let Drain { code, grace_ms, spread_ms, address } = Drain::decode(frame.body)?;
        if self.link.marks.has(Marks::HEARD_DRAIN) {
            return Ok(());
        }
        self.link.marks.set(Marks::HEARD_DRAIN, true);
        self.link.step(LinkEvent::Drain);
        if self.is_client() {
            let seed = u64::from(self.link.heartbeat.seed());
            let spread = u64::from(spread_ms) * 1_000;
            self.link.deadline = Some(self.link.now.after((spread * seed) >> 32));
        }
        *frame.told = Some(Event::Draining { code, grace_ms, spread_ms, address });
        Ok(())
    }

    /// Whether a request that begins to arrive now is too late. Behind FIN nothing is refused
    /// either: that would be an answer.
    #[inline]
    pub(super) fn comes_too_late(&self) -> bool {
        matches!(self.link.state, LinkState::Draining) && self.is_grace_over()
    }

    #[cold]
    fn is_grace_over(&self) -> bool {
        self.link.grace_until().is_some_and(|until| until <= self.link.now) && !self.tx.finished
    }

    /// A request came after the grace: it is open, and the application never hears of it.
    //= CLS-10
    //= REQ-10
    #[cold]
    pub(super) fn refuse_request(
        &mut self,
        head: Head,
        payload: &[u8],
        more: bool,
    ) -> Result<(), CloseCode> {
        let total = self.check_head(payload)?;
        self.charge(1)?;
        if let Head::Request { id, .. } = head
            && !(self.set_open_in(id, true) && self.set_refused(id, true))
        {
            return Err(CloseCode::INTERNAL);
        }
        self.begin_in(head, total, more);
        self.tx.refusals |= !more;
        Ok(())
    }

    /// The request whose fragments come, if that is to be refused.
    pub(super) fn refused_in(&self, open: Option<Open>) -> Option<RequestId> {
        match open?.head {
            Head::Request { id, .. } => self.is_refused(id).then_some(id),
            Head::Message { .. } | Head::Response { .. } => None,
        }
    }

    /// Answers requests that are to be refused, as far as there is room. What is owed is a bit for
    /// each of them and waits for the next acknowledgement, not for the peer.
    #[cold]
    pub(super) fn send_refusals(&mut self) {
        if !self.tx.refusals || self.open_out.is_some() || self.tx.finished || !self.is_live() {
            return;
        }
        let coming = self.refused_in(self.open_in);
        for id in (0..self.config.max_requests).map(RequestId) {
            if self.ring.room() < REFUSAL_SIZE {
                return;
            }
            if !self.is_refused(id) || coming == Some(id) {
                continue;
            }
            let header = Header::new(Op::Response, Status::REFUSED.0, 2);
            if self.ring.push(header, &id.0.to_le_bytes(), &[]).is_err() {
                return;
            }
            self.set_refused(id, false);
            self.set_open_in(id, false);
            self.count_sent(true);
        }
        self.tx.refusals = false;
    }
}
