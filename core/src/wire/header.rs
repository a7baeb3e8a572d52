//! The four bytes every frame starts with.

use core::fmt;

use super::HEADER_LEN;
use crate::CloseCode;

const S: u32 = 0x80;
const G: u32 = 0x40;
const LEN_SHIFT: u32 = 16;
const LEN_MASK: u32 = 0x3FFF;
const MORE: u32 = 1 << 30;
const LANE: u32 = 1 << 31;
const OP_MASK: u8 = 31;
/// Refused in every class, so that a stream of ones is refused at its first frame.
const OP_ILLEGAL: u8 = 31;

/// The set of these operations, one bit each.
const fn ops<const N: usize>(kinds: [Op; N]) -> u32 {
    let mut set = 0;
    let mut rest: &[Op] = &kinds;
    while let [op, tail @ ..] = rest {
        set |= 1 << (*op as u8 & OP_MASK);
        rest = tail;
    }
    set
}

const CONTROL_OPS: u32 = ops([
    Op::Hello,
    Op::Welcome,
    Op::Auth,
    Op::Ack,
    Op::Ping,
    Op::Pong,
    Op::Drain,
    Op::Close,
    Op::Note,
]);
const SEQUENCED_OPS: u32 = ops([
    Op::Message,
    Op::Request,
    Op::Response,
    Op::Cancel,
    Op::Fin,
    Op::Token,
    Op::Continue,
]);
const IGNORABLE_OPS: u32 = !(1 << OP_ILLEGAL);

/// The frame kinds of version 1, reserved ones included.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Op {
    /// The client's first frame: versions, limits, and which session to resume.
    Hello = 0x01,
    /// The server's answer to HELLO: the session is open.
    Welcome = 0x02,
    /// One step of an authentication exchange.
    Auth = 0x03,
    /// What was released, and how far the peer may send.
    Ack = 0x08,
    /// Asks for a sign of life, and compares positions when it has a body.
    Ping = 0x09,
    /// Answers PING; empty and unasked it is the idle heartbeat.
    Pong = 0x0A,
    /// Reserved: item credit of a stream.
    Grant = 0x0B,
    /// Announces that the sender will go away.
    Drain = 0x0C,
    /// The last frame of a connection, with the reason.
    Close = 0x0D,
    /// A best-effort message outside the session.
    Note = 0x10,
    /// Ignorable information.
    Info = 0x41,
    /// Ignorable noise that keeps receivers honest about skipping.
    Grease = 0x5E,
    /// A message.
    Message = 0x80,
    /// A request; exactly one response follows.
    Request = 0x81,
    /// The response to a request.
    Response = 0x82,
    /// Reserved: an item of a stream.
    Item = 0x83,
    /// Withdraws a request; its response still comes.
    Cancel = 0x84,
    /// The sender has no more sequenced frames.
    Fin = 0x85,
    /// The server's next session key.
    Token = 0x86,
    /// Reserved: a request for a stream.
    RequestStream = 0x87,
    /// The next fragment of the open message, or its abort.
    Continue = 0x8F,
    /// Padding, or a frame that was revoked before it was sent.
    Skip = 0xC0,
}

/// A frame header: one little-endian word of kind, tag, body length and two bits.
///
/// ```text
/// bits 0..8 kind | 8..16 tag | 16..30 body length | 30 MORE | 31 LANE
/// ```
///
/// Any four bytes make a `Header`; whether it is legal is decided by
/// [`Frame::split`](super::Frame::split).
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Header(u32);

impl Header {
    /// A header of kind `op` before `len` body bytes; `len` is cut to its 14 bits.
    #[inline]
    #[must_use]
    pub const fn new(op: Op, tag: u8, len: u16) -> Self {
        let word = op as u32 | (tag as u32) << 8 | (len as u32 & LEN_MASK) << LEN_SHIFT;
        Self(word)
    }

