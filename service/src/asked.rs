//! What handles asked the peer and are waiting for: responses and receipts.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Poll, Waker};

use bytes::Bytes;
use outlast_core::wire::{RequestId, Status};

use crate::error::{Closed, RequestError, SendError};

/// Open requests by their numbers, and receipts in the order of what they are for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    calls: Vec<Call>,
    /// Calls that are free, so that the next is found at once.
    free: Vec<u16>,
    receipts: VecDeque<Interest>,
    /// Number of the receipt at the front.
    first_receipt: u64,
    /// So many receipts at the back are for the same, which ends there.
    alike: usize,
    alike_at: u64,
    /// Receipts that will not come, until somebody has asked for them.
    failed: BTreeMap<u64, Closed>,
    /// What is staged and somebody wants to know the fate of: after which of all bytes that were
    /// ever staged it ends.
    marks: Vec<(u64, Mark)>,
}

/// Something in the stream of frames whose fate somebody wants to know.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The last frame of a request.
    Call(RequestId),
    /// The end of what a receipt is for.
    Receipt(u64),
}

/// A request of a handle's, in the slot of its number.
#[derive(Debug)]
enum Call {
    Free,
    /// Asked; someone may be waiting.
    Waiting(Option<Waker>),
    Done(Status, Bytes),
    /// No response will come. The slot is kept, whatever sessions follow, until its owner knows.
    Failed(RequestError),
    /// Nobody waits any more; the response will free the slot.
    Abandoned,
}

/// Who waits for a receipt.
#[derive(Debug)]
enum Interest {
    Waker(Option<Waker>),
    /// Nobody any more.
    Gone,
}

impl Asked {
    /// Takes a free slot for a request, if there are fewer than `limit` open.
    pub(crate) fn reserve(&mut self, limit: u16) -> Option<RequestId> {
        // The session before this one may have allowed more.
        let id = match self.free.iter().rposition(|id| *id < limit) {
            Some(index) => self.free.swap_remove(index),
            None => {
                let id = u16::try_from(self.calls.len()).ok().filter(|id| *id < limit)?;
                self.calls.push(Call::Free);
                id
            }
        };
        self.set(RequestId(id), Call::Waiting(None));
        Some(RequestId(id))
    }

