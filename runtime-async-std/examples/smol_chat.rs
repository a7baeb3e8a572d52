//! A chat over smol: `-- NAME` in one terminal after the other. What is typed is said.

use std::time::Duration;

use smol::block_on;

mod outlast {
    pub(crate) use outlast_async_std::smol::{Client, Server};
    pub(crate) use outlast_async_std::*;
}

include!("../../examples/chat.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (name, address) = caller()?;
    let room = block_on(keep(&address))?;
    let (handle, runner) = enter(room.as_ref(), address)?;
    // A task of smol ends when it is dropped.
    smol::spawn(runner).detach();
    block_on(handle.send(NAME, name.as_bytes()))?;
    say(std::io::stdin().lock(), |route, line| {
        // It waits while the room is out of reach.
        let _ = block_on(handle.send(route, line));
    });
    handle.finish();
    println!("({})", block_on(handle.closed()));
    if let Some(room) = room {
        block_on(room.shutdown(Duration::from_secs(1)));
    }
    Ok(())
}
