//! Where a server's sessions are: with the task of a connection, or here, without one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use outlast_core::CloseCode;
use outlast_core::registry::{Entry, Lease, Parting, Peer, Registry};
use outlast_core::wire::Hello;

use crate::entropy;
use crate::error::{Closed, Why};
use crate::greet;
use crate::handler::Handler;
use crate::overview::lock;
use crate::owner::{News, Owner, abandoned_code};
use crate::server::Inner;
use crate::shared::{Orders, Shared};
use crate::transport::Runtime;

/// All sessions of a server, and where they are.
pub(crate) struct Places<H> {
    pub(crate) registry: Registry<Vec<Entry>>,
    /// By index of the registry's entry.
    places: Vec<Option<Place<H>>>,
}

/// A session that is not over.
struct Place<H> {
    /// Who has the right to it, or had it last: all news of it is told under this lease.
    lease: Lease,
    /// The holder of the lease has not come for it yet. Until it does, or gives up, the session
    /// is not without connection for the registry.
    claimed: bool,
    at: At<H>,
}

/// Where a session is.
enum At<H> {
    /// Without a connection.
    Here(Box<Owner<H>>),
    /// With the task of a connection, and who waits to take it over.
    Out(Arc<Shared>, Option<Waker>),
}

impl<H> Places<H> {
    pub(crate) const fn new(registry: Registry<Vec<Entry>>) -> Self {
        Self { registry, places: Vec::new() }
    }

    /// A new session goes out with its first connection.
    pub(crate) fn send_out(&mut self, lease: Lease, shared: Arc<Shared>) {
        let index = lease.index() as usize;
        if self.places.len() <= index {
            self.places.resize_with(index + 1, || None);
        }
        self.places[index] = Some(Place { lease, claimed: false, at: At::Out(shared, None) });
    }

    /// A connection has the right to a session from now on, and will come for it.
    pub(crate) fn claim(&mut self, lease: Lease) {
        if let Some(place) = self.place(lease) {
            (place.lease, place.claimed) = (lease, true);
        }
    }

    /// The place of the session that this is a lease of.
    fn place(&mut self, lease: Lease) -> Option<&mut Place<H>> {
        let place = self.places.get_mut(lease.index() as usize)?.as_mut()?;
        place.lease.is_of_same_session(&lease).then_some(place)
    }

    fn remove(&mut self, lease: Lease) -> Option<Place<H>> {
        self.place(lease)?;
        self.places.get_mut(lease.index() as usize)?.take()
    }
}

/// Sessions without connection that somebody wants something of, and the task that sees to it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    inside: Mutex<(Vec<Lease>, Option<Waker>)>,
}

/// Rings for one session.
struct Ringer {
    bell: Arc<Bell>,
    lease: Lease,
}

impl Wake for Ringer {
    fn wake(self: Arc<Self>) {
        self.bell.ring(self.lease);
    }
}

impl Bell {
    fn ring(&self, lease: Lease) {
        let mut inside = lock(&self.inside);
        inside.0.push(lease);
        let house = inside.1.take();
        drop(inside);
        house.into_iter().for_each(Waker::wake);
    }

    /// The sessions it was rung for; registers `waker` if there are none.
    pub(crate) fn heard(&self, waker: &Waker) -> Vec<Lease> {
        let mut inside = lock(&self.inside);
        if inside.0.is_empty() {
            inside.1 = Some(waker.clone());
        }
        std::mem::take(&mut inside.0)
    }
}

/// A claim that was not made good: nobody comes for the session.
struct Claim<'a, R: Runtime, H: Handler> {
    inner: &'a Inner<R, H>,
    lease: Lease,
}

impl<R: Runtime, H: Handler> Drop for Claim<'_, R, H> {
    fn drop(&mut self) {
        let now = self.inner.now();
        let mut state = lock(&self.inner.state);
        let Some(place) = state.place(self.lease) else {
            return;
        };
        if place.claimed && place.lease == self.lease {
            place.claimed = false;
            if let At::Here(owner) = &place.at {
                let rx_next = owner.session.received().get();
                let parting = Parting { rx_next, finished: false };
                state.registry.detached(now, self.lease, parting);
            }
        }
    }
}

