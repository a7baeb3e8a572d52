use outlast_tokio::{Client, Closed, Incoming, Peer};
async fn count(address: &str, to: u32) -> Result<Closed, Box<dyn std::error::Error>> {
    let report = |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Disconnected { cause, .. } = event {
            println!("the cable is out: {cause}");
        }
    };
    let (handle, runner) = Client::builder().address(address).connect(report)?;
    tokio::spawn(runner);
    for n in 1..=to {
        let answer = handle.request(1u8, b"count").await?;
        assert_eq!(answer.payload[..], n.to_le_bytes()); // each request ran exactly once
    }
    handle.finish();
    Ok(handle.closed().await)
}
#[tokio::main]
async fn main() {
    println!("{}", count("127.0.0.1:7411", 1_000_000).await.unwrap());
}
