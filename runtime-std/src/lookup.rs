//! Names are looked up in a thread of their own, so that whoever waits can give up.
//!
//! The system's look-up cannot be ended from outside. One that nobody waits for any more goes on
//! until the system has an answer or gives up itself, which is half a minute as a rule.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::thread::Builder;

/// So many may be under way in this process, those that nobody waits for included: a client that
/// comes again and again leaves no more than this behind, whatever the system's resolver does.
pub(crate) const MOST: usize = 64;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// What comes of `work`, which may block, done aside.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let turn = Turn::take()?;
    let answer = Arc::new(Mutex::new(Answer::default()));
    let theirs = Arc::clone(&answer);
    let thread = Builder::new().name("outlast-lookup".to_owned());
    thread.spawn(move || {
        let came = work();
        drop(turn);
        let mut answer = theirs.lock().unwrap_or_else(PoisonError::into_inner);
        answer.came = Some(came);
        let waker = answer.waker.take();
        drop(answer);
        if let Some(waker) = waker {
            waker.wake();
        }
    })?;
    wait(&answer).await
}

struct Answer<T> {
    came: Option<io::Result<T>>,
    waker: Option<Waker>,
}

impl<T> Default for Answer<T> {
    fn default() -> Self {
        Self { came: None, waker: None }
    }
}

fn wait<T>(answer: &Mutex<Answer<T>>) -> impl Future<Output = io::Result<T>> {
    poll_fn(move |cx| {
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        match answer.came.take() {
            Some(came) => Poll::Ready(came),
            None => {
                answer.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
}

/// One of [`MOST`].
struct Turn;

impl Turn {
    fn take() -> io::Result<Self> {
        if UNDER_WAY.fetch_add(1, Ordering::Relaxed) < MOST {
            return Ok(Self);
        }
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        let busy =
            format!("{MOST} names are being looked up and the system answers none: not one more");
        Err(io::Error::new(io::ErrorKind::ResourceBusy, busy))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Context;

    use super::*;
    use crate::block_on;

    #[test]
    fn whoever_waits_may_give_up_and_no_more_are_begun_than_may_be() {
        let (answers, mut replies) = (block_on(aside(|| Ok(7))).unwrap(), Vec::new());
        assert_eq!(answers, 7);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..MOST {
            let (reply, replied) = mpsc::sync_channel::<()>(0);
            replies.push(reply);
            let mut waiting = pin!(aside(move || {
                // It ends as soon as the other end is gone.
                let _ = replied.recv();
                Ok(())
            }));
            assert!(waiting.as_mut().poll(&mut cx).is_pending());
            // Nobody waits for it any more.
        }
        let busy = block_on(aside(|| Ok(()))).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        replies.clear();
        // They end one by one, and make room for others.
        while block_on(aside(|| Ok(()))).is_err() {
            std::thread::yield_now();
        }
        let failed = block_on(aside(|| Err::<(), _>(io::Error::other("no such name"))));
        assert_eq!(failed.unwrap_err().to_string(), "no such name");
    }
}
