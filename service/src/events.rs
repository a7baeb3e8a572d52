//! What happens on a server or a client, for whoever wants to read of it: bounded, and never in the
//! way of those it happens to.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Waker};

use crate::overview::lock;

/// So many events were lost because they came faster than they were read: the oldest there were.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Lagged(pub u64);

impl fmt::Display for Lagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} events were not read in time and are lost", self.0)
    }
}

impl std::error::Error for Lagged {}

/// Events as they happen, from the moment of the subscription on.
///
/// Nobody waits for who reads this. As many events as the subscription asked for are kept; when
/// there is one more, the oldest is dropped, and the next read says how many were: [`Lagged`]. What
/// is read is in the order in which it happened to each session; what happened to different ones at
/// the same time may come in either order.
#[derive(Debug)]
pub struct Events<E> {
    queue: Arc<Queue<E>>,
}

#[derive(Debug)]
struct Queue<E> {
    inside: Mutex<Inside<E>>,
    /// How many subscriptions there are, this one among them.
    readers: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Inside<E> {
    events: VecDeque<E>,
    capacity: usize,
    /// Dropped since the reader was last told.
    lost: u64,
    /// Nothing more will happen.
    over: bool,
    waker: Option<Waker>,
}

impl<E> Inside<E> {
    fn take(&mut self) -> Option<Result<E, Lagged>> {
        if self.lost > 0 {
            return Some(Err(Lagged(std::mem::take(&mut self.lost))));
        }
        self.events.pop_front().map(Ok)
    }
}

impl<E> Events<E> {
    /// The next event, once there is one; `None` when there will be no more, because what they are
    /// of is over. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`Lagged`]: events were lost before this one, which the next call returns.
    pub async fn next(&mut self) -> Option<Result<E, Lagged>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// As [`next`](Self::next), for those who poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<E, Lagged>>> {
        let mut inside = lock(&self.queue.inside);
        match inside.take() {
            None if !inside.over => {
                inside.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            taken => Poll::Ready(taken),
        }
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Result<E, Lagged>> {
        lock(&self.queue.inside).take()
    }

    /// How many events wait to be read; at most as many as the subscription keeps.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.queue.inside).events.len()
    }

    /// Whether none waits to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether nothing more will happen. Events may still wait to be read.
    #[must_use]
    pub fn is_over(&self) -> bool {
        lock(&self.queue.inside).over
    }
}

impl<E> Drop for Events<E> {
    fn drop(&mut self) {
        self.queue.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where events come from. As long as nobody reads them it costs a look at a number.
#[derive(Debug)]
pub(crate) struct Emitter<E> {
    readers: Arc<AtomicUsize>,
    queues: Mutex<Vec<Weak<Queue<E>>>>,
    over: AtomicBool,
}

impl<E> Default for Emitter<E> {
    fn default() -> Self {
        Self { readers: Arc::default(), queues: Mutex::default(), over: AtomicBool::new(false) }
    }
}

impl<E: Clone> Emitter<E> {
    /// Events from now on, of which `capacity` are kept, and at least one.
    pub(crate) fn subscribe(&self, capacity: usize) -> Events<E> {
        let mut queues = lock(&self.queues);
        let inside = Inside {
            events: VecDeque::new(),
            capacity: capacity.max(1),
            lost: 0,
            // Under the lock of the queues, under which it is set.
            over: self.over.load(Ordering::Acquire),
            waker: None,
        };
        let readers = Arc::clone(&self.readers);
        let queue = Arc::new(Queue { inside: Mutex::new(inside), readers });
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        self.readers.fetch_add(1, Ordering::Relaxed);
        Events { queue }
    }

    /// Tells everybody who reads; the event is made only if somebody does.
    #[inline]
    pub(crate) fn publish(&self, event: impl FnOnce() -> E) {
        if self.readers.load(Ordering::Relaxed) > 0 {
            self.spread(event());
        }
    }

    #[cold]
    fn spread(&self, event: E) {
        let mut wake = Vec::new();
        lock(&self.queues).retain(|queue| {
            let Some(queue) = queue.upgrade() else {
                return false;
            };
            let mut inside = lock(&queue.inside);
            if inside.events.len() >= inside.capacity {
                inside.events.pop_front();
                inside.lost += 1;
            }
            inside.events.push_back(event.clone());
            wake.extend(inside.waker.take());
            true
        });
        wake.into_iter().for_each(Waker::wake);
    }
}

impl<E> Emitter<E> {
    /// Nothing more will happen.
    pub(crate) fn end(&self) {
        let mut queues = lock(&self.queues);
        self.over.store(true, Ordering::Release);
        let mut wake = Vec::new();
        for queue in queues.drain(..).filter_map(|queue| queue.upgrade()) {
            let mut inside = lock(&queue.inside);
            inside.over = true;
            wake.extend(inside.waker.take());
        }
        drop(queues);
        wake.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(events: &mut Events<u32>) -> Vec<Result<u32, u64>> {
        std::iter::from_fn(|| events.try_next()).map(|read| read.map_err(|lost| lost.0)).collect()
    }

    #[test]
    fn everybody_reads_everything_from_the_subscription_on() {
        let emitter = Emitter::default();
        emitter.publish(|| panic!("nobody reads this"));
        let mut early = emitter.subscribe(8);
        emitter.publish(|| 1);
        let mut late = emitter.subscribe(8);
        emitter.publish(|| 2);
        assert_eq!(read(&mut early), [Ok(1), Ok(2)]);
        assert_eq!(read(&mut late), [Ok(2)]);
        drop((early, late));
        emitter.publish(|| panic!("nobody reads any more"));
        assert_eq!(lock(&emitter.queues).iter().filter_map(Weak::upgrade).count(), 0);
    }

    #[test]
    fn who_lags_is_told_how_far_and_loses_the_oldest() {
        let emitter = Emitter::default();
        let (mut slow, mut wide) = (emitter.subscribe(3), emitter.subscribe(100));
        (0..10).for_each(|number| emitter.publish(|| number));
        assert_eq!(slow.len(), 3);
        assert_eq!(read(&mut slow), [Err(7), Ok(7), Ok(8), Ok(9)]);
        emitter.publish(|| 10);
        assert_eq!(read(&mut slow), [Ok(10)], "that it lagged is said once");
        assert_eq!(read(&mut wide).len(), 11, "nobody else lost anything");
        assert_eq!(emitter.subscribe(0).queue.inside.lock().unwrap().capacity, 1);
    }

    #[test]
    fn the_end_comes_behind_the_last_event() {
        let emitter = Emitter::default();
        let mut events = emitter.subscribe(2);
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!(events.poll_next(cx), Poll::Pending);
        emitter.publish(|| 1);
        emitter.end();
        assert!(events.is_over());
        emitter.publish(|| 2);
        assert_eq!(events.poll_next(cx), Poll::Ready(Some(Ok(1))));
        assert_eq!(events.poll_next(cx), Poll::Ready(None));
        assert_eq!(emitter.subscribe(1).poll_next(cx), Poll::Ready(None), "it is over already");
    }
}
