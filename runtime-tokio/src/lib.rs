//! outlast over tokio: sessions that outlast their TCP connections.
//!
//! A [`Client`] keeps one session with a server over as many connections as it takes. A [`Server`]
//! keeps the sessions of its clients, with and without a connection. Both ends of a session can
//! send messages and requests at any time; what is sent while there is no connection goes out with
//! the next one.
//!
//! Whoever has no runtime yet begins here. The same client and server are in `outlast-async-std`
//! for smol and async-std, and in `outlast-std` for threads without an executor; the ends of a
//! session may be on different ones. `outlast-embedded` is for microcontrollers, and
//! `outlast-service` for transports other than TCP.
//!
//! # Both ends in one program
//!
//! ```
//! use outlast_tokio::{Client, Incoming, Peer, Server, SessionInfo, Status};
//! use std::time::Duration;
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A server that answers every request with what was asked.
//!     let server = Server::builder().bind("127.0.0.1:0").await?.start(|_: &SessionInfo| {
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
//!     let (handle, runner) = Client::builder()
//!         .address(server.local_addr().to_string())
//!         .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
//!     let client = tokio::spawn(runner);
//!
//!     // A request, and its one answer.
//!     let response = handle.request(1u8, b"ping").await?;
//!     assert_eq!((response.status, &response.payload[..]), (Status::OK, &b"ping"[..]));
//!
//!     // A message, and the word that the server's handler has been given it.
//!     let receipt = handle.send_receipted(2u8, b"one way").await?;
//!     receipt.await?;
//!
//!     // Both finish, everything has arrived, the session ends.
//!     handle.finish();
//!     assert!(client.await?.complete);
//!     server.shutdown(Duration::from_secs(1)).await;
//!     Ok(())
//! }
//! ```
//!
//! # The parts
//!
//! | | |
//! |---|---|
//! | [`Client::builder`] | address, limits, token, when to dial again |
//! | [`Handle`] | one session from any task: `send`, `request`, `finish`, `closed` |
//! | [`Runner`] | the client's task; spawn it or await it, nothing happens before |
//! | [`Server::builder`] | limits, token, socket options; then `bind`, then `serve` or `start` |
//! | [`Handler`] | your side of one session: a closure or a type; called with each [`Incoming`] |
//! | [`Peer`] | the session inside the handler: `send`, `respond`, `defer`, without lock or queue |
//! | [`Responder`] | the duty to answer one request later, from another task |
//! | [`ServerHandle`] | all sessions from any task: send to one, to some, to all; counters |
//! | [`Groups`], [`Events`] | sending by the name of a group; what happens on a server |
//!
//! A handler runs in the task that reads the connection and must not block. What takes time is
//! given to another task together with a [`Handle`] or a [`Responder`].
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
//! Not promised: that a session outlives its process. What was sent and not acknowledged is in
//! memory; a server keeps it over a restart with the feature `snapshots`, and otherwise its clients
//! are told what was lost. Nor is anything encrypted: without TLS a token and all data are readable
//! on the way. The crate `outlast-tls` is one line on either builder.
//!
//! # Limits and defaults
//!
//! | | by default | set with |
//! |---|---|---|
//! | longest message | 1 MiB | [`Config::max_message`] |
//! | a session without a connection is kept for | 10 min | [`Config::retention_s`] |
//! | silence that ends a connection | 45 s (server), 15 s (client) | [`Config::idle_timeout_ms`] |
//! | a client dials again after | 0.5 s, growing to 60 s, for ever | [`ReconnectPolicy`] |
//! | bytes that handles may queue | 256 KiB for each session | [`Outgoing::queue`] |
//! | connections, of one source | 65,536, 1,024 | [`Limits::connections`] |
//! | sessions | 65,536 | [`Limits::sessions`] |
//! | who may connect | everybody | `token`, `authenticator` of the builder |
//!
//! # Errors
//!
//! | you see | it means | what to do |
//! |---|---|---|
//! | [`SendError::Full`] | the queue is full | `send` waits for room; or drop the message |
//! | [`SendError::TooLarge`] | the peer takes no message of that length | make it shorter |
//! | [`RequestError::NotSent`] | it did not run | repeat it |
//! | [`RequestError::OutcomeUnknown`] | it may have run | ask what became of it |
//! | [`Incoming::Disconnected`] | a connection broke | nothing: the client dials again |
//! | [`Incoming::Lost`] | the session is over | send again what did not arrive |
//! | [`Closed`], of the [`Runner`] | the client has stopped | see [`Closed::is_retryable`] |
//!
//! # Tasks and memory
//!
//! A client is one task, its [`Runner`]; a server has one task that accepts and keeps house, and
//! one for each connection. While it publishes to many, a few more write. An idle connection takes
//! about 2 KiB of a server's memory (`docs/performance.md` has the measurement); under load the
//! send buffer and the queues of the table above come on top, and are given back when it is quiet.
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
//! Rust 1.91 or newer. The guide of the repository, `docs/guide.md`, explains every setting and
//! every error; `docs/operations.md` is for those who run a server, `docs/tls.md` about TLS, and
//! `docs/spec.md` has the protocol.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod runtime;

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
pub use runtime::Tokio;

/// A client over tokio's TCP. See [`Client::builder`].
pub type Client = net::Client<Tokio>;
/// Describes a client. See [`Client::builder`].
pub type ClientBuilder = net::ClientBuilder<Tokio>;
/// A server over tokio's TCP, which serves in tasks of the runtime that is current where it is
/// started. See [`Server::builder`].
pub type Server = net::Server<Tokio>;
/// Describes a server. See [`Server::builder`].
pub type ServerBuilder = net::ServerBuilder<Tokio>;

/// A client over tokio's TCP that speaks another system's format.
#[cfg(feature = "formats")]
pub type PlainClient = net::PlainClient<Tokio>;

/// The examples of the README and of the guide are compiled like those of this crate.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    struct Readme;

    #[doc = include_str!("../../docs/guide.md")]
    struct Guide;

    #[cfg(all(feature = "formats", feature = "router"))]
    #[doc = include_str!("../../docs/moving.md")]
    struct Moving;

    #[cfg(all(feature = "formats", feature = "router"))]
    #[doc = include_str!("../../docs/formats.md")]
    struct Formats;
}
