//! How a server that runs is told to end, and how others learn that it has.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How a server is to end.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    /// Announce it and give clients so long to leave.
    Drain(Duration),
    /// Close all connections, for so long, and store the sessions.
    HandOver(Duration),
    /// Close everything now.
    Abort,
}

/// Shared by a server's task and those who hold it.
#[derive(Debug, Clone, Default)]
pub(super) struct Switch(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    wanted: Option<Stop>,
    over: bool,
    /// What became of the sessions.
    told: Option<io::Result<usize>>,
    waiting: Vec<Waker>,
}

impl Switch {
    /// Orders the end. A server that has been told already goes on as it was told.
    pub(super) fn order(&self, stop: Stop) {
        self.change(|state| state.wanted = state.wanted.or(Some(stop)));
    }

    /// Waits for the order.
    pub(super) async fn ordered(&self) -> Stop {
        self.wait(|state| state.wanted).await
    }

    /// The server's task holds this: however it ends, those who wait are told.
    pub(super) fn over_when_dropped(&self) -> Over {
        Over(self.clone())
    }

    /// Says what became of the sessions.
    pub(super) fn tell(&self, handed_over: io::Result<usize>) {
        self.change(|state| state.told = Some(handed_over));
    }

    /// What became of the sessions, if they were handed over.
    pub(super) fn told(&self) -> Option<io::Result<usize>> {
        self.lock().told.take()
    }

    /// Waits for the end.
    pub(super) async fn over(&self) {
        self.wait(|state| state.over.then_some(())).await;
    }

    async fn wait<T>(&self, look: impl Fn(&State) -> Option<T>) -> T {
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(found) = look(&state) {
                return Poll::Ready(found);
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                state.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let waiting = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells that the server's task has ended, when it is dropped.
#[derive(Debug)]
pub(super) struct Over(Switch);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.change(|state| state.over = true);
    }
}
