//! Bytes between a socket's rings and a session, each copied once.

use outlast_core::{CONTROL_MAX, Event, Instant};
use smoltcp::socket::tcp;

use crate::Session;

/// The place for a frame that does not lie in one piece in the socket's ring.
#[derive(Debug)]
pub(super) struct Frame<'m> {
    bytes: &'m mut [u8],
    /// How many of them are the beginning of a frame.
    kept: usize,
    /// Bytes of an unfinished frame that were left in the socket's ring last time.
    left: usize,
}

/// What reading has come to.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// Everything that could be used was.
    Done,
    /// A frame began and is not whole, and bytes of it have come.
    Partial,
    /// A frame began for which there is not enough memory.
    TooLong,
}

impl<'m> Frame<'m> {
    pub(super) const fn new(bytes: &'m mut [u8]) -> Self {
        Self { bytes, kept: 0, left: 0 }
    }

    /// Another connection begins.
    pub(super) const fn clear(&mut self) {
        (self.kept, self.left) = (0, 0);
    }

    /// Lends what has come to `take`, which returns how many bytes of whole frames it took, until
    /// it takes no more.
    ///
    /// What lies in one piece is lent from the socket's ring itself, and an unfinished frame stays
    /// there. Only a frame that goes round the end of the ring, or fills it, moves to this place.
    pub(super) fn read(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        mut take: impl FnMut(&[u8]) -> usize,
    ) -> Reading {
        loop {
            if self.kept > 0 {
                match self.complete(socket, &mut take) {
                    None => {}
                    Some(reading) => return reading,
                }
                continue;
            }
            let lent = socket.recv(|bytes| {
                let taken = take(bytes).min(bytes.len());
                (taken, bytes.len() - taken)
            });
            // Nothing more comes, and nothing is left: for the caller to see.
            let Ok(rest) = lent else {
                return Reading::Done;
            };
            let queued = socket.recv_queue();
            if queued == 0 {
                self.left = 0;
                return Reading::Done;
            }
            if rest == 0 {
                continue;
            }
            if queued == rest && queued < socket.recv_capacity() {
                let grown = queued > self.left;
                self.left = queued;
                return if grown { Reading::Partial } else { Reading::Done };
            }
            self.left = 0;
            self.kept = self.fill(0, socket, rest);
            if self.kept < rest {
                return Reading::TooLong;
            }
        }
    }

    /// Adds to the frame that began here; `None` once it is whole and was taken.
    fn complete(
        &mut self,
        socket: &mut tcp::Socket<'_>,
        take: &mut impl FnMut(&[u8]) -> usize,
    ) -> Option<Reading> {
        let room = self.bytes.get_mut(self.kept..).unwrap_or_default();
        let has_room = !room.is_empty();
        let more = socket.peek_slice(room).unwrap_or(0);
        if more == 0 {
            return Some(if has_room { Reading::Done } else { Reading::TooLong });
        }
        let all = self.kept.saturating_add(more);
        let taken = take(self.bytes.get(..all).unwrap_or_default());
        if taken == 0 {
            drop_front(socket, more);
            self.kept = all;
            let full = all >= self.bytes.len();
            return Some(if full { Reading::TooLong } else { Reading::Partial });
        }
        drop_front(socket, taken.saturating_sub(self.kept).min(more));
        self.kept = 0;
        None
    }

    /// Moves `count` bytes from the socket to here, from `at` on; where they end.
    fn fill(&mut self, at: usize, socket: &mut tcp::Socket<'_>, count: usize) -> usize {
        let end = at.saturating_add(count).min(self.bytes.len());
        let room = self.bytes.get_mut(at..end).unwrap_or_default();
        at.saturating_add(socket.recv_slice(room).unwrap_or(0))
    }
}

/// Whether no byte will come any more behind those that are in the receive ring.
pub(super) fn has_ended(socket: &tcp::Socket<'_>) -> bool {
    match socket.state() {
        tcp::State::Established
        | tcp::State::FinWait1
        | tcp::State::FinWait2
        | tcp::State::Listen
        | tcp::State::SynSent
        | tcp::State::SynReceived => false,
        tcp::State::CloseWait
        | tcp::State::Closing
        | tcp::State::LastAck
        | tcp::State::TimeWait
        | tcp::State::Closed => true,
    }
}

/// Whether the peer has still to be told that the connection was broken off: the interface does so,
/// unless the socket is used for another connection before.
pub(super) fn has_reset_to_say(socket: &tcp::Socket<'_>) -> bool {
    matches!(socket.state(), tcp::State::Closed) && socket.remote_endpoint().is_some()
}

/// Forgets bytes that were seen already.
fn drop_front(socket: &mut tcp::Socket<'_>, mut count: usize) {
    while count > 0 {
        let dropped = socket.recv(|bytes| {
            let dropped = bytes.len().min(count);
            (dropped, dropped)
        });
        match dropped {
            Ok(dropped) if dropped > 0 => count -= dropped,
            Ok(_) | Err(_) => return,
        }
    }
}

/// Lets the session take what it can of `input`, and then tells what waits; returns how many bytes
/// it took.
pub(super) fn tell<'m>(
    session: &mut Session<'m>,
    now: Instant,
    input: &[u8],
    on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
) -> usize {
    let mut rest = input;
    loop {
        match session.handle_input(now, &mut rest) {
            Ok(Some(event)) => on_event(session, event),
            Ok(None) => return input.len() - rest.len(),
            // An event tells it as well, and CLOSE is among the output.
            Err(_) => {}
        }
    }
}

/// Moves what the session has to say into the socket's ring, as much as there is room for.
pub(super) fn write(session: &mut Session<'_>, now: Instant, socket: &mut tcp::Socket<'_>) {
    loop {
        if !socket.may_send() {
            return;
        }
        let room = socket.send_capacity().saturating_sub(socket.send_queue());
        let mut control = [0; CONTROL_MAX];
        let control = control.get_mut(..room.min(CONTROL_MAX)).unwrap_or_default();
        let parts = session.poll_transmit_parts(now, control);
        if room == 0 || parts.is_empty() {
            return;
        }
        // There was room for all of it.
        let _ = socket.send_slice(parts.control);
        let mut written = 0;
        for part in parts.ring {
            written += socket.send_slice(part).unwrap_or(0);
        }
        session.handle_transmitted(now, written);
    }
}
