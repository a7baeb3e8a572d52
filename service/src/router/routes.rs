//! A router that is built, and its side of each session.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use outlast_core::wire::{RequestId, Route, Status};
use outlast_core::{CloseCode, Position};

use super::context::{Context, Kind, Outlet};
use super::crew::Crew;
use super::hook::{Flow, Hook};
use super::life::End;
use super::line::{Answerer, Ask, Asked, Line, Thing};
use super::link::Link;
use super::pool::WhenFull;
use super::reply::Reply;
use super::stats::{Count, Own, RouterStats};
use super::table::{Home, Run, Shell, Table};
use super::whole::{Message, Progress, Scene};
use super::work::how;
use crate::figures::SessionInfo;
use crate::handler::{Handler, Incoming, Peer};
use crate::messages::Messages;
use crate::overview::lock;

/// A router that is built. Clones are the same router.
pub struct Routes<H = ()>(Arc<Table<H>>);

impl<H> Clone for Routes<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H> fmt::Debug for Routes<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Routes").field("routes", &self.0.common.entries.len()).finish()
    }
}

impl<H: Hook> Routes<H> {
    pub(super) fn new(table: Table<H>) -> Self {
        Self(Arc::new(table))
    }

    /// The handler of one session: for a client.
    #[must_use]
    pub fn session(&self) -> Routed<H> {
        Routed::new(Arc::clone(&self.0))
    }

    /// Makes the handler of each session: for a server.
    pub fn factory(&self) -> impl Fn(&SessionInfo) -> Routed<H> + Clone + Send + Sync + 'static {
        let routes = self.clone();
        move |_| routes.session()
    }

    /// What stands behind it.
    #[cfg(feature = "formats")]
    pub(super) const fn table(&self) -> &Arc<Table<H>> {
        &self.0
    }

    /// What was counted, over all sessions.
    #[must_use]
    pub fn stats(&self) -> RouterStats {
        self.0.common.counters.read()
    }
}

/// The task of a connection, as far as a router needs it.
pub(super) trait Way: Outlet {
    /// What an answer needs to know of its request.
    type Ask: Copy;

    /// Whether the peer can be kept from sending requests, too, and not only messages.
    const PAUSES: bool;

    /// The request's number, if it can be cancelled.
    fn number(ask: Self::Ask) -> Option<RequestId>;

    /// Answers.
    fn answer(&mut self, ask: Self::Ask, reply: &Reply);

    /// Has another task answer.
    fn defer(&mut self, ask: Self::Ask) -> Answerer;

    /// Behind everything that came before what is being handled, where that has a position.
    fn before(&self) -> Option<Position>;
}

impl Way for Peer<'_> {
    type Ask = RequestId;

    const PAUSES: bool = false;

    fn number(id: RequestId) -> Option<RequestId> {
        Some(id)
    }

    #[inline(never)]
    fn answer(&mut self, id: RequestId, reply: &Reply) {
        if self.respond(id, reply.code(), reply.payload()).is_err() {
            // Too long for the peer. If nothing can be sent any more, that fails as well.
            let _ = self.respond(id, Status::INTERNAL, &[]);
        }
    }

    fn defer(&mut self, id: RequestId) -> Answerer {
        Answerer::Session(Peer::defer(self, id))
    }

    fn before(&self) -> Option<Position> {
        Some(self.before)
    }
}

/// A router's side of one session.
pub struct Routed<H: Hook = ()> {
    pub(super) table: Arc<Table<H>>,
    open: Option<Open>,
    /// Where what waits for tasks waits, as far as anything ever did.
    places: Vec<Place>,
    /// Requests that tasks answer, by number.
    asked: HashMap<RequestId, Arc<Asked>>,
}

/// What waits for one home.
struct Place {
    home: Home,
    /// For which route, where the home is one route's.
    entry: u16,
    line: Arc<Line>,
    /// Who works it off, if they are of this session alone.
    crew: Option<Arc<Crew>>,
}

/// A session that is open.
struct Open {
    link: Link,
    own: Arc<Own>,
}

impl<H: Hook> fmt::Debug for Routed<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = self.open.as_ref().map(|open| &open.link);
        f.debug_struct("Routed").field("link", &link).finish_non_exhaustive()
    }
}

/// How far a message or request has come in the connection's task.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Stage {
    Before,
    Inside,
    /// It waits for a task.
    Queued,
    /// It is done, and counts as this.
    After(Count),
}

