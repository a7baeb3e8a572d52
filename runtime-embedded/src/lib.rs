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
//! gives the core's public types a format.
//!
//! # Events
//!
//! Whatever is polled takes a closure, which is given each [`Event`] together with the session. The
//! event borrows from the received bytes and not from the session, so that the session can answer
//! while the event is held; nothing is queued, and nothing is copied.
//!
//! # Memory
//!
//! [`Resources`] and `StreamResources` say what is needed and why. The state of a session is a
//! few hundred bytes beside that, in the client itself.
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
