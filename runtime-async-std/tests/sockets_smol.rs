//! Limits, deadlines and policies over real sockets, on smol.
#![cfg(feature = "smol")]

use outlast_async_std::AsyncIo;
use outlast_async_std::smol::Smol;
use outlast_conformance::net::Ground;

fn ground() -> Ground<AsyncIo<Smol>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::socket_suite! { ground() }
