//! Leaving: DRAIN, said and heard, and the requests that come too late for it. The verb is in
//! `upkeep.rs`.

use super::input::Taken;
use super::{Open, Session, UPKEEP};
use crate::code::CloseCode;
use crate::event::{Event, Head};
use crate::link::{Leaving, Marks};
use crate::state::{LinkEvent, LinkState};
use crate::storage::Storage;
use crate::wire::{Drain, HEADER_LEN, Header, Op, RequestId, Status};

/// Bytes of a response without payload.
const REFUSAL_SIZE: usize = HEADER_LEN + 2;

impl<S: Storage + ?Sized> Session<S> {
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
        UPKEEP && matches!(self.link.state, LinkState::Draining) && self.is_grace_over()
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

    /// Whether requests of the peer's are to be refused.
    #[inline]
    pub(super) const fn owes_refusals(&self) -> bool {
        UPKEEP && self.tx.refusals
    }

    /// Answers requests that are to be refused, as far as there is room. What is owed is a bit for
    /// each of them and waits for the next acknowledgement, not for the peer.
    #[cold]
    pub(super) fn send_refusals(&mut self) {
        if !self.owes_refusals() || self.open_out.is_some() || self.tx.finished || !self.is_live() {
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
