//! Somebody who keeps all the rules at a server where somebody else does not.
//!
//! A bystander has a session of its own with the server of a case. It sends a message, the server
//! sends it back, it acknowledges and sends the next, for as long as the case goes on. Whatever is
//! missing, doubled, late beyond patience or not of its own making is an error of the server: one
//! session has noticed what was done to another.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::bench::Peer;
use crate::driver::{Cmd, Obs, Seen, Stream, Subject};
use crate::model::Wrong;
use crate::raw::{self, Frame, Hello, kind};

/// The route of the bystander's messages.
const ROUTE: u8 = 250;
/// Messages that a bystander exchanges after the case is done.
const LAST_WORDS: u32 = 2;

/// All bystanders of a case.
#[derive(Default)]
pub(crate) struct Watch {
    watched: Vec<Rc<RefCell<Watched>>>,
}

impl Watch {
    /// A bystander comes to `subject`, which the case gets back.
    pub(crate) fn begin(&mut self, subject: Box<dyn Subject>) -> Box<dyn Subject> {
        let watched = Rc::new(RefCell::new(Watched {
            subject,
            seen: VecDeque::new(),
            bystander: Bystander::default(),
            until: None,
        }));
        self.watched.push(Rc::clone(&watched));
        Box::new(Guard(watched))
    }

    /// Whether the newest has exchanged so many messages.
    pub(crate) fn newest_has(&self, count: u32) -> bool {
        self.watched.last().is_none_or(|last| last.borrow().bystander.heard >= count)
    }

    /// Every bystander does what there is to do.
    pub(crate) fn attend(&self) -> Result<(), Wrong> {
        self.watched.iter().try_for_each(|watched| watched.borrow_mut().attend())
    }

    /// Says who is to go; whether there is anybody.
    pub(crate) fn begin_dismissal(&self, all: bool) -> bool {
        let mut any = false;
        for watched in &self.watched {
            if all || Rc::strong_count(watched) == 1 {
                let mut watched = watched.borrow_mut();
                watched.until = Some(watched.bystander.heard + LAST_WORDS);
                any = true;
            }
        }
        any
    }

    /// Whether all who are to go have said their last words.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.watched.iter().all(|watched| {
            let watched = watched.borrow();
            watched.until.is_none_or(|until| watched.bystander.heard >= until)
        })
    }

    /// They go.
    pub(crate) fn dismiss(&mut self) {
        self.watched.retain(|watched| watched.borrow().until.is_none());
    }
}

/// A server and its bystander.
struct Watched {
    subject: Box<dyn Subject>,
    /// What is not about the bystander.
    seen: VecDeque<Seen>,
    bystander: Bystander,
    /// How many messages it exchanges before it goes.
    until: Option<u32>,
}

impl Watched {
    fn attend(&mut self) -> Result<(), Wrong> {
        let Self { subject, seen, bystander, .. } = self;
        while let Some(what) = bystander.pending.pop_front() {
            bystander.observe(&mut **subject, what)?;
        }
        while let Some(found) = subject.poll() {
            if bystander.session == Some(found.session) {
                bystander.observe(&mut **subject, found.what)?;
            } else {
                seen.push_back(found);
            }
        }
        if bystander.peer.is_none() {
            let Some(stream) = subject.plug() else {
                return Ok(());
            };
            bystander.begin(Peer::new(stream));
        }
        bystander.talk()?;
        // What was observed before WELCOME told who the bystander is.
        if let Some(session) = bystander.session {
            seen.retain(|seen| seen.session != session || seen.what != Obs::Opened);
        }
        Ok(())
    }
}

/// What a case has of a server with a bystander.
struct Guard(Rc<RefCell<Watched>>);

impl Subject for Guard {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        self.0.borrow_mut().subject.command(session, command)
    }

    fn poll(&mut self) -> Option<Seen> {
        let mut watched = self.0.borrow_mut();
        let Watched { subject, seen, bystander, .. } = &mut *watched;
        loop {
            if let Some(found) = seen.pop_front() {
                return Some(found);
            }
            let found = subject.poll()?;
            if bystander.session == Some(found.session) {
                bystander.pending.push_back(found.what);
            } else {
                return Some(found);
            }
        }
    }

    fn plug(&mut self) -> Option<Box<dyn Stream>> {
        self.0.borrow_mut().subject.plug()
    }

    fn held_bytes(&self) -> usize {
        self.0.borrow().subject.held_bytes()
    }
}

