//! Requests that were sent and are not answered: who waits for which correlation.

use std::collections::HashMap;
use std::task::{Poll, Waker};

use bytes::Bytes;
use outlast_formats::{Key, Packet};

use super::error::{PlainClosed, PlainError};
use super::handle::PlainResponse;

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: u32,
    open: HashMap<u32, Call>,
}

#[derive(Debug)]
enum Call {
    Waiting(Option<Waker>),
    Done(Result<PlainResponse, PlainError>),
}

impl Calls {
    /// A correlation that no open request has, unless `max` of them are open.
    pub(super) fn begin(&mut self, max: u32) -> Option<u32> {
        if self.open.len() >= max as usize {
            return None;
        }
        // There are more numbers than open requests.
        loop {
            self.next = self.next.wrapping_add(1);
            // 0 means in some formats that there is none; RocketMQ's are positive.
            self.next &= 0x7FFF_FFFF;
            if self.next != 0 && !self.open.contains_key(&self.next) {
                break;
            }
        }
        self.open.insert(self.next, Call::Waiting(None));
        Some(self.next)
    }

    /// Nobody waits for this answer any more.
    pub(super) fn forget(&mut self, correlation: u32) {
        self.open.remove(&correlation);
    }

    pub(super) fn poll(
        &mut self,
        correlation: u32,
        waker: &Waker,
    ) -> Poll<Result<PlainResponse, PlainError>> {
        match self.open.get_mut(&correlation) {
            Some(Call::Waiting(waiting)) => {
                *waiting = Some(waker.clone());
                Poll::Pending
            }
            Some(Call::Done(_)) => match self.open.remove(&correlation) {
                Some(Call::Done(result)) => Poll::Ready(result),
                Some(Call::Waiting(_)) | None => Poll::Pending,
            },
            None => Poll::Ready(Err(PlainError::NotConnected)),
        }
    }

    /// An answer came. False if nobody asked: the application may know what it is.
    pub(super) fn complete(&mut self, packet: &Packet<'_>) -> (bool, Option<Waker>) {
        let asked = packet.correlation.and_then(|correlation| self.open.get_mut(&correlation));
        match asked {
            Some(call @ Call::Waiting(_)) => {
                let id = match packet.key {
                    Key::Id(id) => Some(id),
                    Key::None | Key::Name(_) => None,
                };
                let payload = Bytes::copy_from_slice(&packet.payload);
                let done = Call::Done(Ok(PlainResponse { id, payload }));
                match std::mem::replace(call, done) {
                    Call::Waiting(waker) => (true, waker),
                    Call::Done(_) => (true, None),
                }
            }
            // A second answer to the same request.
            Some(Call::Done(_)) => (true, None),
            None => (false, None),
        }
    }

    /// The connection is over: no answer will come.
    pub(super) fn fail(&mut self, closed: PlainClosed) -> Vec<Waker> {
        let mut wake = Vec::new();
        for call in self.open.values_mut() {
            if let Call::Waiting(waker) = call {
                wake.extend(waker.take());
                *call = Call::Done(Err(PlainError::Closed(closed)));
            }
        }
        wake
    }

    /// Requests that are not answered.
    pub(super) fn waiting(&self) -> usize {
        self.open.values().filter(|call| matches!(call, Call::Waiting(_))).count()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_find_their_requests_in_any_order_and_leave_nothing() {
        let mut calls = Calls::default();
        let waker = Waker::noop();
        let (first, second) = (calls.begin(2).unwrap(), calls.begin(2).unwrap());
        assert_eq!(calls.begin(2), None, "no more than may be open");
        assert!(calls.poll(first, waker).is_pending());
        assert!(calls.complete(&Packet::response(7, second, b"two")).0);
        assert!(calls.complete(&Packet::response(7, second, b"again")).0, "one answer counts");
        assert!(calls.complete(&Packet::response(7, first, b"one")).0);
        assert!(!calls.complete(&Packet::response(7, 99, b"who asked?")).0);
        let payload = |correlation| match calls.poll(correlation, waker) {
            Poll::Ready(Ok(response)) => response.payload,
            other => panic!("{other:?}"),
        };
        let mut payload = payload;
        assert_eq!(payload(second), "two");
        assert_eq!(payload(first), "one");
        assert_eq!(calls.len(), 0);
    }

    #[test]
    fn correlations_of_open_requests_are_not_used_again() {
        let mut calls = Calls { next: 0x7FFF_FFFD, ..Calls::default() };
        let numbers: Vec<u32> = (0..4).map(|_| calls.begin(9).unwrap()).collect();
        assert_eq!(numbers, [0x7FFF_FFFE, 0x7FFF_FFFF, 1, 2], "never 0, never negative");
        calls.next = 0;
        assert_eq!(calls.begin(9), Some(3));
    }
}
