//! What is sent to everybody: written down once, and carried to those who sleep by one task.
//!
//! The task of a connection that has nothing to do leaves its session and its transport here. What
//! is broadcast then is one entry for all who are here: no lock, no copy and no wake-up for each.
//! The courier, one task for a server, puts the entries into the sessions and writes them out as
//! far as the transports take them; the rest, and whatever else there is to do, is the business of
//! the connections' own tasks, which take back what they left.
//!
//! Whoever has the session and the transport owns them, as ever: the lock is held while they change
//! hands, and not while anything is written. A session that a handle sends to on its own leaves the
//! board with the same call, so that what comes later goes behind that.
//!
//! Locks are taken in this order: a session's [`Shared`], the board.

mod courier;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Waker};

use outlast_core::Instant;
use outlast_core::wire::{HEADER_LEN, Header, Op, Route};

use crate::directory::Directory;
use crate::overview::lock;
use crate::shared::Shared;

use courier::Bag;

pub(crate) use courier::Courier;

/// Longest frame that is put up for all, in bytes; what is longer is queued for each.
pub(crate) const LONGEST: usize = 4 << 10;
/// Bytes that may be put up for one session before it has got them.
const ROOM: u32 = 64 << 10;
/// Bytes of entries that somebody may have been lent before they are taken for good: what one who
/// gets everything has not got yet, and has been lent before that.
const LENT: u64 = 2 * ROOM as u64;
/// Sessions that the courier sees to before others get their turn.
const ROUND: usize = 64;
/// Nothing waits for this session, and nothing will.
const NEVER: u64 = u64::MAX;

/// A session with its transport, while its task sleeps.
pub(crate) trait Parked: Send {
    /// Takes whole frames, or refuses them, and writes what the transport takes without waiting.
    fn carry(&mut self, frames: &[u8], now: Instant) -> Carried;

    /// How many bytes of the entries before those it takes next it has only from the board, and
    /// wants to have again.
    fn lent(&self) -> u32;

    /// Itself, for its task.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// What became of frames that were carried to a session.
#[derive(Debug, Copy, Clone)]
pub(crate) struct Carried {
    /// They are the session's now.
    pub(crate) taken: bool,
    /// Its task may sleep on.
    pub(crate) sleeps: bool,
}

/// The entries, and the sessions that wait for them.
#[derive(Default)]
pub(crate) struct Board {
    /// Somebody has broadcast: until then nothing of all this is done.
    open: AtomicBool,
    inside: Mutex<Inside>,
}

/// A session's place at the board.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    board: Weak<Board>,
    index: usize,
    /// Seats are used again: this tells the sessions apart.
    number: u64,
}

#[derive(Default)]
struct Inside {
    /// Entries that somebody has not got yet, or was only lent: whole frames.
    entries: Vec<u8>,
    /// Bytes that were ever put up before them.
    base: u64,
    /// How many more bytes may be put up for each; 0 for those who are not here.
    room: Vec<u32>,
    /// How far each has got the entries; [`NEVER`] for those who do not want more.
    got: Vec<u64>,
    /// From where on each was lent what it has got; [`NEVER`] for those who need nothing again.
    lent: Vec<u64>,
    seats: Vec<Option<Spot>>,
    /// Seats ever taken.
    taken: u64,
    free: Vec<usize>,
    /// Up to where the entries are carried: they may wait for others.
    due: u64,
    /// Messages that were put up since that was settled.
    undue: u32,
    /// Whom the courier looks at next.
    next: usize,
    /// There is a courier.
    hired: bool,
    /// The courier, while it sleeps.
    courier: Option<Waker>,
}

/// What is known of one session.
struct Spot {
    number: u64,
    id: u64,
    shared: Arc<Shared>,
    /// The server has it in its directory.
    listed: bool,
    /// Where the entries end that are for it: [`NEVER`] for those who are here.
    end: u64,
    body: Option<Box<dyn Parked>>,
    /// The courier has the body.
    out: bool,
    /// Its task waits for the body.
    wanted: bool,
    /// Its task is gone.
    gone: bool,
    /// Its task was called, which sees to the rest.
    called: bool,
}

/// A body on its way, and which of the entries are for it.
struct Errand {
    index: usize,
    body: Box<dyn Parked>,
    from: u64,
    to: u64,
    carried: Carried,
}

