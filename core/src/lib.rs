//! A resumable, acknowledged, in-order message session as a pure state machine.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod acceptor;
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
pub mod state;
mod snapshot;
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
pub use session::{
    Accepted, Attach, CONTROL_MAX, Death, HANDSHAKE_MAX, Parts, Role, SendError, Session,
};
pub use snapshot::{Restored, SnapshotError};
pub use state::StateError;
pub use stats::Stats;
pub use storage::{Full, Storage};
pub use time::Instant;
