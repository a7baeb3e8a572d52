//! One server at several addresses.

use std::io::ErrorKind;
use std::time::Duration;

use outlast_tokio::{Client, CloseCode, Incoming, Peer, Server, SessionInfo};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

fn deaf(_: &mut Peer<'_>, _: Incoming<'_>) {}

/// A session that began at one listener comes back at the other, and all end together.
#[tokio::test]
async fn one_server_has_several_listeners() {
    let bind = async || Server::builder().bind("127.0.0.1:0").await.unwrap();
    let (first, second, third) = (bind().await, bind().await, bind().await);
    let places = [&first, &second, &third].map(|server| server.local_addr().unwrap());
    let server = first.also(second.also(third)).start(|_: &SessionInfo| deaf).unwrap();
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = relay.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for place in places.iter().cycle() {
            let (mut near, _) = relay.accept().await.unwrap();
            let mut far = TcpStream::connect(place).await.unwrap();
            tokio::spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let (handle, runner) = Client::builder().address(address).connect(deaf).unwrap();
    let running = tokio::spawn(runner);
    for resumed in 0..5 {
        handle.send_receipted(1u8, b"here").await.unwrap().await.unwrap();
        let stats = server.handle().stats();
        assert_eq!((stats.created, stats.resumed), (1, resumed));
        handle.disconnect(CloseCode::GOING_AWAY);
    }
    running.abort();
    server.shutdown(Duration::ZERO).await;
    for place in places {
        let refused = TcpStream::connect(place).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}
