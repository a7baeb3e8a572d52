//! What hostile peers may cost over real sockets: memory, counted for the whole process, and time.
//!
//! The tests take turns, so that each sees only its own memory.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outlast_conformance::{heap, raw};
use outlast_tokio::{
    Client, Config, Handle, Incoming, Peer, Running, SendError, Server, SessionInfo, SocketOptions,
    Status,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Runtime;

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

static TURN: Mutex<()> = Mutex::new(());

/// The route of requests that are answered, and of messages that ask for messages without end.
const ECHO: u8 = 1;
const FLOOD: u8 = 2;

/// Heartbeats are off: only the deadline for writing can end a connection.
const QUIET: Config = Config { idle_timeout_ms: 0, ..Config::SERVER };

async fn serve() -> Running {
    // What the kernel would take is of no interest.
    let socket = SocketOptions { send_buffer: Some(64 << 10), ..SocketOptions::default() };
    let builder = Server::builder().config(QUIET).socket(socket);
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    server
        .start(|_: &SessionInfo| {
            |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
                Incoming::Request { id, payload, .. } => {
                    peer.respond(id, Status::OK, payload).unwrap();
                }
                Incoming::Message { route, .. } if route == FLOOD.into() => {
                    let handle = peer.handle();
                    drop(tokio::spawn(async move {
                        while handle.send(FLOOD, &[0; 16_000]).await.is_ok() {}
                    }));
                }
                _ => {}
            }
        })
        .unwrap()
}

/// A client that keeps the rules. `got` is told of every message.
fn honest(server: &Running, got: impl Fn(&[u8]) + Send + 'static) -> Handle {
    let (handle, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .config(QUIET)
        .connect(move |_: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Message { payload, .. } => got(payload),
            Incoming::Disconnected { code, .. } => panic!("it noticed something: {code}"),
            _ => {}
        })
        .unwrap();
    drop(tokio::spawn(runner));
    handle
}

/// A peer with a session, and the server's first frame to it; it lets the server send without end.
async fn hostile(server: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(server.local_addr()).await.unwrap();
    let hello = raw::Hello { window: 1 << 28, ..raw::Hello::default() };
    stream.write_all(&hello.encode()).await.unwrap();
    let mut welcome = [0; 74];
    stream.read_exact(&mut welcome).await.unwrap();
    stream.write_all(&raw::ack(0, 1 << 28)).await.unwrap();
    stream
}

/// Processor time of this process, in hundredths of a second, where the system tells it in a file.
fn worked() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

async fn ask(handle: &Handle, number: u32) {
    let response = handle.request(ECHO, &number.to_le_bytes()).await.unwrap();
    assert_eq!(response.payload, number.to_le_bytes()[..]);
}

//= test DRV-15
#[test]
fn peer_that_never_reads_is_dropped_at_the_deadline() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Runtime::new().unwrap().block_on(async {
        let server = serve().await;
        let bystander = honest(&server, |_| {});
        ask(&bystander, 0).await;
        let mut peer = hostile(&server).await;
        let (start, before) = (Instant::now(), heap::held());
        let idle = worked();
        peer.write_all(&raw::message(FLOOD, b"")).await.unwrap();
        let mut turns = tokio::time::interval(Duration::from_millis(5));
        let (mut asked, mut most) = (1, 0);
        while server.handle().stats().connections > 1 {
            assert!(start.elapsed() < Duration::from_secs(60), "it is still there");
            turns.tick().await;
            ask(&bystander, asked).await;
            asked += 1;
            most = most.max(heap::held().saturating_sub(before));
        }
        // The session's own buffer, what may wait for room in it, and as much for growing.
        let bound = 2 * (QUIET.send_buffer as usize + (1 << 20));
        assert!(most < bound, "{most} bytes were held");
        assert!(start.elapsed() > Duration::from_secs(29), "too early: {:?}", start.elapsed());
        if let (Some(before), Some(after)) = (idle, worked()) {
            // Waiting costs nothing: the bystander's requests are all there was to do.
            let (spent, passed) = (after - before, start.elapsed().as_secs());
            assert!(spent < passed * 100 / 3, "{spent} hundredths in {passed} s");
        }
        ask(&bystander, asked).await;
        drop(peer);
        server.shutdown(Duration::ZERO).await;
    });
}

#[test]
fn broadcast_passes_by_a_peer_that_never_reads() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Runtime::new().unwrap().block_on(async {
        let server = serve().await;
        let got = Arc::new(AtomicU32::new(0));
        let next = Arc::clone(&got);
        let bystander = honest(&server, move |payload| {
            let number = u32::from_le_bytes(*payload.first_chunk().unwrap());
            if number > 0 {
                assert_eq!(next.fetch_add(1, Ordering::Relaxed) + 1, number);
            }
        });
        ask(&bystander, 0).await;
        let everybody = server.handle();
        let own = everybody.sessions()[0].id;
        let peer = hostile(&server).await;
        let mut message = [0; 16_000];
        // Until there is no room for whoever takes nothing, whatever is waited for.
        let mut refused = 0;
        while refused < 100 {
            let report = everybody.broadcast(FLOOD, &message);
            let full = |(id, error): &(u64, SendError)| *id != own && *error == SendError::Full;
            refused = if report.failed.iter().any(full) { refused + 1 } else { 0 };
            ask(&bystander, 0).await;
        }
        let before = heap::held();
        for number in 1..=500u32 {
            message[..4].copy_from_slice(&number.to_le_bytes());
            let report = everybody.broadcast(FLOOD, &message);
            assert_eq!(report.sent, 1, "{number}: {:?}", report.failed);
            // An answer comes behind what was sent before.
            ask(&bystander, number).await;
        }
        assert_eq!(got.load(Ordering::Relaxed), 500);
        assert!(heap::held() < before + (1 << 20), "the one that is full goes on growing");
        drop(peer);
        server.shutdown(Duration::ZERO).await;
    });
}
