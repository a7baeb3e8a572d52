//! What had no room in the session's ring yet.

use outlast_core::wire::{HEADER_LEN, Header, Op};
use outlast_core::{Head, SendError, Session};

use crate::encode;

/// Bytes that may wait here before handles have to wait too.
const LIMIT: usize = 256 << 10;

/// Encoded frames on their way into the session, in order.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    /// What handles staged.
    backlog: Vec<u8>,
    /// How much of the backlog is done.
    at: usize,
    /// Answers. They wait for the end of a message in fragments, which nothing may come between.
    answers: Vec<u8>,
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

    /// Bytes of handles' frames that wait.
    pub(crate) const fn staged_len(&self) -> usize {
        self.backlog.len() - self.at
    }

    /// Whether handles' frames can be taken.
    pub(crate) const fn has_room(&self) -> bool {
        self.len() <= LIMIT
    }

    /// Queues an answer of any length.
    pub(crate) fn answer(&mut self, head: Head, payload: &[u8], max_body: u16) {
        encode::long(&mut self.answers, head, payload, max_body);
    }

    /// Queues handles' frames.
    pub(crate) fn stage(&mut self, frames: Vec<u8>) {
        if self.backlog.is_empty() {
            self.backlog = frames;
        } else {
            self.backlog.extend_from_slice(&frames);
        }
    }

    /// Moves what waits into the session, as far as there is room.
    pub(crate) fn flush(&mut self, session: &mut Session<Vec<u8>>) {
        self.insert_answers(session.has_open_message());
        while let Some(rest) = self.backlog.get(self.at..).filter(|rest| !rest.is_empty()) {
            match session.send_encoded(rest) {
                Ok(taken) => {
                    self.at += taken;
                    break;
                }
                Err((taken, SendError::State(_))) => {
                    self.at += taken;
                    break;
                }
                // A frame whose time has passed, such as the cancellation of what was answered
                // meanwhile: it is left out.
                Err((taken, _)) => self.at += taken + frame_size(&rest[taken..]),
            }
        }
        if self.at >= self.backlog.len() {
            self.at = 0;
            self.backlog.clear();
            if self.backlog.capacity() > LIMIT {
                self.backlog = Vec::new();
            }
        } else if self.at > LIMIT {
            self.backlog.drain(..self.at);
            self.at = 0;
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
        if at >= self.backlog.len() {
            self.backlog.extend_from_slice(&answers);
        } else {
            drop(self.backlog.splice(at..at, answers));
        }
    }

    /// Takes everything that waits: it will not be sent.
    pub(crate) fn discard(&mut self) -> Vec<u8> {
        let mut all = self.backlog.split_off(self.at.min(self.backlog.len()));
        all.append(&mut self.answers);
        *self = Self::default();
        all
    }

    pub(crate) const fn holds_memory(&self) -> bool {
        self.backlog.capacity() > 0 || self.answers.capacity() > 0
    }

    /// Gives memory back that only traffic needs.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::default();
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

    #[test]
    fn answers_never_come_between_fragments() {
        let head = Head::Response { id: RequestId(3), status: Status::OK };
        let staged = [part(5, true), part(5, false), message(2, false)].concat();
        let mut queues = Queues::default();
        queues.stage(staged);
        queues.answer(head, b"x", 100);
        queues.insert_answers(true);
        let (c, m, r) = (Some(Op::Continue), Some(Op::Message), Some(Op::Response));
        assert_eq!(ops(&queues.backlog), [c, c, r, m]);
        let mut queues = Queues::default();
        queues.stage(part(5, true));
        queues.answer(head, b"x", 100);
        queues.insert_answers(true);
        assert_eq!(ops(&queues.backlog), [c], "the message has not ended");
        queues.stage([part(1, false), message(1, true)].concat());
        queues.insert_answers(true);
        assert_eq!(ops(&queues.backlog), [c, c, r, m]);
        let _ = Route::from(1u8);
    }
}
