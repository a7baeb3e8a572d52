//! A chat over threads: `-- serve` in one terminal, `-- NAME` in others.

mod outlast {
    // In a handler the handle's calls that never wait are all that is needed.
    pub(crate) use outlast_std::{AsyncHandle as Handle, Handler, Incoming, Peer};
}

include!("../../examples/chat.rs");

const ADDRESS: &str = "127.0.0.1:7412";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("say `serve`, or your name")?;
    if name == "serve" {
        let room = Room::default();
        let server = outlast_std::Server::builder().bind(ADDRESS)?;
        return Ok(server.serve(move |_| room.member())?);
    }
    let client = outlast_std::Client::builder().address(ADDRESS);
    let handle = client.connect(screen(|line| println!("{line}")))?;
    handle.send(NAME, name.as_bytes())?;
    say(std::io::stdin().lock(), |route, line| {
        // It waits while the server is away.
        let _ = handle.send(route, line);
    });
    handle.finish();
    println!("{}", handle.closed());
    Ok(())
}
