//! Who may come in, before a byte of theirs is read: connections in total and by source, and how
//! many handshakes there may be.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use outlast_core::Instant;
use outlast_core::admission::{Gate, GateConfig, GateStats, SourceEntry, Ticket, Turned};

use crate::access::AccessList;
use crate::overview::{Refusals, lock};
use crate::transport::{Clock, Runtime, Timer};
use crate::waiters::{Key, Waiters};

/// Refused connections that are told so at the same time; what comes beyond is just closed.
const MAX_REFUSING: usize = 64;
/// Connections that wait to be let in at the same time; what comes beyond is refused.
const MAX_PATIENT: usize = 1024;

/// A server's door.
#[derive(Debug)]
pub(crate) struct Door {
    inside: Mutex<Inside>,
    /// Who waits for a free handshake, for the drain, or for its end.
    waiting: Mutex<Waiters>,
}

#[derive(Debug)]
struct Inside {
    gate: Gate<Vec<SourceEntry>>,
    access: AccessList,
    refusals: Refusals,
    /// Handshakes under way, the oldest first, numbered in the order they came.
    greeting: VecDeque<(u64, Arc<Mutex<Guest>>)>,
    next: u64,
    refusing: usize,
    /// Connections that wait to be let in.
    patient: usize,
    /// The most connections there were at the same time.
    peak: u32,
}

/// Where somebody waits. Dropped, it does not any more.
struct Place<'a> {
    door: &'a Door,
    key: Key,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let waker = lock(&self.door.waiting).leave(self.key);
        drop(waker);
    }
}

/// A connection in its handshake.
#[derive(Debug)]
struct Guest {
    /// None once it has been shown out to make room.
    ticket: Option<Ticket>,
    waker: Option<Waker>,
}

impl Door {
    /// `seed` is entropy no client can know.
    pub(crate) fn new(config: GateConfig, access: AccessList, seed: u64) -> Self {
        let inside = Inside {
            gate: Gate::new(config, seed, Vec::new()),
            access,
            refusals: Refusals::default(),
            greeting: VecDeque::new(),
            next: 0,
            refusing: 0,
            patient: 0,
            peak: 0,
        };
        Self { inside: Mutex::new(inside), waiting: Mutex::default() }
    }

    /// Goes by other limits from now on; who waited for room looks again.
    pub(crate) fn reconfigure(&self, config: GateConfig) {
        lock(&self.inside).gate.reconfigure(config);
        self.wake_all();
    }

    /// Goes by another list from now on.
    pub(crate) fn set_access(&self, access: AccessList) {
        lock(&self.inside).access = access;
        self.wake_all();
    }

    pub(crate) fn refusals(&self) -> Refusals {
        lock(&self.inside).refusals
    }

    pub(crate) fn v6_prefix(&self) -> u8 {
        lock(&self.inside).gate.config().v6_prefix
    }

    pub(crate) fn stats(&self) -> GateStats {
        *lock(&self.inside).gate.stats()
    }

    /// The most connections there were at the same time, since this was last asked to begin anew.
    pub(crate) fn peak(&self, anew: bool) -> u32 {
        let mut inside = lock(&self.inside);
        if anew {
            inside.peak = inside.gate.stats().connections;
        }
        inside.peak
    }

    /// Waits until there is room for a handshake, or `stop` says so; whether there is room.
    pub(crate) async fn ready(&self, stop: impl Fn() -> bool) -> bool {
        self.wait_until(|| {
            if stop() {
                return Some(false);
            }
            let inside = lock(&self.inside);
            let most = inside.gate.config().max_handshakes;
            (inside.gate.stats().handshakes < most).then_some(true)
        })
        .await
    }

    /// Waits until everybody has left.
    pub(crate) async fn emptied(&self) {
        self.wait_until(|| {
            let inside = lock(&self.inside);
            (inside.gate.stats().connections == 0 && inside.refusing == 0).then_some(())
        })
        .await;
    }

