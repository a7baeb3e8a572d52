//! The same routes for connections that have no session (feature `formats`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use outlast_core::Position;
use outlast_core::wire::{RequestId, Route, Status};
use outlast_formats::{Cause, FormatError, Key as PacketKey, Kind as PacketKind, Packet};

use super::context::{Kind, Outlet};
use super::hook::Hook;
use super::key::{NAMES, RouteKey, named};
use super::life::End;
use super::line::{Answerer, Thing};
use super::link::Link;
use super::pool::QueueLimits;
use super::reply::Reply;
use super::routes::{Routed, Routes, Way};
use super::table::{Common, Shell, Table};
use crate::error::SendError;
use crate::plain::{
    PlainError, PlainEvent, PlainHandle, PlainHandler, PlainInfo, PlainPeer, PlainResponder,
};

impl<H: Hook> Routes<H> {
    /// The handler of one connection without a session: for a client.
    #[must_use]
    pub fn plain(&self) -> PlainRouted<H> {
        let routed = Routed::new(Arc::clone(self.table()));
        PlainRouted { routed, begun: None, has_requests: false }
    }

    /// Makes the handler of each connection without a session: for a listener.
    pub fn plain_factory(
        &self,
    ) -> impl Fn(&PlainInfo) -> PlainRouted<H> + Clone + Send + Sync + 'static {
        let routes = self.clone();
        move |_| routes.plain()
    }
}

/// A router's side of one connection without a session; a client's, of all of them, each of which is
/// [opened](super::Router::on_open) and [closed](super::Router::on_close).
#[derive(Debug)]
pub struct PlainRouted<H: Hook = ()> {
    routed: Routed<H>,
    /// When the connection was made.
    begun: Option<Instant>,
    /// The format tells requests from messages.
    has_requests: bool,
}

impl<H: Hook> PlainRouted<H> {
    fn opened(&mut self, peer: &mut PlainPeer<'_>) {
        self.has_requests = peer.has_requests();
        let (handle, table) = (peer.handle(), &self.routed.table);
        self.begun = Some(handle.timers().now());
        let (limits, number) = (table.common.limits, table.common.next_link());
        let shell: Arc<dyn Shell> = Arc::<Table<H>>::clone(table);
        let connection = Connection { handle, shell, limits, paused: AtomicBool::new(false) };
        self.routed.begin(Link::of_connection(connection, number));
    }

    fn packet(&mut self, peer: &mut PlainPeer<'_>, packet: &Packet<'_>) {
        let asked = packet.kind == PacketKind::Request;
        if packet.kind == PacketKind::Response {
            // Nobody asked, or nobody waits any more.
            return;
        }
        let table = Arc::clone(&self.routed.table);
        let (route, entry) = find(&table.common, &packet.key);
        let kind = if asked || !self.has_requests { Kind::Request } else { Kind::Message };
        let handle = peer.handle();
        let (common, begun) = (&table.common, self.begun);
        let mut way = PlainWay { peer, common, handle, begun, packet, asked };
        self.routed.take(&mut way, Thing::new(entry, kind, route), (), &packet.payload);
    }
}

impl<H: Hook> PlainHandler for PlainRouted<H> {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        match event {
            PlainEvent::Connected => self.opened(peer),
            PlainEvent::Packet(packet) => self.packet(peer, packet),
            PlainEvent::Closed(closed) => self.routed.closed(End::Plain(closed.cause)),
            // The connection answers what is owed, and goes.
            PlainEvent::Bad(_) | PlainEvent::Finished | PlainEvent::DialFailed { .. } => {}
        }
    }
}

/// Which route a packet has, and whose entry that is.
fn find(common: &Common, key: &PacketKey<'_>) -> (Route, u16) {
    match key {
        PacketKey::None => (Route::new(0), common.find(Route::new(0))),
        PacketKey::Id(id) => (Route::new(*id), common.find(Route::new(*id))),
        PacketKey::Name(name) => {
            let (route, entry) = (named(name), common.find(named(name)));
            let known = common.entry(entry).and_then(|entry| entry.key.as_ref());
            // A name that only shares the number of another is not that one.
            match known {
                Some(RouteKey::Name(known)) if **known != **name => (route, common.fallback),
                Some(RouteKey::Id(_) | RouteKey::Name(_)) | None => (route, entry),
            }
        }
    }
}

/// A one-way packet for this route: of the number, of the name that stands for it, or of the name
/// that the payload says.
fn packet<'b>(common: &'b Common, route: Route, payload: &'b [u8]) -> Packet<'b> {
    let known = common.entry(common.find(route)).and_then(|entry| entry.key.as_ref());
    match known {
        Some(RouteKey::Name(name)) if named(name) == route => Packet::named(name, payload),
        Some(RouteKey::Id(_) | RouteKey::Name(_)) | None if route.get() >= NAMES => {
            Packet::plain(payload)
        }
        Some(RouteKey::Id(_) | RouteKey::Name(_)) | None => Packet::one_way(route.get(), payload),
    }
}

