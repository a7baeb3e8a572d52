//! The tokio server: sends every message back, and finishes when the client does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use outlast_tokio::{Incoming, Peer, SessionInfo};
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::board::Report;
use crate::options::Options;

/// What the server saw.
#[derive(Default)]
struct Seen {
    sessions: AtomicU32,
    messages: AtomicU32,
    ended: AtomicU32,
    refused: AtomicU32,
    resumed: AtomicU32,
}

/// A server, running until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start(address: &str) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let seen = Arc::new(Seen::default());
        let listening = runtime
            .block_on(outlast_tokio::Server::builder().bind(address))
            .map_err(|e| format!("{address}: {e}"))?;
        let address = listening.local_addr().map_err(|e| e.to_string())?;
        let counter = Arc::clone(&seen);
        runtime.spawn(listening.serve(move |_: &SessionInfo| {
            let seen = Arc::clone(&counter);
            seen.sessions.fetch_add(1, Ordering::Relaxed);
            move |peer: &mut Peer<'_>, event: Incoming<'_>| hear(&seen, peer, event)
        }));
        Ok(Self { address, seen, _runtime: runtime })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Messages that came so far.
    pub(crate) fn messages(&self) -> u32 {
        self.seen.messages.load(Ordering::Relaxed)
    }

    /// What the board reported and what the server saw agree: each message came once.
    pub(crate) fn check(&self, options: &Options, report: &Report) -> Outcome {
        // The last thing that the client hears is not the last that the server does.
        let start = Instant::now();
        while self.seen.ended.load(Ordering::Relaxed) == 0
            && start.elapsed() < Duration::from_secs(60)
        {
            std::thread::yield_now();
        }
        let Seen { sessions, messages, ended, refused, resumed } = &*self.seen;
        let seen = [sessions, messages, ended, refused, resumed]
            .map(|number| number.load(Ordering::Relaxed));
        let resumes = u32::from(options.reset_at > 0);
        // Loss alone breaks no connection, but it may.
        let expected = [1, options.count, 1, 0, if options.loss > 0 { seen[4] } else { resumes }];
        if seen == expected && report.number("came_back") == Some(options.count) {
            return check_log(options, report, seen[4]);
        }
        Err(format!("sessions, messages, ended, refused, resumed: {seen:?}; {report:?}"))
    }
}

impl Server {
    /// As [`check`](Self::check) for the second boot of a board: its session is one of two, and
    /// ended well.
    pub(crate) fn check_last(&self, count: u32, report: &Report) -> Outcome {
        let sessions = self.seen.sessions.load(Ordering::Relaxed);
        if sessions == 2 && report.number("came_back") == Some(count) {
            return Ok(());
        }
        Err(format!("{sessions} sessions; the board: {report:?}"))
    }
}

/// Bytes of a message of the application as a frame, and of FIN.
const MESSAGE: u32 = 4 + 64;
const FIN: u32 = 4;

/// The log tells of one session, of as many resumes as the server saw, of a good end, and of
/// positions that are those of all messages.
fn check_log(options: &Options, report: &Report, resumed: u32) -> Outcome {
    let lines = &report.lines;
    let count = |begin: &str| lines.iter().filter(|line| line.starts_with(begin)).count();
    let position = u64::from(options.count) * u64::from(MESSAGE) + u64::from(FIN);
    let sent = format!("at sent Position({position}) received Position(");
    // A session that was resumed got other keys, which count as well.
    let both = format!("{sent}{position})");
    let at = if resumed == 0 { &both } else { &sent };
    let ended = "disconnected: CloseCode(0) by ";
    let wanted =
        [("opened", 1), ("resumed, ", resumed as usize), ("ended", 1), (at, 1), (ended, 1)];
    for (begin, times) in wanted {
        let found = count(begin);
        if found != times && !(begin == ended && found > times) {
            return Err(format!("the log says `{begin}` {found} times, not {times}: {lines:?}"));
        }
    }
    let order: Vec<_> = ["boot ", "dialling, ", "opened", "ended", "done "]
        .iter()
        .map(|begin| lines.iter().position(|line| line.starts_with(begin)))
        .collect();
    if order.is_sorted() && !order.contains(&None) {
        Ok(())
    } else {
        Err(format!("the log is in another order: {lines:?}"))
    }
}

fn hear(seen: &Seen, peer: &mut Peer<'_>, event: Incoming<'_>) {
    match event {
        Incoming::Message { route, payload, .. } => {
            seen.messages.fetch_add(1, Ordering::Relaxed);
            if peer.send(route, payload).is_err() {
                seen.refused.fetch_add(1, Ordering::Relaxed);
            }
        }
        Incoming::Finished => peer.finish(),
        Incoming::Resumed { .. } => {
            seen.resumed.fetch_add(1, Ordering::Relaxed);
        }
        Incoming::Ended => {
            seen.ended.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    }
}
