// An echo, the same on every runtime: `runtime-*/examples/*_echo.rs` include this file, name their
// crate `outlast`, and start both ends.

use outlast::{
    Client, CloseCode, Handle, Incoming, Peer, Runner, Running, Server, SessionInfo, Status,
};

/// A server at a port that the system chooses. It gives everything back.
async fn serve() -> std::io::Result<Running> {
    let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Request { id, payload, .. } => {
            // An error here means that nobody waits for the answer any more.
            let _ = peer.respond(id, Status::OK, payload);
        }
        Incoming::Finished => peer.finish(),
        _ => {}
    };
    Server::builder().bind("127.0.0.1:0").await?.start(move |_: &SessionInfo| echo)
}

/// A session with that server, and the task that keeps it.
fn connect(server: &Running) -> std::io::Result<(Handle, Runner)> {
    let report = |_: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Disconnected { cause, .. } => println!("(cut off: {cause})"),
        Incoming::Resumed { .. } => println!("(back, and nothing is lost)"),
        _ => {}
    };
    Client::builder().address(server.local_addr().to_string()).connect(report)
}

/// Says ten things and hears each of them once, although the connection is cut on the way.
async fn talk(handle: &Handle) -> Result<(), Box<dyn std::error::Error>> {
    for n in 1..=10 {
        let said = format!("hello {n}");
        let heard = handle.request(1u8, said.as_bytes()).await?;
        assert_eq!(heard.payload, said.as_bytes());
        println!("{said}");
        if n == 5 {
            handle.disconnect(CloseCode::GOING_AWAY);
        }
    }
    handle.finish();
    println!("{}", handle.closed().await);
    Ok(())
}
