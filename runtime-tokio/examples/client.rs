use outlast_tokio::{Client, Incoming, Peer};
async fn count(address: &str, to: u32) -> Result<(), Box<dyn std::error::Error>> {
    let report = |_: &mut Peer<'_>, event: Incoming<'_>| match event {
        Incoming::Disconnected { code } => println!("the cable is out: {code}"),
        _ => {}
    };
    let (handle, runner) = Client::builder().address(address).connect(report)?;
    tokio::spawn(runner);
    for n in 1..=to {
        let answer = handle.request(1u8, b"count").await?;
        assert_eq!(answer.payload[..], n.to_le_bytes()); // each request ran exactly once
    }
    handle.finish();
    println!("{}", handle.closed().await);
    Ok(())
}
#[tokio::main]
async fn main() {
    count("127.0.0.1:7411", 1_000_000).await.unwrap()
}