impl<H: Hook> Table<H> {
    /// Hooks, handler, hooks.
    #[inline]
    fn pass(&self, cx: &mut Context<'_>, stage: &mut Stage) -> Reply {
        if let Flow::Answer(reply) = self.hooks.before(cx) {
            *stage = Stage::After(Count::Stopped);
            return reply;
        }
        let Some(entry) = self.common.entry(cx.entry) else {
            let reply = Reply::status(Status::NO_ROUTE);
            *stage = Stage::After(Count::NoRoute);
            self.hooks.after(cx, &reply);
            return reply;
        };
        if !entry.hooks.is_empty()
            && let Some(reply) = self.before(&entry.hooks, cx)
        {
            *stage = Stage::After(Count::Stopped);
            return reply;
        }
        let Run::Inline(inline) = &entry.run else {
            *stage = Stage::Queued;
            return Reply::status(Status::OK);
        };
        *stage = Stage::Inside;
        let reply = inline.call(cx);
        *stage = Stage::After(how(&reply));
        if reply.is_fault() {
            self.common.observe(cx, &reply);
        }
        if entry.hooks.is_empty() {
            self.hooks.after(cx, &reply);
        } else {
            Shell::after(self, cx, &reply);
        }
        reply
    }

    /// Runs the hooks inside of the router's. If one answers, the rest is undone.
    #[cold]
    fn before(&self, hooks: &[Arc<dyn Hook>], cx: &Context<'_>) -> Option<Reply> {
        for (at, hook) in hooks.iter().enumerate() {
            if let Flow::Answer(reply) = hook.before(cx) {
                hooks[..at].iter().rev().for_each(|hook| hook.after(cx, &reply));
                self.hooks.after(cx, &reply);
                return Some(reply);
            }
        }
        None
    }

    /// What becomes of a handler, or a hook, that panicked.
    #[cold]
    fn panicked(&self, cx: &Context<'_>, stage: &mut Stage) -> Reply {
        let reply = Reply::status(Status::INTERNAL);
        if *stage == Stage::Inside {
            // That these panic, too, changes nothing.
            let _ = catch_unwind(AssertUnwindSafe(|| Shell::after(self, cx, &reply)));
        }
        *stage = Stage::After(Count::Panicked);
        reply
    }
}

impl<H: Hook> Routed<H> {
    pub(super) fn new(table: Arc<Table<H>>) -> Self {
        Self { table, open: None, places: Vec::new(), asked: HashMap::new() }
    }

    /// Runs the handler of what came for a route, or has a task run it.
    #[inline]
    fn find_and_take(
        &mut self,
        peer: &mut Peer<'_>,
        kind: Kind,
        route: Route,
        id: RequestId,
        payload: &[u8],
    ) {
        let entry = self.table.common.find(route);
        self.take(peer, Thing::new(entry, kind, route), id, payload);
    }

