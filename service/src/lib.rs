//! What every outlast runtime shares: handles, queues, and the task that carries a session.
//!
//! The core decides what the bytes mean. This crate puts it into tasks: one owner for each session,
//! handles for everybody else, a client that dials, a server that finds sessions. It knows no
//! socket. A runtime crate adds those and little more; `outlast-tokio` is one of them. Users of
//! such a crate find everything they need re-exported there.
//!
//! # Is it this crate that you want?
//!
//! Mostly not. `outlast-tokio`, `outlast-async-std` (also for smol) and `outlast-std` (threads that
//! block) are this crate with sockets, and `outlast-embedded` is for microcontrollers. It is here
//! for those who bring a [`Runtime`] for another executor, a [`Transport`] that is not TCP, or a
//! library of handlers that runs on all of them. Who wants no tasks at all takes `outlast-core`.
//!
//! # What is where
//!
//! | | |
//! |---|---|
//! | [`Handle`], [`Receipt`], [`Responder`] | a session from any task |
//! | [`LinkState`], [`States`] | what a session's connection is doing, and what it does next |
//! | [`Handler`], [`Incoming`], [`Peer`] | a session from inside the task that owns it |
//! | [`inbox`] | a session for those who receive, and have no handler |
//! | [`Runner`], [`ClientConfig`], [`Connector`] | a client: dials until its session is over |
//! | [`pool`] | several sessions with one server, and whichever is used least |
//! | [`Server`], [`ServerHandle`], [`Limits`] | a server without its listener |
//! | [`Transport`], [`Runtime`], [`Timer`] | what a runtime crate has to provide |
//! | `router` (feature `router`) | handlers by route, with arguments, hooks, queues and pools |
//! | [`SendError`], [`RequestError`], [`Closed`] | what went wrong, and whether to try again |
//!
//! # Who owns what
//!
//! Exactly one task has a session: that of its connection or, between connections, the server's
//! table or the client's runner. The owner reads, calls the handler, and writes. Handles encode
//! their frames into a small queue under a short lock and wake the owner, which takes the whole
//! queue at its next turn. No lock is held across I/O or while code of the application runs.
//!
//! # A handler
//!
//! ```
//! use outlast_service::core::wire::{Route, Status};
//! use outlast_service::{Handler, Incoming, Peer};
//!
//! /// Adds numbers up, and keeps what could not be delivered.
//! #[derive(Default)]
//! struct Adder {
//!     sum: u64,
//!     again: Vec<(Route, Vec<u8>)>,
//! }
//!
//! impl Handler for Adder {
//!     fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
//!         match event {
//!             Incoming::Message { payload, .. } => {
//!                 self.sum += payload.iter().map(|byte| u64::from(*byte)).sum::<u64>();
//!             }
//!             Incoming::Request { id, .. } => {
//!                 // An error here means that nobody waits for the answer any more.
//!                 let _ = peer.respond(id, Status::OK, &self.sum.to_le_bytes());
//!             }
//!             Incoming::Finished => peer.finish(),
//!             Incoming::Lost { undelivered, .. } => {
//!                 let missing = undelivered.missing();
//!                 self.again.extend(missing.map(|(route, payload)| (route, payload.to_vec())));
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! # let _ = Adder::default();
//! ```
//!
//! # A transport
//!
//! A runtime implements [`Transport`] for its sockets, and a layer implements it over another one.
//! This one counts what goes by:
//!
//! ```
//! use outlast_service::Transport;
//! use std::io::{self, IoSlice};
//! use std::task::{Context, Poll};
//!
//! struct Counted<T> {
//!     below: T,
//!     read: usize,
//!     written: usize,
//! }
//!
//! impl<T: Transport> Transport for Counted<T> {
//!     fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
//!         let polled = self.below.poll_read(cx, buf);
//!         if let Poll::Ready(Ok(count)) = &polled {
//!             self.read += count;
//!         }
//!         polled
//!     }
//!
//!     fn poll_write(
//!         &mut self,
//!         cx: &mut Context<'_>,
//!         bufs: &[IoSlice<'_>],
//!     ) -> Poll<io::Result<usize>> {
//!         let polled = self.below.poll_write(cx, bufs);
//!         if let Poll::Ready(Ok(count)) = &polled {
//!             self.written += count;
//!         }
//!         polled
//!     }
//!
//!     fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
//!         self.below.poll_shutdown(cx)
//!     }
//! }
//! ```
//!
//! # Limits and defaults
//!
//! | | by default | set with |
//! |---|---|---|
//! | limits and times of a session | [`Config::SERVER`](outlast_core::Config::SERVER) | `config` |
//! | connections, of one source | 65,536, 1,024 | [`Limits::connections`] |
//! | sessions, without a connection | 65,536, 32,768 | [`Limits::sessions`] |
//! | bytes that handles may queue | 256 KiB for each session | [`Outgoing::queue`] |
//! | a message without room | its sender is told | [`Outgoing::when_full`] |
//! | a transport that takes nothing | cut after 30 s | [`Outgoing::write_timeout`] |
//! | rates, memory of all sessions together | no limit | [`Limits::traffic`], [`Limits::memory`] |
//! | who is let in | everybody | [`ServerConfig::authenticator`] |
//!
//! # Errors
//!
//! [`SendError::is_retryable`] and [`RequestError::is_retryable`] say whether to try again, and
//! [`RequestError::is_safe_to_repeat`] whether the request may have run already. [`Closed`] says
//! why a session ended, whether everything had arrived, and how far the peer came. A handler hears
//! [`Incoming::Lost`] with what certainly did not arrive and what may have.
//!
//! # What is promised, and what is not
//!
//! * Each message is handed to the other end's handler once and in order, or the session is lost
//!   and says so. Each request has one [`Response`] or an error.
//! * A handler is called by one task at a time. It must not block: nothing else of its session
//!   happens meanwhile. One that panics ends its session ([`Why::Dropped`]).
//! * Memory is bounded by what is in the table above, whatever the other end does.
//! * What was sent and not acknowledged is lost with the process, unless [`Snapshots`] keep it.
//! * Nothing here encrypts. A token is readable on the way without TLS (`outlast-tls`).
//!
//! # Features
//!
//! None is on by default.
//!
//! | feature | what for | what it adds |
//! |---|---|---|
//! | `net` | clients and servers over TCP, for runtimes with sockets | `socket2` |
//! | `formats` | another system's format, without sessions | `outlast-formats` |
//! | `zlib`, `zstd` | compressed payloads of msgtrans | `miniz_oxide`, `ruzstd` |
//! | `router` | handlers by route, with hooks, queues and pools | code alone |
//! | `json`, `postcard` | typed payloads for the router | `serde`, and the crate of that name |
//! | `tower` | layers of tower around asynchronous handlers | `tower-layer`, `tower-service` |
//! | `snapshots` | sessions in encrypted files, for a restart | `chacha20poly1305` |
//! | `tracing` | spans of sessions, events of what is rare | `tracing` |
//!
//! Beside them there are always `bytes`, `getrandom` and `outlast-core`. Rust 1.91 or newer.
//!
//! Read on in `docs/guide.md` (every setting and every error), `docs/porting.md` (a runtime of
//! your own, step by step) and `docs/spec.md` (the protocol).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod access;
mod asked;
mod auth;
mod board;
mod client;
mod directory;
mod door;
mod drive;
mod encode;
mod entropy;
mod error;
mod events;
mod figures;
mod greet;
mod ground;
mod groups;
mod handle;
mod handler;
mod home;
pub mod inbox;
mod limits;
mod memory;
mod messages;
#[cfg(feature = "net")]
pub mod net;
mod outgoing;
mod overview;
mod owner;
mod parked;
mod password;
mod pieces;
mod places;
#[cfg(feature = "formats")]
pub mod plain;
pub mod pool;
mod queues;
#[cfg(feature = "router")]
pub mod router;
mod security;
mod server;
mod shared;
mod snapshots;
mod state;
mod statistics;
mod trace;
mod traffic;
mod transport;
mod waiters;

