//! What broke in real systems, over every foreign format, on smol.
#![cfg(feature = "smol")]

use outlast_async_std::AsyncIo;
use outlast_async_std::smol::Smol;
use outlast_conformance::plain::Ground;

fn ground() -> Ground<AsyncIo<Smol>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::plain_suite! { ground() }
