//! outlast over plain threads: sessions that outlast their TCP connections, by calls that block.
//!
//! The synchronous twin of `outlast-tokio`: the same states, the same errors, the same
//! configuration and the same handlers, since both drive the same code of `outlast-service`. There
//! is no executor among its dependencies.
//!
//! # Both ends in one program
//!
//! ```
//! use outlast_std::{Client, Incoming, Peer, Server, SessionInfo, Status};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A server that answers every request with what was asked.
//!     let server = Server::builder().bind("127.0.0.1:0")?.start(|_: &SessionInfo| {
//!         |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
//!             Incoming::Request { id, payload, .. } => {
//!                 let answered = peer.respond(id, Status::OK, payload);
//!                 answered.expect("the request is open and the answer is short");
//!             }
//!             Incoming::Finished => peer.finish(),
//!             _ => {}
//!         }
//!     })?;
//!
//!     // A client whose handler has nothing to do.
//!     let handle = Client::builder()
//!         .address(server.local_addr().to_string())
//!         .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//!
//!     // A request, and its one answer.
//!     let response = handle.request(1u8, b"ping")?;
//!     assert_eq!((response.status, &response.payload[..]), (Status::OK, &b"ping"[..]));
//!
//!     // A message, and the word that the server's handler has been given it.
//!     handle.send_receipted(2u8, b"one way")?.wait()?;
//!
//!     // Both finish, everything has arrived, the session ends.
//!     handle.finish();
//!     assert!(handle.closed().complete);
//!     server.shutdown(Duration::from_secs(1));
//!     Ok(())
//! }
//! ```
//!
//! # Threads
//!
//! A client has one thread, where it dials, reads, writes and calls the handler. A server has one
//! that accepts and keeps house, and one for each connection; the limit on connections is the limit
//! on threads ([`Limits`]). Stacks have 256 KiB, or what [`Std::stack_size`] says, of which the
//! system keeps what was touched; and each thread that has read anything has a buffer of 64 KiB, of
//! which the same is true. Thousands of connections are what the asynchronous runtimes are for.
//!
//! A thread with nothing to do sleeps in one call of `poll(2)`, over its socket and a descriptor by
//! which other threads wake it, until the next deadline of its session at the latest. An idle
//! connection costs two descriptors on Linux (three on other systems) and wakes up for its
//! heartbeats alone. Dialling is part of that: [`Handle::end`] ends it at once.
//!
//! Looking a name up is what the system cannot be hurried with: a thread of its own waits for it,
//! and is left alone with it when the client gives up. At most 64 of these look-ups are under way
//! in a process; then dialling a name fails until one of them is over. Addresses in numbers are not
//! looked up.
//!
//! A thread that calls [`Handle`] and has to wait is parked. Every wait has a twin with a limit.
//!
//! A handler that panics takes its session along, and nothing else.
//!
//! # Systems
//!
//! Unix. On Windows the crate does not build yet: it wants another bell there.
//!
//! # The parts
//!
//! | | |
//! |---|---|
//! | [`Client::builder`] | address, limits, token, when to dial again; then `connect` |
//! | [`Handle`] | one session from any thread: `send`, `request`, `finish`, `closed` |
//! | [`Server::builder`] | limits, token, socket options; then `bind`, then `serve` or `start` |
//! | [`Running`] | a server that runs: `shutdown`, `finished` |
//! | [`Handler`] | your side of one session: a closure or a type; called with each [`Incoming`] |
//! | [`Peer`] | the session inside the handler: `send`, `respond`, `defer`, without lock or queue |
//! | [`inbox`] | a session for threads that receive, and have no handler |
//! | [`pool`] | several sessions with one server, and whichever is used least |
//! | [`Responder`] | the duty to answer one request later, from another thread |
//! | [`ServerHandle`] | all sessions from any thread: send to one, to some, to all; counters |
//! | [`Groups`], [`Events`] | sending by the name of a group; what happens on a server |
//! | `plain` (feature `formats`) | clients and listeners that speak another system's format |
//! | [`Std`], [`block_on`] | the runtime below, for what else is made with `outlast-service` |
//!
//! What handlers are given ([`Peer::handle`], [`Peer::defer`]) has calls that are futures, and so
//! have the events of a server ([`ServerHandle::events`]); `from` of [`Handle`], [`Responder`] and
//! [`Events`] makes calls that block of them:
//!
//! ```
//! use outlast_std::{Incoming, Peer, Responder, Status};
//!
//! fn on_event(peer: &mut Peer<'_>, event: Incoming<'_>) {
//!     if let Incoming::Request { id, .. } = event {
//!         let responder = Responder::from(peer.defer(id));
//!         std::thread::spawn(move || responder.respond(Status::OK, b"it took a while"));
//!     }
//! }
//! # let _ = on_event;
//! ```
//!
//! # What is promised, and what is not
//!
//! * A message is handed to the handler of the other end once, in the order of sending, over any
//!   number of connections. Or the session is lost, and [`Incoming::Lost`] says what certainly did
//!   not arrive and what may have.
//! * A request gets exactly one [`Response`], or an error that says whether it may have run
//!   ([`RequestError::is_safe_to_repeat`]).
//! * Memory is bounded by [`Config`] and [`Limits`], whatever the other end does.
//! * Not that a session outlives its process (unless the feature `snapshots` stores it), and not
//!   secrecy: without TLS (`outlast-tls`, one line on either builder) all data are readable.
//!
//! # Limits and defaults
//!
//! A message has at most 1 MiB ([`Config::max_message`]), a session without a connection is kept
//! for ten minutes ([`Config::retention_s`]), a client dials again after 0.5 s, growing to 60 s
//! ([`ReconnectPolicy`]), and handles queue up to 256 KiB for each session ([`Outgoing::queue`]).
//! The defaults of [`Limits`] are those of all runtimes, 65,536 connections: set fewer, for each is
//! a thread.
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what for | what it adds |
//! |---|---|---|
//! | `formats` | another system's format, without sessions | `outlast-formats` |
//! | `zlib`, `zstd` | compressed payloads of msgtrans | `miniz_oxide`, `ruzstd` |
//! | `router` | handlers by route, with hooks, queues and pools | code alone |
//! | `json`, `postcard` | typed payloads for the router | `serde`, and the crate of that name |
//! | `tower` | layers of tower around asynchronous handlers | `tower-layer`, `tower-service` |
//! | `snapshots` | sessions in encrypted files, for a restart | `chacha20poly1305` |
//! | `tracing` | spans of sessions, events of what is rare | `tracing` |
//!
//! Rust 1.91 or newer. `docs/guide.md` of the repository explains every setting and every error.

