//! Every case of the suite over smol and real sockets on loopback, in real time.
#![cfg(feature = "smol")]

use outlast_async_std::AsyncIo;
use outlast_async_std::smol::Smol;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

// The executor takes tasks from any thread, and runs those of all cases.
fn over_smol() -> Over<AsyncIo<Smol>> {
    Over::new("smol over sockets", AsyncIo::default()).counting(heap::held)
}

outlast_conformance::suite! { Loopback::new(over_smol()) }
