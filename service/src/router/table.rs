//! What a router has become when it is built: routes by number, and what they share.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_core::wire::Route;

use super::context::Context;
use super::function::{Asynchronous, Inline};
use super::hook::Hook;
use super::key::{Key, RouteKey};
use super::life::Life;
use super::pool::{BlockingPool, QueueLimits, WorkerPool};
use super::reply::Reply;
use super::stats::Counters;
use super::whole::Whole;

/// Numbers below this are looked up in an array.
pub(crate) const DIRECT: usize = 256;
/// No route.
pub(crate) const NOWHERE: u16 = u16::MAX;

/// Who is told of errors that peers are not told.
pub(crate) type Observer =
    Box<dyn Fn(&Context<'_>, &(dyn Error + Send + Sync + 'static)) + Send + Sync>;

/// One route, or the fallback.
pub(crate) struct Entry {
    /// `None` for the fallback.
    pub(crate) key: Option<RouteKey>,
    /// Hooks that are not the whole router's, the outermost first.
    pub(crate) hooks: Box<[Arc<dyn Hook>]>,
    pub(crate) run: Run,
}

/// Where a handler runs.
pub(crate) enum Run {
    /// In the task of the connection.
    Inline(Arc<dyn Inline>),
    /// In another.
    Queued(Queued),
}

pub(crate) struct Queued {
    pub(crate) service: Arc<dyn Asynchronous>,
    pub(crate) home: Home,
}

/// Which other.
#[derive(Clone)]
pub(crate) enum Home {
    /// One task of the session's, in order with everything else that runs there.
    Ordered,
    /// Up to so many tasks of the session's.
    Concurrent(usize),
    /// The workers of a pool.
    Pool(WorkerPool),
    /// The threads of a pool; the router's own if none is named.
    Threads(Option<BlockingPool>),
}

/// Values by type.
#[derive(Default)]
pub(crate) struct States(Vec<(TypeId, Box<dyn Any + Send + Sync>)>);

impl States {
    pub(crate) fn insert<S: Send + Sync + 'static>(&mut self, state: S) {
        self.0.retain(|(kind, _)| *kind != TypeId::of::<S>());
        self.0.push((TypeId::of::<S>(), Box::new(state)));
    }

    pub(crate) fn get<S: 'static>(&self) -> Option<&S> {
        let (_, state) = self.0.iter().find(|(kind, _)| *kind == TypeId::of::<S>())?;
        state.downcast_ref()
    }

    pub(crate) fn has(&self, kind: TypeId) -> bool {
        self.0.iter().any(|(known, _)| *known == kind)
    }

    /// What `other` has and this has not.
    pub(crate) fn extend(&mut self, other: Self) {
        for (kind, state) in other.0 {
            if !self.has(kind) {
                self.0.push((kind, state));
            }
        }
    }
}

/// Everything of a router that does not depend on the type of its hooks.
pub(crate) struct Common {
    /// By number, for small ones.
    pub(crate) direct: [u16; DIRECT],
    /// By number, for others and for those of names.
    pub(crate) by_id: HashMap<u32, u16>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) fallback: u16,
    pub(crate) states: States,
    pub(crate) life: Life,
    pub(crate) observer: Option<Observer>,
    pub(crate) limits: QueueLimits,
    /// How long requests may take that run in tasks.
    pub(crate) deadline: Option<Duration>,
    pub(crate) threads: BlockingPool,
    pub(crate) finish_with_peer: bool,
    pub(crate) counters: Counters,
    pub(crate) links: AtomicU64,
}

impl Common {
    /// The entry of a route: [`NOWHERE`] if there is none and no fallback.
    #[inline]
    pub(crate) fn find(&self, route: Route) -> u16 {
        let number = route.get();
        let found = match self.direct.get(number as usize) {
            Some(entry) => *entry,
            None => self.find_large(number),
        };
        if found == NOWHERE { self.fallback } else { found }
    }

    #[cold]
    #[inline(never)]
    fn find_large(&self, number: u32) -> u16 {
        self.by_id.get(&number).copied().unwrap_or(NOWHERE)
    }

    #[inline]
    pub(crate) fn entry(&self, entry: u16) -> Option<&Entry> {
        self.entries.get(usize::from(entry))
    }

    /// What a route is called.
    pub(crate) fn key(&self, entry: u16, route: Route) -> Key<'_> {
        let known = self.entry(entry).and_then(|entry| entry.key.as_ref());
        known.map_or_else(|| Key::Id(route.get()), RouteKey::as_key)
    }

    /// Tells the observer of errors.
    pub(crate) fn observe(&self, cx: &Context<'_>, reply: &Reply) {
        if let (Some(observer), Some(error)) = (&self.observer, reply.error()) {
            observer(cx, error);
        }
    }

    /// The number of the next link.
    pub(crate) fn next_link(&self) -> u64 {
        self.links.fetch_add(1, Ordering::Relaxed)
    }
}

/// A router that is built: its hooks around everything else.
pub(crate) struct Table<H> {
    pub(crate) hooks: H,
    /// Entries whose functions are in one piece with the hooks.
    pub(crate) whole: Box<[Option<Arc<dyn Whole<H>>>]>,
    pub(crate) common: Common,
}

/// A [`Table`], whatever its hooks.
pub(crate) trait Shell: Send + Sync {
    fn common(&self) -> &Common;

    /// Runs what comes after the handler.
    fn after(&self, cx: &Context<'_>, reply: &Reply);
}

impl<H: Hook> Shell for Table<H> {
    fn common(&self) -> &Common {
        &self.common
    }

    fn after(&self, cx: &Context<'_>, reply: &Reply) {
        let hooks = self.common.entry(cx.entry).map_or(&[][..], |entry| &entry.hooks);
        hooks.iter().rev().for_each(|hook| hook.after(cx, reply));
        self.hooks.after(cx, reply);
    }
}
