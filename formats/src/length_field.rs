//! Packets with a length somewhere in their header, as devices and home-made protocols have them.
//!
//! | bytes | what they are |
//! |---|---|
//! | `0 .. offset` | anything; begins with `magic`, if there is one |
//! | `offset .. offset + width` | the length, `width` is 1, 2, 3, 4 or 8 |
//! | behind | `length + adjustment` bytes |
//!
//! The names and their meaning are those of netty's `LengthFieldBasedFrameDecoder` and of
//! tokio-util. A packet has `offset + width + length + adjustment` bytes, of which the first
//! `strip` are left out of its payload. On encoding they are written again: the magic, the length,
//! zeros or [`LengthFieldConfig::head`] elsewhere. What is not stripped belongs to the payload in
//! both directions, a length field included, which must then be right.
//!
//! With [`LengthFieldConfig::resync`] bytes that are no magic are passed over up to the next one:
//! for lines that lose or garble bytes. A magic with an impossible length behind it is
//! dirt as well.

use alloc::vec::Vec;

use memchr::memmem;

use crate::bytes::append;
use crate::error::{ConfigError, FormatError, limit};
use crate::packet::{Packet, Step};
use crate::{Format, need_plain};

const OFFSET_MAX: usize = 64;

/// The order of the bytes of a number.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Endian {
    /// The highest first.
    #[default]
    Big,
    /// The lowest first.
    Little,
}

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LengthFieldConfig {
    /// Where the length begins, up to 64.
    pub offset: usize,
    /// Its size in bytes: 1, 2, 3, 4 or 8.
    pub width: usize,
    /// The order of its bytes.
    pub endian: Endian,
    /// How many bytes follow beyond what the length says; negative if it counts the header.
    pub adjustment: i64,
    /// How many bytes are left out of the payload, up to 128; not an end within the length.
    pub strip: usize,
    /// The longest packet in bytes, with its header.
    pub max: usize,
    /// What every packet begins with; not longer than `offset`.
    pub magic: Vec<u8>,
    /// What is written for the stripped bytes, up to `strip` bytes. Magic and length are put in.
    pub head: Vec<u8>,
    /// Whether bytes that are no magic, or one with an impossible length, are passed over instead
    /// of ending the connection.
    pub resync: bool,
}

impl Default for LengthFieldConfig {
    /// Four bytes, big-endian, that count what follows them; packets of up to 1 MiB.
    fn default() -> Self {
        Self {
            offset: 0,
            width: 4,
            endian: Endian::Big,
            adjustment: 0,
            strip: 4,
            max: 1 << 20,
            magic: Vec::new(),
            head: Vec::new(),
            resync: false,
        }
    }
}

impl LengthFieldConfig {
    /// Says what is not possible.
    ///
    /// # Errors
    ///
    /// The field, and what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let header = self.offset.saturating_add(self.width);
        let rules = [
            (self.offset <= OFFSET_MAX, "offset", "at most 64"),
            (matches!(self.width, 1 | 2 | 3 | 4 | 8), "width", "1, 2, 3, 4 or 8"),
            (self.max >= header, "max", "at least the header's size"),
            (self.adjustment.unsigned_abs() <= 1 << 30, "adjustment", "within 2^30 of zero"),
            (self.strip <= 2 * OFFSET_MAX, "strip", "at most 128"),
            (self.strip <= self.max, "strip", "at most the longest packet"),
            (
                self.strip <= self.offset || self.strip >= header,
                "strip",
                "before or behind the length, not within",
            ),
            (self.magic.len() <= self.offset, "magic", "at most `offset` bytes"),
            (
                self.strip == 0 || self.strip >= self.magic.len(),
                "strip",
                "none or all of the magic",
            ),
            (self.head.len() <= self.strip, "head", "at most `strip` bytes"),
            (!self.resync || !self.magic.is_empty(), "magic", "given for `resync`"),
        ];
        limit("max", self.max)?;
        match rules.iter().find(|(holds, ..)| !holds) {
            Some(&(_, option, must)) => Err(ConfigError::bad(option, must)),
            None => Ok(()),
        }
    }
}

/// Packets with a length in their header.
#[derive(Debug, Clone)]
pub struct LengthField {
    config: LengthFieldConfig,
    /// The stripped bytes, as they are written before the length is put in.
    template: Vec<u8>,
}

