//! One task to its end on one thread, which sleeps whenever the task waits.
//!
//! While it sleeps the thread is in one call of `poll(2)`, over the sockets that the task waits for
//! and a bell that other threads ring, until the earliest of its timers at most. A task that waits
//! for no socket parks its thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};

use crate::wake::{Bell, Sleep, Sleeper};

/// A task with a thread of its own.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How often a thread looks for notice while the system has no descriptor for its bell, and how
/// long it waits when the system cannot poll at all.
const WITHOUT_BELL: Duration = Duration::from_millis(10);

thread_local! {
    /// What the task of this thread waits for, while there is one.
    static CURRENT: RefCell<Option<Box<Waits>>> = const { RefCell::new(None) };
    /// What the last task of this thread needs no more.
    static SPARE: Cell<Option<Box<Waits>>> = const { Cell::new(None) };
}

/// Something with a descriptor, and what is known of it.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    pub(crate) socket: S,
    /// A read would find nothing, as far as is known: it was tried, and nobody said otherwise.
    dry: AtomicBool,
}

impl<S> Watched<S> {
    pub(crate) const fn new(socket: S) -> Self {
        Self { socket, dry: AtomicBool::new(false) }
    }

    pub(crate) fn is_dry(&self) -> bool {
        self.dry.load(Ordering::Relaxed)
    }

    /// Everything that there was has been read. `poll(2)` tells when there is more: it looks at
    /// what is there, and does not wait for changes.
    pub(crate) fn set_dry(&self) {
        self.dry.store(true, Ordering::Relaxed);
    }
}

trait Source: Send + Sync {
    fn fd(&self) -> BorrowedFd<'_>;
    /// A read may find something.
    fn wet(&self);
}

impl<S: AsFd + Send + Sync> Source for Watched<S> {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn wet(&self) {
        self.dry.store(false, Ordering::Relaxed);
    }
}

/// A socket that is waited for.
struct Watch {
    source: Arc<dyn Source>,
    events: PollFlags,
    /// Whom to wake, unless it is the thread's task itself.
    waker: Option<Waker>,
}

/// A timer that is armed.
struct Alarm {
    id: u64,
    at: Instant,
    /// Whom to wake, unless it is the thread's task itself.
    waker: Option<Waker>,
}

/// What a thread's task waits for.
struct Waits {
    sleeper: Arc<Sleeper>,
    waker: Waker,
    bell: Option<Arc<Bell>>,
    watches: Vec<Watch>,
    alarms: Vec<Alarm>,
    /// The size of the stack, if this thread was started for tasks and may go on with another one.
    for_tasks: Option<usize>,
    /// What this thread does next if its task is over, and another thread if it is not.
    next: Option<(Task, usize)>,
}

impl Waits {
    fn here() -> Box<Self> {
        let sleeper = Arc::new(Sleeper::here());
        let waker = Waker::from(Arc::clone(&sleeper));
        Box::new(Self {
            sleeper,
            waker,
            bell: None,
            watches: Vec::new(),
            alarms: Vec::new(),
            for_tasks: None,
            next: None,
        })
    }

    /// The waker, if it is another than the thread's own.
    fn foreign(&self, cx: &Context<'_>) -> Option<Waker> {
        (!cx.waker().will_wake(&self.waker)).then(|| cx.waker().clone())
    }

    /// Sleeps until there is something to do. Whoever is returned is to be woken.
    fn rest(&mut self) -> Vec<Waker> {
        let timeout = match self.alarms.iter().map(|alarm| alarm.at).min() {
            None => None,
            Some(at) => {
                let now = Instant::now();
                if at <= now {
                    self.sleeper.get_up();
                    self.look_again();
                    return self.fire(now);
                }
                Some(at - now)
            }
        };
        if self.watches.is_empty() { self.park(timeout) } else { self.poll(timeout) }
    }

    /// Nobody has asked the system: every socket may have something.
    fn look_again(&self) {
        self.watches.iter().for_each(|watch| watch.source.wet());
    }

    /// Takes the alarms that are due.
    fn fire(&mut self, now: Instant) -> Vec<Waker> {
        let mut due = Vec::new();
        self.alarms.retain_mut(|alarm| {
            let keep = alarm.at > now;
            if !keep {
                due.extend(alarm.waker.take());
            }
            keep
        });
        due
    }

    fn park(&mut self, timeout: Option<Duration>) -> Vec<Waker> {
        let mut due = Vec::new();
        if self.sleeper.lie_down(Sleep::Parked) {
            match timeout {
                Some(timeout) => {
                    std::thread::park_timeout(timeout);
                    due = self.fire(Instant::now());
                }
                // Somebody else's notice for this thread is not for this task.
                None => {
                    while self.sleeper.is_parked() {
                        std::thread::park();
                    }
                }
            }
        }
        self.sleeper.get_up();
        due
    }

