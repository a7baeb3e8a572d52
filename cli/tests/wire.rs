//! What an ill-meaning peer may say over the wire, and what the commands make of it.

mod common;

use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, io, thread};

use common::{Running, folder, noise};
use outlast_tokio::{Client, Config, Handle, Handler, Incoming, Peer, Server, SessionInfo, Status};

/// As `outlast send` and `outlast receive` have them.
const ROUTE_OFFER: u32 = 0x20;
const ROUTE_DATA: u32 = 0x21;
const ROUTE_DONE: u32 = 0x22;

const PATIENCE: Duration = Duration::from_secs(60);

/// A sender that says what the command never would.
struct Sender {
    handle: Handle,
    runner: tokio::task::JoinHandle<()>,
}

impl Sender {
    fn connect(address: &str) -> Self {
        Self::with(address, |_: &mut Peer<'_>, _: Incoming<'_>| {})
    }

    fn with(address: &str, handler: impl Handler) -> Self {
        let client = Client::builder().address(address).config(Config::CLIENT);
        let (handle, runner) = client.connect(handler).expect("it can be begun");
        let runner = tokio::spawn(async move {
            runner.await;
        });
        Self { handle, runner }
    }

    async fn ask(&self, route: u32, payload: &[u8]) -> (Status, Vec<u8>) {
        let answer = tokio::time::timeout(PATIENCE, self.handle.request(route, payload)).await;
        let answer = answer.expect("it answers").expect("there is a session");
        (answer.status, answer.payload.to_vec())
    }

    async fn offer(&self, name: &str, size: u64, digest: [u8; 32]) -> (Status, String) {
        let head = [&7_u32.to_le_bytes()[..], &size.to_le_bytes()].concat();
        let offer = [&head[..], &digest, name.as_bytes()].concat();
        let (status, answer) = self.ask(ROUTE_OFFER, &offer).await;
        (status, String::from_utf8_lossy(&answer).into_owned())
    }

    /// Data and the request to put the file into its place, whatever became of the offer.
    async fn push(&self, data: &[u8]) -> Status {
        let head = [&7_u32.to_le_bytes()[..], &0_u64.to_le_bytes()].concat();
        self.handle.send(ROUTE_DATA, &[&head[..], data].concat()).await.expect("it is open");
        self.ask(ROUTE_DONE, &7_u32.to_le_bytes()).await.0
    }

    async fn leave(self) {
        self.handle.finish();
        tokio::time::timeout(PATIENCE, self.runner).await.expect("it ends").expect("well");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there").map_while(Result::ok);
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// SHA-256 of `x`.
const DIGEST_X: [u8; 32] = [
    0x2d, 0x71, 0x16, 0x42, 0xb7, 0x26, 0xb0, 0x44, 0x01, 0x62, 0x7c, 0xa9, 0xfb, 0xac, 0x32, 0xf5,
    0xc8, 0x53, 0x0f, 0xb1, 0x90, 0x3c, 0xc4, 0xdb, 0x02, 0x25, 0x87, 0x17, 0x92, 0x1a, 0x48, 0x81,
];

/// Carries one connection to `target`; gives its address, and what cuts it.
fn relay(target: &str) -> (String, mpsc::Receiver<[TcpStream; 2]>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let target = target.to_owned();
    let (tell, told) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let (near, _) = listener.accept().expect("somebody dials");
        let far = TcpStream::connect(target).expect("it listens");
        let ends = || [near.try_clone().expect("a socket"), far.try_clone().expect("a socket")];
        tell.send(ends()).expect("it is waited for");
        let [mut from, mut to] = ends();
        // It ends when it is cut.
        thread::spawn(move || io::copy(&mut from, &mut to));
        let _ = io::copy(&mut &far, &mut &near);
    });
    (address, told)
}

