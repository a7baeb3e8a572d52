//! One connection without a session: bytes between a transport and a format, and its deadlines.
//!
//! Reading and writing go on together. Reading pauses while too much waits to be written that was
//! caused by what was read, so that a peer that takes no answers is not asked for more questions.
//! What this end sends of its own accord never stops it from reading: two ends that both did that
//! would wait for each other. Writing never waits for anything but the transport.

mod input;

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use outlast_formats::{Beat, Format};

use super::error::{PlainCause, PlainClosed};
use super::handler::{PlainEvent, PlainHandler, PlainPeer, unix};
use super::shared::{Order, Shared};
use crate::drive::READ_MAX;
use crate::traffic::{Allowance, Traffic};
use crate::transport::{Clock, Runtime, Timer, Transport};

/// Which end of the connection this is.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Side {
    /// It dialled: it shows now and then that it lives.
    Dialled,
    /// It accepted: it answers signs of life.
    Accepted,
}

/// The future of one connection.
pub(super) struct Drive<R: Runtime, T, H: PlainHandler> {
    io: T,
    runtime: R,
    timer: R::Timer,
    timer_at: Option<Instant>,
    side: Side,
    local: Option<SocketAddr>,
    shared: Arc<Shared>,
    format: Box<dyn Format>,
    handler: Option<H>,
    /// Bytes that were read and not taken.
    input: Vec<u8>,
    /// How many of them there have to be before anything more can be said of them.
    need: usize,
    /// There may be whole packets among them that were not looked at for want of room.
    unread: bool,
    /// Nothing was to be read when this task last looked.
    paused: bool,
    /// Bytes to be written, from `at` on.
    out: Vec<u8>,
    at: usize,
    /// Bytes that the handler answered since everything was last written.
    answered: usize,
    /// Nothing more is read: the connection ends when everything is written.
    finishing: Option<PlainCause>,
    shut: bool,
    bad: u32,
    packet_since: Option<Instant>,
    blocked_since: Option<Instant>,
    heard_at: Instant,
    beat_at: Instant,
    /// What may still come in, if that is limited, and when it may again.
    allowance: Option<(Allowance, Arc<Traffic>, Clock)>,
    paused_until: Option<Instant>,
    /// Small packets wait for others until then.
    lingers_until: Option<Instant>,
    /// Packets that were queued when everything had last been written.
    written: u64,
    /// Reads until the handler is timed again.
    untimed: u8,
}

/// What is left when a connection has ended.
pub(super) struct Driven<H> {
    pub(super) handler: H,
    pub(super) closed: PlainClosed,
}

/// How far a round came.
enum Turn {
    Again,
    Sleep,
    Over(PlainCause),
}

impl<R: Runtime, T: Transport, H: PlainHandler> Drive<R, T, H> {
    /// `addresses` are this end's and the other's, as far as they are known.
    pub(super) fn new(
        io: T,
        runtime: &R,
        side: Side,
        addresses: (Option<SocketAddr>, Option<SocketAddr>),
        shared: Arc<Shared>,
        formats: [Box<dyn Format>; 2],
        handler: H,
    ) -> Self {
        let (now, [format, encoder]) = (runtime.now(), formats);
        shared.connected(addresses, now, encoder);
        let mut drive = Self {
            io,
            runtime: runtime.clone(),
            timer: runtime.timer(),
            timer_at: None,
            side,
            local: addresses.0,
            shared,
            format,
            handler: Some(handler),
            input: Vec::new(),
            need: 0,
            unread: false,
            paused: false,
            out: Vec::new(),
            at: 0,
            answered: 0,
            finishing: None,
            shut: false,
            bad: 0,
            packet_since: None,
            blocked_since: None,
            heard_at: now,
            beat_at: now,
            allowance: None,
            paused_until: None,
            lingers_until: None,
            written: 0,
            untimed: 0,
        };
        drive.tell(PlainEvent::Connected);
        drive
    }

    /// Reads no more than it may.
    pub(super) fn within(mut self, traffic: &Arc<Traffic>, clock: Clock) -> Self {
        self.allowance = Some((Allowance::default(), Arc::clone(traffic), clock));
        self
    }

    fn tell(&mut self, event: PlainEvent<'_>) {
        let Self { handler: Some(handler), shared, format, out, .. } = self else {
            return;
        };
        let (mut sent, before) = (0, out.len());
        let mut peer = PlainPeer { shared, format: Some(&mut **format), out, sent: &mut sent };
        handler.handle(&mut peer, event);
        self.answered += self.out.len() - before;
        if sent > 0 {
            self.shared.lock().info.packets_out += sent;
        }
    }

