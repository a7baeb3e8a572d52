//! What handles in any task share with the one task that owns the session.
//!
//! The lock is short: encoding a frame, or swapping a queue. It is never held across I/O or while
//! somebody's code runs. The owner's own sends do not come here at all.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use bytes::Bytes;
use outlast_core::wire::{HEADER_LEN, Header, Op, RequestId, Route, Status};
use outlast_core::{CloseCode, Position, Stats};

use crate::error::{Closed, SendError};

/// Bytes that handles may queue before the owner has taken them.
pub(crate) const STAGED_MAX: usize = 256 << 10;

/// One session's meeting point. In an `Arc`, in every handle and in the owner.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Something was staged or ordered since the owner last looked.
    dirty: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) facts: Facts,
    /// Encoded frames that the owner has not taken yet.
    staged: Vec<u8>,
    /// Bytes ever staged.
    staged_total: u64,
    /// A fragmented message is being staged and nothing may come between its fragments.
    pub(crate) open: bool,
    /// Who waits for room.
    waiting: Vec<Waker>,
    calls: Vec<Call>,
    /// Calls that are free, so that the next is found at once.
    free_calls: Vec<u16>,
    receipts: VecDeque<PendingReceipt>,
    /// Receipts that will not come, until somebody has asked for them.
    failed_receipts: BTreeMap<u64, Closed>,
    /// Number of the receipt at the front.
    first_receipt: u64,
    /// Position up to which the peer took everything.
    acknowledged: u64,
    pub(crate) orders: Orders,
    /// Requests whose responder was dropped, with what they are answered.
    late: Vec<(RequestId, Status)>,
    /// Why nothing can be sent any more.
    closed: Option<Closed>,
    /// The owner, while it sleeps.
    owner: Option<Waker>,
}

/// What handles may know about the session without asking its owner.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) id: Option<u64>,
    pub(crate) connected: bool,
    pub(crate) max_body: usize,
    pub(crate) max_message: usize,
    pub(crate) max_requests: u16,
    pub(crate) stats: Stats,
    pub(crate) rtt_us: u32,
}

/// What the owner was asked to do.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Orders {
    /// Another connection takes the session over.
    pub(crate) fence: bool,
    /// Nothing more will be sent.
    pub(crate) finish: bool,
    /// Close the connection and, if told so, end the session.
    pub(crate) close: Option<(CloseCode, bool)>,
    /// Announce that this end leaves: grace and spread in milliseconds.
    pub(crate) drain: Option<(u32, u32)>,
}

/// A request of a handle's, in the slot of its number.
#[derive(Debug)]
enum Call {
    Free,
    /// Asked; someone may be waiting.
    Waiting { waker: Option<Waker> },
    Done(Status, Bytes),
    /// The session was lost before the response came.
    Failed(Closed),
    /// Nobody waits any more; the response will free the slot.
    Abandoned,
}

#[derive(Debug)]
struct PendingReceipt {
    position: Place,
    waker: Option<Waker>,
}

/// Where a staged frame is: still here, or in the session's ring.
#[derive(Debug, Copy, Clone)]
enum Place {
    Staged(u64),
    Ring(u64),
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { dirty: AtomicBool::new(false), inner: Mutex::new(Inner::default()) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something for the owner.
    #[inline]
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.load(Ordering::Relaxed)
    }

    /// Locks for the owner, which now takes everything there is.
    pub(crate) fn lock_clean(&self) -> MutexGuard<'_, Inner> {
        let inner = self.lock();
        self.dirty.store(false, Ordering::Relaxed);
        inner
    }

    /// Registers the owner before it sleeps; false if there is something to do first.
    pub(crate) fn sleep(&self, waker: &Waker) -> bool {
        let mut inner = self.lock();
        if self.dirty.load(Ordering::Acquire) {
            return false;
        }
        match &mut inner.owner {
            Some(owner) if owner.will_wake(waker) => {}
            owner => *owner = Some(waker.clone()),
        }
        true
    }

    /// Lets go of the lock and wakes the owner if it sleeps.
    pub(crate) fn notify(&self, mut inner: MutexGuard<'_, Inner>) {
        self.dirty.store(true, Ordering::Release);
        let owner = inner.owner.take();
        drop(inner);
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Gives the owner an order.
    pub(crate) fn order(&self, order: impl FnOnce(&mut Orders)) {
        let mut inner = self.lock();
        order(&mut inner.orders);
        self.notify(inner);
    }
}

