//! The ways a connection and a session end.

use core::num::NonZeroU64;

use super::{Pending, SendError, Session};
use crate::code::{CloseCode, Scope};
use crate::event::{Position, Side};
use crate::link::{Closing, Owed};
use crate::state::{LinkEvent, LinkState, SessionEvent, SessionState};
use crate::storage::Storage;
use crate::time::Instant;
use crate::wire::{Close, CloseFlags, HEADER_LEN, Header, Op};

/// Whoever used up its budget is to stay away for so long, in milliseconds.
const CALM_RETRY_MS: u32 = 1_000;

impl<S: Storage + ?Sized> Session<S> {
    /// Finishes: nothing more will be sent. Once both ends have finished and everything was
    /// acknowledged, the session ends by itself.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::MessageOpen`], or what the state forbids; finishing twice
    /// is such a state.
    //= CLS-1
    pub fn finish(&mut self) -> Result<Position, SendError> {
        self.check_state()?;
        if self.open_out.is_some() {
            return Err(SendError::MessageOpen);
        }
        // Nothing can be answered behind FIN.
        self.send_refusals();
        if self.owes_refusals() {
            self.full()?;
        }
        let position = self.push(Header::new(Op::Fin, 0, 0), &[], &[])?;
        self.tx.finished = true;
        Ok(position)
    }

    /// Closes the connection and leaves the session as it is: the peer may resume it.
    ///
    /// `retry_ms` is a hint when to come back; 0 is none.
    pub fn close(&mut self, now: Instant, code: CloseCode, retry_ms: u32) {
        self.link.tick(now);
        self.begin_closing(Closing { retry_ms, ..Closing::of(code, Side::Local) });
    }

    /// Ends the session, whatever was not delivered yet; the peer is told if a connection is up.
    //= CLS-6
    pub fn end(&mut self, now: Instant, code: CloseCode) {
        self.link.tick(now);
        if !self.is_live() && self.state != SessionState::New {
            return;
        }
        let flags = CloseFlags::SESSION_ENDED;
        let closing = Closing { flags, ..Closing::of(code, Side::Local) };
        self.die(code, None);
        self.begin_closing(closing);
    }

    /// The old connection must go because another took over.
    pub(super) fn leave(&mut self, code: CloseCode, flags: CloseFlags) {
        self.begin_closing(Closing { flags, ..Closing::of(code, Side::Local) });
    }

    /// The peer broke a rule.
    //= STM-4
    pub(super) fn fail(&mut self, code: CloseCode) -> CloseCode {
        self.stats.violations = self.stats.violations.wrapping_add(1);
        let code = match code.scope() {
            Scope::Connection if poisons(code) && self.poisoned() => CloseCode::POISON,
            Scope::Connection
            | Scope::Normal
            | Scope::Handshake
            | Scope::Session
            | Scope::Application
            | Scope::Reserved => code,
        };
        //= COD-4
        if code.scope() == Scope::Session && self.is_live() {
            self.die(code, None);
        }
        let event = match self.link.state {
            LinkState::Wait | LinkState::Auth | LinkState::Open | LinkState::Draining => {
                LinkEvent::Violation
            }
            LinkState::Idle | LinkState::Closing | LinkState::Closed => LinkEvent::Eof,
        };
        //= BUD-4
        let retry_ms = if code == CloseCode::CALM { CALM_RETRY_MS } else { 0 };
        //= CLS-6
        let died = self.state == SessionState::Dead;
        let flags = if died { CloseFlags::SESSION_ENDED } else { CloseFlags::NONE };
        let closing = Closing { retry_ms, flags, ..Closing::of(code, Side::Local) };
        self.closing_by(event, closing);
        code
    }

    /// Whether an error ends this connection where another one ended the last, if it carries the
    /// session. What goes wrong before is not the fault of a message.
    //= CLS-12
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn poisoned(&mut self) -> bool {
        if !self.link.is_open() || !self.is_live() {
            return false;
        }
        let place = self.rx.next.saturating_add(self.tx.acked);
        let last = self.mark.replace(NonZeroU64::MIN.saturating_add(place));
        last == self.mark
    }

    /// The connection is gone: unless it carried the session and ended with an error, the next
    /// error is the first in its row.
    pub(super) fn forget_poison(&mut self) {
        let failed = |closing: Closing| {
            closing.code == CloseCode::POISON || closing.code.scope() == Scope::Connection
        };
        let carried = self.state != SessionState::New && self.state != SessionState::Detached;
        if self.is_live() && carried && !self.link.closing().is_some_and(failed) {
            self.mark = None;
        }
    }

    fn begin_closing(&mut self, closing: Closing) {
        self.closing_by(LinkEvent::Close, closing);
    }