    fn poll(&mut self, timeout: Option<Duration>) -> Vec<Waker> {
        self.hang_bell();
        let timeout = match &self.bell {
            Some(_) => timeout,
            None => Some(timeout.map_or(WITHOUT_BELL, |timeout| timeout.min(WITHOUT_BELL))),
        };
        if !self.sleeper.lie_down(Sleep::Polling) {
            self.sleeper.get_up();
            self.look_again();
            return Vec::new();
        }
        let happened = wait(&mut self.watches, self.bell.as_deref(), timeout);
        self.sleeper.get_up();
        match happened {
            Ok(Some(woken)) => woken,
            Ok(None) => self.fire(Instant::now()),
            Err(error) => {
                if error != rustix::io::Errno::INTR {
                    std::thread::park_timeout(WITHOUT_BELL);
                }
                self.look_again();
                Vec::new()
            }
        }
    }

    /// Makes the bell, if there is none and the system has a descriptor for it.
    fn hang_bell(&mut self) {
        if self.bell.is_none()
            && let Ok(bell) = Bell::new()
        {
            let bell = Arc::new(bell);
            self.sleeper.hang(&bell);
            self.bell = Some(bell);
        }
    }
}

/// Waits for sockets and the bell. `None` if the time is over, or those whom to wake.
fn wait(
    watches: &mut Vec<Watch>,
    bell: Option<&Bell>,
    timeout: Option<Duration>,
) -> rustix::io::Result<Option<Vec<Waker>>> {
    // What lies beyond the range of the system's clock is never.
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    let asked = |watch: &Watch| watch.events;
    // Nearly always it is one socket: no memory is needed for the question.
    if let ([one], Some(bell)) = (&watches[..], bell) {
        let of_one = PollFd::from_borrowed_fd(one.source.fd(), asked(one));
        let mut fds = [of_one, PollFd::new(bell, PollFlags::IN)];
        let any = rustix::event::poll(&mut fds, timeout.as_ref())? > 0;
        let [happened, rung] = fds.map(|fd| fd.revents());
        if !rung.is_empty() {
            bell.hush();
        }
        return Ok(any.then(|| note(watches, &[happened])));
    }
    let of_watches = watches.iter().map(|one| (one.source.fd(), asked(one)));
    let of_bell = bell.map(|bell| (bell.as_fd(), PollFlags::IN));
    let all = of_watches.chain(of_bell);
    let mut fds: Vec<_> = all.map(|(fd, events)| PollFd::from_borrowed_fd(fd, events)).collect();
    let any = rustix::event::poll(&mut fds, timeout.as_ref())? > 0;
    let happened: Vec<_> = fds.iter().map(PollFd::revents).collect();
    if let (Some(bell), Some(rung)) = (bell, happened.get(watches.len()))
        && !rung.is_empty()
    {
        bell.hush();
    }
    Ok(any.then(|| note(watches, &happened)))
}

/// Notes what happened to the sockets, and returns those whom to wake.
fn note(watches: &mut Vec<Watch>, happened: &[PollFlags]) -> Vec<Waker> {
    let mut woken = Vec::new();
    for (watch, &happened) in watches.iter_mut().zip(happened) {
        if happened.is_empty() {
            continue;
        }
        if happened != PollFlags::OUT {
            watch.source.wet();
        }
        woken.extend(watch.waker.clone());
        // Errors and ends come unasked, and answer every question.
        let all = !(PollFlags::IN | PollFlags::OUT).contains(happened);
        watch.events -= if all { watch.events } else { happened };
    }
    watches.retain(|watch| !watch.events.is_empty());
    woken
}

/// What a thread's task waits for is kept here while it runs; what was before comes back behind it.
struct Running {
    before: Option<Box<Waits>>,
}

impl Running {
    fn begin(stack_size: Option<usize>) -> Self {
        let mut waits = SPARE.take().unwrap_or_else(Waits::here);
        waits.for_tasks = stack_size;
        Self { before: CURRENT.replace(Some(waits)) }
    }

    /// Polls until it is ready.
    fn complete<F: Future + ?Sized>(&self, mut future: Pin<&mut F>) -> F::Output {
        let waker = with_current(|waits| waits.waker.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut cx) {
                return done;
            }
            if let Some((task, stack_size)) = with_current(|waits| waits.next.take()) {
                start_or_drop(task, stack_size);
            }
            with_current(Waits::rest).into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut waits) = CURRENT.replace(self.before.take()) else {
            return;
        };
        // What a task that panicked has started goes on all the same.
        if let Some((task, stack_size)) = waits.next.take() {
            start_or_drop(task, stack_size);
        }
        waits.watches.clear();
        waits.alarms.clear();
        SPARE.set(Some(waits));
    }
}

fn with_current<T>(work: impl FnOnce(&mut Waits) -> T) -> T {
    CURRENT.with_borrow_mut(|waits| {
        let waits = waits.as_deref_mut();
        let misused = "sockets and timers of outlast-std work in its threads and in its `block_on`";
        work(waits.unwrap_or_else(|| panic!("{misused}")))
    })
}

