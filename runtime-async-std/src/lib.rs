//! outlast over async-std and smol: sessions that outlast their TCP connections.
//!
//! A [`Client`] keeps one session with a server over as many connections as it takes. A [`Server`]
//! keeps the sessions of its clients, with and without a connection. Both ends of a session can
//! send messages and requests at any time; what is sent while there is no connection goes out with
//! the next one. `outlast-tokio` has the same client and server with the same words: its pages, and
//! the guide of the repository, `docs/guide.md`, hold here.
//!
//! # Both ends in one program
//!
//! With the features as they are, tasks are those of async-std:
//!
#![cfg_attr(feature = "async-std", doc = "```")]
#![cfg_attr(not(feature = "async-std"), doc = "```text")]
//! use outlast_async_std::{Client, Incoming, Peer, Server, SessionInfo, Status};
//! use std::time::Duration;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     async_std::task::block_on(async {
//!         // A server that answers every request with what was asked.
//!         let server = Server::builder().bind("127.0.0.1:0").await?.start(|_: &SessionInfo| {
//!             |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
//!                 Incoming::Request { id, payload, .. } => {
//!                     let answered = peer.respond(id, Status::OK, payload);
//!                     answered.expect("the request is open and the answer is short");
//!                 }
//!                 Incoming::Finished => peer.finish(),
//!                 _ => {}
//!             }
//!         })?;
//!
//!         // A client whose handler has nothing to do.
//!         let (handle, runner) = Client::builder()
//!             .address(server.local_addr().to_string())
//!             .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//!         let client = async_std::task::spawn(runner);
//!
//!         let response = handle.request(1u8, b"ping").await?;
//!         assert_eq!((response.status, &response.payload[..]), (Status::OK, &b"ping"[..]));
//!
//!         // Both finish, everything has arrived, the session ends.
//!         handle.finish();
//!         assert!(client.await.complete);
//!         server.shutdown(Duration::from_secs(1)).await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! # smol
//!
//! **async-std is discontinued** (RUSTSEC-2025-0052): nobody repairs it any more. It is the default
//! here because of the crate's name. Moving to smol is one entry of `Cargo.toml`, after which
//! async-std is no longer among the dependencies and the names at the root are those of smol; the
//! path is that of a checkout, as the crate is not published yet:
//!
//! ```toml
//! [dependencies.outlast-async-std]
//! path = "../outlast/runtime-async-std"
//! default-features = false
//! features = ["smol"]
//! ```
//!
//! Sockets and timers are those of async-io in both cases. With both features the root has the
//! names of async-std, so a library does better with the module it means: `outlast_async_std::smol`
//! or `outlast_async_std::async_std`. A program with an executor of its own gives it to [`AsyncIo`]
//! as an [`Executor`].
//!
//! # Streams other than TCP
//!
//! [`Stream`] makes a transport of whatever implements `AsyncRead` and `AsyncWrite` of futures-io;
//! [`service`] takes transports: `service::Server::spawn_connection`, and `service::Runner` with a
//! `service::Connector`.
//!
//! # What is promised
//!
//! * A message is handed to the handler of the other end once, in the order of sending, over any
//!   number of connections. Or the session is lost, and [`Incoming::Lost`] says what certainly did
//!   not arrive and what may have.
//! * A request gets exactly one [`Response`], or an error that says whether it may have run
//!   ([`RequestError::is_safe_to_repeat`]).
//! * Memory is bounded by [`Config`] and [`Limits`], whatever the other end does.
//!
//! Not promised: that a session outlives its process (unless the feature `snapshots` stores it),
//! and secrecy. Without TLS a token and all data are readable on the way; the crate `outlast-tls`
//! is one line on either builder.
//!
//! # Limits and defaults
//!
//! A message has at most 1 MiB ([`Config::max_message`]). A session without a connection is kept
//! for ten minutes ([`Config::retention_s`]). A client dials again after 0.5 s, growing to 60 s,
//! and never gives up ([`ReconnectPolicy`]). Handles queue up to 256 KiB for each session
//! ([`Outgoing::queue`]). A server takes 65,536 connections, 1,024 of them from one source, and
//! keeps 65,536 sessions ([`Limits`]). Everybody is let in, until the builder is given a token or
//! an [`Authenticator`].
//!
//! # Errors
//!
//! [`SendError::is_retryable`] and [`RequestError::is_retryable`] say whether to try again. A
//! broken connection is none: the client dials, and the handler hears [`Incoming::Disconnected`]
//! and [`Incoming::Resumed`]. What the [`Runner`] ends with, [`Closed`], says why the session is
//! over and whether everything had arrived.
//!
//! # Features
//!
//! | feature | what for | what it adds |
//! |---|---|---|
//! | `async-std` (default) | tasks and name lookup of async-std | `async-std` |
//! | `smol` | those of smol | `smol` |
//! | `formats` | another system's format, without sessions | `outlast-formats` |
//! | `zlib`, `zstd` | compressed payloads of msgtrans | `miniz_oxide`, `ruzstd` |
//! | `router` | handlers by route, with hooks, queues and pools | code alone |
//! | `json`, `postcard` | typed payloads for the router | `serde`, and the crate of that name |
//! | `tower` | layers of tower around asynchronous handlers | `tower-layer`, `tower-service` |
//! | `snapshots` | sessions in encrypted files, for a restart | `chacha20poly1305` |
//! | `tracing` | spans of sessions, events of what is rare | `tracing` |
//!
//! One of the first two has to be there. Rust 1.91 or newer.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

