//! Every case of the suite over TLS, tokio and real sockets on loopback, in real time.

mod common;

use std::sync::mpsc;

use common::far;
use outlast_conformance::heap;
use outlast_conformance::net::{Loopback, Over};
use outlast_tls::Tls;
use outlast_tokio::Tokio;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// A runtime that ends with what it is given to.
fn over_tokio(net: Tls<Tokio>) -> Over<Tls<Tokio>> {
    let (end, ended) = oneshot::channel::<()>();
    let (tell, told) = mpsc::sync_channel(1);
    drop(std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a tokio runtime");
        tell.send(runtime.handle().clone()).expect("somebody who started it");
        // It ends with an error when the other half is dropped, which is its end.
        let _ = runtime.block_on(ended);
    }));
    let runtime = told.recv().expect("the runtime's thread");
    let over = Over::with("TLS over tokio", net, move |task| {
        let _lives = &end;
        drop(runtime.spawn(task));
    });
    over.counting(heap::held)
}

fn driver() -> Loopback<Over<Tls<Tokio>>> {
    far::over(Tokio, over_tokio)
}

outlast_conformance::suite! { driver() }
