//! Packets without any framing of their own: all of one size, or bytes as they come.
//!
//! | format | a packet is |
//! |---|---|
//! | [`Fixed`] | each `size` bytes |
//! | [`Raw`] | whatever one read gave, up to `max` bytes |
//!
//! [`Raw`] is the default parser of vision-system's server, which has no framing: where one packet
//! ends and the next begins depends on the network, and only the bytes in their order mean
//! anything.

use alloc::vec::Vec;

use crate::error::{ConfigError, FormatError, limit};
use crate::packet::{End, Packet, Step};
use crate::{Format, need_plain};

/// Packets of one size. Without state.
#[derive(Debug, Clone)]
pub struct Fixed {
    size: usize,
}

impl Fixed {
    /// Packets of `size` bytes.
    ///
    /// # Errors
    ///
    /// A size of zero or beyond [`LIMIT_MAX`](crate::LIMIT_MAX).
    pub fn new(size: usize) -> Result<Self, ConfigError> {
        Ok(Self { size: limit("size", size)? })
    }
}

impl Format for Fixed {
    #[inline]
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        Ok(match input.get(..self.size) {
            Some(body) => Step::Packet { packet: Packet::plain(body), taken: self.size },
            None => Step::Need(self.size),
        })
    }

    #[inline]
    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        need_plain(packet)?;
        if packet.payload.len() > self.size {
            let length = packet.payload.len();
            return Err(FormatError::TooLongToSend { length, limit: self.size });
        }
        if packet.payload.len() < self.size {
            return Err(FormatError::Unrepresentable("a packet shorter than all others"));
        }
        out.extend_from_slice(&packet.payload);
        Ok(())
    }

    fn max_input(&self) -> usize {
        self.size
    }
}

/// Bytes as they come. Without state.
#[derive(Debug, Clone)]
pub struct Raw {
    max: usize,
}

impl Raw {
    /// The most bytes of one packet by default: 4096, what the original reads at once.
    pub const MAX: usize = 4096;

    /// At most `max` bytes at once.
    ///
    /// # Errors
    ///
    /// A limit of zero or beyond [`LIMIT_MAX`](crate::LIMIT_MAX).
    pub fn new(max: usize) -> Result<Self, ConfigError> {
        Ok(Self { max: limit("max", max)? })
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self { max: Self::MAX }
    }
}

impl Format for Raw {
    #[inline]
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let body = input.get(..self.max).unwrap_or(input);
        if body.is_empty() {
            return Ok(Step::Need(1));
        }
        Ok(Step::Packet { packet: Packet::plain(body), taken: body.len() })
    }

    /// What is left is the last packet; [`Raw::decode`](Format::decode) leaves nothing.
    fn end<'b>(&mut self, rest: &'b [u8]) -> Result<End<'b>, FormatError> {
        Ok(if rest.is_empty() { End::Clean } else { End::Packet(Packet::plain(rest)) })
    }

    /// Any length; an empty packet is no bytes at all.
    #[inline]
    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        need_plain(packet)?;
        out.extend_from_slice(&packet.payload);
        Ok(())
    }

    fn max_input(&self) -> usize {
        self.max
    }
}
