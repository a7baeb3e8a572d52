//! A TCP stream of async-io that asks the system as little as it can.

use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use async_io::Async;
use outlast_service::Transport;
use outlast_service::net::socket2::SockRef;

/// A TCP stream of async-io.
#[derive(Debug)]
pub struct Tcp {
    stream: Async<TcpStream>,
    reading: Reading,
}

/// What is known about the next read.
#[derive(Debug, Default)]
struct Reading {
    state: Readiness,
    /// Waked by async-io once the stream is readable.
    alarm: Option<(Arc<Alarm>, Waker)>,
}

#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
enum Readiness {
    /// There may be something.
    #[default]
    Likely,
    /// The last read took everything there was.
    Drained,
    /// async-io has been told to wake when there is something.
    Armed,
}

impl Tcp {
    pub(crate) fn new(stream: Async<TcpStream>) -> Self {
        Self { stream, reading: Reading::default() }
    }

    pub(crate) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.stream)
    }
}

impl Reading {
    /// Ready if a read may find something. A task is polled for many reasons: as long as the alarm
    /// is silent there is nothing, and that costs no system call.
    fn poll(&mut self, stream: &Async<TcpStream>, cx: &Context<'_>) -> Poll<io::Result<()>> {
        match (self.state, &self.alarm) {
            (Readiness::Likely, _) => return Poll::Ready(Ok(())),
            (Readiness::Armed, Some((alarm, _))) => {
                if alarm.rings_or_wakes(cx.waker()) {
                    self.state = Readiness::Likely;
                    return Poll::Ready(Ok(()));
                }
                return Poll::Pending;
            }
            (Readiness::Drained | Readiness::Armed, _) => {}
        }
        let (alarm, waker) = self.alarm.get_or_insert_with(|| {
            let alarm = Arc::new(Alarm::default());
            (Arc::clone(&alarm), Waker::from(alarm))
        });
        alarm.set(cx.waker());
        // What it tells of the past is known already; the second call looks at the future.
        let mut waiting = Context::from_waker(waker);
        while let Poll::Ready(told) = stream.poll_readable(&mut waiting) {
            told?;
        }
        self.state = Readiness::Armed;
        Poll::Pending
    }
}

impl Transport for Tcp {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.reading.poll(&self.stream, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
            match self.stream.get_ref().read(buf) {
                Ok(count) => {
                    if count < buf.len() && count > 0 {
                        self.reading.state = Readiness::Drained;
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.reading.state = Readiness::Drained;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            let mut stream = self.stream.get_ref();
            let written = match bufs {
                [one] => stream.write(one),
                many => stream.write_vectored(many),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
            match self.stream.poll_writable(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut stream = self.stream.get_ref();
        match bufs {
            [one] => stream.write(one),
            many => stream.write_vectored(many),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.get_ref().shutdown(Shutdown::Write))
    }
}

/// Wakes a task and remembers that it did.
#[derive(Debug, Default)]
struct Alarm {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Alarm {
    fn set(&self, task: &Waker) {
        let mut held = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        self.rang.store(false, Ordering::Release);
        held.get_or_insert_with(|| task.clone()).clone_from(task);
    }

    /// Whether it has rung; if not, it will wake `task`.
    fn rings_or_wakes(&self, task: &Waker) -> bool {
        if self.rang.load(Ordering::Acquire) {
            return true;
        }
        let mut held = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        held.get_or_insert_with(|| task.clone()).clone_from(task);
        // Between the look and the lock it may have woken whoever it knew before.
        self.rang.load(Ordering::Acquire)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let task = {
            let mut held = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            self.rang.store(true, Ordering::Release);
            held.take()
        };
        task.into_iter().for_each(Waker::wake);
    }
}
