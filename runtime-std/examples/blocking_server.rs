use outlast_std::{Incoming, Peer, Server, SessionInfo, Status};

fn serve(address: &str) -> std::io::Result<()> {
    let counter = |_: &SessionInfo| {
        let mut count = 0u32;
        move |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Request { id, .. } => {
                count += 1;
                peer.respond(id, Status::OK, &count.to_le_bytes()).unwrap();
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    };
    Server::builder().bind(address)?.serve(counter)
}
fn main() -> std::io::Result<()> {
    serve("127.0.0.1:7411")
}
