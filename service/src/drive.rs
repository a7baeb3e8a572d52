//! One connection: bytes between a transport and a session, and its timers.
//!
//! Reading and writing go on together and neither waits for the other. Reads go through a buffer of
//! the thread, so that an idle connection owns none; writes lend the session's own ring.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use outlast_core::state::LinkState;
use outlast_core::{CONTROL_MAX, CloseCode, Instant, Role, Session, Storage};

use crate::error::SpeaksTls;
use crate::ground::Ground;
use crate::handler::Handler;
use crate::owner::{Ending, News, Owner};
use crate::parked::Loan;
use crate::pieces::Pieces;
use crate::shared::Shared;
use crate::transport::{Runtime, Timer, Transport};

/// Bytes read at once, with the beginning of a frame from the last read: several frames of any
/// length, and few enough to be in the nearest caches while they are handled.
pub(crate) const READ_MAX: usize = 64 << 10;
/// Reads before what they caused is written: the second finds that there is no more, mostly.
const READS: u32 = 2;
/// Rounds in one go before other tasks get their turn.
const TURNS: u32 = 1;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's read buffer. Whoever needs one while it is lent gets another.
pub(crate) fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    if scratch.len() < READ_MAX {
        scratch = vec![0; READ_MAX];
    }
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// Carries one session over one connection until that ends; gives the owner back.
pub(crate) struct Drive<R: Runtime, T, H> {
    /// It and the transport are elsewhere while this task sleeps and messages to everybody may
    /// come, and once the connection has ended.
    pub(crate) owner: Option<Box<Owner<H>>>,
    pub(crate) io: Option<T>,
    pub(crate) runtime: R,
    pub(crate) ground: Arc<Ground>,
    timer: R::Timer,
    /// When the timer will fire, if it is armed.
    pub(crate) timer_at: Option<Instant>,
    /// What is not whole yet, what is not written yet, and what the transport said when it failed.
    pub(crate) pieces: Pieces,
    /// When something last happened that was not just time passing.
    pub(crate) active_at: Instant,
    /// What memory could be given back was given back after that.
    pub(crate) shrunk: bool,
    /// The last round ended with the timer armed for whatever falls due first.
    pub(crate) slept: bool,
    /// Where the owner and the transport can be had again.
    pub(crate) parked: Option<Arc<Shared>>,
    /// What the owner had to tell when it was left there.
    pub(crate) news: Option<News>,
    /// Another round was waited for, so that everybody who is ready has staged what it has.
    gathered: bool,
    eof: bool,
    shut: bool,
    fenced: bool,
}

/// What is left when a connection has ended.
pub(crate) struct Driven<H> {
    pub(crate) owner: Box<Owner<H>>,
    pub(crate) ending: Ending,
    /// What the transport said, if it failed.
    pub(crate) error: Option<io::Error>,
}

impl<R: Runtime, T: Transport, H: Handler> Drive<R, T, H> {
    /// `greeting` is what the handshake left to be written.
    pub(crate) fn new(mut owner: Box<Owner<H>>, io: T, runtime: R, greeting: &[u8]) -> Self {
        owner.carried = true;
        let (timer, now) = (runtime.timer(), runtime.now());
        let ground = Arc::clone(&owner.shared.ground);
        let (active_at, mut pieces) = (ground.clock.core(now), Pieces::default());
        pieces.carry(greeting);
        Self {
            owner: Some(owner),
            io: Some(io),
            runtime,
            ground,
            timer,
            timer_at: None,
            pieces,
            active_at,
            shrunk: false,
            slept: false,
            parked: None,
            news: None,
            gathered: false,
            eof: false,
            shut: false,
            fenced: false,
        }
    }

    /// What the session's registry has to know, if there is something new.
    #[inline]
    pub(crate) fn take_news(&mut self) -> Option<News> {
        self.news.take().or_else(|| self.owner.as_deref_mut().and_then(Owner::take_news))
    }

    /// The session's number, if it is here and has one.
    pub(crate) fn session_id(&self) -> Option<u64> {
        self.owner.as_ref().and_then(|owner| owner.session.id())
    }

