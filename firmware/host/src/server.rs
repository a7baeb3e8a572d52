//! The tokio server: sends every message back, and finishes when the client does.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use outlast_tokio::{Cause, CloseCode, Config, Incoming, Peer, SessionInfo};
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::board::Report;
use crate::options::Options;

/// How long to wait for what the server hears last, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server saw of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    messages: u32,
    ended: u32,
    refused: u32,
    resumed: Vec<Instant>,
    /// Why each connection went, and how many times the session had been resumed by then.
    disconnected: Vec<(CloseCode, Cause, usize)>,
}

/// All sessions, in the order in which they began.
type Sessions = Arc<Mutex<Vec<Seen>>>;

/// A server, running until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    sessions: Sessions,
    _runtime: Runtime,
}

fn lock(sessions: &Sessions) -> MutexGuard<'_, Vec<Seen>> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    pub(crate) fn start(address: &str) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|e| e.to_string())?;
        let sessions = Sessions::default();
        let listening = runtime
            .block_on(outlast_tokio::Server::builder().config(Config::SERVER).bind(address))
            .map_err(|e| format!("{address}: {e}"))?;
        let address = listening.local_addr().map_err(|e| e.to_string())?;
        let all = Arc::clone(&sessions);
        runtime.spawn(listening.serve(move |_: &SessionInfo| {
            let sessions = Arc::clone(&all);
            let number = {
                let mut sessions = lock(&sessions);
                sessions.push(Seen::default());
                sessions.len() - 1
            };
            move |peer: &mut Peer<'_>, event: Incoming<'_>| {
                if let Some(seen) = lock(&sessions).get_mut(number) {
                    seen.hear(peer, event);
                }
            }
        }));
        Ok(Self { address, sessions, _runtime: runtime })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) const fn port(&self) -> u16 {
        self.address.port()
    }

    /// Messages that came so far.
    pub(crate) fn messages(&self) -> u32 {
        lock(&self.sessions).iter().map(|seen| seen.messages).sum()
    }

    /// What the board reported and what the server saw agree: one session, and each message came
    /// once.
    pub(crate) fn check(&self, options: &Options, report: &Report) -> Outcome {
        self.check_session(1, options, report)
    }

    /// As [`check`](Self::check) for the second boot of a board: its session is the last of two.
    pub(crate) fn check_last(&self, options: &Options, report: &Report) -> Outcome {
        self.check_session(2, options, report)
    }

    /// The last of so many sessions brought every message once and ended well, and the log says the
    /// same.
    fn check_session(&self, many: usize, options: &Options, report: &Report) -> Outcome {
        // The last thing that the client hears is not the last that the server does.
        let start = Instant::now();
        while self.last().is_none_or(|seen| seen.ended == 0) && start.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        let sessions = lock(&self.sessions).len();
        let seen = self.last().unwrap_or_default();
        let told = format!("{sessions} sessions, the last of them {seen:?}; {report:?}");
        let resumes = if options.reset_at > 0 { 1 } else { 0 };
        // Loss alone breaks no connection, but it may.
        let resumes = if options.loss > 0 { seen.resumed.len() } else { resumes };
        let counts = (seen.messages, seen.ended, seen.refused, seen.resumed.len());
        if sessions != many
            || counts != (options.count, 1, 0, resumes)
            || report.number("came_back") != Some(options.count)
        {
            return Err(told);
        }
        if options.reset_at > 0 {
            let took = seen.check_ghost(report.reset).map_err(|why| format!("{why}: {told}"))?;
            println!("resumed {} ms after the board's reset", took.as_millis());
        }
        check_log(options, report, seen.resumed.len())
    }

    fn last(&self) -> Option<Seen> {
        lock(&self.sessions).last().cloned()
    }
}

impl Seen {
    fn hear(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload, .. } => {
                self.messages += 1;
                if peer.send(route, payload).is_err() {
                    self.refused += 1;
                }
            }
            Incoming::Finished => peer.finish(),
            Incoming::Resumed { .. } => self.resumed.push(Instant::now()),
            Incoming::Disconnected { code, cause } => {
                self.disconnected.push((code, cause, self.resumed.len()));
            }
            Incoming::Ended => self.ended += 1,
            _ => {}
        }
    }

    /// The board that had reset itself superseded the connection of before: that one ended before
    /// the session was resumed, by this end, with the code that says so, and before silence could
    /// have ended it. How long that took.
    fn check_ghost(&self, reset: Option<Instant>) -> Outcome<Duration> {
        let superseded = (CloseCode::SUPERSEDED, Cause::Local, 0);
        let before: Vec<_> =
            self.disconnected.iter().filter(|(.., resumed)| *resumed == 0).collect();
        if before != [&superseded] {
            return Err(format!("not superseded once before the resume, but {before:?}"));
        }
        let at = self.resumed.first().ok_or("never resumed")?;
        let took = at.saturating_duration_since(reset.ok_or("the log tells of no reset")?);
        let silence = Duration::from_millis(Config::SERVER.idle_timeout_ms.into());
        if took >= silence {
            return Err(format!("the resume came after {took:?}, when silence ends a connection"));
        }
        Ok(took)
    }
}

/// Bytes of a message of the application as a frame, and of FIN.
const MESSAGE: u32 = 4 + 64;
const FIN: u32 = 4;

/// The log tells of one session, of as many resumes as the server saw, of a good end, and of
/// positions that are those of all messages.
fn check_log(options: &Options, report: &Report, resumed: usize) -> Outcome {
    let lines = &report.lines;
    let count = |begin: &str| lines.iter().filter(|line| line.starts_with(begin)).count();
    let position = u64::from(options.count) * u64::from(MESSAGE) + u64::from(FIN);
    let sent = format!("at sent Position({position}) received Position(");
    // A session that was resumed got other keys, which count as well.
    let both = format!("{sent}{position})");
    let at = if resumed == 0 { &both } else { &sent };
    let ended = "disconnected: CloseCode(0) by ";
    let wanted = [("opened", 1), ("resumed, ", resumed), ("ended", 1), (at, 1), (ended, 1)];
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(disconnected: &[(CloseCode, Cause, usize)], resumed: &[Instant]) -> Seen {
        let (disconnected, resumed) = (disconnected.to_vec(), resumed.to_vec());
        Seen { disconnected, resumed, ..Seen::default() }
    }

    #[test]
    fn a_resume_counts_only_if_it_superseded_the_ghost_in_time() {
        let reset = Instant::now();
        let at = reset + Duration::from_millis(300);
        let superseded = (CloseCode::SUPERSEDED, Cause::Local, 0);
        let end = (CloseCode::OK, Cause::Peer, 1);
        let good = seen(&[superseded, end], &[at]);
        assert_eq!(good.check_ghost(Some(reset)), Ok(at - reset));
        assert!(good.check_ghost(None).is_err(), "no reset");
        let late = reset + Duration::from_secs(46);
        for (bad, why) in [
            (seen(&[end], &[at]), "nothing ended before"),
            (seen(&[(CloseCode::IDLE, Cause::Silence, 0), end], &[at]), "silence ended it"),
            (seen(&[(CloseCode::IDLE, Cause::Transport(None), 0), end], &[at]), "TCP ended it"),
            (seen(&[superseded, superseded, end], &[at]), "twice"),
            (seen(&[(CloseCode::SUPERSEDED, Cause::Local, 1), end], &[at]), "after the resume"),
            (seen(&[superseded, end], &[]), "no resume"),
            (seen(&[superseded, end], &[late]), "too late"),
        ] {
            assert!(bad.check_ghost(Some(reset)).is_err(), "{why}");
        }
    }
}
