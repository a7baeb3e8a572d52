//! Describes a router.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use outlast_core::CloseCode;

use super::context::Context;
use super::extract::Needs;
use super::function::{Asynchronous, Borrowing, Endpoint, IntoEndpoint, Mounted};
use super::hook::Hook;
use super::key::{NAMES, RouteKey};
use super::life::{End, Life};
use super::link::Link;
use super::pool::{BlockingPool, QueueLimits};
use super::reply::IntoReply;
use super::routes::Routes;
use super::stats::Counters;
use super::table::{Common, DIRECT, Entry, NOWHERE, Observer, Run, States, Table};
use crate::handler::Cause;

/// Puts something around every asynchronous handler.
pub(crate) type Around = Box<dyn Fn(Arc<dyn Asynchronous>) -> Arc<dyn Asynchronous> + Send + Sync>;

/// Describes which handler has which messages and requests; [`build`](Self::build) it, and it makes
/// the handlers of servers and clients.
///
/// What is set for the router (hooks, layers, state) holds for all of its routes, whichever came
/// first. `H` is the type of its hooks.
pub struct Router<H = ()> {
    hooks: H,
    routes: Vec<(RouteKey, Mounted<H>)>,
    fallback: Option<Mounted<H>>,
    pub(super) layers: Vec<Around>,
    states: States,
    life: Life,
    observer: Option<Observer>,
    limits: QueueLimits,
    deadline: Option<Duration>,
    threads: usize,
    finish_with_peer: bool,
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl Router {
    /// A router without routes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            hooks: (),
            routes: Vec::new(),
            fallback: None,
            layers: Vec::new(),
            states: States::default(),
            life: Life::default(),
            observer: None,
            limits: QueueLimits::default(),
            deadline: None,
            threads: BLOCKING_THREADS,
            finish_with_peer: true,
        }
    }
}

/// Threads for blocking handlers, unless it is said otherwise.
const BLOCKING_THREADS: usize = 16;

impl<H: Hook> Router<H> {
    /// Gives what comes for `key` to `handler`: a plain function, which runs at once in the
    /// connection's task and must not block, or an async one, which runs in order in a task of the
    /// session's. See [`IntoEndpoint`].
    #[must_use]
    pub fn route<M>(mut self, key: impl Into<RouteKey>, handler: impl IntoEndpoint<M>) -> Self {
        self.routes.push((key.into(), handler.mount()));
        self
    }

    /// Gives what comes for `key` to a function that borrows it: the shortest way there is. It runs
    /// in the connection's task and must not block.
    #[must_use]
    pub fn on<F, R>(mut self, key: impl Into<RouteKey>, handler: F) -> Self
    where
        F: Fn(&mut Context<'_>) -> R + Send + Sync + 'static,
        R: IntoReply + 'static,
    {
        let mounted = Mounted::inline(Borrowing(handler), Needs::default());
        self.routes.push((key.into(), mounted));
        self
    }

    /// Gives what has no route to `handler`. Otherwise requests are answered
    /// [`Status::NO_ROUTE`](outlast_core::wire::Status::NO_ROUTE), and messages counted.
    #[must_use]
    pub fn fallback<M>(mut self, handler: impl IntoEndpoint<M>) -> Self {
        self.fallback = Some(handler.mount());
        self
    }

    /// Adds a hook around everything this router has, inside of those added before. It sees what
    /// has no route, too.
    #[must_use]
    pub fn hook<B: Hook>(self, hook: B) -> Router<(H, B)> {
        Router {
            hooks: (self.hooks, hook),
            // What is in one piece with fewer hooks is of no use any more.
            routes: self.routes.into_iter().map(|(key, it)| (key, it.apart())).collect(),
            fallback: self.fallback.map(Mounted::apart),
            layers: self.layers,
            states: self.states,
            life: self.life,
            observer: self.observer,
            limits: self.limits,
            deadline: self.deadline,
            threads: self.threads,
            finish_with_peer: self.finish_with_peer,
        }
    }

    /// Takes the routes of `other` in, with its hooks and layers around them, inside of this
    /// router's; its states where this one has none of the type, what it does when sessions come
    /// and go behind what this one does. Its fallback and its limits are not taken.
    #[must_use]
    pub fn nest<N: Hook>(mut self, other: Router<N>) -> Self {
        let hooks: Option<Arc<dyn Hook>> =
            (!is_unit::<N>()).then(|| Arc::new(other.hooks) as Arc<dyn Hook>);
        for (key, mounted) in other.routes {
            let mut mounted = mounted.apart();
            mounted.endpoint.hooks.splice(0..0, hooks.clone());
            surround(&mut mounted.endpoint, &other.layers);
            self.routes.push((key, mounted));
        }
        self.states.extend(other.states);
        self.life.extend(other.life);
        self
    }

    /// Gives handlers a state; `State<S>` and [`Context::state`] find it by its type.
    #[must_use]
    pub fn state<S: Send + Sync + 'static>(mut self, state: S) -> Self {
        self.states.insert(state);
        self
    }