#[derive(Default)]
struct Bystander {
    peer: Option<Peer>,
    /// Its session, once it has one.
    session: Option<u64>,
    /// What was observed of it while the case looked.
    pending: VecDeque<Obs>,
    /// Bytes that the server's end has not taken yet.
    outbox: Vec<u8>,
    /// Messages sent, and come back.
    said: u32,
    heard: u32,
    /// Positions: sent and received.
    sent: u32,
    received: u32,
}

const WINDOW: u32 = 65_536;

impl Bystander {
    fn begin(&mut self, peer: Peer) {
        self.peer = Some(peer);
        self.outbox = Hello { window: WINDOW, ..Hello::default() }.encode();
    }

    /// The server observed something about the bystander's session.
    fn observe(&self, subject: &mut dyn Subject, what: Obs) -> Result<(), Wrong> {
        match what {
            Obs::Opened | Obs::Acked(_) | Obs::Other(_) => Ok(()),
            Obs::Message { route, payload }
                if route == u32::from(ROUTE) && payload == self.heard.to_le_bytes() =>
            {
                let back = Cmd::Send { route, payload };
                let session = self.session.unwrap_or_default();
                subject
                    .command(session, back)
                    .map_err(|error| Wrong(format!("no answer to the bystander: {error}")))
            }
            what => Err(Wrong(format!("the bystander is told of: {what:?}"))),
        }
    }

    /// Reads, and says what there is to say.
    fn talk(&mut self) -> Result<(), Wrong> {
        let Some(mut peer) = self.peer.take() else {
            return Ok(());
        };
        peer.pull();
        while let Some(frame) = Frame::take(&mut peer.inbox) {
            self.hear(&frame)?;
        }
        if !peer.open {
            return Err(Wrong("the bystander lost its connection".into()));
        }
        if self.session.is_some() && self.said == self.heard {
            let message = raw::message(ROUTE, &self.said.to_le_bytes());
            self.sent += message.len() as u32;
            self.said += 1;
            self.outbox.extend(message);
        }
        let taken = peer.stream().write(&self.outbox);
        self.outbox.drain(..taken);
        self.peer = Some(peer);
        Ok(())
    }

    fn hear(&mut self, frame: &Frame) -> Result<(), Wrong> {
        match frame.kind {
            kind::WELCOME => {
                let session = frame.option(0x10).and_then(|option| option.first_chunk::<8>());
                let session = session.map(|bytes| u64::from_le_bytes(*bytes));
                self.session = Some(session.ok_or_else(|| Wrong(format!("{frame:?}")))?);
                self.outbox.extend(raw::ack(0, WINDOW));
                Ok(())
            }
            kind::MSG if frame.tag == ROUTE && frame.body == self.heard.to_le_bytes() => {
                self.heard += 1;
                self.received += 4 + frame.body.len() as u32;
                self.outbox.extend(raw::ack(self.received, self.received + WINDOW));
                Ok(())
            }
            kind::PING if !frame.body.is_empty() => {
                let nonce = frame.number::<4>(0) as u32;
                let (ack, limit) = (self.received, self.received + WINDOW);
                self.outbox.extend(raw::probe(kind::PONG, nonce, self.sent, ack, limit));
                Ok(())
            }
            kind::PING => {
                self.outbox.extend(raw::frame(kind::PONG, 0, &[]));
                Ok(())
            }
            kind::ACK | kind::PONG => Ok(()),
            _ => Err(Wrong(format!("the bystander got {frame:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::Bench;
    use crate::cases::SMALL;
    use crate::driver::Cmd;
    use crate::memory::Memory;
    use outlast_core::CloseCode;

    /// In memory the first session of a server has this number.
    const BYSTANDER: u64 = 0x0001_0000_0000_0001;

    #[test]
    fn a_bystander_that_notices_nothing_goes() {
        let mut memory = Memory::default();
        let mut bench = Bench::new(&mut memory);
        let server = bench.server(SMALL).unwrap();
        drop(server);
        bench.dismiss(false).unwrap();
    }

    #[test]
    fn a_bystander_notices_the_loss_of_its_connection() {
        let mut memory = Memory::default();
        let mut bench = Bench::new(&mut memory);
        let mut server = bench.server(SMALL).unwrap();
        server.command(BYSTANDER, Cmd::Close(CloseCode::CALM)).unwrap();
        bench.dismiss(true).unwrap_err();
    }

    #[test]
    fn a_bystander_notices_a_message_that_is_not_its_own() {
        let mut memory = Memory::default();
        let mut bench = Bench::new(&mut memory);
        let mut server = bench.server(SMALL).unwrap();
        let stray = Cmd::Send { route: 1, payload: b"stray".to_vec() };
        server.command(BYSTANDER, stray).unwrap();
        bench.dismiss(true).unwrap_err();
    }
}
