//! Packets that end with certain bytes: lines, and industrial framings with an end mark.
//!
//! | field | size |
//! |---|---|
//! | payload, without the delimiter in it | up to `max`, 64 KiB unless configured |
//! | delimiter | 1 to 16 bytes, a newline unless configured |
//!
//! With `strip_cr` a carriage return before the delimiter is not part of the payload, so that both
//! kinds of lines can be read (vision-system's `TextParser`, Telnet, SMTP). The delimiter is looked
//! for once in each byte, however the bytes come.

use alloc::boxed::Box;
use alloc::vec::Vec;

use memchr::{memchr, memmem};

use crate::bytes::append;
use crate::error::{ConfigError, FormatError, limit};
use crate::lines::{Line, Lines, Overlong};
use crate::packet::{End, Packet, Step};
use crate::{Format, need_plain};

const WIDTH_MAX: usize = 16;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelimiterConfig {
    /// What ends a packet: 1 to 16 bytes.
    pub delimiter: Vec<u8>,
    /// The longest payload in bytes, a carriage return included.
    pub max: usize,
    /// Whether a carriage return before the delimiter is dropped.
    pub strip_cr: bool,
    /// What happens to a payload that is longer.
    pub overlong: Overlong,
    /// Whether the end of the stream ends a packet as well; otherwise what came is truncated.
    pub last: bool,
}

impl Default for DelimiterConfig {
    /// Lines of up to 64 KiB, with or without carriage return.
    fn default() -> Self {
        Self {
            delimiter: b"\n".to_vec(),
            max: 1 << 16,
            strip_cr: true,
            overlong: Overlong::Close,
            last: false,
        }
    }
}

/// Packets that end with a delimiter. It remembers how far it has looked.
#[derive(Debug, Clone)]
pub struct Delimiter {
    config: DelimiterConfig,
    needle: Needle,
    lines: Lines,
}

#[derive(Debug, Clone)]
enum Needle {
    One(u8),
    Many(Box<memmem::Finder<'static>>),
}

impl Needle {
    #[inline]
    fn find(&self, input: &[u8]) -> Option<usize> {
        match self {
            Self::One(byte) => memchr(*byte, input),
            Self::Many(finder) => finder.find(input),
        }
    }
}

impl Delimiter {
    /// As configured.
    ///
    /// # Errors
    ///
    /// A delimiter of no or more than 16 bytes, a limit of zero or beyond
    /// [`LIMIT_MAX`](crate::LIMIT_MAX).
    pub fn new(config: DelimiterConfig) -> Result<Self, ConfigError> {
        limit("max", config.max)?;
        let needle = match *config.delimiter.as_slice() {
            [byte] => Needle::One(byte),
            ref many if !many.is_empty() && many.len() <= WIDTH_MAX => {
                Needle::Many(Box::new(memmem::Finder::new(many).into_owned()))
            }
            _ => return Err(ConfigError::bad("delimiter", "1 to 16 bytes")),
        };
        Ok(Self { config, needle, lines: Lines::default() })
    }

    fn payload<'b>(&self, line: &'b [u8]) -> Packet<'b> {
        let stripped = line.strip_suffix(b"\r").filter(|_| self.config.strip_cr);
        Packet::plain(stripped.unwrap_or(line))
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        let config = DelimiterConfig::default();
        Self { config, needle: Needle::One(b'\n'), lines: Lines::default() }
    }
}

impl Format for Delimiter {
    #[inline]
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let Self { config, needle, lines } = self;
        let (width, max) = (config.delimiter.len(), config.max);
        let line = lines.next(input, width, max, config.overlong, |bytes| needle.find(bytes))?;
        Ok(match line {
            Line::Need(need) => Step::Need(need),
            Line::Whole { length, taken } => {
                let line = input.get(..length).unwrap_or_default();
                Step::Packet { packet: self.payload(line), taken }
            }
            Line::Overlong { error, taken } => Step::Bad { error, taken },
            Line::Rest(taken) => Step::Skip(taken),
        })
    }

    fn end<'b>(&mut self, rest: &'b [u8]) -> Result<End<'b>, FormatError> {
        let truncated = End::Truncated { have: rest.len(), need: rest.len() + 1 };
        if self.lines.is_skipping() {
            return Ok(truncated);
        }
        if rest.is_empty() {
            return Ok(End::Clean);
        }
        match self.decode(rest)? {
            Step::Need(_) if !self.config.last => Ok(truncated),
            Step::Need(_) if rest.len() > self.config.max => {
                Err(FormatError::NoDelimiter { limit: self.config.max })
            }
            Step::Need(_) => Ok(End::Packet(self.payload(rest))),
            Step::Packet { .. } | Step::Skip(_) | Step::Bad { .. } => Err(FormatError::Undecoded),
        }
    }

    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        need_plain(packet)?;
        let (payload, limit) = (&packet.payload, self.config.max);
        if payload.len() > limit {
            return Err(FormatError::TooLongToSend { length: payload.len(), limit });
        }
        if self.config.strip_cr && payload.ends_with(b"\r") {
            return Err(FormatError::Unrepresentable("a carriage return at the end"));
        }
        append(out, |out| {
            let start = out.len();
            out.extend_from_slice(payload);
            out.extend_from_slice(&self.config.delimiter);
            // A delimiter may also begin in the payload and end in the delimiter.
            let first = self.needle.find(out.get(start..).unwrap_or_default());
            if first == Some(payload.len()) {
                Ok(())
            } else {
                Err(FormatError::Unrepresentable("a payload that holds the delimiter"))
            }
        })
    }

    fn max_input(&self) -> usize {
        self.config.max + self.config.delimiter.len()
    }
}