impl Inner {
    /// Takes the staged frames, leaving `spare` to stage into, and lets those who waited go on.
    /// `end` is the session's position after what it holds already.
    pub(crate) fn take_staged(&mut self, spare: &mut Vec<u8>, end: u64) -> Vec<Waker> {
        debug_assert!(spare.is_empty(), "the owner gives an empty queue back");
        std::mem::swap(&mut self.staged, spare);
        let from = self.staged_total - spare.len() as u64;
        for receipt in &mut self.receipts {
            if let Place::Staged(at) = receipt.position {
                receipt.position = Place::Ring(end + (at - from));
            }
        }
        std::mem::take(&mut self.waiting)
    }

    /// A responder was dropped: the owner answers in its place.
    pub(crate) fn answer_later(&mut self, id: RequestId, status: Status) {
        if self.closed.is_none() {
            self.late.push((id, status));
        }
    }

    pub(crate) fn take_late_answers(&mut self) -> Vec<(RequestId, Status)> {
        std::mem::take(&mut self.late)
    }

    pub(crate) fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Memory that only traffic needs goes back.
    pub(crate) fn shrink(&mut self) {
        if self.staged.is_empty() {
            self.staged = Vec::new();
        }
        if self.waiting.is_empty() {
            self.waiting = Vec::new();
        }
    }

