//! A session that outlasts its connections, as a pure state machine.
//!
//! A connection breaks; a session does not. A [`Session`] delivers every message exactly once and
//! in order over any number of connections, or ends and says what did not arrive. This crate is
//! the whole protocol and nothing else: no sockets, no clock, no threads, no allocation (unless the
//! feature `alloc` gives it `Vec<u8>` as storage), no `unsafe`. Time, entropy and memory are
//! arguments. What drives it for real sockets is in the runtime crates.
//!
//! # Is it this crate that you want?
//!
//! | you have | take |
//! |---|---|
//! | a program with tokio | `outlast-tokio` |
//! | one with smol or async-std | `outlast-async-std` |
//! | one with threads and no executor | `outlast-std` |
//! | a microcontroller | `outlast-embedded` |
//! | a transport or an executor of your own, with `std` | `outlast-service` |
//! | none of these, another language to bind, or a protocol to test | this crate |
//!
//! All of them run on this one, so every end understands every other.
//!
//! # The verbs
//!
//! * `handle_*`: something happened. [Bytes came](Session::handle_input), [time
//!   passed](Session::handle_timeout), [bytes went out](Session::handle_transmitted).
//! * `poll_*`: what is to be done. [Bytes to write](Session::poll_transmit), [when to wake
//!   up](Session::poll_timeout).
//! * [`attach`](Session::attach), [`accept`](Session::accept), [`fence`](Session::fence),
//!   [`detach`](Session::detach): a connection begins or ceases to carry the session.
//! * [`send`](Session::send), [`request`](Session::request), [`respond`](Session::respond),
//!   [`begin`](Session::begin): what the application wants to say.
//! * [`release`](Session::release): what the application has taken.
//! * [`finish`](Session::finish), [`close`](Session::close), [`end`](Session::end),
//!   [`drain`](Session::drain): the ways to stop.
//! * Nouns are getters.
//!
//! They may be called in any order and as often as one likes. One that the state does not admit
//! returns an error that names the state and changes nothing. A forgotten call delays and never
//! corrupts: while something waits, `poll_timeout` names a time that has come already.
//!
//! # Two sessions in memory
//!
//! Bytes go by `Vec` from one end to the other; a driver would put a socket between them. The
//! connection breaks in the middle, and the message that was lost with it arrives over the next.
//!
//! ```
//! use outlast_core::wire::{Grant, Route};
//! use outlast_core::{Acceptor, Attach, Config, Event, Greeting, HANDSHAKE_MAX, Instant, Session};
//!
//! type End = Session<[u8; 4096]>;
//! let config = Config { send_buffer: 4096, max_body: 1024, ..Config::SERVER };
//! let now = Instant::from_micros(1);
//!
//! // Writes what one end has to say.
//! fn talk(end: &mut End, now: Instant) -> Vec<u8> {
//!     let mut out = [0; 1024];
//!     let len = end.poll_transmit(now, &mut out);
//!     out[..len].to_vec()
//! }
//! // Lets one end hear it, and returns the messages.
//! fn hear(end: &mut End, now: Instant, mut input: &[u8]) -> Vec<String> {
//!     let mut messages = Vec::new();
//!     while let Some(event) = end.handle_input(now, &mut input).expect("rules are kept") {
//!         if let Event::Message { payload, .. } = event {
//!             messages.push(String::from_utf8_lossy(payload).into_owned());
//!         }
//!     }
//!     messages
//! }
//!
//! // The client says HELLO over its first connection.
//! let mut client = End::client(config, [0; 4096])?;
//! let mut hello = [0; HANDSHAKE_MAX];
//! let len = client.attach(now, &Attach { seed: 1, ..Attach::default() }, &mut hello)?;
//!
//! // The server reads it, makes a session and answers WELCOME.
//! let mut acceptor = Acceptor::new(now, &config);
//! let Ok(Some(Greeting::Hello(greeting))) = acceptor.handle_input(now, &mut &hello[..len]) else {
//!     panic!("this was a HELLO");
//! };
//! let grant = Grant { sid: 7, epoch: 1, key_id: 1, key: [3; 16] };
//! let mut welcome = [0; HANDSHAKE_MAX];
//! let accepted = End::server(now, config, &greeting, grant, 2, [0; 4096], &mut welcome)?;
//! let mut server = accepted.session;
//! hear(&mut client, now, &welcome[..accepted.written]);
//!
//! // A message arrives; a second one leaves, and the connection breaks under it.
//! client.send(Route::from(1u8), b"one")?;
//! let bytes = talk(&mut client, now);
//! assert_eq!(hear(&mut server, now, &bytes), ["one"]);
//! client.send(Route::from(1u8), b"two")?;
//! let _lost = talk(&mut client, now);
//! client.detach(now);
//! server.detach(now);
//!
//! // The next connection: HELLO claims the session, WELCOME says how far the server had come.
//! let len = client.attach(now, &Attach { seed: 3, ..Attach::default() }, &mut hello)?;
//! let mut acceptor = Acceptor::new(now, &config);
//! let Ok(Some(Greeting::Hello(greeting))) = acceptor.handle_input(now, &mut &hello[..len]) else {
//!     panic!("this was a HELLO");
//! };
//! let len = server.accept(now, &greeting, 4, &mut welcome)?;
//! hear(&mut client, now, &welcome[..len]);
//! let bytes = talk(&mut client, now);
//! assert_eq!(hear(&mut server, now, &bytes), ["two"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where what is
//!
//! | | |
//! |---|---|
//! | [`Session`], [`Event`], [`Config`], [`Stats`] | one end of a session |
//! | [`Acceptor`] | a server's connection before its session is known |
//! | [`registry`] | which sessions a server has, and who may take one over |
//! | [`admission`] | who may connect |
//! | [`client`], [`backoff`] | when a client dials |
//! | [`auth`] | bearer token, shared key, the proof of a resume |
//! | [`state`] | the state machines as tables |
//! | [`wire`] | frames as bytes |
//! | [`CloseCode`] | every reason to end, with cause, cure and what to do next |
//!
//! The rules that this implements are numbered sentences in `docs/spec.md` of the repository; code
//! that carries one says so (`//= FRM-3`).
//!
//! # Memory
//!
//! A session keeps what it must be able to repeat: the frames that the peer has not acknowledged,
//! in the [`Storage`] it was given. `[u8; N]` and `&mut [u8]` never grow; `Vec<u8>` (feature
//! `alloc`) grows up to [`Config::send_buffer`] and shrinks when the session is quiet. What is
//! received is lent to the application from the caller's own buffer and never copied.
//!
//! # Limits and defaults
//!
//! Each end declares its own limits in a [`Config`] and the two need not be alike. Three are made
//! already; [`Config::validate`] checks what you change, and its error names the item, its value
//! and its range.
//!
//! | [`Config::`](Config) | `SERVER` | `CLIENT` | `CONSTRAINED` |
//! |---|---|---|---|
//! | body of a frame | 16,383 B | 16,383 B | 252 B |
//! | message, put together | 1 MiB | 1 MiB | 1 KiB |
//! | window for what comes | 1 to 4 MiB | 1 to 4 MiB | 512 B |
//! | what is sent and not acknowledged | 1 MiB | 4 MiB | 512 B |
//! | open requests, the peer's and own | 256, 64 | 64, 256 | 8, 8 |
//! | silence before the connection is given up | 45 s | 15 s | 30 s |
//! | a session without a connection is kept for | 10 min | 10 min | 10 min |
//! | time for a handshake | 5 s | 5 s | 10 s |
//!
//! Nothing that a peer says makes an end hold more than that: credit is granted before it is used,
//! and a length is judged from the four bytes of a header, before the body is there.
//!
//! # What is promised, and what is not
//!
//! * Each message once and in order, over any number of connections. Or the session ends, and
//!   [`Session::fate`] says of each position whether it arrived. An acknowledgement means that the
//!   peer's application took the message ([`Release`]), not merely that its machine received it.
//! * Bytes of a peer never panic and never loop: they are events or a [`Violation`], which ends
//!   the connection with the [`CloseCode`] that the rule says.
//! * A session lives in the memory of a process. [`Session::snapshot`] takes it elsewhere; without
//!   that it is gone with the process, and the peer is told that it is lost.
//! * Nothing is encrypted. [`auth`] proves who somebody is, not that nobody listens: put TLS below.
//!
//! # Errors
//!
//! [`SendError`] and [`StateError`] leave the session as it was: wait for room, or for the state
//! that the error names. A [`Violation`] is about the connection: write what `poll_transmit` still
//! has, close it, and let the session go on over another one unless the code says that it cannot
//! ([`CloseCode::scope`]). [`Death`] is the end of the session itself.
//!
//! # Features
//!
//! | feature | what for | what it costs |
//! |---|---|---|
//! | `alloc` | `Vec<u8>` as [`Storage`], which grows and shrinks | the crate `alloc` |
//! | `defmt` | `defmt::Format` for what is told or set, not for keys, frames, sessions | `defmt` |
//! | `upkeep` | [`Session::drain`], [`Session::drain_to`], `Session::rotate_key` | 1.3 KB flash |
//!
//! `upkeep` is on by default. Without it a session goes along with a peer that leaves or replaces
//! keys, and says neither itself: what a client on a microcontroller needs. The one dependency that
//! there always is, is `sha2`, for the proof of a resume. Rust 1.88 or newer; other crates of the
//! project need 1.91.
//!
//! Read on in `docs/spec.md` (the protocol), `docs/embedded.md` (what it takes on a
//! microcontroller) and `docs/guide.md` (the crates above).
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod acceptor;
pub mod admission;
pub mod auth;
pub mod backoff;
mod budget;
pub mod client;
mod code;
mod config;
mod error;
mod event;
mod heartbeat;
mod link;
pub mod registry;
mod ring;
mod session;
mod snapshot;
pub mod state;
mod stats;
mod storage;
mod threads;
mod time;
mod window;
pub mod wire;

pub use acceptor::{Acceptor, Greeting};
pub use code::{CloseCode, Retry, Scope};
pub use config::{Config, ConfigError, Release};
pub use error::Violation;
pub use event::{Event, Head, Position, Side};
pub use session::{Accepted, Attach, CONTROL_MAX, Death, Fate, Parts, Role, SendError, Session};
pub use snapshot::{Restored, SnapshotError};
pub use state::StateError;
pub use stats::Stats;
pub use storage::{Full, Storage};
pub use time::Instant;
pub use wire::HANDSHAKE_MAX;
