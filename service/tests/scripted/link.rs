//! Connections in memory that split, delay, stall, swallow and cut as they are told.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use outlast_service::Transport;

use crate::executor::{Rng, Sim};

/// What one direction does to bytes.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    /// Bytes under way at most; writers wait for room.
    pub(crate) capacity: usize,
    /// Most bytes that one read gives, and that one write takes: drawn from 1 to this.
    pub(crate) read_max: usize,
    pub(crate) write_max: usize,
    /// Microseconds until bytes arrive.
    pub(crate) delay: u64,
    /// The connection breaks after so many bytes, and those under way arrive or not.
    pub(crate) cut_after: Option<u64>,
    /// Writes are taken and lead nowhere.
    pub(crate) hole: bool,
    /// Writes are not taken.
    pub(crate) stalled: bool,
    /// Writes are said to have taken nothing.
    pub(crate) nothing: bool,
    /// Writes without a task to wake are taken as others are.
    pub(crate) tries: bool,
    /// In so many of a hundred calls other tasks run in the middle of it.
    pub(crate) busy: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            capacity: 64 << 10,
            read_max: usize::MAX,
            write_max: usize::MAX,
            delay: 0,
            cut_after: None,
            hole: false,
            stalled: false,
            nothing: false,
            tries: true,
            busy: 0,
        }
    }
}

/// One direction.
pub(crate) struct Pipe {
    pub(crate) faults: Faults,
    rng: Rng,
    /// Bytes under way and when they arrive.
    under_way: VecDeque<(u64, VecDeque<u8>)>,
    len: usize,
    /// The writer shut it down.
    shut: bool,
    broken: bool,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Everything that was ever taken.
    pub(crate) log: Vec<u8>,
    /// Calls of `poll_write` and `poll_read`.
    pub(crate) writes: u64,
    pub(crate) reads: u64,
    /// Calls of `try_write` that took something.
    pub(crate) tries: u64,
}

impl Pipe {
    fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            rng: Rng(seed),
            under_way: VecDeque::new(),
            len: 0,
            shut: false,
            broken: false,
            reader_gone: false,
            reader: None,
            writer: None,
            log: Vec::new(),
            writes: 0,
            reads: 0,
            tries: 0,
        }
    }

    fn wake(&mut self) -> impl Iterator<Item = Waker> {
        self.reader.take().into_iter().chain(self.writer.take())
    }

    fn draw(&mut self, max: usize) -> usize {
        if max == usize::MAX { max } else { self.rng.range(1, max as u64) as usize }
    }
}

/// A connection, for those who look at it and hurt it: `to_server` first.
#[derive(Clone)]
pub(crate) struct Link {
    sim: Sim,
    up: Arc<Mutex<Pipe>>,
    down: Arc<Mutex<Pipe>>,
    /// The client's end is gone and the server's does not know.
    half: Arc<AtomicBool>,
}

/// One end of a connection.
pub(crate) struct Io {
    link: Link,
    client: bool,
}

impl Link {
    pub(crate) fn new(sim: &Sim, up: Faults, down: Faults, seed: u64) -> Self {
        let pipe = |faults, seed| Arc::new(Mutex::new(Pipe::new(faults, seed)));
        let half = Arc::new(AtomicBool::new(false));
        Self { sim: sim.clone(), up: pipe(up, seed), down: pipe(down, !seed), half }
    }

    /// The client's end and the server's.
    pub(crate) fn ends(&self) -> (Io, Io) {
        (Io { link: self.clone(), client: true }, Io { link: self.clone(), client: false })
    }

    /// The direction to the server.
    pub(crate) fn up(&self) -> MutexGuard<'_, Pipe> {
        self.up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The direction to the client.
    pub(crate) fn down(&self) -> MutexGuard<'_, Pipe> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what a direction does, and lets both ends look again.
    pub(crate) fn change(&self, to_server: bool, change: impl FnOnce(&mut Faults)) {
        let mut pipe = if to_server { self.up() } else { self.down() };
        change(&mut pipe.faults);
        let wake: Vec<Waker> = pipe.wake().collect();
        drop(pipe);
        wake.into_iter().for_each(Waker::wake);
    }

    /// Breaks the client's end; the server's goes on as if nothing had happened.
    pub(crate) fn cut_half(&self) {
        self.half.store(true, Ordering::Relaxed);
        let wake: Vec<Waker> =
            self.down().reader.take().into_iter().chain(self.up().writer.take()).collect();
        wake.into_iter().for_each(Waker::wake);
    }

