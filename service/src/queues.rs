//! What had no room in the session's ring yet.

use std::collections::VecDeque;

use outlast_core::wire::{HEADER_LEN, Header, Op, RequestId};
use outlast_core::{Head, Position, SendError, Session};

use crate::asked::Mark;
use crate::encode;
use crate::shared::Staged;

/// Room in front of what waits is used when it is more than this.
const LIMIT: usize = 256 << 10;
/// Memory beyond this is given back when it is empty; what grows to the limit by doubling may have
/// nearly twice as much. Less would be had anew, page by page, for each queue of messages.
const KEPT: usize = 2 * LIMIT;

/// Encoded frames on their way into the session, in order.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// What handles staged.
    backlog: Vec<u8>,
    /// How much of the backlog is done.
    at: usize,
    /// Memory for what handles stage next.
    spare: Vec<u8>,
    /// Answers. They wait for the end of a message in fragments, which nothing may come between.
    answers: Vec<u8>,
    /// Requests whose answers are not in the session yet.
    answered: Vec<RequestId>,
    /// What somebody asks about, once anybody has.
    marks: Option<Box<Marks>>,
    /// The handler was refused because of what waits here, or of a message that is not whole.
    pub(crate) refused: bool,
}

/// Places whose fate somebody wants to know, each list in order.
#[derive(Debug, Default)]
struct Marks {
    /// Behind so many bytes of the backlog.
    queued: VecDeque<(usize, Mark)>,
    /// Up to this position of the session, which the peer has not acknowledged.
    sent: VecDeque<(u64, Mark)>,
}

