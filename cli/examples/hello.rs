use outlast_tokio::{Client, Closed, Incoming, Peer};

/// Asks and tells a server at `address`, and says how the session ended.
async fn talk(address: &str) -> Result<Closed, Box<dyn std::error::Error>> {
    // Called with everything that happens to the session, over all of its connections.
    let hear = |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Message { payload, .. } => println!("{}", String::from_utf8_lossy(payload)),
        Incoming::Disconnected { code, .. } => eprintln!("{code}; it comes back by itself"),
        Incoming::Finished => peer.finish(),
        _ => {}
    };
    let (handle, runner) = Client::builder().address(address).connect(hear)?;
    let client = tokio::spawn(runner);

    // A request has one answer, whatever becomes of connections meanwhile.
    let answer = handle.request(1u8, b"what was asked").await?;
    println!("{}: {}", answer.status.is_ok(), String::from_utf8_lossy(&answer.payload));

    // A message arrives once; with --echo it comes back, and `hear` prints it.
    handle.send(1u8, b"hello").await?;
    handle.finish();
    Ok(client.await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{}", talk("127.0.0.1:7411").await?);
    Ok(())
}
