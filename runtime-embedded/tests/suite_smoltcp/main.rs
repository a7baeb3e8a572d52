//! Every case over smoltcp, client and server, in virtual time: two interfaces joined by packets.
#![cfg(feature = "smoltcp")]
#![expect(
    clippy::std_instead_of_core,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    reason = "what is wrong fails the test, and there is a standard library here"
)]

mod driver;
mod hosts;
mod subjects;

outlast_conformance::suite! { driver::OverSmoltcp::default() }
