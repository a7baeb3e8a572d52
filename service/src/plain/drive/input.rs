//! What comes in over a connection without a session: how much is read, and what is made of it.

use std::io;
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use outlast_formats::{Cause, End, Failure, Format, FormatError, Kind, Packet, Step};

use super::super::error::PlainCause;
use super::super::handler::{PlainEvent, PlainHandler, unix};
use super::{Drive, Side};
use crate::drive::{READ_MAX, with_scratch};
use crate::statistics::UNTIMED;
use crate::traffic::Room;
use crate::transport::{Runtime, Transport};

/// Reads in one go before other tasks get their turn.
const READS: u32 = 4;

impl<R: Runtime, T: Transport, H: PlainHandler> Drive<R, T, H> {
    /// How many bytes may be read now, and whether that has to be counted.
    fn room(&mut self, now: Instant) -> Result<(usize, bool), PlainCause> {
        let Self { allowance: Some((allowance, traffic, clock)), shared, .. } = self else {
            return Ok((usize::MAX, false));
        };
        // The shortest packet of some formats is a byte.
        match allowance.room(traffic, clock.core(now), 1, || shared.lock().info.remote) {
            None => Ok((usize::MAX, false)),
            Some(Room::Bytes(bytes)) => {
                self.paused_until = None;
                Ok((bytes, true))
            }
            Some(Room::Wait(until)) => {
                self.paused_until = Some(clock.std(until));
                // That nothing is heard is not the peer's fault.
                self.heard_at = now;
                self.packet_since = self.packet_since.map(|_| now);
                Ok((0, true))
            }
            Some(Room::Disconnect) => Err(PlainCause::TooFast),
        }
    }

    fn charge(&mut self, now: Instant, packets: u64, bytes: usize) {
        if let Some((allowance, _, clock)) = &mut self.allowance {
            let packets = u32::try_from(packets).unwrap_or(u32::MAX);
            allowance.charge(clock.core(now), packets, bytes);
        }
    }

