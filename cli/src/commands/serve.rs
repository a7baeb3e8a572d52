//! `outlast serve`: a server to talk to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use outlast_tls::Maybe;
use outlast_tokio::plain::formats::AnyFormat;
use outlast_tokio::{
    Config, Handle, Handler, Incoming, Peer, Route, Server, ServerHandle, SessionInfo, Status,
};
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use super::admin::{Admin, Drained};
use super::common::{Access, short};
use super::foreign::Foreign;
use super::receive::announce;
use super::security::{ServerSecurity, reload_when_told};
use super::{Outcome, block_on, print};
use crate::address::{Address, DEFAULT};
use crate::inspect::readable;
use crate::text::bytes;
use crate::transfer::{Folder, Receiver};

/// How long clients get to leave when the server stops.
const GRACE: Duration = Duration::from_millis(500);
/// Messages that wait to be sent back to one client.
const ECHO_AHEAD: usize = 4096;
/// Their bytes. A longer message is sent back if no other one waits.
const ECHO_BYTES: usize = 4 << 20;

/// A server: prints messages and answers requests with what was asked
///
/// Every session keeps its messages over any number of broken connections. Sessions live in the
/// server's memory: one that was restarted tells its clients that they are lost, and the clients
/// say exactly what arrived.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen, host:port; either part may be left out
    #[arg(value_name = "ADDR", default_value = DEFAULT)]
    address: Address,
    /// Send every message back to who sent it
    #[arg(long, conflicts_with = "format")]
    echo: bool,
    /// Send every message to all the others: a chat
    #[arg(long, conflicts_with_all = ["echo", "format"])]
    relay: bool,
    /// Take files into this folder as well, as `outlast receive` does
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    receive: Option<PathBuf>,
    /// Keep the session of an absent client for so many seconds, at most what the client asks for
    ///
    /// The clients of this command ask for 600.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = Config::SERVER.retention_s,
        conflicts_with = "format"
    )]
    keep: u32,
    /// Give a silent connection up after so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = Config::SERVER.idle_timeout_ms)]
    idle: u32,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    security: ServerSecurity,
    #[command(flatten)]
    admin: Admin,
    /// Do not print messages
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  outlast serve                        # then, elsewhere: outlast connect
  outlast serve --relay                # a chat: connect from several terminals
  outlast serve --echo '[::]:7411'     # reachable from other machines, IPv4 and IPv6
  outlast serve --token-file token     # only for clients that have the same file
  outlast serve --admin :7412          # with metrics and a page; see also outlast top
  outlast serve --format ndjson        # an echo for clients of another system";

