//! The game: who is slow or away is told where everybody is, and not where everybody was.

mod common;

use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};

use common::{LONG, RUNTIMES, Relay, Running};
use outlast_apps::game::{JOIN, Place, Told};
use outlast_service::core::wire::Status;
use outlast_service::{Handle, Incoming, Peer};
use outlast_tokio::{Client, Config, Position, Release};

const PROGRAM: &str = env!("CARGO_BIN_EXE_game");

fn start(runtime: &str) -> (Running, String) {
    let args = ["--listen", "127.0.0.1:0", "--runtime", runtime];
    let mut server = Running::start(PROGRAM, &args);
    let at = server.address("the board is on");
    (server, at)
}

fn player(runtime: &str, at: &str, args: &[&str]) -> Running {
    let usual = ["--server", at, "--runtime", runtime, "--patience", "20"];
    Running::start(PROGRAM, &[args, &usual].concat())
}

/// Where a bot says that it went.
fn walked(line: &str) -> Place {
    let mut numbers = line.rsplit(' ').map(|it| it.parse().unwrap());
    let y = numbers.next().unwrap();
    Place { x: numbers.next().unwrap(), y }
}

#[test]
fn who_was_away_sees_the_newest_position_and_no_backlog() {
    for runtime in RUNTIMES {
        let (mut server, at) = start(runtime);
        let wire = Relay::to(&at);
        let mut ann = player(runtime, &wire.address(), &["play", "ann"]);
        ann.wait_for("(ann is here)");
        // A cable is pulled, and meanwhile somebody comes, walks far, and somebody goes.
        let cid = player(runtime, &at, &["bot", "cid", "--moves", "1", "--stay"]);
        ann.wait_for("(cid is here)");
        wire.shut();
        server.wait_for("ann is away");
        let mut bob = player(runtime, &at, &["bot", "bob", "--moves", "5000", "--stay"]);
        let there = walked(&bob.wait_for("bob walked to"));
        drop(cid);
        // It is gone without a word: its session is still there, and it is on the board.
        server.wait_for("cid is away");
        let mut dan = player(runtime, &at, &["bot", "dan", "--moves", "1"]);
        dan.wait_for("dan walked to");
        server.wait_for("dan leaves");
        wire.open();
        ann.wait_for("(bob is here)");
        ann.wait_for("(dan is here)");
        ann.wait_for("(dan has left)");
        ann.wait_for(&format!("bob is at {} {}", there.x, there.y));
        let told = ann.seen().iter().filter(|line| line.starts_with("bob is at")).count();
        assert_eq!(told, 1, "of 5000 steps the last: {:?}", ann.seen());
        bob.end_input();
        ann.wait_for("(bob has left)");
        ann.end_input();
        let (status, all) = ann.finish();
        assert!(status.success(), "{all}");
    }
}

/// Takes everything that comes when it is let, and nothing before.
struct Slow {
    told: std::sync::mpsc::SyncSender<Told>,
    awake: Arc<Mutex<bool>>,
}

impl outlast_service::Handler for Slow {
    fn handle(&mut self, _: &mut Peer<'_>, event: Incoming<'_>) {
        if let Incoming::Message { route, payload } = event {
            self.told.send(Told::read(route, payload).expect("what the server says")).unwrap();
        }
    }

    fn taken(&self, received: Position) -> Option<Position> {
        self.awake.lock().unwrap().then_some(received)
    }
}

async fn slow(at: &str) -> (Handle, Receiver<Told>, Arc<Mutex<bool>>) {
    let (told, hears) = sync_channel(100_000);
    let awake = Arc::new(Mutex::new(false));
    let window = 20_000;
    let config = Config { window, window_max: window, release: Release::Manual, ..Config::CLIENT };
    let handler = Slow { told, awake: Arc::clone(&awake) };
    let (handle, runner) = Client::builder().address(at).config(config).connect(handler).unwrap();
    tokio::spawn(runner);
    let answer = handle.request(JOIN, b"sloth").await.unwrap();
    assert_eq!((answer.status, &answer.payload[..]), (Status::OK, &b"1"[..]));
    (handle, hears, awake)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_sees_the_newest_position_and_every_coming_and_going() {
    for runtime in RUNTIMES {
        let (_server, at) = start(runtime);
        let (handle, hears, awake) = slow(&at).await;
        let mut bob = player(runtime, &at, &["bot", "bob", "--moves", "20000", "--stay"]);
        let there = walked(&bob.wait_for("bob walked to"));
        // More than its window holds has been said, and it has taken nothing.
        *awake.lock().unwrap() = true;
        handle.try_send(0u32, b"").unwrap();
        let (mut positions, mut last, mut told) = (0, None, Vec::new());
        while last != Some(there) || told.last() != Some(&Told::Left(2)) {
            match hears.recv_timeout(LONG).expect("the newest position, and that he leaves") {
                Told::At(number, place) => {
                    assert_eq!(number, 2);
                    (positions, last) = (positions + 1, Some(place));
                    if last == Some(there) {
                        bob.end_input();
                    }
                }
                other => told.push(other),
            }
        }
        let comings = [(1, "sloth"), (2, "bob")].map(|(n, name)| Told::Joined(n, name.into()));
        assert_eq!(told[..2], comings);
        assert_eq!(told.len(), 3);
        // So many fit its window; each is eight bytes, its header and its route.
        assert!(positions < 20_000 / 10, "{positions} of 20000");
        handle.finish();
        assert!(handle.closed().await.complete);
    }
}

#[test]
fn who_cannot_take_part_is_told_why() {
    let (_server, at) = start("tokio");
    let mut nobody = player("tokio", &at, &["play", &"x".repeat(21)]);
    nobody.wait_for("(not let in: a name has 1 to 20 characters)");
    let mut ann = player("smol", &at, &["play", "ann"]);
    ann.wait_for("(ann is here)");
    let mut bob = player("tokio", &at, &["play", "bob"]);
    bob.wait_for("(ann is here)");
    ann.wait_for("(bob is here)");
    for (typed, seen) in [("3 4", "3 4"), ("d", "4 4"), ("s", "4 5"), ("0 0", "0 0"), ("w", "0 0")]
    {
        bob.type_line(typed);
        ann.wait_for(&format!("bob is at {seen}"));
    }
    bob.type_line("1000 0");
    bob.wait_for("the board is 1000 by 1000");
}
