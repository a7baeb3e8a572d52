//! outlast over tokio: sockets, timers and spawning. Everything else is in [`outlast_service`].

#![forbid(unsafe_code)]

mod client;
mod runtime;
mod server;
mod socket;

pub use client::{Client, ClientBuilder};
pub use outlast_core as core;
pub use outlast_core::client::{Attempts, DialerConfig as ReconnectPolicy, OnLost};
pub use outlast_core::wire::{Route, Status};
pub use outlast_core::{CloseCode, Config, Position, Release};
pub use outlast_service::{
    Closed, Handle, Handler, Incoming, Limits, Peer, Receipt, Report, RequestError, Responder,
    Response, Runner, SendError, ServerHandle, ServerStats, SessionInfo, Undelivered,
};
pub use runtime::Tokio;
pub use server::{Running, Server, ServerBuilder};
pub use socket::SocketOptions;
