//! A server that runs out of file descriptors, on async-std.
#![cfg(all(unix, feature = "async-std"))]

use outlast_async_std::AsyncIo;
use outlast_async_std::async_std::AsyncStd;
use outlast_conformance::net::Ground;

fn ground() -> Ground<AsyncIo<AsyncStd>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::descriptors! { ground() }