impl LengthField {
    /// As configured.
    ///
    /// # Errors
    ///
    /// As [`LengthFieldConfig::validate`].
    pub fn new(config: LengthFieldConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self::of(config))
    }

    fn of(config: LengthFieldConfig) -> Self {
        let mut template = Vec::new();
        if config.strip > 0 {
            template.extend_from_slice(&config.magic);
            template.extend_from_slice(config.head.get(config.magic.len()..).unwrap_or_default());
            template.resize(config.strip, 0);
        }
        Self { config, template }
    }

    /// Where the length ends.
    const fn header(&self) -> usize {
        self.config.offset + self.config.width
    }

    /// The number in the length field.
    #[inline]
    fn announced(&self, packet: &[u8]) -> Option<u64> {
        let field = packet.get(self.config.offset..self.header())?;
        let shift = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match self.config.endian {
            Endian::Big => field.iter().fold(0, shift),
            Endian::Little => field.iter().rev().fold(0, shift),
        })
    }

    /// How long a packet is that announces this.
    #[inline]
    fn whole(&self, announced: u64) -> Result<usize, FormatError> {
        let limit = self.config.max;
        let too_long = FormatError::TooLong { length: announced, limit };
        let header = self.config.adjustment + i64::try_from(self.header()).unwrap_or(i64::MAX);
        let whole = i64::try_from(announced).ok().and_then(|length| length.checked_add(header));
        let whole = whole.ok_or(too_long)?;
        let Ok(whole) = u64::try_from(whole) else {
            return Err(FormatError::BadLength { length: announced });
        };
        match usize::try_from(whole) {
            Ok(whole) if whole < self.header().max(self.config.strip) => {
                Err(FormatError::BadLength { length: announced })
            }
            Ok(whole) if whole <= limit => Ok(whole),
            Ok(_) | Err(_) => Err(too_long),
        }
    }

    /// What to do about a beginning that is not the magic's.
    #[cold]
    fn dirt<'b>(&self, input: &[u8]) -> Result<Step<'b>, FormatError> {
        if !self.config.resync {
            return Err(FormatError::BadMagic);
        }
        let magic = self.config.magic.as_slice();
        let behind = input.get(1..).unwrap_or_default();
        let next = memmem::find(behind, magic).unwrap_or_else(|| {
            // It may begin in the last bytes.
            let first = (behind.len() + 1).saturating_sub(magic.len());
            let begins = |at: &usize| behind.get(*at..).is_some_and(|tail| magic.starts_with(tail));
            (first..behind.len()).find(begins).unwrap_or(behind.len())
        });
        Ok(Step::Skip(1 + next))
    }

    /// Puts the length in, or looks whether the payload's is right.
    fn set_length(&self, packet: &mut [u8]) -> Result<(), FormatError> {
        let wrong = FormatError::Unrepresentable("a payload with another length within");
        let short = FormatError::Unrepresentable("a payload without its header");
        if self.config.strip <= self.config.offset {
            let announced = self.announced(packet).ok_or(short)?;
            let right = self.whole(announced).ok() == Some(packet.len());
            return if right { Ok(()) } else { Err(wrong) };
        }
        let behind = i64::try_from(packet.len() - self.header()).unwrap_or(i64::MAX);
        let length = u64::try_from(behind - self.config.adjustment).map_err(|_| short)?;
        let bits = 8 * self.config.width;
        if bits < 64 && length >> bits != 0 {
            let limit = usize::try_from((1_u64 << bits) - 1).unwrap_or(usize::MAX);
            return Err(FormatError::TooLongToSend { length: packet.len(), limit });
        }
        let field = packet.get_mut(self.config.offset..self.header()).ok_or(short)?;
        for (place, byte) in field.iter_mut().zip(length.to_le_bytes()) {
            *place = byte;
        }
        if self.config.endian == Endian::Big {
            field.reverse();
        }
        Ok(())
    }
}

impl Default for LengthField {
    fn default() -> Self {
        Self::of(LengthFieldConfig::default())
    }
}

impl Format for LengthField {
    #[inline]
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let magic = self.config.magic.as_slice();
        if !magic.is_empty() && !magic.iter().zip(input).all(|(want, byte)| want == byte) {
            return self.dirt(input);
        }
        let Some(announced) = self.announced(input) else {
            return Ok(Step::Need(self.header()));
        };
        let taken = match self.whole(announced) {
            Ok(taken) => taken,
            // A magic in the middle of dirt has anything for a length behind it.
            Err(error) if self.config.resync => return Ok(Step::Bad { error, taken: magic.len() }),
            Err(error) => return Err(error),
        };
        Ok(match input.get(self.config.strip..taken) {
            Some(payload) => Step::Packet { packet: Packet::plain(payload), taken },
            None => Step::Need(taken),
        })
    }

    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        need_plain(packet)?;
        let config = &self.config;
        let length = config.strip.saturating_add(packet.payload.len());
        if length > config.max {
            return Err(FormatError::TooLongToSend { length, limit: config.max });
        }
        append(out, |out| {
            let start = out.len();
            out.extend_from_slice(&self.template);
            out.extend_from_slice(&packet.payload);
            let written = out.get_mut(start..).unwrap_or_default();
            if !written.starts_with(&self.config.magic) {
                return Err(FormatError::Unrepresentable("a payload without the magic"));
            }
            self.set_length(written)
        })
    }

    fn max_input(&self) -> usize {
        self.config.max
    }
}
