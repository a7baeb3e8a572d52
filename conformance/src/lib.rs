//! One suite that judges every outlast runtime and peer.
//!
//! | module | holds |
//! |---|---|
//! | [`world`] | two ends built from the real core, in virtual time, with one step function |
//! | [`link`] | a byte stream that goes wrong on request, without I/O |
//! | [`model`] | what exactly-once-in-order means, and a judge that knows |
//! | [`explore`] | every order of events within small bounds |
//! | [`sim`] | long histories from one number |
//! | [`mutation`] | rules taken out of the code, to see that it is noticed |
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::alloc_instead_of_core,
    reason = "a test suite runs where there is an operating system"
)]

pub mod explore;
pub mod link;
pub mod model;
pub mod mutation;
pub mod rng;
pub mod sim;
pub mod world;
