//! Work that blocks, in a thread of its own.

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;

use crate::overview::lock;

/// What came of it, and who waits for that.
type Outcome<T> = Arc<Mutex<(Option<io::Result<T>>, Option<Waker>)>>;

/// Does `work` in a thread, and waits for it. A panic in it is an error.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let outcome = Outcome::<T>::default();
    let done = Done(Arc::clone(&outcome));
    let thread = thread::Builder::new().name("outlast-snapshots".to_owned());
    thread.spawn(move || {
        let result = work();
        lock(&done.0).0 = Some(result);
    })?;
    poll_fn(|cx| {
        let mut inside = lock(&outcome);
        match inside.0.take() {
            Some(result) => Poll::Ready(result),
            None => {
                inside.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

/// Wakes who waits when the thread is through, however that came.
struct Done<T>(Outcome<T>);

impl<T> Drop for Done<T> {
    fn drop(&mut self) {
        let mut inside = lock(&self.0);
        inside.0.get_or_insert_with(|| Err(io::Error::other("the store panicked")));
        let waiting = inside.1.take();
        drop(inside);
        waiting.into_iter().for_each(Waker::wake);
    }
}
