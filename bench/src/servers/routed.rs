//! This project's server over tokio, every message through a router.

use core::cell::Cell;
use core::hint::black_box;
use std::io;

use outlast_tokio::router::{Context, Flow, Hook, Reply, Router};
use outlast_tokio::{Server, Status};

thread_local! {
    static FAILED: Cell<u64> = const { Cell::new(0) };
}

/// Keeps long messages from the handler.
struct Limit(usize);

impl Hook for Limit {
    fn before(&self, cx: &Context<'_>) -> Flow {
        if cx.payload().len() > self.0 {
            return Flow::Answer(Reply::status(Status::INVALID));
        }
        Flow::Go
    }
}

/// Counts what went wrong.
struct Failures;

impl Hook for Failures {
    fn after(&self, _: &Context<'_>, reply: &Reply) {
        if !reply.code().is_ok() {
            FAILED.set(FAILED.get() + 1);
        }
    }
}

/// As [`super::outlast`], for messages that are looked at and dropped.
pub(super) async fn serve() -> io::Result<()> {
    let routes = Router::new().hook(Limit(black_box(1 << 20))).hook(Failures);
    let routes = routes.on(7u8, take).fallback(drop_all).build().map_err(io::Error::other)?;
    let server = Server::builder().config(super::outlast::config());
    let server = server.limits(super::outlast::limits()).bind("127.0.0.1:0").await?;
    let port = server.local_addr()?.port();
    let mut running = server.start(routes.factory())?;
    super::announce(port)?;
    running.finished().await;
    Ok(())
}

fn take(cx: &mut Context<'_>) {
    black_box(cx.payload().first());
}

/// The generator names no other route.
fn drop_all() {
    panic!("a message for another route than the benchmark's");
}
