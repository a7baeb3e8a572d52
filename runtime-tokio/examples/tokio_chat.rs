//! A chat over tokio: `-- NAME` in one terminal after the other. What is typed is said.

use std::time::Duration;

use outlast_tokio as outlast;

include!("../../examples/chat.rs");

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (name, address) = caller()?;
    let room = keep(&address).await?;
    let (handle, runner) = enter(room.as_ref(), address)?;
    tokio::spawn(runner);
    handle.send(NAME, name.as_bytes()).await?;
    let (speaker, runtime) = (handle.clone(), tokio::runtime::Handle::current());
    let typed = move || {
        say(std::io::stdin().lock(), |route, line| {
            // It waits while the room is out of reach.
            let _ = runtime.block_on(speaker.send(route, line));
        });
    };
    tokio::task::spawn_blocking(typed).await?;
    handle.finish();
    println!("({})", handle.closed().await);
    if let Some(room) = room {
        room.shutdown(Duration::from_secs(1)).await;
    }
    Ok(())
}
