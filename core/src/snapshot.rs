//! A session as bytes: for a restart, a hand-over, or a store.
//!
//! Little-endian throughout. Messages that were received and not released are left out: the peer
//! still has them and will send them again. The keys are inside, so a store must encrypt snapshots.
//!
//! ```text
//!   0 "OUTS" | 4 version u8 | 5 role u8 | 6 flags u16 | 8 sid u64 | 16 epoch u32 | 20 attach u32
//!  24 key id u8 | 25 next key id u8 | 26 zero u16 | 28 key | 44 next key | 60 seconds left u32
//!  64 acked u64 | 72 high-acked u32 | 76 end-acked u32 | 80 limit-acked u32
//!  84 done u64 | 92 advertised-done u32 | 96 max_body u16 | 98 peer max_body u16
//! 100 max_message u32 | 104 peer max_message u32 | 108 max_requests u16
//! 110 peer max_requests u16 | 112 zero u32 | 116 partial message u32 | 120 zero u32
//! 124 requests in u16 | 126 requests out u16 | 128 ring bytes, [open message in: 12],
//!     [open message out: 12], partial message, requests, CRC-32C
//! ```

use crate::config::{Config, ConfigError};
use crate::event::Head;
use crate::ring::Ring;
use crate::session::{
    Bits, Identity, Open, PeerLimits, Role, Rx, Session, Tx, UPKEEP, key_before, last_token,
};
use crate::state::{Obstacle, SessionEvent, SessionState, StateError, Verb};
use crate::storage::Storage;
use crate::wire::{RequestId, Route, Status};
use core::fmt;

mod claims;
mod fixed;

use fixed::Fixed;

const MAGIC: [u8; 4] = *b"OUTS";
const VERSION: u8 = 1;
const FIXED: usize = 128;
const OPEN_LEN: usize = 12;
const REQUEST_LEN: usize = 12;
const CRC_LEN: usize = 4;

const FIN_OUT: u16 = 1;
const FIN_IN: u16 = 2;
const NEXT_KEY: u16 = 4;
const OPEN_IN: u16 = 8;
const OPEN_OUT: u16 = 16;

/// Of an open request: it is to be refused.
const REFUSED: u8 = 1;

/// A snapshot cannot be taken or cannot be used.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SnapshotError {
    /// The session's state does not admit it.
    State(StateError),
    /// A request, a response, a part of a message or the end was received and not released. The
    /// peer would send it again, to a session that has already acted on it; release it first.
    Unreleased,
    /// The buffer or the storage is too small; so many bytes are needed.
    TooSmall {
        /// Bytes needed.
        needed: usize,
    },
    /// The bytes are not a snapshot, or were damaged.
    Corrupt,
    /// The snapshot was taken with other limits than the configuration's; a session's limits are
    /// fixed when it begins. Also where it has to be gone on with what was begun by
    /// [`Session::drain`](crate::Session) or `rotate_key`, and the crate is built without these.
    Limits,
    /// The configuration is out of range.
    Config(ConfigError),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(_) => f.write_str("the session's state admits no snapshot"),
            Self::Unreleased => f.write_str("release what was received before taking a snapshot"),
            Self::TooSmall { needed } => write!(f, "{needed} bytes of memory are needed"),
            Self::Corrupt => f.write_str("not a snapshot, or a damaged one"),
            Self::Limits => f.write_str("the snapshot's limits differ from the configuration's"),
            Self::Config(_) => f.write_str("the configuration of the session is out of range"),
        }
    }
}

impl core::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::State(error) => Some(error),
            Self::Config(error) => Some(error),
            Self::Unreleased | Self::TooSmall { .. } | Self::Corrupt | Self::Limits => None,
        }
    }
}

/// What [`Session::restore`] found besides the session.
#[derive(Debug)]
pub struct Restored<'b, S> {
    /// The session, without a connection.
    pub session: Session<S>,
    /// Received bytes of the message whose fragments had not all come.
    pub partial: &'b [u8],
    /// How long the session was still to be kept, in seconds.
    pub retention_left_s: u32,
}

impl<S: Storage + ?Sized> Session<S> {
    /// Bytes that [`snapshot`](Self::snapshot) needs with a partial message of `partial` bytes.
    #[must_use]
    pub fn snapshot_len(&self, partial: usize) -> usize {
        let (requests_in, requests_out) = self.open_request_counts();
        let opens = usize::from(self.open_in.is_some()) + usize::from(self.open_out.is_some());
        FIXED
            + self.ring.len()
            + opens * OPEN_LEN
            + partial
            + (requests_in + requests_out) * REQUEST_LEN
            + CRC_LEN
    }

