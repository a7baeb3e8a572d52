//! A client of the demonstration: streams, asks, sends files, and checks what comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use outlast_tokio::{
    Attempts, Client as Dialer, Config, Handle, Handler, Incoming, OnLost, Peer, ReconnectPolicy,
};
use tokio::sync::Notify;

use super::CONFIG;
use super::server::{BEGIN, END, STOP, STREAM, WORK, worked};
use super::stream::{Checker, Stream, Tally};
use crate::health::Health;
use crate::tap::Tapping;
use crate::transfer::{Progress, Source, Trouble, send};

/// Files under way at once.
const CARRIERS: usize = 4;
/// Requests under way at once.
const CALLERS: u64 = 4;
/// Messages of a stream between two pauses, which leave room for the files and requests.
pub(super) const BURST: u64 = 16;
pub(super) const PAUSE: Duration = Duration::from_millis(1);
/// The first back-off and the longest, in microseconds: the point is to see many of them.
const BACKOFF: (u64, u64) = (3_000, 60_000);

/// What others may know of a client while it runs.
pub(super) struct Client {
    index: u32,
    clients: u32,
    seed: u64,
    files: Arc<Vec<Source>>,
    pub(super) health: Arc<Health>,
    pub(super) progress: Progress,
    pub(super) sent: AtomicU64,
    pub(super) asked: AtomicU64,
    pub(super) answered: AtomicU64,
    /// Answers that were not what they should be.
    pub(super) wrong: AtomicU64,
    pub(super) down: Arc<Down>,
    /// Lanes that have sent all of their files at least once.
    carried: AtomicUsize,
    over: AtomicBool,
}

/// The stream from the server.
pub(super) struct Down {
    checker: Mutex<Checker>,
    /// How many messages there were, once the server has said so.
    total: Mutex<Option<u64>>,
    ended: Notify,
}

/// A client's last words.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) up: Tally,
    pub(super) down: Tally,
    /// What went wrong.
    pub(super) trouble: Option<String>,
}

impl Finished {
    pub(super) fn missing() -> Self {
        let trouble = Some("a client did not finish in time".to_owned());
        Self { up: Tally::default(), down: Tally::default(), trouble }
    }
}