#![cfg(unix)]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod client;
mod events;
mod handle;
pub mod inbox;
mod lookup;
#[cfg(feature = "formats")]
pub mod plain;
pub mod pool;
mod runtime;
mod server;
mod states;
mod thread;
mod wake;

pub use client::{Client, ClientBuilder};
pub use events::Events;
pub use handle::{Handle, Receipt, Responder};
pub use outlast_core as core;
pub use outlast_core::admission::{GateConfig, Rate};
pub use outlast_core::auth::{
    AuthContext, AuthStep, Prover, Reply, Secret, SharedKey, Verdict, Verifier,
};
pub use outlast_core::client::{Attempts, DialerConfig as ReconnectPolicy, OnLost};
pub use outlast_core::registry::RegistryConfig;
pub use outlast_core::wire::{RequestId, Route, Status};
pub use outlast_core::{CloseCode, Config, ConfigError, Head, Position, Release, Session, Stats};
#[cfg(feature = "snapshots")]
pub use outlast_service::FileStore;
pub use outlast_service::net::{self, SocketOptions};
#[cfg(feature = "router")]
pub use outlast_service::router;
pub use outlast_service::{
    AccessList, Authenticator, Batch, Bytes, Cause, Closed, Credentials, DialError,
    Handle as AsyncHandle, Handler, Incoming, KeyedClient, Limits, LinkState, MemoryLimits,
    NetworkError, Outgoing, Password, PasswordError, Passwords, Peer, PeerIdentity, Refusals,
    Report, RequestError, Response, Runner, Runtime, SecurityEvent, SecurityKind, SecurityLog,
    SendError, ServerHandle, ServerStats, SessionInfo, SharedKeys, SnapshotStore, Snapshots,
    States as AsyncStates, StoredPassword, Timer, Token, Tokens, TrafficLimits, Transport,
    Undelivered, WhenExceeded, WhenFull, Why,
};
pub use outlast_service::{
    Asking, Events as AsyncEvents, GroupAction, GroupError, GroupLimit, GroupLimits, GroupMember,
    GroupReport, GroupStats, Groups, Lagged, MemberError, MemberId, MemberInfo, ServerEvent,
    ServerLimit, SessionState, WhyRefused,
};
pub use outlast_service::{
    Distribution, ErrorCount, ErrorStage, Level, Process, Rates, Statistics,
};
pub use runtime::{Listener, Std, Tcp, ThreadTimer};
pub use server::{Running, Server, ServerBuilder};
pub use states::States;
pub use thread::{block_on, block_on_timeout};
