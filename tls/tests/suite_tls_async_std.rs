//! Every case of the suite over TLS, async-std and real sockets on loopback, in real time.

mod common;

use common::far;
use outlast_async_std::AsyncIo;
use outlast_async_std::async_std::AsyncStd;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};
use outlast_tls::Tls;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

fn driver() -> Loopback<Over<Tls<AsyncIo<AsyncStd>>>> {
    let net = AsyncIo::<AsyncStd>::default();
    far::over(net, |net| Over::new("TLS over async-std", net).counting(heap::held))
}

outlast_conformance::suite! { driver() }