    /// Handles messages, as long as nothing panics.
    #[inline]
    fn take_all<'b>(&mut self, messages: &mut Messages<'_, 'b>, progress: &mut Progress<'b>) {
        let mut next = messages.next();
        while let Some((route, payload)) = next {
            let Table { hooks, whole, common } = &*self.table;
            let entry = common.find(route);
            next = match (whole.get(usize::from(entry)), &self.open) {
                (Some(Some(whole)), Some(Open { link, .. })) => {
                    let scene = Scene { link, common, entry };
                    whole.run(hooks, scene, messages, (route, payload), progress)
                }
                (_, _) => {
                    let thing = Thing::new(entry, Kind::Message, route);
                    self.take(messages.peer(), thing, RequestId(0), payload);
                    messages.next()
                }
            };
        }
    }

    /// The handler of this message panicked, or a hook did.
    #[cold]
    fn message_panicked(&self, peer: &mut Peer<'_>, (route, payload): Message<'_>, inside: bool) {
        let Some(open) = &self.open else {
            return;
        };
        let common = &self.table.common;
        let cx = Context {
            link: &open.link,
            common,
            outlet: Some(peer),
            entry: common.find(route),
            kind: Kind::Message,
            route,
            payload,
            owned: None,
        };
        let mut stage = if inside { Stage::Inside } else { Stage::Before };
        self.table.panicked(&cx, &mut stage).discard();
        common.counters.add(Count::Panicked);
    }

    /// Runs the handler of what came, or has a task run it.
    #[inline]
    pub(super) fn take<W: Way>(&mut self, peer: &mut W, thing: Thing, id: W::Ask, payload: &[u8]) {
        let Some(open) = &self.open else {
            return;
        };
        let table = &*self.table;
        let Thing { entry, kind, route, .. } = thing;
        let mut cx = Context {
            link: &open.link,
            common: &table.common,
            outlet: Some(peer),
            entry,
            kind,
            route,
            payload,
            owned: None,
        };
        let mut stage = Stage::Before;
        let passed = catch_unwind(AssertUnwindSafe(|| table.pass(&mut cx, &mut stage)));
        let reply = passed.unwrap_or_else(|_| table.panicked(&cx, &mut stage));
        match stage {
            Stage::After(Count::Handled) => open.own.add(1),
            Stage::After(count) => table.common.counters.add(count),
            Stage::Before | Stage::Inside | Stage::Queued => {
                return self.queue(peer, thing, id, payload);
            }
        }
        if kind == Kind::Request {
            peer.answer(id, &reply);
        }
        reply.discard();
    }

    /// Has a task handle it.
    #[inline(never)]
    fn queue<W: Way>(&mut self, peer: &mut W, mut thing: Thing, id: W::Ask, payload: &[u8]) {
        let table = Arc::clone(&self.table);
        let common = &table.common;
        let (Some(open), Some(entry)) = (&self.open, common.entry(thing.entry)) else {
            return;
        };
        let Run::Queued(queued) = &entry.run else {
            return;
        };
        let limits = common.limits;
        let (count, bytes) = open.link.pending();
        let full = count >= limits.count || (bytes > 0 && bytes + payload.len() > limits.bytes);
        let can_wait = W::PAUSES || thing.kind == Kind::Message;
        let waits = can_wait && limits.when_full == WhenFull::Wait;
        if full && !waits {
            return self.refuse(peer, thing, id, payload);
        }
        let at = self.place(open.link.clone(), &queued.home, thing.entry);
        let (Some(place), Some(open)) = (self.places.get(at), &self.open) else {
            return;
        };
        let ask = (thing.kind == Kind::Request).then(|| {
            let until = common.deadline.and_then(|limit| open.link.now().checked_add(limit));
            let asked = Arc::new(Asked::new(peer.defer(id)));
            if let Some(number) = W::number(id) {
                self.asked.insert(number, Arc::clone(&asked));
            }
            Ask { asked, until }
        });
        if waits && let Some(before) = peer.before() {
            thing.held = true;
            thing.ticket = lock(open.link.tickets()).draw(before, full);
        }
        place.line.push(thing, payload, ask);
        if waits && W::PAUSES {
            open.link.pause_if_full();
        }
        match (&place.crew, &place.home) {
            (Some(crew), _) => crew.push(&place.line),
            (None, Home::Pool(pool)) => {
                pool.choose(&place.line).into_iter().for_each(|crew| crew.push(&place.line));
            }
            (None, Home::Threads(Some(pool))) => pool.crew().push(&place.line),
            (None, Home::Threads(None) | Home::Ordered | Home::Concurrent(_)) => {
                common.threads.crew().push(&place.line);
            }
        }
    }

    /// Which of the places a thing goes to.
    fn place(&mut self, link: Link, home: &Home, entry: u16) -> usize {
        let is = |known: &Place| match (&known.home, home) {
            (Home::Ordered, Home::Ordered) => true,
            (Home::Concurrent(_), Home::Concurrent(_)) | (Home::Threads(_), Home::Threads(_)) => {
                known.entry == entry
            }
            (Home::Pool(one), Home::Pool(other)) => one.is(other),
            (Home::Ordered | Home::Concurrent(_) | Home::Threads(_) | Home::Pool(_), _) => false,
        };
        if let Some(at) = self.places.iter().position(is) {
            return at;
        }
        let crew = match home {
            Home::Ordered => Some(Arc::new(Crew::own(1))),
            Home::Concurrent(limit) => Some(Arc::new(Crew::own(*limit))),
            Home::Pool(_) | Home::Threads(_) => None,
        };
        let shell: Arc<dyn Shell> = Arc::<Table<H>>::clone(&self.table);
        let line = Arc::new(Line::new(link, shell));
        self.places.push(Place { home: home.clone(), entry, line, crew });
        self.places.len() - 1
    }

    /// There is no room for it.
    #[cold]
    fn refuse<W: Way>(&self, peer: &mut W, thing: Thing, id: W::Ask, payload: &[u8]) {
        let Some(open) = &self.open else {
            return;
        };
        let common = &self.table.common;
        let is_request = thing.kind == Kind::Request;
        common.counters.add(if is_request { Count::Overloaded } else { Count::Dropped });
        let reply = Reply::status(Status::OVERLOADED);
        let cx = Context {
            link: &open.link,
            common,
            outlet: Some(peer),
            entry: thing.entry,
            kind: thing.kind,
            route: thing.route,
            payload,
            owned: None,
        };
        let _ = catch_unwind(AssertUnwindSafe(|| self.table.after(&cx, &reply)));
        if is_request {
            peer.answer(id, &reply);
        } else if thing.kind == Kind::Message && common.limits.when_full == WhenFull::Disconnect {
            open.link.end(CloseCode::CALM);
        }
    }

    /// Calls those who want to know of sessions; a panic of theirs is theirs.
    fn tell(&self, tell: impl Fn(&Self, &Link)) {
        if let Some(open) = &self.open
            && catch_unwind(AssertUnwindSafe(|| tell(self, &open.link))).is_err()
        {
            self.table.common.counters.add(Count::Panicked);
        }
    }

    /// The session as handlers see it.
    fn link(&self, peer: &Peer<'_>) -> Link {
        let (number, handle) = (self.table.common.next_link(), peer.handle());
        let principal = handle.shared().principal();
        Link::of_session(handle, number, principal)
    }

    /// Whom it is from is known.
    fn know(&mut self, link: Link) {
        let own = self.table.common.counters.open(link.number());
        self.open = Some(Open { link, own });
    }

    /// As [`know`](Self::know), and this is its beginning.
    pub(super) fn begin(&mut self, link: Link) {
        self.know(link);
        self.tell(|it, link| it.table.common.life.open.iter().for_each(|told| told(link)));
    }

    /// The session is over: what waits is dropped, what is under way goes on.
    pub(super) fn closed(&mut self, end: End) {
        self.tell(|it, link| it.table.common.life.close.iter().for_each(|told| told(link, end)));
        let common = &self.table.common;
        for place in self.places.drain(..) {
            (0..place.line.close()).for_each(|_| common.counters.add(Count::Dropped));
        }
        self.asked.clear();
        if let Some(open) = self.open.take() {
            open.link.forget();
            common.counters.close(open.link.number());
        }
    }
}

