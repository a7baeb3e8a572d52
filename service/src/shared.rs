//! What handles in any task share with the one task that owns the session.
//!
//! The lock is short: encoding a frame, or swapping a queue. It is never held across I/O or while
//! somebody's code runs. The owner's own sends do not come here at all.

mod locked;
mod orders;
mod room;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Poll, Waker};

use bytes::Bytes;

use outlast_core::wire::{Header, Op, RequestId, Route, Status};

use crate::asked::{Asked, Mark};
use crate::board::{Board, LONGEST, Left, Parked, Seat};
use crate::error::{Closed, RequestError, SendError};
use crate::figures::Shown;
use crate::ground::Ground;
use crate::home::Hosted;
use crate::memory::Turn;
use crate::snapshots::Ticket;
use crate::state::{LinkState, Watch};
use crate::transport::Timers;
use crate::waiters::Waiters;

pub(crate) use locked::Waiting;
pub(crate) use orders::Orders;

/// One session's meeting point. In an `Arc`, in every handle and in the owner.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Whom authentication found, on a server; 0 is nobody in particular.
    principal: u64,
    pub(crate) ground: Arc<Ground>,
    /// The server that has it, if one does.
    pub(crate) hosted: Option<Hosted>,
    /// Something was staged or ordered since the owner last looked.
    dirty: AtomicBool,
    /// What its connection is doing: a client's from the beginning, others once somebody asks.
    pub(crate) watch: OnceLock<Arc<Watch>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    ground: Arc<Ground>,
    pub(crate) facts: Facts,
    /// What the owner last wrote down.
    pub(crate) shown: Box<Shown>,
    /// When the round trip was last counted: a number of seconds, roughly, from 1 on.
    pub(crate) rtt_counted: u32,
    /// Encoded frames that the owner has not taken yet.
    pub(crate) staged: Vec<u8>,
    /// Bytes ever staged.
    staged_total: u64,
    /// A fragmented message is being staged and nothing may come between its fragments.
    open: bool,
    /// How much of the queue is counted.
    granted: u32,
    /// There is memory for those who wait for some: they are told once the lock is let go.
    has_freed: bool,
    /// How long it may become now: 0 while nothing may be staged at all.
    gate: u32,
    /// Messages that found no room and were refused or dropped.
    pub(crate) turned_down: u64,
    /// What is mostly not there.
    rare: Option<Box<Rare>>,
    /// Requests and receipts, once there have been any.
    asked: Option<Box<Asked>>,
    /// Nothing can be sent any more in this session.
    over: bool,
    /// Those who have to be told that were.
    pub(crate) departed: bool,
    /// The session is over, and its last words are not with the transport yet.
    parting: bool,
    /// The peer answers no more requests.
    peer_finished: bool,
    /// Which of the sessions that follow each other this is: it grows when one is over. What began
    /// in one must not go on in the next.
    generation: u32,
    /// Why this session is over, or the one before it.
    closed: Option<Box<Closed>>,
    /// The owner, while it sleeps.
    owner: Option<Waker>,
    /// Its place at the server's board, if messages to everybody are put up there.
    seat: Option<Box<Seat>>,
    /// What is put up at the board is for this session, too.
    on_board: bool,
}

/// What only some sessions need, and only for a while.
#[derive(Debug, Default)]
struct Rare {
    /// What the owner is to do.
    orders: Orders,
    /// Who waits for room.
    waiting: Waiters,
    /// Requests whose responder was dropped, with what they are answered.
    late: Vec<(RequestId, Status)>,
    /// The newest value of each of these routes, until everything before it is with the transport.
    latest: Vec<(Route, Vec<u8>)>,
    /// Somebody waits for a snapshot.
    ticket: Option<Ticket>,
    /// Where the owner waits for memory for them.
    latest_turn: Option<Turn>,
}

/// What handles may know about the session without asking its owner.
#[derive(Debug, Copy, Clone, Default)]
pub(crate) struct Facts {
    /// The session's number, if it has one: an `Option` would be twice as large.
    pub(crate) sid: u64,
    pub(crate) has_sid: bool,
    pub(crate) connected: bool,
    pub(crate) max_body: u16,
    pub(crate) max_message: u32,
    pub(crate) max_requests: u16,
    pub(crate) rtt_us: u32,
}

impl Facts {
    /// The session's number, if it has one.
    pub(crate) fn id(&self) -> Option<u64> {
        self.has_sid.then_some(self.sid)
    }
}

/// What became of a request.
pub(crate) type Answered = Result<(Status, Bytes), RequestError>;

