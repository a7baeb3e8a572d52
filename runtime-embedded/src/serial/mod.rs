//! Over lines that read and write as [`embedded_io`] says, and may lose or change bytes: a UART.
//!
//! There are no connections on such a line and no promise that what is written arrives. Both are
//! made here: [`mod@packet`] finds whole packets, and [`mod@line`] makes connections of them. A
//! packet that is missing or disturbed breaks the connection; the session resumes over the next
//! one.
//!
//! Reading never waits, for the line says whether there is anything to read; writing waits until
//! the line has taken what is written.

pub mod line;
pub mod packet;

use core::fmt;

use embedded_io::{Read, ReadReady, Write};
use outlast_core::client::{Dial, StopReason};
use outlast_core::state::LinkState;
use outlast_core::{CloseCode, ConfigError, Event, Instant};

use crate::keeper::Order;
use crate::port::{Inbox, Outbox, Port};
use crate::{Session, SetupError, StreamConfig, StreamMemory, StreamResources};
use line::{Arrived, End, Line};
use packet::encoded_len;

/// Bytes that are read from the line at a time.
const CHUNK: usize = 32;
/// How often a poll reads: a line that always has more must not keep it.
const READS: u32 = 64;
/// The least memory for a packet.
const PACKET_MIN: usize = encoded_len(16);

/// As [`StreamResources`](crate::StreamResources), for a client over a serial line: `PACKET` bytes
/// hold the packet that is received, and as many the one that is written.
///
/// ```
/// use outlast_embedded::StreamConfig;
/// use outlast_embedded::serial::{SerialClient, SerialResources};
///
/// let mut resources = SerialResources::<512, 256, 256, 80>::new();
/// let (memory, incoming, outgoing) = resources.parts();
/// let client = SerialClient::new(memory, incoming, outgoing, StreamConfig::new(7))?;
/// # Ok::<(), outlast_embedded::SetupError>(())
/// ```
#[derive(Debug)]
pub struct SerialResources<
    const RING: usize,
    const IN: usize,
    const OUT: usize,
    const PACKET: usize,
> {
    stream: StreamResources<RING, IN, OUT>,
    incoming: [u8; PACKET],
    outgoing: [u8; PACKET],
}

impl<const RING: usize, const IN: usize, const OUT: usize, const PACKET: usize>
    SerialResources<RING, IN, OUT, PACKET>
{
    /// Zeroed memory.
    #[must_use]
    pub const fn new() -> Self {
        let (incoming, outgoing) = ([0; PACKET], [0; PACKET]);
        Self { stream: StreamResources::new(), incoming, outgoing }
    }

    /// What [`SerialClient::new`] takes: memory of the session, and for a packet each way.
    pub fn parts(&mut self) -> (StreamMemory<'_>, &mut [u8], &mut [u8]) {
        ((&mut self.stream).into(), &mut self.incoming, &mut self.outgoing)
    }
}

impl<const RING: usize, const IN: usize, const OUT: usize, const PACKET: usize> Default
    for SerialResources<RING, IN, OUT, PACKET>
{
    fn default() -> Self {
        Self::new()
    }
}

/// A line failed: what it said, and when to poll again.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LineError<E> {
    /// What the line said.
    pub error: E,
    /// When to poll next, after a back-off that grows; `None` once nothing further will be tried.
    pub poll_at: Option<Instant>,
}

impl<E: fmt::Display> fmt::Display for LineError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the line failed: {}", self.error)
    }
}

impl<E: core::error::Error> core::error::Error for LineError<E> {}

/// A client over a serial line.
#[derive(Debug)]
pub struct SerialClient<'m> {
    port: Port<'m>,
    inbox: Inbox<'m>,
    outbox: Outbox<'m>,
    line: Line<'m>,
    /// The packet that is being written.
    packet: &'m mut [u8],
    written: usize,
    len: usize,
}

impl<'m> SerialClient<'m> {
    /// A client, which begins when it is polled. [`SerialResources`] has all its memory: `incoming`
    /// holds a received packet and `outgoing` one that is written; see [`packet::decoded_len`] and
    /// [`encoded_len`]. Shorter packets lose less to a disturbance, longer ones less to their
    /// heads: 64 to 256 bytes suit most lines.
    ///
    /// A line has one other end: [`addresses`](outlast_core::client::DialerConfig::addresses) has
    /// to be 1.
    ///
    /// # Errors
    ///
    /// If a value is out of range or memory is too small.
    pub fn new(
        memory: impl Into<StreamMemory<'m>>,
        incoming: &'m mut [u8],
        outgoing: &'m mut [u8],
        config: StreamConfig<'m>,
    ) -> Result<Self, SetupError> {
        if incoming.len().min(outgoing.len()) < PACKET_MIN {
            return Err(SetupError::Frame { needed: PACKET_MIN });
        }
        ConfigError::check("addresses", config.dialer.addresses.into(), 1, 1)?;
        let [before, ..] = config.seed.to_be_bytes();
        let (port, inbox, outbox) = Port::new(memory.into(), config)?;
        let line = Line::new(End::Client, before, incoming);
        Ok(Self { port, inbox, outbox, line, packet: outgoing, written: 0, len: 0 })
    }