    /// Enters the closing state: CLOSE goes out, then only the end of the stream is awaited.
    fn closing_by(&mut self, event: LinkEvent, closing: Closing) {
        if !self.link.step(event) {
            return;
        }
        self.link.farewell = closing.into();
        self.link.owed = if closing.by == Side::Local { Owed::CLOSE } else { Owed::NOTHING };
        //= CLS-11
        self.link.deadline = Some(self.link.now.after(self.config.linger.micros()));
        self.pending.add(Pending::DISCONNECTED);
    }

    /// CLOSE came.
    //= CLS-4
    #[inline(never)]
    pub(super) fn handle_close(&mut self, header: Header, body: &[u8]) -> Result<(), CloseCode> {
        header.check_tag()?;
        let close = Close::decode_terse(body)?;
        let code = close.code;
        let ended = close.flags.contains(CloseFlags::SESSION_ENDED);
        if code == CloseCode::STALE_ATTACH {
            //= RSM-20
            let last = close.last_attach.unwrap_or_default();
            self.identity.attach = self.identity.attach.max(last);
        } else if self.is_live() {
            self.heed(code, ended, self.possible(close.rx_next));
        }
        let Close { retry_ms, flags, .. } = close;
        let closing = Closing { retry_ms, flags, ..Closing::of(code, Side::Peer) };
        self.closing_by(LinkEvent::PeerClose, closing);
        Ok(())
    }

    /// What the peer's CLOSE means for a session that lives.
    fn heed(&mut self, code: CloseCode, ended: bool, received: Option<Position>) {
        //= CLS-5
        let well = ended && code == CloseCode::OK && received == Some(self.sent());
        if well || forgets(code) && self.is_settled(received) {
            self.end_well();
        } else if ended || code.scope() == Scope::Session {
            self.die(code, received);
        } else if poisons(code) && self.poisoned() {
            self.die(CloseCode::POISON, received);
        }
    }

    fn end_well(&mut self) {
        self.step(SessionEvent::Finished);
        self.pending.add(Pending::ENDED);
    }

    /// The session cannot go on; it says why and keeps what was not acknowledged.
    pub(super) fn die(&mut self, code: CloseCode, peer_received: Option<Position>) {
        if self.state.next(SessionEvent::Fatal).is_none() {
            return;
        }
        self.step(SessionEvent::Fatal);
        self.death_code = code;
        self.mark =
            peer_received.and_then(|position| NonZeroU64::new(position.0.saturating_add(1)));
        self.pending.add(Pending::LOST);
    }

    /// A position that cannot be is no news.
    //= CLS-17
    pub(super) fn possible(&self, received: Option<u64>) -> Option<Position> {
        let known = self.tx.acked..=self.tx_end();
        received.filter(|position| known.contains(position)).map(Position)
    }

    /// Ends the session once both ends finished and everything was taken.
    //= CLS-3
    pub(super) fn end_if_finished(&mut self) {
        if !self.tx.finished || !self.rx.finished {
            return;
        }
        // Nothing is sent after FIN, so it is acknowledged once nothing is retained.
        let ours = self.ring.len() == 0;
        let theirs = self.rx.is_released();
        if ours && theirs && self.is_live() && self.link.is_open() {
            self.end_well();
            let flags = CloseFlags::SESSION_ENDED;
            self.begin_closing(Closing { flags, ..Closing::of(CloseCode::OK, Side::Local) });
        }
    }

    /// What an expiry or an eviction on a server does to a session without a connection.
    ///
    /// One that had nothing left to deliver in either direction has [ended](crate::Event::Ended)
    /// well; any other is lost.
    pub fn kill(&mut self, code: CloseCode) {
        if self.is_live() && self.is_settled(None) {
            self.end_well();
        } else {
            self.die(code, None);
        }
    }

    /// Whether there is nothing to resume the session for: this end has finished, its data arrived,
    /// and it released all of the peer's.
    //= CLS-18
    fn is_settled(&self, received: Option<Position>) -> bool {
        let ours = self.tx.finished && self.fate_of_all_but_fin(received);
        let theirs = self.rx.finished && self.rx.is_released();
        ours && theirs
    }

    /// Whether the peer has taken everything before our FIN, as far as is known.
    fn fate_of_all_but_fin(&self, received: Option<Position>) -> bool {
        let known = received.map_or(self.tx.acked, |position| position.0);
        self.tx_end() <= known + HEADER_LEN as u64
    }
}

/// Whether a code says that the session is not kept any longer, and nothing worse. Their scope is
/// the session.
fn forgets(code: CloseCode) -> bool {
    matches!(code, CloseCode::EXPIRED | CloseCode::EVICTED | CloseCode::NO_SESSION)
}

/// Whether a code says that what was sent is wrong, so that sending it again cannot help. A stall
/// says nothing about it.
//= CLS-12
fn poisons(code: CloseCode) -> bool {
    code.scope() == Scope::Connection
        && code != CloseCode::FRAME_TIMEOUT
        && code != CloseCode::HS_TIMEOUT
}
