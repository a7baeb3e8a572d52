//! Level-triggered epoll.

use core::time::Duration;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// What a registered descriptor waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interest {
    Read,
    ReadAndWrite,
}

impl Interest {
    const fn bits(self) -> u32 {
        match self {
            Self::Read => libc::EPOLLIN as u32,
            Self::ReadAndWrite => (libc::EPOLLIN | libc::EPOLLOUT) as u32,
        }
    }
}

/// One readiness report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// The number given at registration.
    pub(crate) token: u64,
    /// Readable, or closed or failed, which a read will tell.
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// One epoll instance.
pub(crate) struct Epoll {
    fd: OwnedFd,
    raw: Vec<libc::epoll_event>,
}

impl Epoll {
    /// At most `capacity` events are taken per wait.
    pub(crate) fn new(capacity: usize) -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just created and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, raw: vec![libc::epoll_event { events: 0, u64: 0 }; capacity] })
    }

    pub(crate) fn add(&self, target: impl AsFd, token: u64, what: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, target, token, what)
    }

    pub(crate) fn modify(&self, target: impl AsFd, token: u64, what: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, target, token, what)
    }

    pub(crate) fn remove(&self, target: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, target, 0, Interest::Read)
    }

    fn control(&self, op: i32, target: impl AsFd, token: u64, what: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: what.bits(), u64: token };
        let target = target.as_fd().as_raw_fd();
        // SAFETY: both descriptors are open for the call; the kernel copies `event`.
        let done = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), op, target, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for at most `timeout` (rounded up to milliseconds; `None` = without end) and puts
    /// what is ready into `into`.
    pub(crate) fn wait(
        &mut self,
        into: &mut Vec<Event>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        into.clear();
        let millis =
            timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(-1));
        let room = i32::try_from(self.raw.len()).unwrap_or(i32::MAX);
        // SAFETY: the buffer holds `room` events and lives through the call.
        let n =
            unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.raw.as_mut_ptr(), room, millis) };
        let Ok(n) = usize::try_from(n) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        };
        for raw in self.raw.iter().take(n) {
            let bits = raw.events;
            into.push(Event {
                token: raw.u64,
                readable: bits & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0,
                writable: bits & libc::EPOLLOUT as u32 != 0,
            });
        }
        Ok(())
    }
}