/// What the owner takes from handles.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    /// Whole frames.
    pub(crate) frames: Vec<u8>,
    /// Bytes that were ever staged before them.
    pub(crate) from: u64,
    /// Where what somebody asks about ends, counted as `from`.
    pub(crate) marks: Vec<(u64, Mark)>,
}

impl Staged {
    pub(crate) const fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.marks.is_empty()
    }
}

impl Shared {
    pub(crate) fn new(remote: Option<SocketAddr>, principal: u64, ground: Arc<Ground>) -> Self {
        let inner = Mutex::new(Inner::new(remote, Arc::clone(&ground)));
        let (dirty, watch) = (AtomicBool::new(false), OnceLock::new());
        Self { principal, ground, hosted: None, dirty, watch, inner }
    }

    pub(crate) const fn principal(&self) -> Option<u64> {
        if self.principal == 0 { None } else { Some(self.principal) }
    }

    /// What handles wait with.
    pub(crate) fn timers(&self) -> &dyn Timers {
        &*self.ground.timers
    }

    /// Registers the owner before it sleeps, under the lock under which it writes something down;
    /// false if there is something to do first.
    pub(crate) fn sleep_after(&self, waker: &Waker, write: impl FnOnce(&mut Inner)) -> bool {
        let mut inner = self.lock();
        write(&mut inner);
        if self.dirty.load(Ordering::Acquire) {
            return false;
        }
        inner.wait_for_latest(waker);
        match &mut inner.owner {
            Some(owner) if owner.will_wake(waker) => {}
            owner => *owner = Some(waker.clone()),
        }
        true
    }

    /// Takes a seat at a server's board.
    pub(crate) fn take_seat(&self, seat: impl FnOnce() -> Seat) {
        let mut inner = self.lock();
        if inner.seat.is_none() {
            inner.seat = Some(Box::new(seat()));
        }
    }

    /// The session is not in its server's directory any more.
    pub(crate) fn leave_board(&self) {
        let mut inner = self.lock();
        inner.land();
        if let Some(seat) = &inner.seat {
            seat.leave();
        }
    }

    /// Whether there is a board at which the owner could leave what it has.
    #[inline]
    pub(crate) fn may_park(&self) -> bool {
        let inner = self.lock();
        inner.seat.is_some() && inner.gate > 0 && usize::from(inner.facts.max_body) >= LONGEST
    }

    /// The owner leaves what it has at the board while it sleeps; false if it cannot.
    pub(crate) fn park(&self, body: impl FnOnce() -> Option<Box<dyn Parked>>) -> bool {
        let mut inner = self.lock();
        let may =
            inner.gate > 0 && usize::from(inner.facts.max_body) >= LONGEST && !inner.has_staged();
        if !may || self.dirty.load(Ordering::Acquire) {
            return false;
        }
        inner.on_board = inner.seat.as_ref().is_some_and(|seat| seat.park(body));
        inner.on_board
    }

    /// What the owner left at the board; if it is not there now, `waker` is called once it is.
    pub(crate) fn unpark(&self, waker: &Waker) -> Option<(Box<dyn Parked>, Vec<u8>)> {
        let mut inner = self.lock();
        inner.on_board = false;
        match inner.seat.as_ref().and_then(|seat| seat.unpark()) {
            Some(Left::Here(body, frames)) => Some((body, frames)),
            Some(Left::Out) | None => {
                inner.owner = Some(waker.clone());
                None
            }
        }
    }

    /// The owner's task is gone: what it left goes with it.
    pub(crate) fn evict(&self) -> Option<Box<dyn Parked>> {
        let mut inner = self.lock();
        inner.on_board = false;
        inner.seat.as_ref().and_then(|seat| seat.evict())
    }

    /// Shows the owner what was lent to what it left at the board; `None` if that is not there.
    pub(crate) fn recall(&self, len: usize, show: impl FnOnce(&[u8])) -> Option<()> {
        self.lock().seat.as_ref()?.recall(len, show)
    }

    /// Its seat at the board.
    pub(crate) fn seat(&self) -> Option<Seat> {
        self.lock().seat.as_deref().cloned()
    }

    /// The board at which it has a seat.
    pub(crate) fn board(&self) -> Option<Arc<Board>> {
        self.lock().seat.as_ref().and_then(|seat| seat.board())
    }

    /// Wakes the owner if it sleeps.
    pub(crate) fn rouse(&self) {
        let owner = self.lock().owner.take();
        owner.into_iter().for_each(Waker::wake);
    }
}

