//! Sequenced frames in: what has a place in the session.

use super::input::Taken;
use super::{Open, Session};
use crate::code::CloseCode;
use crate::event::{Event, Head};
use crate::storage::Storage;
use crate::wire::{Op, RequestId};

impl<S: Storage + ?Sized> Session<S> {
    /// A frame that counts in the position: checked against the credit, counted, delivered.
    //= POS-4
    #[expect(clippy::cast_possible_truncation, reason = "a frame is short; the low half is meant")]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn handle_sequenced(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        //= CRD-1
        //= CRD-12
        if frame.header.frame_size() as u32 > self.rx.credit() {
            return Err(CloseCode::FLOW_VIOLATION);
        }
        //= CLS-2
        if self.rx.finished {
            return Err(CloseCode::BAD_STATE);
        }
        self.deliver(frame)?;
        let next = frame.position.0;
        let shown = self.rx.shown;
        //= POS-17
        //= POS-18
        self.advance_rx(self.link.now, next);
        // What is released at once is never bound.
        if !self.releases_automatically() && frame.header.leaves_traces() {
            self.rx.bound = next as u32;
        }
        if matches!(frame.told, None | Some(Event::KeyRotated { .. })) {
            self.rx.shown = shown;
            // Nobody will release what nobody is shown, or is shown without a position.
            if self.rx.behind(self.rx.done) <= self.rx.behind(shown) {
                self.release(self.link.now, frame.position);
            }
        }
        self.end_if_finished();
        Ok(())
    }

    /// Checks a sequenced frame against what is open and turns it into an event.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn deliver(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let (header, body, position) = (frame.header, frame.body, frame.position);
        let Some(op) = header.op() else {
            return self.ignore();
        };
        match op {
            Op::Message | Op::Request | Op::Response => {
                return self.deliver_first(frame);
            }
            Op::Continue if header.is_abort(body)? => return self.deliver_abort(frame),
            Op::Continue => return self.continue_in(frame),
            Op::Cancel => {
                let id = RequestId::only(body)?;
                if self.deliver_cancel(id)? {
                    *frame.told = Some(Event::Cancelled { id, reason: header.tag(), position });
                }
            }
            Op::Fin => {
                let [] = header.fields(body)?;
                if self.open_in.is_some() {
                    return Err(CloseCode::BAD_LANE);
                }
                self.rx.finished = true;
                *frame.told = Some(Event::Finished { position });
            }
            Op::Token => return self.deliver_key(frame),
            //= FRM-27
            Op::Skip => {}
            Op::Hello
            | Op::Welcome
            | Op::Auth
            | Op::Ack
            | Op::Ping
            | Op::Pong
            | Op::Grant
            | Op::Drain
            | Op::Close
            | Op::Note
            | Op::Info
            | Op::Grease
            | Op::Item
            | Op::RequestStream => return Err(CloseCode::BAD_STATE),
        }
        Ok(())
    }

    /// The first or only frame of a message, request or response.
    fn deliver_first(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let (more, position) = (frame.header.more(), frame.position);
        let (head, payload) = Head::decode(frame.header, frame.body)?;
        let mut refused = false;
        match head {
            Head::Message { .. } => {}
            Head::Request { id, .. } => {
                self.check_new_request(id)?;
                refused = self.comes_too_late();
            }
            //= REQ-4
            Head::Response { id, .. } if !self.is_open_out(id) => {
                return Err(CloseCode::BAD_REQUEST);
            }
            Head::Response { .. } => {}
        }
        if refused {
            return self.refuse_request(head, payload, more);
        }
        let total = self.check_head(payload)?;
        self.begin_in(head, total, more);
        match head {
            Head::Request { id, .. } if !self.set_open_in(id, true) => {
                return Err(CloseCode::INTERNAL);
            }
            //= REQ-5
            Head::Response { id, .. } if !more => drop(self.set_open_out(id, false)),
            Head::Message { .. } | Head::Request { .. } | Head::Response { .. } => {}
        }
        //= FRG-11
        *frame.told = Some(if more {
            Event::Fragment { head, offset: 0, payload, last: false, position }
        } else {
            head.event(payload, position)
        });
        Ok(())
    }

    //= FRG-6
    fn deliver_abort(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let refused = self.refused_in(self.open_in);
        let Open { head, .. } = self.open_in.take().ok_or(CloseCode::BAD_LANE)?;
        if let Head::Request { id, .. } = head {
            self.set_open_in(id, false);
            self.set_refused(id, false);
        }
        if refused.is_none() {
            *frame.told = Some(Event::Aborted { head, position: frame.position });
        }
        Ok(())
    }

    /// Whether there is something to cancel: its response may have crossed it on the way.
    //= REQ-7
    //= REQ-9
    fn deliver_cancel(&mut self, id: RequestId) -> Result<bool, CloseCode> {
        self.charge(2)?;
        if id.0 >= self.config.max_requests {
            return Err(CloseCode::BAD_REQUEST);
        }
        Ok(self.is_open_in(id) && !self.is_refused(id))
    }

    //= FRM-20
    //= AUT-11
    fn deliver_key(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let key: &[u8; 16] = frame.body.try_into().map_err(|_| CloseCode::BAD_FRAME)?;
        if !self.is_client() {
            return Err(CloseCode::BAD_STATE);
        }
        let key_id = frame.header.tag();
        self.identity.key_id = key_id;
        self.identity.key = *key;
        *frame.told = Some(Event::KeyRotated { key_id });
        Ok(())
    }

    /// Whether a message with this payload may begin; what it is long then.
    pub(super) fn check_head(&self, payload: &[u8]) -> Result<u32, CloseCode> {
        //= FRG-2
        if self.open_in.is_some() {
            return Err(CloseCode::BAD_LANE);
        }
        self.checked_in(0, payload.len())
    }

    /// A message begins that is `total` long so far, and may continue in other frames.
    pub(super) fn begin_in(&mut self, head: Head, total: u32, more: bool) {
        if more {
            self.open_in = Some(Open { head, total });
        } else {
            self.stats.messages_in = self.stats.messages_in.wrapping_add(1);
        }
    }

    //= FRG-4
    fn continue_in(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let (payload, more, position) = (frame.body, frame.header.more(), frame.position);
        //= FRG-3
        let Open { head, total: offset } = self.open_in.ok_or(CloseCode::BAD_LANE)?;
        let total = self.checked_in(offset, payload.len())?;
        let refused = self.refused_in(self.open_in).is_some();
        self.open_in = None;
        self.begin_in(head, total, more);
        if !more && let Head::Response { id, .. } = head {
            self.set_open_out(id, false);
        }
        if refused {
            // The last part is answered.
            self.tx.refusals |= !more;
        } else {
            *frame.told = Some(Event::Fragment { head, offset, payload, last: !more, position });
        }
        Ok(())
    }

    /// Length of a message so far, at most what was declared.
    //= FRG-5
    fn checked_in(&self, so_far: u32, more: usize) -> Result<u32, CloseCode> {
        checked_sum(so_far, more, self.config.max_message).ok_or(CloseCode::TOO_LARGE)
    }

    //= REQ-2
    fn check_new_request(&self, id: RequestId) -> Result<(), CloseCode> {
        if id.0 >= self.config.max_requests || self.is_open_in(id) {
            return Err(CloseCode::BAD_REQUEST);
        }
        Ok(())
    }
}

/// Length of a message after `more` bytes, unless that exceeds `limit`. Both are below 2^31.
pub(super) fn checked_sum(so_far: u32, more: usize, limit: u32) -> Option<u32> {
    let more = u32::try_from(more).ok()?;
    (more <= limit.checked_sub(so_far)?).then(|| so_far + more)
}
