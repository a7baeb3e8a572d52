//! TLS over a transport: a transport.
//!
//! rustls turns plaintext into records and back and does no input or output. Here is what carries
//! the records: it reads ciphertext in large pieces, hands rustls what it can take in, and gives
//! the caller plaintext as soon as there is any. Nothing grows beyond a bound: while ciphertext
//! waits for the transport no further plaintext is taken, and while plaintext waits for the caller
//! no further ciphertext is read.

use std::cell::Cell;
use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use outlast_service::{PeerIdentity, Transport};
use rustls::{Connection, HandshakeKind};

use crate::error::TlsError;
use crate::identity;
use crate::stats::Counters;

/// Ciphertext read at once. A record has up to 16 KiB.
const READ_MAX: usize = 64 << 10;
/// Plaintext taken at once, in ciphertext the most that waits for the transport.
const WRITE_MAX: usize = 64 << 10;
/// Ciphertext read at once before the other end is known.
const GREETING_MAX: usize = 16 << 10;
/// A record that came in part is worth nothing. At the beginning of a connection records are so
/// short that a packet holds one whole, and a session gets ahead over connections that never last:
/// bytes of such a record, and for how many bytes.
const SHORT: usize = 1_350;
const SLOW: usize = 32 << 10;
/// Reads of the transport in one go that bring nothing to the caller: tickets, key updates.
const READS: u32 = 8;
/// Bytes of a peer that has failed which are read and dropped, so that it hears why.
const AFTERMATH_MAX: usize = 64 << 10;

/// The label of the channel binding that any TLS has (RFC 9266).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";
/// What the first record can be: an alert or a handshake.
const RECORDS: [u8; 2] = [0x15, 0x16];

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the thread's buffer for ciphertext.
fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut scratch = SCRATCH.take();
    if scratch.len() < READ_MAX {
        scratch = vec![0; READ_MAX];
    }
    let result = work(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// TLS over `T`.
///
/// The handshake happens in the first reads and writes, so that whoever limits their time limits
/// the handshake's, too. What fails is told by an [`io::Error`] with a [`TlsError`] inside.
pub struct TlsStream<T> {
    io: T,
    tls: Box<Tls>,
}

/// What there is besides the transport.
struct Tls {
    conn: Connection,
    phase: Phase,
    /// Ciphertext that came while the caller had no room for more plaintext: less than was read at
    /// once.
    held: Vec<u8>,
    /// How much of that rustls has taken in.
    taken: usize,
    /// The peer has said that it sends no more.
    closed_by_peer: bool,
    /// So many bytes more go out in short records.
    slow: usize,
    /// Something of the caller's waits for the transport, as ciphertext.
    backlog: bool,
    /// Something came already.
    begun: bool,
    /// The transport has ended.
    eof: bool,
    binding: Binding,
    identity: Option<PeerIdentity>,
    counters: Arc<Counters>,
}

#[derive(Debug, Copy, Clone, PartialEq, Eq)]
enum Phase {
    Greeting,
    Open,
    /// This end has said that it writes no more.
    Shut,
    /// It failed, and so many bytes that came after that were dropped.
    Failed(usize),
}

/// What both ends know of this connection and no other has (RFC 9266).
enum Binding {
    Unwanted,
    Wanted,
    Known([u8; 32]),
}

/// What makes a writer of a transport that is polled.
struct Polled<'a, 'c, T> {
    io: &'a mut T,
    cx: &'a mut Context<'c>,
}

impl<T: Transport> Write for Polled<'_, '_, T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)])
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self.io.poll_write(self.cx, bufs) {
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T> std::fmt::Debug for TlsStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsStream").field("phase", &self.tls.phase).finish_non_exhaustive()
    }
}

impl<T: Transport> TlsStream<T> {
    /// One end that has not begun. `binds`: whether sessions are bound to this connection.
    pub(crate) fn new(io: T, mut conn: Connection, binds: bool, counters: Arc<Counters>) -> Self {
        conn.set_buffer_limit(Some(WRITE_MAX));
        let tls = Tls {
            conn,
            phase: Phase::Greeting,
            held: Vec::new(),
            taken: 0,
            closed_by_peer: false,
            slow: SLOW,
            backlog: false,
            begun: false,
            eof: false,
            binding: if binds { Binding::Wanted } else { Binding::Unwanted },
            identity: None,
            counters,
        };
        Self { io, tls: Box::new(tls) }
    }

    /// The transport below.
    pub const fn get_ref(&self) -> &T {
        &self.io
    }