    /// Tells `observer` of errors that peers are not told: those handlers return as
    /// [`BoxError`](super::BoxError), and answers that cannot be encoded.
    #[must_use]
    pub fn on_error<F>(mut self, observer: F) -> Self
    where
        F: Fn(&Context<'_>, &(dyn Error + Send + Sync + 'static)) + Send + Sync + 'static,
    {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Calls `told` once for each session, when it is open and before its first message.
    #[must_use]
    pub fn on_open(mut self, told: impl Fn(&Link) + Send + Sync + 'static) -> Self {
        self.life.open.push(Box::new(told));
        self
    }

    /// Calls `told` each time a session goes on over another connection, with the bytes that this
    /// end sends again.
    #[must_use]
    pub fn on_resume(mut self, told: impl Fn(&Link, u64) + Send + Sync + 'static) -> Self {
        self.life.resume.push(Box::new(told));
        self
    }

    /// Calls `told` each time a connection is gone and its session lives on.
    #[must_use]
    pub fn on_detach(
        mut self,
        told: impl Fn(&Link, CloseCode, Cause) + Send + Sync + 'static,
    ) -> Self {
        self.life.detach.push(Box::new(told));
        self
    }

    /// Calls `told` once for each session that was opened, when it is over, whatever ended it.
    #[must_use]
    pub fn on_close(mut self, told: impl Fn(&Link, End) + Send + Sync + 'static) -> Self {
        self.life.close.push(Box::new(told));
        self
    }

    /// Sets how much of a session may wait for its handlers, and what becomes of more.
    #[must_use]
    pub const fn queue(mut self, limits: QueueLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how long a request may take, from its arrival, if its handler is asynchronous. Then it
    /// is answered [`Status::DEADLINE`](outlast_core::wire::Status::DEADLINE), and the handler's
    /// future dropped.
    #[must_use]
    pub const fn deadline(mut self, limit: Duration) -> Self {
        self.deadline = Some(limit);
        self
    }

    /// Sets how many threads [`blocking`](super::blocking) handlers may have; 16 otherwise.
    #[must_use]
    pub const fn blocking_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// Sets whether a session is finished on this side once the peer has finished and everything
    /// it sent is handled; it is otherwise. A client that has more to say says no.
    #[must_use]
    pub const fn finish_with_peer(mut self, finish: bool) -> Self {
        self.finish_with_peer = finish;
        self
    }

    /// Checks and builds it.
    ///
    /// # Errors
    ///
    /// Two routes of one name or number, names that share a number, a number that is reserved for
    /// names, a state that a handler takes and nobody gave, limits of nothing.
    pub fn build(self) -> Result<Routes<H>, BuildError> {
        self.limits.validate()?;
        let (mut direct, mut by_id) = ([NOWHERE; DIRECT], HashMap::new());
        let (mut entries, mut whole) = (Vec::<Entry>::new(), Vec::new());
        let count = self.routes.len() + usize::from(self.fallback.is_some());
        if count >= usize::from(NOWHERE) {
            return Err(BuildError::TooMany(count));
        }
        for (key, Mounted { mut endpoint, whole: piece }) in self.routes {
            let number = key.route().get();
            if matches!(key, RouteKey::Id(NAMES..)) {
                return Err(BuildError::Reserved(number));
            }
            check(&self.states, Some(&key), &endpoint.needs)?;
            surround(&mut endpoint, &self.layers);
            let entry = entries.len() as u16;
            let earlier = match direct.get_mut(number as usize) {
                Some(place) => Some(std::mem::replace(place, entry)),
                None => by_id.insert(number, entry),
            };
            let earlier = earlier.and_then(|earlier| entries.get(usize::from(earlier)));
            if let Some(earlier) = earlier.and_then(|earlier| earlier.key.clone()) {
                return Err(if earlier == key {
                    BuildError::Twice(key)
                } else {
                    BuildError::Collision(earlier, key)
                });
            }
            entries.push(entry_of(Some(key), endpoint));
            whole.push(piece);
        }
        let mut fallback = NOWHERE;
        if let Some(Mounted { mut endpoint, whole: piece }) = self.fallback {
            check(&self.states, None, &endpoint.needs)?;
            surround(&mut endpoint, &self.layers);
            fallback = entries.len() as u16;
            entries.push(entry_of(None, endpoint));
            whole.push(piece);
        }
        let common = Common {
            direct,
            by_id,
            entries,
            fallback,
            states: self.states,
            life: self.life,
            observer: self.observer,
            limits: self.limits,
            deadline: self.deadline,
            threads: BlockingPool::new(self.threads),
            finish_with_peer: self.finish_with_peer,
            counters: Counters::default(),
            links: AtomicU64::new(1),
        };
        Ok(Routes::new(Table { hooks: self.hooks, whole: whole.into(), common }))
    }
}

fn is_unit<N: 'static>() -> bool {
    std::any::TypeId::of::<N>() == std::any::TypeId::of::<()>()
}

