//! `outlast connect`: lines to a server and back.

use std::collections::VecDeque;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_config::{Address, ClientSettings, Effective, Origin};
use outlast_core::wire::HEADER_LEN;
use outlast_tokio::{Handle, Handler, Incoming, Peer, RequestError, Route, SendError};
use tokio::sync::{Notify, mpsc};

use super::common::{Dialing, Notices, base, client, lost_words, plain_client, stopped};
use super::foreign::Foreign;
use super::settings::{Configured, over, read};
use super::{Outcome, block_on, print};
use crate::inspect::readable;
use crate::progress::Board;

/// Lines read ahead.
const LINES_AHEAD: usize = 64;
/// A full or closed queue is looked at again after this long at the latest.
const RETRY: Duration = Duration::from_millis(100);

/// Send lines to a server and print what comes back
///
/// Every line of standard input is a message. Broken connections are mended; lines typed meanwhile
/// are delivered then. If a server was restarted that stores no sessions, they are gone: what
/// certainly did not arrive is sent again in a new one, and what may or may not have arrived is
/// shown.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where the server listens, host:port; either part may be left out
    ///
    /// Without it: 127.0.0.1:7411, or what the settings say.
    #[arg(value_name = "ADDR")]
    address: Option<Address>,
    /// Send lines as requests and print the answers, one after the other
    #[arg(long)]
    request: bool,
    /// Route number of the messages (the server may use it to tell them apart)
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    route: u32,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    dialing: Dialing,
    #[command(flatten)]
    configured: Configured,
    /// Say nothing about the connection
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  outlast connect                             # to 127.0.0.1:7411; type lines, end with Ctrl-D
  outlast connect --request example.org:7411  # each line is a request
  journalctl -f | outlast connect logs.example.org
  outlast connect --format msgtrans --request # to another system's server; ends when it is quiet";

pub(crate) fn run(args: &Args) -> Outcome {
    let sources =
        over(args.configured.sources()?, "connect.addresses", args.address.as_ref(), "ADDR");
    let sources = args.dialing.over(args.foreign.over(sources, "connect")?);
    let Some(read) = read(sources, base(), args.configured.print_config)? else {
        return Ok(ExitCode::SUCCESS);
    };
    need_no_pool(read.current())?;
    let settings = &read.current().settings;
    let address = settings.addresses.first().cloned().unwrap_or_default();
    if let Some(format) = settings.format()? {
        let client = plain_client(settings, format, &args.dialing.tap)?;
        let (board, lines) = (Arc::new(Board::new(args.quiet)), read_lines());
        return block_on(super::foreign::connect(client, lines, board, args.route, args.request));
    }
    let client = client(settings, &args.dialing.tap)?;
    let board = Arc::new(Board::new(args.quiet));
    block_on(async {
        let notices = Notices::new(&board, &address);
        let health = Arc::clone(&notices.health);
        let desk = Arc::new(Desk::default());
        let handler = Line { notices, board: Arc::clone(&board), desk: Arc::clone(&desk) };
        let (handle, runner) = client.connect(handler).map_err(|error| error.to_string())?;
        let mut runner = tokio::spawn(runner);
        let hint = format!("no answer from {}: is `outlast serve` running there", address);
        tokio::spawn(Notices::complain(Arc::clone(&health), Arc::clone(&board), hint));
        let mut lines = read_lines();
        let route = Route::new(args.route);
        let work = async {
            if args.request {
                ask(&handle, route, &mut lines, &board).await
            } else {
                talk(&handle, route, &mut lines, &desk).await
            }
        };
        let outcome = tokio::select! {
            outcome = work => outcome,
            closed = &mut runner => {
                let closed = closed.map_err(|error| error.to_string())?;
                if closed.complete {
                    board.say("* the server ended the session; everything arrived");
                    return Ok(ExitCode::SUCCESS);
                }
                return Err(stopped(&closed, &address));
            }
        };
        outcome?;
        // Everything has arrived; what the server still has to say is printed until it is done.
        handle.finish();
        let closed = runner.await.map_err(|error| error.to_string())?;
        if closed.complete {
            return Ok(ExitCode::SUCCESS);
        }
        Err(stopped(&closed, &address))
    })
}

/// What is said of a pool is for programs that open one; a preset may say it to everybody.
fn need_no_pool(effective: &Effective<ClientSettings>) -> Result<(), String> {
    let said = effective
        .origins()
        .iter()
        .find(|(key, origin)| key.starts_with("pool.") && !matches!(origin, Origin::Preset(_)));
    match said {
        Some((key, origin)) => {
            Err(format!("{origin}: {key} has no effect here: this command opens one session"))
        }
        None => Ok(()),
    }
}

/// Lines of standard input. A thread reads them, since there is no other way that works for
/// terminals, pipes and files alike.
fn read_lines() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        loop {
            let mut line = Vec::new();
            match input.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            while line.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
                line.pop();
            }
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What the handler and the one who sends share.
#[derive(Debug, Default)]
struct Desk {
    queue: Mutex<Queue>,
    /// Something changed: there may be room, or lines to repeat, or everything has arrived.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    /// Lines of a lost session that certainly did not arrive.
    again: VecDeque<Vec<u8>>,
    /// Bytes of frames handed to the present session, and how many of them the server took.
    queued: u64,
    taken: u64,
}

