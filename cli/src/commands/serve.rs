//! `outlast serve`: a server to talk to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use outlast_config::{Address, Listener, ServerSettings, Sources};
use outlast_tls::{Maybe, MaybeTls, ServerTls};
use outlast_tokio::net::Running;
use outlast_tokio::plain::PlainServerHandle;
use outlast_tokio::{
    Config, Handle, Handler, Incoming, Peer, Route, SecurityLog, Server, ServerHandle, SessionInfo,
    Status, Tokio,
};
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use super::admin::{Admin, Drained};
use super::common::{Access, short};
use super::foreign::Foreign;
use super::gate::{Shown, guard};
use super::receive::announce;
use super::security::{ServerSecurity, log_at, server_layer};
use super::settings::{self, Configured, Live, is_native, over, reload_when_told};
use super::{Outcome, block_on, print};
use crate::inspect::readable;
use crate::text::bytes;
use crate::transfer::{Folder, Receiver};

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
    ///
    /// Without it: 127.0.0.1:7411, or what the settings say.
    #[arg(value_name = "ADDR")]
    address: Option<Address>,
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
    /// The clients of this command ask for 600. Without it: 600, or what the settings say.
    #[arg(long, value_name = "SECONDS", conflicts_with = "format")]
    keep: Option<u32>,
    /// Give a silent connection up after so many milliseconds
    ///
    /// Without it: 45 seconds, 60 of another system's format, or what the settings say.
    #[arg(long, value_name = "MS")]
    idle: Option<u32>,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    security: ServerSecurity,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    configured: Configured,
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
  outlast serve --format ndjson        # an echo for clients of another system
  outlast serve --config server.toml   # SIGHUP reads it again
  outlast serve --print-config         # every setting, as the beginning of such a file";

impl Args {
    /// Everything that is said of settings, this command's options last.
    fn sources(&self) -> Result<Sources, String> {
        let sources = self.configured.sources()?;
        let sources = over(sources, "listen.0.address", self.address.as_ref(), "ADDR");
        let keep = self.keep.map(|seconds| format!("{seconds} s"));
        let sources = over(sources, "session.retention", keep, "--keep");
        let sources = over(sources, "session.idle_timeout", self.idle, "--idle");
        let sources = over(sources, "plain.idle_timeout", self.idle, "--idle");
        let sources = self.foreign.over(sources, "listen.0")?;
        Ok(self.security.over(self.access.over(sources)))
    }