    async fn wait_until<T>(&self, is_so: impl Fn() -> Option<T>) -> T {
        self.wait_with(|_| is_so().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Polls whenever something has changed.
    async fn wait_with<T>(&self, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut place = Place { door: self, key: Key::NONE };
        poll_fn(|cx| {
            let mut waiting = lock(&self.waiting);
            let polled = poll(cx);
            if polled.is_pending() {
                waiting.wait(&mut place.key, cx.waker());
            }
            polled
        })
        .await
    }

    /// An open connection has left.
    pub(crate) fn left(&self, ticket: Ticket) {
        lock(&self.inside).gate.handle_disconnect(ticket);
        self.wake_all();
    }

    pub(crate) fn wake_all(&self) {
        let waiting = lock(&self.waiting).take();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A connection was accepted. Those without an address count as one source.
    ///
    /// # Errors
    ///
    /// It may not come in, or not yet; [`Door::turn_away`] counts it if it does not wait.
    //= REG-14
    pub(crate) fn enter(
        self: &Arc<Self>,
        now: Instant,
        remote: Option<SocketAddr>,
    ) -> Result<Visit, Turned> {
        let mut inside = lock(&self.inside);
        if remote.is_some_and(|remote| !inside.access.admits(remote.ip())) {
            return Err(Turned::Denied);
        }
        let address = remote.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |remote| remote.ip());
        let mut entered = inside.gate.poll_connect(now, address);
        let mut shown_out = None;
        if entered == Err(Turned::MakeRoom) {
            shown_out = inside.show_out_oldest();
            if shown_out.is_some() {
                entered = inside.gate.poll_connect(now, address);
            }
        }
        shown_out.into_iter().for_each(Waker::wake);
        let mut ticket = entered?;
        inside.peak = inside.peak.max(inside.gate.stats().connections);
        // The accept loop waits for room, so a handshake begins at once.
        inside.gate.poll_handshake(&mut ticket);
        let number = inside.next;
        inside.next += 1;
        let guest = Arc::new(Mutex::new(Guest { ticket: Some(ticket), waker: None }));
        inside.greeting.push_back((number, Arc::clone(&guest)));
        Ok(Visit { door: Arc::clone(self), number, guest })
    }

    /// A connection is not let in. Whether it may be told so, which counts until
    /// [`Door::refused`]: not if many are told just now, or if it is none of its business.
    pub(crate) fn turn_away(&self, turned: Turned) -> bool {
        let mut inside = lock(&self.inside);
        inside.gate.handle_turned();
        inside.refusals.count(turned);
        let may_be_told = turned != Turned::Denied && inside.refusing < MAX_REFUSING;
        inside.refusing += usize::from(may_be_told);
        may_be_told
    }

    /// Waits until the connection is let in. Whoever gives up drops the future.
    pub(crate) async fn wait_to_enter<R: Runtime>(
        self: &Arc<Self>,
        runtime: &R,
        clock: Clock,
        remote: Option<SocketAddr>,
    ) -> Visit {
        let mut timer = runtime.timer();
        self.wait_with(|cx| match self.enter(clock.core(runtime.now()), remote) {
            Ok(visit) => Poll::Ready(visit),
            Err(turned) => {
                if let Some(micros) = turned.wait() {
                    let at = runtime.now() + Duration::from_micros(micros);
                    if timer.poll_until(cx, at).is_ready() {
                        cx.waker().wake_by_ref();
                    }
                }
                Poll::Pending
            }
        })
        .await
    }

    /// Whether a connection may wait to be let in; it counts while this lives.
    pub(crate) fn may_wait(self: &Arc<Self>) -> Option<Patience> {
        let mut inside = lock(&self.inside);
        let may = inside.patient < MAX_PATIENT;
        inside.patient += usize::from(may);
        may.then(|| Patience(Arc::clone(self)))
    }

    /// The oldest quarter of a full house of handshakes has to leave.
    pub(crate) fn make_room(&self) {
        let mut inside = lock(&self.inside);
        let count = inside.gate.config().max_handshakes.div_ceil(4);
        let shown: Vec<Waker> = (0..count).filter_map(|_| inside.show_out_oldest()).collect();
        drop(inside);
        shown.into_iter().for_each(Waker::wake);
        self.wake_all();
    }

    /// Everybody who is in the handshake has to leave.
    pub(crate) fn show_all_out(&self) {
        let mut inside = lock(&self.inside);
        let out: Vec<Waker> = std::iter::from_fn(|| inside.show_out_oldest()).collect();
        drop(inside);
        out.into_iter().for_each(Waker::wake);
        self.wake_all();
    }

    pub(crate) fn refused(&self) {
        lock(&self.inside).refusing -= 1;
        self.wake_all();
    }

    /// Whether a session may come in that is resumed, or new.
    pub(crate) fn has_room(&self, resumes: bool) -> bool {
        lock(&self.inside).gate.has_room(resumes)
    }
}

impl Inside {
    /// Takes the place of the connection that has been longest in its handshake.
    fn show_out_oldest(&mut self) -> Option<Waker> {
        let (_, guest) = self.greeting.pop_front()?;
        let mut guest = lock(&guest);
        if let Some(ticket) = guest.ticket.take() {
            self.gate.handle_disconnect(ticket);
        }
        Some(guest.waker.take().unwrap_or_else(|| Waker::noop().clone()))
    }

    fn forget(&mut self, number: u64) {
        if let Ok(at) = self.greeting.binary_search_by_key(&number, |(number, _)| *number) {
            self.greeting.remove(at);
        }
    }
}

/// A connection in its handshake. Dropped, it has left.
#[derive(Debug)]
pub(crate) struct Visit {
    door: Arc<Door>,
    number: u64,
    guest: Arc<Mutex<Guest>>,
}

impl Visit {
    /// The future's output, unless the connection has to make room for another one.
    pub(crate) async fn unless_shown_out<T>(
        &self,
        mut future: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|cx| {
            {
                let mut guest = lock(&self.guest);
                if guest.ticket.is_none() {
                    return Poll::Ready(None);
                }
                guest.waker = Some(cx.waker().clone());
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// It failed to authenticate, or to prove that a session is its own.
    pub(crate) fn failed(&self, now: Instant) {
        let mut inside = lock(&self.door.inside);
        if let Some(ticket) = &lock(&self.guest).ticket {
            inside.gate.handle_failure(now, ticket);
        }
    }

    /// The handshake succeeded; `None` if the connection has lost its place meanwhile.
    pub(crate) fn opened(self) -> Option<Stay> {
        let mut inside = lock(&self.door.inside);
        inside.forget(self.number);
        let mut ticket = lock(&self.guest).ticket.take()?;
        inside.gate.handle_open(&mut ticket, true);
        drop(inside);
        self.door.wake_all();
        Some(Stay { door: Arc::clone(&self.door), ticket: Some(ticket) })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut inside = lock(&self.door.inside);
        inside.forget(self.number);
        if let Some(ticket) = lock(&self.guest).ticket.take() {
            inside.gate.handle_disconnect(ticket);
            drop(inside);
            self.door.wake_all();
        }
    }
}

/// A connection waits to be let in.
#[derive(Debug)]
pub(crate) struct Patience(Arc<Door>);

impl Drop for Patience {
    fn drop(&mut self) {
        lock(&self.0.inside).patient -= 1;
    }
}

/// A connection that is open. Dropped, it has left.
#[derive(Debug)]
pub(crate) struct Stay {
    door: Arc<Door>,
    ticket: Option<Ticket>,
}

impl Stay {
    /// For whom a pointer to the door is too much: they say by themselves that they
    /// [left](Door::left).
    pub(crate) fn into_ticket(mut self) -> Option<Ticket> {
        self.ticket.take()
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.door.left(ticket);
        }
    }
}
