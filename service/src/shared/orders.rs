//! What handles and the server want of the owner, which it does when it next looks. Most sessions
//! are told nothing of the kind until they end.

use outlast_core::CloseCode;

use super::{Inner, Shared};

/// What the owner was asked to do.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// Another connection takes the session over.
    pub(crate) fence: bool,
    /// Nothing more will be sent.
    pub(crate) finish: bool,
    /// Close the connection and, if told so, end the session.
    pub(crate) close: Option<(CloseCode, bool)>,
    /// Announce that this end leaves: grace and spread in milliseconds.
    pub(crate) drain: Option<(u32, u32)>,
    /// When a closed connection's peer is to come again, in milliseconds.
    pub(crate) retry_ms: u32,
    /// Hand a snapshot in.
    pub(crate) snapshot: bool,
}

impl Shared {
    /// Has the owner look whether there is something to do.
    pub(crate) fn call(&self) {
        let mut inner = self.lock();
        inner.set_gate();
        self.notify(inner);
    }

    /// Nobody takes the session over any more.
    pub(crate) fn unfence(&self) {
        let mut inner = self.lock();
        if let Some(rare) = &mut inner.rare {
            rare.orders.fence = false;
        }
        self.notify(inner);
    }

    /// Gives the owner an order.
    pub(crate) fn order(&self, order: impl FnOnce(&mut Orders)) {
        let mut inner = self.lock();
        order(&mut inner.rare.get_or_insert_default().orders);
        inner.set_gate();
        self.notify(inner);
    }
}

impl Inner {
    /// What the owner is to do; it does not hear of it again, but that nothing more will be sent.
    pub(crate) fn take_orders(&mut self) -> Orders {
        let Some(rare) = &mut self.rare else {
            return Orders::default();
        };
        let finish = rare.orders.finish;
        std::mem::replace(&mut rare.orders, Orders { finish, ..Orders::default() })
    }

    /// Whether it was said that nothing more will be sent.
    pub(crate) fn is_finishing(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.orders.finish)
    }
}