#[cfg(not(any(feature = "async-std", feature = "smol")))]
compile_error!("outlast-async-std needs somebody who runs tasks: feature `async-std` or `smol`");

#[cfg(feature = "async-std")]
pub mod async_std;
mod runtime;
#[cfg(feature = "smol")]
pub mod smol;
mod stream;
mod tcp;

pub use outlast_core as core;
pub use outlast_core::admission::{GateConfig, Rate};
pub use outlast_core::auth::{
    AuthContext, AuthStep, Prover, Reply, Secret, SharedKey, Verdict, Verifier,
};
pub use outlast_core::client::{Attempts, DialerConfig as ReconnectPolicy, OnLost};
pub use outlast_core::registry::RegistryConfig;
pub use outlast_core::wire::{RequestId, Route, Status};
pub use outlast_core::{CloseCode, Config, ConfigError, Head, Position, Release, Session, Stats};
pub use outlast_service as service;
#[cfg(feature = "snapshots")]
pub use outlast_service::FileStore;
pub use outlast_service::inbox;
pub use outlast_service::net::{self, Running, SocketOptions};
#[cfg(feature = "formats")]
pub use outlast_service::plain;
pub use outlast_service::pool;
#[cfg(feature = "router")]
pub use outlast_service::router;
pub use outlast_service::{
    AccessList, Authenticator, Batch, Bytes, Cause, Closed, Credentials, DialError, Handle,
    Handler, Incoming, KeyedClient, Limits, LinkState, MemoryLimits, NetworkError, Outgoing,
    Password, PasswordError, Passwords, Peer, PeerIdentity, Receipt, Refusals, Report,
    RequestError, Responder, Response, Runner, Runtime, SecurityEvent, SecurityKind, SecurityLog,
    SendError, ServerHandle, ServerStats, SessionInfo, SharedKeys, SnapshotStore, Snapshots,
    States, StoredPassword, Timer, Token, Tokens, TrafficLimits, Transport, Undelivered,
    WhenExceeded, WhenFull, Why,
};
pub use outlast_service::{
    Asking, Events, GroupAction, GroupError, GroupLimit, GroupLimits, GroupMember, GroupReport,
    GroupStats, Groups, Lagged, MemberError, MemberId, MemberInfo, ServerEvent, ServerLimit,
    SessionState, WhyRefused,
};
pub use outlast_service::{
    Distribution, ErrorCount, ErrorStage, Level, Process, Rates, Statistics,
};

#[cfg(feature = "async-std")]
pub use self::async_std::{Client, ClientBuilder, Server, ServerBuilder};
#[cfg(all(feature = "smol", not(feature = "async-std")))]
pub use self::smol::{Client, ClientBuilder, Server, ServerBuilder};
pub use runtime::{AsyncIo, Executor, SleepTimer};
pub use stream::Stream;
pub use tcp::Tcp;
