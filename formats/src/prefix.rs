//! A big-endian length before each packet: the transport of pyrocketmq.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | length of the body, unsigned, big-endian; 1 MiB at most unless configured |
//! | 4 | length | body |
//!
//! The original is not symmetric: what it receives has the prefix, what it sends goes out as the
//! caller made it, with the limit applied to prefix and body together, so that it sends at most
//! 1048572 bytes and receives 1048576. Here both directions have the prefix and the same limit. In
//! the original an empty body cannot be told from the end of the stream; here it is a packet.

use alloc::vec::Vec;

use crate::bytes::{announce, field, length};
use crate::error::{ConfigError, FormatError, limit};
use crate::packet::{Packet, Step};
use crate::{Format, need_plain};

const HEAD: usize = 4;

/// Packets behind a length of four bytes. Without state.
#[derive(Debug, Clone)]
pub struct LengthPrefix {
    max: usize,
}

impl LengthPrefix {
    /// The longest body by default: 1 MiB.
    pub const MAX: usize = 1 << 20;

    /// Bodies of up to `max` bytes, in both directions.
    ///
    /// # Errors
    ///
    /// A limit of zero or beyond [`LIMIT_MAX`](crate::LIMIT_MAX).
    pub fn new(max: usize) -> Result<Self, ConfigError> {
        Ok(Self { max: limit("max", max)? })
    }
}

impl Default for LengthPrefix {
    fn default() -> Self {
        Self { max: Self::MAX }
    }
}

impl Format for LengthPrefix {
    #[inline]
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let Some(announced) = field(input, 0) else {
            return Ok(Step::Need(HEAD));
        };
        let taken = HEAD + length(u32::from_be_bytes(announced), self.max)?;
        Ok(match input.get(HEAD..taken) {
            Some(body) => Step::Packet { packet: Packet::plain(body), taken },
            None => Step::Need(taken),
        })
    }

    #[inline]
    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        need_plain(packet)?;
        let announced = announce(packet.payload.len(), self.max)?;
        out.extend_from_slice(&announced.to_be_bytes());
        out.extend_from_slice(&packet.payload);
        Ok(())
    }

    fn max_input(&self) -> usize {
        HEAD + self.max
    }
}
