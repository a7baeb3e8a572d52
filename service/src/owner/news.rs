//! What an owner has to tell the registry of its server.

use super::Owner;
use crate::handler::Handler;

/// What a server's registry has to know about a session.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The client was heard after WELCOME.
    pub(crate) confirmed: bool,
    /// The client has the key with this number.
    pub(crate) key: Option<u8>,
}

/// Whether a session's client was heard.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    NotYet,
    /// The registry does not know of it.
    Untold,
    Told,
}

impl<H: Handler> Owner<H> {
    /// What the registry has to know, if there is something new.
    pub(crate) fn take_news(&mut self) -> Option<News> {
        self.heed_confirmation();
        let confirmed = self.heard == Heard::Untold;
        if !confirmed && self.new_key.is_none() {
            return None;
        }
        if confirmed {
            self.heard = Heard::Told;
        }
        Some(News { confirmed, key: self.new_key.take() })
    }

    /// Once in a session its registry has to know that the client was heard.
    //= REG-8
    #[inline]
    pub(crate) fn heed_confirmation(&mut self) {
        if self.heard == Heard::NotYet && self.session.is_confirmed() {
            (self.heard, self.rx_unknown) = (Heard::Untold, false);
        }
    }
}
