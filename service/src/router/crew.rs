//! Tasks, or threads, that work lines off.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use super::line::Line;
use super::link::Link;
use crate::overview::lock;

/// Workers with one queue. A worker exists while there is something to do.
#[derive(Debug)]
pub(crate) struct Crew {
    /// More than one session has it: nothing may wait here for one of them.
    shared: bool,
    /// The workers are threads.
    threads: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A line for each thing to do: whoever takes one does the next thing in that line.
    waiting: VecDeque<Arc<Line>>,
    running: usize,
    width: usize,
}

/// Things that a worker does before other tasks of its thread get their turn.
const GO: usize = 32;

impl Crew {
    /// Workers for one session.
    pub(crate) fn own(width: usize) -> Self {
        Self::new(width, false, false)
    }

    /// Workers for many sessions.
    pub(crate) fn shared(width: usize, threads: bool) -> Self {
        Self::new(width, true, threads)
    }

    const fn new(width: usize, shared: bool, threads: bool) -> Self {
        let state = State { waiting: VecDeque::new(), running: 0, width };
        Self { shared, threads, state: Mutex::new(state) }
    }

    pub(crate) fn load(&self) -> usize {
        let state = lock(&self.state);
        state.waiting.len() + state.running
    }

    pub(crate) fn width(&self) -> usize {
        lock(&self.state).width
    }

    /// Has the next thing in `line` done.
    pub(crate) fn push(self: &Arc<Self>, line: &Arc<Line>) {
        let mut state = lock(&self.state);
        state.waiting.push_back(Arc::clone(line));
        if state.running < state.width {
            state.running += 1;
            drop(state);
            self.hire(line.link());
        }
    }

    /// Changes how many work at the same time.
    pub(crate) fn set_width(this: &Arc<Self>, width: usize) {
        let mut state = lock(&this.state);
        state.width = width;
        let links: Vec<_> = state.waiting.iter().map(|line| line.link().clone()).collect();
        let more = width.saturating_sub(state.running).min(links.len());
        state.running += more;
        drop(state);
        links.iter().take(more).for_each(|link| this.hire(link));
    }

    /// Another worker begins; it counts already.
    fn hire(self: &Arc<Self>, link: &Link) {
        let worker = Worker { crew: Arc::clone(self), counts: true };
        if !self.threads {
            return link.spawn(Box::pin(worker.work()));
        }
        let thread = std::thread::Builder::new().name("outlast-blocking".to_owned());
        if thread.spawn(move || block_on(worker.work())).is_err() {
            // A machine without threads: late is better than never. The worker that could not
            // begin was dropped, and does not count any more.
            lock(&self.state).running += 1;
            let worker = Worker { crew: Arc::clone(self), counts: true };
            link.spawn(Box::pin(worker.work()));
        }
    }

    /// The next line; `None` if the worker that asks is not needed any more, and does not count
    /// any more: under one lock, so that what is pushed then finds another.
    fn next(&self) -> Option<Arc<Line>> {
        let mut state = lock(&self.state);
        let next = if state.running > state.width { None } else { state.waiting.pop_front() };
        if next.is_none() {
            state.running -= 1;
            if state.waiting.is_empty() && state.waiting.capacity() > KEPT {
                state.waiting = VecDeque::new();
            }
        }
        next
    }
}

/// Places of an empty queue beyond these are given back.
const KEPT: usize = 1_024;

/// One that works; dropped before its time, as when a runtime shuts down, it does not count.
struct Worker {
    crew: Arc<Crew>,
    counts: bool,
}

impl Worker {
    async fn work(mut self) {
        let mut done = 0;
        while let Some(line) = self.crew.next() {
            line.step(!self.crew.shared).await;
            done += 1;
            if done % GO == 0 && !self.crew.threads {
                yield_once().await;
            }
        }
        self.counts = false;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.counts {
            lock(&self.crew.state).running -= 1;
        }
    }
}

/// Lets others run.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Wakes a thread.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
fn block_on(future: impl Future<Output = ()>) {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut cx = Context::from_waker(&waker);
    while future.as_mut().poll(&mut cx).is_pending() {
        std::thread::park();
    }
}