fn explain(error: PlainError) -> SendError {
    match error {
        PlainError::Full => SendError::Full,
        PlainError::NotConnected => SendError::NotOpen,
        error @ (PlainError::Closed(_)
        | PlainError::Format(_)
        | PlainError::TimedOut
        | PlainError::NoSuchConnection(_)) => SendError::Plain(error),
    }
}

/// What a failure is called in other systems.
fn cause(status: Status) -> Cause {
    match status {
        Status::NO_ROUTE => Cause::NoRoute,
        Status::DENIED => Cause::Denied,
        Status::OVERLOADED => Cause::Busy,
        Status::DEADLINE => Cause::TimedOut,
        Status::INVALID => Cause::Malformed(FormatError::BadField("payload")),
        _ => Cause::Failed,
    }
}

/// The words of a failure that its handler chose.
fn text(reply: &Reply) -> Option<&str> {
    str::from_utf8(reply.payload()).ok().filter(|text| !text.is_empty())
}

/// What stands behind a link that has no session.
pub(super) struct Connection {
    handle: PlainHandle,
    shell: Arc<dyn Shell>,
    limits: QueueLimits,
    /// Nothing is read, because too much is pending.
    paused: AtomicBool,
}

impl Connection {
    pub(super) const fn handle(&self) -> &PlainHandle {
        &self.handle
    }

    pub(super) fn try_send(&self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        self.handle.try_send(&packet(self.shell.common(), route, payload)).map_err(explain)
    }

    pub(super) async fn send(&self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        let packet = packet(self.shell.common(), route, payload);
        self.handle.send(&packet).await.map_err(explain)
    }

    /// Reads nothing more while so much is pending.
    pub(super) fn pause_if_full(&self, pending: impl Fn() -> (usize, usize)) {
        let (count, bytes) = pending();
        if count >= self.limits.count || bytes >= self.limits.bytes {
            self.handle.pause();
            self.paused.store(true, Ordering::SeqCst);
            // It may be done by now.
            self.read_on(pending());
        }
    }

    /// Reads on if little is pending.
    pub(super) fn read_on(&self, (count, bytes): (usize, usize)) {
        let little = count <= self.limits.count / 2 && bytes <= self.limits.bytes / 2;
        if little && self.paused.swap(false, Ordering::SeqCst) {
            self.handle.resume();
        }
    }
}

/// The connection's task, while it handles a packet.
struct PlainWay<'a, 'p> {
    peer: &'a mut PlainPeer<'p>,
    common: &'a Common,
    handle: PlainHandle,
    begun: Option<Instant>,
    packet: &'a Packet<'a>,
    /// An answer is wanted, even if it is empty.
    asked: bool,
}

impl Outlet for PlainWay<'_, '_> {
    fn send(&mut self, route: Route, payload: &[u8]) -> Result<(), SendError> {
        self.peer.send(&packet(self.common, route, payload)).map_err(explain)
    }

    fn now(&self) -> outlast_core::Instant {
        let now = self.handle.timers().now();
        let since = self.begun.map_or(0, |begun| {
            u64::try_from(now.saturating_duration_since(begun).as_micros()).unwrap_or(u64::MAX)
        });
        outlast_core::Instant::from_micros(since.saturating_add(1))
    }
}

impl Way for PlainWay<'_, '_> {
    type Ask = ();

    const PAUSES: bool = true;

    fn number((): ()) -> Option<RequestId> {
        None
    }

    fn answer(&mut self, (): (), reply: &Reply) {
        let Self { peer, packet, .. } = self;
        let (packet, payload) = (*packet, reply.payload());
        if !reply.code().is_ok() {
            // A format that cannot say it says nothing.
            let _ = peer.fail(Some(packet), cause(reply.code()), text(reply));
        } else if (self.asked || !payload.is_empty())
            && let Err(PlainError::Format(_)) = peer.respond(packet, payload)
        {
            let _ = peer.fail(Some(packet), Cause::Failed, None);
        }
    }

    fn defer(&mut self, (): ()) -> Answerer {
        Answerer::Plain(Answer { responder: self.peer.defer(self.packet), asked: self.asked })
    }

    fn before(&self) -> Option<Position> {
        None
    }
}

/// The duty of another task to answer.
#[derive(Debug)]
pub(crate) struct Answer {
    responder: PlainResponder,
    asked: bool,
}

impl Answer {
    pub(crate) fn answer(self, reply: &Reply) {
        let payload = reply.payload();
        // It fails if the connection is over, or if the format cannot say it.
        let _ = if !reply.code().is_ok() {
            self.responder.fail(cause(reply.code()), text(reply))
        } else if self.asked || !payload.is_empty() {
            self.responder.respond(payload)
        } else {
            self.responder.waive();
            Ok(())
        };
    }
}
