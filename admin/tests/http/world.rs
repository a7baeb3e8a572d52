//! A server, those who visit it, and those who ask its listener.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use outlast_tokio::{
    Client, Handle, Incoming, Limits, Peer, Running, Server, ServerHandle, SessionInfo, Status,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A server that answers requests with what was asked.
pub(crate) struct Busy(Running<ServerHandle>);

impl Busy {
    pub(crate) async fn start() -> Self {
        let server = Server::builder().limits(Limits::one_source());
        let server = server.bind("127.0.0.1:0").await.unwrap();
        let running = server.start(|_: &SessionInfo| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
                Incoming::Finished => peer.finish(),
                _ => {}
            }
        });
        Self(running.unwrap())
    }

    pub(crate) fn handle(&self) -> ServerHandle {
        self.0.handle()
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.0.local_addr()
    }

    pub(crate) async fn shutdown(self, grace: Duration) {
        self.0.shutdown(grace).await;
    }

    /// A client whose session has begun.
    pub(crate) async fn visitor(&self) -> Handle {
        let client = Client::builder().address(self.local_addr().to_string());
        let (handle, runner) = client.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
        tokio::spawn(runner);
        handle.states().wait_for(|state| state.is_connected()).await.unwrap();
        handle
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }
}

/// Asks, and reads up to the end of the connection.
pub(crate) async fn ask(at: SocketAddr, bytes: &[u8]) -> Answer {
    let mut tcp = TcpStream::connect(at).await.unwrap();
    // Whoever is refused early may find that nobody reads on.
    let _ = tcp.write_all(bytes).await;
    let mut text = Vec::new();
    let _ = tcp.read_to_end(&mut text).await;
    Answer::parse(&String::from_utf8_lossy(&text))
}

pub(crate) async fn request(at: SocketAddr, head: &str) -> Answer {
    ask(at, format!("{head}\r\n\r\n").as_bytes()).await
}

pub(crate) async fn get(at: SocketAddr, path: &str) -> Answer {
    request(at, &format!("GET {path} HTTP/1.1\r\nhost: {at}\r\nconnection: close")).await
}

/// Statistics once they are so.
pub(crate) async fn until(at: SocketAddr, is_so: impl Fn(&Value) -> bool) -> Value {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        let stats = serde_json::from_str(&get(at, "/api/stats").await.body).unwrap();
        if is_so(&stats) {
            return stats;
        }
        assert!(Instant::now() < limit, "it never was: {stats}");
        tokio::task::yield_now().await;
    }
}

/// Server-sent events.
pub(crate) struct Followed {
    tcp: TcpStream,
    text: String,
    pub(crate) status: u16,
}

pub(crate) async fn follow(at: SocketAddr) -> Followed {
    let mut tcp = TcpStream::connect(at).await.unwrap();
    let head = format!("GET /events HTTP/1.1\r\nhost: {at}\r\naccept: text/event-stream\r\n\r\n");
    tcp.write_all(head.as_bytes()).await.unwrap();
    let mut followed = Followed { tcp, text: String::new(), status: 0 };
    while !followed.text.contains("\r\n\r\n") {
        followed.read().await;
    }
    let answer = Answer::parse(&followed.text);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    (followed.status, followed.text) = (answer.status, answer.body);
    followed
}

impl Followed {
    async fn read(&mut self) {
        let mut buf = [0; 4096];
        let count = self.tcp.read(&mut buf).await.unwrap();
        assert!(count > 0, "the stream ended");
        self.text.push_str(std::str::from_utf8(&buf[..count]).unwrap());
    }

    /// Reads on; false once the stream has ended.
    pub(crate) async fn is_there(&mut self) -> bool {
        self.tcp.read(&mut [0; 4096]).await.is_ok_and(|count| count > 0)
    }

    pub(crate) async fn next(&mut self) -> Value {
        loop {
            // Sizes of chunks stand between events.
            if let Some((_, rest)) = self.text.split_once("data: ")
                && let Some((event, rest)) = rest.split_once("\n\n")
            {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                return serde_json::from_str(&event).unwrap();
            }
            self.read().await;
        }
    }
}

/// From the environment, or another one each time; printed, so that it can be repeated.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        time.map_or(1, |time| time.as_nanos() as u64 | 1)
    });
    println!("seed {seed}: repeat with SEED={seed}");
    seed
}
