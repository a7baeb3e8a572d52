//! Bytes in: frames, positions, credit, events.
//!
//! Every frame is decoded into a value, checked, and only then applied; nothing fails half-way.

use super::{Pending, Session, UPKEEP};
use crate::code::CloseCode;
use crate::error::Violation;
use crate::event::{Event, Position};
use crate::link::{Marks, Owed};
use crate::state::{LinkEvent, LinkState, SessionState};
use crate::storage::Storage;
use crate::time::{Coarse, Instant};
use crate::wire::{Frame, HANDSHAKE_BODY_MAX, HEADER_LEN, Header, Op, Probe, Route, Split};

/// A frame that was split off and is looked at: handed down as one argument.
pub(super) struct Taken<'b, 't> {
    pub(super) header: Header,
    pub(super) body: &'b [u8],
    /// The position after it, if it counts in the position.
    pub(super) position: Position,
    /// What the application is to be told of it.
    pub(super) told: &'t mut Option<Event<'b>>,
}

/// Kind, MORE and LANE: what must equal a plain one-way message for the short path.
const PLAIN: u32 = 0xC000_00FF;

impl<S: Storage + ?Sized> Session<S> {
    /// The short way: takes a one-way message from the front of `input`, its route and its payload,
    /// if there is nothing unusual about it, and is what [`handle_input`](Self::handle_input) tries
    /// first. `None` means only that that one has to look.
    ///
    /// Whoever can handle many messages in a row with less than an event for each takes them so.
    #[inline(always)]
    pub fn handle_message<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Option<(Route, &'b [u8])> {
        // Header prediction: nearly every frame is a one-way message of an open session.
        let (head, rest) = input.split_first_chunk::<HEADER_LEN>()?;
        let header = Header::from_bytes(*head);
        let len = header.body_len();
        let next = self.rx.next + header.frame_size() as u64;
        if header.word() & PLAIN == Op::Message as u32
            && header.tag() <= 0xFB
            && self.takes_plain()
            && len <= self.config.max_body
            && header.frame_size() as u64 <= u64::from(self.rx.credit())
            && let Some((payload, rest)) = rest.split_at_checked(usize::from(len))
        {
            *input = rest;
            //= HBT-12
            let now = now.max(self.link.now);
            if self.link.heartbeat.received_at != now || self.link.frame_since.is_some() {
                self.link.received(now);
                self.link.frame_since = None;
            }
            self.advance_rx(now, next);
            self.stats.messages_in = self.stats.messages_in.wrapping_add(1);
            return Some((Route::from(header.tag()), payload));
        }
        None
    }

