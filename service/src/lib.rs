//! What every outlast runtime shares: handles, queues, and the task that carries a session.
//!
//! A runtime crate adds sockets, timers and spawning; see [`Transport`] and [`Runtime`].

#![forbid(unsafe_code)]

mod asked;
mod client;
mod drive;
mod encode;
mod error;
mod greet;
mod handle;
mod handler;
mod overview;
mod owner;
mod server;
mod shared;
mod transport;

pub use client::{ClientConfig, Connector, Dialed, Runner};
pub use error::{Closed, RequestError, SendError};
pub use handle::{Handle, Receipt, Responder, Response};
pub use handler::{Handler, Incoming, Peer, Undelivered};
pub use outlast_core as core;
pub use overview::{Report, ServerHandle, ServerStats, SessionInfo};
pub use server::{Limits, Server};
pub use transport::{Runtime, Timer, Transport};
