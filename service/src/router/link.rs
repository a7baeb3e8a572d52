//! Whom a message is from, as long as the session lasts.

use std::any::{Any, TypeId};
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use outlast_core::CloseCode;
use outlast_core::wire::Route;

use super::tickets::Tickets;
use crate::error::SendError;
use crate::handle::Handle;
use crate::overview::lock;
use crate::transport::Timers;

/// The other end of a session, or of a connection without one, for hooks and handlers in any task.
/// Clones are the same one. That of a session outlives connections, and ends with the session.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

/// What stands behind a link.
enum Carrier {
    Session(Handle),
    #[cfg(feature = "formats")]
    Plain(super::plain::Connection),
}

struct Inner {
    carrier: Carrier,
    /// Of all the links of a router the how manieth this is.
    number: u64,
    principal: Option<u64>,
    store: Mutex<Store>,
    /// Messages and requests that wait or are being handled in tasks, the places that they have of
    /// those there are, and the bytes of those that wait.
    pending: AtomicUsize,
    places: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// The peer has finished: this end does when nothing is pending.
    finish: AtomicBool,
    /// What is not taken yet.
    pub(super) tickets: Mutex<Tickets>,
}

/// What is kept with a session: by type, and by hook.
type Store = Vec<(TypeId, usize, Box<dyn Any + Send + Sync>)>;

/// The number that properties have in the store; hooks have others.
const PROPERTY: usize = 0;

impl Link {
    pub(crate) fn of_session(handle: Handle, number: u64, principal: Option<u64>) -> Self {
        Self::of(Carrier::Session(handle), number, principal)
    }

    #[cfg(feature = "formats")]
    pub(super) fn of_connection(connection: super::plain::Connection, number: u64) -> Self {
        Self::of(Carrier::Plain(connection), number, None)
    }

    fn of(carrier: Carrier, number: u64, principal: Option<u64>) -> Self {
        Self(Arc::new(Inner {
            carrier,
            number,
            principal,
            store: Mutex::default(),
            pending: AtomicUsize::new(0),
            places: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            finish: AtomicBool::new(false),
            tickets: Mutex::default(),
        }))
    }

    /// The session, with everything it guarantees, if there is one behind this link.
    #[must_use]
    pub fn session(&self) -> Option<&Handle> {
        match &self.0.carrier {
            Carrier::Session(handle) => Some(handle),
            #[cfg(feature = "formats")]
            Carrier::Plain(_) => None,
        }
    }

    /// The connection without a session, if that is what is behind this link.
    #[cfg(feature = "formats")]
    #[must_use]
    pub fn plain(&self) -> Option<&crate::plain::PlainHandle> {
        match &self.0.carrier {
            Carrier::Session(_) => None,
            Carrier::Plain(connection) => Some(connection.handle()),
        }
    }