    /// Whether the handshake is not over yet.
    pub(crate) fn is_greeting(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.opened_at.is_none())
    }

    /// Reads once and handles what came. Ready means that another read may bring more.
    ///
    /// What the session was lent, if anything, it is told with that, or without.
    pub(crate) fn read(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        loan: Option<Loan>,
    ) -> Poll<io::Result<()>> {
        let (Some(owner), Some(io)) = (self.owner.as_deref_mut(), &mut self.io) else {
            return Poll::Pending;
        };
        with_scratch(|scratch| {
            let tail = self.pieces.tail();
            let kept = tail.len();
            //= DRV-10
            scratch[..kept].copy_from_slice(tail);
            let polled = io.poll_read(cx, &mut scratch[kept..]);
            if let Some(loan) = loan {
                let came = if let Poll::Ready(Ok(count)) = polled { count } else { 0 };
                owner.recall(loan, &scratch[..kept + came]);
            }
            let read = ready!(polled)?;
            if read == 0 {
                self.eof = true;
                return Poll::Ready(Ok(()));
            }
            let mut input = &scratch[..kept + read];
            if owner.opened_at.is_none() && speaks_tls(&owner.session, input) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, SpeaksTls)));
            }
            // The violation's CLOSE is among the output, and the event was told.
            //= DRV-17
            let timed = match owner.untimed.checked_sub(1) {
                Some(untimed) => {
                    owner.untimed = untimed;
                    Ok(())
                }
                None => owner.time_first(now, &mut input, || self.runtime.now()),
            };
            let _ = timed.and_then(|()| owner.handle_input(now, &mut input));
            self.pieces.keep_tail(input);
            if !input.is_empty() {
                // However slowly a frame comes, its bytes say that the peer lives.
                //= DRV-11
                owner.session.handle_partial(now);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Writes what there is, until there is no more or the transport takes no more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        let (Some(owner), Some(io)) = (self.owner.as_deref_mut(), &mut self.io) else {
            return Poll::Pending;
        };
        let mut took = false;
        let put = |bufs: &[IoSlice<'_>]| {
            let polled = io.poll_write(cx, bufs);
            took |= matches!(polled, Poll::Ready(Ok(1..)));
            polled
        };
        let polled = write_out(&mut owner.session, &mut self.pieces, now, put);
        if took {
            // However slowly, it takes something.
            self.pieces.set_blocked(None);
        }
        polled
    }

    /// Does what handles ordered.
    fn obey(&mut self, now: Instant) {
        let Some(owner) = self.owner.as_deref_mut() else {
            return;
        };
        let orders = owner.take_orders(now);
        if orders.fence {
            self.fenced = true;
        }
        if let Some((grace_ms, spread_ms)) = orders.drain {
            // Without an open connection there is nobody to tell.
            let _ = owner.session.drain(now, CloseCode::GOING_AWAY, grace_ms, spread_ms);
        }
        match orders.close {
            Some((code, true)) => owner.session.end(now, code),
            Some((code, false)) => owner.session.close(now, code, orders.retry_ms),
            None => {}
        }
        if orders.snapshot {
            owner.hand_in(now);
        }
    }

    /// Arms the timer for the next deadline; Ready if it is due already.
    fn sleep(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let Some(owner) = self.owner.as_deref() else {
            return Poll::Pending;
        };
        //= DRV-3
        let mut deadline = owner.session.next_deadline();
        if owner.holds_memory() && !self.shrunk {
            let at = self.active_at.after(QUIET);
            deadline = Some(deadline.map_or(at, |deadline| deadline.min(at)));
        }
        if let Some(at) = self.pieces.lingers_until() {
            deadline = Some(deadline.map_or(at, |deadline| deadline.min(at)));
        }
        if let Some(at) = owner.held_until() {
            deadline = Some(deadline.map_or(at, |deadline| deadline.min(at)));
        }
        if let Some(since) = self.pieces.blocked_since() {
            let at = since.after(self.ground.outgoing.write_timeout_us());
            deadline = Some(deadline.map_or(at, |deadline| deadline.min(at)));
        }
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        if deadline <= now {
            return Poll::Ready(());
        }
        match self.timer_at {
            // A timer that fires early costs one look; arming it anew for every message, more.
            Some(at) if at <= deadline && at > now => Poll::Pending,
            Some(_) | None => {
                self.timer_at = Some(deadline);
                let at = self.ground.clock.std(deadline);
                self.timer.poll_until(cx, at)
            }
        }
    }

    fn finish(&mut self, now: Instant) -> Poll<Driven<H>> {
        self.leave(now).map_or(Poll::Pending, Poll::Ready)
    }

    /// Leaves the connection; `None` if it was left already.
    pub(crate) fn leave(&mut self, now: Instant) -> Option<Driven<H>> {
        let mut owner = self.owner.take()?;
        // Even if that is the last there was to hear.
        owner.heed_confirmation();
        // What waits to be told is told before the connection is forgotten.
        let _ = owner.handle_input(now, &mut &[][..]);
        //= DRV-7
        owner.session.detach(now);
        let ending = owner.disconnected(now, self.pieces.error().map(io::Error::kind));
        owner.carried = false;
        owner.said_all();
        owner.shrink();
        Some(Driven { owner, ending, error: self.pieces.take_error() })
    }

    /// Says goodbye to a connection whose session another one takes over.
    fn farewell(&mut self, cx: &mut Context<'_>, now: Instant) {
        let (Some(owner), Some(io)) = (self.owner.as_deref_mut(), &mut self.io) else {
            return;
        };
        let mut bytes = [0; 256];
        let len = owner.session.fence(now, &mut bytes);
        let code = CloseCode::SUPERSEDED;
        owner.ending = Some(Ending { code, by_peer: false, retry_ms: 0, no_retry: false });
        self.pieces.carry(&bytes[..len]);
        // Best effort: a connection that takes nothing is not waited for.
        let _ = io.poll_write(cx, &[IoSlice::new(self.pieces.carried())]);
        let _ = io.poll_shutdown(cx);
    }

    /// Reads until there is no more, within bounds; whether there may be more. `None`: the
    /// connection is over.
    fn read_some(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<bool> {
        for _ in 0..READS {
            match self.read(cx, now, None) {
                Poll::Ready(Ok(())) if !self.eof => {}
                Poll::Ready(ended) => {
                    ended.err().into_iter().for_each(|error| self.pieces.fail(error));
                    return None;
                }
                Poll::Pending => return Some(false),
            }
        }
        Some(true)
    }

    /// Whether small messages that wait are not written yet.
    fn lingers(&mut self, now: Instant) -> bool {
        let Some(owner) = self.owner.as_deref() else {
            return false;
        };
        let Some(batch) = &self.ground.outgoing.batch else {
            return false;
        };
        let carries = self.pieces.is_carrying();
        self.pieces.lingering().lingers(now, batch, &owner.session, carries)
    }

    /// Writes what there is and need not wait; whether the transport takes no more now. `None`: the
    /// connection is over.
    fn write_some(&mut self, cx: &mut Context<'_>, now: Instant) -> Option<bool> {
        // What the transport did not take has waited for others already.
        if self.pieces.blocked_since().is_none() && self.lingers(now) {
            return Some(false);
        }
        match self.write(cx, now) {
            Poll::Ready(Ok(())) => Some(false),
            Poll::Ready(Err(error)) => {
                self.pieces.fail(error);
                None
            }
            Poll::Pending => Some(true),
        }
    }

    /// One round: input, time, output.
    //= DRV-1
    //= DRV-15
    fn turn(&mut self, cx: &mut Context<'_>, now: Instant) -> Turn {
        let Some(more) = self.read_some(cx, now) else {
            return Turn::Over;
        };
        let Some(owner) = self.owner.as_deref_mut() else {
            return Turn::Over;
        };
        //= DRV-4
        //= DRV-5
        let fired = self.timer_at.is_some_and(|at| at <= now);
        if fired {
            self.timer_at = None;
        }
        // Who slept has a timer that fires no later than the first thing that falls due.
        if fired || !self.slept {
            owner.session.handle_timeout(now);
        }
        self.slept = false;
        // Time may have caused events.
        let _ = owner.handle_input(now, &mut &[][..]);
        if let Some(handshake) = owner.take_handshake() {
            self.pieces.carry(&handshake);
        }
        owner.settle(now);
        if owner.wants_staged() {
            // What had no room has some now: it is taken in the next round.
            owner.shared.call();
        }
        let Some(blocked) = self.write_some(cx, now) else {
            return Turn::Over;
        };
        self.pieces.set_blocked(blocked.then(|| self.pieces.blocked_since().unwrap_or(now)));
        let (Some(owner), Some(io)) = (self.owner.as_deref_mut(), &mut self.io) else {
            return Turn::Over;
        };
        owner.count_memory(0);
        owner.written(blocked);
        let patience = self.ground.outgoing.write_timeout_us();
        let stuck = self.pieces.blocked_since().is_some_and(|since| since.after(patience) <= now);
        if stuck {
            self.pieces.fail(io::ErrorKind::TimedOut.into());
        }
        if stuck || owner.session.link_state() == LinkState::Closed {
            return Turn::Over;
        }
        //= DRV-8
        if owner.session.is_closing() && !blocked && !self.shut {
            match io.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => self.shut = true,
                Poll::Ready(Err(_)) => return Turn::Over,
                Poll::Pending => {}
            }
        }
        if more {
            return Turn::Again;
        }
        owner.shrink_if_small();
        if !fired {
            (self.active_at, self.shrunk) = (now, false);
        } else if !self.shrunk && self.active_at.after(QUIET) <= now {
            owner.shrink();
            self.shrunk = true;
        }
        if owner.sleep(cx.waker(), Some(self.active_at)) && self.sleep(cx, now).is_pending() {
            self.slept = true;
            Turn::Sleep
        } else {
            Turn::Again
        }
    }
}

