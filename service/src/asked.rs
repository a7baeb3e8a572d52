//! What handles asked the peer and are waiting for: responses and receipts.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Poll, Waker};

use bytes::Bytes;
use outlast_core::wire::{RequestId, Status};

use crate::error::Closed;

/// Open requests by their numbers, and receipts in the order of what they are for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    calls: Vec<Call>,
    /// Calls that are free, so that the next is found at once.
    free: Vec<u16>,
    receipts: VecDeque<PendingReceipt>,
    /// Number of the receipt at the front.
    first_receipt: u64,
    /// Receipts that will not come, until somebody has asked for them.
    failed: BTreeMap<u64, Closed>,
}

/// A request of a handle's, in the slot of its number.
#[derive(Debug)]
enum Call {
    Free,
    /// Asked; someone may be waiting.
    Waiting(Option<Waker>),
    Done(Status, Bytes),
    /// The session was lost before the response came.
    Failed(Closed),
    /// Nobody waits any more; the response will free the slot.
    Abandoned,
}

#[derive(Debug)]
struct PendingReceipt {
    place: Place,
    waker: Option<Waker>,
}

/// Where a staged frame is: still there, or in the session's ring.
#[derive(Debug, Copy, Clone)]
enum Place {
    Staged(u64),
    Ring(u64),
}

impl Asked {
    /// Takes a free slot for a request, if there are fewer than `limit` open.
    pub(crate) fn reserve(&mut self, limit: u16) -> Option<RequestId> {
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                let id = u16::try_from(self.calls.len()).ok().filter(|id| *id < limit)?;
                self.calls.push(Call::Free);
                id
            }
        };
        self.set(RequestId(id), Call::Waiting(None));
        Some(RequestId(id))
    }

    /// Gives a slot back of which nothing was staged.
    pub(crate) fn release(&mut self, id: RequestId) {
        self.set(id, Call::Free);
        self.free.push(id.0);
    }

    /// The response to request `id`, once it is there.
    pub(crate) fn poll_call(
        &mut self,
        id: RequestId,
        waker: &Waker,
    ) -> Poll<Result<(Status, Bytes), Closed>> {
        match self.replace(id, Call::Free) {
            Some(Call::Done(status, payload)) => {
                self.free.push(id.0);
                Poll::Ready(Ok((status, payload)))
            }
            Some(Call::Failed(closed)) => {
                self.free.push(id.0);
                Poll::Ready(Err(closed))
            }
            Some(Call::Waiting(_)) => {
                self.set(id, Call::Waiting(Some(waker.clone())));
                Poll::Pending
            }
            Some(other @ (Call::Free | Call::Abandoned)) => {
                self.set(id, other);
                Poll::Pending
            }
            None => Poll::Pending,
        }
    }

    /// Nobody waits for request `id` any more; whether the peer is to be told.
    pub(crate) fn abandon(&mut self, id: RequestId) -> bool {
        match self.replace(id, Call::Abandoned) {
            Some(Call::Waiting(_)) => true,
            Some(Call::Done(..) | Call::Failed(_)) => {
                self.release(id);
                false
            }
            Some(other @ (Call::Free | Call::Abandoned)) => {
                self.set(id, other);
                false
            }
            None => false,
        }
    }

    /// The response to request `id` came; who waits for it is returned.
    pub(crate) fn complete(
        &mut self,
        id: RequestId,
        status: Status,
        payload: &[u8],
    ) -> Option<Waker> {
        match self.replace(id, Call::Free)? {
            Call::Waiting(waker) => {
                self.set(id, Call::Done(status, Bytes::copy_from_slice(payload)));
                waker
            }
            Call::Abandoned => {
                self.free.push(id.0);
                None
            }
            other @ (Call::Free | Call::Done(..) | Call::Failed(_)) => {
                self.set(id, other);
                None
            }
        }
    }

    /// A receipt for what was staged up to `staged`.
    pub(crate) fn receipt(&mut self, staged: u64) -> u64 {
        self.receipts.push_back(PendingReceipt { place: Place::Staged(staged), waker: None });
        self.first_receipt + self.receipts.len() as u64 - 1
    }

    /// What was staged from `from` on follows `end` in the session's ring now.
    pub(crate) fn moved(&mut self, from: u64, end: u64) {
        for receipt in &mut self.receipts {
            if let Place::Staged(at) = receipt.place {
                receipt.place = Place::Ring(end + (at - from));
            }
        }
    }

    /// Whether the peer took what receipt `number` stands for.
    pub(crate) fn poll_receipt(&mut self, number: u64, waker: &Waker) -> Poll<Result<(), Closed>> {
        let receipt = number
            .checked_sub(self.first_receipt)
            .and_then(|index| usize::try_from(index).ok())
            .and_then(|index| self.receipts.get_mut(index));
        match receipt {
            Some(receipt) => {
                receipt.waker = Some(waker.clone());
                Poll::Pending
            }
            None => Poll::Ready(self.failed.remove(&number).map_or(Ok(()), Err)),
        }
    }

    /// Nobody asks for receipt `number` any more.
    pub(crate) fn forget_receipt(&mut self, number: u64) {
        self.failed.remove(&number);
    }

    /// The peer took everything up to `position`; those who asked about it are returned.
    pub(crate) fn acknowledge(&mut self, position: u64) -> Vec<Waker> {
        let mut wake = Vec::new();
        while let Some(front) = self.receipts.front_mut() {
            match front.place {
                Place::Ring(at) if at <= position => {
                    wake.extend(front.waker.take());
                    self.receipts.pop_front();
                    self.first_receipt += 1;
                }
                Place::Ring(_) | Place::Staged(_) => break,
            }
        }
        wake
    }

    /// The session is over: what waits is answered so, unless it is known to have arrived.
    pub(crate) fn fail(&mut self, closed: &Closed) -> Vec<Waker> {
        let mut wake = Vec::new();
        for (id, call) in (0..).zip(&mut self.calls) {
            match call {
                Call::Waiting(waker) => {
                    wake.extend(waker.take());
                    *call = Call::Failed(closed.clone());
                }
                Call::Abandoned => {
                    *call = Call::Free;
                    self.free.push(id);
                }
                Call::Free | Call::Done(..) | Call::Failed(_) => {}
            }
        }
        for receipt in self.receipts.drain(..) {
            let arrived = closed.complete
                || match (receipt.place, closed.peer_received) {
                    (Place::Ring(at), Some(received)) => at <= received,
                    (Place::Staged(_) | Place::Ring(_), _) => false,
                };
            if !arrived {
                self.failed.insert(self.first_receipt, closed.clone());
            }
            self.first_receipt += 1;
            wake.extend(receipt.waker);
        }
        wake
    }

    /// Gives memory back that only open requests and receipts need.
    pub(crate) fn shrink(&mut self) {
        if self.free.len() == self.calls.len() {
            self.calls = Vec::new();
            self.free = Vec::new();
        }
        if self.receipts.is_empty() {
            self.receipts = VecDeque::new();
        }
    }

    fn set(&mut self, id: RequestId, call: Call) {
        self.replace(id, call);
    }

    fn replace(&mut self, id: RequestId, call: Call) -> Option<Call> {
        self.calls.get_mut(usize::from(id.0)).map(|slot| std::mem::replace(slot, call))
    }
}
