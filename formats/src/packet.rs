//! What the formats have in common: a packet, and what a decoder says of its input.

use alloc::borrow::Cow;

use crate::error::FormatError;
use crate::rocketmq::Command;

/// What a packet is to whoever gets it.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing is promised in return. In a format that knows no kinds, every packet is one.
    OneWay,
    /// One answer is wanted, with the same [correlation](Packet::correlation).
    Request,
    /// The answer to a request.
    Response,
    /// A sign of life; it goes to no handler.
    Heartbeat,
}

/// What a packet is routed by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key<'b> {
    /// The format has none, or leaves it to the payload.
    None,
    /// A number: message id, function, biz type, command code.
    Id(u32),
    /// A name. It borrows from the input, unless escapes had to be resolved.
    Name(Cow<'b, str>),
}

/// How the payload of a msgtrans packet goes over the wire.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As it is.
    None,
    /// zstd.
    Zstd,
    /// zlib.
    Zlib,
}

/// What only one format has.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Extra<'b> {
    /// Nothing; on encoding, what is configured.
    None,
    /// Bytes between packets, after [`Format::expect_raw`](crate::Format::expect_raw); encoded as
    /// they are.
    Raw {
        /// How many more are expected behind these; ignored on encoding.
        left: u64,
    },
    /// The rest of a msgtrans header.
    MsgTrans {
        /// 1 fragmented, 2 high priority, 4 route tag; no system gives them a meaning.
        flags: u16,
        /// The extension header, up to 65535 bytes.
        ext: &'b [u8],
        /// How the payload is, or was, compressed. The payload of a packet never is.
        compression: Compression,
    },
    /// The first byte of an HTLV packet.
    Htlv {
        /// The byte.
        head: u8,
    },
    /// The rest of the header of a RocketMQ command.
    RocketMq(Command<'b>),
}

/// One packet. There is no position, no acknowledgement and no resumption in any of these formats:
/// a packet that was written may or may not have arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Packet<'b> {
    /// What it is.
    pub kind: Kind,
    /// Where it is to go.
    pub key: Key<'b>,
    /// What ties an answer to its request, where the format has it.
    pub correlation: Option<u32>,
    /// The content; borrowed from the input unless it was compressed.
    pub payload: Cow<'b, [u8]>,
    /// What only this format has.
    pub extra: Extra<'b>,
}

impl<'b> Packet<'b> {
    /// A packet of a format without keys and kinds.
    #[must_use]
    pub const fn plain(payload: &'b [u8]) -> Self {
        Self::of(Kind::OneWay, Key::None, None, payload)
    }

    /// A one-way message to a number.
    #[must_use]
    pub const fn one_way(id: u32, payload: &'b [u8]) -> Self {
        Self::of(Kind::OneWay, Key::Id(id), None, payload)
    }

    /// A one-way message to a name.
    #[must_use]
    pub const fn named(name: &'b str, payload: &'b [u8]) -> Self {
        Self::of(Kind::OneWay, Key::Name(Cow::Borrowed(name)), None, payload)
    }

    /// A request to a number.
    #[must_use]
    pub const fn request(id: u32, correlation: u32, payload: &'b [u8]) -> Self {
        Self::of(Kind::Request, Key::Id(id), Some(correlation), payload)
    }

    /// An answer.
    #[must_use]
    pub const fn response(id: u32, correlation: u32, payload: &'b [u8]) -> Self {
        Self::of(Kind::Response, Key::Id(id), Some(correlation), payload)
    }

    /// A sign of life.
    #[must_use]
    pub const fn heartbeat(key: Key<'b>, payload: &'b [u8]) -> Self {
        Self::of(Kind::Heartbeat, key, None, payload)
    }

    const fn of(kind: Kind, key: Key<'b>, correlation: Option<u32>, payload: &'b [u8]) -> Self {
        let payload = Cow::Borrowed(payload);
        Self { kind, key, correlation, payload, extra: Extra::None }
    }
}

/// What the first bytes of the input are.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<'b> {
    /// The beginning of a packet, which cannot be whole before there are this many bytes in all:
    /// more than were given, and never more than [`Format::max_input`](crate::Format::max_input).
    /// That it is none may be known sooner.
    Need(usize),
    /// A packet.
    Packet {
        /// The packet.
        packet: Packet<'b>,
        /// How many bytes it took, at least one.
        taken: usize,
    },
    /// Bytes that are nothing: a blank line, dirt before a packet.
    Skip(
        /// How many, at least one.
        usize,
    ),
    /// Bytes that are no packet but do not cost the connection. What to do about them is the
    /// format's to say: [`Format::encode_failure`](crate::Format::encode_failure).
    Bad {
        /// What is wrong.
        error: FormatError,
        /// How many bytes it took, at least one.
        taken: usize,
    },
}

/// What the end of the stream is.
#[derive(Debug, Clone, PartialEq)]
pub enum End<'b> {
    /// It came between two packets.
    Clean,
    /// It came within a packet, which is lost.
    Truncated {
        /// How much of it is there.
        have: usize,
        /// How much there would have to be at least to go on.
        need: usize,
    },
    /// It was what ended the last packet.
    Packet(
        /// The last packet.
        Packet<'b>,
    ),
}
