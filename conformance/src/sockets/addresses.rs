//! Where a server listens: the address, the port and the families that it was told.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use outlast_core::CloseCode;
use outlast_service::SessionInfo;
use outlast_service::net::{Net, Running};

use super::tools::{Listening, a_client, a_server, deaf, dial};

async fn start<N: Net>(net: &N, address: &str) -> std::io::Result<Running> {
    a_server(net).bind(address).await?.start(|_: &SessionInfo| deaf)
}

/// A client's session with whatever listens there.
async fn reach<N: Net>(net: &N, address: SocketAddr) {
    let handle = dial(net, a_client(net, address), deaf);
    handle.send_receipted(1u8, b"here").await.unwrap().await.unwrap();
    handle.end(CloseCode::GOING_AWAY);
}

/// By number or by name, at a place that nobody else has.
pub async fn a_server_listens_where_it_is_told<N: Net>(net: N) {
    for address in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let server = Listening::of(&net, start(&net, address).await.unwrap());
        let at = server.local_addr();
        assert!(at.ip().is_loopback() && at.port() > 0, "{at}");
        reach(&net, at).await;
        // The same place again is taken, and said to be.
        let again = start(&net, &at.to_string()).await;
        assert_eq!(again.unwrap_err().kind(), ErrorKind::AddrInUse);
    }
    for nonsense in ["", "127.0.0.1", "127.0.0.1:65536", "nobody at all"] {
        assert!(start(&net, nonsense).await.is_err(), "{nonsense}");
    }
}

/// One listener for both families, and clients of IPv4 are known by their own addresses.
pub async fn one_listener_takes_both_families<N: Net>(net: N) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = a_server(&net).bind("[::]:0").await.unwrap();
    let running = server.start(move |info: &SessionInfo| {
        noted.lock().unwrap().extend(info.remote.map(|remote| remote.ip()));
        deaf
    });
    let server = Listening::of(&net, running.unwrap());
    let port = server.local_addr().port();
    reach(&net, SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    reach(&net, SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await;
    let expected: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    assert_eq!(*seen.lock().unwrap(), expected);
}