impl Queues {
    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.backlog.is_empty() && self.answers.is_empty()
    }

    /// Bytes that wait.
    pub(crate) const fn len(&self) -> usize {
        self.backlog.len() - self.at + self.answers.len()
    }

    /// Whether handles' frames can be taken: no more than `limit` bytes wait.
    pub(crate) const fn has_room(&self, limit: usize) -> bool {
        self.len() <= limit
    }

    /// Queues an answer of any length.
    pub(crate) fn answer(&mut self, head: Head, payload: &[u8], max_body: u16) {
        encode::long(&mut self.answers, head, payload, max_body);
        if let Head::Response { id, .. } = head {
            self.answered.push(id);
        }
    }

    /// Whether the answer to this request waits here.
    pub(crate) fn answers_to(&self, id: RequestId) -> bool {
        self.answered.contains(&id)
    }

    /// Memory for the next frames of handles, which are staged there while these are sent.
    pub(crate) fn take_spare(&mut self) -> Vec<u8> {
        if self.backlog.is_empty() && self.spare.capacity() == 0 {
            std::mem::take(&mut self.backlog)
        } else {
            std::mem::take(&mut self.spare)
        }
    }

    /// It was not needed, or is not any more.
    pub(crate) fn return_spare(&mut self, mut spare: Vec<u8>) {
        spare.clear();
        if self.spare.capacity() == 0 && spare.capacity() <= KEPT {
            self.spare = spare;
        }
    }

    /// Queues handles' frames.
    pub(crate) fn stage(&mut self, staged: Staged) {
        let Staged { frames, from, marks } = staged;
        self.forget_done();
        if !marks.is_empty() {
            let ahead = self.backlog.len();
            let queued = &mut self.marks.get_or_insert_default().queued;
            queued.extend(marks.into_iter().map(|(at, mark)| (ahead + (at - from) as usize, mark)));
        }
        if self.backlog.is_empty() {
            let empty = std::mem::replace(&mut self.backlog, frames);
            self.return_spare(empty);
        } else {
            // Whoever has to wait keeps no memory for what might go faster.
            self.backlog.extend_from_slice(&frames);
        }
    }

    /// Uses the room of what is done for what waits.
    fn forget_done(&mut self) {
        if self.at == 0 {
            return;
        }
        self.backlog.drain(..self.at);
        if let Some(marks) = &mut self.marks {
            marks.queued.iter_mut().for_each(|(at, _)| *at -= self.at);
        }
        self.at = 0;
    }

    /// Whether there is something to move into the session.
    #[inline]
    pub(crate) fn wants_flush(&self) -> bool {
        !self.is_empty() || self.marks.as_ref().is_some_and(|marks| !marks.queued.is_empty())
    }

    /// Moves what waits into the session, as far as there is room.
    pub(crate) fn flush(&mut self, session: &mut Session<Vec<u8>>) {
        self.insert_answers(session.has_open_message());
        loop {
            let rest = self.backlog.get(self.at..).unwrap_or_default();
            let end = session.sent().get();
            let (taken, skipped) = match session.send_encoded(rest) {
                Ok(taken) | Err((taken, SendError::State(_))) => (taken, 0),
                // A frame whose time has passed, such as the cancellation of what was answered
                // meanwhile: it is left out.
                Err((taken, _)) => (taken, frame_size(&rest[taken..])),
            };
            if let Some(marks) = &mut self.marks {
                marks.moved(self.at, taken, taken + skipped, end);
            }
            self.at += taken + skipped;
            if skipped == 0 {
                break;
            }
        }
        self.answered.retain(|id| session.is_open_in(*id));
        if self.at >= self.backlog.len() {
            self.at = 0;
            self.backlog.clear();
            if self.backlog.capacity() > KEPT {
                self.backlog = Vec::new();
            }
        } else if self.at > LIMIT {
            self.forget_done();
        }
    }

    /// Puts the answers where no message in fragments is under way: as far in front as possible.
    fn insert_answers(&mut self, mut open: bool) {
        if self.answers.is_empty() {
            return;
        }
        let mut at = self.at;
        while open {
            let Some(head) = self.backlog.get(at..).and_then(<[u8]>::first_chunk) else {
                return;
            };
            let header = Header::from_bytes(*head);
            at += header.frame_size();
            let carries = matches!(
                header.op(),
                Some(Op::Message | Op::Request | Op::Response | Op::Continue)
            );
            open = if carries { header.more() } else { open };
        }
        let answers = std::mem::take(&mut self.answers);
        if let Some(marks) = &mut self.marks {
            let behind = marks.queued.iter_mut().filter(|(end, _)| *end > at);
            behind.for_each(|(end, _)| *end += answers.len());
        }
        if at >= self.backlog.len() {
            self.backlog.extend_from_slice(&answers);
        } else {
            drop(self.backlog.splice(at..at, answers));
        }
    }

    /// The peer took everything up to `position`: the newest receipt that stands for, if any.
    pub(crate) fn acknowledged(&mut self, position: Position) -> Option<u64> {
        let sent = &mut self.marks.as_mut()?.sent;
        let mut newest = None;
        while let Some(&(_, mark)) = sent.front().filter(|(end, _)| *end <= position.get()) {
            sent.pop_front();
            if let Mark::Receipt(number) = mark {
                newest = Some(number);
            }
        }
        newest
    }

    /// What waits: handles' frames, and answers.
    pub(crate) fn waiting(&self) -> (Vec<u8>, Vec<u8>) {
        (self.backlog.get(self.at..).unwrap_or_default().to_vec(), self.answers.clone())
    }

    /// Takes everything that waits, because it will not be sent, and the requests that end in it
    /// or behind `arrived`.
    pub(crate) fn discard(&mut self, arrived: Position) -> (Vec<u8>, Vec<RequestId>) {
        let mut all = self.backlog.split_off(self.at.min(self.backlog.len()));
        all.append(&mut self.answers);
        let marks = self.marks.take().unwrap_or_default();
        *self = Self::default();
        let behind = marks.sent.into_iter().filter(|(end, _)| *end > arrived.get());
        let unsent = behind.map(|(_, mark)| mark).chain(marks.queued.into_iter().map(|(_, m)| m));
        let calls = unsent.filter_map(|mark| match mark {
            Mark::Call(id) => Some(id),
            Mark::Receipt(_) => None,
        });
        (all, calls.collect())
    }

    /// Whether something waits, or somebody asks about what was sent.
    pub(crate) const fn is_in_use(&self) -> bool {
        !self.is_empty() || self.marks.is_some() || self.refused
    }

    pub(crate) const fn held_bytes(&self) -> usize {
        self.backlog.capacity() + self.answers.capacity() + self.spare.capacity()
    }

    /// Gives memory back that only traffic needs.
    pub(crate) fn shrink(&mut self) {
        self.marks = self.marks.take().filter(|marks| !marks.is_empty());
        if self.is_empty() {
            *self = Self { marks: self.marks.take(), refused: self.refused, ..Self::default() };
        }
    }
}

