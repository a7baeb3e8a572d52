//! `outlast serve`: a server to talk to.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use outlast_config::{Address, Listener, Reloader, ServerSettings, Sources};
use outlast_tls::{Maybe, ServerTls};
use outlast_tokio::net::Running;
use outlast_tokio::plain::PlainServerHandle;
use outlast_tokio::{Config, SecurityLog, Server, ServerHandle, SessionInfo};

use super::admin::{Admin, Drained};
use super::common::Access;
use super::desk::{Desk, Mode, Office};
use super::foreign::Foreign;
use super::gate::{Shown, guard};
use super::security::{ServerSecurity, log_at, server_layer};
use super::settings::{self, Configured, Live, is_native, over, path_text};
use super::{Outcome, block_on};
use crate::life::{Kept, Log, Notify, Signals, Word};
use crate::tap::{Sockets, Tap, Tapping};
use crate::text::{bytes, span};
use crate::transfer::Folder;

/// How much longer than the grace an end may take, with what is stored: the deadline.
const BEYOND: Duration = Duration::from_secs(10);
/// How long answers that have begun may take once everything else is over: whoever asked for that
/// end is told so.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// A server: prints messages and answers requests with what was asked
///
/// Every session keeps its messages over any number of broken connections, and with --snapshots
/// over servers that end and begin: without, one that was restarted tells its clients that their
/// sessions are lost, and the clients say exactly what arrived.
///
/// SIGTERM and Ctrl-C let clients leave and end with 0, within the grace and at most 10 seconds
/// more; a second one ends at once, with 128 and the signal's number. SIGHUP reads settings again.
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
    /// Store sessions in this folder when the server ends, and go on with those that are there
    ///
    /// `snapshots.every` stores them while it runs, too, and `snapshots.key_file` says whose key
    /// encrypts them. Each server needs a folder of its own.
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    snapshots: Option<PathBuf>,
    /// Give clients so many milliseconds to leave when the server ends
    ///
    /// Without it: 500, or what the settings say.
    #[arg(long, value_name = "MS")]
    grace: Option<u32>,
    #[command(flatten)]
    foreign: Foreign,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    security: ServerSecurity,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    tap: Tap,
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
  outlast serve --snapshots sessions   # sessions outlast the server, too
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
        let folder = path_text(self.snapshots.as_ref());
        let sources = over(sources, "snapshots.folder", folder, "--snapshots");
        let sources = over(sources, "drain.grace", self.grace, "--grace");
        let sources = self.foreign.over(self.admin.over(sources), "listen.0")?;
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
    let Some(reloader) =
        settings::read(sources, ServerSettings::default(), args.configured.print_config)?
    else {
        return Ok(ExitCode::SUCCESS);
    };
    let folder = args.receive.as_ref().map(|dir| super::receive::folder(dir, false, None));
    let folder = folder.transpose()?;
    let begun = reloader.current().settings.clone();
    if !begun.listen.iter().any(is_native) {
        if args.echo || args.relay || folder.is_some() {
            return Err(
                "--echo, --relay and --receive are for sessions: no listener has any".into()
            );
        }
        if begun.snapshots.folder.is_some() {
            return Err("snapshots.folder is for sessions: no listener has any".into());
        }
    }
    let shown = shown(&begun)?;
    let security = log_at(begun.security_log.as_deref())?;
    block_on(serve(args, reloader, folder, shown, security))
}

/// Serves from the first to the last.
async fn serve(
    args: &Args,
    mut reloader: Reloader<ServerSettings>,
    folder: Option<Folder>,
    shown: Shown,
    security: Option<SecurityLog>,
) -> Outcome {
    // Whoever is told to end before it has begun ends as it would later on.
    let mut signals = Signals::listen()?;
    let notify = Notify::of_environment();
    let begun = reloader.current().settings.clone();
    let log = Log::begin(begun.log_level)?;
    // With nothing to be read, a hangup is what a terminal says that was closed.
    let reads = settings::reads(&reloader, &shown) || notify.is_heard();
    if reads || begun.snapshots.folder.is_some() {
        signals.hear_hangups()?;
    }
    let opening = Kept::open(&begun.snapshots, begun.drain_grace + BEYOND);
    let kept = tokio::select! {
        kept = opening => kept?,
        () = ended(&mut signals, reads) => return Ok(ExitCode::SUCCESS),
    };
    let mut live = Live { server: None, plain: Vec::new(), tls: Vec::new(), shown, log };
    let tapping = args.tap.layer()?;
    let bound = bind(&begun, security.as_ref(), kept.as_ref(), &tapping, &mut live).await?;
    let running = match bound {
        Some(server) => Some(start(server, args, &begun, folder)?),
        None => None,
    };
    live.server = running.as_ref().map(Running::handle);
    say_what_goes_on(&live, kept.as_ref());
    let mut plain = Vec::new();
    for listener in begun.listen.iter().filter(|listener| !is_native(listener)) {
        let with = (security.as_ref(), &tapping, args.quiet);
        plain.push(start_foreign(&begun, listener, &mut live, with).await?);
    }
    live.plain = plain.iter().map(Running::handle).collect();
    let drained = Drained::default();
    let (admin, title) = (Admin::shown(&begun), "outlast serve");
    let showing = match (&live.server, live.plain.first()) {
        (Some(sessions), _) => admin.show(sessions.clone(), title, &drained).await?,
        (None, Some(plain)) => admin.show(plain.clone(), title, &drained).await?,
        (None, None) => None,
    };
    notify.ready(&live.status());
    let life = async {
        let by_signal = tokio::select! {
            () = listen(&mut signals, &live, reads.then_some(&mut reloader), &notify) => true,
            () = drained.wait() => false,
        };
        let grace = reloader.current().settings.drain_grace;
        notify.stopping(grace + BEYOND, &format!("ends within {}", span(grace + BEYOND)));
        let servers = Servers { running, plain, kept };
        let outcome = end(servers, &live, grace, &mut signals, by_signal).await;
        if let Some(showing) = showing {
            showing.shutdown(LAST_ANSWERS).await;
        }
        outcome
    };
    tokio::select! {
        outcome = life => outcome,
        never = notify.stay_alive() => match never {},
    }
}

