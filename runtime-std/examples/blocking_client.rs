use outlast_std::{Client, Closed, Incoming, Peer};

fn count(address: &str, to: u32) -> Result<Closed, Box<dyn std::error::Error>> {
    let report = |_: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Disconnected { cause, .. } = event {
            println!("the cable is out: {cause}");
        }
    };
    let handle = Client::builder().address(address).connect(report)?;
    for n in 1..=to {
        let answer = handle.request(1u8, b"count")?;
        assert_eq!(answer.payload[..], n.to_le_bytes()); // each request ran exactly once
    }
    handle.finish();
    Ok(handle.closed())
}
fn main() {
    println!("{}", count("127.0.0.1:7411", 1_000_000).unwrap());
}
