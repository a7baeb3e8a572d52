//! Where snapshots of a server's sessions are handed in: each by whoever has the session.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use super::record::Origin;
use crate::overview::lock;

/// Where snapshots are handed in, and who waits for the last of them.
#[derive(Debug, Default)]
pub(crate) struct Collector(Mutex<Inside>);

#[derive(Debug, Default)]
struct Inside {
    handed_in: Vec<Vec<u8>>,
    /// Tickets that are neither used nor gone.
    out: usize,
    waiting: Option<Waker>,
}

/// The wish for a snapshot of one session. Whoever has the session hands one in, or drops it.
#[derive(Debug)]
pub(crate) struct Ticket {
    collector: Arc<Collector>,
    origin: Origin,
    spent: bool,
}

impl Collector {
    pub(super) fn ticket(self: &Arc<Self>, origin: Origin) -> Ticket {
        lock(&self.0).out += 1;
        Ticket { collector: Arc::clone(self), origin, spent: false }
    }

    /// Waits until every ticket is used or gone.
    pub(super) async fn complete(&self) {
        poll_fn(|cx| {
            let mut inside = lock(&self.0);
            if inside.out == 0 {
                return Poll::Ready(());
            }
            inside.waiting = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// What was handed in so far.
    pub(super) fn collected(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut lock(&self.0).handed_in)
    }
}

impl Ticket {
    pub(crate) const fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn hand_in(self, snapshot: Vec<u8>) {
        lock(&self.collector.0).handed_in.push(snapshot);
    }
}

impl Ticket {
    /// Nothing comes of it; whoever is returned has waited for nothing else. For those who hold a
    /// lock.
    pub(crate) fn give_up(mut self) -> Option<Waker> {
        self.spend()
    }

    fn spend(&mut self) -> Option<Waker> {
        if std::mem::replace(&mut self.spent, true) {
            return None;
        }
        let mut inside = lock(&self.collector.0);
        inside.out -= 1;
        if inside.out == 0 { inside.waiting.take() } else { None }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.spend().into_iter().for_each(Waker::wake);
    }
}