    /// The session: to send, to look at, to finish. Poll after having used it.
    pub const fn session(&mut self) -> &mut Session<'m> {
        &mut self.port.session
    }

    /// Why the client will do nothing further, once that is so.
    #[must_use]
    pub const fn stopped(&self) -> Option<StopReason> {
        self.port.keeper.stopped()
    }

    /// Failures since the last connection that worked.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.port.keeper.dialer.failures()
    }

    /// Ends the session, whatever was not delivered. Poll once more, so that the server hears of
    /// it.
    pub fn stop(&mut self, now: Instant, code: CloseCode) {
        self.port.session.end(now, code);
        self.port.keeper.dialer.handle_stop();
    }

    /// Does everything that can be done now: reads what has come, tells events, writes. Returns
    /// when to poll next if nothing comes before, which is at once if there is more than one poll
    /// takes; a line that does not wake anybody when something comes has to be polled more often.
    ///
    /// `on_event` is given the session as well, so that it can answer while it holds the event.
    ///
    /// # Errors
    ///
    /// Those of the line; the connection is over then, and the error says when the next is tried.
    pub fn poll<L: Read + ReadReady + Write>(
        &mut self,
        now: Instant,
        line: &mut L,
        mut on_event: impl FnMut(&mut Session<'m>, Event<'_>),
    ) -> Result<Option<Instant>, LineError<L::Error>> {
        match self.exchange(now, line, &mut on_event) {
            Ok(true) => Ok(Some(now)),
            Ok(false) => Ok(self.port.deadline()),
            Err(error) => {
                self.leave(now, &mut on_event);
                // A line that fails before anything begins is an attempt that failed: else it would
                // be asked again and again.
                if let Some(dial) = self.next_dial(now) {
                    self.port.keeper.dialer.handle_failure(now, dial.attempt);
                }
                Err(LineError { error, poll_at: self.port.deadline() })
            }
        }
    }

    /// Whether there may be more to read.
    fn exchange<L: Read + ReadReady + Write>(
        &mut self,
        now: Instant,
        line: &mut L,
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) -> Result<bool, L::Error> {
        let mut chunk = [0; CHUNK];
        let mut reads = 0;
        while reads < READS && line.read_ready()? {
            let count = line.read(&mut chunk)?;
            if count == 0 {
                break;
            }
            reads += 1;
            for byte in chunk.iter().take(count) {
                self.receive(now, *byte, on_event);
            }
        }
        if self.is_attached() {
            let goes_on = self.port.turn(now, on_event);
            self.write(now, line)?;
            let session = &self.port.session;
            // Nothing is to come behind a goodbye, and nobody shuts a line.
            let is_done = session.is_closing() && !session.has_output();
            if !goes_on || is_done || session.link_state() == LinkState::Closed {
                self.leave(now, on_event);
            }
        } else {
            self.port.tell(now, &mut &[][..], on_event);
        }
        self.begin(now);
        self.write(now, line)?;
        Ok(reads == READS)
    }

    /// Whether the line carries the session.
    fn is_attached(&self) -> bool {
        self.port.session.link_state() != LinkState::Idle
    }

    /// Begins a connection, if one is due.
    fn begin(&mut self, now: Instant) {
        if self.is_attached() {
            return;
        }
        let Some(dial) = self.next_dial(now) else {
            return;
        };
        match self.port.attach(now, dial.attempt, &mut self.inbox, &mut self.outbox) {
            Ok(()) => self.line.open(),
            Err(_) => self.port.keeper.dialer.handle_failure(now, dial.attempt),
        }
    }

    /// The attempt that is due, if one is.
    fn next_dial(&mut self, now: Instant) -> Option<Dial> {
        let Port { session, keeper, config } = &mut self.port;
        loop {
            match keeper.poll(now, session, &config.session)? {
                Order::Dial(dial) => return Some(dial),
                Order::Abort => {}
            }
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        byte: u8,
        on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>),
    ) {
        let is_over = match self.line.receive(byte) {
            None => return,
            Some(Arrived::Over) => true,
            Some(Arrived::Start(_)) => false,
            Some(Arrived::Data(mut bytes)) => loop {
                let space = self.inbox.space();
                let count = bytes.len().min(space.len());
                let Some((now_in, rest)) = bytes.split_at_checked(count) else {
                    break true;
                };
                for (to, from) in space.iter_mut().zip(now_in) {
                    *to = *from;
                }
                self.inbox.grow(count);
                self.port.feed(now, &mut self.inbox, on_event);
                if rest.is_empty() {
                    break false;
                }
                if count == 0 {
                    // A frame of the handshake that is longer than the memory for it.
                    break true;
                }
                bytes = rest;
            },
        };
        if is_over && self.is_attached() {
            self.leave(now, on_event);
        }
    }

    /// Writes what there is.
    fn write<L: Write>(&mut self, now: Instant, line: &mut L) -> Result<(), L::Error> {
        loop {
            while let Some(rest) = self.packet.get(self.written..self.len)
                && !rest.is_empty()
            {
                match line.write(rest)? {
                    0 => return Ok(()),
                    count => self.written = self.written.saturating_add(count).min(self.len),
                }
            }
            let has_more = self.is_attached() && self.outbox.fill(now, &mut self.port.session);
            if !has_more && !self.line.has_output() {
                return Ok(());
            }
            let (taken, len) = self.line.encode(self.outbox.rest(), self.packet);
            self.outbox.written(taken);
            (self.written, self.len) = (0, len);
            if len == 0 {
                return Ok(());
            }
        }
    }

    /// The connection is over.
    fn leave(&mut self, now: Instant, on_event: &mut impl FnMut(&mut Session<'m>, Event<'_>)) {
        self.line.close();
        self.port.tell(now, &mut &[][..], on_event);
        self.port.leave(now);
    }
}
