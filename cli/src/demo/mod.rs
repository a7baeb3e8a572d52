//! `outlast demo` at work: one server, some clients, and a proxy between them that makes trouble.

mod client;
mod corpus;
mod report;
mod server;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use outlast_tokio::{Config, Server, SessionInfo};
use tokio::task::JoinSet;

pub(crate) use report::Report;

use crate::progress::Board;
use crate::proxy::{Chaos, Control, Proxy};
use crate::tap::Tapping;
use client::{Client, Finished};

/// Between two looks at what happens.
const TICK: Duration = Duration::from_millis(100);
/// How long the last connections get to complete what they have begun.
const FAREWELL: Duration = Duration::from_secs(20);

/// What is to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// Times that sessions must have gone on over another connection.
    pub(crate) cuts: u64,
    /// It runs at least so long, and at most so long if the cuts do not come.
    pub(crate) least: Duration,
    pub(crate) most: Duration,
    pub(crate) clients: u32,
    /// Files to carry; the source of this program if there are none.
    pub(crate) paths: Vec<PathBuf>,
    /// What the clients' connections go through.
    pub(crate) tapping: Tapping,
}

/// Limits and intervals of both ends: short enough that a dead path is noticed while one watches.
const CONFIG: Config = Config {
    idle_timeout_ms: 600,
    handshake_timeout_ms: 1_000,
    frame_timeout_ms: 3_000,
    ..Config::SERVER
};

/// Trouble of every kind, several times a second.
const CHAOS: Chaos = Chaos {
    cut_bytes: Some((16, 16 << 20)),
    cut_ms: Some((50, 800)),
    stall: 10,
    stall_ms: (50, 800),
    split: 15,
    throttle: 10,
    throttle_rate: (200_000, 2_000_000),
    half_open: 6,
    half_open_ms: (700, 2_500),
    ..Chaos::NONE
};

/// Runs the whole show; what was seen is in the report.
///
/// # Errors
///
/// If it could not begin: no port, no file.
pub(crate) async fn run(plan: &Plan, board: &Board) -> Result<Report, String> {
    let files = Arc::new(corpus::files(&plan.paths)?);
    let seed = plan.seed;
    let counts = Arc::new(server::Counts::default());
    let server = Server::builder().config(CONFIG).bind("127.0.0.1:0").await;
    let server = server.map_err(|error| format!("no port on this machine: {error}"))?;
    let seen = Arc::clone(&counts);
    let running = server.start(move |_: &SessionInfo| server::Desk::new(seed, Arc::clone(&seen)));
    let running = running.map_err(|error| error.to_string())?;
    let target = running.local_addr().to_string();
    let proxy = Proxy::bind("127.0.0.1:0", &target, CHAOS, seed, None).await;
    let proxy = proxy.map_err(|error| format!("no port on this machine: {error}"))?;
    let address = proxy.local_addr().map_err(|error| error.to_string())?.to_string();
    let control = proxy.control();
    let accepting = tokio::spawn(proxy.run());
    board.say(&format!(
        "{} clients, a proxy that cuts, stalls, splits, slows down and goes deaf, and a server; \
         {} files in {} bytes; --seed {seed}",
        plan.clients,
        files.len(),
        corpus::total(&files)
    ));
    let start = Instant::now();
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    let mut tasks = JoinSet::new();
    for index in 0..plan.clients {
        let client = Arc::new(Client::new(index, plan.clients, seed, Arc::clone(&files)));
        clients.push(Arc::clone(&client));
        let (address, stop) = (address.clone(), Arc::clone(&stop));
        let tapping = plan.tapping.clone();
        tasks.spawn(async move { client.run(&address, tapping, &stop).await });
    }
    let view = report::View::new(board, plan, corpus::total(&files));
    let in_time = watch(plan, &clients, &control, &view, &tasks, start).await;
    stop.store(true, Ordering::Relaxed);
    let finished = gather(&mut tasks).await;
    let time = start.elapsed();
    view.clear();
    accepting.abort();
    let mut report = Report::new(plan, time, in_time);
    report.add_network(&control.counts(), &counts);
    for (client, finished) in clients.iter().zip(finished) {
        report.add_client(client, finished);
    }
    report.set_files(&files);
    Ok(report)
}

/// Until everything promised has been seen; false if that took too long.
async fn watch(
    plan: &Plan,
    clients: &[Arc<Client>],
    control: &Control,
    view: &report::View<'_>,
    tasks: &JoinSet<(u32, Finished)>,
    start: Instant,
) -> bool {
    loop {
        tokio::time::sleep(TICK).await;
        let resumes: u64 = clients.iter().map(|client| client.health.facts().resumes).sum();
        view.show(clients, &control.counts(), resumes);
        let carried = clients.iter().all(|client| client.has_carried());
        let time = start.elapsed();
        if resumes >= plan.cuts && time >= plan.least && carried {
            return true;
        }
        // Nobody stops by itself, so who did has failed, and waiting would not help.
        let failed = tasks.len() > clients.iter().filter(|client| !client.is_over()).count();
        if time >= plan.most || failed {
            return false;
        }
    }
}

/// Everybody's last words, in the order of the clients.
async fn gather(tasks: &mut JoinSet<(u32, Finished)>) -> Vec<Finished> {
    let count = tasks.len();
    let mut finished: Vec<Finished> = (0..count).map(|_| Finished::missing()).collect();
    let all = async {
        while let Some(done) = tasks.join_next().await {
            if let Ok((index, words)) = done
                && let Some(slot) = finished.get_mut(index as usize)
            {
                *slot = words;
            }
        }
    };
    // Who is not done by then is reported as missing.
    let _ = tokio::time::timeout(FAREWELL, all).await;
    finished
}
