//! What a connection does, for threads that wait for it to change.

use std::time::Duration;

use outlast_service::LinkState;

use crate::thread::{block_on, block_on_timeout};

/// The states of a connection, one after the other: as many as one looks at, and the latest always.
/// It holds one state and no queue, so that nothing grows behind who does not look.
///
/// ```
/// # fn example(handle: outlast_std::Handle) {
/// std::thread::spawn(move || {
///     let mut states = handle.states();
///     while let Some(state) = states.changed() {
///         println!("{state}");
///     }
/// });
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct States {
    inner: outlast_service::States,
}

impl From<outlast_service::States> for States {
    fn from(inner: outlast_service::States) -> Self {
        Self { inner }
    }
}

impl States {
    /// The present state, which has been seen then.
    pub fn latest(&mut self) -> LinkState {
        self.inner.latest()
    }

    /// Waits for the state behind those that were seen: the latest, if there have been several.
    /// `None` once [`Closed`](LinkState::Closed) was seen.
    pub fn changed(&mut self) -> Option<LinkState> {
        block_on(self.inner.changed())
    }

    /// As [`changed`](Self::changed), for at most `limit`; `None` as well if nothing has changed by
    /// then, which [`latest`](Self::latest) tells apart.
    pub fn changed_timeout(&mut self, limit: Duration) -> Option<LinkState> {
        block_on_timeout(self.inner.changed(), limit).flatten()
    }

    /// Waits for a state that is `wanted`, beginning with the present one; `None` if it is over
    /// before that. States between two looks are not asked for.
    pub fn wait_for(&mut self, wanted: impl FnMut(LinkState) -> bool) -> Option<LinkState> {
        block_on(self.inner.wait_for(wanted))
    }

    /// As [`wait_for`](Self::wait_for), for at most `limit`.
    pub fn wait_for_timeout(
        &mut self,
        wanted: impl FnMut(LinkState) -> bool,
        limit: Duration,
    ) -> Option<LinkState> {
        block_on_timeout(self.inner.wait_for(wanted), limit).flatten()
    }

    /// How many states there were between the last two that were seen.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.inner.missed()
    }
}
