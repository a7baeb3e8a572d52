//! Every case of the suite over threads and real sockets on loopback, in real time.

use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};
use outlast_std::Std;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

outlast_conformance::suite! {
    Loopback::new(Over::new("std over sockets", Std::new()).counting(heap::held))
}