    /// Whether a frame with a body of `body` bytes can be staged.
    pub(crate) fn check(&self, body: usize) -> Result<(), SendError> {
        if let Some(closed) = &self.closed {
            return Err(SendError::Closed(closed.clone()));
        }
        if self.orders.finish {
            return Err(SendError::Finished);
        }
        if self.facts.id.is_none() {
            return Err(SendError::NotOpen);
        }
        if body > self.facts.max_body {
            return Err(SendError::TooLarge { limit: self.facts.max_body });
        }
        if self.open || self.staged.len() + HEADER_LEN + body > STAGED_MAX {
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// Stages one frame that was checked.
    #[inline]
    pub(crate) fn stage(&mut self, header: Header, front: &[u8], payload: &[u8]) {
        self.staged.extend_from_slice(&header.to_bytes());
        self.staged.extend_from_slice(front);
        self.staged.extend_from_slice(payload);
        self.staged_total += (HEADER_LEN + front.len() + payload.len()) as u64;
    }

    /// Stages a one-way message that fits a frame.
    pub(crate) fn stage_message(&mut self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        let bytes = route.to_bytes();
        let front = &bytes[..route.encoded_len()];
        let body = front.len() + payload.len();
        self.check(body)?;
        self.stage(Header::new(Op::Message, route.tag(), body as u16), front, payload);
        Ok(())
    }

    /// Calls `waker` when there is room or the session is over.
    pub(crate) fn wait_for_room(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|other| other.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// A receipt for everything staged so far.
    pub(crate) fn receipt(&mut self) -> u64 {
        let position = Place::Staged(self.staged_total);
        self.receipts.push_back(PendingReceipt { position, waker: None });
        self.first_receipt + self.receipts.len() as u64 - 1
    }

    /// Whether the peer took what receipt `number` stands for.
    pub(crate) fn poll_receipt(&mut self, number: u64, waker: &Waker) -> Poll<Result<(), Closed>> {
        let Some(index) = number.checked_sub(self.first_receipt) else {
            return Poll::Ready(self.failed_receipts.remove(&number).map_or(Ok(()), Err));
        };
        let Some(receipt) = usize::try_from(index).ok().and_then(|i| self.receipts.get_mut(i)) else {
            return Poll::Ready(Ok(()));
        };
        receipt.waker = Some(waker.clone());
        Poll::Pending
    }

    /// The peer took everything up to `position`; those who asked about it are returned.
    pub(crate) fn acknowledge(&mut self, position: Position, wake: &mut Vec<Waker>) {
        self.acknowledged = position.get();
        while let Some(front) = self.receipts.front_mut() {
            match front.position {
                Place::Ring(at) if at <= self.acknowledged => {
                    wake.extend(front.waker.take());
                    self.receipts.pop_front();
                    self.first_receipt += 1;
                }
                Place::Ring(_) | Place::Staged(_) => break,
            }
        }
    }

    pub(crate) fn has_receipts(&self) -> bool {
        !self.receipts.is_empty()
    }

    /// Takes a free slot for a request of which nothing is staged yet.
    pub(crate) fn reserve_call(&mut self) -> Result<RequestId, SendError> {
        self.check(0)?;
        let id = match self.free_calls.pop() {
            Some(id) => id,
            None if self.calls.len() < usize::from(self.facts.max_requests) => {
                self.calls.push(Call::Free);
                (self.calls.len() - 1) as u16
            }
            None => return Err(SendError::Full),
        };
        self.calls[usize::from(id)] = Call::Waiting { waker: None };
        Ok(RequestId(id))
    }

    /// Gives a slot back of which nothing was staged.
    pub(crate) fn release_call(&mut self, id: RequestId) {
        if let Some(call) = self.calls.get_mut(usize::from(id.0)) {
            *call = Call::Free;
            self.free_calls.push(id.0);
        }
    }

    /// The response to request `id`, once it is there.
    pub(crate) fn poll_call(
        &mut self,
        id: RequestId,
        waker: &Waker,
    ) -> Poll<Result<(Status, Bytes), Closed>> {
        let Some(call) = self.calls.get_mut(usize::from(id.0)) else {
            return Poll::Pending;
        };
        match std::mem::replace(call, Call::Free) {
            Call::Done(status, payload) => {
                self.free_call(id);
                Poll::Ready(Ok((status, payload)))
            }
            Call::Failed(closed) => {
                self.free_call(id);
                Poll::Ready(Err(closed))
            }
            Call::Waiting { .. } => {
                *call = Call::Waiting { waker: Some(waker.clone()) };
                Poll::Pending
            }
            other @ (Call::Free | Call::Abandoned) => {
                *call = other;
                Poll::Pending
            }
        }
    }

    /// Nobody waits for request `id` any more: the peer is told, if there is room to tell it.
    pub(crate) fn abandon_call(&mut self, id: RequestId) {
        let Some(call) = self.calls.get_mut(usize::from(id.0)) else {
            return;
        };
        match call {
            Call::Waiting { .. } => {
                *call = Call::Abandoned;
                if self.check(2).is_ok() {
                    self.stage(Header::new(Op::Cancel, 0, 2), &id.0.to_le_bytes(), &[]);
                }
            }
            Call::Done(..) | Call::Failed(_) => {
                *call = Call::Free;
                self.free_call(id);
            }
            Call::Free | Call::Abandoned => {}
        }
    }

    fn free_call(&mut self, id: RequestId) {
        self.free_calls.push(id.0);
    }

    /// The response to request `id` came.
    pub(crate) fn complete(&mut self, id: RequestId, status: Status, payload: &[u8]) -> Vec<Waker> {
        let waker = match self.calls.get_mut(usize::from(id.0)) {
            Some(call @ Call::Waiting { .. }) => {
                match std::mem::replace(call, Call::Done(status, Bytes::copy_from_slice(payload))) {
                    Call::Waiting { waker } => waker,
                    Call::Free | Call::Done(..) | Call::Failed(_) | Call::Abandoned => None,
                }
            }
            Some(call @ Call::Abandoned) => {
                *call = Call::Free;
                self.free_call(id);
                None
            }
            Some(Call::Free | Call::Done(..) | Call::Failed(_)) | None => None,
        };
        let mut wake: Vec<Waker> = waker.into_iter().collect();
        // A slot is free again, or will be: whoever waited for one may try.
        wake.append(&mut self.waiting);
        wake
    }

    /// The session exists and has these limits. Those who waited for it may go on.
    pub(crate) fn open_session(&mut self, facts: Facts) -> Vec<Waker> {
        self.facts = facts;
        std::mem::take(&mut self.waiting)
    }

    /// The session is over: everybody who waits is told.
    pub(crate) fn close(&mut self, closed: Closed) -> Vec<Waker> {
        self.facts.connected = false;
        self.closed.get_or_insert(closed);
        let mut wake = std::mem::take(&mut self.waiting);
        let closed = self.closed.clone();
        for (index, call) in self.calls.iter_mut().enumerate() {
            match call {
                Call::Waiting { waker } => {
                    wake.extend(waker.take());
                    *call = closed.clone().map_or(Call::Free, Call::Failed);
                }
                Call::Abandoned => {
                    *call = Call::Free;
                    self.free_calls.push(index as u16);
                }
                Call::Free | Call::Done(..) | Call::Failed(_) => {}
            }
        }
        for receipt in self.receipts.drain(..) {
            let reached = match (receipt.position, closed.as_ref().and_then(|c| c.peer_received)) {
                (Place::Ring(at), Some(received)) => at <= received,
                (Place::Staged(_) | Place::Ring(_), _) => false,
            };
            if let Some(closed) = closed.clone().filter(|closed| !reached && !closed.complete) {
                self.failed_receipts.insert(self.first_receipt, closed);
            }
            self.first_receipt += 1;
            wake.extend(receipt.waker);
        }
        wake
    }

    /// A new session takes the place of one that was lost: nothing of the old one is sent again.
    pub(crate) fn replace(&mut self) {
        self.open = false;
        self.closed = None;
        self.acknowledged = 0;
        self.facts = Facts::default();
    }

    /// What was staged and will not be sent.
    pub(crate) fn discard(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.staged)
    }

    /// Nobody asks for receipt `number` any more.
    pub(crate) fn forget_receipt(&mut self, number: u64) {
        self.failed_receipts.remove(&number);
    }

    pub(crate) const fn closed(&self) -> Option<&Closed> {
        self.closed.as_ref()
    }
}
