//! Sessions that outlast connections, on microcontrollers.
//!
//! This crate joins the protocol of [`outlast_core`] to what a microcontroller has. There is no
//! allocation, no `unsafe` and no clock here: memory is lent by the application, time is an
//! argument, and when something is due next is what comes back. No rule of the protocol is decided
//! here; the core says what a session may do, and what a client does when.
//!
//! | module | feature | for |
//! |---|---|---|
//! | `smoltcp` | `smoltcp` (default) | a TCP socket that the application polls: client, server |
//! | `stream` | `embedded-io-async` | any reliable stream of an executor: client |
//! | `serial` | `embedded-io` | a line that may lose or change bytes: client |
//!
//! The features `defmt` and `log` are for log lines; the first goes before the second, and also
//! gives a format to the core's events, states, codes, errors, counts and settings.
//!
//! # Events
//!
//! Whatever is polled takes a closure, which is given each [`Event`] together with the session. The
//! event borrows from the received bytes and not from the session, so that the session can answer
//! while the event is held; nothing is queued, and nothing is copied.
//!
//! # Memory
//!
//! [`Resources`], `StreamResources` and `SerialResources` say what is needed and why. The state of
//! a session is a few hundred bytes beside that, in the client itself.
//!
//! # Long messages
//!
//! A message longer than a frame comes as [`Event::Fragment`]s, and is sent by
//! [`begin`](Session::begin) and [`push_fragment`](Session::push_fragment): where it is put
//! together, if it has to be, is for the application to say.
//!
//! # Authentication
//!
//! A bearer token goes into [`Attach::auth`]. Exchanges of several steps are not supported here
//! yet, nor does a server here ask for any.
//!
//! # Is it this crate that you want?
//!
//! For anything with an operating system there are `outlast-tokio`, `outlast-async-std` and
//! `outlast-std`, which understand this one: a board is a client like any other. With a transport
//! that is none of the three above, drive `outlast-core` yourself; the modules here are examples
//! of how.
//!
//! # A session in memory that was lent
//!
//! What every transport here is made of. On a board the memory is mostly a `static`, and the code
//! below the two sizes is compiled once, whatever they are:
//!
//! ```
//! use outlast_embedded::{Attach, Config, Instant, Memory, Resources, Route, SendError, Session};
//!
//! // 512 bytes of what was sent and not acknowledged, and a place for a frame of 256.
//! let mut resources = Resources::<512, 256>::new();
//! let memory: Memory<'_> = (&mut resources).into();
//! assert_eq!(memory.sizes(), (512, 256));
//!
//! // What the transports do: a session in borrowed bytes, which never grow.
//! let mut ring = [0; 512];
//! let config = Config { retention_s: 60, ..Config::CONSTRAINED };
//! let mut session: Session<'_> = Session::client(config, &mut ring)?;
//!
//! // Nothing is sent before the server has said what it accepts, and the error says so.
//! let early = session.send(Route::from(1u8), b"23.5");
//! assert!(matches!(early, Err(SendError::State(_))));
//!
//! // The greeting that goes out first, over whatever there is.
//! let attach = Attach { seed: 0x5EED, ..Attach::default() };
//! let mut hello = [0; outlast_embedded::outlast_core::HANDSHAKE_MAX];
//! let len = session.attach(Instant::from_micros(1), &attach, &mut hello)?;
//! assert_eq!(&hello[4..8], b"OUTL");
//! assert!(len <= hello.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The README of the crate has a whole client over smoltcp. In `examples`, `embedded_echo` and
//! `embedded_chat` run on a computer, and `embedded_line` is both ends of a serial line.
//!
//! # Limits and defaults
//!
//! [`Config::CONSTRAINED`]: frames of 252 bytes, messages of 1 KiB, 512 bytes of what was sent and
//! not acknowledged and as much of what may come, 8 open requests in each direction, a connection
//! given up after 30 s of silence, a session kept for ten minutes. What does not fit the memory is
//! a [`SetupError`] when the client is made, with the number of bytes that it takes, and never an
//! error later. A ring larger than [`Config::send_buffer`] is used whole. The rings of a socket of
//! smoltcp are the application's, see there. What a session, a client and a call of each take in
//! flash, state and stack is measured in `docs/embedded.md`.
//!
//! # Errors
//!
//! | error | it means | what to do |
//! |---|---|---|
//! | [`SetupError`] | a size or a value does not do | mend the program |
//! | [`SendError::Full`] | the ring is full of what the peer has not taken | wait for it, or drop |
//! | [`SendError::State`] | the session does not allow it now | wait for [`Event::Opened`] |
//! | `LineError` | a serial line failed | poll again when it says |
//! | a client that has stopped | it was finished, or refused for good | see why: `stopped` |
//!
//! A connection that breaks is no error: the client dials again, later each time, and what was not
//! acknowledged is sent again.
//!
//! # What is promised, and what is not
//!
//! * Each message once and in order, over any number of connections, or the session says that it
//!   is over and what arrived. Bytes from outside never panic, and take no memory but what was
//!   lent.
//! * A session is gone with a reset of the board. The next one is new, and the server's side of the
//!   old one is kept until its time is over.
//! * Nothing is encrypted. `stream` runs over a TLS stream as over any other.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `smoltcp` (default) | `smoltcp` 0.14, with TCP over IPv4 |
//! | `embedded-io-async` | the traits of `embedded-io-async` 0.7 |
//! | `embedded-io` | the traits of `embedded-io` 0.7, a CRC for each packet of the line |
//! | `defmt`, `log` | log lines, and the crate of that name |
//! | `upkeep` (default) | `drain` and `rotate_key` of a session; without it, 1.3 KB of flash less |
//!
//! Rust 1.91 or newer. `docs/embedded.md` of the repository has measurements and boards,
//! `docs/spec.md` the protocol.
#![no_std]
#![forbid(unsafe_code)]
// Without a transport there is nobody who uses what they share.
#![cfg_attr(
    not(any(feature = "smoltcp", feature = "embedded-io-async", feature = "embedded-io")),
    allow(dead_code)
)]

#[cfg(test)]
extern crate std;

mod keeper;
mod memory;
#[cfg(any(feature = "embedded-io-async", feature = "embedded-io"))]
mod port;
#[cfg(feature = "embedded-io")]
pub mod serial;
#[cfg(feature = "smoltcp")]
pub mod smoltcp;
#[cfg(feature = "embedded-io-async")]
pub mod stream;
#[cfg(any(feature = "embedded-io-async", feature = "embedded-io"))]
mod stream_memory;
mod trace;

pub use memory::{Memory, Resources, SetupError};
pub use outlast_core::client;
pub use outlast_core::wire::{RequestId, Route, Status};
pub use outlast_core::{
    self, Attach, CloseCode, Config, Event, Fate, Head, Instant, Position, Release, SendError, Side,
};
#[cfg(any(feature = "embedded-io-async", feature = "embedded-io"))]
pub use port::StreamConfig;
#[cfg(any(feature = "embedded-io-async", feature = "embedded-io"))]
pub use stream_memory::{StreamMemory, StreamResources};

/// A session in borrowed memory. Sessions of all sizes are of this one type.
pub type Session<'m> = outlast_core::Session<&'m mut [u8]>;

/// The example of the README is compiled like those of this crate.
#[cfg(all(doctest, feature = "smoltcp"))]
mod documents {
    #[doc = include_str!("../README.md")]
    struct Readme;
}
