//! What of one session waits for one place, in order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Waker};
use std::time::Instant;

use bytes::Bytes;
use outlast_core::wire::{Route, Status};

use super::context::Kind;
use super::crew::Crew;
use super::link::Link;
use super::reply::Reply;
use super::table::Shell;
use crate::handle::Responder;
use crate::overview::lock;

/// What of one session waits for one place.
pub(crate) struct Line {
    link: Link,
    pub(super) shell: Arc<dyn Shell>,
    backlog: Mutex<Backlog>,
    /// Things that were pushed and are not done.
    under_way: AtomicUsize,
    /// The worker that has them, where everything is to go to one.
    pinned: Mutex<Option<Arc<Crew>>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("link", &self.link).finish_non_exhaustive()
    }
}

/// Things in order, each with its payload in `bytes`: a peer that sends empty messages must not
/// take much more memory than its window.
#[derive(Default)]
struct Backlog {
    things: VecDeque<Thing>,
    bytes: VecDeque<u8>,
    /// One for each request among the things.
    asks: VecDeque<Ask>,
}

/// A message or request that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thing {
    pub(crate) entry: u16,
    pub(crate) kind: Kind,
    /// It counts as taken when it is done, not before.
    pub(crate) held: bool,
    pub(crate) route: Route,
    pub(crate) ticket: u32,
    len: u32,
}

impl Thing {
    pub(crate) const fn new(entry: u16, kind: Kind, route: Route) -> Self {
        Self { entry, kind, held: false, route, ticket: 0, len: 0 }
    }
}

/// What a request brings along.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) asked: Arc<Asked>,
    /// When it is too late for an answer.
    pub(crate) until: Option<Instant>,
}

/// The duty to answer, whatever the request came over.
#[derive(Debug)]
pub(crate) enum Answerer {
    Session(Responder),
    #[cfg(feature = "formats")]
    Plain(super::plain::Answer),
}

impl Answerer {
    /// Answers once there is room.
    pub(crate) async fn answer(self, reply: &Reply) {
        match self {
            // It fails if nobody waits for the answer any more, or if it is too long for the peer:
            // then the responder answers INTERNAL by itself.
            Self::Session(responder) => {
                let _ = responder.respond(reply.code(), reply.payload()).await;
            }
            #[cfg(feature = "formats")]
            Self::Plain(answer) => answer.answer(reply),
        }
    }

    fn decline(self, status: Status) {
        match self {
            Self::Session(responder) => responder.decline(status),
            #[cfg(feature = "formats")]
            Self::Plain(answer) => answer.answer(&Reply::status(status)),
        }
    }
}

/// A request that a task is to answer, shared with the connection's task, which may cancel it.
#[derive(Debug)]
pub(crate) struct Asked {
    responder: Mutex<Option<Answerer>>,
    cancelled: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Asked {
    pub(crate) fn new(responder: Answerer) -> Self {
        let responder = Mutex::new(Some(responder));
        Self { responder, cancelled: AtomicBool::new(false), waker: Mutex::default() }
    }

    /// The peer wants no answer: it gets one at once, and whoever works on it stops.
    pub(crate) fn cancel(&self) {
        if let Some(responder) = self.take() {
            self.cancelled.store(true, Ordering::Release);
            responder.decline(Status::CANCELLED);
            lock(&self.waker).take().into_iter().for_each(Waker::wake);
        }
    }

    /// The right to answer, once.
    pub(crate) fn take(&self) -> Option<Answerer> {
        lock(&self.responder).take()
    }

    /// Whether it was cancelled; `cx` is woken if it will be.
    pub(crate) fn is_cancelled(&self, cx: &TaskContext<'_>) -> bool {
        let mut waker = lock(&self.waker);
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.cancelled.load(Ordering::Acquire)
    }

    pub(crate) fn was_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

impl Line {
    pub(crate) fn new(link: Link, shell: Arc<dyn Shell>) -> Self {
        Self {
            link,
            shell,
            backlog: Mutex::default(),
            under_way: AtomicUsize::new(0),
            pinned: Mutex::default(),
        }
    }

    pub(crate) const fn link(&self) -> &Link {
        &self.link
    }

    /// Puts a thing at the end.
    pub(crate) fn push(&self, mut thing: Thing, payload: &[u8], ask: Option<Ask>) {
        self.link.enter(payload.len());
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let mut backlog = lock(&self.backlog);
        thing.len = payload.len() as u32;
        backlog.things.push_back(thing);
        backlog.bytes.extend(payload);
        backlog.asks.extend(ask);
    }

    /// Takes the first thing out.
    pub(super) fn pop(&self) -> Option<(Thing, Bytes, Option<Ask>)> {
        let mut backlog = lock(&self.backlog);
        let thing = backlog.things.pop_front()?;
        let len = thing.len as usize;
        let mut payload = Vec::with_capacity(len);
        let (first, second) = backlog.bytes.as_slices();
        let ahead = first.len().min(len);
        payload.extend_from_slice(&first[..ahead]);
        payload.extend_from_slice(&second[..len - ahead]);
        backlog.bytes.drain(..len);
        let ask = if thing.kind == Kind::Request { backlog.asks.pop_front() } else { None };
        if backlog.things.is_empty() {
            backlog.shrink();
        }
        drop(backlog);
        self.link.begin(len);
        Some((thing, Bytes::from(payload), ask))
    }

    /// Something that was popped is done.
    pub(super) fn done(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// The session is over: what waits is dropped. How much of it were messages.
    pub(crate) fn close(&self) -> usize {
        let mut backlog = lock(&self.backlog);
        let asks = std::mem::take(&mut backlog.asks);
        let things = std::mem::take(&mut backlog.things);
        backlog.bytes = VecDeque::new();
        drop(backlog);
        for thing in &things {
            self.link.begin(thing.len as usize);
            self.link.leave_place();
            self.link.leave();
            self.done();
        }
        things.len() - asks.len()
    }

    /// Where everything of this line goes: `here`, unless something of it is elsewhere.
    pub(crate) fn pin(&self, here: &Arc<Crew>) -> Arc<Crew> {
        let mut pinned = lock(&self.pinned);
        // The thing that is to be pushed counts already.
        match &*pinned {
            Some(there) if self.under_way.load(Ordering::Acquire) > 1 => Arc::clone(there),
            _ => Arc::clone(pinned.insert(Arc::clone(here))),
        }
    }
}

impl Backlog {
    /// Gives memory back that many things needed.
    fn shrink(&mut self) {
        if self.things.capacity() > KEPT {
            self.things = VecDeque::new();
        }
        if self.bytes.capacity() > KEPT {
            self.bytes = VecDeque::new();
        }
    }
}

/// An empty backlog keeps so many places and bytes.
const KEPT: usize = 4 << 10;

/// A peer's window may be full of empty messages.
const _: () = assert!(size_of::<Thing>() <= 16, "a thing that waits takes little");
