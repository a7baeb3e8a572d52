//! Where a server listens: the address, the port and the families that it was told.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use outlast_tokio::{Client, Incoming, Peer, Running, Server, SessionInfo, SocketOptions};

fn deaf(_: &mut Peer<'_>, _: Incoming<'_>) {}

async fn start(address: &str, socket: SocketOptions) -> std::io::Result<Running> {
    Server::builder().socket(socket).bind(address).await?.start(|_: &SessionInfo| deaf)
}

/// A client's session with whatever listens there.
async fn reach(address: SocketAddr) {
    let (handle, runner) = Client::builder().address(address.to_string()).connect(deaf).unwrap();
    let running = tokio::spawn(runner);
    handle.send_receipted(1u8, b"here").await.unwrap().await.unwrap();
    running.abort();
}

#[tokio::test]
async fn a_server_listens_where_it_is_told() {
    for address in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let server = start(address, SocketOptions::default()).await.unwrap();
        let at = server.local_addr();
        assert!(at.ip().is_loopback() && at.port() > 0, "{at}");
        reach(at).await;
        // The same place again is taken, and said to be.
        let again = start(&at.to_string(), SocketOptions::default()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    for nonsense in ["", "127.0.0.1", "127.0.0.1:65536", "nobody at all"] {
        assert!(start(nonsense, SocketOptions::default()).await.is_err(), "{nonsense}");
    }
}

/// One listener for both families, and clients of IPv4 are known by their own addresses.
#[tokio::test]
async fn one_listener_takes_both_families() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = Server::builder().bind("[::]:0").await.unwrap();
    let server = server
        .start(move |info: &SessionInfo| {
            noted.lock().unwrap().extend(info.remote.map(|remote| remote.ip()));
            deaf
        })
        .unwrap();
    let port = server.local_addr().port();
    reach(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    reach(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await;
    let seen = seen.lock().unwrap();
    assert_eq!(
        *seen,
        [Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()]
            .map(|ip| ip.parse::<std::net::IpAddr>().unwrap())
    );
}
