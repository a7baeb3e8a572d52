//! The frames of the devices: a length in an odd place, and a checksum.
//!
//! | offset | size | field, big-endian |
//! |---|---|---|
//! | 0 | 2 | `a5 5a` |
//! | 2 | 2 | number of the device |
//! | 4 | 4 | number of the reading, counted from 0 |
//! | 8 | 1 | how many readings right before it were not acknowledged when it was sent |
//! | 9 | 1 | length of the data |
//! | 10 | length | the data; none in an acknowledgement |
//! | behind | 2 | CRC-16/MODBUS of all before it, low byte first |
//!
//! [`LengthField`] finds where frames begin and end, and passes over what is none; the checksum is
//! this module's. An acknowledgement has the number of the last reading that was taken, and says
//! that all before it were as well.

use outlast_service::plain::formats::{ConfigError, LengthField, LengthFieldConfig};

/// What every frame begins with.
pub const MAGIC: [u8; 2] = [0xA5, 0x5A];

const HEAD: usize = 10;
const SUM: usize = 2;

/// One frame.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub struct Frame<'b> {
    /// Whose it is.
    pub device: u16,
    /// Which reading.
    pub number: u32,
    /// How many readings right before it were not acknowledged when it was sent: who sees a device
    /// for the first time knows by that with which reading it begins.
    pub open: u8,
    /// What was read; up to 255 bytes.
    pub data: &'b [u8],
}

/// Where the length of a frame is, and what else a listener has to know.
///
/// # Errors
///
/// None: the values fit each other.
pub fn format() -> Result<LengthField, ConfigError> {
    LengthField::new(LengthFieldConfig {
        offset: HEAD - 1,
        width: 1,
        // The checksum is not counted.
        adjustment: SUM as i64,
        // The checksum is over the header, too.
        strip: 0,
        max: HEAD + 255 + SUM,
        magic: MAGIC.to_vec(),
        resync: true,
        ..LengthFieldConfig::default()
    })
}

impl<'b> Frame<'b> {
    /// Reads a whole frame; none if its checksum is wrong, or it is no frame at all.
    #[must_use]
    pub fn read(bytes: &'b [u8]) -> Option<Self> {
        let (front, sum) = bytes.split_last_chunk::<SUM>()?;
        let (head, data) = front.split_first_chunk::<HEAD>()?;
        let [a, b, d, e, number @ .., open, length] = head;
        let whole = crc16(front).to_le_bytes() == *sum && data.len() == usize::from(*length);
        (whole && [*a, *b] == MAGIC).then(|| Self {
            device: u16::from_be_bytes([*d, *e]),
            number: u32::from_be_bytes(*number),
            open: *open,
            data,
        })
    }

    /// The bytes; what does not fit of the data is left out.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let data = &self.data[..self.data.len().min(255)];
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.device.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.push(self.open);
        bytes.push(u8::try_from(data.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        bytes
    }
}

/// CRC-16/MODBUS.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |sum, byte| {
        (0..8).fold(
            sum ^ u16::from(*byte),
            |sum, _| {
                if sum & 1 == 1 { sum >> 1 ^ 0xA001 } else { sum >> 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outlast_service::plain::formats::{Format, Packet, Step};

    #[test]
    fn frames_are_read_as_they_are_written() {
        assert_eq!(crc16(b"123456789"), 0x4B37, "the check value of the catalogue");
        let frame = Frame { device: 7, number: 0x0102_0304, open: 5, data: b"21.5" };
        let bytes = frame.to_bytes();
        assert_eq!(bytes[..10], *b"\xa5\x5a\0\x07\x01\x02\x03\x04\x05\x04");
        assert_eq!(Frame::read(&bytes), Some(frame));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Frame::read(&damaged), None, "byte {at}");
        }
        assert_eq!(Frame::read(b""), None);
    }

    #[test]
    fn what_is_no_frame_is_passed_over() {
        let mut format = format().unwrap();
        let frame = Frame { device: 1, number: 2, open: 0, data: &[0xA5; 255] }.to_bytes();
        let input = [b"noise \xa5 noise".as_slice(), &frame].concat();
        let (mut at, mut found) = (0, Vec::new());
        while at < input.len() {
            match format.decode(&input[at..]).unwrap() {
                Step::Packet { packet, taken } => {
                    found.push(packet.payload.into_owned());
                    at += taken;
                }
                Step::Skip(taken) | Step::Bad { taken, .. } => at += taken,
                Step::Need(_) => panic!("it is whole"),
            }
        }
        assert_eq!(found, [&frame[..]]);
        let mut out = Vec::new();
        format.encode(&Packet::plain(&frame), &mut out).unwrap();
        assert_eq!(out, frame);
    }
}
