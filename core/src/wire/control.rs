//! The small frames around the data: acknowledgements, probes, drain and close.

use core::ops::BitOr;
use core::str;

use super::bytes::{ANY_LEN, Reader, Writer, read_options};
use super::handshake::TLV_ADDRESS;
use super::{HEADER_LEN, Header, Op};
use crate::CloseCode;

/// The longest reason a CLOSE carries, in bytes.
pub const REASON_MAX: usize = 128;

const DRAIN_FIXED_LEN: usize = 12;

/// The body of a full PING or PONG; positions are low halves.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub struct Probe {
    /// Repeated by the answer.
    pub nonce: u32,
    /// Position of the sender's next sequenced byte.
    pub tx: u32,
    /// Position up to which the sender released what it received.
    pub ack: u32,
    /// Position up to which the sender's peer may send.
    pub limit: u32,
}

/// What a CLOSE says besides its code.
///
/// The bits that announce the optional parts of [`Close`] are not among them: encoding sets and
/// decoding removes them.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CloseFlags(pub u16);

impl CloseFlags {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// The session is over, not only the connection.
    pub const SESSION_ENDED: Self = Self(1);
    /// The receiver must not reconnect by itself.
    pub const NO_RETRY: Self = Self(2);

    const MEANING: u16 = Self::SESSION_ENDED.0 | Self::NO_RETRY.0;
    const HAS_RX: u16 = 4;
    const HAS_ATTACH: u16 = 8;
    const HAS_RANGE: u16 = 16;
    const KNOWN: u16 = Self::MEANING | Self::HAS_RX | Self::HAS_ATTACH | Self::HAS_RANGE;

    /// Whether every bit of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for CloseFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The announcement that the sender will go away.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Drain<'b> {
    /// Why.
    pub code: CloseCode,
    /// For how long new requests are still accepted, in milliseconds.
    pub grace_ms: u32,
    /// Over which time the clients spread their departure, in milliseconds.
    pub spread_ms: u32,
    /// Where to reconnect, if not here; at most 255 bytes.
    pub address: Option<&'b [u8]>,
}

/// The last frame of a connection.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Close<'b> {
    /// Why.
    pub code: CloseCode,
    /// What ends with it.
    pub flags: CloseFlags,
    /// When to reconnect at the earliest, in milliseconds; 0 is no hint.
    pub retry_ms: u32,
    /// Position of the next sequenced byte the sender has not received.
    pub rx_next: Option<u64>,
    /// With `STALE_ATTACH`: the latest attempt the server knows.
    pub last_attach: Option<u32>,
    /// With `VERSION`: the oldest and newest version the sender speaks.
    pub versions: Option<(u8, u8)>,
    /// A sentence for people; at most 128 bytes are sent.
    pub reason: &'b str,
}

impl Probe {
    /// Reads a PING or PONG, whose body is either empty or a probe.
    pub(crate) fn read(header: Header, body: &[u8]) -> Result<Option<Self>, CloseCode> {
        if body.is_empty() {
            return header.check_tag().map(|()| None);
        }
        let [nonce, tx, ack, limit] = header.fields(body)?;
        Ok(Some(Self { nonce, tx, ack, limit }))
    }

    pub(super) fn encode(self, writer: &mut Writer<'_>) {
        for field in [self.nonce, self.tx, self.ack, self.limit] {
            writer.put(&field.to_le_bytes());
        }
    }
}

impl<'b> Drain<'b> {
    /// Reads the body of a DRAIN.
    ///
    /// # Errors
    ///
    /// `BAD_FRAME`: too short, or a reserved byte in use. `BAD_OPTION`: an option that is
    /// malformed, repeated, or critical and unknown.
    pub fn decode(body: &'b [u8]) -> Result<Self, CloseCode> {
        let Some((drain, options)) = Self::decode_fixed(body) else {
            return Err(CloseCode::BAD_FRAME);
        };
        let mut values = [None];
        read_options(options, &[(TLV_ADDRESS, ANY_LEN)], &mut values)?;
        let [address] = values;
        Ok(Self { address, ..drain })
    }

