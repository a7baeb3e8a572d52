//! What a runtime has to implement to be judged, and the means to write a case once for all.
//!
//! A [`Driver`] makes [`Subject`]s: a server or a client under test. A subject takes commands and
//! tells observations, and hands out the far end of its transport: for a server a fresh connection
//! to it, for a client the connection it has dialled. Nothing else is asked of it, so that a
//! subject may be a value in this process, threads behind a socket, or another program.
//!
//! All calls return at once; [`Driver::wait`] lets time pass, virtual or real. [`Bench`] turns that
//! into "wait until", and joins two subjects through a link that can be cut.

use std::fmt;

use outlast_core::{CloseCode, Config};

use crate::model::Wrong;
use crate::raw;

/// What a driver can do. Cases that need more are not run, and reported as not run.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Time is virtual: hours pass in no time, and exactly.
    pub virtual_time: bool,
    /// Items can be released one by one.
    pub manual_release: bool,
    /// Bytes of memory held for a session can be read.
    pub memory: bool,
}

/// What a subject is told to do. `session` is what [`Seen`] named; a client has only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cmd {
    /// Send a one-way message.
    Send {
        /// Where it goes.
        route: u32,
        /// What it says.
        payload: Vec<u8>,
    },
    /// Send a request.
    Request {
        /// Where it goes.
        route: u32,
        /// What it asks.
        payload: Vec<u8>,
    },
    /// Answer a request of the peer's.
    Respond {
        /// Its number.
        id: u16,
        /// How it went.
        status: u8,
        /// The answer.
        payload: Vec<u8>,
    },
    /// Say that nothing more will be sent.
    Finish,
    /// Close the connection; the session stays.
    Close(CloseCode),
    /// End the session.
    End(CloseCode),
    /// Announce leaving: grace and spread in milliseconds.
    Drain(u32, u32),
}

/// What a subject says has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obs {
    /// The session exists.
    Opened,
    /// The session has another connection.
    Resumed,
    /// A whole one-way message came, in however many fragments.
    Message {
        /// Where it is to go.
        route: u32,
        /// What it says.
        payload: Vec<u8>,
    },
    /// A whole request came.
    Request {
        /// Its number.
        id: u16,
        /// Where it is to go.
        route: u32,
        /// What it asks.
        payload: Vec<u8>,
    },
    /// A response came.
    Response {
        /// The request's number.
        id: u16,
        /// How it went.
        status: u8,
        /// The answer.
        payload: Vec<u8>,
    },
    /// The peer took everything sent up to this position.
    Acked(u64),
    /// The peer finished.
    Finished,
    /// The connection is of no more use, for this reason.
    Disconnected(CloseCode),
    /// The session ended well.
    Ended,
    /// The session is lost, and this much of what was sent is known to have arrived.
    Lost(CloseCode, Option<u64>),
    /// Something else that no case asks for.
    Other(&'static str),
}

/// An observation and the session it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The session's number; zero while a client's has none.
    pub session: u64,
    /// What happened.
    pub what: Obs,
}

/// The far end of a subject's transport.
pub trait Stream {
    /// Offers bytes; how many were taken.
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Appends what has come to `out`; false once the subject's end has come.
    fn read(&mut self, out: &mut Vec<u8>) -> bool;
    /// Ends the stream after what was written.
    fn shut(&mut self);
    /// Breaks the stream: what is under way is lost.
    fn cut(&mut self);
}

/// A server or a client under test.
pub trait Subject {
    /// Does something, or says why not.
    ///
    /// # Errors
    ///
    /// Why not, in words; the subject is unchanged.
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String>;
    /// The next thing that happened.
    fn poll(&mut self) -> Option<Seen>;
    /// A server: a new connection to it. A client: the next connection it has dialled.
    fn plug(&mut self) -> Option<Box<dyn Stream>>;
    /// Bytes held for all sessions, where that can be known.
    fn held_bytes(&self) -> usize {
        0
    }
}

/// A runtime under test.
pub trait Driver {
    /// Its name.
    fn name(&self) -> &'static str;
    /// What it can do.
    fn caps(&self) -> Caps;
    /// Starts a server.
    fn server(&mut self, config: Config) -> Box<dyn Subject>;
    /// Starts a client, which dials whenever it has no connection and its session is not over.
    fn client(&mut self, config: Config) -> Box<dyn Subject>;
    /// Lets so many microseconds pass, and all subjects do their work.
    fn wait(&mut self, micros: u64);
}

/// A driver with the helpers that cases are written in.
pub struct Bench<'d> {
    driver: &'d mut dyn Driver,
}

impl fmt::Debug for Bench<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bench({})", self.driver.name())
    }
}

/// Real time that an expectation may take, in microseconds; ten times that where it is virtual.
const PATIENCE: u64 = 5_000_000;
const TICK: u64 = 1_000;

impl<'d> Bench<'d> {
    /// Cases over this driver.
    pub fn new(driver: &'d mut dyn Driver) -> Self {
        Self { driver }
    }

    /// The driver.
    pub fn driver(&mut self) -> &mut dyn Driver {
        self.driver
    }

