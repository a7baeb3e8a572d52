//! What handles may queue for a session: frames, and newest values that wait for their turn.

use std::task::Waker;

use outlast_core::wire::{HEADER_LEN, Header, Op, Route};
use outlast_core::{CloseCode, Head};

use super::{Inner, Orders, Rare, Waiting};
use crate::encode;
use crate::error::SendError;
use crate::memory::FREE;
use crate::outgoing::WhenFull;
use crate::snapshots::Ticket;
use crate::waiters::Key;

/// Routes of which only the newest value waits.
const LATEST_MAX: usize = 256;

impl Rare {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.late.is_empty()
            && self.latest.is_empty()
            && self.ticket.is_none()
            && self.orders == Orders::default()
    }
}

impl Inner {
    /// Sums up whether anything may be staged, for the short path.
    pub(super) fn set_gate(&mut self) {
        let may = !self.open && !self.over && !self.is_finishing() && self.facts.has_sid;
        self.gate = if may && !self.ground.is_full() { self.granted.max(FREE as u32) } else { 0 };
    }

    /// Whether a frame with a body of `body` bytes can be staged.
    #[inline]
    pub(crate) fn check(&mut self, body: usize) -> Result<(), SendError> {
        if body <= self.facts.max_body.into()
            && self.staged.len() + HEADER_LEN + body <= self.gate as usize
        {
            return Ok(());
        }
        self.explain(body)
    }

