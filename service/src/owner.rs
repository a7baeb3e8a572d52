//! The one that owns a session: its state machine, its handler, and what had no room yet.
//!
//! An owner outlives connections. The task of a connection holds it while the connection is up and
//! gives it back when it ends, so that there is never more than one.

mod news;
mod snapshot;
mod staging;

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

use outlast_core::auth::Reply;
use outlast_core::wire::{RequestId, Status};
use outlast_core::{
    CloseCode, Config, Event, HANDSHAKE_MAX, Head, Instant, Position, Release, Session, Violation,
};

use crate::auth::Proving;
use crate::error::{Closed, Why};
use crate::handler::{Cause, Handler, Incoming, Peer, Undelivered};
use crate::home::ServerEvent;
use crate::messages::Messages;
use crate::queues::Queues;
use crate::shared::Shared;
use crate::state::LinkState;
use crate::statistics::{Ledger, UNTIMED};
use crate::traffic::Allowance;

use news::Heard;

pub(crate) use news::News;

/// Memory for sending up to this is given back whenever nothing is under way.
const SMALL: usize = 4 << 10;
/// Memory for long messages beyond this is given back after each.
const ASSEMBLY_KEPT: usize = 256 << 10;

pub(crate) struct Owner<H> {
    pub(crate) session: Session<Vec<u8>>,
    pub(crate) handler: H,
    pub(crate) shared: Arc<Shared>,
    /// What a connection that is quiet does not need.
    pub(crate) rare: Option<Box<Rare>>,
    /// When messages count as taken, as the application wants it.
    release: Release,
    finish: bool,
    /// The request that the handler is being told of, until it answers or defers it.
    asked: Option<RequestId>,
    /// Behind everything that came before the frame that was taken in last.
    before: Position,
    /// Up to where the application says that everything is taken; 0 if it has not said so.
    taken_by_hand: Position,
    /// Handles' frames were left where they are, because there was no room for them.
    left_staged: bool,
    /// Newest values were left where they are, because something before them is not written yet.
    left_latest: bool,
    pub(crate) over: bool,
    /// The application wants no session any more, whatever becomes of this one.
    pub(crate) ordered_end: Option<CloseCode>,
    /// When the present connection was greeted.
    pub(crate) opened_at: Option<Instant>,
    /// The server asked to leave the present connection.
    pub(crate) asked_to_leave: bool,
    /// Whether the client was heard after WELCOME.
    heard: Heard,
    /// The client has the key with this number, and nobody was told yet.
    new_key: Option<u8>,
    /// It is from an old snapshot, and its client was not heard since: what an earlier process
    /// received after that is not known.
    pub(crate) rx_unknown: bool,
    /// A connection's task has it.
    pub(crate) carried: bool,
    /// How the connection ended, if the session said so.
    pub(crate) ending: Option<Ending>,
    /// How much the peer may send.
    pub(crate) allowance: Allowance,
    /// How much of what it holds was counted.
    counted: u32,
    /// Reads until the handler is timed again.
    pub(crate) untimed: u8,
}

/// What only some connections need, and only while there is traffic.
#[derive(Default)]
pub(crate) struct Rare {
    /// Encoded frames that have no room in the session's ring yet.
    pub(crate) queues: Queues,
    /// Fragments of the message that is coming in.
    assembly: Vec<u8>,
    /// Answers the server's authentication steps.
    proving: Option<Box<Proving>>,
    /// Handshake frames to transmit.
    handshake: Vec<u8>,
    /// Until when the peer gets no credit.
    pub(crate) held_until: Option<Instant>,
}

impl Rare {
    const fn held_bytes(&self) -> usize {
        self.queues.held_bytes() + self.assembly.capacity()
    }

    /// Gives memory back that only traffic needs; whether anything is left.
    fn shrink(&mut self) -> bool {
        self.queues.shrink();
        if self.assembly.is_empty() {
            self.assembly = Vec::new();
        }
        let needed = self.queues.is_in_use() || self.proving.is_some() || self.held_until.is_some();
        needed || self.held_bytes() > 0 || !self.handshake.is_empty()
    }
}