    /// Writes the session to `out` and returns the length. The session goes on.
    ///
    /// `partial` is what was collected of the message whose fragments have not all come, for the
    /// one that will collect the rest.
    ///
    /// # Errors
    ///
    /// If there is nothing to resume, `out` is too small, or a request, a response, a part of a
    /// message or the end is [not released](SnapshotError::Unreleased).
    //= SNP-1
    pub fn snapshot(
        &self,
        retention_left_s: u32,
        partial: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SnapshotError> {
        if !matches!(self.state, SessionState::Attached | SessionState::Detached) {
            let state = Obstacle::Session(self.state);
            return Err(SnapshotError::State(StateError::new(Verb::Snapshot, state)));
        }
        //= SNP-2
        if self.rx.is_bound() {
            return Err(SnapshotError::Unreleased);
        }
        let needed = self.snapshot_len(partial.len());
        let mut writer = Writer { out, at: 0 };
        if writer.out.len() < needed {
            return Err(SnapshotError::TooSmall { needed });
        }
        self.write_fixed(retention_left_s, partial.len(), &mut writer);
        for run in self.ring.slices(0, self.ring.len()) {
            writer.put(run);
        }
        for open in [self.open_in, self.open_out].into_iter().flatten() {
            writer.put(&encode_open(open));
        }
        writer.put(partial);
        for (kind, limit) in [(1u8, self.config.max_requests), (2, self.peer.max_requests)] {
            for id in (0..limit).map(RequestId).filter(|id| self.is_open(kind, *id)) {
                let [low, high] = id.0.to_le_bytes();
                let flags = u8::from(kind == 1 && self.is_refused(id)) * REFUSED;
                writer.put(&[low, high, kind, flags, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
        }
        let crc = crc32c(writer.out.get(..writer.at).unwrap_or_default());
        writer.put(&crc.to_le_bytes());
        Ok(writer.at)
    }

    /// As [`snapshot`](Self::snapshot), and this end stops being the session's: whoever restores
    /// the bytes continues it.
    ///
    /// # Errors
    ///
    /// As [`snapshot`](Self::snapshot). Detach first; an attached session is not exported.
    //= SNP-4
    pub fn export(
        &mut self,
        retention_left_s: u32,
        partial: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SnapshotError> {
        if self.state != SessionState::Detached {
            let state = Obstacle::Session(self.state);
            return Err(SnapshotError::State(StateError::new(Verb::Export, state)));
        }
        let written = self.snapshot(retention_left_s, partial, out)?;
        self.step(SessionEvent::Export);
        Ok(written)
    }

    fn is_open(&self, kind: u8, id: RequestId) -> bool {
        if kind == 1 { self.is_open_in(id) } else { self.is_open_out(id) }
    }

    fn open_request_counts(&self) -> (usize, usize) {
        let count =
            |kind, limit| (0..limit).map(RequestId).filter(|id| self.is_open(kind, *id)).count();
        (count(1, self.config.max_requests), count(2, self.peer.max_requests))
    }

    fn write_fixed(&self, retention_left_s: u32, partial: usize, writer: &mut Writer<'_>) {
        let next = self.next_key();
        let flags = [
            (FIN_OUT, self.tx.finished),
            (FIN_IN, self.rx.finished),
            (NEXT_KEY, next.is_some()),
            (OPEN_IN, self.open_in.is_some()),
            (OPEN_OUT, self.open_out.is_some()),
        ];
        let flags = flags.iter().filter(|(_, set)| *set).fold(0, |all, (flag, _)| all | flag);
        let (requests_in, requests_out) = self.open_request_counts();
        writer.put(&MAGIC);
        writer.put(&[VERSION, u8::from(self.role() == Role::Server)]);
        writer.u16(flags);
        writer.u64(self.identity.sid);
        // A server that goes on from here is a new owner; a client only remembers its server's.
        //= SNP-3
        let epoch = self.identity.epoch.saturating_add(u32::from(!self.is_client()));
        writer.u32(u64::from(epoch));
        writer.u32(u64::from(self.identity.attach));
        writer.put(&[self.identity.key_id, next.map_or(0, |(key_id, _)| key_id), 0, 0]);
        writer.put(&self.identity.key);
        writer.put(&next.map_or([0; 16], |(_, key)| key));
        writer.u32(u64::from(retention_left_s));
        writer.u64(self.tx.acked);
        writer.u32(self.tx.high.into());
        writer.u32(self.ring.len() as u64);
        writer.u32(self.tx.credit().into());
        writer.u64(self.rx.released());
        writer.u32(self.rx.limit.wrapping_sub(self.rx.done).into());
        writer.u16(self.config.max_body);
        writer.u16(self.peer.max_body);
        writer.u32(u64::from(self.config.max_message));
        writer.u32(u64::from(self.peer.max_message));
        writer.u16(self.config.max_requests);
        writer.u16(self.peer.max_requests);
        writer.u32(0);
        writer.u32(partial as u64);
        writer.u32(0);
        writer.u16(u16::try_from(requests_in).unwrap_or(u16::MAX));
        writer.u16(u16::try_from(requests_out).unwrap_or(u16::MAX));
    }
}

impl<S: Storage> Session<S> {
    /// Makes a session from a snapshot. It has no connection.
    ///
    /// `durable` says that every message was stored before it was transmitted: then nothing beyond
    /// the snapshot can have been seen by the peer, and nothing is missing from it.
    ///
    /// # Errors
    ///
    /// If the bytes are damaged, or do not fit the configuration or the storage.
    //= SNP-6
    pub fn restore(
        config: Config,
        bytes: &[u8],
        durable: bool,
        storage: S,
    ) -> Result<Restored<'_, S>, SnapshotError> {
        config.validate().map_err(SnapshotError::Config)?;
        let corrupt = SnapshotError::Corrupt;
        let (fixed, rest) = checked(bytes)?;
        let mut reader = Reader { rest };
        let mut ring = Ring::new(storage, config.send_limit());
        fixed.check_limits(&config, &mut ring)?;
        let mut found = Found::default();
        let retained = reader.take(fixed.retained()).ok_or(corrupt)?;
        found.read_ring(fixed, retained, durable, &mut ring)?;
        if fixed.has(OPEN_IN) {
            found.open_in = Some(read_open(&mut reader).ok_or(corrupt)?);
        }
        if fixed.has(OPEN_OUT) {
            found.open_out = Some(read_open(&mut reader).ok_or(corrupt)?);
        }
        let partial = reader.take(fixed.partial() as usize).ok_or(corrupt)?;
        for _ in 0..fixed.requests() {
            found.read_request(fixed, &mut reader, &mut ring).ok_or(corrupt)?;
        }
        if !reader.rest.is_empty() {
            return Err(corrupt);
        }
        if !UPKEEP && (found.refusals || found.token.is_some()) {
            return Err(SnapshotError::Limits);
        }
        found.restored(&config, fixed, partial, ring)
    }
}

/// The fixed part of what is a snapshot and not damaged, and what is behind it.
#[inline]
fn checked(bytes: &[u8]) -> Result<(Fixed<'_>, &[u8]), SnapshotError> {
    let corrupt = SnapshotError::Corrupt;
    let (body, crc) = bytes
        .len()
        .checked_sub(CRC_LEN)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(corrupt)?;
    if crc != crc32c(body).to_le_bytes() {
        return Err(corrupt);
    }
    let (fixed, rest) = body.split_first_chunk().ok_or(corrupt)?;
    let fixed = Fixed::new(fixed);
    if fixed.is_sane() { Ok((fixed, rest)) } else { Err(corrupt) }
}

/// What is found behind the fixed part. The session is made last of all, where the caller wants it:
/// on the stack below what reads, it would be most of what a call may have.
#[derive(Default)]
struct Found {
    /// How much of the ring may have been transmitted.
    high: u32,
    /// Where in the ring the TOKEN with the next key ends.
    token: Option<u32>,
    open_in: Option<Open>,
    open_out: Option<Open>,
    refusals: bool,
}

impl Found {
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn read_ring<S: Storage>(
        &mut self,
        fixed: Fixed<'_>,
        frames: &[u8],
        durable: bool,
        ring: &mut Ring<S>,
    ) -> Result<(), SnapshotError> {
        let corrupt = SnapshotError::Corrupt;
        ring.append(frames).map_err(|_| SnapshotError::TooSmall { needed: frames.len() })?;
        let len = ring.len();
        if ring.boundary(0, len, usize::MAX) != len {
            return Err(corrupt);
        }
        let high = if durable {
            //= SNP-9
            len
        } else {
            // Part of a frame may have been transmitted; the peer can only have counted whole ones.
            //= SNP-8
            let high = fixed.u32(72) as usize;
            ring.boundary(0, high, high)
        };
        self.high = u32::try_from(high).map_err(|_| corrupt)?;
        if fixed.has(NEXT_KEY) {
            let end = last_token(ring).ok_or(corrupt)?;
            let (key_id, at) = key_before(ring, end).ok_or(corrupt)?;
            let [_, next_id]: [u8; 2] = fixed.field(24);
            if key_id != next_id || ring.bytes_at::<16>(at) != fixed.field(44) {
                return Err(corrupt);
            }
            self.token = Some(u32::try_from(end).map_err(|_| corrupt)?);
        }
        Ok(())
    }

    fn read_request<S: Storage>(
        &mut self,
        fixed: Fixed<'_>,
        reader: &mut Reader<'_>,
        ring: &mut Ring<S>,
    ) -> Option<()> {
        let [low, high, kind, flags, 0, 0, 0, 0, 0, 0, 0, 0] = reader.array()? else {
            return None;
        };
        let id = RequestId(u16::from_le_bytes([low, high]));
        let max_requests = fixed.max_requests();
        let mut set = |bit: Bits| ring.change_bit(bit.place(max_requests, id), true).is_some();
        let set = match (kind, flags) {
            (1, 0 | REFUSED) if id.0 < max_requests => {
                self.refusals |= flags == REFUSED;
                set(Bits::Theirs) && (flags == 0 || set(Bits::Refused))
            }
            (2, 0) if id.0 < fixed.peer_max_requests() => set(Bits::Ours),
            _ => return None,
        };
        set.then_some(())
    }

    /// Makes the session.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn restored<'b, S: Storage>(
        &self,
        config: &Config,
        fixed: Fixed<'_>,
        partial: &'b [u8],
        ring: Ring<S>,
    ) -> Result<Restored<'b, S>, SnapshotError> {
        let [_, role]: [u8; 2] = fixed.field(4);
        let role = if role == 1 { Role::Server } else { Role::Client };
        let [key_id, _]: [u8; 2] = fixed.field(24);
        let acked = fixed.u64(64);
        let identity = Identity {
            role,
            sid: fixed.u64(8),
            epoch: fixed.u32(16),
            attach: fixed.u32(20),
            key_id,
            key: fixed.field(28),
            rotating: self.token.is_some(),
            token: self.token.map_or(0, |end| (acked as u32).wrapping_add(end)),
        };
        // Its next connection resumes it, and the application is told so: this is the second.
        //= SNP-13
        let mut session = Session::around(config, identity, SessionState::Detached, 1, ring);
        session.peer = PeerLimits {
            max_body: fixed.peer_max_body(),
            max_requests: fixed.peer_max_requests(),
            max_message: fixed.u32(104),
            send_buffer: 0,
            retention_s: config.retention_s,
        };
        session.tx = Tx {
            acked,
            sent: 0,
            high: self.high,
            frame_end: 0,
            gate: 0,
            limit: (acked as u32).wrapping_add(fixed.u32(80)),
            next_id: 0,
            finished: fixed.has(FIN_OUT),
            refusals: self.refusals,
        };
        let next = fixed.u64(84);
        let done = next as u32;
        let limit = done.wrapping_add(fixed.u32(92));
        let finished = fixed.has(FIN_IN);
        let (shown, bound, reported) = (done, done, done);
        session.rx = Rx { next, done, shown, bound, reported, limit, finished, plain: false };
        (session.open_in, session.open_out) = (self.open_in, self.open_out);
        Ok(Restored { session, partial, retention_left_s: fixed.u32(60) })
    }
}

fn encode_open(open: Open) -> [u8; OPEN_LEN] {
    let (kind, status, id, route) = match open.head {
        Head::Message { route } => (0, 0, 0, route.get()),
        Head::Request { id, route } => (1, 0, id.0, route.get()),
        Head::Response { id, status } => (2, status.0, id.0, 0),
    };
    let [i0, i1] = id.to_le_bytes();
    let [r0, r1, r2, r3] = route.to_le_bytes();
    let [t0, t1, t2, t3] = open.total.to_le_bytes();
    [kind, status, i0, i1, r0, r1, r2, r3, t0, t1, t2, t3]
}

fn read_open(reader: &mut Reader<'_>) -> Option<Open> {
    let [kind, status, i0, i1, r0, r1, r2, r3, t0, t1, t2, t3] = reader.array()?;
    let id = RequestId(u16::from_le_bytes([i0, i1]));
    let route = Route::from(u32::from_le_bytes([r0, r1, r2, r3]));
    let head = match kind {
        0 => Head::Message { route },
        1 => Head::Request { id, route },
        2 => Head::Response { id, status: Status(status) },
        _ => return None,
    };
    Some(Open { head, total: u32::from_le_bytes([t0, t1, t2, t3]) })
}

struct Writer<'o> {
    out: &'o mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let free = self.out.get_mut(self.at..).unwrap_or_default();
        if let Some(slot) = free.get_mut(..bytes.len()) {
            slot.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    /// Distances between positions fit 32 bits because every window does.
    fn u32(&mut self, value: u64) {
        self.put(&u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    //= SNP-12
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }
}

/// CRC-32C (Castagnoli), RFC 3720 appendix B.4, a nibble at a time: small, and snapshots are rare.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let step = |crc: u32| (0..4).fold(crc, |c, _| (c >> 1) ^ (POLYNOMIAL & (c & 1).wrapping_neg()));
    !bytes.iter().fold(u32::MAX, |crc, byte| step(step(crc ^ u32::from(*byte))))
}

#[cfg(test)]
mod tests {
    #[test]
    fn crc_of_the_standards_check_value() {
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
    }
}
