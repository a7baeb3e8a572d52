//! This project's server over tokio, every message through a router.

use core::cell::Cell;
use core::hint::black_box;
use std::io;

use outlast_tokio::Server;
use outlast_tokio::router::{Context, Flow, Hook, Reply, Router};

thread_local! {
    /// What the hooks have seen.
    static SEEN: Cell<[u64; 2]> = const { Cell::new([0; 2]) };
}

/// A hook that has as little to do as there can be, before and after.
struct Count;

impl Hook for Count {
    fn before(&self, cx: &Context<'_>) -> Flow {
        black_box(cx.payload().len());
        Flow::Go
    }

    fn after(&self, _: &Context<'_>, reply: &Reply) {
        let [messages, failures] = SEEN.get();
        SEEN.set([messages + 1, failures + u64::from(!reply.code().is_ok())]);
    }
}

/// As [`super::outlast`], for messages that are looked at and dropped.
pub(super) async fn serve() -> io::Result<()> {
    let routes = Router::new().hook(Count).hook(Count).on(7u8, take).fallback(drop_all);
    let routes = routes.build().map_err(io::Error::other)?;
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
