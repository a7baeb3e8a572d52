//! A chat over threads: `-- NAME` in one terminal after the other. What is typed is said.

use std::time::Duration;

use outlast_std::block_on;

/// What the application finds under this name: the calls that are futures, over threads.
mod outlast {
    pub(crate) use outlast_std::net::Running;
    pub(crate) use outlast_std::{
        AsyncHandle as Handle, Handler, Incoming, Peer, Runner, SessionInfo, Std,
    };

    pub(crate) type Client = outlast_std::net::Client<Std>;
    pub(crate) type Server = outlast_std::net::Server<Std>;
}

include!("../../examples/chat.rs");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (name, address) = caller()?;
    let room = block_on(keep(&address))?;
    let (handle, runner) = enter(room.as_ref(), address)?;
    let client = std::thread::spawn(|| block_on(runner));
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
    drop(client.join());
    Ok(())
}
