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

/// The tag of a CONT that carries data.
pub(super) const CONTINUE_DATA: u8 = 0;
/// The tag of a CONT that gives the open message up.
pub(super) const CONTINUE_ABORT: u8 = 1;

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
const SEQUENCED_OPS: u32 =
    ops([Op::Message, Op::Request, Op::Response, Op::Cancel, Op::Fin, Op::Token, Op::Continue]);
const TRACING_OPS: u32 = ops([Op::Request, Op::Response, Op::Continue, Op::Fin]);
const IGNORABLE_OPS: u32 = !(1 << OP_ILLEGAL);

/// The frame kinds of version 1, reserved ones included.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    //= FRM-2
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
    pub(crate) const fn is_whole(self, op: Op) -> bool {
        self.0 & (MORE | LANE | 0xFF) == op as u32
    }

    /// The same header with the MORE bit as told.
    #[inline]
    #[must_use]
    pub const fn with_more(self, more: bool) -> Self {
        if more { Self(self.0 | MORE) } else { Self(self.0 & !MORE) }
    }

    /// Whether the frame counts in the position of its direction, known or not.
    #[inline]
    #[must_use]
    //= FRM-3
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
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
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
    pub(crate) const fn check(self, max_body: u16) -> Result<(), CloseCode> {
        //= FRM-11, FRM-5
        let op = self.kind() & OP_MASK;
        if self.kind() == 0 || op == OP_ILLEGAL {
            return Err(CloseCode::BAD_FRAME);
        }
        //= FRM-6
        if !self.is_known_or_ignorable() {
            return Err(CloseCode::UNKNOWN_CRITICAL);
        }
        //= FRM-8
        if self.lane() {
            return Err(CloseCode::BAD_LANE);
        }
        //= FRM-9
        if self.more() && !self.may_continue() {
            return Err(CloseCode::BAD_FRAME);
        }
        //= FRM-10
        if self.body_len() > max_body {
            return Err(CloseCode::TOO_LARGE);
        }
        Ok(())
    }

    /// Refuses a tag other than zero, where it says nothing.
    pub(crate) const fn check_tag(self) -> Result<(), CloseCode> {
        //= FRM-13
        if self.tag() == 0 { Ok(()) } else { Err(CloseCode::BAD_FRAME) }
    }

    /// Reads a body of so many words behind a tag that says nothing.
    pub(crate) fn fields<const N: usize>(self, body: &[u8]) -> Result<[u32; N], CloseCode> {
        self.check_tag()?;
        //= FRM-12
        match body.as_chunks() {
            (words, []) if words.len() == N => {
                let mut fields = [0; N];
                for (field, word) in fields.iter_mut().zip(words) {
                    *field = u32::from_le_bytes(*word);
                }
                Ok(fields)
            }
            _ => Err(CloseCode::BAD_FRAME),
        }
    }

    /// Whether a CONT gives the open message up, and does not carry the next part of it.
    pub(crate) const fn is_abort(self, body: &[u8]) -> Result<bool, CloseCode> {
        //= FRG-8
        match (self.tag(), body, self.more()) {
            (CONTINUE_DATA, [_, ..], _) => Ok(false),
            (CONTINUE_ABORT, [], false) => Ok(true),
            _ => Err(CloseCode::BAD_FRAME),
        }
    }

    /// Whether a sequenced frame changes what is open or ended, so that it cannot be taken twice.
    pub(crate) const fn leaves_traces(self) -> bool {
        self.more() || !self.is_ignorable() && TRACING_OPS >> (self.kind() & OP_MASK) & 1 == 1
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
        matches!(self.op(), Some(Op::Message | Op::Request | Op::Response | Op::Continue))
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Header({:#04x}, tag {:#04x}, {} B", self.kind(), self.tag(), self.body_len())?;
        f.write_str(if self.more() { ", more" } else { "" })?;
        f.write_str(if self.lane() { ", lane 1)" } else { ")" })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;

    use super::*;

    //= test FRM-1
    #[test]
    fn a_header_is_one_little_endian_word() {
        let header = Header::new(Op::Message, 7, 16);
        assert_eq!(header.to_bytes(), [0x80, 0x07, 0x10, 0x00]);
        assert_eq!(header.word(), 0x0010_0780);
        assert_eq!(Header::from_bytes(header.to_bytes()), header);
        assert_eq!(header.with_more(true).to_bytes(), [0x80, 0x07, 0x10, 0x40]);
        assert_eq!(header.with_more(true).with_more(false), header);
        assert_eq!(Header::new(Op::Message, 7, u16::MAX).word(), 0x3FFF_0780);
        assert_eq!(header.with_body_len(u16::MAX).word(), 0x3FFF_0780);
    }

    //= test FRM-2, FRM-3
    #[test]
    fn fields_do_not_leak_into_each_other() {
        for bit in 0..32 {
            let header = Header::from_word(1 << bit);
            assert_eq!(header.kind() != 0, bit < 8);
            assert_eq!(header.tag() != 0, (8..16).contains(&bit));
            assert_eq!(header.body_len() != 0, (16..30).contains(&bit));
            assert_eq!(header.frame_size() > HEADER_LEN, (16..30).contains(&bit));
            assert_eq!(header.more(), bit == 30);
            assert_eq!(header.lane(), bit == 31);
            assert_eq!(header.is_sequenced(), bit == 7);
            assert_eq!(header.is_ignorable(), bit == 6);
            assert_eq!(Header::from_bytes(header.to_bytes()).word(), 1 << bit);
        }
    }

    #[test]
    fn the_kind_of_an_operation_is_its_number() {
        let mut known = 0;
        for kind in 0..=0xFF {
            if let Some(op) = Header::from_word(kind).op() {
                assert_eq!(op as u32, kind);
                assert_eq!(Header::new(op, 0, 0).op(), Some(op));
                known += 1;
            }
        }
        assert_eq!(known, 22);
    }

    #[test]
    fn a_header_is_shown_with_its_fields() {
        let shown = format!("{:?}", Header::new(Op::Request, 9, 6).with_more(true));
        assert_eq!(shown, "Header(0x81, tag 0x09, 6 B, more)");
        assert_eq!(format!("{:?}", Header(1 << 31)), "Header(0x00, tag 0x00, 0 B, lane 1)");
    }
}
