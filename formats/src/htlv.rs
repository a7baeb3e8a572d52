//! HTLV with a checksum: what zinx speaks to industrial devices.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 1 | head, the same in all packets of a device; `a2` unless configured |
//! | 1 | 1 | function: what a packet is routed by |
//! | 2 | 1 | length of the data |
//! | 3 | length | data |
//! | 3 + length | 2 | CRC-16/MODBUS of everything before, low byte first |
//!
//! A packet whose checksum is wrong ends the connection, or is passed over
//! ([`HtlvConfig::skip_damaged`], as in the original). Nothing longer than 260 bytes exists.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::Format;
use crate::bytes::field;
use crate::error::FormatError;
use crate::packet::{Extra, Key, Kind, Packet, Step};

const HEAD: usize = 3;
const SUM: usize = 2;
const DATA_MAX: usize = 255;

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtlvConfig {
    /// The first byte of packets that say nothing of it.
    pub head: u8,
    /// Whether a packet that begins with another byte is an error.
    pub check_head: bool,
    /// Whether a packet with a wrong checksum is passed over instead of ending the connection.
    pub skip_damaged: bool,
}

impl HtlvConfig {
    /// Head `a2`, any other accepted, the connection ends at a wrong checksum.
    pub const DEFAULT: Self = Self { head: 0xA2, check_head: false, skip_damaged: false };
}

/// Packets with a checksum. Without state.
#[derive(Debug, Clone)]
pub struct Htlv {
    config: HtlvConfig,
}

impl Htlv {
    /// As configured; every configuration is possible.
    #[must_use]
    pub const fn new(config: HtlvConfig) -> Self {
        Self { config }
    }
}

impl Default for Htlv {
    fn default() -> Self {
        Self::new(HtlvConfig::DEFAULT)
    }
}

impl Format for Htlv {
    fn decode<'b>(&mut self, input: &'b [u8]) -> Result<Step<'b>, FormatError> {
        if self.config.check_head && input.first().is_some_and(|head| *head != self.config.head) {
            return Err(FormatError::BadMagic);
        }
        let Some([head, function, length]) = field(input, 0) else {
            return Ok(Step::Need(HEAD));
        };
        let end = HEAD + usize::from(length);
        let taken = end + SUM;
        let (Some(covered), Some(sum)) = (input.get(..end), field(input, end)) else {
            return Ok(Step::Need(taken));
        };
        let (found, right) = (u16::from_le_bytes(sum), crc16(covered));
        if found != right {
            let error = FormatError::BadSum { found, right };
            return if self.config.skip_damaged {
                Ok(Step::Bad { error, taken })
            } else {
                Err(error)
            };
        }
        let data = covered.get(HEAD..).unwrap_or_default();
        let packet = Packet::one_way(function.into(), data);
        Ok(Step::Packet { packet: Packet { extra: Extra::Htlv { head }, ..packet }, taken })
    }

    fn encode(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) -> Result<(), FormatError> {
        if packet.kind != Kind::OneWay || packet.correlation.is_some() {
            return Err(FormatError::Unrepresentable("a kind of packet, or a correlation"));
        }
        let function = match packet.key {
            Key::Id(id) => u8::try_from(id).ok(),
            Key::None | Key::Name(_) => None,
        };
        let Some(function) = function else {
            return Err(FormatError::Unrepresentable("a function that is not 0 to 255"));
        };
        let head = match packet.extra {
            Extra::Htlv { head } => head,
            Extra::None => self.config.head,
            Extra::Raw { .. } | Extra::MsgTrans { .. } | Extra::RocketMq(_) => {
                return Err(FormatError::Unrepresentable("what another format has"));
            }
        };
        if self.config.check_head && head != self.config.head {
            return Err(FormatError::Unrepresentable("another head than the configured one"));
        }
        let Ok(length) = u8::try_from(packet.payload.len()) else {
            let length = packet.payload.len();
            return Err(FormatError::TooLongToSend { length, limit: DATA_MAX });
        };
        let start = out.len();
        out.extend_from_slice(&[head, function, length]);
        out.extend_from_slice(&packet.payload);
        let sum = crc16(out.get(start..).unwrap_or_default());
        out.extend_from_slice(&sum.to_le_bytes());
        Ok(())
    }

    fn reply<'b>(&self, to: &Packet<'_>, payload: Cow<'b, [u8]>) -> Packet<'b> {
        let extra = match to.extra {
            Extra::Htlv { head } => Extra::Htlv { head },
            Extra::None | Extra::Raw { .. } | Extra::MsgTrans { .. } | Extra::RocketMq(_) => {
                Extra::None
            }
        };
        let key = match to.key {
            Key::Id(id) => Key::Id(id),
            Key::None | Key::Name(_) => Key::None,
        };
        Packet { kind: Kind::OneWay, key, correlation: None, payload, extra }
    }

    fn max_input(&self) -> usize {
        HEAD + DATA_MAX + SUM
    }
}

/// CRC-16/MODBUS: polynomial 8005, both reflected, from ffff.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |crc: u16, byte| {
        let [low, high] = (crc ^ u16::from(*byte)).to_le_bytes();
        let step = TABLE.get(usize::from(low)).copied().unwrap_or_default();
        u16::from(high) ^ step
    })
}

const TABLE: [u16; 256] = table();

#[expect(clippy::indexing_slicing, reason = "at compile time, and within the table")]
const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u16;
    while byte < 256 {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xA001 } else { crc >> 1 };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
}