    /// The header these four bytes spell.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HEADER_LEN]) -> Self {
        Self(u32::from_le_bytes(bytes))
    }

    /// The four bytes on the wire.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        self.0.to_le_bytes()
    }

    /// The header of this word.
    #[inline]
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }

    /// The header as a word.
    #[inline]
    #[must_use]
    pub const fn word(self) -> u32 {
        self.0
    }

    /// The kind byte: S, G and O bits above a five-bit operation.
    #[inline]
    #[must_use]
    pub const fn kind(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// The tag byte; its meaning depends on the kind.
    #[inline]
    #[must_use]
    pub const fn tag(self) -> u8 {
        self.0.to_le_bytes()[1]
    }

    /// Body bytes behind the header, at most [`MAX_BODY`](super::MAX_BODY).
    #[inline]
    #[must_use]
    pub const fn body_len(self) -> u16 {
        (self.0 >> LEN_SHIFT & LEN_MASK) as u16
    }

    /// Bytes of the whole frame: what ring, credit, acknowledgement and codec all count.
    #[inline]
    #[must_use]
    pub const fn frame_size(self) -> usize {
        HEADER_LEN + self.body_len() as usize
    }

    /// Whether the message continues in a later frame.
    #[inline]
    #[must_use]
    pub const fn more(self) -> bool {
        self.0 & MORE != 0
    }

    /// The lane bit, which version 1 refuses.
    #[inline]
    #[must_use]
    pub const fn lane(self) -> bool {
        self.0 & LANE != 0
    }

    /// The same header with `len` body bytes; `len` is cut to its 14 bits.
    #[inline]
    pub(super) const fn with_body_len(self, len: u16) -> Self {
        Self(self.0 & !(LEN_MASK << LEN_SHIFT) | (len as u32 & LEN_MASK) << LEN_SHIFT)
    }

    /// Whether the header is of this kind, with MORE and LANE clear.
    #[inline]
    pub(super) const fn is_whole(self, op: Op) -> bool {
        self.0 & (MORE | LANE | 0xFF) == op as u32
    }

    /// The same header with the MORE bit as told.
    #[inline]
    #[must_use]
    pub const fn with_more(self, more: bool) -> Self {
        if more {
            Self(self.0 | MORE)
        } else {
            Self(self.0 & !MORE)
        }
    }

    /// Whether the frame counts in the position of its direction, known or not.
    #[inline]
    #[must_use]
    pub const fn is_sequenced(self) -> bool {
        self.0 & S != 0
    }

    /// Whether a receiver that does not know the kind skips the frame.
    #[inline]
    #[must_use]
    pub const fn is_ignorable(self) -> bool {
        self.0 & G != 0
    }

    /// The kind, if version 1 assigns or reserves it.
    #[inline]
    #[must_use]
    pub const fn op(self) -> Option<Op> {
        Some(match self.kind() {
            0x01 => Op::Hello,
            0x02 => Op::Welcome,
            0x03 => Op::Auth,
            0x08 => Op::Ack,
            0x09 => Op::Ping,
            0x0A => Op::Pong,
            0x0B => Op::Grant,
            0x0C => Op::Drain,
            0x0D => Op::Close,
            0x10 => Op::Note,
            0x41 => Op::Info,
            0x5E => Op::Grease,
            0x80 => Op::Message,
            0x81 => Op::Request,
            0x82 => Op::Response,
            0x83 => Op::Item,
            0x84 => Op::Cancel,
            0x85 => Op::Fin,
            0x86 => Op::Token,
            0x87 => Op::RequestStream,
            0x8F => Op::Continue,
            0xC0 => Op::Skip,
            _ => return None,
        })
    }

    /// Whether the header is legal and nothing about it is rare: the one test on the fast path.
    #[inline]
    pub(super) const fn is_plain(self, max_body: u16) -> bool {
        self.0 & (MORE | LANE) == 0 && self.is_known_or_ignorable() && self.body_len() <= max_body
    }

    /// Refuses what the header alone condemns: the kind first, then lane, MORE and length.
    #[cold]
    pub(super) const fn check(self, max_body: u16) -> Result<(), CloseCode> {
        let op = self.kind() & OP_MASK;
        if self.kind() == 0 || op == OP_ILLEGAL {
            return Err(CloseCode::BAD_FRAME);
        }
        if !self.is_known_or_ignorable() {
            return Err(CloseCode::UNKNOWN_CRITICAL);
        }
        if self.lane() {
            return Err(CloseCode::BAD_LANE);
        }
        if self.more() && !self.may_continue() {
            return Err(CloseCode::BAD_FRAME);
        }
        if self.body_len() > max_body {
            return Err(CloseCode::TOO_LARGE);
        }
        Ok(())
    }

    /// Whether version 1 processes or skips frames of this kind.
    const fn is_known_or_ignorable(self) -> bool {
        let legal = match self.kind() >> 5 {
            0b000 => CONTROL_OPS,
            0b100 => SEQUENCED_OPS,
            0b010 | 0b110 => IGNORABLE_OPS,
            // The options bit is reserved.
            _ => 0,
        };
        legal >> (self.kind() & OP_MASK) & 1 == 1
    }

    const fn may_continue(self) -> bool {
        matches!(
            self.op(),
            Some(Op::Message | Op::Request | Op::Response | Op::Continue)
        )
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Header({:#04x}, tag {:#04x}, {} B",
            self.kind(),
            self.tag(),
            self.body_len()
        )?;
        f.write_str(if self.more() { ", more" } else { "" })?;
        f.write_str(if self.lane() { ", lane 1)" } else { ")" })
    }
}
