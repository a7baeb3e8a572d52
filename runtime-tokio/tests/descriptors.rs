//! A server that runs out of file descriptors, in a process of its own.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use outlast_tokio::{Client, Config, Handle, Incoming, Peer, Server, SessionInfo, Status};
use tokio::runtime::{Builder, Runtime};

/// Set in the process that is the server.
const ROLE: &str = "OUTLAST_SERVER_WITH_FEW_DESCRIPTORS";
const HERE: &str = "listening at ";

/// What the other process runs; without being asked to it does nothing.
#[test]
fn the_server() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(async {
        let config = Config { handshake_timeout_ms: 60_000, ..Config::SERVER };
        let server = Server::builder().config(config).bind("127.0.0.1:0").await.unwrap();
        let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| {
            if let Incoming::Request { id, payload, .. } = event {
                peer.respond(id, Status::OK, payload).unwrap();
            }
        };
        server.start(move |_: &SessionInfo| echo).unwrap()
    });
    println!("\n{HERE}{}", server.local_addr());
    // Until the test is done with it.
    let _ = std::io::stdin().read(&mut [0]);
}

/// The server's process; it ends with this.
struct Other {
    process: Child,
    address: String,
}

impl Other {
    fn start() -> Self {
        let own = std::env::current_exe().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" --exact the_server --nocapture"])
            .arg(own)
            .env(ROLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.unwrap().strip_prefix(HERE).map(str::to_owned));
        Self { process, address: said.expect("the server's address") }
    }

    /// Processor time in hundredths of a second, where the system tells it in a file.
    fn worked(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: u64 = fields.next()?.parse().ok()?;
        let system: u64 = fields.next()?.parse().ok()?;
        Some(user + system)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(address: &str) -> Handle {
    let (handle, runner) = Client::builder()
        .address(address)
        .connect(|_: &mut Peer<'_>, event: Incoming<'_>| {
            assert!(!matches!(event, Incoming::Disconnected { .. }), "{event:?}");
        })
        .unwrap();
    drop(tokio::spawn(runner));
    handle
}

async fn ask(handle: &Handle) {
    let asking = handle.request(1u8, b"still there?");
    let response = tokio::time::timeout(Duration::from_secs(30), asking).await.unwrap().unwrap();
    assert_eq!(response.payload, b"still there?"[..]);
}

#[test]
fn out_of_descriptors_it_serves_on_and_recovers() {
    let other = Other::start();
    Runtime::new().unwrap().block_on(async {
        let bystander = client(&other.address);
        ask(&bystander).await;
        let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&other.address).unwrap()).collect();
        let (start, before) = (Instant::now(), other.worked());
        let mut turns = tokio::time::interval(Duration::from_millis(10));
        while start.elapsed() < Duration::from_secs(2) {
            turns.tick().await;
            ask(&bystander).await;
        }
        if let (Some(before), Some(after)) = (before, other.worked()) {
            let spent = after - before;
            assert!(spent < 100, "{spent} hundredths of a second in two seconds");
        }
        drop(crowd);
        ask(&client(&other.address)).await;
        ask(&bystander).await;
    });
}
