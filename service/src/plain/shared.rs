//! What handles in any task share with the one task that has the connection.
//!
//! As with sessions the lock is short: encoding a packet, or swapping a queue. A client's value
//! outlives its connections.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Instant;

use outlast_formats::{Format, FormatError, Packet};

use super::calls::Calls;
use super::error::{PlainCause, PlainClosed, PlainError};
use super::group::Home;
use super::{PlainConfig, WhenFull};
use crate::directory::{Carries, Totals};
use crate::state::{LinkState, States, Watch};
use crate::transport::{Runtime, Sleeper, Timers};
use crate::waiters::{Key, Waiters};

/// What a connection without a session is doing.
pub type PlainState = LinkState;

/// Whom a connection is with, and what it has carried.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlainInfo {
    /// Its number on this server; 0 on a client.
    pub id: u64,
    /// This end's address, as far as the connection has one, now or last.
    pub local: Option<SocketAddr>,
    /// The other end's address, as far as the connection has one, now or last.
    pub remote: Option<SocketAddr>,
    /// What it is doing.
    pub state: PlainState,
    /// How many connections there have been: at most one on a server.
    pub connections: u64,
    /// When it was connected, on the runtime's clock.
    pub connected_at: Option<Instant>,
    /// When anything was last heard of the peer.
    pub heard_at: Option<Instant>,
    /// When the transport last took anything.
    pub sent_at: Option<Instant>,
    /// Packets received, over all connections of a client.
    pub packets_in: u64,
    /// Packets given to send.
    pub packets_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that the transport took.
    pub bytes_out: u64,
    /// Packets that the peer should not have sent so.
    pub bad: u64,
    /// Sends refused for want of room.
    pub refused: u64,
    /// Bytes that other tasks sent and that wait for the transport.
    pub queued: usize,
    /// The packets that they are, the one that is being written among them.
    pub queued_packets: usize,
    /// Packets that this end has taken the duty to answer and has not.
    pub owed: usize,
    /// Requests of this end that wait for their answers.
    pub requests: usize,
}

/// How a connection is to end.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing more is read; what is queued, and answers that are owed, go out first.
    Finish,
    /// Now.
    Close(PlainCause),
}

/// One connection's meeting point; a client's, from one connection to the next.
pub(crate) struct Shared {
    pub(super) config: PlainConfig,
    /// Its number on its server; 0 on a client.
    pub(super) id: u64,
    /// What it has in common with other connections of its server.
    home: Option<Arc<Home>>,
    timers: Box<dyn Timers>,
    /// Who wants to know of states: a client's from the beginning, others once somebody asks.
    watch: OnceLock<Arc<Watch>>,
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) info: PlainInfo,
    encoder: Box<dyn Format>,
    /// Encoded packets that the connection's task has not taken yet.
    out: Vec<u8>,
    /// Bytes that it has taken and the transport has not.
    pub(super) held: usize,
    /// Packets that wait to be taken, and that it has taken.
    packets: [usize; 2],
    pub(super) order: Option<Order>,
    /// Nothing is to be read for now.
    pub(super) paused: bool,
    /// Answers that are owed by responders of this connection.
    pub(super) owed: usize,
    /// Bytes that responders answered since everything was last written.
    pub(super) answered: usize,
    /// Counts a client's connections.
    connection: u64,
    pub(super) calls: Calls,
    /// How the last connection ended.
    pub(super) closed: Option<PlainClosed>,
    waiting: Waiters,
    /// The connection's task, while it sleeps.
    owner: Option<Waker>,
}

/// Where a future waits for a connection to change. Dropped, it does not wait any more.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    shared: &'a Shared,
    key: Key,
}