impl Desk {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the next line that is due: those to be repeated go first. The lock is held over the
    /// attempt, so that a session that is lost at this moment has its lines repeated in order.
    fn try_next(
        &self,
        handle: &Handle,
        route: Route,
        fresh: &mut Option<Vec<u8>>,
    ) -> Result<bool, SendError> {
        let mut queue = self.queue();
        let repeated = !queue.again.is_empty();
        let Some(line) = queue.again.front().or(fresh.as_ref()) else {
            return Ok(false);
        };
        handle.try_send(route, line)?;
        queue.queued += (HEADER_LEN + route.encoded_len() + line.len()) as u64;
        if repeated {
            queue.again.pop_front();
        } else {
            *fresh = None;
        }
        Ok(true)
    }

    fn all_taken(&self) -> bool {
        let queue = self.queue();
        queue.again.is_empty() && queue.taken >= queue.queued
    }
}

/// Sends lines as messages, until there are no more and the server has taken them all.
async fn talk(
    handle: &Handle,
    route: Route,
    lines: &mut mpsc::Receiver<Vec<u8>>,
    desk: &Desk,
) -> Result<(), String> {
    let mut fresh: Option<Vec<u8>> = None;
    let mut more = true;
    loop {
        match desk.try_next(handle, route, &mut fresh) {
            Ok(true) => {}
            Ok(false) if !more && desk.all_taken() => return Ok(()),
            Ok(false) => {
                tokio::select! {
                    line = lines.recv(), if more => match line {
                        Some(line) => fresh = Some(line),
                        None => more = false,
                    },
                    () = desk.changed.notified() => {}
                }
            }
            Err(SendError::TooLarge { .. } | SendError::TooLongForFrame { .. }) => {
                let long = desk.queue().again.pop_front().or_else(|| fresh.take());
                send_long(handle, route, &long.unwrap_or_default()).await?;
            }
            // A closed session is about to be replaced, or the runner's end says why not.
            Err(_) => {
                let _ = tokio::time::timeout(RETRY, desk.changed.notified()).await;
            }
        }
    }
}

/// A line longer than a frame goes in parts, and is waited for until the server has it.
async fn send_long(handle: &Handle, route: Route, line: &[u8]) -> Result<(), String> {
    loop {
        let sent = match handle.send_receipted(route, line).await {
            Ok(receipt) => receipt.await,
            Err(SendError::Closed(closed)) => Err(closed),
            Err(error) => return Err(format!("a line of {} bytes: {error}", line.len())),
        };
        match sent {
            Ok(()) => return Ok(()),
            // It is not complete at a server that no longer exists.
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Sends lines as requests, each after the answer to the one before.
async fn ask(
    handle: &Handle,
    route: Route,
    lines: &mut mpsc::Receiver<Vec<u8>>,
    board: &Board,
) -> Result<(), String> {
    while let Some(line) = lines.recv().await {
        loop {
            match handle.request(route, &line).await {
                Ok(answer) if answer.status.is_ok() => {
                    print(&format!("{}\n", readable(&answer.payload)));
                }
                Ok(answer) => {
                    let (status, text) = (answer.status.0, readable(&answer.payload));
                    print(&format!("(status {status}) {text}\n"));
                }
                Err(RequestError::NotSent(SendError::Closed(_))) => {
                    // It never went out, so that it may go out in the next session.
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Err(RequestError::NotSent(error)) => return Err(error.to_string()),
                Err(error) => board.say(&format!("* `{}`: {error}", readable(&line))),
            }
            break;
        }
    }
    Ok(())
}

/// The client's side of the session.
struct Line {
    notices: Notices,
    board: Arc<Board>,
    desk: Arc<Desk>,
}

impl Handler for Line {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        self.notices.note(peer, &event);
        match event {
            Incoming::Message { payload, .. } => print(&format!("{}\n", readable(payload))),
            Incoming::Request { id, payload, .. } => {
                print(&format!("? {}\n", readable(payload)));
                // It fails only if the session is over, which is told elsewhere.
                let _ = peer.respond(id, outlast_tokio::Status::OK, &[]);
            }
            Incoming::Note { payload, .. } => print(&format!("~ {}\n", readable(payload))),
            Incoming::Lost { code, peer_received, undelivered } if self.notices.has_begun() => {
                let lines: Vec<Vec<u8>> =
                    undelivered.missing().map(|(_, line)| line.to_vec()).collect();
                let lost = lost_words(code, peer_received);
                self.board.say(&format!("* {lost}"));
                for (_, line) in undelivered.unknown() {
                    let line = readable(line);
                    self.board.say(&format!("* may or may not have arrived: {line}"));
                }
                if !lines.is_empty() {
                    let count = lines.len();
                    self.board.say(&format!("* {count} lines did not arrive; they are sent again"));
                }
                let mut queue = self.desk.queue();
                (queue.queued, queue.taken) = (0, 0);
                for line in lines.into_iter().rev() {
                    queue.again.push_front(line);
                }
                drop(queue);
                self.desk.changed.notify_one();
            }
            Incoming::Acknowledged { position } => {
                self.desk.queue().taken = position.get();
                self.desk.changed.notify_one();
            }
            Incoming::Opened | Incoming::Resumed { .. } => self.desk.changed.notify_one(),
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}
