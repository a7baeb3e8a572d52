//! A server that runs out of file descriptors, in a process of its own.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use outlast_std::{Client, Config, Handle, Incoming, Peer, Server, SessionInfo, Status};

/// Set in the process that is the server.
const ROLE: &str = "OUTLAST_SERVER_WITH_FEW_DESCRIPTORS";
const HERE: &str = "listening at ";

/// What the other process runs; without being asked to it does nothing.
#[test]
fn the_server() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let config = Config { handshake_timeout_ms: 60_000, ..Config::SERVER };
    let server = Server::builder().config(config).bind("127.0.0.1:0").unwrap();
    let echo = |peer: &mut Peer<'_>, event: Incoming<'_>| {
        if let Incoming::Request { id, payload, .. } = event {
            peer.respond(id, Status::OK, payload).unwrap();
        }
    };
    let server = server.start(move |_: &SessionInfo| echo).unwrap();
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
    let client = Client::builder().address(address);
    let calm = |_: &mut Peer<'_>, event: Incoming<'_>| {
        assert!(!matches!(event, Incoming::Disconnected { .. }), "{event:?}");
    };
    client.connect(calm).unwrap()
}

fn ask(handle: &Handle) {
    let response = handle.request_timeout(1u8, b"still there?", Duration::from_secs(30)).unwrap();
    assert_eq!(response.payload, b"still there?"[..]);
}

/// Threads that have no descriptor left to be woken by look from time to time, and no oftener.
#[test]
fn out_of_descriptors_threads_serve_on_and_recover() {
    let other = Other::start();
    let bystander = client(&other.address);
    ask(&bystander);
    let crowd: Vec<_> = (0..200).map(|_| TcpStream::connect(&other.address).unwrap()).collect();
    let (start, before) = (Instant::now(), other.worked());
    let nobody = mpsc::sync_channel::<()>(1);
    while start.elapsed() < Duration::from_secs(2) {
        assert!(nobody.1.recv_timeout(Duration::from_millis(10)).is_err());
        ask(&bystander);
    }
    if let (Some(before), Some(after)) = (before, other.worked()) {
        let spent = after - before;
        assert!(spent < 100, "{spent} hundredths of a second in two seconds");
    }
    drop(crowd);
    ask(&client(&other.address));
    ask(&bystander);
}
