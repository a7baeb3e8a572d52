//! Formats of other systems: an echo that speaks one, and lines to a server that does.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outlast_config::{Address, Sources};
use outlast_tokio::net::{PlainClientBuilder, PlainServerBuilder, Running};
use outlast_tokio::plain::formats::{AnyFormat, Key, Kind, Packet};
use outlast_tokio::plain::{
    PlainCause, PlainError, PlainEvent, PlainHandle, PlainHandler, PlainInfo, PlainPeer,
    PlainServerHandle,
};
use tokio::sync::mpsc;

use super::print;
use super::settings::over;
use crate::inspect::readable;
use crate::progress::Board;
use crate::tap::Sockets;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the server may say nothing after the last line.
const SILENCE: Duration = Duration::from_secs(1);

/// Another system's format
#[derive(Debug, clap::Args)]
pub(super) struct Foreign {
    /// Speak another system's format, without sessions: length-prefix, rocketmq, ltv, tlv, htlv,
    /// ndjson, msgtrans, length-field, delimiter, fixed or raw
    ///
    /// What is under way when a connection breaks is lost, as it is between those systems.
    #[arg(long, value_name = "NAME")]
    format: Option<String>,
    /// A setting of the format, such as max=65536; may be given several times
    #[arg(long = "format-option", value_name = "KEY=VALUE", requires = "format")]
    options: Vec<String>,
}

impl Foreign {
    /// Puts these options over what other sources say of the keys that begin with `prefix`.
    pub(super) fn over(&self, sources: Sources, prefix: &str) -> Result<Sources, String> {
        let format = format!("{prefix}.format");
        let mut sources = over(sources, &format, self.format.as_ref(), "--format");
        for option in &self.options {
            let (key, value) = option
                .split_once('=')
                .ok_or_else(|| format!("`{option}` is no setting: KEY=VALUE, such as max=65536"))?;
            let key = format!("{prefix}.options.{key}");
            sources = sources.set(key, value, "--format-option");
        }
        Ok(sources)
    }
}

/// Listens, and sends every packet back.
pub(super) async fn start(
    builder: PlainServerBuilder<Sockets, AnyFormat>,
    name: &str,
    address: &Address,
    quiet: bool,
) -> Result<Running<PlainServerHandle>, String> {
    let listener = builder.bind(address.to_string()).await;
    let listener = listener.map_err(|error| super::serve::cannot_listen(address, &error))?;
    eprintln!("serving on {}; Ctrl-C stops", listener.local_addr());
    eprintln!("  packets of {name} are sent back; there are no sessions");
    let running = listener.start(move |info: &PlainInfo| Echo { remote: info.remote, quiet });
    running.map_err(|error| error.to_string())
}

/// The server's side of one connection.
struct Echo {
    remote: Option<SocketAddr>,
    quiet: bool,
}

impl Echo {
    fn say(&self, text: &str) {
        if !self.quiet {
            let from = self.remote.map_or_else(String::new, |from| from.to_string());
            print(&format!("[{from}] {text}\n"));
        }
    }
}

impl PlainHandler for Echo {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        match event {
            PlainEvent::Connected => self.say("* begins"),
            PlainEvent::Packet(packet) if packet.kind == Kind::Response => {}
            PlainEvent::Packet(packet) => {
                self.say(&show(packet));
                let reply = peer.reply_to(packet, packet.payload.clone());
                if let Err(error) = peer.send(&reply) {
                    self.say(&format!("! not sent back: {error}"));
                }
            }
            PlainEvent::Bad(error) => self.say(&format!("! {error}")),
            PlainEvent::Closed(closed) => self.say(&format!("* ends: {closed}")),
            _ => {}
        }
    }
}

/// A packet as a person reads it.
fn show(packet: &Packet<'_>) -> String {
    let payload = readable(&packet.payload);
    match &packet.key {
        Key::Id(id) => format!("{id}: {payload}"),
        Key::Name(_) | Key::None => payload,
    }
}

/// Sends lines, and prints what comes back.
pub(super) async fn connect(
    builder: PlainClientBuilder<Sockets, AnyFormat>,
    mut lines: mpsc::Receiver<Vec<u8>>,
    board: Arc<Board>,
    id: u32,
    as_requests: bool,
) -> Result<ExitCode, String> {
    let heard = Arc::new(AtomicU64::new(0));
    let printer = Printer { board: Arc::clone(&board), heard: Arc::clone(&heard) };
    let (handle, runner) = builder.connect(printer).map_err(|error| error.to_string())?;
    let runner = tokio::spawn(runner);
    while let Some(line) = lines.recv().await {
        if as_requests {
            match handle.connected().await.then_some(handle.request(id, &line, ANSWER).await) {
                None => break,
                Some(Ok(answer)) => print(&format!("{}\n", readable(&answer.payload))),
                Some(Err(error)) => board.say(&format!("* `{}`: {error}", readable(&line))),
            }
        } else if !send(&handle, id, &line).await? {
            break;
        }
    }
    // There is no word for the end of what one asks: what comes before it is quiet is printed.
    let mut before = u64::MAX;
    while handle.is_connected() && heard.load(Ordering::Relaxed) != before {
        before = heard.load(Ordering::Relaxed);
        tokio::time::sleep(SILENCE).await;
    }
    handle.finish();
    match runner.await.map_err(|error| error.to_string())? {
        Some(closed) if closed.cause == PlainCause::Local => Ok(ExitCode::SUCCESS),
        Some(closed) => Err(closed.to_string()),
        None => Err("the server was not reached".to_owned()),
    }
}

/// Sends a line once there is a connection; false if there will be none any more.
async fn send(handle: &PlainHandle, id: u32, line: &[u8]) -> Result<bool, String> {
    while handle.connected().await {
        let sent = match handle.send(&Packet::one_way(id, line)).await {
            // A format without numbers.
            Err(PlainError::Format(_)) => handle.send(&Packet::plain(line)).await,
            sent => sent,
        };
        match sent {
            Ok(()) => return Ok(true),
            Err(PlainError::Format(error)) => {
                return Err(format!("`{}`: {error}", readable(line)));
            }
            // It was not sent at all: the next connection may take it.
            Err(_) => {}
        }
    }
    Ok(false)
}

/// The client's side of its connections.
struct Printer {
    board: Arc<Board>,
    heard: Arc<AtomicU64>,
}

impl PlainHandler for Printer {
    fn handle(&mut self, peer: &mut PlainPeer<'_>, event: PlainEvent<'_>) {
        match event {
            PlainEvent::Connected => {
                let remote = peer.remote_addr().map_or_else(String::new, |it| it.to_string());
                self.board.say(&format!("* connected to {remote}"));
            }
            PlainEvent::Packet(packet) => {
                self.heard.fetch_add(1, Ordering::Relaxed);
                print(&format!("{}\n", readable(&packet.payload)));
            }
            PlainEvent::Bad(error) => self.board.say(&format!("* {error}")),
            PlainEvent::Closed(closed) if closed.cause != PlainCause::Local => {
                self.board.say(&format!("* connection lost: {closed}"));
            }
            PlainEvent::DialFailed { error, .. } => {
                self.board.say(&format!("* the server is not reached: {error}"));
            }
            _ => {}
        }
    }
}