impl Down {
    pub(super) fn checker(&self) -> MutexGuard<'_, Checker> {
        self.checker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn total(&self) -> MutexGuard<'_, Option<u64>> {
        self.total.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    pub(super) fn new(index: u32, clients: u32, seed: u64, files: Arc<Vec<Source>>) -> Self {
        let down = Down {
            checker: Mutex::new(Checker::new(Stream::new(seed, index, false))),
            total: Mutex::new(None),
            ended: Notify::new(),
        };
        Self {
            index,
            clients,
            seed,
            files,
            health: Arc::new(Health::default()),
            progress: Progress::default(),
            sent: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            down: Arc::new(down),
            carried: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Whether every file of this client was carried at least once.
    pub(super) fn has_carried(&self) -> bool {
        self.carried.load(Ordering::Relaxed) == CARRIERS
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Works until told to stop, then makes sure that everything has arrived.
    pub(super) async fn run(
        &self,
        address: &str,
        tapping: Tapping,
        stop: &AtomicBool,
    ) -> (u32, Finished) {
        let mut finished = Finished { trouble: None, ..Finished::missing() };
        if let Err(trouble) = self.work(address, tapping, stop, &mut finished).await {
            finished.trouble = Some(format!("client {}: {trouble}", self.index));
        }
        self.over.store(true, Ordering::Relaxed);
        (self.index, finished)
    }

    async fn work(
        &self,
        address: &str,
        tapping: Tapping,
        stop: &AtomicBool,
        finished: &mut Finished,
    ) -> Result<(), String> {
        let policy = ReconnectPolicy {
            backoff_base: BACKOFF.0,
            backoff_cap: BACKOFF.1,
            connect_limit: 1_000_000,
            idle: u64::from(CONFIG.idle_timeout_ms) * 1_000,
            attempts: Attempts::Unlimited,
            on_lost: OnLost::Stop,
            ..ReconnectPolicy::default()
        };
        let config = Config { max_requests: 64, ..CONFIG };
        let handler = Ear { health: Arc::clone(&self.health), down: Arc::clone(&self.down) };
        let client = Dialer::builder().address(address).config(config).reconnect(policy);
        let client = client.layer(tapping);
        let (handle, runner) = client.connect(handler).map_err(|error| error.to_string())?;
        let runner = tokio::spawn(runner);
        let begun = handle.request(BEGIN, &u64::from(self.index).to_le_bytes()).await;
        begun.map_err(|error| error.to_string())?;
        tokio::try_join!(
            self.stream(&handle, stop),
            self.carry(&handle, stop, 0),
            self.carry(&handle, stop, 1),
            self.carry(&handle, stop, 2),
            self.carry(&handle, stop, 3),
            self.ask(&handle, stop, 0),
            self.ask(&handle, stop, 1),
            self.ask(&handle, stop, 2),
            self.ask(&handle, stop, 3),
        )?;
        let sent = self.sent.load(Ordering::Relaxed);
        let answer = handle.request(STOP, &sent.to_le_bytes()).await;
        let answer = answer.map_err(|error| error.to_string())?;
        finished.up = Tally::decode(&answer.payload).ok_or("the server lost count")?;
        let total = loop {
            if let Some(total) = *self.down.total() {
                break total;
            }
            self.down.ended.notified().await;
        };
        finished.down = self.down.checker().tally(total);
        handle.finish();
        let closed = runner.await.map_err(|error| error.to_string())?;
        if closed.complete { Ok(()) } else { Err(closed.to_string()) }
    }

    async fn stream(&self, handle: &Handle, stop: &AtomicBool) -> Result<(), String> {
        let stream = Stream::new(self.seed, self.index, true);
        let mut message = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            stream.write(number, &mut message);
            handle.send(STREAM, &message).await.map_err(|error| error.to_string())?;
            number += 1;
            self.sent.store(number, Ordering::Relaxed);
            if number.is_multiple_of(BURST) {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Sends the files of one lane again and again; every client and every lane has its share.
    async fn carry(&self, handle: &Handle, stop: &AtomicBool, lane: usize) -> Result<(), String> {
        let (start, step) = (self.index as usize, self.clients as usize);
        let mine =
            || self.files.iter().enumerate().skip(start + lane * step).step_by(step * CARRIERS);
        let mut rounds: u64 = 0;
        loop {
            for (index, source) in mine() {
                if rounds > 0 && stop.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let sent = send(handle, index, source, &self.progress).await;
                sent.map_err(|trouble| match trouble {
                    Trouble::File(reason) | Trouble::Session(reason) => {
                        format!("{}: {reason}", source.name)
                    }
                })?;
                self.progress.files.fetch_add(1, Ordering::Relaxed);
            }
            rounds += 1;
            if rounds == 1 {
                self.carried.fetch_add(1, Ordering::Relaxed);
            }
            if stop.load(Ordering::Relaxed) || mine().next().is_none() {
                return Ok(());
            }
        }
    }

    async fn ask(&self, handle: &Handle, stop: &AtomicBool, caller: u64) -> Result<(), String> {
        let mut number = caller;
        while !stop.load(Ordering::Relaxed) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = handle.request(WORK, &number.to_le_bytes()).await;
            let answer = answer.map_err(|error| error.to_string())?;
            self.answered.fetch_add(1, Ordering::Relaxed);
            let right = answer.status.is_ok() && *answer.payload == worked(number);
            self.wrong.fetch_add(u64::from(!right), Ordering::Relaxed);
            number += CALLERS;
            // Requests are there to be mixed in, not to crowd out the streams.
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        Ok(())
    }
}

/// The client's handler.
struct Ear {
    health: Arc<Health>,
    down: Arc<Down>,
}

impl Handler for Ear {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        match event {
            Incoming::Message { route, payload } if route.get() == STREAM => {
                self.down.checker().take(payload);
            }
            Incoming::Message { route, payload } if route.get() == END => {
                *self.down.total() = payload.try_into().ok().map(u64::from_le_bytes);
                self.down.ended.notify_one();
            }
            Incoming::Finished => peer.finish(),
            other => self.health.note(&other, peer.session().stats().resent),
        }
    }
}
