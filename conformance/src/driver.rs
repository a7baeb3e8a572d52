//! What a runtime has to implement to be judged, and the means to write a case once for all.
//!
//! A [`Driver`] makes [`Subject`]s: a server or a client under test. A subject takes commands and
//! tells observations, and hands out the far end of its transport: for a server a fresh connection
//! to it, for a client the connection it has dialled. Nothing else is asked of it, so that a
//! subject may be a value in this process, threads behind a socket, or another program.
//!
//! All calls return at once; [`Driver::wait`] lets time pass, virtual or real.
//! [`Bench`](crate::bench::Bench) turns that into "wait until", and joins two subjects through a
//! link that can be cut.

use std::net::SocketAddr;

use outlast_core::registry::RegistryConfig;
use outlast_core::{CloseCode, Config};

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
        /// The request's number; zero where the subject does not tell it.
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
    /// The connection is of no more use, for this reason. Some subjects tell it of every
    /// connection, others only of those that did not simply end.
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
    /// Its own address and that of the subject, if it has any.
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        None
    }
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
    /// Bytes held for all sessions.
    fn held_bytes(&self) -> usize;
}

/// A runtime under test.
pub trait Driver {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Whether its time is virtual: hours pass in no time, and exactly.
    fn time_is_virtual(&self) -> bool;
    /// Starts a server that holds so many sessions.
    fn server_with(&mut self, config: Config, sessions: RegistryConfig) -> Box<dyn Subject>;
    /// Starts a server that holds as many sessions as any case needs.
    fn server(&mut self, config: Config) -> Box<dyn Subject> {
        let many = RegistryConfig { max_unconfirmed: 1_000, ..RegistryConfig::default() };
        self.server_with(config, many)
    }
    /// Starts a client, which dials whenever it has no connection and its session is not over.
    fn client(&mut self, config: Config) -> Box<dyn Subject>;
    /// Microseconds since some moment in the past.
    fn now(&self) -> u64;
    /// Lets so many microseconds pass, and all subjects do their work.
    fn wait(&mut self, micros: u64);
    /// As `wait`, but may return as soon as something has happened, or sooner.
    fn pause(&mut self, micros: u64) {
        self.wait(micros);
    }
    /// Lets so many microseconds pass in which no subject can do anything.
    fn starve(&mut self, micros: u64) {
        self.wait(micros);
    }
    /// Why it cannot run here at all, such as a program that is not installed.
    fn missing(&self) -> Option<String> {
        None
    }
    /// Bytes that a subject may queue for each session beyond the session's own send buffer.
    fn slack(&self) -> usize {
        0
    }
}
