//! A chat over async-std, or smol if that feature alone is on: `-- serve` in one terminal,
//! `-- NAME` in others.

use outlast_async_std as outlast;

include!("../../examples/chat.rs");

#[cfg(feature = "async-std")]
use async_std::task::{block_on, spawn};
#[cfg(not(feature = "async-std"))]
use smol::{block_on, spawn};

const ADDRESS: &str = "127.0.0.1:7412";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("say `serve`, or your name")?;
    if name == "serve" {
        let room = Room::default();
        block_on(async {
            let server = outlast::Server::builder().bind(ADDRESS).await?;
            server.serve(move |_| room.member()).await
        })?;
        return Ok(());
    }
    let client = outlast::Client::builder().address(ADDRESS);
    let (handle, runner) = client.connect(screen(|line| println!("{line}")))?;
    // A task of smol ends when it is dropped, so it is held.
    let _runs = spawn(runner);
    block_on(handle.send(NAME, name.as_bytes()))?;
    say(std::io::stdin().lock(), |route, line| {
        // It waits while the server is away.
        let _ = block_on(handle.send(route, line));
    });
    handle.finish();
    println!("{}", block_on(handle.closed()));
    Ok(())
}