    const fn mode(&self) -> Mode {
        if self.relay {
            Mode::Relay
        } else if self.echo {
            Mode::Echo
        } else {
            Mode::Print
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let sources = args.sources()?;
    let Some(mut reloader) =
        settings::read(sources, ServerSettings::default(), args.configured.print_config)?
    else {
        return Ok(ExitCode::SUCCESS);
    };
    let folder = args.receive.as_ref().map(|dir| super::receive::folder(dir, false, None));
    let folder = folder.transpose()?;
    let begun = reloader.current().settings.clone();
    if !begun.listen.iter().any(is_native) && (args.echo || args.relay || folder.is_some()) {
        return Err("--echo, --relay and --receive are for sessions: no listener has any".into());
    }
    let shown = shown(&begun)?;
    let log = log_at(begun.security_log.as_deref())?;
    block_on(async {
        let mut live = Live { server: None, plain: Vec::new(), tls: Vec::new(), shown };
        let bound = bind(&begun, log.as_ref(), &mut live).await?;
        let running = match bound {
            Some(server) => Some(start(server, args, &begun, folder)?),
            None => None,
        };
        live.server = running.as_ref().map(Running::handle);
        let mut plain = Vec::new();
        for listener in begun.listen.iter().filter(|listener| !is_native(listener)) {
            plain.push(start_foreign(&begun, listener, log.as_ref(), &mut live, args.quiet).await?);
        }
        live.plain = plain.iter().map(Running::handle).collect();
        let drained = Drained::default();
        let (admin, title) = (&args.admin, "outlast serve");
        let _showing = match (&live.server, live.plain.first()) {
            (Some(sessions), _) => admin.show(sessions.clone(), title, &drained).await?,
            (None, Some(plain)) => admin.show(plain.clone(), title, &drained).await?,
            (None, None) => None,
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = drained.wait() => {}
            never = reload_when_told(&live, &mut reloader) => match never {},
        }
        let grace = reloader.current().settings.drain_grace;
        say_what_was(&live);
        for plain in plain {
            plain.shutdown(grace).await;
        }
        if let Some(running) = running {
            running.shutdown(grace).await;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// What clients have to show.
fn shown(settings: &ServerSettings) -> Result<Shown, String> {
    let shown = Shown::of(settings)?;
    let asks = |listener: &Listener| listener.tls_client_ca.is_some();
    let mut foreign = settings.listen.iter().filter(|listener| !is_native(listener));
    let mixed = settings.listen.iter().any(is_native);
    if !shown.is_nothing() && (!mixed || foreign.any(asks)) {
        return Err("another system's clients show no token and have no name".to_owned());
    }
    Ok(shown)
}

/// TLS at the listener with this number, if it is spoken there.
fn tls_at(index: usize, listener: &Listener, live: &mut Live) -> Result<Option<ServerTls>, String> {
    let tls = server_layer(listener)?;
    live.tls.extend(tls.clone().map(|tls| (index, tls)));
    Ok(tls)
}

/// Listens wherever sessions are spoken: one server.
async fn bind(
    settings: &ServerSettings,
    log: Option<&SecurityLog>,
    live: &mut Live,
) -> Result<Option<SessionServer>, String> {
    let mut all: Option<SessionServer> = None;
    let open = live.shown.is_nothing();
    for (index, listener) in settings.listen.iter().enumerate() {
        if !is_native(listener) {
            continue;
        }
        let tls = tls_at(index, listener, live)?;
        let secure = tls.is_some();
        let server = settings.apply(Server::builder().layer(Maybe(tls)));
        let server = guard(server, &live.shown, log).bind(listener.address.to_string()).await;
        let server = server.map_err(|error| cannot_listen(&listener.address, &error))?;
        let local = server.local_addr().map_err(|error| error.to_string())?;
        eprintln!("serving on {local}; Ctrl-C stops");
        if secure {
            eprintln!("  over TLS; SIGHUP reads the certificate again");
        }
        if open && !listener.address.is_loopback() {
            eprintln!("  whoever reaches this port may use it: --token-file keeps others out");
        }
        all = Some(match all {
            Some(first) => first.also(server),
            None => server,
        });
    }
    Ok(all)
}

/// A server of sessions, with TLS or without.
type SessionServer = outlast_tokio::net::Server<MaybeTls<Tokio>>;

fn start(
    server: SessionServer,
    args: &Args,
    settings: &ServerSettings,
    folder: Option<Folder>,
) -> Result<Running, String> {
    let (mode, quiet) = (args.mode(), args.quiet);
    eprintln!("  {}", describe(&settings.session, mode));
    folder.iter().for_each(|it| eprintln!("  files go to {}", it.root().display()));
    let everybody = Arc::new(OnceLock::new());
    let all = Arc::clone(&everybody);
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
    Ok(running)
}

/// A server of another system's clients.
async fn start_foreign(
    settings: &ServerSettings,
    listener: &Listener,
    log: Option<&SecurityLog>,
    live: &mut Live,
    quiet: bool,
) -> Result<Running<PlainServerHandle>, String> {
    let Some(format) = listener.format()? else {
        return Err("this is no other system's format".to_owned());
    };
    let index = settings.listen.iter().position(|other| std::ptr::eq(other, listener));
    let tls = tls_at(index.unwrap_or(0), listener, live)?;
    let name = format.kind().name();
    let server = settings.apply(Server::builder().layer(Maybe(tls)));
    let server = guard(server, &Shown::Nothing, log).format(format).config(settings.plain);
    super::foreign::start(server, name, &listener.address, quiet).await
}

/// What there was, when the server stops.
fn say_what_was(live: &Live) {
    if let Some(stats) = live.server.as_ref().map(ServerHandle::stats) {
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
    }
    for plain in &live.plain {
        let stats = plain.stats();
        eprintln!("\n{} connections, {} refused", stats.accepted, stats.refused);
    }
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
