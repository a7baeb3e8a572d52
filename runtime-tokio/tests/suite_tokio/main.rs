//! Every case of the suite over tokio and real sockets on loopback, in real time.

mod subject;

use outlast_conformance::heap;
use outlast_conformance::net::Loopback;
use subject::over_tokio;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

outlast_conformance::suite! { Loopback::new(over_tokio().counting(heap::held)) }
