//! The server's side of one session of `outlast serve`.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use outlast_tokio::{Handler, Incoming, Peer, Route, SendError, ServerHandle, SessionInfo, Status};
use tokio::task::block_in_place;

use super::common::short;
use super::print;
use super::receive::announce;
use crate::inspect::readable;
use crate::transfer::{Folder, Receiver};

/// Messages that wait to be sent back to one client.
const ECHO_AHEAD: usize = 4096;
/// Their bytes. A longer message is sent back if no other one waits.
const ECHO_BYTES: usize = 4 << 20;

/// What becomes of messages.
#[derive(Debug, Copy, Clone)]
pub(super) enum Mode {
    Print,
    Echo,
    Relay,
}

/// What all desks of a server have in common.
#[derive(Clone)]
pub(super) struct Office {
    pub(super) mode: Mode,
    pub(super) quiet: bool,
    pub(super) everybody: Arc<OnceLock<ServerHandle>>,
    pub(super) folder: Option<Folder>,
}

/// The server's side of one session.
pub(super) struct Desk {
    name: String,
    id: u64,
    office: Office,
    receiver: Option<Receiver<Folder>>,
    echo: Echo,
}

/// What waits to be sent back to one client. It is sent by the handler itself, in its turns: so a
/// snapshot has each message in one place, here or among what was sent.
#[derive(Debug, Default, PartialEq, Eq)]
struct Echo {
    waiting: VecDeque<(Route, Vec<u8>)>,
    /// Bytes of these messages.
    bytes: usize,
    /// The client sends nothing more: the session ends when nothing waits.
    finishing: bool,
}

impl Desk {
    /// For a session that is new, or goes on from what an earlier process stored of it.
    pub(super) fn new(info: &SessionInfo, office: &Office) -> Self {
        let saved = info.saved.as_deref();
        let echo = saved.map_or_else(|| Some(Echo::default()), Echo::of_saved);
        let receiver = office.folder.clone().map(Receiver::new);
        let (name, id, office) = (short(Some(info.id)), info.id, office.clone());
        let lacks = echo.is_none();
        let desk = Self { name, id, office, receiver, echo: echo.unwrap_or_default() };
        if lacks {
            desk.say("! what was to be sent back is not known any more");
        }
        desk
    }
}

impl Handler for Desk {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => self.take(peer, route, payload),
            Incoming::Request { id, route, payload } => {
                let receiver = self.receiver.as_mut();
                let (status, answer) = match receiver.filter(|_| Receiver::<Folder>::serves(route))
                {
                    Some(receiver) => {
                        let answer = block_in_place(|| receiver.request(route, payload));
                        announce(&self.name, answer.2.as_ref());
                        (answer.0, answer.1)
                    }
                    None => {
                        self.say(&format!("? {}", readable(payload)));
                        (Status::OK, payload.to_vec())
                    }
                };
                if let Err(error) = peer.respond(id, status, &answer) {
                    self.say(&format!("! cannot answer: {error}"));
                }
            }
            Incoming::Note { payload, .. } => self.say(&format!("~ {}", readable(payload))),
            Incoming::Opened => {
                let from =
                    peer.remote_addr().map_or_else(String::new, |from| format!(" from {from}"));
                self.say(&format!("* begins{from}"));
            }
            Incoming::Resumed { .. } => {
                self.set_away(false);
                self.say("* is back");
                self.send_back(peer);
            }
            Incoming::Writable => self.send_back(peer),
            Incoming::Disconnected { .. } => {
                self.set_away(true);
                self.say("* lost its connection; waiting for it");
            }
            Incoming::Finished => {
                self.echo.finishing = true;
                self.send_back(peer);
            }
            Incoming::Ended => self.say("* ended; everything arrived"),
            Incoming::Lost { code, .. } => self.say(&format!("* is lost: {code}")),
            _ => {}
        }
    }

    /// Files that were begun need nothing: their senders offer them again, and go on behind what is
    /// in the folder.
    fn save(&self) -> Vec<u8> {
        self.echo.save()
    }
}

impl Desk {
    fn take(&mut self, peer: &mut Peer<'_>, route: Route, payload: &[u8]) {
        if Receiver::<Folder>::serves(route)
            && let Some(receiver) = &mut self.receiver
        {
            block_in_place(|| receiver.data(payload));
            return;
        }
        self.say(&readable(payload));
        match self.office.mode {
            Mode::Print => {}
            Mode::Echo => {
                if self.echo.push(route, payload) {
                    self.send_back(peer);
                } else {
                    self.say("! not sent back: this client sends without reading");
                }
            }
            Mode::Relay => self.relay(route, payload),
        }
    }

    fn set_away(&mut self, away: bool) {
        if let Some(receiver) = &mut self.receiver {
            receiver.set_away(away);
        }
    }

