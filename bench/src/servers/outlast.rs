//! This project's server over tokio.

use core::hint::black_box;
use std::io;
use std::sync::{Arc, OnceLock};

use outlast_tokio::{Config, Handler, Incoming, Limits, Peer, Server, ServerHandle, Status};

use super::Mode;

/// Whether the server is built in; while `false` its rows are left out with a note.
pub(super) const AVAILABLE: bool = true;

/// Serves sessions on a free loopback port until the process ends.
pub(super) async fn serve(mode: Mode) -> io::Result<()> {
    let server = Server::builder()
        .config(Config { max_requests: 256, ..Config::SERVER })
        .limits(Limits::one_source())
        .bind("127.0.0.1:0")
        .await?;
    let port = server.local_addr()?.port();
    let everybody: Arc<OnceLock<ServerHandle>> = Arc::default();
    let shared = Arc::clone(&everybody);
    let mut running = server.start(move |_| Served { mode, everybody: Arc::clone(&shared) })?;
    let _ = everybody.set(running.handle());
    super::announce(port)?;
    running.finished().await;
    Ok(())
}

struct Served {
    mode: Mode,
    everybody: Arc<OnceLock<ServerHandle>>,
}

impl Handler for Served {
    // Without this the compiler leaves the call in the loop over messages: docs/performance.md.
    #[inline(always)]
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match (self.mode, event) {
            (Mode::Sink | Mode::Chunks, Incoming::Message { payload, .. }) => {
                black_box(payload);
            }
            (Mode::Sink | Mode::Chunks, Incoming::Fragment { payload, .. }) => {
                black_box(payload);
            }
            (Mode::FanOut, Incoming::Message { route, payload }) => {
                if let Some(everybody) = self.everybody.get() {
                    let _ = black_box(everybody.broadcast(route, payload));
                }
            }
            (_, Incoming::Message { route, payload }) => {
                // A generator that takes nothing back loses its echo, and is counted as slow.
                let _ = peer.send(route, payload);
            }
            (_, Incoming::Request { id, payload, .. }) => {
                let _ = peer.respond(id, Status::OK, payload);
            }
            (_, Incoming::Finished) => peer.finish(),
            _ => {}
        }
    }

    fn wants_fragments(&self) -> bool {
        self.mode == Mode::Chunks
    }
}
