//! The task that carries what is at the board to the sessions that sleep.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use outlast_core::Instant;

use super::{Board, Errand};
use crate::outgoing::Batch;
use crate::shared::Shared;
use crate::transport::{Clock, Runtime, Timer};

/// What the courier takes along, kept from one round to the next.
#[derive(Default)]
pub(super) struct Bag {
    pub(super) errands: Vec<Errand>,
    /// Entries, from this one on.
    pub(super) frames: Vec<u8>,
    pub(super) low: u64,
    /// Whose tasks have to be waked.
    pub(super) rouse: Vec<Arc<Shared>>,
}

impl Bag {
    /// Not under the board's lock.
    pub(super) fn rouse_all(&mut self) {
        while let Some(shared) = self.rouse.pop() {
            shared.rouse();
        }
    }
}

/// The task that carries entries to the sessions that sleep.
pub(crate) struct Courier<R: Runtime> {
    board: Weak<Board>,
    runtime: R,
    clock: Clock,
    bag: Bag,
    /// Whether small messages wait for others.
    batch: Option<Batch>,
    /// For how long they do, and when that is over.
    timer: R::Timer,
    until: Option<Instant>,
}

impl<R: Runtime> Courier<R> {
    pub(crate) fn new(board: &Arc<Board>, runtime: R, clock: Clock, batch: Option<Batch>) -> Self {
        let (board, timer) = (Arc::downgrade(board), runtime.timer());
        Self { board, runtime, clock, bag: Bag::default(), batch, timer, until: None }
    }
}

impl<R: Runtime> Future for Courier<R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Some(board) = this.board.upgrade() else {
            return Poll::Ready(());
        };
        let Self { runtime, clock, bag, batch, timer, until, .. } = this;
        let now = clock.core(runtime.now());
        let ready = |cx: &mut Context<'_>, bytes: usize, messages: u32| {
            let Some(batch) = batch.filter(|batch| batch.holds(bytes, messages)) else {
                *until = None;
                return true;
            };
            let at = *until.get_or_insert_with(|| now.after(batch.delay_us()));
            let over = at <= now || timer.poll_until(cx, clock.std(at)).is_ready();
            *until = until.filter(|_| !over);
            over
        };
        if board.carry(cx, bag, now, ready) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// A runtime that ends takes its courier along, and so does a panic, whatever it was about: what it
/// has with it is its sessions', and what they have not got yet is given to them by their tasks.
impl<R: Runtime> Drop for Courier<R> {
    fn drop(&mut self) {
        if let Some(board) = self.board.upgrade() {
            self.bag.errands.iter_mut().for_each(|errand| errand.carried.sleeps = false);
            board.put_back(&mut self.bag);
            let rouse = board.lock().disband();
            rouse.iter().for_each(|shared| shared.rouse());
        }
    }
}
