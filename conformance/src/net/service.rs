//! The handler and the commands of runtimes made with `outlast-service`.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use outlast_core::wire::Status;
use outlast_core::{CloseCode, Position};
use outlast_service::{Handle, Handler, Incoming, Peer, Responder, SendError};

use super::{Controls, Feed, lock};
use crate::driver::{Cmd, Obs};

/// Bytes that handles may queue for a session, and up to twice as many that wait for room in it.
pub const SLACK: usize = 3 * (256 << 10) + 4096;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A server's or a client's sessions, as a case commands them. Clones are the same desk.
#[derive(Clone)]
pub struct Desk {
    feed: Feed,
    is_server: bool,
    held: Arc<Mutex<Held>>,
    spawn: Arc<dyn Fn(Task) + Send + Sync>,
}

#[derive(Default)]
struct Held {
    handles: HashMap<u64, Handle>,
    responders: HashMap<(u64, u16), Responder>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("is_server", &self.is_server).finish_non_exhaustive()
    }
}

impl Desk {
    /// The desk of a server. `spawn` runs a task in the runtime under test.
    pub fn server(feed: &Feed, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self { feed: feed.clone(), is_server: true, held: Arc::default(), spawn: Arc::new(spawn) }
    }

    /// The desk of a client.
    pub fn client(feed: &Feed, spawn: impl Fn(Task) + Send + Sync + 'static) -> Self {
        Self { is_server: false, ..Self::server(feed, spawn) }
    }

    /// The handler for a session, or for each of a server's.
    #[must_use]
    pub fn handler(&self) -> Reporter {
        Reporter { desk: self.clone() }
    }

    /// The number under which a session is held.
    const fn place(&self, session: u64) -> u64 {
        if self.is_server { session } else { 0 }
    }

    fn handle(&self, session: u64) -> Result<Handle, String> {
        let held = lock(&self.held);
        held.handles.get(&self.place(session)).cloned().ok_or_else(|| "no such session".into())
    }
}

impl Controls for Desk {
    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        let handle = self.handle(session)?;
        let text = |error: SendError| error.to_string();
        match command {
            Cmd::Send { route, payload } => handle.try_send(route, &payload).map_err(text),
            Cmd::Request { route, payload } => {
                let feed = self.feed.clone();
                (self.spawn)(Box::pin(async move {
                    if let Ok(response) = handle.request(route, &payload).await {
                        let (status, payload) = (response.status.0, response.payload.to_vec());
                        feed.tell(session, Obs::Response { id: 0, status, payload });
                    }
                }));
                Ok(())
            }
            Cmd::Respond { id, status, payload } => {
                let responder = lock(&self.held).responders.remove(&(self.place(session), id));
                let responder = responder.ok_or("no such request")?;
                (self.spawn)(Box::pin(async move {
                    // A session that is over was told to the feed.
                    let _ = responder.respond(Status(status), &payload).await;
                }));
                Ok(())
            }
            Cmd::Finish => {
                handle.finish();
                Ok(())
            }
            Cmd::Close(code) => {
                handle.disconnect(code);
                Ok(())
            }
            Cmd::End(code) => {
                handle.end(code);
                Ok(())
            }
            Cmd::Drain(..) => Err("one session alone is not drained".into()),
        }
    }
}

/// Tells the feed what a session's handler is told.
#[derive(Debug)]
pub struct Reporter {
    desk: Desk,
}

impl Handler for Reporter {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        let session = peer.id().unwrap_or_default();
        let place = self.desk.place(session);
        let what = match event {
            Incoming::Opened => {
                lock(&self.desk.held).handles.insert(place, peer.handle());
                Obs::Opened
            }
            Incoming::Request { id, route, payload } => {
                let responder = peer.defer(id);
                let mut held = lock(&self.desk.held);
                drop(held.responders.insert((place, id.0), responder));
                Obs::Request { id: id.0, route: route.get(), payload: payload.to_vec() }
            }
            other => observe(&other),
        };
        self.desk.feed.tell(session, what);
    }
}

fn observe(event: &Incoming<'_>) -> Obs {
    match event {
        Incoming::Resumed { .. } => Obs::Resumed,
        Incoming::Message { route, payload } => {
            Obs::Message { route: route.get(), payload: payload.to_vec() }
        }
        Incoming::Acknowledged { position } => Obs::Acked(position.get()),
        Incoming::Disconnected { code, .. } => Obs::Disconnected(*code),
        Incoming::Finished => Obs::Finished,
        Incoming::Ended => Obs::Ended,
        Incoming::Lost { code, peer_received, .. } => lost(*code, *peer_received),
        _ => Obs::Other("event"),
    }
}

fn lost(code: CloseCode, peer_received: Option<Position>) -> Obs {
    Obs::Lost(code, peer_received.map(Position::get))
}