impl std::fmt::Debug for Rare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rare").field("queues", &self.queues).finish_non_exhaustive()
    }
}

/// How a connection ended.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: CloseCode,
    pub(crate) by_peer: bool,
    pub(crate) retry_ms: u32,
    pub(crate) no_retry: bool,
}

/// A runtime releases by itself, once for all that a read brought.
pub(crate) fn core_config(config: Config) -> Config {
    Config { release: Release::Manual, ..config }
}

impl<H: Handler> Owner<H> {
    pub(crate) fn new(
        session: Session<Vec<u8>>,
        handler: H,
        shared: Arc<Shared>,
        release: Release,
    ) -> Self {
        let before = session.received();
        Self {
            session,
            handler,
            shared,
            rare: None,
            release,
            finish: false,
            asked: None,
            before,
            taken_by_hand: Position::default(),
            left_staged: false,
            left_latest: false,
            over: false,
            ordered_end: None,
            opened_at: None,
            asked_to_leave: false,
            heard: Heard::NotYet,
            new_key: None,
            rx_unknown: false,
            carried: false,
            ending: None,
            allowance: Allowance::default(),
            counted: 0,
            untimed: 0,
        }
    }

    /// All that a session that is over had to say is with the transport, or there is none.
    //= DRV-8
    pub(crate) fn said_all(&self) {
        let wake = self.shared.lock().said_all();
        wake.into_iter().for_each(Waker::wake);
    }

    /// The session as its handler sees it, and the handler.
    #[inline]
    fn peer(&mut self, now: Instant) -> (Peer<'_>, &mut H) {
        let peer = Peer {
            session: &mut self.session,
            shared: &self.shared,
            rare: &mut self.rare,
            now,
            release: self.release,
            asked: &mut self.asked,
            before: self.before,
            taken: &mut self.taken_by_hand,
        };
        (peer, &mut self.handler)
    }

    /// Handles what came in; returns when no whole frame is left.
    pub(crate) fn handle_input(
        &mut self,
        now: Instant,
        input: &mut &[u8],
    ) -> Result<(), Violation> {
        while let Some(event) = self.handle_messages(now, input)? {
            self.dispatch(now, event);
        }
        Ok(())
    }

    /// Handles the first of what came in, and counts how long the handler of a server takes for it.
    /// It has its own call of the handler, out of the way of the one that nearly all events take.
    #[cold]
    #[inline(never)]
    pub(crate) fn time_first(
        &mut self,
        now: Instant,
        input: &mut &[u8],
        clock: impl Fn() -> std::time::Instant,
    ) -> Result<(), Violation> {
        self.untimed = UNTIMED;
        let ledger = self.shared.hosted().map(|hosted| &hosted.home.ledger);
        if !ledger.is_some_and(Ledger::is_on) {
            return Ok(());
        }
        self.before = self.session.received();
        let Some(event) = self.session.handle_input(now, input)? else {
            return Ok(());
        };
        let counts = matches!(event, Event::Message { .. } | Event::Request { .. });
        let begin = clock();
        self.dispatch(now, event);
        if let Some(hosted) = self.shared.hosted().filter(|_| counts) {
            hosted.home.ledger.handler.record(clock().saturating_duration_since(begin));
        }
        Ok(())
    }