    /// As much as there is room for. The rest follows when there is more.
    fn send_back(&mut self, peer: &mut Peer<'_>) {
        while let Some((route, payload)) = self.echo.waiting.front() {
            match peer.send_long(*route, payload) {
                Err(SendError::Full) => return,
                Ok(()) => {}
                Err(error) => self.say(&format!("! not sent back: {error}")),
            }
            self.echo.pop();
        }
        if self.echo.finishing {
            peer.finish();
        }
    }

    fn relay(&self, route: Route, payload: &[u8]) {
        let Some(everybody) = self.office.everybody.get() else {
            return;
        };
        let others = everybody.sessions().into_iter().map(|info| info.id);
        let others = others.filter(|id| *id != self.id);
        let text = [self.name.as_bytes(), b": ", payload].concat();
        for (id, error) in everybody.send_to_many(others, route, &text).failed {
            self.say(&format!("! not passed on to {}: {error}", short(Some(id))));
        }
    }

    fn say(&self, text: &str) {
        if !self.office.quiet {
            print(&format!("[{}] {text}\n", self.name));
        }
    }
}

/// What the saved bytes begin with.
const VERSION: u8 = 1;

impl Echo {
    /// Whether there was room.
    fn push(&mut self, route: Route, payload: &[u8]) -> bool {
        let bytes = self.bytes.saturating_add(payload.len());
        if self.waiting.len() >= ECHO_AHEAD || (self.bytes > 0 && bytes > ECHO_BYTES) {
            return false;
        }
        self.bytes = bytes;
        self.waiting.push_back((route, payload.to_vec()));
        true
    }

    fn pop(&mut self) {
        if let Some((_, payload)) = self.waiting.pop_front() {
            self.bytes -= payload.len();
        }
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            self.waiting = VecDeque::new();
        }
    }

    /// For the next process. Numbers are little-endian.
    fn save(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut saved = vec![VERSION, u8::from(self.finishing)];
        for (route, payload) in &self.waiting {
            saved.extend_from_slice(&route.get().to_le_bytes());
            saved.extend_from_slice(&(payload.len() as u64).to_le_bytes());
            saved.extend_from_slice(payload);
        }
        saved
    }

    /// What an earlier process saved, if it is that.
    fn of_saved(saved: &[u8]) -> Option<Self> {
        let [VERSION, finishing @ (0 | 1), rest @ ..] = saved else {
            return None;
        };
        let mut echo = Self { finishing: *finishing == 1, ..Self::default() };
        let mut rest = rest;
        while !rest.is_empty() {
            let (route, more) = rest.split_first_chunk::<4>()?;
            let (len, more) = more.split_first_chunk::<8>()?;
            let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
            let (payload, more) = more.split_at_checked(len)?;
            let route = Route::new(u32::from_le_bytes(*route));
            echo.bytes += payload.len();
            echo.waiting.push_back((route, payload.to_vec()));
            rest = more;
        }
        Some(echo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_sent_back_is_limited_in_bytes() {
        let mut echo = Echo::default();
        let long = vec![0; 1 << 20];
        let taken = (0..ECHO_AHEAD).filter(|_| echo.push(Route::new(1), &long)).count();
        assert_eq!(taken, ECHO_BYTES >> 20);
        echo.pop();
        assert!(echo.push(Route::new(1), &long));
        assert!(!echo.push(Route::new(1), &long));
        // One that is longer than all of them may be is sent back alone.
        let mut echo = Echo::default();
        assert!(echo.push(Route::new(1), &vec![0; 2 * ECHO_BYTES]));
        assert!(!echo.push(Route::new(1), b"x"));
    }

    #[test]
    fn short_messages_are_limited_in_number() {
        let mut echo = Echo::default();
        let taken = (0..2 * ECHO_AHEAD).filter(|_| echo.push(Route::new(1), b"x")).count();
        assert_eq!((taken, echo.bytes), (ECHO_AHEAD, ECHO_AHEAD));
    }

    #[test]
    fn what_waits_is_saved_and_nothing_else_is_read() {
        let mut echo = Echo::default();
        assert!(echo.save().is_empty());
        echo.push(Route::new(1), b"one");
        echo.push(Route::new(70_000), b"");
        echo.push(Route::new(3), b"three");
        echo.finishing = true;
        let saved = echo.save();
        assert_eq!(Echo::of_saved(&saved), Some(echo));
        let ends: Vec<usize> =
            (0..saved.len()).filter(|at| Echo::of_saved(&saved[..*at]).is_some()).collect();
        // Behind the beginning, the first message and the second one.
        assert_eq!(ends, [2, 17, 29]);
        assert_eq!(Echo::of_saved(&[&[2], &saved[1..]].concat()), None);
    }
}
