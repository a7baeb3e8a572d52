//! A client and a server over smoltcp, in virtual time, between hosts in memory.
#![cfg(feature = "smoltcp")]
#![expect(
    clippy::std_instead_of_core,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    reason = "what is wrong fails the test, and there is a standard library here"
)]

#[path = "../suite_smoltcp/hosts.rs"]
mod hosts;

mod hostile;
mod listening;
mod memory;
mod peer;