    /// Bytes that this task has to write.
    fn left(&self) -> usize {
        self.out.len() - self.at
    }

    /// Whether so much waits that nothing more may come in, or nothing is to come in any more.
    fn is_shut(&self) -> bool {
        let config = &self.shared.config;
        if self.finishing.is_some() || self.answered >= config.send_queue {
            return true;
        }
        let inner = self.shared.lock();
        let owes = inner.owed >= config.max_requests as usize;
        let shut = inner.order.is_some() || inner.paused || owes;
        shut || self.answered + inner.answered >= config.send_queue
    }

    /// Takes what other tasks queued and ordered.
    fn heed(&mut self, now: Instant) -> Option<PlainCause> {
        let mut inner = self.shared.lock();
        let order = inner.order;
        if std::mem::replace(&mut self.paused, inner.paused) && !inner.paused {
            // Whoever was not listened to was not silent.
            self.heard_at = now;
        }
        let mut wake: Vec<Waker> = Vec::new();
        if self.left() == 0 && inner.has_output() {
            self.out.clear();
            self.at = 0;
            wake = inner.take(&mut self.out);
            self.beat_at = now;
        } else if self.lingers_until.is_some() && inner.has_output() {
            // What waits for others has some company.
            let mut more = Vec::new();
            wake = inner.take(&mut more);
            self.out.append(&mut more);
            inner.held = self.left();
        }
        drop(inner);
        wake.into_iter().for_each(Waker::wake);
        match order {
            Some(Order::Close(cause)) => Some(cause),
            Some(Order::Finish) => {
                self.finishing.get_or_insert(PlainCause::Local);
                None
            }
            None => None,
        }
    }

    /// Shows that this end lives.
    fn beat(&mut self, now: Instant) {
        self.beat_at = now;
        let name = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let remote = self.shared.lock().info.remote;
        let (local, remote) = (name(self.local), name(remote));
        let beat = Beat {
            local: local.as_deref().unwrap_or_default(),
            remote: remote.as_deref().unwrap_or_default(),
            unix: unix(),
        };
        let write = |format: &mut dyn Format, out: &mut _| format.encode_heartbeat(&beat, out);
        let _ = self.shared.lock().encode(write, &mut self.out);
    }