impl<'a> Waiting<'a> {
    pub(super) const fn new(shared: &'a Shared) -> Self {
        Self { shared, key: Key::NONE }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.key.is_some() {
            let waker = self.shared.lock().waiting.leave(self.key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("info", &self.lock().info).finish_non_exhaustive()
    }
}

impl Carries for Shared {
    fn carried(&self) -> Totals {
        let info = self.lock().info;
        Totals {
            messages: [info.packets_in, info.packets_out],
            bytes: [info.bytes_in, info.bytes_out],
            ..Totals::default()
        }
    }
}

impl Shared {
    pub(super) fn new<R: Runtime>(
        id: u64,
        config: PlainConfig,
        encoder: Box<dyn Format>,
        runtime: &R,
    ) -> Self {
        let info = PlainInfo {
            id,
            local: None,
            remote: None,
            state: PlainState::Disconnected,
            connections: 0,
            connected_at: None,
            heard_at: None,
            sent_at: None,
            packets_in: 0,
            packets_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            bad: 0,
            refused: 0,
            queued: 0,
            queued_packets: 0,
            owed: 0,
            requests: 0,
        };
        let inner = Inner {
            info,
            encoder,
            out: Vec::new(),
            held: 0,
            packets: [0; 2],
            order: None,
            paused: false,
            owed: 0,
            answered: 0,
            connection: 0,
            calls: Calls::default(),
            closed: None,
            waiting: Waiters::default(),
            owner: None,
        };
        let (timers, watch) = (Box::new(Sleeper::of(runtime)), OnceLock::new());
        Self { config, id, home: None, timers, watch, inner: Mutex::new(inner) }
    }

    /// It is a connection of a server.
    pub(super) fn of_server(self, home: Arc<Home>) -> Self {
        Self { home: Some(home), ..self }
    }

    /// What it has in common with other connections of its server, if one has it.
    pub(super) const fn home(&self) -> Option<&Arc<Home>> {
        self.home.as_ref()
    }

    /// Has those told of states who want to be, from the beginning.
    pub(super) fn watched(self, watch: Watch) -> Self {
        Self { watch: OnceLock::from(Arc::new(watch)), ..self }
    }

    /// What it will be doing.
    pub(super) fn states(&self) -> States {
        // Under the lock: what changes then is told behind it.
        let inner = self.lock();
        let watch = self.watch.get_or_init(|| Arc::new(Watch::accepted(inner.info.state)));
        States::new(Arc::clone(watch))
    }

    /// It does something else.
    pub(super) fn turn(&self, state: LinkState) {
        let mut inner = self.lock();
        inner.info.state = state;
        drop(inner);
        self.tell(state);
    }

    fn tell(&self, state: LinkState) {
        if let Some(watch) = self.watch.get() {
            watch.turn(state);
        }
    }

    pub(super) fn timers(&self) -> &dyn Timers {
        &*self.timers
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the lock and wakes the connection's task if it sleeps.
    pub(super) fn notify(&self, mut inner: MutexGuard<'_, Inner>) {
        let owner = inner.owner.take();
        drop(inner);
        owner.into_iter().for_each(Waker::wake);
    }

    pub(super) fn order(&self, order: Order) {
        let mut inner = self.lock();
        // What is to be at once is not put off again.
        if !matches!(inner.order, Some(Order::Close(_))) {
            inner.order = Some(order);
        }
        self.notify(inner);
    }

    /// Reads nothing more, or reads on.
    pub(super) fn pause(&self, pause: bool) {
        let mut inner = self.lock();
        if std::mem::replace(&mut inner.paused, pause) && !pause {
            self.notify(inner);
        }
    }

    /// Queues a packet without waiting.
    pub(super) fn try_send(&self, packet: &Packet<'_>) -> Result<(), PlainError> {
        let mut inner = self.lock();
        match inner.stage(packet, self.config.send_queue) {
            Ok(()) => {
                self.notify(inner);
                Ok(())
            }
            Err(PlainError::Full) => {
                inner.info.refused += 1;
                match self.config.when_full {
                    WhenFull::Refuse => Err(PlainError::Full),
                    WhenFull::DropNewest => Ok(()),
                    WhenFull::Disconnect => {
                        inner.order = Some(Order::Close(PlainCause::Overflow));
                        self.notify(inner);
                        Err(PlainError::Full)
                    }
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Queues a packet once there is room.
    pub(super) fn poll_send(
        &self,
        packet: &Packet<'_>,
        waiting: &mut Waiting<'_>,
        waker: &Waker,
    ) -> Poll<Result<(), PlainError>> {
        let mut inner = self.lock();
        match inner.stage(packet, self.config.send_queue) {
            Err(PlainError::Full) => {
                inner.wait(waiting, waker);
                Poll::Pending
            }
            result => {
                self.notify(inner);
                Poll::Ready(result)
            }
        }
    }

    /// There is a connection.
    pub(super) fn connected(
        &self,
        addresses: (Option<SocketAddr>, Option<SocketAddr>),
        now: Instant,
        encoder: Box<dyn Format>,
    ) {
        let mut inner = self.lock();
        inner.encoder = encoder;
        (inner.info.local, inner.info.remote) = addresses;
        let state = LinkState::Connected { resumed: false };
        inner.info.state = state;
        (inner.info.connected_at, inner.info.heard_at) = (Some(now), Some(now));
        inner.closed = None;
        inner.connection += 1;
        (inner.owed, inner.held, inner.answered) = (0, 0, 0);
        inner.paused = false;
        let wake = inner.take_waiting();
        drop(inner);
        self.tell(state);
        wake.into_iter().for_each(Waker::wake);
    }

    /// The connection is over, with so many bytes that its task had taken and not sent.
    pub(super) fn disconnected(&self, cause: PlainCause, left: usize) -> PlainClosed {
        let mut inner = self.lock();
        let closed = PlainClosed { cause, unsent: left + inner.out.len() };
        inner.out = Vec::new();
        inner.held = 0;
        inner.packets = [0; 2];
        inner.info.state = PlainState::Disconnected;
        inner.closed = Some(closed);
        let mut wake = inner.calls.fail(closed);
        wake.append(&mut inner.take_waiting());
        drop(inner);
        self.tell(LinkState::Disconnected);
        wake.into_iter().for_each(Waker::wake);
        closed
    }

    /// There will be no connection any more.
    pub(super) fn retire(&self) {
        let mut inner = self.lock();
        inner.info.state = PlainState::Closed;
        let wake = inner.take_waiting();
        drop(inner);
        self.tell(LinkState::Closed);
        wake.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    /// Whether anything can be sent now.
    pub(super) fn check(&self) -> Result<(), PlainError> {
        let finishing = matches!(self.order, Some(Order::Close(_)));
        match (self.info.state, self.closed) {
            (PlainState::Connected { .. }, _) if !finishing => Ok(()),
            (PlainState::Closed, Some(closed)) => Err(PlainError::Closed(closed)),
            _ => Err(PlainError::NotConnected),
        }
    }

    fn stage(&mut self, packet: &Packet<'_>, limit: usize) -> Result<(), PlainError> {
        self.check()?;
        if self.order.is_some() {
            // Who finishes sends what is queued and owed, and nothing new.
            return Err(PlainError::NotConnected);
        }
        if self.out.len() + self.held >= limit {
            return Err(PlainError::Full);
        }
        self.encoder.encode(packet, &mut self.out)?;
        self.queued_one();
        Ok(())
    }

    /// As `stage`, for what may not be refused: there is only so much of it.
    pub(super) fn owe(
        &mut self,
        write: impl FnOnce(&mut dyn Format, &mut Vec<u8>) -> Result<(), FormatError>,
    ) -> Result<(), PlainError> {
        self.check()?;
        let before = self.out.len();
        write(&mut *self.encoder, &mut self.out)?;
        self.answered += self.out.len() - before;
        self.queued_one();
        Ok(())
    }

    fn queued_one(&mut self) {
        self.info.packets_out += 1;
        self.packets[0] += 1;
    }

    /// What it shows of itself.
    pub(super) fn info(&self) -> PlainInfo {
        PlainInfo {
            connections: self.connection,
            queued: self.pending(),
            queued_packets: self.packets.iter().sum(),
            owed: self.owed,
            requests: self.calls.waiting(),
            ..self.info
        }
    }

    /// Writes to a buffer of the connection's task.
    pub(super) fn encode<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Format, &mut Vec<u8>) -> Result<T, FormatError>,
        out: &mut Vec<u8>,
    ) -> Result<T, FormatError> {
        write(&mut *self.encoder, out)
    }

    /// The answer that fits a packet, as the format has it.
    pub(super) fn reply<'b>(&self, to: &Packet<'_>, payload: Cow<'b, [u8]>) -> Packet<'b> {
        self.encoder.reply(to, payload)
    }

    /// Calls `waker` when something has changed, unless `waiting` is dropped first.
    pub(super) fn wait(&mut self, waiting: &mut Waiting<'_>, waker: &Waker) {
        self.waiting.wait(&mut waiting.key, waker);
    }

    /// Takes what is queued, and those who wait for room.
    pub(super) fn take(&mut self, to: &mut Vec<u8>) -> Vec<Waker> {
        std::mem::swap(&mut self.out, to);
        self.held = to.len();
        self.packets = [0, self.packets[0]];
        self.take_waiting()
    }

    /// Everything that was taken is written; those who wait for room are returned.
    pub(super) fn drained(&mut self) -> Vec<Waker> {
        self.packets[1] = 0;
        if self.out.is_empty() {
            self.answered = 0;
        }
        self.take_waiting()
    }

    /// Those who wait for something that there may be now.
    pub(super) fn take_waiting(&mut self) -> Vec<Waker> {
        self.waiting.take()
    }

    /// Which of a client's connections this is.
    pub(super) const fn connection(&self) -> u64 {
        self.connection
    }

    pub(super) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn sleep(&mut self, waker: &Waker) {
        match &mut self.owner {
            Some(owner) if owner.will_wake(waker) => {}
            owner => *owner = Some(waker.clone()),
        }
    }

    /// Bytes that wait to be sent.
    pub(super) fn pending(&self) -> usize {
        self.out.len() + self.held
    }
}