impl<R: Runtime, H: Handler> Inner<R, H> {
    /// Takes a session over, from a connection that has it if need be.
    ///
    /// The old connection gives it back before anything is read from it: what it had read and not
    /// handled is lost with it, and the peer is told to send that again.
    //= DRV-6
    //= DRV-16
    //= RSM-8
    pub(crate) async fn take_over(&self, lease: Lease) -> Result<Box<Owner<H>>, greet::Refusal> {
        let limit = Duration::from_millis(self.wanted.handshake_timeout_ms.into());
        let until = self.runtime.now() + limit;
        // However this ends: a claim that got the session has nothing left to give up.
        let _claim = Claim { inner: self, lease };
        let mut taking = poll_fn(|cx| {
            let mut state = lock(&self.state);
            let Some(place) = state.place(lease) else {
                return Poll::Ready(Err(greet::refusal(CloseCode::NO_SESSION)));
            };
            if place.lease != lease {
                // A later claim has the right to it.
                //= RSM-3
                let last_attach = Some(place.lease.attach());
                let stale = greet::refusal(CloseCode::STALE_ATTACH);
                return Poll::Ready(Err(greet::Refusal { last_attach, ..stale }));
            }
            if let At::Out(shared, waiter) = &mut place.at {
                let earlier = waiter.replace(cx.waker().clone());
                // Under the lock: a late order would hit the connection that comes after.
                shared.order(|orders| orders.fence = true);
                drop(state);
                // Whoever waited before hears that it is too late.
                let others = earlier.filter(|waker| !waker.will_wake(cx.waker()));
                others.into_iter().for_each(Waker::wake);
                return Poll::Pending;
            }
            Poll::Ready(place.take_out(lease).ok_or(greet::refusal(CloseCode::NO_SESSION)))
        });
        crate::client::before(&self.runtime, until, Pin::new(&mut taking))
            .await
            .unwrap_or_else(|| Err(self.busy()))
    }

    /// What a claim is told that failed. If its session ended while it was waited for, what is left
    /// of the session says how, as it does to those who come later.
    //= RSM-12
    pub(crate) fn epitaph(
        &self,
        hello: &Hello<'_>,
        peer: &Peer<'_>,
        refusal: greet::Refusal,
    ) -> greet::Refusal {
        if refusal.code != CloseCode::NO_SESSION {
            return refusal;
        }
        let now = self.now();
        let asked = lock(&self.state).registry.admit(now, hello, peer, entropy::for_session());
        asked.err().map_or(refusal, |refusal| refusal.close())
    }

    /// A connection has ended, or a claim has failed: the session stays, or is over.
    pub(crate) fn put_back(&self, lease: Lease, mut owner: Box<Owner<H>>) {
        let now = self.now();
        let rx_next = owner.session.received().get();
        let over = owner.over || owner.session.death().is_some();
        let mut state = lock(&self.state);
        let Some(place) = state.place(lease) else {
            return;
        };
        let retired = self.common.retired.load(Ordering::Acquire);
        let (newest, claimed) = (place.lease, place.claimed);
        let waiter = match &mut place.at {
            At::Out(_, waiter) => waiter.take(),
            At::Here(_) => None,
        };
        if over {
            let code = owner.session.death().map_or(CloseCode::OK, |death| death.code);
            state.remove(lease);
            state.registry.ended(now, newest, code, rx_next);
            if let Some(id) = owner.session.id() {
                self.common.forget(id);
            }
        } else if retired {
            state.remove(lease);
            drop(state);
            self.dismiss(&mut owner);
            return waiter.into_iter().for_each(Waker::wake);
        } else {
            self.listen(newest, &owner);
            place.at = At::Here(owner);
            if !claimed {
                let parting = Parting { rx_next, finished: false };
                state.registry.detached(now, newest, parting);
            }
        }
        drop(state);
        waiter.into_iter().for_each(Waker::wake);
    }

    /// Has the bell rung when somebody wants something of a session that has no connection now.
    fn listen(&self, lease: Lease, owner: &Owner<H>) {
        let bell = Arc::clone(&self.common.bell);
        let ringer = Waker::from(Arc::new(Ringer { bell, lease }));
        if !owner.sleep(&ringer, None) {
            ringer.wake();
        }
    }

