//! Groups, from handlers of a router.

use std::sync::Arc;

use outlast_core::wire::Route;

use super::link::Link;
use crate::groups::{GroupError, GroupReport};

/// The other end of a session, in groups.
impl Link {
    /// Puts the session into a group: see [`Handle::join_group`](crate::Handle::join_group).
    ///
    /// # Errors
    ///
    /// As [`Handle::join_group`](crate::Handle::join_group).
    pub fn join_group(&self, group: &str) -> Result<bool, GroupError> {
        self.session().ok_or(GroupError::NotServed)?.join_group(group)
    }

    /// Takes the session out of a group; whether it was in it.
    pub fn leave_group(&self, group: &str) -> bool {
        self.session().is_some_and(|session| session.leave_group(group))
    }

    /// The groups that the session is in, in the order in which it joined them.
    #[must_use]
    pub fn groups(&self) -> Vec<Arc<str>> {
        self.session().map_or_else(Vec::new, |session| session.groups())
    }

    /// Sends a one-way message to everybody in a group but this session: see
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
        let session = self.session().ok_or(GroupError::NotServed)?;
        session.send_to_group(group, route, payload)
    }
}
