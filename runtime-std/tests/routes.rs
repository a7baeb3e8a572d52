//! One router behind three listeners: sessions, zinx and lines of JSON, over real sockets. The
//! peers of the last two are bytes written by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outlast_std::plain::formats::{Ndjson, Tlv};
use outlast_std::router::{Link, QueueLimits, Router, Routes, WhenFull};
use outlast_std::{Bytes, Client, Incoming, Peer, Server, Status};

const LONG: Duration = Duration::from_secs(60);

fn application(alive: &Arc<AtomicUsize>) -> Routes {
    let (open, close) = (Arc::clone(alive), Arc::clone(alive));
    Router::new()
        .route(1u8, |bytes: Bytes| bytes.to_ascii_uppercase())
        .route(2u8, |bytes: Bytes, _: Link| async move { bytes })
        .route(0x7ead_beefu32, || Err::<(), _>("always wrong"))
        .route("login_request", || r#"{"message_type": "login_response", "success": true}"#)
        .on_open(move |_| {
            open.fetch_add(1, Ordering::SeqCst);
        })
        .on_close(move |_, _| {
            close.fetch_sub(1, Ordering::SeqCst);
        })
        .build()
        .unwrap()
}

fn dial(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    stream.read_exact(&mut came).unwrap();
    assert_eq!(came, bytes, "{}", String::from_utf8_lossy(&came));
}

#[test]
fn one_router_behind_three_listeners() {
    let alive = Arc::new(AtomicUsize::new(0));
    let routes = application(&alive);
    let native = Server::builder().bind("127.0.0.1:0").unwrap();
    let native = native.start(routes.factory()).unwrap();
    let zinx = Server::builder().format(Tlv::default()).bind("127.0.0.1:0").unwrap();
    let zinx = zinx.start(routes.plain_factory()).unwrap();
    let lines = Server::builder().format(Ndjson::default()).bind("127.0.0.1:0").unwrap();
    let lines = lines.start(routes.plain_factory()).unwrap();

    let client = Client::builder().address(native.local_addr().to_string());
    let handle = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    assert_eq!(handle.request(1u8, b"ping").unwrap().payload, "PING");
    assert_eq!(handle.request(2u8, b"later").unwrap().payload, "later");
    let wrong = handle.request(0x7ead_beefu32, b"").unwrap();
    assert_eq!((wrong.status, &wrong.payload[..]), (Status::APP, &b"always wrong"[..]));

    let mut peer = dial(zinx.local_addr());
    peer.write_all(b"\0\0\0\x01\0\0\0\x04ping").unwrap();
    expect(&mut peer, b"\0\0\0\x01\0\0\0\x04PING");
    peer.write_all(b"\x7e\xad\xbe\xef\0\0\0\x03abc\0\0\0\x02\0\0\0\x05later").unwrap();
    expect(&mut peer, b"\0\0\0\x02\0\0\0\x05later");

    let mut peer_of_lines = dial(lines.local_addr());
    let asked = b"{\"message_type\": \"login_request\", \"username\": \"mallory\"}\n{}\n";
    peer_of_lines.write_all(asked).unwrap();
    expect(&mut peer_of_lines, b"{\"message_type\": \"login_response\", \"success\": true}\n");
    expect(&mut peer_of_lines, b"{\"message_type\": \"error_message\"");

    assert_eq!(alive.load(Ordering::SeqCst), 3);
    drop((peer, peer_of_lines));
    handle.finish();
    assert!(handle.closed().complete);
    native.shutdown(LONG);
    zinx.shutdown(LONG);
    lines.shutdown(LONG);
    assert_eq!(alive.load(Ordering::SeqCst), 0, "each was opened and closed once");
    let stats = routes.stats();
    assert_eq!((stats.handled, stats.no_route), (7, 0), "{stats:?}");
}

/// Answers go out in one thread, and the next request comes in in another: whoever never asks for
/// more than there is room for is never refused.
#[test]
fn who_waits_for_each_answer_finds_its_place_free() {
    let limits = QueueLimits { count: 1, when_full: WhenFull::DropNewest, ..Default::default() };
    let routes = Router::new().queue(limits).route(1u8, async |bytes: Bytes| bytes);
    let routes = routes.build().unwrap();
    let server = Server::builder().bind("127.0.0.1:0").unwrap().start(routes.factory()).unwrap();
    let client = Client::builder().address(server.local_addr().to_string());
    let handle = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    for number in 0..20_000_u32 {
        let answer = handle.request(1u8, &number.to_le_bytes()).unwrap();
        assert_eq!((answer.status, &answer.payload[..]), (Status::OK, &number.to_le_bytes()[..]));
    }
    assert_eq!(routes.stats().overloaded, 0);
    server.shutdown(Duration::ZERO);
}
