//! What the application wants to send.

use core::fmt;

use super::deliver::checked_sum;
use super::{Open, Pending, Session, UPKEEP};
use crate::config::bitmap_len;
use crate::event::{Head, Position};
use crate::state::{Obstacle, SessionState, StateError, Verb};
use crate::storage::Storage;
use crate::wire::{HEADER_LEN, Header, MAX_BODY, Op, RequestId, Route, Status};

/// Why something was not taken for sending. Nothing has changed.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SendError {
    /// Too much is unacknowledged. An [`Event::Writable`](crate::Event::Writable) follows.
    Full,
    /// The message is longer than the peer accepts; `limit` is what would fit. Longer messages than
    /// a frame are sent with [`Session::begin`].
    TooLarge {
        /// Longest payload possible.
        limit: u32,
    },
    /// As many requests are open as the peer allows. One becomes free with the next response.
    TooManyRequests {
        /// How many the peer allows.
        limit: u16,
    },
    /// There is no such request to answer, to cancel or to open again.
    NoSuchRequest,
    /// A fragmented message is open and only its continuation can be sent.
    MessageOpen,
    /// No fragmented message is open.
    NoMessageOpen,
    /// The session's state does not admit sending.
    State(StateError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the send buffer is full: wait for Event::Writable"),
            Self::TooLarge { limit } => {
                write!(f, "the payload exceeds the {limit} bytes that the peer accepts")
            }
            Self::TooManyRequests { limit } => {
                write!(f, "the peer allows {limit} open requests: wait for a response")
            }
            Self::NoSuchRequest => f.write_str("no request with this number is open"),
            Self::MessageOpen => f.write_str("a fragmented message must be completed first"),
            Self::NoMessageOpen => f.write_str("no fragmented message is open"),
            Self::State(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

impl<S: Storage + ?Sized> Session<S> {
    /// Sends a one-way message: exactly once, after everything sent before it.
    ///
    /// It is kept until the peer has taken it, over as many connections as that needs, and may be
    /// sent while there is no connection.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if too much is unacknowledged, [`SendError::TooLarge`] if it does not
    /// fit one frame, or what the state forbids.
    #[inline]
    pub fn send(&mut self, route: Route, payload: &[u8]) -> Result<Position, SendError> {
        if self.may_send() && route.encoded_len() == 0 && payload.len() <= self.max_payload() {
            #[expect(clippy::cast_possible_truncation, reason = "at most max_body")]
            let header = Header::new(Op::Message, route.tag(), payload.len() as u16);
            if self.ring.push_straight(header, &[], payload)
                || self.ring.push(header, &[], payload).is_ok()
            {
                self.stats.messages_out = self.stats.messages_out.wrapping_add(1);
                return Ok(Position(self.tx_end()));
            }
        }
        self.send_head(Head::Message { route }, payload, false)
    }

    /// Sends a request with the number `id`, which must be free.
    ///
    /// [`free_request`](Self::free_request) finds a free number.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::NoSuchRequest`] if `id` is in use or out of range.
    pub fn request(
        &mut self,
        id: RequestId,
        route: Route,
        payload: &[u8],
    ) -> Result<Position, SendError> {
        self.send_head(Head::Request { id, route }, payload, false)
    }

    /// A request number that is free, if the peer allows another request.
    #[must_use]
    pub fn free_request(&self) -> Option<RequestId> {
        let limit = self.peer.max_requests;
        (self.tx.next_id..limit)
            .chain(0..self.tx.next_id.min(limit))
            .find(|&id| !self.is_open_out(RequestId(id)))
            .map(RequestId)
    }

    /// Answers a request of the peer's: exactly once for each.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::NoSuchRequest`] if `id` is not open.
    pub fn respond(
        &mut self,
        id: RequestId,
        status: Status,
        payload: &[u8],
    ) -> Result<Position, SendError> {
        self.send_head(Head::Response { id, status }, payload, false)
    }

    /// Tells the peer that the answer to a request is no longer wanted. The answer still comes.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), and [`SendError::NoSuchRequest`] if `id` is not open.
    //= REQ-6
    //= REQ-8
    pub fn cancel(&mut self, id: RequestId, reason: u8) -> Result<Position, SendError> {
        self.check_state()?;
        if !self.is_open_out(id) {
            return Err(SendError::NoSuchRequest);
        }
        self.push(Header::new(Op::Cancel, reason, 2), &id.0.to_le_bytes(), &[])
    }

    /// Begins a message longer than a frame. More follows with
    /// [`push_fragment`](Self::push_fragment); nothing else can be sent until it is complete or
    /// [aborted](Self::abort).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn begin(&mut self, head: Head, payload: &[u8]) -> Result<Position, SendError> {
        self.send_head(head, payload, true)
    }

    /// Continues the message that was begun; `last` completes it.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::TooLarge`] if the part is empty or does not fit one frame
    /// or the message would exceed what the peer accepts, [`SendError::NoMessageOpen`].
    pub fn push_fragment(&mut self, payload: &[u8], last: bool) -> Result<Position, SendError> {
        self.check_state()?;
        let open = self.open_out.ok_or(SendError::NoMessageOpen)?;
        let total = self.checked_total(open.total, payload.len())?;
        if payload.is_empty() || payload.len() > usize::from(self.peer.max_body) {
            return Err(SendError::TooLarge { limit: self.peer.max_body.into() });
        }
        let header = Header::new(Op::Continue, 0, body_len(payload.len())).with_more(!last);
        let position = self.push(header, &[], payload)?;
        self.open_out = (!last).then_some(Open { total, ..open });
        self.count_sent(last);
        if self.owes_refusals() {
            self.send_refusals();
        }
        Ok(position)
    }

    /// Gives up the message that was begun; the peer discards its fragments. A request that was
    /// begun is forgotten by both ends.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::NoMessageOpen`].
    //= FRG-7
    pub fn abort(&mut self) -> Result<Position, SendError> {
        self.check_state()?;
        let open = self.open_out.ok_or(SendError::NoMessageOpen)?;
        let position = self.push(Header::new(Op::Continue, 1, 0), &[], &[])?;
        self.open_out = None;
        self.take_back(open.head);
        if self.owes_refusals() {
            self.send_refusals();
        }
        Ok(position)
    }

    /// Appends whole frames that were encoded elsewhere with this session's limits, as many from
    /// the front as there is room for, and returns how many bytes that was.
    ///
    /// For runtimes, whose handles encode into a queue of their own. Every frame must be one that
    /// the verbs above would have written: a one-way message, request, response, cancel or
    /// fragment; the requests among them are opened and answered here.
    ///
    /// # Errors
    ///
    /// What the state forbids, or why the first frame that is not allowed is not; those before it
    /// are taken, and how many bytes they are is told with it.
    pub fn send_encoded(&mut self, frames: &[u8]) -> Result<usize, (usize, SendError)> {
        self.check_state().map_err(|error| (0, error))?;
        let mut taken = 0;
        while let Some(rest) = frames.get(taken..)
            && let Some((head, body)) = rest.split_first_chunk::<HEADER_LEN>()
        {
            let header = Header::from_bytes(*head);
            let size = header.frame_size();
            let Some(body) = body.get(..size - HEADER_LEN) else {
                break;
            };
            if taken + size > self.ring.room() {
                self.pending.add(Pending::BLOCKED);
                break;
            }
            if let Err(error) = self.note_encoded(header, body) {
                self.append(frames, taken);
                return Err((taken, error));
            }
            taken += size;
            if header.is_whole(Op::Message) {
                let room = self.ring.room().saturating_sub(taken);
                let rest = frames.get(taken..).unwrap_or_default();
                let (run, count) = run_of(rest, header, room);
                self.stats.messages_out = self.stats.messages_out.wrapping_add(count);
                taken += run;
            }
        }
        self.append(frames, taken);
        if self.owes_refusals() {
            self.send_refusals();
        }
        Ok(taken)
    }

    /// There is room: it was counted frame by frame. Memory that is not to be had after all is
    /// the one case in which a booked frame is missing, and ends the session.
    fn append(&mut self, frames: &[u8], count: usize) {
        if self.ring.append(frames.get(..count).unwrap_or_default()).is_err() {
            self.die(crate::CloseCode::INTERNAL, None);
        }
    }

    /// Books a frame that was encoded elsewhere.
    #[inline]
    fn note_encoded(&mut self, header: Header, body: &[u8]) -> Result<(), SendError> {
        let op = header.op();
        let first = matches!(op, Some(Op::Message | Op::Request | Op::Response));
        if first && self.open_out.is_some() {
            return Err(SendError::MessageOpen);
        }
        if body.len() > usize::from(self.peer.max_body) {
            return Err(SendError::TooLarge { limit: self.peer.max_body.into() });
        }
        if header.is_whole(Op::Message) {
            self.stats.messages_out = self.stats.messages_out.wrapping_add(1);
            return Ok(());
        }
        self.note_encoded_other(header, body)
    }

    fn note_encoded_other(&mut self, header: Header, body: &[u8]) -> Result<(), SendError> {
        let illegal = |_| SendError::NoSuchRequest;
        header.check(MAX_BODY).map_err(illegal)?;
        match header.op() {
            Some(Op::Message | Op::Request | Op::Response) => {
                let (head, payload) = Head::decode(header, body).map_err(illegal)?;
                self.note_head(head)?;
                self.count_sent(!header.more());
                let total = self.checked_total(0, payload.len())?;
                self.open_out = header.more().then_some(Open { head, total });
                Ok(())
            }
            Some(Op::Continue) => {
                let is_abort = header.is_abort(body).map_err(illegal)?;
                let Open { head, total } = self.open_out.ok_or(SendError::NoMessageOpen)?;
                if is_abort {
                    self.open_out = None;
                    self.take_back(head);
                    return Ok(());
                }
                let total = self.checked_total(total, body.len())?;
                self.open_out = header.more().then_some(Open { head, total });
                self.count_sent(!header.more());
                Ok(())
            }
            Some(Op::Cancel) if self.is_open_out(RequestId::only(body).map_err(illegal)?) => Ok(()),
            Some(_) | None => Err(SendError::NoSuchRequest),
        }
    }

    /// A message begins: its request is open, or answered.
    fn note_head(&mut self, head: Head) -> Result<(), SendError> {
        match head {
            Head::Request { id, .. } => self.open_request(id),
            Head::Response { id, .. } => self.close_request(id),
            Head::Message { .. } => Ok(()),
        }
    }

    /// What began was given up, or could not be sent: as if it had not.
    fn take_back(&mut self, head: Head) {
        match head {
            Head::Request { id, .. } => self.set_open_out(id, false),
            Head::Response { id, .. } => self.set_open_in(id, true),
            Head::Message { .. } => true,
        };
    }

    /// Encodes the first or only frame of a message.
    #[cold]
    fn send_head(&mut self, head: Head, payload: &[u8], more: bool) -> Result<Position, SendError> {
        self.check_state()?;
        if self.open_out.is_some() {
            return Err(SendError::MessageOpen);
        }
        let mut front = [0; 6];
        let (op, tag, ahead) = encode_head(head, &mut front);
        let limit = usize::from(self.peer.max_body).saturating_sub(ahead.len());
        if payload.len() > limit {
            return Err(SendError::TooLarge { limit: u32::try_from(limit).unwrap_or(0) });
        }
        let total = self.checked_total(0, payload.len())?;
        let size = HEADER_LEN + ahead.len() + payload.len();
        if size > self.ring.room() {
            return self.full();
        }
        self.note_head(head)?;
        let len = body_len(ahead.len() + payload.len());
        let pushed = self.push(Header::new(op, tag, len).with_more(more), ahead, payload);
        if pushed.is_ok() {
            self.open_out = more.then_some(Open { head, total });
            self.count_sent(!more);
        } else {
            self.take_back(head);
        }
        pushed
    }

    /// Counts a message if its last frame was sent.
    pub(super) fn count_sent(&mut self, last: bool) {
        self.stats.messages_out = self.stats.messages_out.wrapping_add(u32::from(last));
    }

    pub(super) fn push(
        &mut self,
        header: Header,
        front: &[u8],
        payload: &[u8],
    ) -> Result<Position, SendError> {
        match self.ring.push(header, front, payload) {
            Ok(()) => Ok(Position(self.tx_end())),
            Err(_) => self.full(),
        }
    }

    //= POS-5
    pub(super) fn full(&mut self) -> Result<Position, SendError> {
        self.pending.add(Pending::BLOCKED);
        self.stats.refused_sends = self.stats.refused_sends.wrapping_add(1);
        Err(SendError::Full)
    }

    fn checked_total(&self, so_far: u32, more: usize) -> Result<u32, SendError> {
        let limit = self.peer.max_message;
        checked_sum(so_far, more, limit).ok_or(SendError::TooLarge { limit })
    }

    //= FRG-1
    #[inline]
    const fn may_send(&self) -> bool {
        matches!(self.state, SessionState::Attached | SessionState::Detached)
            && self.open_out.is_none()
            && !self.tx.finished
    }

    #[inline]
    fn max_payload(&self) -> usize {
        usize::from(self.peer.max_body)
    }

    //= HND-11
    //= STM-7
    //= STM-5
    //= RSM-16
    pub(super) fn check_state(&self) -> Result<(), SendError> {
        let state = match self.state {
            SessionState::Attached | SessionState::Detached if self.tx.finished => {
                Obstacle::Finished
            }
            SessionState::Attached | SessionState::Detached => return Ok(()),
            SessionState::New
            | SessionState::Ended
            | SessionState::Dead
            | SessionState::Exported => Obstacle::Session(self.state),
        };
        Err(SendError::State(StateError::new(Verb::Send, state)))
    }

    /// Marks one of our requests as open.
    //= REQ-1
    fn open_request(&mut self, id: RequestId) -> Result<(), SendError> {
        if id.0 >= self.peer.max_requests {
            return Err(SendError::TooManyRequests { limit: self.peer.max_requests });
        }
        match self.change_bit(Bits::Ours, id, true) {
            Some(true) => {}
            Some(false) => return Err(SendError::NoSuchRequest),
            None => return Err(SendError::Full),
        }
        self.tx.next_id = id.0 + 1;
        Ok(())
    }

    /// Marks one of the peer's requests as answered.
    //= REQ-3
    fn close_request(&mut self, id: RequestId) -> Result<(), SendError> {
        // A request that has not come whole may still be taken back; an answer would cross that.
        let comes = self.open_in.is_some_and(
            |open| matches!(open.head, Head::Request { id: coming, .. } if coming == id),
        );
        let refused = self.owes_refusals() && self.is_refused(id);
        let is_mine = !comes && !refused && id.0 < self.config.max_requests;
        let closed = is_mine && self.change_bit(Bits::Theirs, id, false) == Some(true);
        if closed { Ok(()) } else { Err(SendError::NoSuchRequest) }
    }

    /// Whether a request of ours still wants its response.
    #[must_use]
    pub fn is_open_out(&self, id: RequestId) -> bool {
        id.0 < self.peer.max_requests && self.bit(Bits::Ours, id)
    }

    /// Whether a request of the peer's still wants its response.
    #[must_use]
    pub fn is_open_in(&self, id: RequestId) -> bool {
        id.0 < self.config.max_requests && self.bit(Bits::Theirs, id)
    }

    //= REQ-11
    pub(crate) fn set_open_out(&mut self, id: RequestId, open: bool) -> bool {
        self.change_bit(Bits::Ours, id, open).is_some()
    }

    pub(crate) fn set_open_in(&mut self, id: RequestId, open: bool) -> bool {
        self.change_bit(Bits::Theirs, id, open).is_some()
    }

    /// Whether a request of the peer's is to be refused and waits for that.
    pub(crate) fn is_refused(&self, id: RequestId) -> bool {
        UPKEEP && self.bit(Bits::Refused, id)
    }

    pub(crate) fn set_refused(&mut self, id: RequestId, refused: bool) -> bool {
        !UPKEEP || self.change_bit(Bits::Refused, id, refused).is_some()
    }

    /// Where in the bitmaps a request is.
    fn bit_of(&self, which: Bits, id: RequestId) -> usize {
        which.place(self.config.max_requests, id)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn bit(&self, which: Bits, id: RequestId) -> bool {
        self.ring.bit(self.bit_of(which, id))
    }

    /// Sets a bit and says whether that is a change; `None` if there is no memory for it.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn change_bit(&mut self, which: Bits, id: RequestId, value: bool) -> Option<bool> {
        self.ring.change_bit(self.bit_of(which, id), value)
    }
}

/// What a bit of a request says. The bitmaps are in this order.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) enum Bits {
    /// The peer's request wants its response.
    Theirs = 0,
    /// The peer's request is to be refused.
    Refused = 1,
    /// The request of this end wants its response.
    Ours = 2,
}

