//! Sequenced frames in: what has a place in the session.

use super::{Open, Session};
use crate::code::CloseCode;
use crate::event::{Event, Head, Position};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{Frame, Header, RequestId};

impl<S: Storage + ?Sized> Session<S> {
    /// A frame that counts in the position: checked against the credit, counted, delivered.
    //= POS-4
    #[expect(clippy::cast_possible_truncation, reason = "a frame is short; the low half is meant")]
    pub(super) fn handle_sequenced<'b>(
        &mut self,
        now: Instant,
        header: Header,
        frame: &Frame<'b>,
    ) -> Result<Option<Event<'b>>, CloseCode> {
        let size = header.frame_size();
        let next = self.rx.next + size as u64;
        //= CRD-1
        //= CRD-12
        if size as u32 > self.rx.credit() {
            return Err(CloseCode::FLOW_VIOLATION);
        }
        //= CLS-2
        if self.rx.finished {
            return Err(CloseCode::BAD_STATE);
        }
        let event = self.deliver(now, frame, Position(next))?;
        let shown = self.rx.shown;
        //= POS-17
        //= POS-18
        self.advance_rx(now, next);
        // What is released at once is never bound.
        if !self.releases_automatically() && leaves_traces(frame) {
            self.rx.bound = next as u32;
        }
        if matches!(event, None | Some(Event::KeyRotated { .. })) {
            self.rx.shown = shown;
            // Nobody will release what nobody is shown, or is shown without a position.
            if self.rx.behind(self.rx.done) <= self.rx.behind(shown) {
                self.release(now, Position(next));
            }
        }
        self.end_if_finished(now);
        Ok(event)
    }

    /// Checks a sequenced frame against what is open and turns it into an event.
    fn deliver<'b>(
        &mut self,
        now: Instant,
        frame: &Frame<'b>,
        position: Position,
    ) -> Result<Option<Event<'b>>, CloseCode> {
        match *frame {
            Frame::Message { route, payload, more } => {
                let head = Head::Message { route };
                self.deliver_head(head, payload, more, position).map(Some)
            }
            Frame::Request { id, route, payload, more } => {
                self.check_new_request(id)?;
                if self.comes_too_late(now) {
                    return self.refuse_request(now, (id, route), payload, more).map(|()| None);
                }
                let head = Head::Request { id, route };
                let event = self.deliver_head(head, payload, more, position)?;
                if self.set_open_in(id, true) { Ok(Some(event)) } else { Err(CloseCode::INTERNAL) }
            }
            Frame::Response { id, status, payload, more } => {
                //= REQ-4
                if !self.is_open_out(id) {
                    return Err(CloseCode::BAD_REQUEST);
                }
                let head = Head::Response { id, status };
                let event = self.deliver_head(head, payload, more, position)?;
                if !more {
                    //= REQ-5
                    self.set_open_out(id, false);
                }
                Ok(Some(event))
            }
            Frame::Continue { payload, more } => self.continue_in(payload, more, position),
            Frame::Abort => self.deliver_abort(position),
            Frame::Cancel { id, reason } => self.deliver_cancel(now, id, reason, position),
            Frame::Fin => self.deliver_fin(position).map(Some),
            Frame::Token { key_id, key } => self.deliver_key(key_id, key).map(Some),
            Frame::Skip => Ok(None),
            Frame::Ignored { .. } => self.ignore(now),
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Auth { .. }
            | Frame::Ack { .. }
            | Frame::Ping(_)
            | Frame::Pong(_)
            | Frame::Drain(_)
            | Frame::Close(_)
            | Frame::Note { .. } => Err(CloseCode::BAD_STATE),
        }
    }

    /// The first or only frame of a message.
    fn deliver_head<'b>(
        &mut self,
        head: Head,
        payload: &'b [u8],
        more: bool,
        position: Position,
    ) -> Result<Event<'b>, CloseCode> {
        if self.begin_in(head, payload, more)? {
            //= FRG-11
            return Ok(Event::Fragment { head, offset: 0, payload, last: false, position });
        }
        Ok(match head {
            Head::Message { route } => Event::Message { route, payload, position },
            Head::Request { id, route } => Event::Request { id, route, payload, position },
            Head::Response { id, status } => Event::Response { id, status, payload, position },
        })
    }

    //= FRG-6
    fn deliver_abort<'b>(&mut self, position: Position) -> Result<Option<Event<'b>>, CloseCode> {
        let refused = self.refused_in(self.open_in);
        let Open { head, .. } = self.open_in.take().ok_or(CloseCode::BAD_LANE)?;
        if let Head::Request { id, .. } = head {
            self.set_open_in(id, false);
            self.set_refused(id, false);
        }
        Ok(refused.is_none().then_some(Event::Aborted { head, position }))
    }

    //= REQ-7
    //= REQ-9
    fn deliver_cancel<'b>(
        &mut self,
        now: Instant,
        id: RequestId,
        reason: u8,
        position: Position,
    ) -> Result<Option<Event<'b>>, CloseCode> {
        self.charge(now, 2)?;
        if id.0 >= self.config.max_requests {
            return Err(CloseCode::BAD_REQUEST);
        }
        // Its response may have crossed it on the way: then there is nothing to cancel.
        let event = Event::Cancelled { id, reason, position };
        Ok((self.is_open_in(id) && !self.is_refused(id)).then_some(event))
    }

    fn deliver_fin<'b>(&mut self, position: Position) -> Result<Event<'b>, CloseCode> {
        if self.open_in.is_some() {
            return Err(CloseCode::BAD_LANE);
        }
        self.rx.finished = true;
        Ok(Event::Finished { position })
    }

    //= FRM-20
    //= AUT-11
    fn deliver_key<'b>(&mut self, key_id: u8, key: [u8; 16]) -> Result<Event<'b>, CloseCode> {
        if !self.is_client() {
            return Err(CloseCode::BAD_STATE);
        }
        self.identity.key_id = key_id;
        self.identity.key = key;
        Ok(Event::KeyRotated { key_id })
    }

    /// Whether a message with this payload may begin; what it is long then.
    pub(super) fn check_head(&self, payload: &[u8]) -> Result<u32, CloseCode> {
        //= FRG-2
        if self.open_in.is_some() {
            return Err(CloseCode::BAD_LANE);
        }
        self.checked_in(0, payload.len())
    }

    /// A message begins; whether it continues in other frames.
    pub(super) fn begin_in(
        &mut self,
        head: Head,
        payload: &[u8],
        more: bool,
    ) -> Result<bool, CloseCode> {
        let total = self.check_head(payload)?;
        if more {
            self.open_in = Some(Open { head, total });
        } else {
            self.stats.messages_in = self.stats.messages_in.wrapping_add(1);
        }
        Ok(more)
    }

    //= FRG-4
    fn continue_in<'b>(
        &mut self,
        payload: &'b [u8],
        more: bool,
        position: Position,
    ) -> Result<Option<Event<'b>>, CloseCode> {
        //= FRG-3
        let open = self.open_in.ok_or(CloseCode::BAD_LANE)?;
        let total = self.checked_in(open.total, payload.len())?;
        if more {
            self.open_in = Some(Open { total, ..open });
        } else {
            self.open_in = None;
            self.stats.messages_in = self.stats.messages_in.wrapping_add(1);
            if let Head::Response { id, .. } = open.head {
                self.set_open_out(id, false);
            }
        }
        if self.refused_in(Some(open)).is_some() {
            self.handle_refused(more);
            return Ok(None);
        }
        let (head, offset, last) = (open.head, open.total, !more);
        Ok(Some(Event::Fragment { head, offset, payload, last, position }))
    }

    /// Length of a message so far, at most what was declared.
    //= FRG-5
    fn checked_in(&self, so_far: u32, more: usize) -> Result<u32, CloseCode> {
        u32::try_from(more)
            .ok()
            .and_then(|more| so_far.checked_add(more))
            .filter(|total| *total <= self.config.max_message)
            .ok_or(CloseCode::TOO_LARGE)
    }

    //= REQ-2
    fn check_new_request(&self, id: RequestId) -> Result<(), CloseCode> {
        if id.0 >= self.config.max_requests || self.is_open_in(id) {
            return Err(CloseCode::BAD_REQUEST);
        }
        Ok(())
    }
}

/// Whether a sequenced frame changes what is open or ended, so that it cannot be taken twice.
const fn leaves_traces(frame: &Frame<'_>) -> bool {
    match *frame {
        Frame::Message { more, .. } => more,
        Frame::Request { .. }
        | Frame::Response { .. }
        | Frame::Continue { .. }
        | Frame::Abort
        | Frame::Fin => true,
        Frame::Hello(_)
        | Frame::Welcome(_)
        | Frame::Auth { .. }
        | Frame::Ack { .. }
        | Frame::Ping(_)
        | Frame::Pong(_)
        | Frame::Drain(_)
        | Frame::Close(_)
        | Frame::Note { .. }
        | Frame::Cancel { .. }
        | Frame::Token { .. }
        | Frame::Skip
        | Frame::Ignored { .. } => false,
    }
}
