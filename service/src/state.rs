//! What the connection of a session, or of none, is doing: for those who look from outside.
//!
//! A state is kept and not queued: who looks late sees the latest, and how many there were between.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use outlast_core::wire::RequestId;

use crate::error::{Closed, Why};
use crate::ground::Ground;
use crate::overview::lock;
use crate::shared::{Facts, Inner, Shared};

/// What a connection is doing.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkState {
    /// There is no connection, and none is being made; a client may dial again.
    Disconnected,
    /// A client is dialling, or shaking hands.
    Connecting {
        /// Number of the attempt, counted from 1 over the client's life.
        attempt: u32,
    },
    /// What is sent goes both ways.
    Connected {
        /// It goes on where an earlier connection ended. Of connections without sessions none does.
        resumed: bool,
    },
    /// A client waits before it dials again.
    Waiting {
        /// Number of the attempt that comes next.
        attempt: u32,
        /// When it comes, on the runtime's clock; `None` if something else has to happen first.
        until: Option<Instant>,
    },
    /// It is over for good.
    Closed,
}

impl LinkState {
    /// Its name, as in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting { .. } => "connecting",
            Self::Connected { .. } => "connected",
            Self::Waiting { .. } => "waiting",
            Self::Closed => "closed",
        }
    }

    /// Whether what is sent goes both ways.
    #[must_use]
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::Connected { .. })
    }

    /// Whether there will be no other state.
    #[must_use]
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Closed)
    }
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who is called with every state; see [`Watcher::new`].
#[derive(Clone)]
pub struct Watcher(Arc<dyn Fn(LinkState) + Send + Sync>);

impl Watcher {
    /// Calls `told` with each state when it begins, none left out, in the client's task: it must
    /// not block, and has no queue.
    pub fn new(told: impl Fn(LinkState) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

/// The state of one handle, and those who wait for another.
#[derive(Debug)]
pub(crate) struct Watch {
    told: Option<Watcher>,
    /// A client's: another session may follow one that is over.
    dials: bool,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    state: LinkState,
    /// How many states there have been.
    count: u64,
    /// Who waits, each under a number of its own, so that who left leaves nothing.
    waiting: Vec<(u64, Waker)>,
    watchers: u64,
}

impl Watch {
    /// Of what has been accepted.
    pub(crate) const fn accepted(state: LinkState) -> Self {
        let now = Now { state, count: 0, waiting: Vec::new(), watchers: 0 };
        Self { told: None, dials: false, now: Mutex::new(now) }
    }

    /// Of a client.
    pub(crate) fn dialling(told: Option<Watcher>) -> Self {
        Self { told, dials: true, ..Self::accepted(LinkState::Disconnected) }
    }

    pub(crate) const fn dials(&self) -> bool {
        self.dials
    }

    pub(crate) fn state(&self) -> LinkState {
        lock(&self.now).state
    }

    /// Another state has begun. Nothing follows the last.
    pub(crate) fn turn(&self, state: LinkState) {
        let mut now = lock(&self.now);
        if now.state == state || now.state.is_closed() {
            return;
        }
        now.state = state;
        now.count += 1;
        let waiting = std::mem::take(&mut now.waiting);
        drop(now);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        if let Some(told) = &self.told {
            (told.0)(state);
        }
    }
}

/// The states of a connection, one after the other: as many as one looks at, and the latest always.
/// It holds one state and no queue, so that nothing grows behind who does not look.
///
/// ```
/// # async fn example(handle: outlast_service::Handle) {
/// let mut states = handle.states();
/// while let Some(state) = states.changed().await {
///     println!("{state}, and {} before it were not looked at", states.missed());
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct States {
    watch: Arc<Watch>,
    number: u64,
    seen: u64,
    missed: u64,
    over: bool,
}

impl States {
    /// From the present state on, which has been seen.
    pub(crate) fn new(watch: Arc<Watch>) -> Self {
        let mut now = lock(&watch.now);
        now.watchers += 1;
        let (number, seen, over) = (now.watchers, now.count, now.state.is_closed());
        drop(now);
        Self { watch, number, seen, missed: 0, over }
    }

    /// The present state, which has been seen then.
    pub fn latest(&mut self) -> LinkState {
        let now = lock(&self.watch.now);
        let (state, count) = (now.state, now.count);
        drop(now);
        self.look(state, count)
    }

    /// The state behind those that were seen: the latest, if there have been several. `None` once
    /// [`Closed`](LinkState::Closed) was seen.
    pub async fn changed(&mut self) -> Option<LinkState> {
        poll_fn(|cx| self.poll_changed(cx)).await
    }

    /// As [`changed`](Self::changed), for streams of other crates.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<Option<LinkState>> {
        if self.over {
            return Poll::Ready(None);
        }
        let mut now = lock(&self.watch.now);
        if now.count == self.seen {
            let waiting = &mut now.waiting;
            match waiting.iter_mut().find(|(number, _)| *number == self.number) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => waiting.push((self.number, cx.waker().clone())),
            }
            return Poll::Pending;
        }
        let (state, count) = (now.state, now.count);
        drop(now);
        Poll::Ready(Some(self.look(state, count)))
    }

