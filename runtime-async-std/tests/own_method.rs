//! What an application writes itself, with the names of this crate's root alone.
#![cfg(feature = "async-std")]

use outlast_async_std::AsyncIo;
use outlast_async_std::async_std::AsyncStd;
use outlast_conformance::net::Ground;

fn ground() -> Ground<AsyncIo<AsyncStd>> {
    Ground::new(AsyncIo::default())
}

outlast_conformance::own_method! { outlast_async_std, ground() }
