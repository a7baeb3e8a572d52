use mine::{Client, Mine, Server};
use outlast_service::core::wire::Status;
use outlast_service::{Incoming, Peer, SessionInfo};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mine = Mine(tokio::runtime::Handle::current());
    let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Request { id, payload, .. } = event {
            peer.respond(id, Status::OK, payload).expect("the request is open");
        }
    };
    let server = Server::on(mine.clone()).bind("127.0.0.1:0").await?;
    let server = server.start(move |_: &SessionInfo| echo)?;
    let builder = Client::on(mine).address(server.local_addr().to_string());
    let (handle, runner) = builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})?;
    tokio::spawn(runner);
    let response = handle.request(1u8, b"hello").await?;
    println!("{}", String::from_utf8_lossy(&response.payload));
    Ok(())
}