/// What a task finds when it comes back.
pub(crate) enum Left {
    /// What it left, and frames that come before anything else.
    Here(Box<dyn Parked>, Vec<u8>),
    /// The courier has it, and will wake the task.
    Out,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        lock(&self.inside)
    }

    /// Whether anybody has broadcast yet.
    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Begins with these sessions. The caller holds the directory's lock.
    pub(crate) fn open(self: &Arc<Self>, directory: &Directory<Shared>) {
        if self.is_open() || self.open.swap(true, Ordering::AcqRel) {
            return;
        }
        for (id, shared) in directory.all() {
            self.enlist(id, &shared);
            // Whoever left in between found no seat to give up.
            if directory.get(id).is_none() {
                shared.leave_board();
            }
        }
    }

    /// A session has come, and is in the directory.
    pub(crate) fn enlist(self: &Arc<Self>, id: u64, shared: &Arc<Shared>) {
        if !self.is_open() {
            return;
        }
        shared.take_seat(|| {
            let (index, number) = self.lock().seat(id, Arc::clone(shared));
            Seat { board: Arc::downgrade(self), index, number }
        });
    }

    /// Puts a message up for everybody who is here, but for whoever has the seat `except`. Returns
    /// for how many that was, and the others.
    pub(crate) fn post(
        &self,
        route: Route,
        payload: &[u8],
        except: Option<&Seat>,
    ) -> (usize, Vec<(u64, Arc<Shared>)>) {
        let mut inside = self.lock();
        if let Some(seat) = except
            && inside.spot(seat.index).is_some_and(|spot| spot.number == seat.number)
        {
            inside.land(seat.index);
        }
        let front = &route.to_bytes()[..route.encoded_len()];
        let body = front.len() + payload.len();
        let size = if HEADER_LEN + body <= LONGEST { (HEADER_LEN + body) as u32 } else { u32::MAX };
        let Inside { room, seats, .. } = &mut *inside;
        let (mut sent, mut others) = (0, Vec::new());
        for (index, room) in room.iter_mut().enumerate() {
            if *room >= size {
                *room -= size;
                sent += 1;
            } else if let Some(spot) = seats.get(index).and_then(Option::as_ref)
                && spot.listed
            {
                others.push((spot.id, Arc::clone(&spot.shared)));
            }
        }
        if sent > 0 {
            let header = Header::new(Op::Message, route.tag(), body as u16);
            inside.entries.extend_from_slice(&header.to_bytes());
            inside.entries.extend_from_slice(front);
            inside.entries.extend_from_slice(payload);
            inside.undue += 1;
            let courier = inside.courier.take();
            drop(inside);
            courier.into_iter().for_each(Waker::wake);
        }
        (sent, others)
    }

    /// Whether a courier is needed; the caller then sends one.
    pub(crate) fn hire(&self) -> bool {
        !std::mem::replace(&mut self.lock().hired, true)
    }

    /// Sees to some of those who have not got everything; whether there may be more of them.
    /// `ready` says of so many bytes and messages that were put up since whether they are due.
    fn carry(
        &self,
        cx: &mut Context<'_>,
        bag: &mut Bag,
        now: Instant,
        ready: impl FnOnce(&mut Context<'_>, usize, u32) -> bool,
    ) -> bool {
        let mut inside = self.lock();
        let mut loaded = inside.load(bag);
        let waits = (inside.end() - inside.due) as usize;
        if !loaded && waits > 0 && ready(cx, waits, inside.undue) {
            (inside.due, inside.undue) = (inside.end(), 0);
            loaded = inside.load(bag);
        }
        if !loaded {
            inside.courier = Some(cx.waker().clone());
            drop(inside);
            bag.rouse_all();
            return false;
        }
        drop(inside);
        for errand in &mut bag.errands {
            let (from, to) = ((errand.from - bag.low) as usize, (errand.to - bag.low) as usize);
            let frames = bag.frames.get(from..to).unwrap_or_default();
            errand.carried = errand.body.carry(frames, now);
        }
        self.put_back(bag);
        true
    }

    /// Puts back what was taken along, and wakes whose task has to see to it.
    fn put_back(&self, bag: &mut Bag) {
        let mut rouse = std::mem::take(&mut bag.rouse);
        let abandoned = self.lock().unload(bag, &mut rouse);
        bag.rouse = rouse;
        bag.rouse_all();
        // Not under the lock: they tell others of their end.
        drop(abandoned);
    }

    /// The server is gone, and nobody puts anything up any more. What is here goes now: not when
    /// the board does, which may be under the lock of any session.
    pub(crate) fn clear(&self) {
        let inside = std::mem::take(&mut *self.lock());
        inside.courier.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Board {
    /// The courier sees that it is over.
    fn drop(&mut self) {
        let courier = self.lock().courier.take();
        courier.into_iter().for_each(Waker::wake);
    }
}

impl Seat {
    pub(crate) fn board(&self) -> Option<Arc<Board>> {
        self.board.upgrade()
    }

    /// Does something under the board's lock, if the seat is still this session's.
    fn with<T>(&self, work: impl FnOnce(&mut Inside, usize) -> Option<T>) -> Option<T> {
        let board = self.board.upgrade()?;
        let mut inside = board.lock();
        inside.spot(self.index).filter(|spot| spot.number == self.number)?;
        work(&mut inside, self.index)
    }

    /// A task leaves here what it has; from now on the session is on the board.
    pub(crate) fn park(&self, body: impl FnOnce() -> Option<Box<dyn Parked>>) -> bool {
        let parked = self.with(|inside, index| {
            let all = inside.base + inside.entries.len() as u64;
            let spot = inside.spot(index).filter(|spot| spot.listed)?;
            (spot.body, spot.end, spot.called) = (Some(body()?), NEVER, false);
            (inside.got[index], inside.room[index]) = (all, ROOM);
            Some(())
        });
        parked.is_some()
    }

    /// What is put up from now on is not for this session.
    pub(crate) fn land(&self) {
        self.with(|inside, index| inside.land(index));
    }

    /// A task takes back what it left.
    pub(crate) fn unpark(&self) -> Option<Left> {
        self.with(|inside, index| {
            inside.land(index)?;
            let spot = inside.spot(index)?;
            if spot.out {
                spot.wanted = true;
                return Some(Left::Out);
            }
            let body = spot.body.take()?;
            let frames = inside.take_rest(index);
            inside.free_if_over(index);
            Some(Left::Here(body, frames))
        })
    }

    /// A task is gone, and so is what it left.
    pub(crate) fn evict(&self) -> Option<Box<dyn Parked>> {
        self.with(|inside, index| {
            inside.land(index)?;
            let spot = inside.spot(index)?;
            spot.gone = spot.out;
            let body = spot.body.take();
            (inside.got[index], inside.lent[index]) = (NEVER, NEVER);
            inside.free_if_over(index);
            body
        })
    }

    /// Shows a task that has taken back what it left what that was lent, `len` bytes; `None` if it
    /// is not there.
    pub(crate) fn recall(&self, len: usize, show: impl FnOnce(&[u8])) -> Option<()> {
        self.with(|inside, index| {
            let from = std::mem::replace(&mut inside.lent[index], NEVER);
            let begin = usize::try_from(from.checked_sub(inside.base)?).ok()?;
            show(inside.entries.get(begin..begin.checked_add(len)?)?);
            inside.free_if_over(index);
            Some(())
        })
    }

    /// The session is no longer in the server's directory.
    pub(crate) fn leave(&self) {
        self.with(|inside, index| {
            inside.land(index)?;
            inside.spot(index)?.listed = false;
            inside.free_if_over(index);
            Some(())
        });
    }
}

impl Inside {
    /// A seat for a session that is not here yet.
    fn seat(&mut self, id: u64, shared: Arc<Shared>) -> (usize, u64) {
        self.taken += 1;
        let number = self.taken;
        let (listed, end) = (true, 0);
        let (body, out, wanted, gone, called) = (None, false, false, false, false);
        let spot = Spot { number, id, shared, listed, end, body, out, wanted, gone, called };
        if let Some(index) = self.free.pop() {
            self.seats[index] = Some(spot);
            return (index, number);
        }
        self.seats.push(Some(spot));
        self.room.push(0);
        self.got.push(NEVER);
        self.lent.push(NEVER);
        (self.seats.len() - 1, number)
    }

    fn spot(&mut self, index: usize) -> Option<&mut Spot> {
        self.seats.get_mut(index)?.as_mut()
    }

    /// Where the entries end.
    fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Ends what is put up for a session.
    fn land(&mut self, index: usize) -> Option<()> {
        let end = self.end();
        let spot = self.spot(index)?;
        spot.end = spot.end.min(end);
        let end = spot.end;
        self.room[index] = 0;
        if self.got[index] >= end {
            self.got[index] = NEVER;
        }
        Some(())
    }

    /// What was put up for a session that has landed, and which it has not got.
    fn take_rest(&mut self, index: usize) -> Vec<u8> {
        let from = std::mem::replace(&mut self.got[index], NEVER);
        let end = self.spot(index).map_or(0, |spot| spot.end);
        if from >= end {
            return Vec::new();
        }
        self.entries[(from - self.base) as usize..(end - self.base) as usize].to_vec()
    }

    /// A seat is free once its session is over and its task has what it left.
    fn free_if_over(&mut self, index: usize) {
        let over =
            self.spot(index).is_some_and(|spot| !spot.listed && !spot.out && spot.body.is_none());
        if over && self.lent[index] == NEVER {
            self.seats[index] = None;
            self.got[index] = NEVER;
            self.free.push(index);
        }
    }

    /// Packs for some of those who have not got everything; false if there is nobody.
    fn load(&mut self, bag: &mut Bag) -> bool {
        let end = self.due;
        let mut low = end;
        for _ in 0..self.got.len() {
            if self.next >= self.got.len() {
                self.next = 0;
                if bag.errands.is_empty() {
                    self.forget(&mut bag.rouse);
                }
            }
            let index = self.next;
            self.next += 1;
            let from = self.got[index];
            if from >= end {
                continue;
            }
            let Some(spot) = self.seats[index].as_mut().filter(|spot| !spot.called) else {
                continue;
            };
            let Some(body) = spot.body.take() else {
                continue;
            };
            spot.out = true;
            let to = spot.end.min(end);
            self.got[index] = if to < spot.end { to } else { NEVER };
            low = low.min(from);
            let carried = Carried { taken: false, sleeps: false };
            bag.errands.push(Errand { index, body, from, to, carried });
            if bag.errands.len() == ROUND {
                break;
            }
        }
        if bag.errands.is_empty() {
            self.forget(&mut bag.rouse);
            return false;
        }
        bag.frames.clear();
        let frames = (low - self.base) as usize..(end - self.base) as usize;
        bag.frames.extend_from_slice(&self.entries[frames]);
        bag.low = low;
        true
    }

    /// Entries that everybody has got, and has for itself, are of no more use. Adds who has to be
    /// waked so that more can be forgotten.
    fn forget(&mut self, rouse: &mut Vec<Arc<Shared>>) {
        let all = self.got.iter().chain(&self.lent);
        let least = all.fold(self.end(), |least, at| least.min(*at));
        if self.end() - least > LENT {
            self.call_in(self.end() - LENT, rouse);
        }
        let count = (least - self.base) as usize;
        // What is left is moved: not for every entry.
        if count < self.entries.len() / 2 {
            return;
        }
        self.entries.drain(..count);
        self.base = least;
        if self.entries.is_empty() && self.entries.capacity() > 2 * ROOM as usize {
            self.entries = Vec::new();
        }
    }

    /// Whoever was lent something before `from` has to take that for itself: it gets no more from
    /// here, since others are sent to without it, and would keep all that follows.
    fn call_in(&mut self, from: u64, rouse: &mut Vec<Arc<Shared>>) {
        for index in 0..self.lent.len() {
            if self.lent[index] < from
                && let Some(spot) = self.spot(index)
                && spot.body.is_some()
                && !spot.called
            {
                spot.called = true;
                rouse.push(Arc::clone(&spot.shared));
                self.land(index);
            }
        }
    }

    /// Puts back what was taken along; adds who has to be waked, and returns what nobody wants.
    fn unload(&mut self, bag: &mut Bag, rouse: &mut Vec<Arc<Shared>>) -> Vec<Box<dyn Parked>> {
        let mut abandoned = Vec::new();
        let end = self.end();
        for Errand { index, body, from, to, carried } in bag.errands.drain(..) {
            let Some(spot) = self.seats.get_mut(index).and_then(Option::as_mut) else {
                abandoned.push(body);
                continue;
            };
            spot.out = false;
            if spot.gone {
                spot.gone = false;
                abandoned.push(body);
                self.lent[index] = NEVER;
                self.free_if_over(index);
                continue;
            }
            if carried.taken {
                let lent = u64::from(body.lent());
                self.lent[index] = if lent > 0 { to - lent } else { NEVER };
            } else {
                self.got[index] = from;
            }
            spot.body = Some(body);
            if !carried.sleeps || spot.wanted {
                (spot.wanted, spot.called) = (false, true);
                rouse.push(Arc::clone(&spot.shared));
                self.land(index);
            } else if spot.end == NEVER {
                self.room[index] = ROOM.saturating_sub((end - self.got[index]) as u32);
            }
        }
        abandoned
    }

    /// There is no courier any more: every task sees to itself.
    fn disband(&mut self) -> Vec<Arc<Shared>> {
        self.hired = false;
        self.courier = None;
        let mut rouse = Vec::new();
        for index in 0..self.seats.len() {
            self.land(index);
            let waiting = self.got[index] != NEVER;
            if let Some(spot) = self.spot(index).filter(|spot| waiting || spot.wanted) {
                rouse.push(Arc::clone(&spot.shared));
            }
        }
        rouse
    }
}