    /// Hands messages to the handler, up to the first event that is something else.
    #[inline]
    fn handle_messages<'b>(
        &mut self,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Event<'b>>, Violation> {
        let (peer, handler) = self.peer(now);
        let mut messages = Messages::new(peer, input);
        handler.messages(&mut messages);
        while let Some((route, payload)) = messages.next() {
            handler.message(messages.peer(), route, payload);
        }
        let (event, rest, peer) = messages.finish();
        let before = peer.before;
        *input = rest;
        self.before = before;
        event
    }

    fn dispatch(&mut self, now: Instant, event: Event<'_>) {
        match event {
            Event::Message { route, payload, .. } => {
                let (mut peer, handler) = self.peer(now);
                handler.message(&mut peer, route, payload);
            }
            Event::Request { id, route, payload, .. } => {
                self.asked = Some(id);
                self.tell(now, Incoming::Request { id, route, payload });
                //= REQ-10
                if self.asked.take().is_some() {
                    self.respond(now, id, Status::NO_ROUTE);
                }
            }
            Event::Response { id, status, payload, .. } => {
                // Left where its caller will look for it: nobody is waited for.
                //= DRV-18
                let (caller, waiting) = self.shared.lock().complete(id, status, payload);
                caller.into_iter().chain(waiting).for_each(Waker::wake);
            }
            other => self.dispatch_rare(now, other),
        }
    }

    //= CLI-13
    #[cold]
    fn dispatch_rare(&mut self, now: Instant, event: Event<'_>) {
        match event {
            Event::Fragment { head, offset, payload, last, .. } => {
                self.fragment(now, head, offset, payload, last);
            }
            Event::Aborted { head, .. } => {
                self.forget_assembly();
                self.tell(now, Incoming::Aborted { head });
            }
            Event::Opened => self.opened(now, None),
            Event::Resumed { resent } => self.opened(now, Some(resent)),
            Event::Note { route, payload } => {
                self.tell(now, Incoming::Note { route, payload });
            }
            Event::Cancelled { id, .. } => self.tell(now, Incoming::Cancelled { id }),
            Event::Acknowledged { position } => self.acknowledged(now, position),
            Event::Writable => self.writable(now),
            Event::Draining { code, .. } => {
                self.asked_to_leave = true;
                self.tell(now, Incoming::Draining { code });
            }
            Event::Finished { .. } => {
                let wake = self.shared.lock().peer_finished();
                wake.into_iter().for_each(Waker::wake);
                self.tell(now, Incoming::Finished);
            }
            Event::Disconnected { code, by, retry_ms, no_retry } => {
                let by_peer = by == outlast_core::Side::Peer;
                self.ending = Some(Ending { code, by_peer, retry_ms, no_retry });
            }
            Event::Ended => {
                self.tell(now, Incoming::Ended);
                let ended = Closed::of(Why::Finished, CloseCode::OK);
                self.end(Closed { complete: true, ..ended }, &[]);
            }
            Event::Lost { code, peer_received } => {
                let why = if self.ordered_end.is_some() { Why::Stopped } else { Why::Lost };
                self.lost(now, Closed::of(why, code), peer_received);
            }
            Event::Challenge { data, .. } => self.prove(now, data),
            Event::KeyConfirmed { key_id } => self.new_key = Some(key_id),
            _ => {}
        }
    }

    /// Tells the handler.
    #[inline]
    pub(crate) fn tell(&mut self, now: Instant, event: Incoming<'_>) {
        let (mut peer, handler) = self.peer(now);
        handler.handle(&mut peer, event);
    }

    fn respond(&mut self, now: Instant, id: RequestId, status: Status) {
        let (mut peer, _) = self.peer(now);
        // It fails only for a request that is no longer open, which is what is wanted.
        let _ = peer.respond(id, status, &[]);
    }

    fn fragment(&mut self, now: Instant, head: Head, offset: u32, payload: &[u8], last: bool) {
        // Nobody but a waiting caller reads a response.
        let is_response = matches!(head, Head::Response { .. });
        if self.handler.wants_fragments() && !is_response {
            self.tell(now, Incoming::Fragment { head, offset, payload, last });
            return;
        }
        //= FRG-10
        let rare = self.rare.get_or_insert_default();
        rare.assembly.extend_from_slice(payload);
        if !last {
            return;
        }
        let whole = std::mem::take(&mut rare.assembly);
        let (payload, position) = (&whole[..], self.session.received());
        let event = match head {
            Head::Message { route } => Event::Message { route, payload, position },
            Head::Request { id, route } => Event::Request { id, route, payload, position },
            Head::Response { id, status } => Event::Response { id, status, payload, position },
        };
        self.dispatch(now, event);
        if whole.capacity() <= ASSEMBLY_KEPT {
            let assembly = &mut self.rare.get_or_insert_default().assembly;
            *assembly = whole;
            assembly.clear();
        }
    }

    /// Answers an authentication step; a server that cannot be answered is left.
    fn prove(&mut self, now: Instant, data: &[u8]) {
        let mut answer = [0; HANDSHAKE_MAX];
        let mut frame = [0; HANDSHAKE_MAX];
        let session = &mut self.session;
        let goes_on = self.rare.as_deref_mut().is_some_and(|rare| {
            let Some(proving) = &mut rare.proving else {
                return false;
            };
            let (prover, context) = proving.parts();
            let reply = prover.handle_step(&context, data, &mut answer);
            //= AUT-7
            if prover.is_satisfied() {
                session.trust_server();
            }
            match reply {
                Reply::Send(len) => {
                    let answer = answer.get(..len).unwrap_or_default();
                    let sent = session.authenticate(answer, &mut frame);
                    sent.is_ok_and(|len| {
                        rare.handshake.extend_from_slice(&frame[..len]);
                        true
                    })
                }
                Reply::Wait => true,
                Reply::Refuse => false,
            }
        });
        if !goes_on {
            self.session.close(now, CloseCode::AUTH_FAILED, 0);
        }
    }

    /// Answers the server's authentication steps with this from now on.
    pub(crate) fn introduce(&mut self, proving: Box<Proving>) {
        self.rare.get_or_insert_default().proving = Some(proving);
    }

    /// The handshake is over.
    pub(crate) fn introduced(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.proving = None;
        }
    }

    /// Handshake frames to transmit.
    #[inline]
    pub(crate) fn take_handshake(&mut self) -> Option<Vec<u8>> {
        let rare = self.rare.as_deref_mut()?;
        (!rare.handshake.is_empty()).then(|| std::mem::take(&mut rare.handshake))
    }

    fn forget_assembly(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.assembly = Vec::new();
        }
    }

    fn acknowledged(&mut self, now: Instant, position: Position) {
        self.taken(position);
        self.tell(now, Incoming::Acknowledged { position });
    }

    /// Tells those who wait for it that the peer took everything up to `position`.
    fn taken(&mut self, position: Position) {
        let rare = self.rare.as_deref_mut();
        if let Some(receipt) = rare.and_then(|rare| rare.queues.acknowledged(position)) {
            let wake = self.shared.lock().taken(receipt);
            wake.into_iter().for_each(Waker::wake);
        }
    }

    fn lost(&mut self, now: Instant, closed: Closed, peer_received: Option<Position>) {
        peer_received.into_iter().for_each(|position| self.taken(position));
        let session = &self.session;
        //= CLS-14
        let known = peer_received.unwrap_or_else(|| session.acknowledged());
        let certain = peer_received.unwrap_or_else(|| session.transmitted());
        let unknown = (certain.get() - known.get().min(certain.get())) as usize;
        let mut unknown_frames = session.retained(known).concat();
        unknown_frames.truncate(unknown);
        let mut missing = session.retained(certain).concat();
        let (mut queued, unsent) =
            self.rare.take().map(|mut rare| rare.queues.discard(certain)).unwrap_or_default();
        missing.append(&mut queued);
        missing.append(&mut self.shared.lock().discard());
        let undelivered = Undelivered { unknown: unknown_frames, missing };
        let code = closed.code;
        let lost = Incoming::Lost { code, peer_received, undelivered: &undelivered };
        self.tell(now, lost);
        let peer_received = peer_received.map(Position::get);
        self.end(Closed { peer_received, ..closed }, &unsent);
    }

    /// A new session takes the place of the one that was lost.
    pub(crate) fn replace(&mut self, session: Session<Vec<u8>>) {
        self.session = session;
        self.over = false;
        self.finish = false;
        self.taken_by_hand = Position::default();
        self.ending = None;
        self.shared.lock().replace();
    }

    fn end(&mut self, closed: Closed, unsent: &[RequestId]) {
        self.over = true;
        self.shared.over(self.carried, closed, unsent);
    }

    /// Tells the handler that the connection is gone, once; what the transport said counts if the
    /// session did not end the connection.
    pub(crate) fn disconnected(&mut self, now: Instant, error: Option<ErrorKind>) -> Ending {
        let gone = Ending { code: CloseCode::IDLE, by_peer: false, retry_ms: 0, no_retry: false };
        let cause = match self.ending {
            Some(Ending { by_peer: true, .. }) => Cause::Peer,
            Some(Ending { code: CloseCode::IDLE, .. }) => Cause::Silence,
            Some(_) => Cause::Local,
            None => Cause::Transport(error),
        };
        let ending = self.ending.take().unwrap_or(gone);
        self.publish(false, now);
        if self.opened_at.is_some()
            && let Some(hosted) = self.shared.hosted()
        {
            let code = if self.over { CloseCode::OK } else { ending.code };
            hosted.home.ledger.connection_ended(cause, code);
        }
        // An attempt that never got so far is told of elsewhere.
        if !self.over && self.opened_at.is_some() {
            let code = ending.code;
            self.tell(now, Incoming::Disconnected { code, cause });
            self.shared.report(|hosted| ServerEvent::Detached { id: hosted.id, code, cause });
        }
        ending
    }

    /// Whether there is memory that only traffic needs.
    pub(crate) fn holds_memory(&self) -> bool {
        self.held_bytes() > 0
    }

    /// Gives back at once what is cheap to have again: thousands of connections that are mostly
    /// quiet then share the memory of the few that are not.
    #[inline]
    pub(crate) fn shrink_if_small(&mut self) {
        if (1..=SMALL).contains(&self.session.held_bytes()) && self.session.unacknowledged() == 0 {
            self.session.shrink();
        }
    }

    /// Gives back memory that only traffic needs.
    pub(crate) fn shrink(&mut self) {
        self.session.shrink();
        if self.rare.as_mut().is_some_and(|rare| !rare.shrink()) {
            self.rare = None;
        }
        self.shared.lock().shrink();
        self.count_memory(0);
    }

    /// Does something that may run the handler where no connection's task does: a panic ends with
    /// the session, and goes no further.
    pub(crate) fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        // What the panic left half done is not used any more.
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.session.kill(CloseCode::INTERNAL);
        }
    }

    /// The session is over for a reason that no connection told.
    pub(crate) fn give_up(&mut self, now: Instant, why: Why, code: CloseCode) {
        if !self.over {
            self.lost(now, Closed::of(why, code), None);
        }
    }
}

/// The task that had the session was dropped, or its handler panicked: those who wait are told.
impl<H> Drop for Owner<H> {
    fn drop(&mut self) {
        if let Some(memory) = &self.shared.ground.memory
            && memory.change(self.counted as usize, 0)
        {
            memory.tell();
        }
        if self.over {
            self.shared.turn(LinkState::Closed);
            let wake = self.shared.lock().said_all();
            return wake.into_iter().for_each(Waker::wake);
        }
        let arrived = self.session.transmitted();
        let unsent = self.rare.take().map(|mut rare| rare.queues.discard(arrived).1);
        let closed = Closed::of(Why::Dropped, abandoned_code());
        self.shared.over(false, closed, &unsent.unwrap_or_default());
    }
}

/// Why a session is over whose task is gone: its code failed, or somebody wanted it gone.
pub(crate) fn abandoned_code() -> CloseCode {
    if std::thread::panicking() { CloseCode::INTERNAL } else { CloseCode::GOING_AWAY }
}
