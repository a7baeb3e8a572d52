//! Groups, from handlers of a router.

use super::link::Link;
use crate::groups::sealed::Sealed;
use crate::groups::{Named, group_calls};

impl Sealed for Link {
    fn named(&self) -> Option<Named> {
        #[cfg(feature = "formats")]
        if let Some(connection) = self.plain() {
            return connection.named();
        }
        self.session()?.share().named()
    }
}

group_calls! {
    /// The other end of a session, or of a connection without one, in groups.
    Link
}
