//! What waits to be told.

use super::Session;
use crate::event::{Event, Side};
use crate::storage::Storage;

/// Events that wait to be told.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pending(u8);

impl Pending {
    pub(crate) const ATTACHED: Self = Self(1);
    pub(crate) const ACKNOWLEDGED: Self = Self(2);
    pub(crate) const WRITABLE: Self = Self(4);
    pub(crate) const DISCONNECTED: Self = Self(8);
    pub(crate) const ENDED: Self = Self(16);
    pub(crate) const LOST: Self = Self(32);
    /// Not an event: a send was refused for want of room.
    pub(crate) const BLOCKED: Self = Self(64);

    pub(crate) const KEY: Self = Self(128);

    const EVENTS: u8 = !Self::BLOCKED.0;

    #[inline]
    pub(crate) const fn any(self) -> bool {
        self.0 & Self::EVENTS != 0
    }

    pub(crate) const fn add(&mut self, what: Self) {
        self.0 |= what.0;
    }

    pub(crate) const fn take(&mut self, what: Self) -> bool {
        let had = self.0 & what.0 != 0;
        self.0 &= !what.0;
        had
    }
}

impl<S: Storage + ?Sized> Session<S> {
    /// The next event that waits to be told.
    pub(super) fn waiting_event<'b>(&mut self) -> Option<Event<'b>> {
        if !self.pending.any() {
            return None;
        }
        if self.pending.take(Pending::ATTACHED) {
            return Some(if self.stats.attaches <= 1 {
                Event::Opened
            } else {
                Event::Resumed { resent: self.tx.high.saturating_sub(self.tx.sent).into() }
            });
        }
        if self.pending.take(Pending::ACKNOWLEDGED) {
            return Some(Event::Acknowledged { position: self.acknowledged() });
        }
        if self.pending.take(Pending::KEY) {
            return Some(Event::KeyConfirmed { key_id: self.identity.key_id });
        }
        if self.pending.take(Pending::WRITABLE) {
            return Some(Event::Writable);
        }
        if self.pending.take(Pending::ENDED) {
            return Some(Event::Ended);
        }
        //= CLS-13
        if self.pending.take(Pending::LOST) {
            let death = self.death()?;
            return Some(Event::Lost { code: death.code, peer_received: death.peer_received });
        }
        self.pending.take(Pending::DISCONNECTED);
        let closing = self.link.closing()?;
        Some(Event::Disconnected {
            code: closing.code,
            by: closing.by,
            retry_ms: if closing.by == Side::Peer { closing.retry_ms } else { 0 },
            no_retry: closing.no_retry,
        })
    }
}
