//! `outlast serve` ends, or is ended, and another one goes on with its sessions.
#![cfg(unix)]

mod common;
mod talkers;

use std::time::{Duration, Instant};

use common::{Folder, Running};
use talkers::{Talker, Verdict, until};

/// A server of this folder, which sends back what comes, and its address. It is ready.
fn serve(address: &str, folder: &Folder, more: &[&str]) -> (Running, String, Instant) {
    let args = [
        "serve",
        "--echo",
        "--quiet",
        address,
        "--snapshots",
        &folder.path("sessions"),
        // All clients have one address here.
        "--set",
        "connections.max_per_source=10000",
        "--set",
        "connections.source_rate=unlimited",
        "--set",
        "connections.total_rate=unlimited",
    ];
    let mut server = Running::start(&[&args[..], more].concat());
    let address = server.address();
    server.wait_for("of an earlier server go on");
    (server, address, Instant::now())
}

/// How many sessions go on, as a server said it when it began.
fn going_on(server: &Running) -> usize {
    let said = server.seen();
    let line = said.lines().find(|line| line.ends_with("of an earlier server go on")).unwrap();
    let (_, count) = line.rsplit_once("; ").unwrap();
    count.split(' ').next().unwrap().parse().unwrap()
}

/// Clients that talk all the time, from one server to the next one. SIGTERM: it ends with 0 within
/// its deadline, everything that was acknowledged has had its effect exactly once, and everybody
/// comes back. How long that took is printed: docs/receipts.md says how to measure it.
#[tokio::test(flavor = "multi_thread")]
async fn busy_sessions_survive_a_server_that_is_told_to_end() {
    const CLIENTS: usize = 500;
    const GRACE: Duration = Duration::from_secs(5);
    let folder = Folder::new("busy");
    let grace = ["--grace", "5000"];
    let (server, address, _) = serve("127.0.0.1:0", &folder, &grace);
    let talkers: Vec<Talker> = (0..CLIENTS).map(|_| Talker::start_long(&address)).collect();
    until("everybody talks", || talkers.iter().all(|talker| talker.acknowledged() >= 10)).await;
    let told = Instant::now();
    server.signal("TERM");
    let (status, said) = server.finish();
    let took = told.elapsed();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains(&format!("{CLIENTS} sessions are stored in")), "{said}");
    assert!(took <= GRACE + Duration::from_secs(10), "it took {took:?}");

    let (server, _, ready) = serve(&address, &folder, &grace);
    assert_eq!(going_on(&server), CLIENTS);
    until("everybody is back", || talkers.iter().all(|talker| talker.resumed() > 0)).await;
    let mut back: Vec<Duration> =
        talkers.iter().map(|talker| talker.back_at().saturating_duration_since(ready)).collect();
    back.sort_unstable();
    // On a machine with nothing else to do it is 2 s for the last; the back-off of clients that are
    // told nothing would go up to a minute.
    assert!(back[CLIENTS / 2] <= Duration::from_secs(20), "{back:?}");
    println!(
        "it ended {took:?} after SIGTERM; of {CLIENTS} sessions half were resumed {:?} and the \
         last {:?} after the next server was ready",
        back[CLIENTS / 2],
        back[CLIENTS - 1]
    );
    let marks: Vec<u64> = talkers.iter().map(Talker::acknowledged).collect();
    until("everybody talks again", || {
        talkers.iter().zip(&marks).all(|(talker, mark)| talker.acknowledged() >= mark + 5)
    })
    .await;
    talkers.iter().for_each(Talker::stop);
    for talker in talkers {
        // Whatever was said has come back, once and in order, before and behind the end.
        assert_eq!(talker.end().await, Verdict::Whole);
    }
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
}

