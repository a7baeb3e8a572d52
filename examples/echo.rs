// An echo, the same on every runtime whose calls are asynchronous: `runtime-*/examples/*echo_*.rs`
// include this file, name their crate `outlast`, and run it.

use outlast::{Client, Handle, Incoming, Peer, Runner, Server, SessionInfo, Status};

/// Gives everything back, until it is dropped.
async fn serve(address: &str) -> std::io::Result<()> {
    let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Request { id, payload, .. } => {
            // An error here means that nobody waits for the answer any more.
            let _ = peer.respond(id, Status::OK, payload);
        }
        Incoming::Finished => peer.finish(),
        _ => {}
    };
    Server::builder().bind(address).await?.serve(move |_: &SessionInfo| echo).await
}

/// A session with that server, and the task that keeps it.
fn connect(address: &str) -> std::io::Result<(Handle, Runner)> {
    let report = |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Disconnected { cause, .. } = event {
            println!("the cable is out: {cause}");
        }
    };
    Client::builder().address(address).connect(report)
}

/// Says so many things and hears each of them once, whatever happens to the cable.
async fn talk(handle: Handle, times: u32) -> Result<(), Box<dyn std::error::Error>> {
    for n in 1..=times {
        let said = format!("hello {n}");
        let heard = handle.request(1u8, said.as_bytes()).await?;
        assert_eq!(heard.payload, said.as_bytes());
        println!("{}", String::from_utf8_lossy(&heard.payload));
    }
    handle.finish();
    println!("{}", handle.closed().await);
    Ok(())
}