    /// Waits until `done` gives something.
    ///
    /// # Errors
    ///
    /// If it does not in time.
    pub fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut() -> Option<T>,
    ) -> Result<T, Wrong> {
        let rounds = PATIENCE / TICK * if self.driver.caps().virtual_time { 10 } else { 1 };
        for _ in 0..rounds {
            if let Some(found) = done() {
                return Ok(found);
            }
            self.driver.wait(TICK);
        }
        Err(Wrong(format!("waited in vain for {what}")))
    }

    /// The next observation that is not [`Obs::Other`] or [`Obs::Acked`].
    ///
    /// # Errors
    ///
    /// If there is none in time.
    pub fn next(&mut self, subject: &mut dyn Subject) -> Result<Seen, Wrong> {
        self.until("an observation", || {
            let seen = subject.poll()?;
            (!matches!(seen.what, Obs::Other(_) | Obs::Acked(_))).then_some(seen)
        })
    }

    /// Waits for this observation; its session.
    ///
    /// # Errors
    ///
    /// If something else is observed, or nothing in time.
    pub fn expect(&mut self, subject: &mut dyn Subject, what: &Obs) -> Result<u64, Wrong> {
        let seen = self.next(subject)?;
        if seen.what == *what {
            Ok(seen.session)
        } else {
            Err(Wrong(format!("{what:?} expected, {:?} observed", seen.what)))
        }
    }

    /// That nothing is observed for a while.
    ///
    /// # Errors
    ///
    /// What was.
    pub fn expect_silence(&mut self, subject: &mut dyn Subject) -> Result<(), Wrong> {
        for _ in 0..20 {
            self.driver.wait(TICK);
            while let Some(seen) = subject.poll() {
                if !matches!(seen.what, Obs::Other(_) | Obs::Acked(_)) {
                    return Err(Wrong(format!("nothing expected, {:?} observed", seen.what)));
                }
            }
        }
        Ok(())
    }

    /// The next connection of a subject, for a peer made of bytes.
    ///
    /// # Errors
    ///
    /// If there is none in time.
    pub fn plug(&mut self, subject: &mut dyn Subject) -> Result<Peer, Wrong> {
        let stream = self.until("a connection", || subject.plug())?;
        Ok(Peer { stream, inbox: Vec::new(), open: true })
    }

    /// Writes all of this, as fast as it is taken.
    ///
    /// # Errors
    ///
    /// If the subject does not take it.
    pub fn write(&mut self, peer: &mut Peer, bytes: &[u8]) -> Result<(), Wrong> {
        let mut rest = bytes;
        self.until("room to write", || {
            rest = &rest[peer.stream.write(rest)..];
            rest.is_empty().then_some(())
        })
    }

    /// The next frame from a subject; heartbeats are skipped.
    ///
    /// # Errors
    ///
    /// If there is none in time, or the stream ended.
    pub fn frame(&mut self, peer: &mut Peer) -> Result<raw::Frame, Wrong> {
        self.until("a frame", || {
            peer.pull();
            loop {
                match raw::Frame::take(&mut peer.inbox) {
                    Some(frame) if frame.kind == raw::kind::PONG && frame.body.is_empty() => {}
                    Some(frame) => return Some(Ok(frame)),
                    None if !peer.open => return Some(Err(Wrong("the stream ended".into()))),
                    None => return None,
                }
            }
        })?
    }

    /// Waits for CLOSE; its code, flags and the whole frame.
    ///
    /// # Errors
    ///
    /// If it does not come, or the stream does not end behind it.
    pub fn close(&mut self, peer: &mut Peer) -> Result<(CloseCode, raw::Frame), Wrong> {
        loop {
            let frame = self.frame(peer)?;
            if let Some((code, _)) = frame.close() {
                self.until("the end behind CLOSE", || {
                    peer.pull();
                    (!peer.open).then_some(())
                })?;
                return Ok((CloseCode::new(code), frame));
            }
        }
    }

    /// Waits for CLOSE with this code.
    ///
    /// # Errors
    ///
    /// If another one comes, or none.
    pub fn expect_close(&mut self, peer: &mut Peer, code: CloseCode) -> Result<raw::Frame, Wrong> {
        let (found, frame) = self.close(peer)?;
        if found == code { Ok(frame) } else { Err(Wrong(format!("{found:?}, not {code:?}"))) }
    }
}

/// A peer made of bytes, at one connection.
pub struct Peer {
    stream: Box<dyn Stream>,
    /// What has come and was not taken.
    pub inbox: Vec<u8>,
    /// Whether the subject's end has not come yet.
    pub open: bool,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").field("inbox", &self.inbox).field("open", &self.open).finish()
    }
}

impl Peer {
    /// Takes in what has come.
    pub fn pull(&mut self) {
        loop {
            let before = self.inbox.len();
            self.open &= self.stream.read(&mut self.inbox);
            if !self.open || self.inbox.len() == before {
                break;
            }
        }
    }

    /// The stream itself.
    pub fn stream(&mut self) -> &mut dyn Stream {
        &mut *self.stream
    }
}

/// Carries bytes between the connections of two subjects.
#[derive(Debug)]
pub struct Proxy {
    client: Peer,
    server: Peer,
}

impl Proxy {
    /// Between a client's connection and a server's.
    #[must_use]
    pub const fn new(client: Peer, server: Peer) -> Self {
        Self { client, server }
    }

    /// Carries up to so many bytes of each direction; whether either connection goes on.
    pub fn carry(&mut self, up: usize, down: usize) -> bool {
        let Self { client, server } = self;
        carry(client, server, up);
        carry(server, client, down);
        self.client.open || self.server.open
    }

    /// Breaks both connections; what was not carried is lost.
    pub fn cut(mut self) {
        self.client.stream.cut();
        self.server.stream.cut();
    }
}

fn carry(from: &mut Peer, to: &mut Peer, most: usize) {
    from.pull();
    let count = from.inbox.len().min(most);
    let taken = to.stream.write(&from.inbox[..count]);
    from.inbox.drain(..taken);
    if !from.open && from.inbox.is_empty() {
        to.stream.shut();
    }
}