impl Marks {
    fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.sent.is_empty()
    }

    /// Of the backlog from `at` on, `taken` bytes went behind `end` of the session, and of what
    /// follows as much was left out as makes `gone` in all.
    fn moved(&mut self, at: usize, taken: usize, gone: usize, end: u64) {
        while let Some(&(place, mark)) = self.queued.front().filter(|(to, _)| *to <= at + gone) {
            self.queued.pop_front();
            let within = place.saturating_sub(at).min(taken);
            self.sent.push_back((end + within as u64, mark));
        }
    }
}

/// Size of the frame at the front.
fn frame_size(frames: &[u8]) -> usize {
    let header = frames.first_chunk::<HEADER_LEN>();
    header.map_or(frames.len(), |header| Header::from_bytes(*header).frame_size()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_core::wire::{RequestId, Route, Status};

    fn message(len: usize, more: bool) -> Vec<u8> {
        let mut frame = Vec::new();
        let header = Header::new(Op::Message, 1, len as u16).with_more(more);
        frame.extend_from_slice(&header.to_bytes());
        frame.resize(HEADER_LEN + len, 0);
        frame
    }

    fn part(len: usize, more: bool) -> Vec<u8> {
        let mut frame = message(len, more);
        frame[0] = Op::Continue as u8;
        frame[1] = 0;
        frame
    }

    fn ops(frames: &[u8]) -> Vec<Option<Op>> {
        let (mut at, mut ops) = (0, Vec::new());
        while at < frames.len() {
            let head = frames[at..].first_chunk().unwrap();
            ops.push(Header::from_bytes(*head).op());
            at += Header::from_bytes(*head).frame_size();
        }
        ops
    }

    /// A client's session that is open, and has requests 0 and 1 of the server's to answer.
    fn open_session() -> Session<Vec<u8>> {
        use outlast_core::wire::{Frame, Grant, MAX_BODY};
        use outlast_core::{Attach, Config, Instant};
        let now = Instant::from_micros(1);
        let (mut out, mut back) = ([0; 1024], [0; 1024]);
        let mut client = Session::client(Config::CLIENT, Vec::new()).unwrap();
        let len = client.attach(now, &Attach::default(), &mut out).unwrap();
        let (header, body, _) = Frame::split(&out[..len], MAX_BODY).unwrap().unwrap();
        let Ok(Frame::Hello(hello)) = Frame::decode(header, body) else {
            panic!("HELLO is what a client says first");
        };
        let grant = Grant { sid: 1, epoch: 1, key_id: 0, key: [1; 16] };
        let made =
            Session::server(now, Config::SERVER, &hello, grant, 1, Vec::new(), &mut back).unwrap();
        let mut server = made.session;
        for id in 0..2 {
            server.request(RequestId(id), Route::from(1u8), b"?").unwrap();
        }
        let more = server.poll_transmit(now, &mut back[made.written..]);
        let mut input = &back[..made.written + more];
        while client.handle_input(now, &mut input).unwrap().is_some() {}
        client
    }

    fn staged(frames: Vec<u8>, marks: &[(u64, Mark)]) -> Staged {
        Staged { frames, from: 0, marks: marks.to_vec() }
    }

    fn sent(queues: &Queues) -> Vec<u64> {
        let marks = queues.marks.as_ref().unwrap();
        assert!(marks.queued.is_empty());
        marks.sent.iter().map(|(position, _)| *position).collect()
    }

    #[test]
    fn marks_move_with_answers_that_are_put_in_front() {
        let mut session = open_session();
        let mut queues = Queues::default();
        // A message in fragments is under way, so that the answer goes behind its end.
        queues.stage(staged(message(10, true), &[]));
        queues.flush(&mut session);
        let begun = session.sent().get();
        let frames = [part(5, false), message(2, false)].concat();
        queues.stage(staged(frames, &[(9, Mark::Receipt(0)), (15, Mark::Receipt(1))]));
        let head = Head::Response { id: RequestId(0), status: Status::OK };
        queues.answer(head, b"xyz", 100);
        queues.flush(&mut session);
        // The answer takes 4 + 2 + 3 bytes between the two.
        assert_eq!(sent(&queues), [begun + 9, begun + 9 + 9 + 6]);
        assert_eq!(session.sent().get(), begun + 24);
        assert_eq!(queues.acknowledged(Position::default()), None);
        assert_eq!(queues.acknowledged(session.sent()), Some(1));
    }

    #[test]
    fn marks_move_with_frames_that_are_left_out() {
        let mut session = open_session();
        let mut queues = Queues::default();
        let begun = session.sent().get();
        // The cancellation of a request that is not open any more.
        let mut cancel = Header::new(Op::Cancel, 0, 2).to_bytes().to_vec();
        cancel.extend_from_slice(&[9, 0]);
        let frames = [message(2, false), cancel, message(3, false)].concat();
        let marks = [(6, 0), (12, 1), (19, 2)].map(|(at, number)| (at, Mark::Receipt(number)));
        queues.stage(staged(frames, &marks));
        queues.flush(&mut session);
        assert_eq!(sent(&queues), [begun + 6, begun + 6, begun + 13]);
        assert_eq!(session.sent().get(), begun + 13);
    }

    #[test]
    fn marks_move_when_what_is_done_is_dropped() {
        let mut session = open_session();
        let mut queues = Queues::default();
        // More than the session holds, which is 4 MiB.
        let frames = message(16_000, false).repeat(300);
        let (all, begun) = (frames.len() as u64, session.sent().get());
        queues.stage(staged(frames, &[(all, Mark::Call(RequestId(3)))]));
        queues.flush(&mut session);
        assert!(!queues.is_empty());
        let taken = session.sent().get() - begun;
        let queued = queues.marks.as_ref().unwrap().queued[0];
        assert_eq!(queued, ((all - taken) as usize, Mark::Call(RequestId(3))));
        assert_eq!(queues.discard(session.sent()).1, [RequestId(3)]);
    }

    #[test]
    fn requests_behind_what_arrived_are_unsent() {
        let mut session = open_session();
        let mut queues = Queues::default();
        let begun = session.sent().get();
        let marks = [(6, 1), (13, 2)].map(|(at, id)| (at, Mark::Call(RequestId(id))));
        queues.stage(staged([message(2, false), message(3, false)].concat(), &marks));
        let first = message(2, false).len() as u64;
        queues.flush(&mut session);
        let mut at = Position::default();
        // There is no other way to make a position than to send.
        let mut other = open_session();
        while at.get() < begun + first {
            at = other.send(Route::from(1u8), &[]).unwrap();
        }
        assert!((begun + 6..begun + 13).contains(&at.get()));
        assert_eq!(queues.discard(at).1, [RequestId(2)]);
    }

    #[test]
    fn answers_never_come_between_fragments() {
        let head = Head::Response { id: RequestId(3), status: Status::OK };
        let staged = [part(5, true), part(5, false), message(2, false)].concat();
        let mut queues = Queues::default();
        queues.stage(Staged { frames: staged, ..Staged::default() });
        queues.answer(head, b"x", 100);
        queues.insert_answers(true);
        let (c, m, r) = (Some(Op::Continue), Some(Op::Message), Some(Op::Response));
        assert_eq!(ops(&queues.backlog), [c, c, r, m]);
        let mut queues = Queues::default();
        queues.stage(Staged { frames: part(5, true), ..Staged::default() });
        queues.answer(head, b"x", 100);
        queues.insert_answers(true);
        assert_eq!(ops(&queues.backlog), [c], "the message has not ended");
        queues.stage(Staged {
            frames: [part(1, false), message(1, true)].concat(),
            ..Staged::default()
        });
        queues.insert_answers(true);
        assert_eq!(ops(&queues.backlog), [c, c, r, m]);
    }
}
