//! How an owner takes what handles staged and ordered, and moves it into the session.

use std::task::Waker;

use outlast_core::{Instant, Release};

use super::Owner;
use crate::handler::{Handler, Incoming};
use crate::shared::{Orders, Staged};

impl<H: Handler> Owner<H> {
    /// Takes what handles staged and ordered since the last time.
    pub(crate) fn take_orders(&mut self, now: Instant) -> Orders {
        // Two pieces of memory take turns, so that neither is had anew for every read.
        let spare = self.rare.as_mut().map(|rare| rare.queues.take_spare()).unwrap_or_default();
        let mut taken = Staged { frames: spare, ..Staged::default() };
        let caught_up = self.has_caught_up();
        let (orders, late, wake) = {
            let mut inner = self.shared.lock_clean();
            // The last of them need not be newer than anything.
            let is_time = caught_up || inner.is_finishing();
            self.left_latest = inner.stage_latest(is_time);
            let limit = self.shared.ground.outgoing.queue;
            let room = self.rare.as_ref().is_none_or(|rare| rare.queues.has_room(limit));
            self.left_staged = inner.has_staged() && !room;
            let wake =
                if inner.has_staged() && room { inner.take_staged(&mut taken) } else { Vec::new() };
            (inner.take_orders(), inner.take_late_answers(), wake)
        };
        wake.into_iter().for_each(Waker::wake);
        if !taken.is_empty() {
            self.rare.get_or_insert_default().queues.stage(taken);
        } else if let Some(rare) = &mut self.rare {
            rare.queues.return_spare(taken.frames);
        }
        for (id, status) in late {
            self.respond(now, id, status);
        }
        self.finish |= orders.finish;
        if let Some((code, true)) = orders.close {
            self.ordered_end = Some(code);
        }
        orders
    }

    /// Bytes of memory that only traffic needs.
    pub(super) fn held_bytes(&self) -> usize {
        self.session.held_bytes() + self.rare.as_ref().map_or(0, |rare| rare.held_bytes())
    }

    /// Says how much memory it holds, if that has changed. What it was lent counts, too: it may
    /// have to hold that for itself at any time.
    #[inline]
    pub(crate) fn count_memory(&mut self, lent: usize) {
        // More than 4 GiB in one session count as so much.
        let held = u32::try_from(self.held_bytes() + lent).unwrap_or(u32::MAX);
        if held != self.counted {
            if let Some(memory) = &self.shared.ground.memory
                && memory.change(self.counted as usize, held as usize)
            {
                memory.tell();
            }
            self.counted = held;
        }
    }

    /// Whether everything that was sent is with the transport.
    fn has_caught_up(&self) -> bool {
        let queues_empty = self.rare.as_ref().is_none_or(|rare| rare.queues.is_empty());
        queues_empty && self.session.sent() <= self.session.transmitted()
    }

    /// Whether newest values that were left where they are can be taken now.
    fn wants_latest(&self) -> bool {
        // Whoever is in the middle of a long message says when it is not any more.
        self.left_latest
            && self.has_caught_up()
            && !self.shared.ground.is_full()
            && !self.shared.lock().is_open()
    }

    /// What there was is with the transport, or as much as it takes now.
    pub(crate) fn written(&self, blocked: bool) {
        if self.wants_latest() {
            self.shared.call();
        }
        if self.over && !blocked {
            self.said_all();
        }
    }

    /// Whether handles' frames that were left staged can be taken now.
    pub(crate) fn wants_staged(&self) -> bool {
        let limit = self.shared.ground.outgoing.queue;
        self.left_staged && self.rare.as_ref().is_none_or(|rare| rare.queues.has_room(limit))
    }

    /// There is room again: for what waits here first, and for the handler when nothing does.
    pub(super) fn writable(&mut self, now: Instant) {
        match &mut self.rare {
            Some(rare) if !rare.queues.is_empty() => rare.queues.refused = true,
            _ => self.tell(now, Incoming::Writable),
        }
    }

    /// Tells a handler that was refused because of what waited that nothing does any more, and
    /// moves on what it sends.
    #[cold]
    fn tell_refused(&mut self, now: Instant) {
        // Whenever it is refused again it has sent something, for which there is only so much room.
        while let Some(rare) = self.rare.as_deref_mut()
            && rare.queues.refused
            && rare.queues.is_empty()
            && !self.session.has_open_message()
        {
            rare.queues.refused = false;
            self.tell(now, Incoming::Writable);
            if let Some(rare) = self.rare.as_deref_mut().filter(|rare| rare.queues.wants_flush()) {
                rare.queues.flush(&mut self.session);
            }
        }
    }

    /// Moves what waits into the session, as far as there is room, and returns credit if there is.
    pub(crate) fn settle(&mut self, now: Instant) {
        if let Some(rare) = self.rare.as_deref_mut().filter(|rare| rare.queues.wants_flush()) {
            rare.queues.flush(&mut self.session);
            self.taken(self.session.acknowledged());
            self.tell_refused(now);
        }
        let all_sent = self.rare.as_ref().is_none_or(|rare| rare.queues.is_empty());
        let all_sent = all_sent && !self.left_staged && !self.left_latest;
        if self.finish && all_sent && self.session.finish().is_ok() {
            self.finish = false;
        }
        // Never held back for want of room: two ends that did so would wait for each other. What
        // waits for room is bounded by the requests that may be open.
        //= CRD-10
        let received = self.session.received();
        let automatic = (self.release == Release::Automatic).then_some(received);
        let by_hand = Some(self.taken_by_hand).filter(|taken| taken.get() > 0);
        if let Some(taken) = self.handler.taken(received).or(automatic).or(by_hand)
            && self.may_release(now)
        {
            self.session.release(now, taken.min(received));
        }
    }
}
