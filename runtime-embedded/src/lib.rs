//! Sessions that outlast connections, on microcontrollers.
//!
//! This crate joins the protocol of [`outlast_core`] to what a microcontroller has: a TCP socket of
//! smoltcp (feature `smoltcp`, on by default). There is no allocation, no
//! `unsafe` and no clock here: memory is [`Resources`], time is an argument of every poll, and the
//! next time that something is due is what it returns.
//!
//! No rule of the protocol is decided here; what a session may do is said by the core.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod memory;
#[cfg(feature = "smoltcp")]
pub mod smoltcp;
mod trace;

pub use memory::{Memory, Resources, SetupError};
pub use outlast_core::wire::{RequestId, Route, Status};
pub use outlast_core::{
    self, Attach, CloseCode, Config, Event, Fate, Head, Instant, Position, Release, SendError, Side,
};

/// A session in borrowed memory. Sessions of all sizes are of this one type.
pub type Session<'m> = outlast_core::Session<&'m mut [u8]>;