    /// Does what handles want of a session that has no connection: takes what they sent, as far as
    /// the send buffer goes, and ends the session if it is to end.
    //= RSM-16
    pub(crate) fn attend(&self, lease: Lease) {
        let now = self.now();
        let mut state = lock(&self.state);
        let Some(Place { lease: newest, at: At::Here(owner), .. }) = state.place(lease) else {
            return;
        };
        let newest = *newest;
        // An order to disconnect is done already.
        let wanted = owner.take_orders(now).snapshot;
        owner.settle(now);
        owner.count_memory(0);
        let Some(code) = owner.ordered_end else {
            if wanted {
                return self.hand_in_here(state, lease);
            }
            if owner.wants_staged() {
                // In another turn: others want the lock.
                owner.shared.call();
            } else {
                owner.shrink();
            }
            return self.listen(newest, owner);
        };
        // No lock is held while the handler runs; who wants the session meanwhile waits.
        let out = At::Out(Arc::clone(&owner.shared), None);
        let here = state.place(lease).map(|place| std::mem::replace(&mut place.at, out));
        drop(state);
        if let Some(At::Here(owner)) = here {
            self.end_here(lease, owner, code);
        }
    }

    /// Hands in a snapshot of a session that has no connection. No lock is held meanwhile.
    fn hand_in_here(&self, mut state: MutexGuard<'_, Places<H>>, lease: Lease) {
        let Some(place) = state.place(lease) else {
            return;
        };
        let At::Here(owner) = &place.at else {
            return;
        };
        let out = At::Out(Arc::clone(&owner.shared), None);
        let here = std::mem::replace(&mut place.at, out);
        drop(state);
        if let At::Here(mut owner) = here {
            owner.hand_in(self.now());
            self.lay_down(lease, owner);
        }
    }

    /// Puts a session that has no connection where it was; who came for it meanwhile has it next.
    fn lay_down(&self, lease: Lease, owner: Box<Owner<H>>) {
        let mut state = lock(&self.state);
        let Some(place) = state.place(lease) else {
            return;
        };
        self.listen(place.lease, &owner);
        if let At::Out(_, Some(waiter)) = std::mem::replace(&mut place.at, At::Here(owner)) {
            drop(state);
            waiter.wake();
        }
    }

    /// Takes in a session that has no connection; nobody has asked for it yet.
    pub(crate) fn settle_in(&self, lease: Lease, owner: Box<Owner<H>>) {
        let mut state = lock(&self.state);
        state.send_out(lease, Arc::clone(&owner.shared));
        drop(state);
        self.lay_down(lease, owner);
    }

    /// Ends a session that has no connection. It stays where it is, so that its client is told why
    /// when it comes back.
    fn end_here(&self, lease: Lease, mut owner: Box<Owner<H>>, code: CloseCode) {
        if let Some(id) = owner.session.id() {
            self.common.forget(id);
        }
        let now = self.now();
        owner.session.end(now, code);
        owner.guarded(|owner| owner.give_up(now, Why::Stopped, code));
        owner.shrink();
        let mut state = lock(&self.state);
        let Some(place) = state.place(lease) else {
            return;
        };
        if let At::Out(_, Some(waiter)) = std::mem::replace(&mut place.at, At::Here(owner)) {
            drop(state);
            waiter.wake();
        }
    }

    /// What the task of a connection has to tell.
    pub(crate) fn heed(&self, lease: Lease, news: News) {
        let mut state = lock(&self.state);
        if news.confirmed {
            state.registry.confirmed(lease);
        }
        //= REG-6
        if let Some(key_id) = news.key {
            state.registry.confirm_key(lease, key_id);
        }
    }

    /// Gives the session another key, from which the client proves it from now on.
    pub(crate) fn rotate_key(&self, lease: Lease, owner: &mut Owner<H>) {
        let mut key = [0; 16];
        entropy::fill(&mut key);
        // An earlier key may be under way still: then that is the next one.
        let Some(key_id) = lock(&self.state).registry.rotate(lease, key) else {
            return;
        };
        if owner.session.rotate_key(key_id, key).is_err() {
            lock(&self.state).registry.abandon_key(lease, key_id);
        }
    }

    /// Ends sessions whose retention is over or which had to make room.
    pub(crate) fn expire(&self) {
        loop {
            let now = self.now();
            let mut state = lock(&self.state);
            let Some(expired) = state.registry.poll_expired(now) else {
                return;
            };
            let place = state.places.get_mut(expired.index as usize).and_then(Option::take);
            drop(state);
            self.common.forget(expired.sid);
            match place.map(|place| place.at) {
                Some(At::Here(mut owner)) => {
                    owner.session.kill(expired.code);
                    owner.guarded(|owner| {
                        // The handler is told.
                        let _ = owner.handle_input(now, &mut &[][..]);
                    });
                }
                Some(At::Out(shared, _)) => {
                    shared.order(|orders| orders.close = Some((expired.code, true)));
                }
                None => {}
            }
        }
    }

