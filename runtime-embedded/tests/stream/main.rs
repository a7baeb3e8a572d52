//! Clients over streams: in virtual time over pipes and over a bad serial line, and over tokio's
//! TCP.
#![cfg(all(feature = "embedded-io-async", feature = "embedded-io"))]
#![expect(
    clippy::std_instead_of_core,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "what is wrong fails the test, and there is a standard library here"
)]

mod faults;
mod hostile;
mod memory;
mod pipes;
mod serial;
mod sockets;
mod virtual_time;