    /// Ready once the handshake is over. What is left of it to be written goes out with what is
    /// written next.
    ///
    /// # Errors
    ///
    /// What failed: the transport, or the handshake with a [`TlsError`] inside.
    pub fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.tls.phase {
            Phase::Greeting => {}
            Phase::Open | Phase::Shut => return Poll::Ready(Ok(())),
            Phase::Failed(_) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        for _ in 0..READS {
            if !self.tls.conn.is_handshaking() {
                let established = self.tls.established();
                return Poll::Ready(established.map_err(|error| self.fail(cx, error)));
            }
            // The peer may be waiting for this before it sends what is waited for here.
            let flushed = self.poll_flush(cx);
            if let Poll::Ready(Err(error)) = flushed {
                // Perhaps it has said why it takes nothing more.
                let told = self.poll_take_in(cx, &mut [], &mut 0);
                return Poll::Ready(Err(match told {
                    Poll::Ready(Err(told)) if told.get_ref().is_some() => told,
                    Poll::Ready(_) | Poll::Pending => error,
                }));
            }
            if self.tls.conn.wants_read() {
                ready!(self.poll_take_in(cx, &mut [], &mut 0))?;
            } else {
                ready!(flushed)?;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what ciphertext there is.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.conn.wants_write() {
            let mut writer = Polled { io: &mut self.io, cx };
            match self.tls.conn.write_tls(&mut writer) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.tls.backlog = false;
        Poll::Ready(Ok(()))
    }

    /// Reads from the transport once, and takes in as much as there is room for in `buf` from
    /// `filled`. What has no room is held.
    fn poll_take_in(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        filled: &mut usize,
    ) -> Poll<io::Result<()>> {
        let most = match self.tls.phase {
            Phase::Greeting => GREETING_MAX,
            Phase::Open | Phase::Shut | Phase::Failed(_) => buf.len().clamp(4096, READ_MAX),
        };
        let took = ready!(with_scratch(|scratch| {
            let scratch = &mut scratch[..most];
            let read = ready!(self.io.poll_read(cx, scratch))?;
            Poll::Ready(Ok::<_, io::Error>(self.tls.take_in(&scratch[..read], buf, filled)))
        }))?;
        Poll::Ready(took.map_err(|error| self.fail(cx, error)))
    }

    /// Nothing goes on from here. The peer is told by an alert, as far as it can be done at once.
    fn fail(&mut self, cx: &mut Context<'_>, error: TlsError) -> io::Error {
        self.tls.fail(&error);
        // Nothing follows from an alert that could not be sent.
        let _ = self.poll_flush(cx);
        error.into()
    }

    /// Reads what the peer sends to an end that has failed, so that it hears why before its own
    /// bytes break the connection.
    fn poll_aftermath(&mut self, cx: &mut Context<'_>, dropped: usize) -> Poll<io::Result<usize>> {
        let mut dropped = dropped;
        while dropped < AFTERMATH_MAX {
            match ready!(with_scratch(|scratch| self.io.poll_read(cx, scratch)))? {
                0 => break,
                more => dropped += more,
            }
            self.tls.phase = Phase::Failed(dropped);
        }
        Poll::Ready(Ok(0))
    }

    /// Gives the caller what plaintext there is, and reads for more only if there is none.
    fn poll_plaintext(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        filled: &mut usize,
    ) -> Poll<io::Result<()>> {
        for _ in 0..READS {
            if let Err(error) = self.tls.take_in_held(buf, filled) {
                return Poll::Ready(Err(self.fail(cx, error)));
            }
            if self.tls.conn.wants_write() {
                // What goes wrong here goes wrong again for those who write. What came before the
                // transport broke is to be read first.
                let _ = self.poll_flush(cx);
            }
            if *filled > 0 || self.tls.closed_by_peer {
                return Poll::Ready(Ok(()));
            }
            if self.tls.eof {
                return Poll::Ready(Err(self.fail(cx, TlsError::Truncated)));
            }
            ready!(self.poll_take_in(cx, buf, filled))?;
        }
        if *filled > 0 {
            return Poll::Ready(Ok(()));
        }
        // What comes is not for the caller, and others have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<T: Transport> Transport for TlsStream<T> {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Phase::Failed(dropped) = self.tls.phase {
            return self.poll_aftermath(cx, dropped);
        }
        ready!(self.poll_handshake(cx))?;
        let mut filled = 0;
        ready!(self.poll_plaintext(cx, buf, &mut filled))?;
        Poll::Ready(Ok(filled))
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.tls.phase == Phase::Shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        ready!(self.poll_handshake(cx))?;
        if self.tls.backlog {
            ready!(self.poll_flush(cx))?;
        }
        let mut taken = self.tls.encrypt(bufs)?;
        if taken == 0 && self.tls.conn.wants_write() {
            // Tickets and the like have taken all the room.
            ready!(self.poll_flush(cx))?;
            taken = self.tls.encrypt(bufs)?;
        }
        self.tls.backlog = true;
        // What is left goes out before anything else is taken. If that fails, the next call says
        // so: a part of this has gone out, and an error would mean that nothing has.
        let _ = self.poll_flush(cx);
        Poll::Ready(Ok(taken))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_handshake(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.tls.phase == Phase::Open {
            self.tls.conn.send_close_notify();
            self.tls.phase = Phase::Shut;
        }
        ready!(self.poll_flush(cx))?;
        self.io.poll_shutdown(cx)
    }

    /// Once the handshake is over: a client's server has shown a certificate by then that this
    /// client trusts.
    fn is_encrypted(&self) -> bool {
        self.is_established()
    }

    fn channel_binding(&self) -> &[u8] {
        match &self.tls.binding {
            Binding::Known(known) => known,
            Binding::Unwanted | Binding::Wanted => &[],
        }
    }

    fn peer_identity(&self) -> Option<&PeerIdentity> {
        self.tls.identity.as_ref()
    }

    fn is_established(&self) -> bool {
        matches!(self.tls.phase, Phase::Open | Phase::Shut)
    }
}

impl Tls {
    /// The handshake is over: notes who the peer is, and what the two have in common.
    fn established(&mut self) -> Result<(), TlsError> {
        if matches!(self.binding, Binding::Wanted) {
            let known = self.conn.export_keying_material([0; 32], EXPORTER, Some(&[]));
            let known = known.map_err(|error| TlsError::Broken(error.to_string()))?;
            self.binding = Binding::Known(known);
        }
        self.phase = Phase::Open;
        let certificates = self.conn.peer_certificates().unwrap_or_default();
        self.identity = certificates.first().map(|leaf| identity::of(leaf));
        let resumed = self.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        self.counters.established(resumed);
        Ok(())
    }

    /// Turns plaintext into records; how much was taken.
    fn encrypt(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut taken = 0;
        while self.slow > 0 {
            let piece = piece(bufs, taken);
            let written = match self.conn.writer().write(piece) {
                Ok(written @ 1..) => written,
                Err(error) if taken == 0 => return Err(error),
                Ok(_) | Err(_) => return Ok(taken),
            };
            self.slow = self.slow.saturating_sub(written);
            taken += written;
        }
        if taken == 0 { self.conn.writer().write_vectored(bufs) } else { Ok(taken) }
    }

    /// Takes in what was just read; nothing is the end of the stream.
    fn take_in(
        &mut self,
        bytes: &[u8],
        buf: &mut [u8],
        filled: &mut usize,
    ) -> Result<(), TlsError> {
        if bytes.is_empty() {
            self.eof = true;
            return match self.phase {
                Phase::Greeting => Err(TlsError::EndedInHandshake),
                Phase::Open | Phase::Shut | Phase::Failed(_) => Ok(()),
            };
        }
        self.look_at_first(bytes)?;
        let mut rest = bytes;
        while !rest.is_empty() && (self.conn.is_handshaking() || *filled < buf.len()) {
            self.feed(&mut rest)?;
            self.drain(buf, filled);
        }
        self.held.extend_from_slice(rest);
        Ok(())
    }

    /// Takes in what was held, as far as there is room.
    fn take_in_held(&mut self, buf: &mut [u8], filled: &mut usize) -> Result<(), TlsError> {
        self.drain(buf, filled);
        if self.held.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        let mut rest = held.get(self.taken..).unwrap_or_default();
        while !rest.is_empty() && *filled < buf.len() {
            self.feed(&mut rest)?;
            self.drain(buf, filled);
        }
        self.taken = held.len() - rest.len();
        if rest.is_empty() {
            self.taken = 0;
        } else {
            self.held = held;
        }
        Ok(())
    }

    /// Gives rustls as much as it takes at once.
    fn feed(&mut self, rest: &mut &[u8]) -> Result<(), TlsError> {
        let taken = self.conn.read_tls(rest).map_err(|full| TlsError::Broken(full.to_string()))?;
        let greeting = self.phase == Phase::Greeting;
        let state = self.conn.process_new_packets();
        let state = state.map_err(|error| TlsError::from_rustls(&error, greeting))?;
        self.closed_by_peer |= state.peer_has_closed();
        if taken == 0 {
            // Behind the end nothing has a meaning.
            *rest = &[];
        }
        Ok(())
    }

    /// Plaintext for the caller.
    fn drain(&mut self, buf: &mut [u8], filled: &mut usize) {
        while *filled < buf.len() {
            match self.conn.reader().read(&mut buf[*filled..]) {
                Ok(0) | Err(_) => break,
                Ok(read) => *filled += read,
            }
        }
    }

    /// Whether this can be TLS at all. What is not is told apart from TLS gone wrong, and hears an
    /// alert, so that a peer without TLS can tell what it has reached.
    fn look_at_first(&mut self, bytes: &[u8]) -> Result<(), TlsError> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        let is_record = bytes.first().is_some_and(|kind| RECORDS.contains(kind))
            && bytes.get(1).is_none_or(|major| *major == 3);
        if is_record {
            return Ok(());
        }
        self.conn.send_close_notify();
        Err(TlsError::NotTls)
    }

    fn fail(&mut self, error: &TlsError) {
        self.counters.failed(error);
        self.phase = Phase::Failed(0);
        (self.held, self.taken) = (Vec::new(), 0);
    }
}

/// What goes into the next short record, behind so many bytes of `bufs`.
fn piece<'a>(bufs: &'a [IoSlice<'_>], mut skip: usize) -> &'a [u8] {
    for buf in bufs {
        match buf.get(skip..) {
            Some(rest) if !rest.is_empty() => return &rest[..rest.len().min(SHORT)],
            Some(_) | None => skip -= buf.len(),
        }
    }
    &[]
}

impl Drop for Tls {
    fn drop(&mut self) {
        if self.phase == Phase::Greeting {
            self.counters.abandoned();
        }
    }
}