    /// Requests with these numbers are open, and nobody waits for them: their responses will free
    /// the slots.
    pub(crate) fn occupy(&mut self, ids: &[RequestId]) {
        for id in ids {
            while self.calls.len() <= usize::from(id.0) {
                self.free.push(self.calls.len() as u16);
                self.calls.push(Call::Free);
            }
            self.free.retain(|free| *free != id.0);
            self.set(*id, Call::Abandoned);
        }
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
    ) -> Poll<Result<(Status, Bytes), RequestError>> {
        match self.replace(id, Call::Free) {
            Some(Call::Done(status, payload)) => {
                self.free.push(id.0);
                Poll::Ready(Ok((status, payload)))
            }
            Some(Call::Failed(error)) => {
                self.free.push(id.0);
                Poll::Ready(Err(error))
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

    /// Request `id` ends with the byte before `staged`.
    pub(crate) fn mark_call(&mut self, staged: u64, id: RequestId) {
        self.marks.push((staged, Mark::Call(id)));
    }

    /// A receipt for what was staged up to `staged`: one that nobody asks for any more, if there is
    /// one for the same.
    pub(crate) fn receipt(&mut self, staged: u64) -> u64 {
        if self.alike_at != staged {
            (self.alike, self.alike_at) = (0, staged);
        }
        let others = self.receipts.len().saturating_sub(self.alike);
        for (number, interest) in (self.first_receipt..).zip(&mut self.receipts).skip(others) {
            if let Interest::Gone = interest {
                *interest = Interest::Waker(None);
                return number;
            }
        }
        let number = self.first_receipt + self.receipts.len() as u64;
        self.receipts.push_back(Interest::Waker(None));
        self.alike += 1;
        self.marks.push((staged, Mark::Receipt(number)));
        number
    }

    /// Whether anything is marked in what is staged.
    pub(crate) const fn has_marks(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Moves the marks along with what is staged.
    pub(crate) fn take_marks(&mut self, to: &mut Vec<(u64, Mark)>) {
        std::mem::swap(&mut self.marks, to);
    }

    /// Whether the peer took what receipt `number` stands for.
    pub(crate) fn poll_receipt(&mut self, number: u64, waker: &Waker) -> Poll<Result<(), Closed>> {
        match self.pending(number) {
            Some(interest) => {
                *interest = Interest::Waker(Some(waker.clone()));
                Poll::Pending
            }
            None => Poll::Ready(self.failed.remove(&number).map_or(Ok(()), Err)),
        }
    }

    /// Nobody asks for receipt `number` any more.
    pub(crate) fn forget_receipt(&mut self, number: u64) {
        match self.pending(number) {
            Some(interest) => *interest = Interest::Gone,
            None => drop(self.failed.remove(&number)),
        }
    }

    fn pending(&mut self, number: u64) -> Option<&mut Interest> {
        let index = number.checked_sub(self.first_receipt)?;
        self.receipts.get_mut(usize::try_from(index).ok()?)
    }

    /// The peer took what receipt `number` stands for, and so all before it; those who asked
    /// are returned.
    pub(crate) fn taken(&mut self, number: u64) -> Vec<Waker> {
        let mut wake = Vec::new();
        while self.first_receipt <= number
            && let Some(interest) = self.receipts.pop_front()
        {
            self.first_receipt += 1;
            if let Interest::Waker(waker) = interest {
                wake.extend(waker);
            }
        }
        wake
    }

    /// The session is over: what waits is answered so. Nothing of the requests in `unsent`, and of
    /// those that are still staged, can have run.
    //= REQ-12
    pub(crate) fn fail(&mut self, closed: &Closed, unsent: &[RequestId]) -> Vec<Waker> {
        let mut wake = self.fail_calls(&RequestError::OutcomeUnknown(closed.clone()));
        let staged = self.marks.drain(..).filter_map(|(_, mark)| match mark {
            Mark::Call(id) => Some(id),
            Mark::Receipt(_) => None,
        });
        for id in unsent.iter().copied().chain(staged) {
            if let Some(call @ Call::Failed(_)) = self.calls.get_mut(usize::from(id.0)) {
                *call = Call::Failed(RequestError::NotSent(SendError::Closed(closed.clone())));
            }
        }
        for interest in self.receipts.drain(..) {
            if let Interest::Waker(waker) = interest {
                if !closed.complete {
                    self.failed.insert(self.first_receipt, closed.clone());
                }
                wake.extend(waker);
            }
            self.first_receipt += 1;
        }
        wake
    }

    /// No response will come to any request that is open.
    pub(crate) fn fail_calls(&mut self, error: &RequestError) -> Vec<Waker> {
        let mut wake = Vec::new();
        for (id, call) in (0..).zip(&mut self.calls) {
            match call {
                Call::Waiting(waker) => {
                    wake.extend(waker.take());
                    *call = Call::Failed(error.clone());
                }
                Call::Abandoned => {
                    *call = Call::Free;
                    self.free.push(id);
                }
                Call::Free | Call::Done(..) | Call::Failed(_) => {}
            }
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
        if self.marks.is_empty() {
            self.marks = Vec::new();
        }
    }

    fn set(&mut self, id: RequestId, call: Call) {
        self.replace(id, call);
    }

    fn replace(&mut self, id: RequestId, call: Call) -> Option<Call> {
        self.calls.get_mut(usize::from(id.0)).map(|slot| std::mem::replace(slot, call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_and_again_for_the_same_holds_one_receipt() {
        let mut asked = Asked::default();
        let kept = asked.receipt(10);
        for _ in 0..1000 {
            let number = asked.receipt(10);
            assert_ne!(number, kept, "somebody asks for that one");
            asked.forget_receipt(number);
        }
        assert_eq!((asked.receipts.len(), asked.marks.len()), (2, 2));
        // What is forgotten and for something else is no use.
        let later = asked.receipt(20);
        assert_eq!((asked.receipts.len(), asked.marks.len()), (3, 3));
        let _ = asked.taken(later);
        assert_eq!(asked.receipt(20), later + 1);
        assert!(asked.poll_receipt(later, Waker::noop()).is_ready());
        assert!(asked.poll_receipt(later + 1, Waker::noop()).is_pending());
    }
}