/// The last word of a sender that has finished is lost with the connection, and nobody comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_receives_once_ends_without_the_last_word() {
    let inbox = folder("wire-last");
    let mut receiver =
        Running::start(&["receive", "--once", &inbox.display().to_string(), "127.0.0.1:0"]);
    let (address, ends) = relay(&receiver.address());
    let sender = Sender::with(&address, move |_: &mut Peer<'_>, event: Incoming<'_>| {
        if matches!(event, Incoming::Finished) {
            for end in ends.try_recv().expect("one connection") {
                // The other end may have gone first.
                let _ = end.shutdown(Shutdown::Both);
            }
        }
    });
    assert_eq!(sender.offer("x", 1, DIGEST_X).await.0, Status::OK);
    assert_eq!(sender.push(b"x").await, Status::OK);
    sender.handle.finish();
    receiver.wait_for("connection lost");
    // Whether it knows that all is well or not: nobody comes back.
    sender.runner.abort();
    let (status, said) = receiver.finish();
    assert!(status.success(), "{said}");
    assert_eq!(fs::read(inbox.join("x")).expect("it is there"), b"x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_leads_out_of_the_folder() {
    let base = folder("wire-names");
    let (inbox, outside) = (base.join("inbox"), base.join("outside"));
    fs::create_dir_all(inbox.join("real")).expect("it can be made");
    fs::create_dir_all(&outside).expect("it can be made");
    fs::write(outside.join("kept"), "kept").expect("it can be written");
    let absolute = outside.join("absolute").display().to_string();
    let mut bad = vec!["../x", "..", "real/../../x", "./x", "/", "", "real//x", "..\\x", "C:x"];
    bad.extend([absolute.as_str(), ".outlast-x.part", "x\0", "x\n"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        symlink(&outside, inbox.join("link")).expect("it can be made");
        symlink("../..", inbox.join("real/up")).expect("it can be made");
        symlink(outside.join("kept"), inbox.join("file")).expect("it can be made");
        symlink(outside.join("new"), inbox.join("dangling")).expect("it can be made");
        bad.extend(["link/x", "link/deep/x", "real/up/x", "file", "dangling"]);
    }
    // Replacing is allowed here, which must not mean replacing what a link leads to.
    let args = ["receive", "--overwrite", &inbox.display().to_string(), "127.0.0.1:0"];
    let mut receiver = Running::start(&args);
    let before = names(&inbox);
    let sender = Sender::connect(&receiver.address());
    for name in bad {
        let (status, reason) = sender.offer(name, 1, DIGEST_X).await;
        assert!(status == Status::APP, "{name:?}: {reason:?}");
        assert_eq!(sender.push(b"x").await, Status::REFUSED, "{name:?}");
    }
    assert_eq!(names(&inbox), before);
    assert_eq!(names(&base), ["inbox", "outside"]);
    assert_eq!(names(&outside), ["kept"]);
    assert_eq!(fs::read(outside.join("kept")).expect("it is there"), b"kept");
    // The same offer with a name that stays inside is taken.
    assert_eq!(sender.offer("real/x", 1, DIGEST_X).await.0, Status::OK);
    assert_eq!(sender.push(b"x").await, Status::OK);
    assert_eq!(fs::read(inbox.join("real/x")).expect("it came"), b"x");
    sender.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_is_not_ended_by_somebody_who_sends_nothing() {
    let inbox = folder("wire-once");
    let inbox_name = inbox.display().to_string();
    let mut receiver = Running::start(&["receive", "--once", &inbox_name, "127.0.0.1:0"]);
    let address = receiver.address();
    let idle = Sender::connect(&address);
    assert_eq!(idle.offer("../x", 1, DIGEST_X).await.0, Status::APP);
    // The session has ended at both ends when this returns, and the receiver would have.
    idle.leave().await;
    let sender = Sender::connect(&address);
    assert_eq!(sender.offer("x", 1, DIGEST_X).await.0, Status::OK);
    assert_eq!(sender.push(b"x").await, Status::OK);
    sender.leave().await;
    let (status, said) = receiver.finish();
    assert!(status.success(), "{said}");
    assert_eq!(names(&inbox), ["x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_receiver_says_is_escaped() {
    let server = Server::builder().config(Config::SERVER).bind("127.0.0.1:0").await;
    let server = server.expect("a port");
    let address = server.local_addr().expect("bound").to_string();
    let running = server.start(|_: &SessionInfo| {
        |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Request { id, .. } => {
                let reason = b"\x1b]0;title\x07\x1b[2J\x1b[31mEVIL\x1b[0m\r\n";
                peer.respond(id, Status::APP, reason).expect("there is room");
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    });
    let running = running.expect("it runs");
    let file = folder("wire-escaped").join("file");
    fs::write(&file, noise(1, 10)).expect("it can be written");
    let file = file.display().to_string();
    let said = tokio::task::spawn_blocking(move || common::run(&["send", &file, &address]));
    let (status, said) = said.await.expect("it ended");
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("EVIL"), "{said}");
    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
    running.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_arrived_stays_as_it_is() {
    let inbox = folder("wire-shared");
    let args = ["receive", &inbox.display().to_string(), "127.0.0.1:0"];
    let mut receiver = Running::start(&args);
    let address = receiver.address();
    let (evil, honest) = (Sender::connect(&address), Sender::connect(&address));
    assert_eq!(evil.offer("other", 1, DIGEST_X).await.0, Status::OK);
    assert_eq!(honest.offer("report", 1, DIGEST_X).await.0, Status::OK);
    assert_eq!(honest.push(b"x").await, Status::OK);
    assert_eq!(evil.push(b"E").await, Status::APP, "it is not what was offered");
    assert_eq!(honest.push(b"E").await, Status::REFUSED, "it is over");
    assert_eq!(fs::read(inbox.join("report")).expect("it came"), b"x");
    evil.leave().await;
    honest.leave().await;
    assert_eq!(names(&inbox), ["report"]);
}
