//! How a thread that sleeps is woken: by unparking it, or by ringing the bell that it polls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::Wake;
use std::thread::Thread;

/// It polls its task, or is about to.
const AWAKE: u8 = 0;
/// Somebody wants the task to be polled again.
const NOTIFIED: u8 = 1;
/// It sleeps in `poll(2)`: the bell wakes it.
const POLLING: u8 = 2;
/// It is parked.
const PARKED: u8 = 3;

/// How a thread sleeps.
#[derive(Debug, Copy, Clone)]
pub(crate) enum Sleep {
    /// In `poll(2)`, with its bell among the descriptors.
    Polling,
    /// Parked.
    Parked,
}

/// Wakes one thread. Those who hold it do not keep the bell's descriptor open.
#[derive(Debug)]
pub(crate) struct Sleeper {
    state: AtomicU8,
    thread: Thread,
    bell: OnceLock<Weak<Bell>>,
}

impl Sleeper {
    /// For the thread that calls this.
    pub(crate) fn here() -> Self {
        let thread = std::thread::current();
        Self { state: AtomicU8::new(AWAKE), thread, bell: OnceLock::new() }
    }

    /// From now on the bell wakes the thread where it polls.
    pub(crate) fn hang(&self, bell: &Arc<Bell>) {
        // A thread hangs its only bell once.
        let _ = self.bell.set(Arc::downgrade(bell));
    }

    /// The thread is about to sleep; false if it was notified since it last woke up.
    pub(crate) fn lie_down(&self, sleep: Sleep) -> bool {
        let to = match sleep {
            Sleep::Polling => POLLING,
            Sleep::Parked => PARKED,
        };
        let order = (Ordering::AcqRel, Ordering::Acquire);
        self.state.compare_exchange(AWAKE, to, order.0, order.1).is_ok()
    }

    /// The thread is up again. What was said before it was notified is seen from here on.
    pub(crate) fn get_up(&self) {
        self.state.swap(AWAKE, Ordering::AcqRel);
    }

    /// Whether nobody wants the parked thread yet.
    pub(crate) fn is_parked(&self) -> bool {
        self.state.load(Ordering::Acquire) == PARKED
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    /// A system call only if the thread really sleeps.
    fn wake_by_ref(self: &Arc<Self>) {
        match self.state.swap(NOTIFIED, Ordering::AcqRel) {
            POLLING => {
                if let Some(bell) = self.bell.get().and_then(Weak::upgrade) {
                    bell.ring();
                }
            }
            PARKED => self.thread.unpark(),
            _ => {}
        }
    }
}

/// A descriptor that becomes readable when it is rung.
#[derive(Debug)]
pub(crate) struct Bell {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    event: std::os::fd::OwnedFd,
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    pair: (std::os::unix::net::UnixStream, std::os::unix::net::UnixStream),
}

#[cfg(any(target_os = "android", target_os = "linux"))]
impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// A bell that rings already does not ring louder.
    fn ring(&self) {
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub(crate) fn hush(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
impl Bell {
    pub(crate) fn new() -> io::Result<Self> {
        let pair = std::os::unix::net::UnixStream::pair()?;
        pair.0.set_nonblocking(true)?;
        pair.1.set_nonblocking(true)?;
        Ok(Self { pair })
    }

    /// A bell that rings already does not ring louder.
    fn ring(&self) {
        let _ = io::Write::write(&mut &self.pair.0, &[1]);
    }

    pub(crate) fn hush(&self) {
        let mut bytes = [0; 64];
        while matches!(io::Read::read(&mut &self.pair.1, &mut bytes), Ok(64)) {}
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pair.1.as_fd()
    }
}
