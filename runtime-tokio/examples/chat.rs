//! A chat over tokio: `-- serve` in one terminal, `-- NAME` in others.

use outlast_tokio as outlast;

include!("../../examples/chat.rs");

const ADDRESS: &str = "127.0.0.1:7412";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("say `serve`, or your name")?;
    if name == "serve" {
        let room = Room::default();
        let server = outlast::Server::builder().bind(ADDRESS).await?;
        return Ok(server.serve(move |_| room.member()).await?);
    }
    let client = outlast::Client::builder().address(ADDRESS);
    let (handle, runner) = client.connect(screen(|line| println!("{line}")))?;
    tokio::spawn(runner);
    handle.send(NAME, name.as_bytes()).await?;
    let (speaker, runtime) = (handle.clone(), tokio::runtime::Handle::current());
    let typed = move || {
        say(std::io::stdin().lock(), |route, line| {
            // It waits while the server is away.
            let _ = runtime.block_on(speaker.send(route, line));
        });
    };
    tokio::task::spawn_blocking(typed).await?;
    handle.finish();
    println!("{}", handle.closed().await);
    Ok(())
}