    /// Waits for a state that is `wanted`, beginning with the present one; `None` if it is over
    /// before that. States between two looks are not asked for.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(LinkState) -> bool,
    ) -> Option<LinkState> {
        let mut state = self.latest();
        while !wanted(state) {
            state = self.changed().await?;
        }
        Some(state)
    }

    /// How many states there were between the last two that were seen.
    #[must_use]
    pub const fn missed(&self) -> u64 {
        self.missed
    }

    fn look(&mut self, state: LinkState, count: u64) -> LinkState {
        self.missed = (count - self.seen).saturating_sub(1);
        self.seen = count;
        self.over = state.is_closed();
        state
    }
}

impl Clone for States {
    /// Another one that has seen what this one has.
    fn clone(&self) -> Self {
        let mut other = Self::new(Arc::clone(&self.watch));
        (other.seen, other.missed, other.over) = (self.seen, self.missed, self.over);
        other
    }
}

impl Drop for States {
    fn drop(&mut self) {
        lock(&self.watch.now).waiting.retain(|(number, _)| *number != self.number);
    }
}

impl Shared {
    /// One of a client.
    pub(crate) fn dialling(watch: Watch, ground: Arc<Ground>) -> Self {
        let mut shared = Self::new(None, 0, ground);
        shared.watch = OnceLock::from(Arc::new(watch));
        shared
    }

    /// What the connection is doing.
    pub(crate) fn state(&self) -> LinkState {
        self.watch.get().map_or_else(|| self.lock().state(), |watch| watch.state())
    }

    /// What it will be doing.
    pub(crate) fn states(&self) -> States {
        // Under the lock: what changes then is told behind it.
        let inner = self.lock();
        let watch = self.watch.get_or_init(|| Arc::new(Watch::accepted(inner.state())));
        States::new(Arc::clone(watch))
    }

    /// Tells that it does something else; after the facts say so.
    pub(crate) fn turn(&self, state: LinkState) {
        if let Some(watch) = self.watch.get() {
            watch.turn(state);
        }
    }

    /// Lets handles know what they need to know.
    pub(crate) fn publish(&self, facts: Facts, figures: impl FnOnce(&mut Inner)) {
        let mut inner = self.lock();
        figures(&mut inner);
        let resumed = inner.facts.has_sid;
        let wake = inner.open_session(facts);
        drop(inner);
        let connected = LinkState::Connected { resumed };
        self.turn(if facts.connected { connected } else { LinkState::Disconnected });
        wake.into_iter().for_each(Waker::wake);
    }

    /// The session is over, and has something left to say if it is `carried`.
    pub(crate) fn over(self: &Arc<Self>, carried: bool, closed: Closed, unsent: &[RequestId]) {
        let last = closed.complete || matches!(closed.why, Why::Stopped | Why::Dropped);
        let mut inner = self.lock();
        inner.set_parting(carried);
        let wake = inner.close_with(closed, unsent);
        drop(inner);
        if let Some(watch) = self.watch.get().filter(|watch| last || !watch.dials()) {
            watch.turn(LinkState::Closed);
        }
        self.depart();
        wake.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(states: &mut States) -> Poll<Option<LinkState>> {
        states.poll_changed(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn who_does_not_look_costs_nothing_and_who_leaves_leaves_nothing() {
        let watch = Arc::new(Watch::dialling(None));
        let mut late = States::new(Arc::clone(&watch));
        for attempt in 1..=1_000 {
            let mut early = States::new(Arc::clone(&watch));
            assert!(poll(&mut early).is_pending() && poll(&mut early).is_pending());
            assert_eq!(lock(&watch.now).waiting.len(), 1, "one place for each that waits");
            watch.turn(LinkState::Connecting { attempt });
            assert_eq!(poll(&mut early), Poll::Ready(Some(LinkState::Connecting { attempt })));
            assert_eq!((early.missed(), poll(&mut early)), (0, Poll::Pending));
            drop(early);
            assert!(lock(&watch.now).waiting.is_empty());
        }
        let latest = LinkState::Connecting { attempt: 1_000 };
        assert_eq!((poll(&mut late), late.missed()), (Poll::Ready(Some(latest)), 999));
        watch.turn(latest);
        assert_eq!(poll(&mut late), Poll::Pending, "it is the same");
        watch.turn(LinkState::Closed);
        watch.turn(latest);
        let mut clone = late.clone();
        assert_eq!(poll(&mut clone), Poll::Ready(Some(LinkState::Closed)), "nothing follows it");
        assert_eq!((clone.missed(), poll(&mut clone)), (0, Poll::Ready(None)));
        assert_eq!(late.latest(), LinkState::Closed);
        assert_eq!(poll(&mut States::new(watch)), Poll::Ready(None));
    }
}