    /// Takes the next event: first those that wait, then from the front of `input`, advancing
    /// `input` past what was consumed.
    ///
    /// Returns `None` once what remains of `input` is no whole frame; keep the remainder and append
    /// to it. The event borrows from `input` and not from the session, so the session can be used
    /// while the event is held. With empty input, only waiting events are told.
    ///
    /// # Errors
    ///
    /// The peer broke a rule. The connection is closing: transmit what is left.
    #[inline(always)]
    pub fn handle_input<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Event<'b>>, Violation> {
        if let Some((route, payload)) = self.handle_message(now, input) {
            let position = Position(self.rx.next);
            return Ok(Some(Event::Message { route, payload, position }));
        }
        let mut event = None;
        match self.handle_unpredicted(now, input, &mut event) {
            Ok(()) => Ok(event),
            Err(code) => Err(Violation { code }),
        }
    }

    /// Whether the short path may be taken: open, confirmed, nothing unusual going on.
    #[inline]
    const fn takes_plain(&self) -> bool {
        self.rx.plain && !self.pending.any() && matches!(self.link.state, LinkState::Open)
    }

    /// Counts received bytes; in automatic release they are released at once.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    pub(super) fn advance_rx(&mut self, now: Instant, next: u64) {
        self.rx.next = next;
        if self.releases_automatically() {
            //= POS-14
            self.rx.done = next as u32;
            if self.link.ack_at.is_none() {
                self.link.ack_at = Some(Coarse::before(now.after(self.ack_delay())));
            }
        } else {
            self.rx.shown = next as u32;
        }
    }

    // What is told goes where the caller wants it: an event is a lot to hand from call to call. A
    // microcontroller's compiler is not told how seldom this is: it would only be longer.
    #[cfg_attr(not(target_pointer_width = "32"), cold)]
    #[inline(never)]
    fn handle_unpredicted<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
        told: &mut Option<Event<'b>>,
    ) -> Result<(), CloseCode> {
        self.link.tick(now);
        let taken = self.take_frames(input, told);
        // Only what arrives changes these; what else the short path depends on it looks at itself.
        self.rx.plain =
            self.link.marks.has(Marks::CONFIRMED) && self.open_in.is_none() && !self.rx.finished;
        taken.map_err(|code| {
            *input = &[];
            self.fail(code)
        })
    }

    //= FRM-18
    //= STM-6
    fn take_frames<'b>(
        &mut self,
        input: &mut &'b [u8],
        told: &mut Option<Event<'b>>,
    ) -> Result<(), CloseCode> {
        loop {
            if self.pending.any() {
                self.tell_waiting(told);
                if told.is_some() {
                    return Ok(());
                }
            }
            let open = match self.link.state {
                LinkState::Closing | LinkState::Closed => {
                    *input = &[];
                    return Ok(());
                }
                LinkState::Idle => return Ok(()),
                LinkState::Wait | LinkState::Auth => false,
                LinkState::Open | LinkState::Draining => true,
            };
            //= POS-7
            let Some((header, body, rest)) = self.split(input, open)? else {
                self.note_partial(input);
                return Ok(());
            };
            self.link.received(self.link.now);
            self.link.frame_since = None;
            *input = rest;
            let position = Position(self.rx.next + header.frame_size() as u64);
            let mut frame = Taken { header, body, position, told };
            if open {
                self.handle_frame(&mut frame)?;
                self.link.marks.set(Marks::CONFIRMED, true);
            } else {
                self.handle_handshake(&mut frame)?;
            }
            // What comes too late is refused here, and what had no room before once something went.
            if self.owes_refusals() {
                self.send_refusals();
            }
            if told.is_some() {
                return Ok(());
            }
        }
    }

    /// A frame began and is not whole: it has to become so in time, but any byte is life.
    //= HBT-8
    fn note_partial(&mut self, input: &[u8]) {
        // Empty input may only ask for events; it says nothing about a frame kept elsewhere.
        if !input.is_empty() && self.link.frame_since.is_none() {
            self.link.frame_since = Some(Coarse::after(self.link.now));
            self.link.received(self.link.now);
        }
    }

    /// Tells that bytes of a frame came in which is not whole yet, for a driver that keeps them to
    /// itself until it is. Any byte proves that the peer lives.
    //= DRV-11
    pub fn handle_partial(&mut self, now: Instant) {
        let now = self.link.tick(now);
        if self.link.is_open() {
            self.link.received(now);
            self.link.frame_since.get_or_insert_with(|| Coarse::after(now));
        }
    }

    /// Splits off the next frame. One of a handshake may be longer than what this end accepts
    /// later, and nothing but the handshake may come before its end.
    //= HND-1
    fn split<'b>(&self, input: &'b [u8], open: bool) -> Result<Option<Split<'b>>, CloseCode> {
        if !open {
            Frame::check_first(input)?;
        }
        let longest = if open { self.config.max_body } else { HANDSHAKE_BODY_MAX };
        let split = Frame::split(input, longest)?;
        if !open {
            Frame::check_magic(input)?;
        }
        Ok(split)
    }

    /// A frame of an open connection. What a sequenced one needs is in `deliver.rs`.
    //= FRM-19
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn handle_frame(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let (header, body) = (frame.header, frame.body);
        debug_assert!(
            self.link.state.next(LinkEvent::Frame) == Some(self.link.state),
            "a frame moves no open connection"
        );
        //= CRD-9
        if header.is_sequenced() {
            return self.handle_sequenced(frame);
        }
        let Some(op) = header.op() else {
            return self.ignore();
        };
        match op {
            Op::Ack => {
                let [ack, limit] = header.fields(body)?;
                self.stats.acks_in = self.stats.acks_in.wrapping_add(1);
                if self.handle_ack(ack, limit)? { Ok(()) } else { self.charge(1) }
            }
            Op::Ping | Op::Pong => self.handle_probe(op, header, body),
            Op::Drain => self.handle_drain(frame),
            Op::Close => self.handle_close(header, body),
            //= FRM-25
            Op::Note => {
                let (route, payload) = Route::split(header.tag(), body)?;
                *frame.told = Some(Event::Note { route, payload });
                self.charge(1)
            }
            Op::Info | Op::Grease => self.ignore(),
            //= HND-19
            Op::Hello
            | Op::Welcome
            | Op::Auth
            | Op::Grant
            | Op::Message
            | Op::Request
            | Op::Response
            | Op::Item
            | Op::Cancel
            | Op::Fin
            | Op::Token
            | Op::RequestStream
            | Op::Continue
            | Op::Skip => Err(CloseCode::BAD_STATE),
        }
    }

    /// A client's frames before the session is attached: WELCOME, AUTH or CLOSE.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn handle_handshake(&mut self, frame: &mut Taken<'_, '_>) -> Result<(), CloseCode> {
        let (header, body) = (frame.header, frame.body);
        match header.op() {
            Some(Op::Welcome) => self.handle_welcome(header.tag(), body),
            Some(Op::Auth) => {
                let step = header.tag();
                if step != self.link.auth_step || !self.link.step(LinkEvent::Challenge) {
                    return Err(CloseCode::BAD_STATE);
                }
                *frame.told = Some(Event::Challenge { step, data: body });
                Ok(())
            }
            Some(Op::Close) => self.handle_close(header, body),
            Some(_) | None => Err(CloseCode::BAD_STATE),
        }
    }

    /// The peer's word on what it released and how far this end may send; whether that is news.
    //= POS-8
    #[expect(clippy::cast_possible_truncation, reason = "the wire carries the low half")]
    fn handle_ack(&mut self, ack: u32, limit: u32) -> Result<bool, CloseCode> {
        //= POS-9
        let distance = ahead(self.tx.acked as u32, ack).ok_or(CloseCode::ACK_REGRESS)?;
        let credit = ahead(self.tx.limit, limit).ok_or(CloseCode::CREDIT_SHRINK)?;
        if distance > self.tx.sent {
            return Err(CloseCode::ACK_BEYOND_SENT);
        }
        let offset = distance as usize;
        if self.ring.boundary(0, offset, offset) != offset {
            return Err(CloseCode::ACK_BEYOND_SENT);
        }
        self.tx.limit = limit;
        if distance > 0 {
            if UPKEEP && self.token_offset().is_some_and(|after| after <= offset) {
                self.adopt_next_key();
            }
            self.tx.acknowledge(distance);
            self.ring.drop_front(offset);
            self.link.progress_at = (self.ring.len() > 0).then_some(Coarse::after(self.link.now));
            //= POS-13
            self.pending.add(Pending::ACKNOWLEDGED);
            if self.pending.take(Pending::BLOCKED) {
                self.pending.add(Pending::WRITABLE);
            }
            self.end_if_finished();
        }
        Ok(distance > 0 || credit > 0)
    }

    //= HBT-9
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn handle_probe(&mut self, op: Op, header: Header, body: &[u8]) -> Result<(), CloseCode> {
        let probe = Probe::read(header, body)?;
        let is_question = op == Op::Ping;
        if is_question {
            self.stats.pings_in = self.stats.pings_in.wrapping_add(1);
            self.charge(1)?;
        }
        let Some(probe) = probe else {
            //= HBT-11
            if is_question {
                self.link.owed.add(Owed::BEAT);
            }
            return Ok(());
        };
        self.audit(&probe)?;
        if is_question {
            //= HBT-10
            self.link.heartbeat.answer = probe.nonce;
            self.link.owed.add(Owed::PONG);
        } else if self.link.heartbeat.answered(self.link.now, probe.nonce).is_none() {
            return self.charge(1);
        } else {
            // What arrives and is not released is asked about once in each limit.
            self.link.progress_at = self.link.progress_at.map(|_| Coarse::after(self.link.now));
            self.window.sampled(self.link.now, self.rx.next);
        }
        Ok(())
    }

    /// Compares positions: on an in-order stream they must be equal exactly.
    //= POS-10
    fn audit(&mut self, probe: &Probe) -> Result<(), CloseCode> {
        #[expect(clippy::cast_possible_truncation, reason = "the wire carries the low half")]
        if probe.tx != self.rx.next as u32 {
            return Err(CloseCode::SEQ_DESYNC);
        }
        //= POS-11
        self.handle_ack(probe.ack, probe.limit)?;
        Ok(())
    }

    #[cold]
    #[inline(never)]
    pub(super) fn ignore(&mut self) -> Result<(), CloseCode> {
        self.stats.ignored = self.stats.ignored.wrapping_add(1);
        self.charge(1)
    }

    /// Charges the peer for work that moved no data.
    //= BUD-2
    #[cold]
    #[inline(never)]
    pub(super) fn charge(&mut self, cost: u16) -> Result<(), CloseCode> {
        self.stats.charged = self.stats.charged.wrapping_add(1);
        if self.link.budget.charge(self.link.now, self.rx.next, cost) {
            Ok(())
        } else {
            Err(CloseCode::CALM)
        }
    }

    /// Releases everything up to `position`: it is acknowledged and its credit returned.
    ///
    /// With [`Release::Automatic`](crate::Release::Automatic) there is nothing to do. Releasing an
    /// earlier position again has no effect.
    //= POS-15
    //= CRD-4
    pub fn release(&mut self, now: Instant, position: Position) {
        let now = self.link.tick(now);
        //= POS-16
        if self.rx.release(position.0) {
            if self.link.is_open() {
                let at = Coarse::before(now.after(self.ack_delay()));
                self.link.ack_at.get_or_insert(at);
            }
            self.end_if_finished();
        }
    }

    pub(super) const fn releases_automatically(&self) -> bool {
        matches!(self.config.release, crate::config::Release::Automatic)
    }

    pub(super) fn ack_delay(&self) -> u64 {
        u64::from(self.config.ack_delay_ms) * 1_000
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.state, SessionState::Attached | SessionState::Detached)
    }
}

/// How far the position with the low half `told` is ahead of the known one: less than 2^31.
//= POS-2
fn ahead(known: u32, told: u32) -> Option<u32> {
    let distance = told.wrapping_sub(known);
    (distance < 1 << 31).then_some(distance)
}
