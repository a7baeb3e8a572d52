//! A length and a message id before the data: Paguma ([`Ltv`]) and zinx (both).
//!
//! | offset | size | [`Ltv`], little-endian | [`Tlv`], big-endian |
//! |---|---|---|---|
//! | 0 | 4 | length of the data | message id |
//! | 4 | 4 | message id | length of the data |
//! | 8 | length | data, possibly none | data, possibly none |
//!
//! The length counts the data alone. It is at most 4096 unless configured; the originals take 0 for
//! no limit at all, here there always is one. Paguma's sender does not check that the length it
//! writes is that of the data; here it always is.
//!
//! Message 99999 is zinx's heartbeat, with the text `heartbeat [local->remote]`. It is no message
//! for a handler, unless [`TlvConfig::heartbeat`] is turned off (Paguma has none). The originals
//! have no packet that tells of an error.

use alloc::format;
use alloc::vec::Vec;
use core::marker::PhantomData;

use crate::bytes::{announce, field, length};
use crate::error::{ConfigError, FormatError, limit};
use crate::packet::{Key, Kind, Packet, Step};
use crate::{Beat, Format, need_kind};

const HEAD: usize = 8;

/// Length, then id, both little-endian.
pub type Ltv = Numbered<LittleLengthFirst>;
/// Id, then length, both big-endian.
pub type Tlv = Numbered<BigIdFirst>;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlvConfig {
    /// The longest data in bytes.
    pub max: usize,
    /// The id of heartbeats; without one, every packet is a message.
    pub heartbeat: Option<u32>,
}

impl TlvConfig {
    /// What the originals have.
    pub const DEFAULT: Self = Self { max: 4096, heartbeat: Some(99_999) };
}

/// An order of the two fields.
pub trait Layout: Send + 'static {
    /// Id and length from the first eight bytes.
    fn read(head: [u8; HEAD]) -> (u32, u32);
    /// The first eight bytes.
    fn write(id: u32, length: u32) -> [u8; HEAD];
}

/// Of [`Ltv`].
#[derive(Debug, Clone)]
pub enum LittleLengthFirst {}

/// Of [`Tlv`].
#[derive(Debug, Clone)]
pub enum BigIdFirst {}

impl Layout for LittleLengthFirst {
    #[inline]
    fn read([a, b, c, d, e, f, g, h]: [u8; HEAD]) -> (u32, u32) {
        (u32::from_le_bytes([e, f, g, h]), u32::from_le_bytes([a, b, c, d]))
    }

    #[inline]
    fn write(id: u32, length: u32) -> [u8; HEAD] {
        let ([a, b, c, d], [e, f, g, h]) = (length.to_le_bytes(), id.to_le_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

impl Layout for BigIdFirst {
    #[inline]
    fn read([a, b, c, d, e, f, g, h]: [u8; HEAD]) -> (u32, u32) {
        (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
    }

    #[inline]
    fn write(id: u32, length: u32) -> [u8; HEAD] {
        let ([a, b, c, d], [e, f, g, h]) = (id.to_be_bytes(), length.to_be_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

/// Packets with a length and an id. Without state.
#[derive(Debug, Clone)]
pub struct Numbered<L> {
    config: TlvConfig,
    layout: PhantomData<fn() -> L>,
}

impl<L: Layout> Numbered<L> {
    /// As configured.
    ///
    /// # Errors
    ///
    /// A limit of zero or beyond [`LIMIT_MAX`](crate::LIMIT_MAX).
    pub fn new(config: TlvConfig) -> Result<Self, ConfigError> {
        limit("max", config.max)?;
        Ok(Self { config, layout: PhantomData })
    }

    fn write(&self, id: u32, data: &[u8], out: &mut Vec<u8>) -> Result<(), FormatError> {
        let announced = announce(data.len(), self.config.max)?;
        out.extend_from_slice(&L::write(id, announced));
        out.extend_from_slice(data);
        Ok(())
    }
}

impl<L: Layout> Default for Numbered<L> {
    fn default() -> Self {
        Self { config: TlvConfig::DEFAULT, layout: PhantomData }
    }
}

impl<L: Layout> Format for Numbered<L> {
    #[inline]
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        let Some(head) = field(input, 0) else {
            return Ok(Step::Need(HEAD));
        };
        let (id, announced) = L::read(head);
        let taken = HEAD + length(announced, self.config.max)?;
        let Some(data) = input.get(HEAD..taken) else {
            return Ok(Step::Need(taken));
        };
        let packet = if self.config.heartbeat == Some(id) {
            Packet::heartbeat(Key::Id(id), data)
        } else {
            Packet::one_way(id, data)
        };
        Ok(Step::Packet { packet, taken })
    }

    #[inline]
    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        let Key::Id(id) = packet.key else {
            return Err(FormatError::Unrepresentable("a packet without a message id"));
        };
        if packet.kind == Kind::Heartbeat {
            if self.config.heartbeat != Some(id) {
                return Err(FormatError::Unrepresentable("a heartbeat of this id"));
            }
        } else {
            need_kind(packet)?;
            if self.config.heartbeat == Some(id) {
                return Err(FormatError::Unrepresentable("a message with the heartbeats' id"));
            }
        }
        self.write(id, &packet.payload, out)
    }

    fn max_input(&self) -> usize {
        HEAD + self.config.max
    }

    fn encode_heartbeat(
        &mut self,
        beat: &Beat<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, FormatError> {
        let Some(id) = self.config.heartbeat else {
            return Ok(false);
        };
        let text = format!("heartbeat [{}->{}]", beat.local, beat.remote);
        self.write(id, text.as_bytes(), out)?;
        Ok(true)
    }
}