    fn decode_fixed(body: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let (fixed, options) = body.split_first_chunk::<DRAIN_FIXED_LEN>()?;
        let mut reader = Reader::new(fixed);
        let code = CloseCode::new(reader.u16()?);
        //= FRM-21
        if reader.u16()? != 0 {
            return None;
        }
        let (grace_ms, spread_ms) = (reader.u32()?, reader.u32()?);
        Some((Self { code, grace_ms, spread_ms, address: None }, options))
    }

    /// Writes the whole frame and returns its size.
    ///
    /// `None` if `out` is too small or the address is beyond 255 bytes.
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Writer::new(out);
        let [low, high] = self.code.get().to_le_bytes();
        let (grace, spread) = (self.grace_ms.to_le_bytes(), self.spread_ms.to_le_bytes());
        writer.put([[low, high, 0, 0], grace, spread].as_flattened());
        if let Some(address) = self.address {
            writer.option(TLV_ADDRESS, address);
        }
        writer.finish(Header::new(Op::Drain, 0, 0))
    }
}

impl<'b> Close<'b> {
    /// A close with this code and nothing else.
    #[must_use]
    pub const fn new(code: CloseCode) -> Self {
        Self {
            code,
            flags: CloseFlags::NONE,
            retry_ms: 0,
            rx_next: None,
            last_attach: None,
            versions: None,
            reason: "",
        }
    }

    /// Reads the body of a CLOSE.
    ///
    /// # Errors
    ///
    /// `BAD_FRAME`: too short for its flags, an unknown flag, or a reason that is longer than
    /// [`REASON_MAX`] or not UTF-8.
    pub fn decode(body: &'b [u8]) -> Result<Self, CloseCode> {
        Self::read(body).ok_or(CloseCode::BAD_FRAME)
    }

    fn read(body: &'b [u8]) -> Option<Self> {
        let (close, reason) = Self::read_fixed(body)?;
        //= FRM-29
        Some(Self { reason: str::from_utf8(reason).ok()?, ..close })
    }

    /// As [`decode`](Self::decode), but leaves the reason out: for who shows it to nobody.
    pub(crate) fn decode_terse(body: &'b [u8]) -> Result<Self, CloseCode> {
        match Self::read_fixed(body) {
            Some((close, reason)) if is_text(reason) => Ok(close),
            Some(_) | None => Err(CloseCode::BAD_FRAME),
        }
    }

    /// Reads everything but the reason, which is not looked at.
    fn read_fixed(body: &'b [u8]) -> Option<(Self, &'b [u8])> {
        let mut reader = Reader::new(body);
        let mut close = Self::new(CloseCode::new(reader.u16()?));
        let flags = reader.u16()?;
        //= CLS-15
        if flags & !CloseFlags::KNOWN != 0 {
            return None;
        }
        close.flags = CloseFlags(flags & CloseFlags::MEANING);
        close.retry_ms = reader.u32()?;
        if flags & CloseFlags::HAS_RX != 0 {
            close.rx_next = Some(reader.u64()?);
        }
        if flags & CloseFlags::HAS_ATTACH != 0 {
            close.last_attach = Some(reader.u32()?);
        }
        if flags & CloseFlags::HAS_RANGE != 0 {
            let [oldest, newest] = reader.take()?;
            close.versions = Some((oldest, newest));
        }
        let reason = reader.rest();
        (reason.len() <= REASON_MAX).then_some((close, reason))
    }

