//! What waits to be told.

use super::Session;
use crate::event::{Event, Side};
use crate::storage::Storage;
use crate::wire::CloseFlags;

/// Events that wait to be told, the first of them in the lowest bit.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Pending(u8);

impl Pending {
    pub(crate) const ATTACHED: Self = Self(1);
    pub(crate) const ACKNOWLEDGED: Self = Self(2);
    pub(crate) const KEY: Self = Self(4);
    pub(crate) const WRITABLE: Self = Self(8);
    pub(crate) const ENDED: Self = Self(16);
    pub(crate) const LOST: Self = Self(32);
    pub(crate) const DISCONNECTED: Self = Self(64);
    /// Not an event: a send was refused for want of room.
    pub(crate) const BLOCKED: Self = Self(128);

    const EVENTS: u8 = !Self::BLOCKED.0;

    #[inline]
    pub(crate) const fn any(self) -> bool {
        self.0 & Self::EVENTS != 0
    }

    /// The one to be told first.
    const fn first(self) -> Self {
        Self(self.0 & self.0.wrapping_neg())
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
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn tell_waiting(&mut self, told: &mut Option<Event<'_>>) {
        *told = self.waiting_event();
    }

    fn waiting_event<'b>(&mut self) -> Option<Event<'b>> {
        let first = self.pending.first();
        self.pending.take(first);
        Some(match first {
            Pending::ATTACHED if self.stats.attaches <= 1 => Event::Opened,
            Pending::ATTACHED => {
                Event::Resumed { resent: self.tx.high.saturating_sub(self.tx.sent).into() }
            }
            Pending::ACKNOWLEDGED => Event::Acknowledged { position: self.acknowledged() },
            Pending::KEY => Event::KeyConfirmed { key_id: self.identity.key_id },
            Pending::WRITABLE => Event::Writable,
            Pending::ENDED => Event::Ended,
            //= CLS-13
            Pending::LOST => {
                let death = self.death()?;
                Event::Lost { code: death.code, peer_received: death.peer_received }
            }
            _ => {
                let closing = self.link.closing()?;
                Event::Disconnected {
                    code: closing.code,
                    by: closing.by,
                    retry_ms: if closing.by == Side::Peer { closing.retry_ms } else { 0 },
                    no_retry: closing.flags.contains(CloseFlags::NO_RETRY),
                }
            }
        })
    }
}
