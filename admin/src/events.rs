//! Those who follow what happens: each is sent the same, once a second, as long as it takes it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events that wait for one follower; who is slower misses some.
const WAITING: usize = 2;

/// Everybody who follows.
#[derive(Debug, Default)]
pub(crate) struct Hub(Mutex<Vec<Sender<Bytes>>>);

impl Hub {
    fn followers(&self) -> MutexGuard<'_, Vec<Sender<Bytes>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows from `first` on; `None` if so many do already.
    pub(crate) fn follow(
        &self,
        most: usize,
        first: impl FnOnce() -> Bytes,
    ) -> Option<Receiver<Bytes>> {
        let mut followers = self.followers();
        followers.retain(|follower| !follower.is_closed());
        if followers.len() >= most {
            return None;
        }
        let (follower, events) = channel(WAITING);
        followers.push(follower.clone());
        drop(followers);
        // There is room for it.
        let _ = follower.try_send(first());
        Some(events)
    }

    /// Sends `event` to everybody; it is made only if somebody follows.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Bytes) {
        let mut followers = self.followers();
        followers.retain(|follower| !follower.is_closed());
        if followers.is_empty() {
            return;
        }
        drop(followers);
        let event = event();
        self.followers().retain(|follower| {
            !matches!(follower.try_send(event.clone()), Err(TrySendError::Closed(_)))
        });
    }

    /// Nobody follows any more.
    pub(crate) fn end(&self) {
        self.followers().clear();
    }
}

/// One event as it goes over the wire; JSON has no line breaks in it.
pub(crate) fn event(json: &serde_json::Value) -> Bytes {
    Bytes::from(format!("data: {json}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn who_is_slow_misses_some_and_who_leaves_makes_room() {
        let hub = Hub::default();
        hub.tell(|| panic!("nobody follows"));
        let mut first = hub.follow(2, || bytes("a")).unwrap();
        let second = hub.follow(2, || bytes("a")).unwrap();
        assert!(hub.follow(2, || panic!("there is no room")).is_none());
        ["b", "c", "d"].into_iter().for_each(|text| hub.tell(|| bytes(text)));
        assert_eq!(first.try_recv().unwrap(), "a");
        assert_eq!(first.try_recv().unwrap(), "b");
        assert!(first.try_recv().is_err(), "what found no room is not kept");
        drop(second);
        assert!(hub.follow(2, || bytes("a")).is_some());
        drop(first);
        hub.tell(|| panic!("nobody follows any more"));
    }
}
