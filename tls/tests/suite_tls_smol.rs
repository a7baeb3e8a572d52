//! Every case of the suite over TLS, smol and real sockets on loopback, in real time.

mod common;

use common::far;
use outlast_async_std::AsyncIo;
use outlast_async_std::smol::Smol;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};
use outlast_tls::Tls;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn driver() -> Loopback<Over<Tls<AsyncIo<Smol>>>> {
    let net = AsyncIo::<Smol>::default();
    far::over(net, |net| Over::new("TLS over smol", net).counting(heap::held))
}

outlast_conformance::suite! { driver() }