/// Writes what a session has to say with `put`, until there is no more or it takes no more.
#[inline]
pub(crate) fn write_out(
    session: &mut Session<Vec<u8>>,
    pieces: &mut Pieces,
    now: Instant,
    mut put: impl FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>,
) -> Poll<io::Result<()>> {
    loop {
        //= DRV-2
        if pieces.is_carrying() {
            let written = ready!(put(&[IoSlice::new(pieces.carried())]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            pieces.took(written);
            continue;
        }
        let mut control = [0; CONTROL_MAX];
        let parts = session.poll_transmit_parts(now, &mut control);
        if parts.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let ahead = parts.control.len();
        let [first, second] = parts.ring.map(IoSlice::new);
        let all = [IoSlice::new(parts.control), first, second];
        let from = usize::from(ahead == 0);
        let to = if second.is_empty() { 2 } else { 3 };
        match put(&all[from..to.max(from + 1)]) {
            Poll::Pending => {
                pieces.carry(&control[..ahead]);
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(written)) => {
                let rest = control[..ahead].get(written..).unwrap_or_default();
                pieces.carry(rest);
                //= DRV-12
                session.handle_transmitted(now, written.saturating_sub(ahead));
            }
        }
    }
}

/// Whether the server's first words are an alert of TLS, as its answer to a client without it.
fn speaks_tls<S: Storage>(session: &Session<S>, input: &[u8]) -> bool {
    const ALERT: [u8; 2] = [0x15, 0x03];
    input.starts_with(&ALERT) && session.role() == Role::Client
}

/// What comes after a round.
enum Turn {
    Again,
    Sleep,
    Over,
}

impl<R: Runtime, T: Transport, H: Handler> Future for Drive<R, T, H> {
    type Output = Driven<H>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        ready!(this.unpark(cx));
        //= DRV-19
        for _ in 0..TURNS {
            let now = this.ground.clock.core(this.runtime.now());
            if this.pieces.error().is_some() {
                return this.finish(now);
            }
            let Some(owner) = this.owner.as_deref() else {
                return Poll::Pending;
            };
            if owner.shared.is_dirty() {
                if !this.gathered {
                    // Everybody who is ready to send gets to stage first: one write for all.
                    this.gathered = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                this.gathered = false;
                this.obey(now);
                if this.fenced {
                    this.farewell(cx, now);
                    return this.finish(now);
                }
            }
            match this.turn(cx, now) {
                Turn::Again => {}
                Turn::Sleep => {
                    this.park();
                    return Poll::Pending;
                }
                Turn::Over => return this.finish(now),
            }
        }
        if let Some(owner) = this.owner.as_deref() {
            owner.show(this.active_at);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Runtime, T, H> Drop for Drive<R, T, H> {
    fn drop(&mut self) {
        if let Some(shared) = self.parked.take() {
            drop(shared.evict());
        }
    }
}

/// How long after the last traffic its memory is given back, in microseconds.
pub(crate) const QUIET: u64 = 2_000_000;
