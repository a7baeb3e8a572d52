//! `outlast conformance` over real sockets: who keeps the rules passes, who does not is told where.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Running, run};
use outlast_tokio::{
    Client, Config, Handle, Incoming, Peer, ReconnectPolicy, Route, SendError, Status,
};

/// The second implementation, if Python is there.
struct Python(Child);

impl Python {
    fn start(args: &[&str]) -> Option<Self> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/python");
        let mut command = Command::new("python3");
        command.args(["-m", "outlast_peer"]).args(args).current_dir(directory);
        command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(Stdio::piped());
        match command.spawn() {
            Ok(child) => Some(Self(child)),
            Err(error) if std::env::var_os("CI").is_none() => {
                println!("NOT RUN, there is no Python peer: python3: {error}");
                None
            }
            Err(error) => panic!("python3: {error}"),
        }
    }

    /// The address in its first line.
    fn address(&mut self) -> String {
        let out = self.0.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line).expect("text");
        line.trim_end().rsplit(' ').next().expect("an address").to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the slow cases wait for, short enough to be waited for.
const IDLE_MS: u32 = 3_000;

/// Passes every case there is, also those that wait for limits.
fn passes(address: &str) {
    let (status, said) = run(&["conformance", "--echo", "--slow", address]);
    assert!(status.success() && said.contains(" passed, 0 failed, 0 not run"), "{said}");
}

#[test]
fn the_server_of_the_command_passes() {
    let idle = IDLE_MS.to_string();
    let serve = ["serve", "--echo", "--quiet", "--idle", &idle, "127.0.0.1:0"];
    let mut server = Running::start(&serve);
    let address = server.address();
    passes(&address);
}

#[test]
fn the_python_server_passes() {
    let idle = format!("idle_timeout_ms={IDLE_MS}");
    if let Some(mut server) = Python::start(&["serve", "0", &idle]) {
        let address = server.address();
        passes(&address);
    }
}

/// The judge of a client, and where it listens.
fn judge_of_a_client() -> (Running, String) {
    let mut judge = Running::start(&["conformance", "--echo", "--slow", "--listen", "127.0.0.1:0"]);
    let address = judge.address();
    (judge, address)
}

#[test]
fn the_python_client_passes() {
    let (mut judge, address) = judge_of_a_client();
    let idle = format!("idle_timeout_ms={IDLE_MS}");
    let settings = ["backoff_base_ms=20", "backoff_cap_ms=200", &idle];
    let client = Python::start(&[&["echo", &address], &settings[..]].concat());
    if client.is_some() {
        judge.wait_for(" passed, 0 failed, 0 not run");
        assert!(judge.finish().0.success());
    }
}

/// Gives everything back, and waits for room to do it.
fn echo(peer: &mut Peer<'_>, event: Incoming<'_>) {
    match event {
        Incoming::Message { route, payload } => {
            if let Err(SendError::Full) = peer.send(route, payload) {
                later(peer.handle(), route, payload.to_vec());
            }
        }
        Incoming::Request { id, payload, .. } => {
            peer.respond(id, Status::OK, payload).expect("there is room");
        }
        _ => {}
    }
}

fn later(handle: Handle, route: Route, payload: Vec<u8>) {
    tokio::spawn(async move { handle.send(route, &payload).await });
}

#[tokio::test]
async fn a_tokio_client_passes() {
    let (mut judge, address) = judge_of_a_client();
    let eager = ReconnectPolicy {
        backoff_base: 20_000,
        backoff_cap: 200_000,
        ..ReconnectPolicy::default()
    };
    let config = Config { idle_timeout_ms: IDLE_MS, ..Config::CLIENT };
    let client = Client::builder().address(address).config(config).reconnect(eager);
    let (_, runner) = client.connect(echo).expect("it can be begun");
    let client = tokio::spawn(runner);
    tokio::task::spawn_blocking(move || {
        judge.wait_for(" passed, 0 failed, 0 not run");
        assert!(judge.finish().0.success());
    })
    .await
    .expect("it passes");
    client.abort();
}

/// A server of another protocol, for as many connections as come.
fn web_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let address = listener.local_addr().expect("it has one").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else {
                return;
            };
            // It answers when something came, whatever it is.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    address
}

#[test]
fn another_protocol_is_told_by_its_first_byte() {
    let address = web_server();
    let (status, said) = run(&["conformance", &address, "--case", "greeting_wrong_magic"]);
    assert!(!status.success());
    assert!(said.contains("FAILED  greeting_wrong_magic (HND-2)"), "{said}");
    assert!(said.contains("byte 0 (byte 0 of its frame) must be 0d"), "{said}");
    assert!(said.contains("ILLEGAL"), "explained: {said}");
    assert!(said.contains("0 passed, 1 failed, 0 not run"), "{said}");
}

#[test]
fn a_line_of_json_says_the_same() {
    let address = web_server();
    let (status, said) = run(&["conformance", &address, "--case", "open_requests", "--json"]);
    assert!(!status.success());
    let said = said.trim();
    assert!(said.starts_with("{\"case\":\"open_requests\",\"sentences\":\"REQ-2"), "{said}");
    assert!(said.ends_with('}') && said.contains("\"verdict\":\"failed\""), "{said}");
}

#[test]
fn a_case_that_does_not_exist_is_an_error() {
    let (status, said) = run(&["conformance", "127.0.0.1:1", "--case", "no_such_case"]);
    assert!(!status.success() && said.contains("there is no such case"), "{said}");
}