impl<H: Hook> Handler for Routed<H> {
    fn messages(&mut self, messages: &mut Messages<'_, '_>) {
        loop {
            let mut progress = Progress::default();
            let work = AssertUnwindSafe(|| self.take_all(messages, &mut progress));
            let panic = catch_unwind(work).err();
            if let Some(open) = self.open.as_ref().filter(|_| progress.handled > 0) {
                open.own.add(progress.handled);
            }
            match (panic, progress.current) {
                (None, _) => return,
                (Some(_), Some((message, inside))) => {
                    self.message_panicked(messages.peer(), message, inside);
                }
                // Nobody's function ran.
                (Some(panic), None) => resume_unwind(panic),
            }
        }
    }

    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => {
                self.find_and_take(peer, Kind::Message, route, RequestId(0), payload);
            }
            Incoming::Request { id, route, payload } => {
                self.find_and_take(peer, Kind::Request, route, id, payload);
            }
            Incoming::Note { route, payload } => {
                self.find_and_take(peer, Kind::Note, route, RequestId(0), payload);
            }
            Incoming::Cancelled { id } => {
                if let Some(asked) = self.asked.remove(&id) {
                    asked.cancel();
                }
            }
            Incoming::Opened => self.begin(self.link(peer)),
            Incoming::Resumed { resent } => {
                if self.open.is_none() {
                    // It was opened in another process.
                    self.know(self.link(peer));
                }
                self.tell(|it, link| {
                    it.table.common.life.resume.iter().for_each(|told| told(link, resent));
                });
            }
            Incoming::Disconnected { code, cause } => self.tell(|it, link| {
                it.table.common.life.detach.iter().for_each(|told| told(link, code, cause));
            }),
            Incoming::Finished => {
                if let Some(open) = &self.open
                    && self.table.common.finish_with_peer
                {
                    open.link.finish_when_idle();
                }
            }
            Incoming::Ended => self.closed(End::Finished),
            Incoming::Lost { code, .. } => self.closed(End::Lost(code)),
            Incoming::Fragment { .. }
            | Incoming::Aborted { .. }
            | Incoming::Acknowledged { .. }
            | Incoming::Writable
            | Incoming::Draining { .. }
            | Incoming::DialFailed { .. } => {}
        }
    }

    fn taken(&self, received: Position) -> Option<Position> {
        let taken = match &self.open {
            Some(open) if !self.places.is_empty() => lock(open.link.tickets()).taken(received),
            _ => received,
        };
        Some(taken)
    }
}

/// The session's task was dropped, or its server stopped.
impl<H: Hook> Drop for Routed<H> {
    fn drop(&mut self) {
        self.closed(End::Dropped);
    }
}
