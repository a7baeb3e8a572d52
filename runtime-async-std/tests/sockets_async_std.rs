//! Limits, deadlines and policies over real sockets, on async-std.
#![cfg(feature = "async-std")]

use outlast_async_std::AsyncIo;
use outlast_async_std::async_std::AsyncStd;
use outlast_conformance::net::Ground;

fn ground() -> Ground<AsyncIo<AsyncStd>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::socket_suite! { ground() }
