//! tokio, in a thread of its own, as a subject of the suite.

use std::sync::mpsc;

use outlast_conformance::net::{Ground, Over, Task};
use outlast_tokio::Tokio;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// A runtime that ends with what it is given to.
#[allow(dead_code, reason = "each suite takes what it needs")]
pub(crate) fn over_tokio() -> Over<Tokio> {
    let (net, spawn) = tokio();
    Over::with("tokio over sockets", net, spawn)
}

/// As [`over_tokio`], for cases of other kinds.
#[allow(dead_code, reason = "each suite takes what it needs")]
pub(crate) fn ground() -> Ground<Tokio> {
    let (net, spawn) = tokio();
    Ground::with(net, spawn)
}

/// A runtime, and how it is given tasks, with which it ends.
fn tokio() -> (Tokio, impl Fn(Task) + Send + Sync + 'static) {
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
    let spawn = move |task: Task| {
        let _lives = &end;
        drop(runtime.spawn(task));
    };
    (Tokio, spawn)
}
