//! Clients that talk to a server that sends everything back, and know what has to come.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use outlast_core::client::OnLost;
use outlast_tokio::{Client, Handle, Incoming, Peer, ReconnectPolicy, SendError};
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(2);
/// How many messages are under way of which no receipt has come yet.
const AHEAD: usize = 2;

/// Waits until it is so.
pub(crate) async fn until(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    let mut looks = tokio::time::interval(LOOK);
    while !is() {
        assert!(since.elapsed() < DEADLINE, "never: {what}");
        looks.tick().await;
    }
}

/// What became of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that was sent came back, once and in order.
    Whole,
    /// It is lost, and of every message it is known what became of it.
    Told,
}

#[derive(Debug, Default)]
struct Facts {
    /// How many came back. They come in order, so this is the next number.
    heard: u64,
    /// The first that was not the next one.
    wrong: Option<String>,
    back_at: Option<Instant>,
    /// What certainly did not arrive, and what may not have.
    lost: Option<[Vec<u64>; 2]>,
}

#[derive(Debug, Default)]
struct Shared {
    facts: Mutex<Facts>,
    sent: AtomicU64,
    acknowledged: AtomicU64,
    resumed: AtomicU64,
    paused: AtomicBool,
    done: AtomicBool,
    /// Now and then it says so much that it takes several frames.
    long: bool,
}

/// A client that sends one number after the other.
pub(crate) struct Talker {
    shared: Arc<Shared>,
    handle: Handle,
    sender: JoinHandle<()>,
}

impl Talker {
    pub(crate) fn start(address: &str) -> Self {
        Self::saying(address, false)
    }

    /// One that now and then says so much that it takes several frames.
    pub(crate) fn start_long(address: &str) -> Self {
        Self::saying(address, true)
    }

    fn saying(address: &str, long: bool) -> Self {
        let policy = ReconnectPolicy { on_lost: OnLost::Stop, ..ReconnectPolicy::default() };
        let shared = Arc::new(Shared { long, ..Shared::default() });
        let told = Arc::clone(&shared);
        let handler = move |_: &mut Peer<'_>, event: Incoming<'_>| told.note(&event);
        let client = Client::builder().address(address).reconnect(policy).connect(handler);
        let (handle, runner) = client.expect("the settings are right");
        tokio::spawn(runner);
        let sender = tokio::spawn(talk(handle.clone(), Arc::clone(&shared)));
        Self { shared, handle, sender }
    }

    /// How many messages have receipts: the server's application has them.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Acquire)
    }

    pub(crate) fn resumed(&self) -> u64 {
        self.shared.resumed.load(Ordering::Acquire)
    }

    /// When it was resumed first.
    pub(crate) fn back_at(&self) -> Instant {
        self.shared.facts().back_at.expect("it was resumed")
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.shared.facts().lost.is_some()
    }

    pub(crate) fn pause(&self) {
        self.shared.paused.store(true, Ordering::Release);
    }

    pub(crate) fn go_on(&self) {
        self.shared.paused.store(false, Ordering::Release);
    }

    /// Sends nothing more.
    pub(crate) fn stop(&self) {
        self.shared.done.store(true, Ordering::Release);
    }

    /// Whether everything that was sent has its receipt and came back.
    pub(crate) fn is_quiet(&self) -> bool {
        let sent = self.shared.sent.load(Ordering::Acquire);
        let paused = self.shared.paused.load(Ordering::Acquire);
        paused && sent == self.acknowledged() && sent == self.shared.facts().heard
    }

    /// Ends the session, and says what became of it. Panics at what must not be.
    pub(crate) async fn end(self) -> Verdict {
        self.stop();
        let Self { shared, handle, sender } = self;
        sender.await.expect("it does not panic");
        handle.finish();
        let closed = handle.closed().await;
        let sent = shared.sent.load(Ordering::Acquire);
        let acknowledged = shared.acknowledged.load(Ordering::Acquire);
        let facts = shared.facts();
        assert_eq!(facts.wrong, None, "{acknowledged} acknowledged of {sent}");
        let Some([missing, unknown]) = &facts.lost else {
            assert!(closed.complete, "{closed}");
            assert_eq!((acknowledged, facts.heard), (sent, sent));
            return Verdict::Whole;
        };
        // Numbers below this are known to have arrived; all others are in one of the lists.
        let told: BTreeSet<u64> = missing.iter().chain(unknown).copied().collect();
        assert_eq!(told.len(), missing.len() + unknown.len(), "told twice: {facts:?}");
        let arrived = told.first().copied().unwrap_or(sent);
        assert!(told.into_iter().eq(arrived..sent), "{sent} sent: {facts:?}");
        assert!(arrived >= acknowledged, "{acknowledged} acknowledged: {facts:?}");
        // What came back arrived: it must not be called missing.
        assert!(missing.iter().all(|number| *number >= facts.heard), "{facts:?}");
        Verdict::Told
    }
}

/// Sends one number after the other, with receipts.
async fn talk(handle: Handle, shared: Arc<Shared>) {
    let mut receipts = VecDeque::new();
    let mut looks = tokio::time::interval(LOOK);
    loop {
        let done = shared.done.load(Ordering::Acquire);
        let paused = shared.paused.load(Ordering::Acquire);
        if !done && !paused {
            let number = shared.sent.load(Ordering::Acquire);
            match handle.send_receipted(1u8, &shared.payload(number)).await {
                Ok(receipt) => receipts.push_back(receipt),
                Err(SendError::Closed(_)) => return,
                Err(error) => panic!("{error}"),
            }
            shared.sent.store(number + 1, Ordering::Release);
        }
        let may_wait = if done || paused { 0 } else { AHEAD };
        if receipts.len() > may_wait
            && let Some(receipt) = receipts.pop_front()
        {
            if receipt.await.is_err() {
                return;
            }
            shared.acknowledged.fetch_add(1, Ordering::Release);
        } else if done {
            return;
        } else if paused {
            looks.tick().await;
        }
    }
}

impl Shared {
    fn facts(&self) -> std::sync::MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn payload(&self, number: u64) -> Vec<u8> {
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(if self.long && number % 50 == 9 { 40_000 } else { 32 }, number as u8);
        payload
    }

    fn note(&self, event: &Incoming<'_>) {
        let number = |payload: &[u8]| payload.first_chunk().map(|it| u64::from_le_bytes(*it));
        match event {
            Incoming::Message { payload: came, .. } => {
                let mut facts = self.facts();
                let next = facts.heard;
                if **came != self.payload(next)[..] && facts.wrong.is_none() {
                    let came = number(came);
                    facts.wrong = Some(format!("{came:?} came back where {next} was next"));
                }
                facts.heard += 1;
            }
            Incoming::Resumed { .. } => {
                self.facts().back_at.get_or_insert_with(Instant::now);
                self.resumed.fetch_add(1, Ordering::Release);
            }
            Incoming::Lost { undelivered, .. } => {
                let missing = undelivered.missing().filter_map(|(_, it)| number(it)).collect();
                let unknown = undelivered.unknown().filter_map(|(_, it)| number(it)).collect();
                self.facts().lost = Some([missing, unknown]);
            }
            _ => {}
        }
    }
}