/// A server that is killed, with snapshots that it took at an interval: who was quiet goes on, and
/// who was not goes on as well or is told what is not known to have arrived.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_quiet_survives_a_server_that_is_killed() {
    let folder = Folder::new("killed");
    let every = ["--set", "snapshots.every=100 ms"];
    let (server, address, _) = serve("127.0.0.1:0", &folder, &every);
    let (quiet, busy): (Vec<Talker>, Vec<Talker>) =
        (0..20).map(|_| (Talker::start(&address), Talker::start(&address))).unzip();
    until("everybody talks", || {
        quiet.iter().chain(&busy).all(|talker| talker.acknowledged() >= 10)
    })
    .await;
    quiet.iter().for_each(Talker::pause);
    until("the quiet ones are", || quiet.iter().all(Talker::is_quiet)).await;
    // The file is another one each time. The second one from now on was begun after now.
    let read = || std::fs::read(folder.path("sessions/sessions.snapshot")).ok();
    for _ in 0..3 {
        let before = read();
        until("sessions are stored", || read() != before).await;
    }
    server.kill();
    let (server, _, _) = serve(&address, &folder, &every);
    assert_eq!(going_on(&server), 40);
    quiet.iter().for_each(Talker::go_on);
    until("everybody has heard", || {
        quiet.iter().all(|talker| talker.resumed() > 0)
            && busy.iter().all(|talker| talker.resumed() > 0 || talker.is_lost())
    })
    .await;
    for talker in quiet {
        assert_eq!(talker.end().await, Verdict::Whole);
    }
    let mut lost = 0;
    for talker in busy {
        match talker.end().await {
            Verdict::Whole => {}
            Verdict::Told => lost += 1,
        }
    }
    println!("of 20 busy sessions {lost} were lost, and their clients told what with them");
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
}

/// What a server stored when it ended is of no use once another one has gone on with it: nobody may
/// be told by it what arrived.
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_of_an_end_are_old_once_another_server_went_on() {
    let folder = Folder::new("drained");
    // With another key the third server would not even look at who comes.
    let same_keys = ["--set", "session.rotate_keys=false"];
    let (first, address, _) = serve("127.0.0.1:0", &folder, &same_keys);
    let talkers: Vec<Talker> = (0..20).map(|_| Talker::start(&address)).collect();
    until("everybody talks", || talkers.iter().all(|talker| talker.acknowledged() >= 10)).await;
    let held = Talker::start(&address);
    until("one more talks", || held.acknowledged() >= 10).await;
    held.pause();
    until("it is quiet", || held.is_quiet()).await;
    first.signal("TERM");
    assert_eq!(first.finish().0.code(), Some(0));
    let (second, _, _) = serve(&address, &folder, &same_keys);
    let marks: Vec<u64> = talkers.iter().map(Talker::acknowledged).collect();
    until("everybody talks again", || {
        talkers.iter().zip(&marks).all(|(talker, mark)| talker.acknowledged() >= mark + 5)
    })
    .await;
    until("the quiet one is there", || held.resumed() > 0).await;
    second.kill();
    let (third, _, _) = serve(&address, &folder, &same_keys);
    assert_eq!(going_on(&third), 21);
    until("everybody has heard", || talkers.iter().all(Talker::is_lost)).await;
    for talker in talkers {
        assert_eq!(talker.end().await, Verdict::Told);
    }
    until("who was quiet is back", || held.resumed() > 1).await;
    held.go_on();
    assert_eq!(held.end().await, Verdict::Whole);
    third.signal("INT");
    assert_eq!(third.finish().0.code(), Some(0));
}

/// Another server may be started before the first one ends: it waits for the folder, and not longer
/// than that takes.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_waits_for_the_one_before_it() {
    let folder = Folder::new("waits");
    let (first, address, _) = serve("127.0.0.1:0", &folder, &[]);
    let talker = Talker::start(&address);
    until("it talks", || talker.acknowledged() >= 10).await;
    let sessions = folder.path("sessions");
    let args = ["serve", "--echo", "--quiet", "--grace", "600000", "--snapshots", &sessions];
    let mut second = Running::start(&[&args[..], &[&address]].concat());
    second.wait_for("waiting for the server that has");
    // Told to end before it has begun.
    let mut third = Running::start(&[&args[..], &["127.0.0.1:0"]].concat());
    third.wait_for("waiting for the server that has");
    third.signal("TERM");
    assert_eq!(third.finish().0.code(), Some(0));
    first.signal("TERM");
    assert_eq!(first.finish().0.code(), Some(0));
    second.wait_for("1 of an earlier server go on");
    until("it is back", || talker.resumed() > 0).await;
    // Another one with a folder that nobody lets go of.
    let args = ["serve", "--grace", "0", "--snapshots", &sessions, "127.0.0.1:0"];
    let (status, said) = common::run(&args);
    assert!(!status.success() && said.contains("another server has"), "{said}");
    assert_eq!(talker.end().await, Verdict::Whole);
}
