//! One thread and virtual time: whoever can run does so in an order drawn from a seed, and time
//! passes only while nobody can.

use std::collections::{BTreeMap, HashMap};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use outlast_service::{Runtime, Timer};

/// So many turns without any time passing are a task that spins.
const SPIN: u64 = 300_000;

/// No script takes longer, in microseconds.
const LONGEST: u64 = 3 * 3_600_000_000;

/// A generator of chance that can be repeated (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ x >> 31
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.range(1, 100) <= percent
    }
}

/// The runtime of a scripted world. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Sim(Arc<Inner>);

struct Inner {
    base: Instant,
    state: Mutex<State>,
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct State {
    /// Microseconds since the beginning.
    now: u64,
    rng: Rng,
    ready: Vec<u64>,
    /// `None` while the task runs.
    tasks: HashMap<u64, (Waker, Option<Task>)>,
    timers: BTreeMap<(u64, u64), Waker>,
    next_id: u64,
    /// Turns since time last passed, and in all.
    since_then: u64,
    turned: u64,
    /// Tasks that run inside of others now.
    depth: u64,
}

struct Wakeup {
    sim: Sim,
    id: u64,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        let mut state = self.sim.lock();
        if state.tasks.contains_key(&self.id) && !state.ready.contains(&self.id) {
            state.ready.push(self.id);
        }
    }
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let state = State {
            now: 0,
            rng: Rng(seed),
            ready: Vec::new(),
            tasks: HashMap::new(),
            timers: BTreeMap::new(),
            next_id: 0,
            since_then: 0,
            turned: 0,
            depth: 0,
        };
        Self(Arc::new(Inner { base: Instant::now(), state: Mutex::new(state) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the beginning.
    pub(crate) fn micros(&self) -> u64 {
        self.lock().now
    }

    /// Turns that tasks have had.
    pub(crate) fn turned(&self) -> u64 {
        self.lock().turned
    }

    /// Lets time pass at once, as for a machine that slept.
    pub(crate) fn suspend(&self, micros: u64) {
        self.lock().now += micros;
    }

    pub(crate) fn wake_at(&self, at: u64, waker: &Waker) -> (u64, u64) {
        let mut state = self.lock();
        state.next_id += 1;
        let key = (at, state.next_id);
        state.timers.insert(key, waker.clone());
        key
    }

    pub(crate) async fn sleep(&self, micros: u64) {
        let at = self.0.base + Duration::from_micros(self.micros() + micros);
        let mut timer = self.timer();
        poll_fn(|cx| timer.poll_until(cx, at)).await;
    }

    /// Runs a future in a task of its own; nobody wants to know what comes of it.
    pub(crate) fn aside(&self, future: impl Future<Output: Send> + Send + 'static) {
        self.spawn(async move {
            let _ = future.await;
        });
    }

    /// Runs everything until `main` is done.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        main: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let result = Arc::new(Mutex::new(None));
        let to = Arc::clone(&result);
        self.spawn(async move { *to.lock().unwrap() = Some(main.await) });
        while result.lock().unwrap().is_none() {
            self.turn();
        }
        // Tasks hold the runtime and it holds them.
        let left = std::mem::take(&mut self.lock().tasks);
        drop(left);
        self.lock().timers.clear();
        result.lock().unwrap().take().unwrap()
    }

    /// Lets others run in the middle of a task's turn, as on another thread.
    pub(crate) fn meanwhile(&self) {
        let mut state = self.lock();
        if state.depth >= 3 || state.ready.is_empty() {
            return;
        }
        state.depth += 1;
        drop(state);
        self.turn();
        self.lock().depth -= 1;
    }

    fn turn(&self) {
        let mut state = self.lock();
        if state.ready.is_empty() {
            return pass_time(state);
        }
        state.since_then += 1;
        state.turned += 1;
        assert!(state.since_then < SPIN, "somebody spins");
        let pick = state.rng.next() as usize % state.ready.len();
        let id = state.ready.swap_remove(pick);
        let (waker, task) = match state.tasks.get_mut(&id) {
            Some((waker, task @ Some(_))) => (waker.clone(), task.take().unwrap()),
            // It runs, below this one on the stack: it was woken meanwhile.
            Some((_, None)) => return state.ready.push(id),
            None => return,
        };
        drop(state);
        let (polled, task) = poll(task, &waker);
        let mut state = self.lock();
        match polled {
            Poll::Ready(()) => drop(state.tasks.remove(&id)),
            Poll::Pending => {
                if let Some(slot) = state.tasks.get_mut(&id) {
                    slot.1 = task;
                }
                return;
            }
        }
        drop(state);
        drop(task);
    }
}

/// What a script panics with that wants to see what becomes of the others.
pub(crate) struct Wanted;

/// Runs a task for a turn. One that panics on purpose is dropped on the way out of it, as by a
/// runtime that goes on without it.
fn poll(mut task: Task, waker: &Waker) -> (Poll<()>, Option<Task>) {
    let turn = AssertUnwindSafe(move || {
        let polled = task.as_mut().poll(&mut Context::from_waker(waker));
        (polled, Some(task))
    });
    match catch_unwind(turn) {
        Ok(polled) => polled,
        Err(payload) if payload.is::<Wanted>() => (Poll::Ready(()), None),
        Err(payload) => resume_unwind(payload),
    }
}

/// Nobody can run: goes to the moment when somebody can.
fn pass_time(mut state: MutexGuard<'_, State>) {
    let Some(((at, _), waker)) = state.timers.pop_first() else {
        panic!("everybody waits for ever");
    };
    assert!(at < LONGEST, "a script that does not end");
    if at > state.now {
        state.now = at;
        state.since_then = 0;
    }
    drop(state);
    waker.wake();
}

impl Runtime for Sim {
    type Timer = Alarm;

    fn now(&self) -> Instant {
        self.0.base + Duration::from_micros(self.micros())
    }

    fn timer(&self) -> Alarm {
        Alarm { sim: self.clone(), set: None }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        state.next_id += 1;
        let id = state.next_id;
        let waker = Waker::from(Arc::new(Wakeup { sim: self.clone(), id }));
        state.tasks.insert(id, (waker, Some(Box::pin(task))));
        state.ready.push(id);
    }
}

/// A timer in virtual time.
pub(crate) struct Alarm {
    sim: Sim,
    set: Option<(u64, u64)>,
}

impl Timer for Alarm {
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        self.unset();
        let at = at.saturating_duration_since(self.sim.0.base).as_micros() as u64;
        if at <= self.sim.micros() {
            return Poll::Ready(());
        }
        self.set = Some(self.sim.wake_at(at, cx.waker()));
        Poll::Pending
    }
}

impl Alarm {
    fn unset(&mut self) {
        if let Some(key) = self.set.take() {
            self.sim.lock().timers.remove(&key);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.unset();
    }
}
