//! A shared list over tokio: `-- serve` in one terminal, `-- NAME THING...` in others.

use outlast_tokio as outlast;

include!("../../examples/routed.rs");

const ADDRESS: &str = "127.0.0.1:7413";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (name, things) = words.split_first().ok_or("say `serve`, or your name and things")?;
    if name == "serve" {
        let server = outlast::Server::builder().bind(ADDRESS).await?;
        return Ok(server.serve(routes()?.factory()).await?);
    }
    let client = outlast::Client::builder().address(ADDRESS);
    let deaf = |_: &mut outlast::Peer<'_>, _: outlast::Incoming<'_>| {};
    let (handle, runner) = client.connect(deaf)?;
    tokio::spawn(runner);
    tell(&handle, name, things).await?;
    handle.finish();
    println!("{}", handle.closed().await);
    Ok(())
}
