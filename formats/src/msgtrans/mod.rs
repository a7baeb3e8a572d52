//! Packets of msgtrans, version 1, back to back on TCP.
//!
//! | offset | size | field, big-endian |
//! |---|---|---|
//! | 0 | 1 | version: 1 |
//! | 1 | 1 | compression of the payload: 0 none, 1 zstd, 2 zlib |
//! | 2 | 1 | type: 0 one-way, 1 request, 2 response |
//! | 3 | 1 | biz type: what a packet is routed by; a response repeats its request's |
//! | 4 | 4 | message id; a response repeats its request's |
//! | 8 | 2 | length of the extension header |
//! | 10 | 4 | length of the payload as it is sent; 16 MiB at most unless configured |
//! | 14 | 2 | flags: 1 fragmented, 2 high priority, 4 route tag, without any behaviour |
//! | 16 | ext | extension header, never compressed |
//! | 16 + ext | payload | payload |
//!
//! Another version, compression or type ends the connection, as does a payload longer than allowed,
//! from the header alone; flags without a meaning do not. There is no greeting, no heartbeat, no
//! error packet. One-way packets without a number of their own are counted from 1.
//!
//! A compressed payload is unpacked up to a limit of its own, and refused beyond it. zstd and zlib
//! are features of the crate; a compression that is not built in, or not allowed by the
//! configuration, ends the connection. `zstd` is ruzstd, which is neither free of `unsafe` nor
//! proven not to panic; `zlib` is miniz_oxide.

mod codec;

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::Format;
use crate::bytes::{append, field, length};
use crate::error::{ConfigError, FormatError, limit};
use crate::packet::{Compression, Extra, Key, Kind, Packet, Step};

const HEAD: usize = 16;
const VERSION: u8 = 1;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MsgTransConfig {
    /// The longest payload on the wire in bytes: 64 bytes to 16 MiB.
    pub max: usize,
    /// The longest extension header in bytes, up to 65535.
    pub max_ext: usize,
    /// The longest payload in bytes once it is unpacked.
    pub max_unpacked: usize,
    /// How payloads are compressed that say nothing of it. The empty one never is.
    pub compression: Compression,
    /// Whether zlib is allowed.
    pub zlib: bool,
    /// Whether zstd is allowed.
    pub zstd: bool,
}

impl MsgTransConfig {
    /// What the original has; what is built in is allowed, nothing is compressed.
    pub const DEFAULT: Self = Self {
        max: 16 << 20,
        max_ext: 65_535,
        max_unpacked: 16 << 20,
        compression: Compression::None,
        zlib: codec::ZLIB,
        zstd: codec::ZSTD,
    };

    const fn allows(&self, compression: Compression) -> bool {
        match compression {
            Compression::None => true,
            Compression::Zstd => self.zstd,
            Compression::Zlib => self.zlib,
        }
    }
}

/// Packets of msgtrans. It counts the one-way packets it writes.
#[derive(Debug, Clone)]
pub struct MsgTrans {
    config: MsgTransConfig,
    next: u32,
}

impl MsgTrans {
    /// As configured.
    ///
    /// # Errors
    ///
    /// A limit out of its range, or a compression that is not built in or not allowed.
    pub fn new(config: MsgTransConfig) -> Result<Self, ConfigError> {
        limit("max_unpacked", config.max_unpacked)?;
        let rules = [
            (64 <= config.max && config.max <= 16 << 20, "max", "64 to 16777216 bytes"),
            (config.max_ext <= 65_535, "max_ext", "at most 65535 bytes"),
            (codec::ZLIB || !config.zlib, "zlib", "off: the crate is built without it"),
            (codec::ZSTD || !config.zstd, "zstd", "off: the crate is built without it"),
            (config.allows(config.compression), "compression", "one that is allowed"),
        ];
        match rules.iter().find(|(holds, ..)| !holds) {
            Some(&(_, option, must)) => Err(ConfigError::bad(option, must)),
            None => Ok(Self { config, next: 1 }),
        }
    }

    fn head(&self, head: [u8; HEAD]) -> Result<Head, FormatError> {
        let [version, compression, kind, biz, rest @ ..] = head;
        let [i0, i1, i2, i3, e0, e1, p0, p1, p2, p3, f0, f1] = rest;
        if version != VERSION {
            return Err(FormatError::BadVersion(version));
        }
        let compression = match compression {
            0 => Compression::None,
            1 => Compression::Zstd,
            2 => Compression::Zlib,
            other => return Err(FormatError::BadCodec(other)),
        };
        if !self.config.allows(compression) {
            return Err(FormatError::NoCodec(compression));
        }
        let kind = match kind {
            0 => Kind::OneWay,
            1 => Kind::Request,
            2 => Kind::Response,
            other => return Err(FormatError::BadType(other)),
        };
        Ok(Head {
            kind,
            compression,
            biz,
            id: u32::from_be_bytes([i0, i1, i2, i3]),
            ext: length(u16::from_be_bytes([e0, e1]).into(), self.config.max_ext)?,
            payload: length(u32::from_be_bytes([p0, p1, p2, p3]), self.config.max)?,
            flags: u16::from_be_bytes([f0, f1]),
        })
    }

