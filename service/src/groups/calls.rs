//! What handles and peers do about groups: the same for a session and for a connection without
//! one, from whatever it is called.

/// Gives these calls to a type that is [`Sealed`](super::sealed::Sealed), which has to be in scope.
macro_rules! group_calls {
    ($(#[$about:meta])* $type:ty) => {
        $(#[$about])*
        impl $type {
            /// Puts the other end into a group, if the group's rule allows it; whether it was not
            /// in it before. It stays until it leaves or is over: a session also while it has no
            /// connection.
            ///
            /// # Errors
            ///
            /// [`GroupError::Denied`](crate::GroupError::Denied), which
            /// [limit](crate::GroupError::Limit) leaves no room, that the name is empty, that it is
            /// over or a client's.
            pub fn join_group(&self, group: &str) -> Result<bool, crate::GroupError> {
                let named = self.named().ok_or(crate::GroupError::NotServed)?;
                crate::Groups::ask_to_join(&named, group)
            }

            /// Takes the other end out of a group; whether it was in it.
            pub fn leave_group(&self, group: &str) -> bool {
                self.named().is_some_and(|named| named.quit(group))
            }

            /// The groups that the other end is in, in the order in which it joined them. At the
            /// last event of a session or a connection they are still those that it was in; it
            /// leaves them behind that.
            #[must_use]
            pub fn groups(&self) -> Vec<std::sync::Arc<str>> {
                self.named().map_or_else(Vec::new, |named| named.joined())
            }

            /// Sends a one-way message to everybody in a group but this one, without waiting for
            /// any of them, if the group's rule allows it.
            ///
            /// # Errors
            ///
            /// [`GroupError::Denied`](crate::GroupError::Denied), that the name cannot be one, or
            /// that no server has it. Who does not get the message is in the report.
            pub fn send_to_group(
                &self,
                group: &str,
                route: impl Into<outlast_core::wire::Route>,
                payload: &[u8],
            ) -> Result<crate::GroupReport, crate::GroupError> {
                let named = self.named().ok_or(crate::GroupError::NotServed)?;
                crate::Groups::ask_to_send(&named, group, route.into(), payload)
            }
        }
    };
}

pub(crate) use group_calls;
