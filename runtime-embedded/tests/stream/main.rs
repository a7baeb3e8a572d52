//! The client over `embedded-io-async`: in virtual time over pipes, and over tokio's TCP.
#![cfg(feature = "embedded-io-async")]

mod pipes;
mod sockets;
mod virtual_time;