    fn payload<'b>(
        &self,
        compression: Compression,
        sent: &'b [u8],
    ) -> Result<Cow<'b, [u8]>, FormatError> {
        match compression {
            Compression::None => Ok(Cow::Borrowed(sent)),
            Compression::Zstd => codec::zstd_unpack(sent, self.config.max_unpacked).map(Cow::Owned),
            Compression::Zlib => codec::zlib_unpack(sent, self.config.max_unpacked).map(Cow::Owned),
        }
    }

    fn pack<'p>(
        &self,
        compression: Compression,
        payload: &'p [u8],
    ) -> Result<Cow<'p, [u8]>, FormatError> {
        let limit = self.config.max_unpacked;
        if compression != Compression::None && payload.len() > limit {
            return Err(FormatError::TooLongToSend { length: payload.len(), limit });
        }
        if !self.config.allows(compression) {
            return Err(FormatError::Unrepresentable("a compression that is not allowed"));
        }
        match compression {
            Compression::None => Ok(Cow::Borrowed(payload)),
            Compression::Zstd => codec::zstd_pack(payload).map(Cow::Owned),
            Compression::Zlib => codec::zlib_pack(payload).map(Cow::Owned),
        }
    }
}

struct Head {
    kind: Kind,
    compression: Compression,
    biz: u8,
    id: u32,
    ext: usize,
    payload: usize,
    flags: u16,
}

impl Default for MsgTrans {
    fn default() -> Self {
        Self { config: MsgTransConfig::DEFAULT, next: 1 }
    }
}

impl Format for MsgTrans {
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let Some(head) = field(input, 0) else {
            return Ok(Step::Need(HEAD));
        };
        let head = self.head(head)?;
        let behind = HEAD + head.ext;
        let taken = behind + head.payload;
        let (Some(ext), Some(sent)) = (input.get(HEAD..behind), input.get(behind..taken)) else {
            return Ok(Step::Need(taken));
        };
        let packet = Packet {
            kind: head.kind,
            key: Key::Id(head.biz.into()),
            correlation: Some(head.id),
            payload: self.payload(head.compression, sent)?,
            extra: Extra::MsgTrans { flags: head.flags, ext, compression: head.compression },
        };
        Ok(Step::Packet { packet, taken })
    }

    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let kind = match packet.kind {
            Kind::OneWay => 0,
            Kind::Request => 1,
            Kind::Response => 2,
            Kind::Heartbeat => return Err(FormatError::Unrepresentable("a heartbeat")),
        };
        let biz = match packet.key {
            Key::Id(id) => u8::try_from(id).ok(),
            Key::None | Key::Name(_) => None,
        };
        let biz = biz.ok_or(FormatError::Unrepresentable("a biz type that is not 0 to 255"))?;
        let (flags, ext, wish) = match packet.extra {
            Extra::MsgTrans { flags, ext, compression } => (flags, ext, compression),
            Extra::None if packet.payload.is_empty() => (0, [].as_slice(), Compression::None),
            Extra::None => (0, [].as_slice(), self.config.compression),
            Extra::Raw { .. } | Extra::Htlv { .. } | Extra::RocketMq(_) => {
                return Err(FormatError::Unrepresentable("what another format has"));
            }
        };
        let payload = self.pack(wish, &packet.payload)?;
        let length = crate::bytes::announce(payload.len(), self.config.max)?;
        let limit = self.config.max_ext;
        let ext_length = u16::try_from(ext.len()).ok().filter(|_| ext.len() <= limit);
        let ext_length =
            ext_length.ok_or(FormatError::TooLongToSend { length: ext.len(), limit })?;
        let id = match packet.correlation {
            Some(id) => id,
            None if packet.kind == Kind::OneWay => {
                let id = self.next;
                self.next = self.next.wrapping_add(1).max(1);
                id
            }
            None => return Err(FormatError::Unrepresentable("a request without an id")),
        };
        let compression = match wish {
            Compression::None => 0,
            Compression::Zstd => 1,
            Compression::Zlib => 2,
        };
        append(out, |out| {
            out.extend_from_slice(&[VERSION, compression, kind, biz]);
            out.extend_from_slice(&id.to_be_bytes());
            out.extend_from_slice(&ext_length.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(&flags.to_be_bytes());
            out.extend_from_slice(ext);
            out.extend_from_slice(&payload);
            Ok(())
        })
    }

    fn max_input(&self) -> usize {
        HEAD + self.config.max_ext + self.config.max
    }
}
