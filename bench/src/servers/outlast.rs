//! This project's server over tokio.

use core::hint::black_box;
use std::io;
use std::sync::{Arc, OnceLock};

use outlast_tokio::{Config, Handler, Incoming, Limits, Peer, Server, ServerHandle, Status};

use super::{FAN_OUT_BUFFER, Mode};

/// Whether the server is built in; while `false` its rows are left out with a note.
pub(super) const AVAILABLE: bool = true;

/// Serves sessions on a free loopback port until the process ends.
pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    let config = if mode == Mode::FanOut { fan_out_config() } else { config() };
    let server = Server::builder().config(config).limits(limits()).bind("127.0.0.1:0").await?;
    let port = server.local_addr()?.port();
    let mut running = match mode {
        Mode::Sink => server.start(|_| Sink { wants_fragments: false })?,
        Mode::Chunks => server.start(|_| Sink { wants_fragments: true })?,
        Mode::Echo => server.start(|_| Echo)?,
        Mode::FanOut => {
            let everybody: Arc<OnceLock<ServerHandle>> = Arc::default();
            let shared = Arc::clone(&everybody);
            let running = server.start(move |_| FanOut { everybody: Arc::clone(&shared) })?;
            let _ = everybody.set(running.handle());
            running
        }
    };
    super::announce(port)?;
    running.finished().await;
    Ok(())
}

/// As a sink, and counts nothing.
pub(super) async fn uncounted() -> io::Result<()> {
    let builder = Server::builder().config(config()).limits(limits()).statistics(false);
    let server = builder.bind("127.0.0.1:0").await?;
    let port = server.local_addr()?.port();
    let mut running = server.start(|_| Sink { wants_fragments: false })?;
    super::announce(port)?;
    running.finished().await;
    Ok(())
}

/// As a sink, and tells a subscriber what happens, who writes it down and nobody reads it.
pub(super) async fn traced() -> io::Result<()> {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::INFO);
    subscriber.with_writer(io::sink).init();
    serve(Mode::Sink).await
}

/// The same on every runtime.
pub(super) const fn config() -> Config {
    Config { max_requests: 256, ..Config::SERVER }
}

/// What is kept until it is acknowledged is kept for each of a thousand: less of it.
const fn fan_out_config() -> Config {
    Config { send_buffer: FAN_OUT_BUFFER as u32, ..config() }
}

/// Every connection comes from one address.
pub(super) fn limits() -> Limits {
    Limits::one_source()
}

/// Takes everything.
struct Sink {
    wants_fragments: bool,
}

impl Handler for Sink {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { payload, .. } | Incoming::Fragment { payload, .. } => {
                black_box(payload);
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }

    fn wants_fragments(&self) -> bool {
        self.wants_fragments
    }
}

/// Gives everything back.
pub(super) struct Echo;

impl Handler for Echo {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            // A generator that takes nothing back loses its echo, and is counted as slow.
            Incoming::Message { route, payload } => {
                let _ = peer.send(route, payload);
            }
            Incoming::Request { id, payload, .. } => {
                let _ = peer.respond(id, Status::OK, payload);
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// Gives everything to everybody.
struct FanOut {
    everybody: Arc<OnceLock<ServerHandle>>,
}

impl Handler for FanOut {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } => {
                if let Some(everybody) = self.everybody.get() {
                    let _ = black_box(everybody.broadcast(route, payload));
                }
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}
