//! What broke in real systems, over every foreign format, on async-std.
#![cfg(feature = "async-std")]

use outlast_async_std::AsyncIo;
use outlast_async_std::async_std::AsyncStd;
use outlast_conformance::plain::Ground;

fn ground() -> Ground<AsyncIo<AsyncStd>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::plain_suite! { ground() }