    #[cold]
    fn explain(&mut self, body: usize) -> Result<(), SendError> {
        self.check_generation(self.generation).map_err(SendError::Closed)?;
        if self.is_finishing() {
            return Err(SendError::Finished);
        }
        if !self.facts.has_sid {
            return Err(SendError::NotOpen);
        }
        let limit = self.facts.max_body.into();
        if body > limit {
            return Err(SendError::TooLongForFrame { limit });
        }
        let size = self.staged.len() + HEADER_LEN + body;
        if self.open || size > self.ground.outgoing.queue || !self.grant(size) {
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// Lets the queue become so long, if there is memory for it.
    fn grant(&mut self, size: usize) -> bool {
        if self.ground.is_full() {
            return false;
        }
        if size > FREE.max(self.granted as usize) {
            let wanted = size.next_power_of_two().min(self.ground.outgoing.queue);
            // A queue is at most 1 GiB long.
            self.count(u32::try_from(wanted).unwrap_or(u32::MAX));
        }
        self.set_gate();
        true
    }

    /// The queue is empty: nothing of it counts any more.
    pub(super) fn give_back(&mut self) {
        if self.granted > 0 {
            self.count(0);
        }
        self.set_gate();
    }

    /// So many bytes of the queue are counted from now on. Those who wait for them are told when
    /// the lock is let go.
    fn count(&mut self, granted: u32) {
        if let Some(memory) = &self.ground.memory {
            self.has_freed |= memory.change(self.granted as usize, granted as usize);
        }
        self.granted = granted;
    }

    /// Bytes that handles have queued and the owner has not taken.
    pub(crate) const fn staged_len(&self) -> usize {
        self.staged.len()
    }

    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty() || self.asked.as_ref().is_some_and(|asked| asked.has_marks())
    }

    /// Stages one frame that was checked.
    #[inline]
    pub(crate) fn stage(&mut self, header: Header, front: &[u8], payload: &[u8]) {
        let size = HEADER_LEN + front.len() + payload.len();
        self.staged.reserve(size);
        self.staged.extend_from_slice(&header.to_bytes());
        if !front.is_empty() {
            self.staged.extend_from_slice(front);
        }
        self.staged.extend_from_slice(payload);
        self.staged_total += size as u64;
    }

    /// Stages a one-way message if nothing at all stands against it: the short path.
    #[inline(always)]
    pub(crate) fn stage_short(&mut self, route: Route, payload: &[u8]) -> bool {
        let size = HEADER_LEN + payload.len();
        if route.encoded_len() != 0
            || payload.len() > self.facts.max_body.into()
            || self.staged.len() + size > self.gate as usize
        {
            return false;
        }
        let header = Header::new(Op::Message, route.tag(), payload.len() as u16);
        self.staged.reserve(size);
        self.staged.extend_from_slice(&header.to_bytes());
        self.staged.extend_from_slice(payload);
        self.staged_total += size as u64;
        true
    }

    /// Stages a one-way message that fits a frame.
    pub(crate) fn stage_message(&mut self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        let bytes = route.to_bytes();
        let front = &bytes[..route.encoded_len()];
        let body = front.len() + payload.len();
        let limit = self.facts.max_message as usize;
        self.check(body).map_err(|error| match error {
            SendError::TooLongForFrame { .. } if payload.len() > limit => {
                SendError::TooLarge { limit }
            }
            error => error,
        })?;
        self.stage(Header::new(Op::Message, route.tag(), body as u16), front, payload);
        Ok(())
    }

    /// A message found no room and nobody waits for some: does what is to be done then.
    pub(crate) fn overflow(
        &mut self,
        when_full: WhenFull,
        route: Route,
        payload: &[u8],
    ) -> Result<(), SendError> {
        self.turned_down += 1;
        let size = HEADER_LEN + route.encoded_len() + payload.len();
        match when_full {
            WhenFull::Refuse => Err(SendError::Full),
            WhenFull::DropNewest => Ok(()),
            // That others take too much memory, or a long one is under way, is not its fault.
            WhenFull::Disconnect if self.staged.len() + size <= self.ground.outgoing.queue => {
                Err(SendError::Full)
            }
            WhenFull::Disconnect => {
                let orders = &mut self.rare.get_or_insert_default().orders;
                orders.close = Some((CloseCode::EVICTED, true));
                Err(SendError::Full)
            }
        }
    }

    /// Keeps the newest value of `route` until there is nothing before it.
    pub(crate) fn keep_latest(&mut self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        match self.check(route.encoded_len() + payload.len()) {
            Ok(()) | Err(SendError::Full) => {}
            Err(error) => return Err(error),
        }
        let latest = &mut self.rare.get_or_insert_default().latest;
        if let Some((_, value)) = latest.iter_mut().find(|(of, _)| *of == route) {
            value.clear();
            value.extend_from_slice(payload);
            return Ok(());
        }
        if latest.len() >= LATEST_MAX {
            return Err(SendError::Full);
        }
        latest.push((route, payload.to_vec()));
        Ok(())
    }

    /// Stages the newest values, because everything before them is with the transport; whether some
    /// are left.
    pub(crate) fn stage_latest(&mut self, is_time: bool) -> bool {
        if self.over || self.rare.as_ref().is_none_or(|rare| rare.latest.is_empty()) {
            return false;
        }
        if !is_time || self.open {
            return true;
        }
        let Some(rare) = &mut self.rare else {
            return false;
        };
        let mut latest = std::mem::take(&mut rare.latest);
        // They were given before it was said that nothing more would come.
        let finish = std::mem::replace(&mut rare.orders.finish, false);
        self.set_gate();
        let staged = latest.iter().take_while(|(route, value)| {
            // A session that is over takes none.
            self.stage_message(*route, value).is_ok()
        });
        let staged = staged.count();
        latest.drain(..staged);
        let left = !latest.is_empty();
        let rare = self.rare.get_or_insert_default();
        (rare.latest, rare.orders.finish) = (latest, finish);
        self.set_gate();
        left
    }

    /// Adds what the owner has not taken: what is staged, and the newest values behind it.
    pub(crate) fn copy_staged(&self, queued: &mut Vec<u8>) {
        queued.extend_from_slice(&self.staged);
        let latest = self.rare.iter().flat_map(|rare| &rare.latest);
        for (route, value) in latest {
            let max_body = self.facts.max_body;
            encode::long(queued, Head::Message { route: *route }, value, max_body);
        }
    }

    /// Somebody wants a snapshot. Returns a wish that nobody will see to: an earlier one that
    /// nobody has looked at yet, or this one if the session is over.
    pub(crate) fn leave_ticket(&mut self, ticket: Ticket) -> Option<Ticket> {
        if self.over {
            return Some(ticket);
        }
        let rare = self.rare.get_or_insert_default();
        rare.orders.snapshot = true;
        rare.ticket.replace(ticket)
    }

    /// The wish for a snapshot, if there is one.
    pub(crate) fn take_ticket(&mut self) -> Option<Ticket> {
        self.rare.as_mut().and_then(|rare| rare.ticket.take())
    }

    /// Calls `waker`, which is the owner's, when there is memory for newest values that have none.
    pub(super) fn wait_for_latest(&mut self, waker: &Waker) {
        let Some(rare) = self.rare.as_mut().filter(|rare| !rare.latest.is_empty()) else {
            return;
        };
        if let Some(memory) = self.ground.memory.as_ref().filter(|memory| memory.is_full()) {
            self.has_freed |= memory.wait(&mut rare.latest_turn, waker);
        }
    }

    /// Calls `waker` when there is room or the session is over, unless `waiting` is dropped first.
    pub(crate) fn wait_for_room(&mut self, waiting: &mut Waiting<'_>, waker: &Waker) {
        if let Some(memory) = self.ground.memory.as_ref().filter(|memory| memory.is_full()) {
            self.has_freed |= memory.wait(&mut waiting.memory, waker);
        }
        self.rare.get_or_insert_default().waiting.wait(&mut waiting.room, waker);
    }

    /// Who waits there does not any more. The waker is for the caller to drop, without the lock.
    pub(super) fn leave_room(&mut self, key: Key) -> Option<Waker> {
        self.rare.as_mut()?.waiting.leave(key)
    }
}