impl Inner {
    fn new(remote: Option<SocketAddr>, ground: Arc<Ground>) -> Self {
        Self {
            ground,
            facts: Facts::default(),
            shown: Box::new(Shown::new(remote)),
            rtt_counted: 0,
            staged: Vec::new(),
            staged_total: 0,
            open: false,
            granted: 0,
            has_freed: false,
            gate: 0,
            turned_down: 0,
            rare: None,
            asked: None,
            over: false,
            departed: false,
            parting: false,
            peer_finished: false,
            generation: 0,
            closed: None,
            owner: None,
            seat: None,
            on_board: false,
        }
    }

    /// What is put up at the board from now on is not for this session: it would come before what a
    /// handle has sent.
    #[cold]
    fn land(&mut self) {
        self.on_board = false;
        if let Some(seat) = &self.seat {
            seat.land();
        }
    }

    /// Takes the staged frames and the marks in them, and lets those who waited go on.
    pub(crate) fn take_staged(&mut self, taken: &mut Staged) -> Vec<Waker> {
        debug_assert!(taken.frames.is_empty(), "the owner gives an empty queue back");
        std::mem::swap(&mut self.staged, &mut taken.frames);
        self.give_back();
        taken.from = self.staged_total - taken.frames.len() as u64;
        if let Some(asked) = &mut self.asked {
            asked.take_marks(&mut taken.marks);
        }
        self.take_waiting()
    }

    /// A responder of this generation was dropped: the owner answers in its place.
    pub(crate) fn answer_later(&mut self, generation: u32, id: RequestId, status: Status) {
        if self.is_live(generation) {
            self.rare.get_or_insert_default().late.push((id, status));
        }
    }