    /// Writes the whole frame and returns its size; `None` if `out` is too small.
    ///
    /// A reason longer than [`REASON_MAX`], or than the room behind the rest, is cut at the end of
    /// a character: a CLOSE without its reason takes at most 26 bytes, with it at most 154, so one
    /// always fits a peer that accepts [`MIN_MAX_BODY`](super::MIN_MAX_BODY).
    #[must_use]
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let mut flags = self.flags.0 & CloseFlags::MEANING;
        if self.rx_next.is_some() {
            flags |= CloseFlags::HAS_RX;
        }
        if self.last_attach.is_some() {
            flags |= CloseFlags::HAS_ATTACH;
        }
        if self.versions.is_some() {
            flags |= CloseFlags::HAS_RANGE;
        }
        let mut writer = Writer::new(out);
        let code_and_flags = u32::from(self.code.get()) | u32::from(flags) << 16;
        writer.put([code_and_flags.to_le_bytes(), self.retry_ms.to_le_bytes()].as_flattened());
        if let Some(rx_next) = self.rx_next {
            writer.put(&rx_next.to_le_bytes());
        }
        if let Some(last_attach) = self.last_attach {
            writer.put(&last_attach.to_le_bytes());
        }
        if let Some((oldest, newest)) = self.versions {
            writer.put(&[oldest, newest]);
        }
        //= CLS-16
        let room = writer.room().min(REASON_MAX);
        writer.put(cut(self.reason, room).as_bytes());
        writer.finish(Header::new(Op::Close, 0, 0))
    }
}

/// Whether `bytes` are UTF-8. The library's answer is faster, and half a kilobyte longer.
fn is_text(bytes: &[u8]) -> bool {
    let mut rest = bytes.iter();
    while let Some(first) = rest.next() {
        if first.is_ascii() {
            continue;
        }
        let len = first.leading_ones();
        let mut scalar = u32::from(first & (0x7F >> len.min(7)));
        for _ in 1..len {
            match rest.next() {
                Some(byte @ 0x80..=0xBF) => scalar = scalar << 6 | u32::from(byte & 0x3F),
                Some(_) | None => return false,
            }
        }
        // Neither a surrogate, nor too large, nor longer than it need be.
        if char::from_u32(scalar).is_none_or(|char| char.len_utf8() != len as usize) {
            return false;
        }
    }
    true
}

/// The longest prefix of `reason` that has at most `room` bytes.
fn cut(reason: &str, room: usize) -> &str {
    // A character has at most four bytes, so one of these is a boundary.
    (0..4)
        .find_map(|less| reason.get(..reason.len().min(room).saturating_sub(less)))
        .unwrap_or_default()
}

/// A whole ACK frame: released up to `ack`, the peer may send up to `limit`; low halves of both.
#[inline]
#[must_use]
pub const fn encode_ack(ack: u32, limit: u32) -> [u8; 12] {
    let [h0, h1, h2, h3] = Header::new(Op::Ack, 0, 8).to_bytes();
    let [a0, a1, a2, a3] = ack.to_le_bytes();
    let [l0, l1, l2, l3] = limit.to_le_bytes();
    [h0, h1, h2, h3, a0, a1, a2, a3, l0, l1, l2, l3]
}

/// A whole frame of kind `op` (PING or PONG) with the probe as its body.
#[inline]
#[must_use]
pub const fn encode_probe(op: Op, probe: Probe) -> [u8; 20] {
    let [h0, h1, h2, h3] = Header::new(op, 0, 16).to_bytes();
    let [n0, n1, n2, n3] = probe.nonce.to_le_bytes();
    let [t0, t1, t2, t3] = probe.tx.to_le_bytes();
    let [a0, a1, a2, a3] = probe.ack.to_le_bytes();
    let [l0, l1, l2, l3] = probe.limit.to_le_bytes();
    [h0, h1, h2, h3, n0, n1, n2, n3, t0, t1, t2, t3, a0, a1, a2, a3, l0, l1, l2, l3]
}

/// A whole frame of kind `op` without a body.
#[inline]
#[must_use]
pub const fn encode_empty(op: Op) -> [u8; HEADER_LEN] {
    Header::new(op, 0, 0).to_bytes()
}