    /// The server ends: sessions without connection are over, and those that have one will be when
    /// they lose it.
    pub(crate) fn retire(&self) {
        for (_, mut owner) in self.clear_out() {
            self.dismiss(&mut owner);
        }
    }

    /// The server ends: takes all sessions that have no connection, with the time that each of them
    /// is still to be kept.
    pub(crate) fn clear_out(&self) -> Vec<(u32, Box<Owner<H>>)> {
        self.common.retired.store(true, Ordering::Release);
        let now = self.now();
        let mut state = lock(&self.state);
        let mut here = Vec::new();
        let Places { registry, places } = &mut *state;
        for slot in places {
            if let Some(Place { at: At::Here(_), .. }) = slot
                && let Some(Place { lease, at: At::Here(owner), .. }) = slot.take()
            {
                here.push((registry.retention_left_s(now, lease), owner));
            }
        }
        here
    }

    /// Every session there is, with the time that it would still be kept without a connection.
    pub(crate) fn everybody(&self) -> Vec<(u32, Arc<Shared>)> {
        let now = self.now();
        let state = lock(&self.state);
        let all = state.places.iter().flatten().map(|place| {
            let shared = match &place.at {
                At::Here(owner) => &owner.shared,
                At::Out(shared, _) => shared,
            };
            (state.registry.retention_left_s(now, place.lease), Arc::clone(shared))
        });
        all.collect()
    }

    /// A session is over because its server is. Its client may ask another server for it.
    pub(crate) fn dismiss(&self, owner: &mut Owner<H>) {
        if let Some(id) = owner.session.id() {
            self.common.forget(id);
        }
        owner.session.kill(CloseCode::GOING_AWAY);
        // The handler is told. If it panics the others still are.
        owner.guarded(|owner| {
            let _ = owner.handle_input(self.now(), &mut &[][..]);
        });
    }

    /// Orders something of every session that has a connection.
    pub(crate) fn for_each_out(&self, order: impl Fn(&mut Orders)) {
        let state = lock(&self.state);
        let places = state.places.iter().flatten();
        let out = places.filter_map(|place| match &place.at {
            At::Out(shared, _) => Some(Arc::clone(shared)),
            At::Here(_) => None,
        });
        let out: Vec<Arc<Shared>> = out.collect();
        drop(state);
        for shared in out {
            shared.order(&order);
        }
    }
}

/// The server and all its connections are gone.
impl<R, H> Drop for Inner<R, H> {
    fn drop(&mut self) {
        self.common.home.events.end();
    }
}

impl<H> Place<H> {
    /// Gives the session that is here to the claim under `lease`.
    fn take_out(&mut self, lease: Lease) -> Option<Box<Owner<H>>> {
        let At::Here(owner) = &self.at else {
            return None;
        };
        let out = At::Out(Arc::clone(&owner.shared), None);
        let At::Here(owner) = std::mem::replace(&mut self.at, out) else {
            return None;
        };
        // The connection that was told to go may have ended by itself before it read that; the
        // next one must not obey in its place.
        owner.shared.unfence();
        if self.lease == lease {
            self.claimed = false;
        }
        Some(owner)
    }
}

impl<R: Runtime, H> Inner<R, H> {
    /// The task of a connection is gone, and the session with it.
    pub(crate) fn abandoned(&self, lease: Lease) {
        let now = self.clock.core(self.runtime.now());
        let mut state = lock(&self.state);
        let Some(Place { lease, at, .. }) = state.remove(lease) else {
            return;
        };
        let code = abandoned_code();
        state.registry.ended(now, lease, code, 0);
        drop(state);
        if let At::Out(shared, waiter) = at {
            let closed = Closed::of(Why::Dropped, code);
            let wake = shared.lock().close(closed);
            shared.depart();
            wake.into_iter().chain(waiter).for_each(Waker::wake);
            if let Some(hosted) = shared.hosted() {
                self.common.forget(hosted.id);
            }
        }
    }
}
