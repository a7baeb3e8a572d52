//! What one listener takes, and from whom.

use std::time::{Duration, Instant};

use outlast_admin::{Admin, AdminLimits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Busy, ask, follow, get};

async fn showing(limits: AdminLimits) -> outlast_admin::Showing {
    let admin = Admin::new(Busy::start().await.handle()).limits(limits);
    admin.bind("127.0.0.1:0").await.unwrap().start()
}

#[tokio::test]
async fn headers_have_a_size_and_a_time() {
    let short = Duration::from_millis(300);
    let limits = AdminLimits { header_bytes: 8 << 10, header_time: short, ..Default::default() };
    let admin = showing(limits).await;
    let at = admin.local_addr();
    let long = format!("GET / HTTP/1.1\r\nhost: {at}\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    assert_eq!(ask(at, long.as_bytes()).await.status, 431);
    let many = "x: y\r\n".repeat(100);
    let many = format!("GET / HTTP/1.1\r\nhost: {at}\r\n{many}\r\n");
    assert_eq!(ask(at, many.as_bytes()).await.status, 431);
    // Half a request is waited for as long as it may take, and no longer.
    let begin = Instant::now();
    assert!(ask(at, b"GET / HTTP/1.1\r\nhost").await.status != 200);
    assert!(begin.elapsed() >= short);
    assert_eq!(get(at, "/healthz").await.status, 200);
}

#[tokio::test]
async fn connections_have_a_number_and_an_end() {
    let limits = AdminLimits {
        connections: 2,
        connection_time: Duration::from_millis(400),
        follow_time: Duration::from_millis(1_500),
        ..Default::default()
    };
    let admin = showing(limits).await;
    let at = admin.local_addr();
    let begin = Instant::now();
    let mut follower = follow(at).await;
    follower.next().await;
    let mut idle = TcpStream::connect(at).await.unwrap();
    // There is no room for a third until one of them has gone.
    while ask(at, format!("GET /healthz HTTP/1.1\r\nhost: {at}\r\n\r\n").as_bytes()).await.status
        != 200
    {
        tokio::task::yield_now().await;
    }
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    assert_eq!(idle.read(&mut [0; 16]).await.unwrap_or(0), 0, "who only waited was let go");
    let _ = idle.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    // Who follows may for longer, and not for ever.
    while follower.is_there().await {}
    assert!(begin.elapsed() >= Duration::from_millis(1_500), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn limits_that_make_no_sense_are_refused() {
    let handle = Busy::start().await.handle();
    let sane = AdminLimits::default();
    for limits in [
        AdminLimits { connections: 0, ..sane },
        AdminLimits { followers: 0, ..sane },
        AdminLimits { header_bytes: 100, ..sane },
    ] {
        let bound = Admin::new(handle.clone()).limits(limits).bind("127.0.0.1:0").await;
        assert_eq!(bound.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    }
}