    /// Breaks the connection now; bytes under way are lost or not.
    pub(crate) fn cut(&self, lose: bool) {
        for pipe in [&self.up, &self.down] {
            let mut pipe = pipe.lock().unwrap();
            pipe.broken = true;
            if lose {
                pipe.under_way.clear();
                pipe.len = 0;
            }
            let wake: Vec<Waker> = pipe.wake().collect();
            drop(pipe);
            wake.into_iter().for_each(Waker::wake);
        }
    }
}

impl Io {
    /// Others may run now, as they might on another thread.
    fn meanwhile(&self) {
        let mut pipe = self.pipe(true);
        let (busy, most) = (pipe.faults.busy, pipe.rng.range(1, 6));
        if busy > 0 && pipe.rng.chance(busy) {
            drop(pipe);
            (0..most).for_each(|_| self.link.sim.meanwhile());
        }
    }

    fn is_gone(&self) -> bool {
        self.client && self.link.half.load(Ordering::Relaxed)
    }

    fn pipe(&self, sending: bool) -> MutexGuard<'_, Pipe> {
        if self.client == sending { self.link.up() } else { self.link.down() }
    }
}

impl Transport for Io {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.meanwhile();
        let now = self.link.sim.micros();
        if self.is_gone() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let mut pipe = self.pipe(false);
        pipe.reads += 1;
        let max = pipe.faults.read_max;
        let most = pipe.draw(max).min(buf.len());
        let mut count = 0;
        while count < most
            && let Some((at, bytes)) = pipe.under_way.front_mut().filter(|(at, _)| *at <= now)
        {
            debug_assert!(*at <= now);
            match bytes.pop_front() {
                Some(byte) => {
                    buf[count] = byte;
                    count += 1;
                }
                None => drop(pipe.under_way.pop_front()),
            }
        }
        if count > 0 {
            pipe.len -= count;
            let writer = pipe.writer.take();
            drop(pipe);
            writer.into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(count));
        }
        while pipe.under_way.front().is_some_and(|(_, bytes)| bytes.is_empty()) {
            pipe.under_way.pop_front();
        }
        let next = pipe.under_way.front().map(|(at, _)| *at);
        if pipe.broken && next.is_none() {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if pipe.shut && next.is_none() {
            return Poll::Ready(Ok(0));
        }
        pipe.reader = Some(cx.waker().clone());
        drop(pipe);
        if let Some(at) = next {
            self.link.sim.wake_at(at, cx.waker());
        }
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.meanwhile();
        let now = self.link.sim.micros();
        if self.is_gone() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let mut pipe = self.pipe(true);
        pipe.writes += 1;
        if pipe.broken || pipe.shut || pipe.reader_gone {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if pipe.faults.nothing {
            return Poll::Ready(Ok(0));
        }
        let left = pipe.faults.cut_after.map_or(u64::MAX, |cut| cut - pipe.log.len() as u64);
        let room = pipe.faults.capacity.saturating_sub(pipe.len);
        if room == 0 || pipe.faults.stalled {
            pipe.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let max = pipe.faults.write_max;
        let most = pipe.draw(max).min(room).min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).take(most).collect();
        pipe.log.extend_from_slice(&bytes);
        let (count, at) = (bytes.len(), now + pipe.faults.delay);
        let cut = count as u64 == left;
        let lose = cut && pipe.rng.chance(50);
        if !pipe.faults.hole {
            pipe.len += count;
            pipe.under_way.push_back((at, bytes.into()));
        }
        let reader = pipe.reader.take();
        drop(pipe);
        reader.into_iter().for_each(Waker::wake);
        if cut {
            self.link.cut(lose);
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
            }
        }
        Poll::Ready(Ok(count))
    }

    fn try_write(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.pipe(true).faults.tries {
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.poll_write(&mut Context::from_waker(Waker::noop()), bufs) {
            Poll::Ready(done) => {
                self.pipe(true).tries += 1;
                done
            }
            Poll::Pending => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_gone() {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let mut pipe = self.pipe(true);
        pipe.shut = true;
        let reader = pipe.reader.take();
        drop(pipe);
        reader.into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        if self.is_gone() {
            return;
        }
        for sending in [true, false] {
            let mut pipe = self.pipe(sending);
            if sending {
                pipe.shut = true;
            } else {
                pipe.reader_gone = true;
            }
            let wake: Vec<Waker> = pipe.wake().collect();
            drop(pipe);
            wake.into_iter().for_each(Waker::wake);
        }
    }
}