impl Bits {
    /// Where in the bitmaps a request is, if the peer may have `max_requests` open.
    pub(crate) fn place(self, max_requests: u16, id: RequestId) -> usize {
        bitmap_len(max_requests) * 8 * self as usize + usize::from(id.0)
    }
}

/// Op, tag, and what stands in front of the payload: the route, if it is long, and then the id.
fn encode_head(head: Head, front: &mut [u8; 6]) -> (Op, u8, &[u8]) {
    let (op, route, id) = match head {
        Head::Message { route } => (Op::Message, route, None),
        Head::Request { id, route } => (Op::Request, route, Some(id)),
        Head::Response { id, .. } => (Op::Response, Route::default(), Some(id)),
    };
    let tag = if let Head::Response { status, .. } = head { status.0 } else { route.tag() };
    let mut len = route.encoded_len();
    if let Some(place) = front.first_chunk_mut() {
        *place = route.to_bytes();
    }
    if let Some(id) = id
        && let Some(place) = front.get_mut(len..).and_then(<[u8]>::first_chunk_mut)
    {
        *place = id.0.to_le_bytes();
        len += 2;
    }
    (op, tag, front.get(..len).unwrap_or_default())
}

/// A body length, which callers have checked against a limit of 14 bits.
#[expect(clippy::cast_possible_truncation, reason = "checked by every caller")]
const fn body_len(len: usize) -> u16 {
    len as u16
}

/// The frames at the front of `frames` that all have this header, in at most `most` bytes: their
/// bytes and how many they are.
///
/// What holds for the first of them holds for all, and the processor can look at several at a time.
pub(super) fn run_of(frames: &[u8], header: Header, most: usize) -> (usize, u32) {
    let frames = frames.get(..most).unwrap_or(frames);
    let (size, bytes) = (header.frame_size(), header.to_bytes());
    let (mut end, mut count) = (0, 0);
    while let Some(head) = frames.get(end..).and_then(<[u8]>::first_chunk)
        && *head == bytes
        && end + size <= frames.len()
    {
        end += size;
        count += 1;
    }
    (end, count)
}