    pub(crate) fn take_late_answers(&mut self) -> Vec<(RequestId, Status)> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.late)).unwrap_or_default()
    }

    /// Which of the sessions that follow each other this is.
    pub(crate) const fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether this session is of that generation and not over.
    const fn is_live(&self, generation: u32) -> bool {
        !self.over && self.generation == generation
    }

    /// Whether what began in the session of `generation` can go on.
    pub(crate) fn check_generation(&self, generation: u32) -> Result<(), Closed> {
        match &self.closed {
            Some(closed) if self.over || self.generation != generation => Err((**closed).clone()),
            Some(_) | None => Ok(()),
        }
    }

    /// Memory that only traffic needs goes back.
    pub(crate) fn shrink(&mut self) {
        if self.staged.is_empty() {
            self.staged = Vec::new();
        }
        self.rare = self.rare.take().filter(|rare| !rare.is_empty());
        if let Some(asked) = &mut self.asked {
            asked.shrink();
        }
    }

    /// Whether a message in fragments is under way.
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// Begins or ends a message in fragments.
    pub(crate) fn set_open(&mut self, open: bool) {
        self.open = open;
        self.set_gate();
    }

    /// Who waited for room may try again.
    fn take_waiting(&mut self) -> Vec<Waker> {
        self.rare.as_mut().map(|rare| rare.waiting.take()).unwrap_or_default()
    }

    pub(crate) fn asked(&mut self) -> &mut Asked {
        self.asked.get_or_insert_default()
    }

    /// A receipt for everything staged so far.
    pub(crate) fn receipt(&mut self) -> u64 {
        let staged = self.staged_total;
        self.asked().receipt(staged)
    }

    /// Everything of request `id` is staged.
    pub(crate) fn mark_call(&mut self, id: RequestId) {
        let staged = self.staged_total;
        self.asked().mark_call(staged, id);
    }

    /// The peer took what receipt `number` stands for; those who asked are returned.
    pub(crate) fn taken(&mut self, number: u64) -> Vec<Waker> {
        self.asked.as_mut().map_or_else(Vec::new, |asked| asked.taken(number))
    }

    /// Takes a free slot for a request of which nothing is staged yet.
    pub(crate) fn reserve_call(&mut self, generation: u32) -> Result<RequestId, SendError> {
        self.check_generation(generation).map_err(SendError::Closed)?;
        self.check(0)?;
        if self.peer_finished {
            return Err(SendError::PeerFinished);
        }
        let limit = self.facts.max_requests;
        self.asked().reserve(limit).ok_or(SendError::Full)
    }

    /// Gives a slot back of which nothing was staged. Whoever waits for one is returned.
    pub(crate) fn release_call(&mut self, id: RequestId) -> Vec<Waker> {
        self.asked().release(id);
        self.take_waiting()
    }

    /// What became of request `id`, and who waits for the slot that it leaves.
    pub(crate) fn poll_call(
        &mut self,
        id: RequestId,
        waker: &Waker,
    ) -> (Poll<Answered>, Vec<Waker>) {
        let polled = self.asked().poll_call(id, waker);
        let left = if polled.is_ready() { self.take_waiting() } else { Vec::new() };
        (polled, left)
    }

    /// Nobody waits for request `id` any more: the peer is told. That needs no room, because it may
    /// come between fragments, and there are only so many requests.
    pub(crate) fn abandon_call(&mut self, id: RequestId) -> Vec<Waker> {
        let told = self.facts.has_sid && !self.over && !self.is_finishing();
        if self.asked().abandon(id) && told {
            self.stage(Header::new(Op::Cancel, 0, 2), &id.0.to_le_bytes(), &[]);
        }
        self.take_waiting()
    }

    /// The response to request `id` came; those who can go on now are returned.
    pub(crate) fn complete(
        &mut self,
        id: RequestId,
        status: Status,
        payload: &[u8],
    ) -> (Option<Waker>, Vec<Waker>) {
        // A slot is free again, or will be: whoever waited for one may try.
        (self.asked().complete(id, status, payload), self.take_waiting())
    }

    /// The peer sends nothing more: what it did not answer it never will.
    //= REQ-14
    pub(crate) fn peer_finished(&mut self) -> Vec<Waker> {
        self.peer_finished = true;
        let mut wake = self.take_waiting();
        if let Some(asked) = &mut self.asked {
            wake.append(&mut asked.fail_calls(&RequestError::PeerFinished));
        }
        wake
    }

    /// The session exists and has these limits. Those who waited for it may go on.
    pub(crate) fn open_session(&mut self, facts: Facts) -> Vec<Waker> {
        self.facts = facts;
        self.set_gate();
        self.take_waiting()
    }

    /// The session is over: everybody who waits is told. Nothing of the requests in `unsent` can
    /// have run.
    pub(crate) fn close_with(&mut self, closed: Closed, unsent: &[RequestId]) -> Vec<Waker> {
        self.facts.connected = false;
        let mut wake = self.take_waiting();
        if !self.over {
            if let Some(asked) = &mut self.asked {
                wake.append(&mut asked.fail(&closed, unsent));
            }
            self.closed = Some(Box::new(closed));
            self.over = true;
            self.generation = self.generation.wrapping_add(1);
            // Whoever keeps a handle keeps nothing of what will not be sent.
            self.staged = Vec::new();
            self.give_back();
            wake.extend(self.take_ticket().and_then(Ticket::give_up));
        }
        wake
    }

    /// The session is over: everybody who waits is told.
    pub(crate) fn close(&mut self, closed: Closed) -> Vec<Waker> {
        self.close_with(closed, &[])
    }

    /// The session that is over has said all it had to say; those who wait for its end are
    /// returned.
    pub(crate) fn said_all(&mut self) -> Vec<Waker> {
        if std::mem::take(&mut self.parting) { self.take_waiting() } else { Vec::new() }
    }

    /// Whether a connection is there to say so when the session is over.
    pub(crate) const fn set_parting(&mut self, parting: bool) {
        self.parting = parting;
    }

    /// Whether a session that is over has something left to say: those who wait for its end may
    /// end the program, which must not be before the peer is told.
    pub(crate) const fn is_parting(&self) -> bool {
        self.parting
    }

    /// A new session takes the place of one that was lost: nothing of the old one is sent again.
    /// Only the wish that there be none at all outlasts the session.
    pub(crate) fn replace(&mut self) {
        debug_assert!(!self.parting, "its connection is over, too");
        debug_assert!(self.staged.is_empty(), "nothing is staged for a session that is lost");
        self.open = false;
        self.over = false;
        self.peer_finished = false;
        if let Some(rare) = &mut self.rare {
            let close = rare.orders.close.filter(|(_, end)| *end);
            rare.orders = Orders { close, ..Orders::default() };
            rare.late.clear();
            rare.latest.clear();
        }
        self.facts = Facts::default();
        self.set_gate();
    }

    /// What was staged and will not be sent. From now on nothing is staged for the lost session:
    /// it would be told of neither as lost nor as sent.
    pub(crate) fn discard(&mut self) -> Vec<u8> {
        self.stage_latest(true);
        self.facts = Facts::default();
        self.give_back();
        std::mem::take(&mut self.staged)
    }

    /// What the connection is doing, of those who do not dial.
    pub(crate) fn state(&self) -> LinkState {
        match self.facts {
            _ if self.over => LinkState::Closed,
            Facts { connected: true, .. } => LinkState::Connected { resumed: false },
            Facts { connected: false, .. } => LinkState::Disconnected,
        }
    }

    /// Why this session is over, if it is.
    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.closed.as_deref().filter(|_| self.over)
    }
}