pub use bytes::Bytes;

pub use access::{AccessList, NetworkError};
pub use auth::{Authenticator, Credentials, KeyedClient, Recognized, SharedKeys, Token, Tokens};
pub use client::{ClientConfig, Connector, Dialed, Runner};
pub use error::{Closed, RequestError, SendError, SpeaksTls, Why};
pub use events::{Events, Lagged};
pub use figures::{SessionInfo, SessionState};
pub use groups::{
    Asking, GroupAction, GroupError, GroupLimit, GroupLimits, GroupMember, GroupReport, GroupStats,
    Groups, MemberError, MemberId, MemberInfo,
};
pub use handle::{Handle, Receipt, Responder, Response};
pub use handler::{Cause, DialError, Handler, Incoming, Peer, Undelivered};
pub use home::{ServerEvent, ServerLimit, WhyRefused};
pub use limits::{Limits, ServerConfig};
pub use memory::MemoryLimits;
pub use messages::Messages;
pub use outgoing::{Batch, Outgoing, WhenFull};
pub use outlast_core as core;
pub use overview::{Refusals, Report, ServerHandle, ServerStats};
pub use password::{Password, PasswordError, Passwords, StoredPassword};
pub use security::{SecurityEvent, SecurityKind, SecurityLog};
pub use server::Server;
#[cfg(feature = "snapshots")]
pub use snapshots::FileStore;
pub use snapshots::{RestoreError, SnapshotStore, Snapshots};
pub use state::{LinkState, States, Watcher};
pub use statistics::{Distribution, ErrorCount, ErrorStage, Level, Process, Rates, Statistics};
pub use traffic::{TrafficLimits, WhenExceeded};
pub use transport::{PeerIdentity, Runtime, Timer, Transport};