    /// The session's number, or that of a connection without one.
    #[must_use]
    pub fn id(&self) -> Option<u64> {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.id(),
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => Some(connection.handle().info().id),
        }
    }

    /// The other end's address, of the present connection or of the last one.
    #[must_use]
    pub fn remote(&self) -> Option<SocketAddr> {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.shared().lock().remote(),
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.handle().info().remote,
        }
    }

    /// Whom authentication found it to be, if it asked and this is somebody in particular.
    #[inline]
    #[must_use]
    pub fn principal(&self) -> Option<u64> {
        self.0.principal
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.is_connected(),
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.handle().is_connected(),
        }
    }

    /// Sends a one-way message without waiting. Without a session it is a packet of this number, or
    /// of the name that the router knows for it.
    ///
    /// # Errors
    ///
    /// As [`Handle::try_send`].
    pub fn try_send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.try_send(route, payload),
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.try_send(route.into(), payload),
        }
    }

    /// Sends a one-way message once there is room.
    ///
    /// # Errors
    ///
    /// As [`Handle::send`].
    pub async fn send(&self, route: impl Into<Route>, payload: &[u8]) -> Result<(), SendError> {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.send(route, payload).await,
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.send(route.into(), payload).await,
        }
    }

    /// Ends it, whatever was not delivered. Without a session nobody is told the code.
    pub fn end(&self, code: CloseCode) {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.end(code),
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.handle().close(),
        }
    }

    /// Keeps `value` with the session, and returns the one of its type that was kept before.
    pub fn set<T: Send + Sync + 'static>(&self, value: T) -> Option<T> {
        let mut store = lock(&self.0.store);
        let earlier = take(&mut store);
        store.push((TypeId::of::<T>(), PROPERTY, Box::new(value)));
        earlier
    }

    /// The value of this type that is kept with the session.
    #[must_use]
    pub fn get<T: Clone + Send + Sync + 'static>(&self) -> Option<T> {
        self.with(|value: Option<&mut T>| value.cloned())
    }

    /// Gives the value of this type back that was kept with the session.
    pub fn remove<T: Send + Sync + 'static>(&self) -> Option<T> {
        take(&mut lock(&self.0.store))
    }

    /// Looks at the value of this type, or changes it. Meanwhile `look` must not ask this link for
    /// other values: they are under one lock.
    pub fn with<T: Send + Sync + 'static, R>(&self, look: impl FnOnce(Option<&mut T>) -> R) -> R {
        let mut store = lock(&self.0.store);
        let at = place::<T>(&store, PROPERTY);
        look(at.and_then(|at| store[at].2.downcast_mut()))
    }

    /// What a hook keeps with the session, under a number of its own.
    pub(crate) fn local<T: Send + Sync + 'static, R>(
        &self,
        number: usize,
        make: impl FnOnce() -> T,
        look: impl FnOnce(&T) -> R,
    ) -> R {
        let mut store = lock(&self.0.store);
        if let Some(known) =
            place::<T>(&store, number).and_then(|at| store[at].2.downcast_ref::<T>())
        {
            return look(known);
        }
        let made = make();
        let result = look(&made);
        store.push((TypeId::of::<T>(), number, Box::new(made)));
        result
    }

    /// Of all the links of its router the how manieth this is.
    pub(crate) fn number(&self) -> u64 {
        self.0.number
    }

    pub(crate) fn tickets(&self) -> &Mutex<Tickets> {
        &self.0.tickets
    }

    /// Has the session's owner look what is taken now.
    pub(crate) fn nudge(&self) {
        if let Some(handle) = self.session() {
            handle.shared().call();
        }
    }

    fn timers(&self) -> &dyn Timers {
        match &self.0.carrier {
            Carrier::Session(handle) => handle.shared().timers(),
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.handle().timers(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.timers().now()
    }

    pub(crate) fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.timers().sleep(time)
    }

    pub(crate) fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        self.timers().spawn(task);
    }

    /// Reads nothing more for a while if too much is pending: of those that can be kept from
    /// sending in no other way.
    pub(crate) fn pause_if_full(&self) {
        #[cfg(feature = "formats")]
        if let Carrier::Plain(connection) = &self.0.carrier {
            connection.pause_if_full(|| self.pending());
        }
    }

    /// How many places are taken by what waits or is being handled, and the bytes of what waits.
    pub(crate) fn pending(&self) -> (usize, usize) {
        let bytes = self.0.waiting_bytes.load(Ordering::Relaxed);
        (self.0.places.load(Ordering::SeqCst), bytes)
    }

    pub(crate) fn enter(&self, bytes: usize) {
        self.0.pending.fetch_add(1, Ordering::SeqCst);
        self.take_place();
        self.0.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self, bytes: usize) {
        self.0.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn take_place(&self) {
        self.0.places.fetch_add(1, Ordering::SeqCst);
    }

    /// The place of something pending is free. That of a request is before anybody can have the
    /// answer: whoever waits for that before asking again must not find the place taken.
    pub(crate) fn leave_place(&self) {
        self.0.places.fetch_sub(1, Ordering::SeqCst);
    }

    /// Something pending is done, and answered; it has left its place.
    pub(crate) fn leave(&self) {
        let left = self.0.pending.fetch_sub(1, Ordering::SeqCst) - 1;
        match &self.0.carrier {
            Carrier::Session(handle) => {
                if left == 0 && self.0.finish.load(Ordering::SeqCst) {
                    handle.finish();
                }
            }
            #[cfg(feature = "formats")]
            Carrier::Plain(connection) => connection.read_on(self.pending()),
        }
    }

    /// The session is over: another one may come in its place, which must not be finished.
    pub(crate) fn forget(&self) {
        self.0.finish.store(false, Ordering::SeqCst);
    }

    /// Finishes once nothing is pending.
    pub(crate) fn finish_when_idle(&self) {
        self.0.finish.store(true, Ordering::SeqCst);
        if self.0.pending.load(Ordering::SeqCst) == 0
            && let Some(handle) = self.session()
        {
            handle.finish();
        }
    }
}

fn place<T: 'static>(store: &Store, number: usize) -> Option<usize> {
    store.iter().position(|(kind, of, _)| *of == number && *kind == TypeId::of::<T>())
}

fn take<T: 'static>(store: &mut Store) -> Option<T> {
    let at = place::<T>(store, PROPERTY)?;
    store.swap_remove(at).2.downcast().ok().map(|value| *value)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("id", &self.id())
            .field("principal", &self.principal())
            .finish_non_exhaustive()
    }
}