    /// Writes what there is, until the transport takes no more.
    fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<io::Result<()>> {
        while self.at < self.out.len() {
            let written = ready!(self.io.poll_write(cx, &[IoSlice::new(&self.out[self.at..])]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += written;
            self.blocked_since = None;
            self.beat_at = now;
            let left = self.left();
            let mut inner = self.shared.lock();
            inner.info.bytes_out += written as u64;
            inner.info.sent_at = Some(now);
            inner.held = left;
            let waiting = match left {
                0 => inner.drained(),
                _ => Vec::new(),
            };
            drop(inner);
            waiting.into_iter().for_each(Waker::wake);
        }
        self.out.clear();
        (self.at, self.answered) = (0, 0);
        if self.out.capacity() > READ_MAX {
            self.out = Vec::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether small packets that wait are not written yet.
    fn lingers(&mut self, now: Instant) -> bool {
        let Some(batch) = self.shared.config.batch else {
            return false;
        };
        let (sent, leaves) = {
            let inner = self.shared.lock();
            (inner.info.packets_out, inner.order.is_some() || self.finishing.is_some())
        };
        let packets = sent.saturating_sub(self.written);
        let few = self.left() < batch.bytes && packets < u64::from(batch.messages);
        if few && !leaves && self.at == 0 && self.left() > 0 {
            let at = now.checked_add(batch.delay).unwrap_or(now);
            if *self.lingers_until.get_or_insert(at) > now {
                return true;
            }
        }
        self.lingers_until = None;
        self.written = sent;
        false
    }

    /// What is due, and when the next thing will be.
    fn deadline(&mut self, now: Instant) -> Result<Instant, PlainCause> {
        let config = self.shared.config;
        let due = |since: Instant, after: Duration| since.checked_add(after).unwrap_or(since);
        let mut next = due(now, Duration::from_secs(3600));
        let mut until = |at: Instant, cause: PlainCause| {
            next = next.min(at);
            if at <= now { Err(cause) } else { Ok(()) }
        };
        if let Some(since) = self.blocked_since {
            until(due(since, config.write_timeout), PlainCause::WriteTimeout)?;
        }
        if let Some(at) = self.paused_until.filter(|at| *at > now) {
            next = next.min(at);
        } else if self.finishing.is_none() && !self.unread && !self.paused {
            // What is not read because there is no room says nothing of the peer.
            if self.blocked_since.is_none() {
                until(due(self.heard_at, config.idle_timeout), PlainCause::Silence)?;
            }
            if let Some(since) = self.packet_since {
                until(due(since, config.packet_timeout), PlainCause::PacketTimeout)?;
            }
        }
        let beats = self.side == Side::Dialled && !config.heartbeat.is_zero();
        if beats && self.finishing.is_none() && self.blocked_since.is_none() {
            let at = due(self.beat_at, config.heartbeat);
            if at <= now {
                self.beat(now);
                return Ok(now);
            }
            next = next.min(at);
        }
        Ok(self.lingers_until.map_or(next, |at| next.min(at)))
    }

    /// One round: orders, input, output, time.
    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let now = self.runtime.now();
        if let Some(cause) = self.heed(now) {
            return Turn::Over(cause);
        }
        let more = match self.read(cx, now) {
            Ok(more) => more,
            Err(cause) => return Turn::Over(cause),
        };
        // What the transport did not take has waited for others already.
        let lingers = self.blocked_since.is_none() && self.lingers(now);
        match if lingers { Poll::Ready(Ok(())) } else { self.write(cx, now) } {
            Poll::Ready(Ok(())) => self.blocked_since = None,
            Poll::Ready(Err(error)) => return Turn::Over(PlainCause::Transport(error.kind())),
            Poll::Pending => {
                self.blocked_since.get_or_insert(now);
            }
        }
        if let Some(cause) = self.finishing
            && let Some(over) = self.depart(cx, cause)
        {
            return over;
        }
        let at = match self.deadline(now) {
            Ok(at) => at,
            Err(cause) => return Turn::Over(cause),
        };
        if more || at <= now || (self.unread && !self.is_shut()) {
            return Turn::Again;
        }
        let mut inner = self.shared.lock();
        let closing = matches!(inner.order, Some(Order::Close(_)));
        if (inner.has_output() && self.left() == 0) || closing || inner.paused != self.paused {
            return Turn::Again;
        }
        inner.sleep(cx.waker());
        drop(inner);
        if self.timer_at.is_none_or(|armed| armed > at || armed <= now) {
            self.timer_at = Some(at);
            if self.timer.poll_until(cx, at).is_ready() {
                return Turn::Again;
            }
        }
        Turn::Sleep
    }

    /// Nothing more is read: leaves once nothing is left to be written or answered.
    fn depart(&mut self, cx: &mut Context<'_>, cause: PlainCause) -> Option<Turn> {
        let (owed, queued) = {
            let inner = self.shared.lock();
            (inner.owed, inner.has_output())
        };
        if self.left() > 0 || queued {
            return None;
        }
        // After garbage nobody waits for answers; else those that are owed are.
        if owed > 0 && !matches!(cause, PlainCause::Malformed(_)) {
            return None;
        }
        if !self.shut && self.io.poll_shutdown(cx).is_pending() {
            return None;
        }
        self.shut = true;
        Some(Turn::Over(cause))
    }

    /// The connection is over.
    pub(super) fn leave(&mut self, cause: PlainCause) -> Option<Driven<H>> {
        let mut handler = self.handler.take()?;
        let closed = self.shared.disconnected(cause, self.left());
        let (mut out, mut sent) = (Vec::new(), 0);
        let mut peer =
            PlainPeer { shared: &self.shared, format: None, out: &mut out, sent: &mut sent };
        handler.handle(&mut peer, PlainEvent::Closed(&closed));
        Some(Driven { handler, closed })
    }
}

impl<R: Runtime, T, H: PlainHandler> Unpin for Drive<R, T, H> {}

impl<R: Runtime, T: Transport, H: PlainHandler> Future for Drive<R, T, H> {
    type Output = Driven<H>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Driven<H>> {
        let this = self.get_mut();
        match this.turn(cx) {
            Turn::Again => cx.waker().wake_by_ref(),
            Turn::Sleep => {}
            Turn::Over(cause) => {
                if let Some(driven) = this.leave(cause) {
                    return Poll::Ready(driven);
                }
            }
        }
        Poll::Pending
    }
}

/// The task was dropped, or its handler panicked.
impl<R: Runtime, T, H: PlainHandler> Drop for Drive<R, T, H> {
    fn drop(&mut self) {
        if self.handler.is_some() {
            self.shared.disconnected(PlainCause::Dropped, self.out.len() - self.at);
        }
    }
}
