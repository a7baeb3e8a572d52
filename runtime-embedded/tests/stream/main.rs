//! Clients over streams: in virtual time over pipes and over a bad serial line, and over tokio's
//! TCP.
#![cfg(all(feature = "embedded-io-async", feature = "embedded-io"))]

mod pipes;
mod serial;
mod sockets;
mod virtual_time;
