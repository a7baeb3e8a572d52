//! A connection whose task sleeps, left at the board so that what is for everybody can be written
//! without waking it.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use outlast_core::state::LinkState;
use outlast_core::{CloseCode, Instant};

use crate::board::{Carried, Courier, Parked};
use crate::drive::{Drive, QUIET, write_out};
use crate::handler::Handler;
use crate::owner::Owner;
use crate::pieces::Pieces;
use crate::shared::Staged;
use crate::transport::{Runtime, Transport};

/// Bytes of entries that are only lent to a session, at most. They are kept at the board until it
/// has them acknowledged, or for itself.
const LENT_MAX: usize = 64 << 10;

/// What the task of a connection leaves behind.
struct Body<T, H> {
    owner: Box<Owner<H>>,
    io: T,
    pieces: Pieces,
    /// When the task's timer will fire.
    timer_at: Option<Instant>,
    /// When something was last sent from here, if anything was.
    sent_at: Option<Instant>,
    /// There is something that only the task can do.
    calls: bool,
    /// What the transport said when it failed.
    error: Option<io::Error>,
    /// Somebody counts how much memory it holds.
    counts: bool,
    /// How much it may be lent in all, from the first loan on.
    room: u32,
    /// What was written and the session does not know of.
    lent: u32,
    /// Bytes at the end of that which the transport did not take.
    unwritten: u32,
}

/// What a session was lent while its task slept.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Loan {
    len: usize,
    /// Bytes at its end that the transport did not take.
    unwritten: usize,
    /// When the last of it was written.
    at: Instant,
}

impl<T: Transport, H: Handler> Body<T, H> {
    /// Whether so many bytes may be written without the session's knowing. The session is asked
    /// for the first of them alone: as long as it knows of nothing, its answer is the same, and to
    /// ask is to wait for memory that no cache has.
    fn may_lend(&mut self, len: usize) -> bool {
        if self.lent == 0 {
            let idle = self.owner.is_clear() && !self.pieces.is_carrying();
            let room = if idle { self.owner.session.room_for_written() } else { 0 };
            self.room = room.min(LENT_MAX) as u32;
        }
        self.lent as usize + len <= self.room as usize
    }

    /// Writes straight from the board. The session is told when its task wakes, and most of it is
    /// acknowledged by then.
    fn lend(&mut self, frames: &[u8]) {
        let (io, mut tried) = (&mut self.io, Err(io::ErrorKind::WouldBlock.into()));
        self.owner.guarded(|_| tried = io.try_write(&[io::IoSlice::new(frames)]));
        let written = match tried {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            tried => tried,
        };
        let written = written.unwrap_or_else(|failed| {
            self.error = Some(failed);
            0
        });
        let unwritten = frames.len() - written;
        (self.lent, self.unwritten) = (self.lent + frames.len() as u32, unwritten as u32);
        self.calls |= unwritten > 0;
        if self.counts {
            self.owner.count_memory(self.lent as usize);
        }
    }

    /// Gives the session a copy, which it writes.
    fn give(&mut self, frames: &[u8], now: Instant) {
        let Self { owner, io, pieces, calls, error, .. } = self;
        let mut written = Poll::Pending;
        owner.guarded(|owner| {
            // What had no room the last time, and what its task has not seen to, comes first.
            let (Ok(taken) | Err((taken, _))) = match owner.is_clear() {
                true => owner.session.send_encoded(frames),
                false => Ok(0),
            };
            let rest = frames.get(taken..).unwrap_or_default();
            *calls |= !rest.is_empty();
            owner.queue(rest.to_vec());
            let put = |bufs: &[io::IoSlice<'_>]| match io.try_write(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            };
            written = write_out(&mut owner.session, pieces, now, put);
            owner.count_memory(0);
        });
        *calls |= !matches!(written, Poll::Ready(Ok(())));
        if let Poll::Ready(Err(failed)) = written {
            *error = Some(failed);
        }
    }
}

impl<T: Transport, H: Handler> Parked for Body<T, H> {
    fn carry(&mut self, frames: &[u8], now: Instant) -> Carried {
        // What is due, and giving memory back, are the task's business: its timer has to fire in
        // time for both.
        let quiet = now.after(QUIET);
        let due = if self.may_lend(frames.len()) {
            self.lend(frames);
            // The session knows of nothing, so that nothing is due that was not before.
            quiet
        } else if self.lent == 0 {
            self.give(frames, now);
            self.owner.session.next_deadline().map_or(quiet, |due| due.min(quiet))
        } else {
            // Its task gives it what it was lent, and then this.
            return Carried { taken: false, sleeps: false };
        };
        self.sent_at = Some(now);
        self.calls |= self.timer_at.is_none_or(|at| at > due);
        Carried { taken: true, sleeps: !self.calls }
    }

