//! Groups, from handlers of a router.

use std::sync::Arc;

use outlast_core::wire::Route;

use super::link::Link;
use crate::groups::{GroupError, GroupReport, Groups, Named};

/// The other end of a session, or of a connection without one, in groups.
impl Link {
    /// Puts it into a group: see [`Handle::join_group`](crate::Handle::join_group).
    ///
    /// # Errors
    ///
    /// As [`Handle::join_group`](crate::Handle::join_group).
    pub fn join_group(&self, group: &str) -> Result<bool, GroupError> {
        Groups::ask_to_join(&self.named().ok_or(GroupError::NotServed)?, group)
    }

    /// Takes it out of a group; whether it was in it.
    pub fn leave_group(&self, group: &str) -> bool {
        self.named().is_some_and(|named| named.quit(group))
    }

    /// The groups that it is in, in the order in which it joined them.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.named().map_or_else(Vec::new, |named| named.joined())
    }

    /// Sends a one-way message to everybody in a group but this one: see
    /// [`Handle::send_to_group`](crate::Handle::send_to_group).
    ///
    /// # Errors
    ///
    /// As [`Handle::send_to_group`](crate::Handle::send_to_group).
    pub fn send_to_group(
        &self,
        group: &str,
        route: impl Into<Route>,
        payload: &[u8],
    ) -> Result<GroupReport, GroupError> {
        let named = self.named().ok_or(GroupError::NotServed)?;
        Groups::ask_to_send(&named, group, route.into(), payload)
    }

    fn named(&self) -> Option<Named> {
        #[cfg(feature = "formats")]
        if let Some(connection) = self.plain() {
            return crate::groups::sealed::Sealed::named(connection);
        }
        self.session()?.share().named()
    }
}
