//! `outlast receive`: files from elsewhere.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use outlast_tls::Maybe;
use outlast_tokio::{Config, Handler, Incoming, Peer, Server, SessionInfo, Status};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, block_in_place};

use super::common::{Access, short};
use super::gate::{Shown, guard};
use super::security::{ServerSecurity, log_at, reload_certificate, server_layer};
use super::serve::cannot_listen;
use super::{Outcome, block_on, print};
use crate::inspect::escape;
use crate::tap::Tap;
use crate::transfer::{Arrived, Folder, Receiver};
use outlast_config::Address;

/// How long senders get to leave when the receiver stops.
const GRACE: Duration = Duration::from_millis(500);
/// How long a sender that has said that it is done may take to come back, if the connection broke
/// before its last word came. Whether it was told the end cannot be known; if it was, it is gone.
const LINGER: Duration = Duration::from_secs(5);
/// Without --max-size.
const SIZE_MAX: u64 = 64 << 30;

/// Take files from `outlast send` into a folder
///
/// Nothing outside of the folder is touched, whatever names the sender gives, and no file is
/// replaced unless --overwrite says so. A file appears under its name only when all of it has come
/// and its SHA-256 is right; until then its beginning is kept beside it, so that sending it again
/// goes on where it stopped, even after this program was stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder for the files; made if it does not exist
    dir: PathBuf,
    /// Where to listen, host:port; either part may be left out
    #[arg(value_name = "ADDR", default_value = Address::DEFAULT)]
    address: Address,
    /// Replace files of the same name
    #[arg(long)]
    overwrite: bool,
    /// Refuse files with more bytes than this [default: 64 GiB]
    #[arg(long, value_name = "BYTES")]
    max_size: Option<u64>,
    /// Stop when the first sender is done
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    security: ServerSecurity,
    #[command(flatten)]
    tap: Tap,
}

const EXAMPLES: &str = "\
Examples:
  outlast receive inbox                          # then, elsewhere: outlast send FILE 127.0.0.1
  outlast receive --once inbox '[::]:7411'       # one sender, from any machine
  outlast receive --token-file token inbox 0.0.0.0:7411";

pub(super) fn folder(dir: &Path, overwrite: bool, size: Option<u64>) -> Result<Folder, String> {
    Folder::open(dir, overwrite, size.unwrap_or(SIZE_MAX))
        .map_err(|error| format!("cannot use the folder {}: {error}", dir.display()))
}

/// Prints a line about a file that is in its place.
pub(super) fn announce(session: &str, arrived: Option<&Arrived>) {
    if let Some(Arrived { offer, already }) = arrived {
        let what = if *already { "had already" } else { "received" };
        let (name, size, digest) = (escape(&offer.name), offer.size, offer.digest);
        print(&format!("[{session}] {what} {name}, {size} bytes, SHA-256 {digest}\n"));
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let folder = folder(&args.dir, args.overwrite, args.max_size)?;
    let token = args.access.token()?;
    let listener = args.security.listener();
    let tls = server_layer(&listener)?;
    let log = log_at(args.security.log())?;
    block_on(async {
        let server = Server::builder().layer(Maybe(tls.clone())).config(Config::SERVER);
        let server = server.layer(args.tap.layer()?);
        let shown = match token {
            Some(token) => Shown::token(&token),
            None if listener.tls_client_ca.is_some() => Shown::Certificate,
            None => Shown::Nothing,
        };
        let asks = !shown.is_nothing();
        let open = !asks && !args.address.is_loopback();
        let server = guard(server, &shown, log.as_ref());
        let server = server.bind(args.address.to_string()).await;
        let server = server.map_err(|error| cannot_listen(&args.address, &error))?;
        let local = server.local_addr().map_err(|error| error.to_string())?;
        eprintln!("receiving on {local} into {}; Ctrl-C stops", folder.root().display());
        if open {
            eprintln!("whoever reaches this port may send files: --token-file keeps others out");
        }
        let done = Arc::new(Notify::new());
        let tell = Arc::clone(&done);
        let running = server.start(move |info: &SessionInfo| Inbox {
            name: short(Some(info.id)),
            receiver: Receiver::new(folder.clone()),
            arrived: false,
            finished: false,
            lingering: None,
            done: Arc::clone(&tell),
        });
        let running = running.map_err(|error| error.to_string())?;
        tokio::select! {
            () = done.notified(), if args.once => {}
            _ = tokio::signal::ctrl_c() => {}
            never = reload_certificate(tls) => match never {},
        }
        running.shutdown(GRACE).await;
        Ok(ExitCode::SUCCESS)
    })
}

/// The receiving side of one session.
struct Inbox {
    name: String,
    receiver: Receiver<Folder>,
    /// A file came whole: this is a sender, and not somebody who only knocked.
    arrived: bool,
    /// The sender has nothing more to say, and everything it asked was answered.
    finished: bool,
    /// Ends the wait for a sender that is away and had finished.
    lingering: Option<AbortHandle>,
    done: Arc<Notify>,
}

impl Inbox {
    /// Waits for a sender only so long that has left or is about to.
    fn linger(&mut self) {
        if self.arrived && self.finished {
            let done = Arc::clone(&self.done);
            let waiting = tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                done.notify_one();
            });
            self.lingering = Some(waiting.abort_handle());
        }
    }
}

impl Handler for Inbox {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } if Receiver::<Folder>::serves(route) => {
                block_in_place(|| self.receiver.data(payload));
            }
            Incoming::Request { id, route, payload } => {
                let (status, answer, arrived) =
                    block_in_place(|| self.receiver.request(route, payload));
                announce(&self.name, arrived.as_ref());
                self.arrived |= arrived.is_some();
                if status == Status::APP {
                    let reason = escape(&String::from_utf8_lossy(&answer));
                    eprintln!("[{}] refused: {reason}", self.name);
                }
                if let Err(error) = peer.respond(id, status, &answer) {
                    eprintln!("[{}] cannot answer: {error}", self.name);
                }
            }
            Incoming::Disconnected { .. } => {
                self.receiver.set_away(true);
                eprintln!("[{}] connection lost; waiting for the sender", self.name);
                self.linger();
            }
            Incoming::Resumed { .. } => {
                if let Some(lingering) = self.lingering.take() {
                    lingering.abort();
                }
                self.receiver.set_away(false);
                eprintln!("[{}] the sender is back", self.name);
            }
            Incoming::Finished => {
                self.finished = true;
                peer.finish();
            }
            Incoming::Ended if self.arrived => self.done.notify_one(),
            Incoming::Lost { code, .. } => eprintln!("[{}] the sender is gone: {code}", self.name),
            _ => {}
        }
    }
}