    fn lent(&self) -> u32 {
        self.lent
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl<R: Runtime, T: Transport, H: Handler> Drive<R, T, H> {
    /// Leaves everything at the board, if there is one and nothing but the peer or a handle could
    /// make this task do anything.
    pub(crate) fn park(&mut self) {
        let Some(owner) = self.owner.as_deref_mut() else {
            return;
        };
        if !owner.shared.may_park() {
            return;
        }
        let held_up = self.pieces.is_carrying() || self.pieces.blocked_since().is_some();
        let idle = owner.is_clear() && !held_up && self.pieces.lingers_until().is_none();
        if !idle || owner.session.link_state() != LinkState::Open {
            return;
        }
        self.news = owner.take_news();
        let shared = Arc::clone(&owner.shared);
        let (board, batch) = (shared.board(), shared.ground.outgoing.batch);
        let counts = shared.ground.memory.is_some();
        let parked = shared.park(|| {
            let (owner, io) = (self.owner.take()?, self.io.take()?);
            let (pieces, timer_at) = (std::mem::take(&mut self.pieces), self.timer_at);
            let (sent_at, calls, error) = (None, false, None);
            let (room, lent, unwritten) = (0, 0, 0);
            Some(Box::new(Body {
                owner,
                io,
                pieces,
                timer_at,
                sent_at,
                calls,
                error,
                counts,
                room,
                lent,
                unwritten,
            }))
        });
        if !parked {
            return;
        }
        self.parked = Some(shared);
        if let Some(board) = board.filter(|board| board.hire()) {
            let courier = Courier::new(&board, self.runtime.clone(), self.ground.clock, batch);
            self.runtime.spawn(courier);
        }
    }

    /// Takes back what was left at the board; Pending while the courier has it.
    pub(crate) fn unpark(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = &self.parked else {
            return Poll::Ready(());
        };
        let Some((body, frames)) = shared.unpark(cx.waker()) else {
            return Poll::Pending;
        };
        self.parked = None;
        // Nobody else leaves anything in this session's place.
        let Ok(body) = body.into_any().downcast::<Body<T, H>>() else {
            return Poll::Ready(());
        };
        let Body { mut owner, io, pieces, sent_at, calls, error, lent, unwritten, .. } = *body;
        owner.queue(frames);
        (self.owner, self.io, self.pieces) = (Some(owner), Some(io), pieces);
        error.into_iter().for_each(|error| self.pieces.fail(error));
        if let Some(sent_at) = sent_at {
            (self.active_at, self.shrunk) = (self.active_at.max(sent_at), false);
            if lent > 0 {
                let (len, unwritten) = (lent as usize, unwritten as usize);
                self.recall(cx, Loan { len, unwritten, at: sent_at });
            }
        }
        self.slept &= !calls;
        Poll::Ready(())
    }

    /// Tells the session what it was lent, before anything else happens to it, but with what came
    /// from the peer.
    fn recall(&mut self, cx: &mut Context<'_>, loan: Loan) {
        let now = self.ground.clock.core(self.runtime.now());
        if let (Some(_), Some(owner)) = (self.pieces.error(), self.owner.as_deref_mut()) {
            return owner.recall(loan, &[]);
        }
        if let Poll::Ready(Err(error)) = self.read(cx, now, Some(loan)) {
            self.pieces.fail(error);
        }
    }
}

impl<H: Handler> Owner<H> {
    /// Gives the session what it was lent, but for what is acknowledged with `input`.
    pub(crate) fn recall(&mut self, loan: Loan, input: &[u8]) {
        let Self { session, shared, .. } = self;
        let Loan { len, unwritten, at } = loan;
        let found =
            shared.recall(len, |frames| session.handle_written(at, frames, unwritten, input));
        if found.is_none() {
            // It cannot be: the board keeps it.
            session.kill(CloseCode::INTERNAL);
        }
    }

    /// Queues frames that were put up for everybody.
    fn queue(&mut self, frames: Vec<u8>) {
        if !frames.is_empty() {
            let queues = &mut self.rare.get_or_insert_default().queues;
            queues.stage(Staged { frames, ..Staged::default() });
        }
    }

    /// Whether nothing waits to be sent, and no message is under way.
    fn is_clear(&self) -> bool {
        let queued = self.rare.as_ref().is_some_and(|rare| rare.queues.wants_flush());
        !queued && !self.over && !self.session.has_open_message()
    }
}
