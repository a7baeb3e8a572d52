//! A shared list over async-std, or smol if that feature alone is on: `-- serve` in one terminal,
//! `-- NAME THING...` in others.

use outlast_async_std as outlast;

include!("../../examples/routed.rs");

#[cfg(feature = "async-std")]
use async_std::task::{block_on, spawn};
#[cfg(not(feature = "async-std"))]
use smol::{block_on, spawn};

const ADDRESS: &str = "127.0.0.1:7413";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (name, things) = words.split_first().ok_or("say `serve`, or your name and things")?;
    if name == "serve" {
        let routes = routes()?;
        block_on(async {
            let server = outlast::Server::builder().bind(ADDRESS).await?;
            server.serve(routes.factory()).await
        })?;
        return Ok(());
    }
    let client = outlast::Client::builder().address(ADDRESS);
    let deaf = |_: &mut outlast::Peer<'_>, _: outlast::Incoming<'_>| {};
    let (handle, runner) = client.connect(deaf)?;
    // A task of smol ends when it is dropped, so it is held.
    let _runs = spawn(runner);
    block_on(tell(&handle, name, things))?;
    handle.finish();
    println!("{}", block_on(handle.closed()));
    Ok(())
}