fn entry_of(key: Option<RouteKey>, endpoint: Endpoint) -> Entry {
    Entry { key, hooks: endpoint.hooks.into(), run: endpoint.run }
}

/// Puts layers around an asynchronous handler, the last outermost.
fn surround(endpoint: &mut Endpoint, layers: &[Around]) {
    if let Run::Queued(queued) = &mut endpoint.run {
        for layer in layers {
            queued.service = layer(Arc::clone(&queued.service));
        }
    }
}

fn check(states: &States, key: Option<&RouteKey>, needs: &Needs) -> Result<(), BuildError> {
    match needs.states.iter().find(|(kind, _)| !states.has(*kind)) {
        Some((_, name)) => Err(BuildError::NoState { key: key.cloned(), state: name }),
        None => Ok(()),
    }
}

impl<H> fmt::Debug for Router<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.routes.iter().map(|(key, _)| key).collect();
        f.debug_struct("Router").field("routes", &keys).finish_non_exhaustive()
    }
}

/// Why a router cannot be built.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// One key has two handlers.
    Twice(RouteKey),
    /// Two keys are the same number on the wire: one of the names has to change.
    Collision(RouteKey, RouteKey),
    /// Numbers from `0x8000_0000` on stand for names.
    Reserved(u32),
    /// A handler takes a state that the router was not given.
    NoState {
        /// Of which route; `None` is the fallback.
        key: Option<RouteKey>,
        /// The state's type.
        state: &'static str,
    },
    /// A limit of zero lets nothing through.
    NoRoom(&'static str),
    /// More routes than 65,534.
    TooMany(usize),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice(key) => write!(f, "route {key} has two handlers"),
            Self::Collision(one, two) => {
                let number = one.route().get();
                write!(f, "{one} and {two} are both {number:#010x} on the wire: rename one")
            }
            Self::Reserved(id) => {
                write!(f, "{id:#010x} stands for a name: register the name, or a smaller number")
            }
            Self::NoState { key: Some(key), state } => {
                write!(f, "the handler of {key} takes the state {state}: call `state`")
            }
            Self::NoState { key: None, state } => {
                write!(f, "the fallback takes the state {state}: call `state`")
            }
            Self::NoRoom(limit) => write!(f, "`{limit}` of zero lets nothing through"),
            Self::TooMany(count) => write!(f, "{count} routes are too many"),
        }
    }
}

impl Error for BuildError {}
