//! Over tokio's TCP, with a server of this workspace at the other end.

use std::future::{Future, pending};
use std::time::Duration;

use embedded_io_adapters::tokio_1::FromTokio;
use outlast_embedded::client::DialerConfig;
use outlast_embedded::stream::{Client, Timer};
use outlast_embedded::{CloseCode, Config, Event, Instant, Route, StreamConfig, StreamResources};
use outlast_tokio::{Incoming, Peer, Server, SessionInfo};
use tokio::net::TcpStream;
use tokio::time::timeout_at;

struct Clock(tokio::time::Instant);

impl Timer for Clock {
    fn now(&self) -> Instant {
        Instant::from_micros(self.0.elapsed().as_micros() as u64)
    }

    fn wait_until(&self, at: Instant) -> impl Future<Output = ()> {
        let at = self.0 + Duration::from_micros(at.as_micros());
        async move { drop(timeout_at(at, pending::<()>()).await) }
    }
}

fn echo(_: &SessionInfo) -> impl FnMut(&mut Peer<'_>, Incoming<'_>) + Send + use<> {
    |peer, event| {
        if let Incoming::Message { route, payload } = event {
            peer.send(route, payload).expect("room for an echo");
        }
    }
}

/// A hundred messages and their echoes, over ten connections that are dropped under them.
#[tokio::test]
async fn a_session_goes_on_over_tcp_with_a_server_of_tokio() {
    let server = Server::builder().config(Config::SERVER).bind("127.0.0.1:0").await;
    let running = server.expect("a port").start(echo).expect("a good configuration");
    let address = running.local_addr();

    let mut resources = StreamResources::<2_048, 256, 256>::new();
    let config = Config { send_buffer: 2_048, ..Config::CONSTRAINED };
    let dialer =
        DialerConfig { backoff_base: 1_000, backoff_cap: 10_000, ..DialerConfig::default() };
    let config = StreamConfig { session: config, dialer, ..StreamConfig::new(3) };
    let clock = Clock(tokio::time::Instant::now());
    let mut client = Client::new(&mut resources, config, clock).expect("a good configuration");
    let (mut echoed, mut opened, mut resumed) = (0_u32, 0, 0);
    let mut connections = 0_u32;
    while echoed < 100 {
        connections += 1;
        let dial = client.ready().await.expect("the client goes on");
        let connecting = TcpStream::connect(address);
        let stream = client.in_time(&dial, connecting).await.expect("in time").expect("a server");
        let (reader, writer) = stream.into_split();
        let (reader, writer) = (FromTokio::new(reader), FromTokio::new(writer));
        let mut connection = client.attach(&dial, reader, writer).expect("attached");
        let enough = tokio::sync::Notify::new();
        let run = connection.run(|session, event| match event {
            Event::Opened => {
                opened += 1;
                session.send(Route::from(1u8), &echoed.to_le_bytes()).expect("room");
            }
            Event::Resumed { .. } => resumed += 1,
            Event::Message { payload, .. } => {
                assert_eq!(payload, echoed.to_le_bytes());
                echoed += 1;
                session.send(Route::from(1u8), &echoed.to_le_bytes()).expect("room");
                if echoed % 10 == 0 {
                    enough.notify_one();
                }
            }
            _ => {}
        });
        tokio::select! {
            ended = run => panic!("the connection ended: {ended:?}"),
            () = enough.notified() => {}
        }
    }
    assert_eq!((opened, connections), (1, 10));
    assert_eq!(resumed, 9);
    client.stop(CloseCode::OK);
    assert!(client.ready().await.is_err());
    drop(running);
}
