use std::io;

use mine::{Mine, MyStream};
use outlast_service::core::CloseCode;
use outlast_service::core::wire::Status;
use outlast_service::{ClientConfig, Connector, Dialed, Incoming, Peer, Runner};
use outlast_service::{Server, ServerConfig, SessionInfo};
use tokio::io::{DuplexStream, duplex};
use tokio::runtime::Handle;

type Echo = fn(&mut Peer<'_>, Incoming<'_>);

fn echo(peer: &mut Peer<'_>, event: Incoming<'_>) {
    if let Incoming::Request { id, payload, .. } = event {
        peer.respond(id, Status::OK, payload).expect("the request is open");
    }
}

// Where a client gets its streams. It is asked again for as long as the session lasts; when, and
// how soon after a failure, is decided already.
struct Pipes(Server<Mine, Echo>);

impl Connector for Pipes {
    type Io = MyStream<DuplexStream>;

    async fn connect(&mut self, _: usize) -> io::Result<Dialed<Self::Io>> {
        let (near, far) = duplex(4096);
        // Whatever accepts streams hands them over like this; `None` is for the peer's address.
        self.0.spawn_connection(MyStream(far), None);
        Ok(Dialed { io: MyStream(near), remote: None })
    }
}

#[tokio::test]
async fn a_session_outlasts_its_pipes() {
    let mine = Mine(Handle::current());
    let server = Server::new(mine.clone(), ServerConfig::default(), |_: &SessionInfo| echo as Echo);
    let pipes = Pipes(server.expect("a valid configuration"));
    // Clients that start together differ in the seed: it is what their back-off is drawn from.
    let config = ClientConfig { seed: 1, ..ClientConfig::default() };
    let quiet = |_: &mut Peer<'_>, _: Incoming<'_>| {};
    let (handle, runner) = Runner::new(mine, config, pipes, quiet).expect("a valid configuration");
    tokio::spawn(runner);
    for _ in 0..3 {
        let response = handle.request(1u8, b"still there?").await.expect("a response");
        assert_eq!(&response.payload[..], b"still there?");
        handle.disconnect(CloseCode::GOING_AWAY);
    }
}
