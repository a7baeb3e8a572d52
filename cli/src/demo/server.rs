//! The server of the demonstration: checks what comes, answers, and sends a stream of its own.

use std::io::Sink;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use outlast_tokio::{Handle, Handler, Incoming, Peer, Route, Status};
use sha2::Sha256;

use super::client::{BURST, PAUSE};
use super::stream::{Checker, Seen, Stream, Tally};
use crate::rng::Rng;
use crate::transfer::{Begun, Offer, Receiver, Store};

/// Messages of the streams, both ways.
pub(super) const STREAM: u32 = 1;
/// Server to client: so many messages were in the stream.
pub(super) const END: u32 = 2;
/// Request: I am client number n; begin with the stream.
pub(super) const BEGIN: u32 = 3;
/// Request with a number; the answer is [`worked`].
pub(super) const WORK: u32 = 4;
/// Request: so many messages were in my stream; the answer is what came of it.
pub(super) const STOP: u32 = 5;

/// What the server counts over all sessions.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) resent: AtomicU64,
    /// Requests that came a second time.
    pub(super) repeated: AtomicU64,
    pub(super) worked: AtomicU64,
    /// Sessions that ended badly with work in them.
    pub(super) lost: AtomicU64,
}

/// The answer to a request of [`WORK`]: its number, mixed beyond recognition.
pub(super) fn worked(number: u64) -> [u8; 8] {
    Rng::new(number).next().to_le_bytes()
}

/// Keeps nothing of a file: its digest is what counts here.
struct Nowhere;

impl Store for Nowhere {
    type File = Sink;

    fn begin(&mut self, _: &Offer) -> Result<Begun<Sink>, String> {
        Ok(Begun::From { file: std::io::sink(), offset: 0, digest: Sha256::default() })
    }

    fn finish(&mut self, _: &Offer, _: Sink) -> Result<(), String> {
        Ok(())
    }

    fn discard(&mut self, _: &Offer, _: Sink) {}
}

/// The server's side of one session.
pub(super) struct Desk {
    seed: u64,
    counts: Arc<Counts>,
    /// Set up when the client says who it is.
    work: Option<Work>,
}

struct Work {
    checker: Checker,
    seen: Seen,
    files: Receiver<Nowhere>,
    /// Ends the stream to the client.
    stop: Arc<AtomicBool>,
}

impl Desk {
    pub(super) const fn new(seed: u64, counts: Arc<Counts>) -> Self {
        Self { seed, counts, work: None }
    }

    fn request(&mut self, peer: &Peer<'_>, route: Route, payload: &[u8]) -> (Status, Vec<u8>) {
        let number = payload.try_into().ok().map(u64::from_le_bytes);
        match (route.get(), number, &mut self.work) {
            (BEGIN, Some(client), None) => {
                let client = u32::try_from(client).unwrap_or(u32::MAX);
                let stop = Arc::new(AtomicBool::new(false));
                let down = Stream::new(self.seed, client, false);
                tokio::spawn(send_stream(peer.handle(), down, Arc::clone(&stop)));
                self.work = Some(Work {
                    checker: Checker::new(Stream::new(self.seed, client, true)),
                    seen: Seen::default(),
                    files: Receiver::new(Nowhere),
                    stop,
                });
                (Status::OK, Vec::new())
            }
            (WORK, Some(number), Some(work)) => {
                self.counts.worked.fetch_add(1, Ordering::Relaxed);
                let repeated = u64::from(!work.seen.insert(number));
                self.counts.repeated.fetch_add(repeated, Ordering::Relaxed);
                (Status::OK, worked(number).to_vec())
            }
            (STOP, Some(sent), Some(work)) => {
                work.stop.store(true, Ordering::Relaxed);
                let tally: Tally = work.checker.tally(sent);
                (Status::OK, tally.encode())
            }
            (_, _, Some(work)) if Receiver::<Nowhere>::serves(route) => {
                let (status, answer, _) = work.files.request(route, payload);
                (status, answer)
            }
            _ => (Status::INVALID, Vec::new()),
        }
    }
}

impl Handler for Desk {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        if matches!(event, Incoming::Ended | Incoming::Lost { .. }) {
            let resent = peer.session().stats().resent;
            self.counts.resent.fetch_add(resent.into(), Ordering::Relaxed);
        }
        match event {
            Incoming::Message { route, payload } => {
                let Some(work) = &mut self.work else { return };
                if route.get() == STREAM {
                    work.checker.take(payload);
                } else {
                    work.files.data(payload);
                }
            }
            Incoming::Request { id, route, payload } => {
                let (status, answer) = self.request(peer, route, payload);
                // It fails only if the session is over, which is counted below.
                let _ = peer.respond(id, status, &answer);
            }
            Incoming::Lost { .. } if self.work.is_some() => {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}

/// Sends messages until it is stopped, then says how many there were.
async fn send_stream(handle: Handle, stream: Stream, stop: Arc<AtomicBool>) {
    let mut number: u64 = 0;
    let mut message = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        stream.write(number, &mut message);
        if handle.send(STREAM, &message).await.is_err() {
            return;
        }
        number += 1;
        if number.is_multiple_of(BURST) {
            tokio::time::sleep(PAUSE).await;
        }
    }
    // A session that is lost just now is counted by its handler.
    let _ = handle.send(END, &number.to_le_bytes()).await;
}