/// Waits for a signal that says that it is the end. What is to be read is read anyway.
async fn ended(signals: &mut Signals, reads: bool) {
    while signals.next().await == Word::Hangup && reads {}
}

/// Does what signals say, until one of them says that it is the end.
async fn listen(
    signals: &mut Signals,
    live: &Live,
    mut reloader: Option<&mut Reloader<ServerSettings>>,
    notify: &Notify,
) {
    loop {
        match (signals.next().await, &mut reloader) {
            (Word::Hangup, Some(reloader)) => {
                notify.reloading();
                live.reload(reloader);
                notify.ready(&live.status());
            }
            (Word::End(_), _) | (Word::Hangup, None) => return,
        }
    }
}

/// What runs, and where its sessions go.
struct Servers {
    running: Option<Running>,
    plain: Vec<Running<PlainServerHandle>>,
    kept: Option<Kept>,
}

impl Servers {
    /// Ends all of them at the same time; how many sessions were stored.
    async fn end(self, grace: Duration) -> Result<Option<usize>, String> {
        let Self { running, plain, kept } = self;
        let shutdown = |running: Running<PlainServerHandle>| running.shutdown(grace);
        let plain: Vec<_> = plain.into_iter().map(shutdown).map(tokio::spawn).collect();
        let stored = match (running, &kept) {
            (Some(running), Some(kept)) => {
                kept.end();
                running.hand_over(grace).await.map(Some)
            }
            (Some(running), None) => {
                running.shutdown(grace).await;
                Ok(None)
            }
            (None, _) => Ok(None),
        };
        for plain in plain {
            let _ = plain.await;
        }
        stored.map_err(|error| {
            format!(
                "snapshots.folder: the sessions could not be stored: {error}; clients resume those \
                 that were stored before, as far as nothing went by since then, and are told that \
                 the others are lost"
            )
        })
    }
}

/// Lets clients leave, and stores sessions where they are stored: within the deadline, or until
/// somebody says that it has to be now: with another signal, if it was `told` by one that it ends.
async fn end(
    servers: Servers,
    live: &Live,
    grace: Duration,
    signals: &mut Signals,
    mut told: bool,
) -> Outcome {
    // A terminal that is closed now changes nothing any more.
    signals.hear_hangups()?;
    say_what_was(live);
    let folder = servers.kept.as_ref().map(|kept| kept.folder().display().to_string());
    let hurried = async {
        loop {
            match signals.next().await {
                Word::End(signal) if std::mem::replace(&mut told, true) => return signal,
                Word::End(_) => eprintln!("it ends already; another signal ends it at once"),
                Word::Hangup => eprintln!("it ends; settings are not read again"),
            }
        }
    };
    tokio::select! {
        ended = servers.end(grace) => {
            if let (Some(count), Some(folder)) = (ended?, folder) {
                eprintln!("{count} sessions are stored in {folder}");
            }
            Ok(ExitCode::SUCCESS)
        }
        signal = hurried => {
            eprintln!("outlast: ends at once; clients were not waited for");
            Ok(ExitCode::from(signal.saturating_add(128)))
        }
        () = tokio::time::sleep(grace + BEYOND) => {
            Err(format!("it did not end within {}: a disk may be stuck", span(grace + BEYOND)))
        }
    }
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
    kept: Option<&Kept>,
    tapping: &Tapping,
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
        let server = Server::builder().layer(Maybe(tls)).layer(tapping.clone());
        let server = settings.apply(server);
        let server = match kept {
            Some(kept) => server.snapshots(kept.snapshots()),
            None => server,
        };
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
type SessionServer = outlast_tokio::net::Server<Sockets>;

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
    let office = Office { mode, quiet, everybody: Arc::clone(&everybody), folder };
    let running = server.start(move |info: &SessionInfo| Desk::new(info, &office));
    let running = running.map_err(|error| error.to_string())?;
    let _ = everybody.set(running.handle());
    Ok(running)
}

/// What came of the sessions that were stored.
fn say_what_goes_on(live: &Live, kept: Option<&Kept>) {
    let (Some(server), Some(kept)) = (&live.server, kept) else {
        return;
    };
    let (stats, folder) = (server.stats(), kept.folder().display());
    eprintln!("  sessions are stored in {folder}; {} of an earlier server go on", stats.restored);
    if stats.not_restored > 0 {
        eprintln!(
            "  {} do not, too old or too large for the settings now: their clients are told that \
             they are lost",
            stats.not_restored
        );
    }
}

/// A server of another system's clients.
async fn start_foreign(
    settings: &ServerSettings,
    listener: &Listener,
    live: &mut Live,
    (log, tapping, quiet): (Option<&SecurityLog>, &Tapping, bool),
) -> Result<Running<PlainServerHandle>, String> {
    let Some(format) = listener.format()? else {
        return Err("this is no other system's format".to_owned());
    };
    let index = settings.listen.iter().position(|other| std::ptr::eq(other, listener));
    let tls = tls_at(index.unwrap_or(0), listener, live)?;
    let name = format.kind().name();
    let server = Server::builder().layer(Maybe(tls)).layer(tapping.clone());
    let server = settings.apply(server);
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
