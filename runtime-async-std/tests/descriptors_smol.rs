//! A server that runs out of file descriptors, on smol.
#![cfg(all(unix, feature = "smol"))]

use outlast_async_std::AsyncIo;
use outlast_async_std::smol::Smol;
use outlast_conformance::net::Ground;

fn ground() -> Ground<AsyncIo<Smol>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::descriptors! { ground() }
