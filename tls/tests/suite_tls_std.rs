//! Every case of the suite over TLS, threads and real sockets on loopback, in real time.

mod common;

use common::far;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};
use outlast_std::Std;
use outlast_tls::Tls;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn driver() -> Loopback<Over<Tls<Std>>> {
    far::over(Std::new(), |net| Over::new("TLS over std", net).counting(heap::held))
}

outlast_conformance::suite! { driver() }
