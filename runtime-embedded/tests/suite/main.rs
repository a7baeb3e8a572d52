//! Every case over smoltcp, client and server, in virtual time: two interfaces joined by packets.
#![cfg(feature = "smoltcp")]

mod driver;
mod hosts;
mod subjects;

outlast_conformance::suite! { driver::OverSmoltcp::default() }
