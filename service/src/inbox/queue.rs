//! What waits between the task of a connection and whoever receives.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use outlast_core::Position;

use super::{Received, RecvError};
use crate::handle::Handle;
use crate::overview::lock;
use crate::transport::{Runtime, Sleeper, Timers};

/// A connection's owner is told after so many bytes, or when nothing is left, what was taken.
const QUANTUM: u64 = 4 << 10;
/// An empty queue keeps so many places.
const KEPT: usize = 64;

/// What can wait.
pub(crate) trait Payload {
    /// Bytes of its payload.
    fn len(&self) -> usize;
}

impl Payload for Received {
    fn len(&self) -> usize {
        self.payload().len()
    }
}

/// The queue of one inbox.
pub(crate) struct Queue<T> {
    timers: Box<dyn Timers>,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Each with the position before it, if it does not count as taken yet.
    items: VecDeque<(T, Option<Position>)>,
    bytes: usize,
    dropped: u64,
    /// Up to where the session's owner knows of.
    told: u64,
    handle: Option<Handle>,
    /// Nothing will come any more.
    ended: bool,
    /// Nobody receives any more.
    left: bool,
    waiting: Option<Waker>,
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Queue")
            .field("messages", &state.items.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

impl<T: Payload> Queue<T> {
    pub(crate) fn new<R: Runtime>(runtime: &R) -> Self {
        let state = State {
            items: VecDeque::new(),
            bytes: 0,
            dropped: 0,
            told: 0,
            handle: None,
            ended: false,
            left: false,
            waiting: None,
        };
        Self { timers: Box::new(Sleeper::of(runtime)), state: Mutex::new(state) }
    }

    pub(crate) fn timers(&self) -> &dyn Timers {
        &*self.timers
    }

    /// Whether there is no room for another one of this length.
    pub(crate) fn is_full(&self, messages: usize, bytes: usize, len: usize) -> bool {
        let state = lock(&self.state);
        let fits = state.bytes == 0 || state.bytes + len <= bytes;
        state.items.len() >= messages.max(1) || !fits
    }

    /// How many wait, and how many bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.items.len(), state.bytes)
    }

    pub(crate) fn push(&self, item: T, holds: Option<Position>) {
        let mut state = lock(&self.state);
        if state.left {
            // Since it was last asked: nobody would ever take it, and it would hold its position.
            state.dropped += 1;
            drop(state);
            return drop(item);
        }
        state.bytes += item.len();
        state.items.push_back((item, holds));
        let waker = state.waiting.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// One was not queued.
    pub(crate) fn drop_one(&self) {
        lock(&self.state).dropped += 1;
    }

    pub(crate) fn dropped(&self) -> u64 {
        lock(&self.state).dropped
    }

    /// A session begins.
    pub(crate) fn opened(&self, handle: Handle) {
        let mut state = lock(&self.state);
        (state.handle, state.told) = (Some(handle), 0);
    }

    pub(crate) fn handle(&self) -> Option<Handle> {
        lock(&self.state).handle.clone()
    }

    /// Nothing will come any more.
    pub(crate) fn end(&self) {
        let mut state = lock(&self.state);
        state.ended = true;
        let waker = state.waiting.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Nothing that waits holds a position any more.
    pub(crate) fn let_go(&self) {
        lock(&self.state).items.iter_mut().for_each(|(_, holds)| *holds = None);
    }

    /// Nobody receives any more.
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        state.left = true;
        let items = std::mem::take(&mut state.items);
        state.dropped += items.len() as u64;
        state.bytes = 0;
        let handle = state.handle.take();
        drop(state);
        // Requests among them are answered by this, under no lock of this queue's.
        drop(items);
        if let Some(handle) = handle {
            nudge(&handle);
        }
    }

    pub(crate) fn is_left(&self) -> bool {
        lock(&self.state).left
    }

    /// Up to where everything is taken, of what came before `received`.
    pub(crate) fn taken(&self, received: Position) -> Position {
        let mut state = lock(&self.state);
        let taken = state.items.iter().find_map(|(_, holds)| *holds).unwrap_or(received);
        state.told = taken.get();
        taken
    }

    /// Takes the first.
    pub(crate) fn pop(&self) -> Result<T, RecvError> {
        let mut state = lock(&self.state);
        let Some((item, holds)) = state.items.pop_front() else {
            return Err(if state.ended { RecvError::Ended } else { RecvError::Empty });
        };
        state.bytes -= item.len();
        let mut handle = None;
        if holds.is_some() {
            let next = state.items.front().map(|(_, holds)| holds.map_or(0, Position::get));
            let far = next.is_none_or(|next| next.saturating_sub(state.told) >= QUANTUM);
            handle = state.handle.clone().filter(|_| far);
        }
        if state.items.is_empty() && state.items.capacity() > KEPT {
            state.items = VecDeque::new();
        }
        drop(state);
        handle.iter().for_each(nudge);
        Ok(item)
    }

    /// Takes the first, or waits for it.
    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Option<T>> {
        match self.pop() {
            Ok(item) => return Poll::Ready(Some(item)),
            Err(RecvError::Ended) => return Poll::Ready(None),
            Err(RecvError::Empty) => {}
        }
        let mut state = lock(&self.state);
        if !state.items.is_empty() || state.ended {
            // It came in between.
            drop(state);
            return self.pop().map_or(Poll::Ready(None), |item| Poll::Ready(Some(item)));
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Has a session's owner look what is taken now.
fn nudge(handle: &Handle) {
    handle.shared().call();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::time::Instant;

    #[derive(Clone)]
    struct Never;

    impl crate::transport::Timer for Never {
        fn poll_until(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<()> {
            Poll::Pending
        }
    }

    impl Runtime for Never {
        type Timer = Self;

        fn now(&self) -> Instant {
            Instant::now()
        }

        fn timer(&self) -> Self {
            Self
        }

        fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {}
    }

    impl Payload for () {
        fn len(&self) -> usize {
            1
        }
    }

    /// Whoever has just seen that somebody receives may be late.
    #[test]
    fn what_comes_when_nobody_receives_any_more_is_dropped() {
        let queue = Queue::new(&Never);
        queue.push((), None);
        queue.leave();
        queue.push((), None);
        assert_eq!((queue.waiting(), queue.dropped()), ((0, 0), 2));
    }
}