    /// Reads and handles until there is no more; whether there may be.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, PlainCause> {
        for _ in 0..READS {
            if self.is_shut() {
                return Ok(false);
            }
            if self.unread {
                let input = std::mem::take(&mut self.input);
                let taken = self.decode(&input, now);
                self.keep(input, taken);
                continue;
            }
            let (most, counted) = self.room(now)?;
            if most == 0 {
                return Ok(false);
            }
            let before = if counted { self.packets() } else { 0 };
            let polled = match self.need > READ_MAX {
                true => self.read_long(cx, now, most),
                false => self.read_short(cx, now, most),
            };
            if let (true, Poll::Ready(Ok(count))) = (counted, &polled) {
                self.charge(now, self.packets() - before, *count);
            }
            match polled {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => return Err(PlainCause::Transport(error.kind())),
                Poll::Ready(Ok(0)) => {
                    self.end();
                    return Ok(false);
                }
                Poll::Ready(Ok(count)) => {
                    self.heard_at = now;
                    let mut inner = self.shared.lock();
                    inner.info.bytes_in += count as u64;
                    inner.info.heard_at = Some(now);
                }
            }
        }
        Ok(true)
    }

    /// Reads through the thread's buffer, so that a quiet connection owns none.
    fn read_short(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        with_scratch(|scratch| {
            let have = self.input.len();
            scratch[..have].copy_from_slice(&self.input);
            let to = have.saturating_add(most).min(scratch.len());
            let count = ready!(self.io.poll_read(cx, &mut scratch[have..to]))?;
            if count > 0 {
                let input = &scratch[..have + count];
                let taken = self.decode(input, now);
                self.input.clear();
                self.input.extend_from_slice(&input[taken..]);
                if self.input.is_empty() {
                    self.input = Vec::new();
                }
            }
            Poll::Ready(Ok(count))
        })
    }

    /// Reads a long packet where it is to lie. Memory is taken as bytes come, however many were
    /// announced.
    fn read_long(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        let have = self.input.len();
        let room = self.need.saturating_sub(have).clamp(1, have.max(READ_MAX)).min(most);
        self.input.resize(have + room, 0);
        let polled = self.io.poll_read(cx, &mut self.input[have..]);
        let count = match &polled {
            Poll::Ready(Ok(count)) => *count,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.input.truncate(have + count);
        if self.input.len() >= self.need {
            let input = std::mem::take(&mut self.input);
            let taken = self.decode(&input, now);
            self.keep(input, taken);
        }
        polled
    }

    /// What was not taken waits for more.
    fn keep(&mut self, mut input: Vec<u8>, taken: usize) {
        let rest = input.len() - taken;
        input.copy_within(taken.., 0);
        input.truncate(rest);
        if input.capacity() > READ_MAX && rest <= READ_MAX {
            input.shrink_to(rest);
        }
        self.input = input;
    }

    /// Handles the packets there are, as far as there is room for what they cause; how many bytes
    /// they took.
    fn decode(&mut self, input: &[u8], now: Instant) -> usize {
        let (mut at, mut packets) = (0, 0);
        let waited = std::mem::take(&mut self.unread);
        let mut timed = self.untimed == 0;
        self.untimed = self.untimed.checked_sub(1).unwrap_or(UNTIMED);
        loop {
            if self.is_shut() {
                self.unread = self.finishing.is_none();
                break;
            }
            match self.format.decode(&input[at..]) {
                Ok(Step::Need(need)) => {
                    self.need = need;
                    break;
                }
                Ok(Step::Skip(taken)) => at += taken,
                Ok(Step::Packet { packet, taken }) => {
                    (self.bad, packets) = (0, packets + 1);
                    if packets == 1 && std::mem::take(&mut timed) {
                        self.handle_timed(&packet, now);
                    } else {
                        self.handle(&packet, now);
                    }
                    at += taken;
                }
                Ok(Step::Bad { error, taken }) => {
                    self.mistake(error);
                    at += taken;
                }
                Err(error) => {
                    self.shared.lock().info.bad += 1;
                    self.finishing = Some(PlainCause::Malformed(error));
                }
            }
        }
        // The time of a packet counts from when it is the first, and not while it waits here.
        let begins = at > 0 || waited || self.packet_since.is_none();
        self.packet_since = match at < input.len() && !self.unread {
            true if begins => Some(now),
            true => self.packet_since,
            false => None,
        };
        self.shared.lock().info.packets_in += packets;
        at
    }

    /// Packets that came so far.
    fn packets(&self) -> u64 {
        self.shared.lock().info.packets_in
    }

    /// As [`handle`](Self::handle), and counts how long the handler of a server takes.
    #[cold]
    fn handle_timed(&mut self, packet: &Packet<'_>, now: Instant) {
        let begin = self.runtime.now();
        self.handle(packet, now);
        let counts = matches!(packet.kind, Kind::OneWay | Kind::Request);
        if let Some(home) = self.shared.home().filter(|home| counts && home.ledger.is_on()) {
            let took = self.runtime.now().saturating_duration_since(begin);
            home.ledger.handler.record(took);
        }
    }

    fn handle(&mut self, packet: &Packet<'_>, now: Instant) {
        if packet.kind == Kind::Response {
            let (asked, waker) = self.shared.lock().calls.complete(packet);
            waker.into_iter().for_each(Waker::wake);
            if asked {
                return;
            }
        }
        if packet.kind != Kind::Heartbeat {
            return self.tell(PlainEvent::Packet(packet));
        }
        if self.side == Side::Accepted {
            self.beat(now);
        }
    }

    /// Bytes that are no packet: the peer is told, and may go on for a while.
    fn mistake(&mut self, error: FormatError) {
        self.bad += 1;
        self.complain(error);
        self.tell(PlainEvent::Bad(error));
        if self.bad > self.shared.config.max_bad {
            self.finishing = Some(PlainCause::Malformed(error));
        }
    }

    fn complain(&mut self, error: FormatError) {
        let failure = Failure { cause: Cause::Malformed(error), text: None, unix: unix() };
        // A format that cannot say it says nothing.
        let write =
            |format: &mut dyn Format, out: &mut _| format.encode_failure(&failure, None, out);
        let mut inner = self.shared.lock();
        inner.info.bad += 1;
        let _ = inner.encode(write, &mut self.out);
    }

    /// The peer sends nothing more.
    fn end(&mut self) {
        let rest = std::mem::take(&mut self.input);
        let cause = match self.format.end(&rest) {
            Ok(End::Clean) => PlainCause::Finished,
            Ok(End::Truncated { have, need }) => PlainCause::Truncated { have, need },
            Ok(End::Packet(packet)) => {
                let now = self.runtime.now();
                self.handle(&packet, now);
                PlainCause::Finished
            }
            Err(error) => PlainCause::Malformed(error),
        };
        self.packet_since = None;
        self.finishing = Some(cause);
        self.tell(PlainEvent::Finished);
    }
}
