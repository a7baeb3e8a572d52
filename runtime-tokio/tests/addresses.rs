//! Where a server listens: the address, the port and the families that it was told.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use outlast_tokio::{
    Client, CloseCode, Incoming, Peer, Running, Server, SessionInfo, SocketOptions,
};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

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