/// Runs a future to its end on this thread, which sleeps while there is nothing to do. Made for the
/// futures of this crate and of `outlast-service`; any other that keeps its wakers' rules will do.
///
/// # Panics
///
/// If the future does.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let future = pin!(future);
    Running::begin(None).complete(future)
}

/// As [`block_on`], for so long at most; what is not ready then is dropped.
pub fn block_on_timeout<F: Future>(future: F, limit: Duration) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = Alarmed::default();
    // What lies beyond the clock's range is never.
    let at = Instant::now().checked_add(limit);
    block_on(std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => at.map_or(Poll::Pending, |at| timer.poll_until(cx, at).map(|()| None)),
    }))
}

/// Runs a task on a thread of its own; on this one if its own task ends with this poll.
pub(crate) fn spawn(task: Task, stack_size: usize) {
    let before = CURRENT.with_borrow_mut(|waits| match waits.as_deref_mut() {
        // The second task waits for nobody, and the first not for the second.
        Some(waits) if waits.for_tasks == Some(stack_size) => {
            waits.next.replace((task, stack_size))
        }
        Some(_) | None => Some((task, stack_size)),
    });
    if let Some((task, stack_size)) = before {
        start_or_drop(task, stack_size);
    }
}

thread_local! {
    /// Why the system last refused a thread to this one.
    static REFUSED: Cell<Option<io::Error>> = const { Cell::new(None) };
}

/// Why the system refused a thread since this was last called here.
pub(crate) fn refused() -> Option<io::Error> {
    REFUSED.take()
}

/// Without a thread there is nobody to run the task: it is dropped, and whoever waits for it knows.
fn start_or_drop(task: Task, stack_size: usize) {
    let thread = std::thread::Builder::new().name("outlast".into()).stack_size(stack_size);
    if let Err(error) = thread.spawn(move || work(task, stack_size)) {
        REFUSED.set(Some(error));
    }
}

/// Runs a task, and what that leaves to be done behind it.
fn work(task: Task, stack_size: usize) {
    let mut next = Some(task);
    while let Some(mut task) = next {
        let running = Running::begin(Some(stack_size));
        running.complete(task.as_mut());
        drop(task);
        next = with_current(|waits| waits.next.take()).map(|(task, _)| task);
    }
}

/// Asks that the task is polled again when that happens to the socket.
pub(crate) fn watch<S>(watched: &Arc<Watched<S>>, events: PollFlags, cx: &Context<'_>)
where
    S: AsFd + Send + Sync + 'static,
{
    with_current(|waits| {
        let waker = waits.foreign(cx);
        let same = |watch: &&mut Watch| {
            is_of(watch, watched)
                && match (&watch.waker, &waker) {
                    (Some(one), Some(other)) => one.will_wake(other),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                }
        };
        match waits.watches.iter_mut().find(same) {
            Some(watch) => watch.events |= events,
            None => {
                let source: Arc<dyn Source> = Arc::<Watched<S>>::clone(watched);
                waits.watches.push(Watch { source, events, waker });
            }
        }
    });
}

/// The socket is about to be closed: it is not waited for any more.
pub(crate) fn unwatch<S>(watched: &Arc<Watched<S>>) {
    let forget = |waits: &mut Waits| waits.watches.retain(|watch| !is_of(watch, watched));
    with_current_if_free(forget);
}

fn is_of<S>(watch: &Watch, watched: &Arc<Watched<S>>) -> bool {
    Arc::as_ptr(&watch.source).cast::<()>() == Arc::as_ptr(watched).cast::<()>()
}

/// For values that are dropped, wherever that is.
fn with_current_if_free(work: impl FnOnce(&mut Waits)) {
    let _ = CURRENT.try_with(|waits| {
        if let Ok(mut waits) = waits.try_borrow_mut()
            && let Some(waits) = waits.as_deref_mut()
        {
            work(waits);
        }
    });
}

/// A timer of the thread that polls it.
#[derive(Debug, Default)]
pub(crate) struct Alarmed {
    /// Its number once it was armed; 0 before.
    id: u64,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl Alarmed {
    pub(crate) fn poll_until(&mut self, cx: &Context<'_>, at: Instant) -> Poll<()> {
        if at <= Instant::now() {
            return Poll::Ready(());
        }
        if self.id == 0 {
            self.id = NUMBERS.fetch_add(1, Ordering::Relaxed);
        }
        let id = self.id;
        with_current(|waits| {
            let waker = waits.foreign(cx);
            match waits.alarms.iter_mut().find(|alarm| alarm.id == id) {
                Some(alarm) => *alarm = Alarm { id, at, waker },
                None => waits.alarms.push(Alarm { id, at, waker }),
            }
        });
        Poll::Pending
    }
}

impl Drop for Alarmed {
    fn drop(&mut self) {
        if self.id != 0 {
            with_current_if_free(|waits| waits.alarms.retain(|alarm| alarm.id != self.id));
        }
    }
}
