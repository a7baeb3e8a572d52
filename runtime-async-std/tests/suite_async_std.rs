//! Every case of the suite over async-std and real sockets on loopback, in real time.
#![cfg(feature = "async-std")]

use outlast_async_std::AsyncIo;
use outlast_async_std::async_std::AsyncStd;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

// The executor takes tasks from any thread, and runs those of all cases.
fn over_async_std() -> Over<AsyncIo<AsyncStd>> {
    Over::new("async-std over sockets", AsyncIo::default()).counting(heap::held)
}

outlast_conformance::suite! { Loopback::new(over_async_std()) }