pub(crate) fn run(args: &Args) -> Outcome {
    let config = Config { retention_s: args.keep, idle_timeout_ms: args.idle, ..Config::SERVER };
    let folder = args.receive.as_ref().map(|dir| super::receive::folder(dir, false, None));
    let folder = folder.transpose()?;
    if let Some(format) = args.foreign.format()? {
        return serve_foreign(args, format);
    }
    let token = args.access.token()?;
    let tls = args.security.layer()?;
    let mode = if args.relay {
        Mode::Relay
    } else if args.echo {
        Mode::Echo
    } else {
        Mode::Print
    };
    block_on(async {
        let server = Server::builder().layer(Maybe(tls.clone())).config(config);
        let asks = token.is_some() || args.security.asks();
        let open = !asks && !args.address.is_loopback();
        let server = args.security.guard(server, token)?;
        let server = server.bind(args.address.to_string()).await;
        let server = server.map_err(|error| cannot_listen(&args.address, &error))?;
        let local = server.local_addr().map_err(|error| error.to_string())?;
        eprintln!("serving on {local}; Ctrl-C stops");
        eprintln!("  {}", describe(&config, mode));
        if tls.is_some() {
            eprintln!("  over TLS; SIGHUP reads the certificate again");
        }
        folder.iter().for_each(|it| eprintln!("  files go to {}", it.root().display()));
        if open {
            eprintln!("  whoever reaches this port may use it: --token-file keeps others out");
        }
        let everybody = Arc::new(OnceLock::new());
        let (all, quiet) = (Arc::clone(&everybody), args.quiet);
        let running = server.start(move |info: &SessionInfo| Desk {
            name: short(Some(info.id)),
            id: info.id,
            mode,
            quiet,
            everybody: Arc::clone(&all),
            receiver: folder.clone().map(Receiver::new),
            echo: None,
        });
        let running = running.map_err(|error| error.to_string())?;
        let _ = everybody.set(running.handle());
        let handle = running.handle();
        let drained = Drained::default();
        let _showing = args.admin.show(handle.clone(), "outlast serve", &drained).await?;
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = drained.wait() => {}
            never = reload_when_told(tls) => match never {},
        }
        let stats = handle.stats();
        running.shutdown(GRACE).await;
        eprintln!(
            "\n{} sessions begun, {} times resumed, {} connections, {} handshakes failed",
            stats.created, stats.resumed, stats.accepted, stats.failed_handshakes
        );
        if stats.tls_hellos > 0 {
            eprintln!(
                "{} clients came with TLS, which needs --tls-cert and --tls-key here",
                stats.tls_hellos
            );
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// A server of another system's clients.
fn serve_foreign(args: &Args, format: AnyFormat) -> Outcome {
    if args.access.token()?.is_some() || args.security.asks() {
        return Err("another system's clients show no token and have no name".to_owned());
    }
    let tls = args.security.layer()?;
    let name = format.kind().name();
    let server = args.security.guard(Server::builder().layer(Maybe(tls)), None)?.format(format);
    let options = (args.idle, args.quiet, &args.admin);
    block_on(super::foreign::serve(server, name, &args.address, options))
}

/// A sentence about a port that cannot be had.
pub(super) fn cannot_listen(address: &Address, error: &std::io::Error) -> String {
    let hint = match error.kind() {
        std::io::ErrorKind::AddrInUse => ": another program has it; choose another port",
        std::io::ErrorKind::AddrNotAvailable => ": this machine has no such address",
        std::io::ErrorKind::PermissionDenied => ": ports below 1024 need privileges",
        _ => return format!("cannot listen on {address}: {error}"),
    };
    format!("cannot listen on {address}{hint}")
}

fn describe(config: &Config, mode: Mode) -> String {
    let what = match mode {
        Mode::Print => "prints messages",
        Mode::Echo => "sends messages back",
        Mode::Relay => "sends messages to all others",
    };
    format!(
        "{what}, answers requests with what was asked; messages up to {}; absent clients are \
         kept up to {} s, silent ones given up after {} ms",
        bytes(config.max_message.into()),
        config.retention_s,
        config.idle_timeout_ms
    )
}

#[derive(Debug, Copy, Clone)]
enum Mode {
    Print,
    Echo,
    Relay,
}

/// The server's side of one session.
struct Desk {
    name: String,
    id: u64,
    mode: Mode,
    quiet: bool,
    everybody: Arc<OnceLock<ServerHandle>>,
    receiver: Option<Receiver<Folder>>,
    echo: Option<Echo>,
}

/// What waits to be sent back to one client.
#[derive(Debug)]
struct Echo {
    queue: mpsc::Sender<(Route, Vec<u8>)>,
    /// Bytes in the queue and in the message that is being sent.
    waiting: Arc<AtomicUsize>,
}

impl Handler for Desk {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => self.message(peer, route, payload),
            Incoming::Request { id, route, payload } => {
                let receiver = self.receiver.as_mut();
                let (status, answer) = match receiver.filter(|_| Receiver::<Folder>::serves(route))
                {
                    Some(receiver) => {
                        let answer = block_in_place(|| receiver.request(route, payload));
                        announce(&self.name, answer.2.as_ref());
                        (answer.0, answer.1)
                    }
                    None => {
                        self.say(&format!("? {}", readable(payload)));
                        (Status::OK, payload.to_vec())
                    }
                };
                if let Err(error) = peer.respond(id, status, &answer) {
                    self.say(&format!("! cannot answer: {error}"));
                }
            }
            Incoming::Note { payload, .. } => self.say(&format!("~ {}", readable(payload))),
            Incoming::Opened => {
                let from =
                    peer.remote_addr().map_or_else(String::new, |from| format!(" from {from}"));
                self.say(&format!("* begins{from}"));
            }
            Incoming::Resumed { .. } => {
                self.set_away(false);
                self.say("* is back");
            }
            Incoming::Disconnected { .. } => {
                self.set_away(true);
                self.say("* lost its connection; waiting for it");
            }
            // With messages still to be sent back, the task that does it finishes.
            Incoming::Finished => match self.echo.take() {
                Some(echo) => drop(echo),
                None => peer.finish(),
            },
            Incoming::Ended => self.say("* ended; everything arrived"),
            Incoming::Lost { code, .. } => self.say(&format!("* is lost: {code}")),
            _ => {}
        }
    }
}

impl Desk {
    fn message(&mut self, peer: &Peer<'_>, route: Route, payload: &[u8]) {
        if Receiver::<Folder>::serves(route)
            && let Some(receiver) = &mut self.receiver
        {
            block_in_place(|| receiver.data(payload));
            return;
        }
        self.say(&readable(payload));
        match self.mode {
            Mode::Print => {}
            Mode::Echo => self.echo(peer, route, payload),
            Mode::Relay => self.relay(route, payload),
        }
    }

    fn set_away(&mut self, away: bool) {
        if let Some(receiver) = &mut self.receiver {
            receiver.set_away(away);
        }
    }

    fn echo(&mut self, peer: &Peer<'_>, route: Route, payload: &[u8]) {
        let echo = self.echo.get_or_insert_with(|| Echo::start(peer.handle()));
        if !echo.push(route, payload) {
            self.say("! not sent back: this client sends without reading");
        }
    }

    fn relay(&self, route: Route, payload: &[u8]) {
        let Some(everybody) = self.everybody.get() else {
            return;
        };
        let others = everybody.sessions().into_iter().map(|info| info.id);
        let others = others.filter(|id| *id != self.id);
        let text = [self.name.as_bytes(), b": ", payload].concat();
        for (id, error) in everybody.send_to_many(others, route, &text).failed {
            self.say(&format!("! not passed on to {}: {error}", short(Some(id))));
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            print(&format!("[{}] {text}\n", self.name));
        }
    }
}

impl Echo {
    /// A task sends back, since it can wait for room; it is made with the first message.
    fn start(handle: Handle) -> Self {
        let (queue, mut messages) = mpsc::channel::<(Route, Vec<u8>)>(ECHO_AHEAD);
        let waiting = Arc::new(AtomicUsize::new(0));
        let sent = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some((route, payload)) = messages.recv().await {
                if handle.send(route, &payload).await.is_err() {
                    return;
                }
                sent.fetch_sub(payload.len(), Ordering::Relaxed);
            }
            handle.finish();
        });
        Self { queue, waiting }
    }

    /// Whether there was room.
    fn push(&self, route: Route, payload: &[u8]) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting > 0 && waiting.saturating_add(payload.len()) > ECHO_BYTES {
            return false;
        }
        // Added before it is sent, so that the task never takes away what was not added.
        self.waiting.fetch_add(payload.len(), Ordering::Relaxed);
        let pushed = self.queue.try_send((route, payload.to_vec())).is_ok();
        if !pushed {
            self.waiting.fetch_sub(payload.len(), Ordering::Relaxed);
        }
        pushed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_be_sent_back_is_limited_in_bytes() {
        let (queue, mut messages) = mpsc::channel(ECHO_AHEAD);
        let echo = Echo { queue, waiting: Arc::new(AtomicUsize::new(0)) };
        let long = vec![0; 1 << 20];
        let taken = (0..ECHO_AHEAD).filter(|_| echo.push(Route::new(1), &long)).count();
        assert_eq!(taken, ECHO_BYTES >> 20);
        // As the task does when one is sent.
        let (_, sent) = messages.try_recv().unwrap();
        echo.waiting.fetch_sub(sent.len(), Ordering::Relaxed);
        assert!(echo.push(Route::new(1), &long));
        assert!(!echo.push(Route::new(1), &long));
    }

    #[test]
    fn short_messages_are_limited_in_number() {
        let (queue, _messages) = mpsc::channel(ECHO_AHEAD);
        let echo = Echo { queue, waiting: Arc::new(AtomicUsize::new(0)) };
        let taken = (0..2 * ECHO_AHEAD).filter(|_| echo.push(Route::new(1), b"x")).count();
        assert_eq!((taken, echo.waiting.load(Ordering::Relaxed)), (ECHO_AHEAD, ECHO_AHEAD));
    }
}
