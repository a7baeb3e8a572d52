//! A connection whose task sleeps, left at the board so that what is for everybody can be written
//! without waking it.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use outlast_core::Instant;
use outlast_core::state::LinkState;

use crate::board::{Courier, Parked};
use crate::drive::{Drive, Pieces, QUIET, write_out};
use crate::handler::Handler;
use crate::owner::Owner;
use crate::shared::Staged;
use crate::transport::{Runtime, Transport};

/// What the task of a connection leaves behind.
struct Body<T, H> {
    owner: Box<Owner<H>>,
    io: T,
    pieces: Option<Box<Pieces>>,
    /// When the task's timer will fire.
    timer_at: Option<Instant>,
    /// When something was last sent from here, if anything was.
    sent_at: Option<Instant>,
    /// There is something that only the task can do.
    calls: bool,
    /// What the transport said when it failed.
    error: Option<io::Error>,
}

impl<T: Transport, H: Handler> Parked for Body<T, H> {
    fn take(&mut self, frames: &[u8]) {
        let calls = &mut self.calls;
        self.owner.guarded(|owner| {
            // What had no room the last time, and what its task has not seen to, comes first.
            let (Ok(taken) | Err((taken, _))) = match owner.is_clear() {
                true => owner.session.send_encoded(frames),
                false => Ok(0),
            };
            let rest = frames.get(taken..).unwrap_or_default();
            *calls |= !rest.is_empty();
            owner.queue(rest.to_vec());
        });
    }

    fn write(&mut self, now: Instant) -> bool {
        let Self { owner, io, pieces, timer_at, error, .. } = self;
        let mut calls = true;
        owner.guarded(|owner| {
            let put = |bufs: &[io::IoSlice<'_>]| match io.try_write(bufs) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                done => Poll::Ready(done),
            };
            let written = write_out(&mut owner.session, pieces, now, put);
            // What is due, and giving memory back, are the task's business: its timer has to fire
            // in time for both.
            let quiet = now.after(QUIET);
            let due = owner.session.next_deadline().map_or(quiet, |due| due.min(quiet));
            let late = timer_at.is_none_or(|at| at > due);
            calls = late || !matches!(written, Poll::Ready(Ok(())));
            if let Poll::Ready(Err(failed)) = written {
                *error = Some(failed);
            }
            owner.count_memory();
        });
        self.sent_at = Some(now);
        self.calls |= calls;
        !self.calls
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
        let carries = self.pieces.as_deref().is_some_and(Pieces::is_carrying);
        let idle = owner.is_clear() && !carries && self.blocked_since.is_none();
        if !idle || owner.session.link_state() != LinkState::Open {
            return;
        }
        self.news = owner.take_news();
        let shared = Arc::clone(&owner.shared);
        let board = shared.board();
        let parked = shared.park(|| {
            let (owner, io) = (self.owner.take()?, self.io.take()?);
            let (pieces, timer_at) = (self.pieces.take(), self.timer_at);
            let (sent_at, calls, error) = (None, false, None);
            Some(Box::new(Body { owner, io, pieces, timer_at, sent_at, calls, error }))
        });
        if !parked {
            return;
        }
        self.parked = Some(shared);
        if let Some(board) = board.filter(|board| board.hire()) {
            self.runtime.spawn(Courier::new(&board, self.runtime.clone(), self.clock));
        }
    }

    /// Takes back what was left at the board; Pending while the courier has it.
    pub(crate) fn unpark(&mut self, cx: &Context<'_>) -> Poll<()> {
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
        let Body { mut owner, io, pieces, sent_at, calls, error, .. } = *body;
        owner.queue(frames);
        (self.owner, self.io, self.pieces, self.error) = (Some(owner), Some(io), pieces, error);
        if let Some(sent_at) = sent_at {
            (self.active_at, self.shrunk) = (self.active_at.max(sent_at), false);
        }
        self.slept &= !calls;
        Poll::Ready(())
    }
}

impl<H: Handler> Owner<H> {
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
