//! What sender and receiver of files say to each other.

use std::fmt;

/// Request: "I would send this". The answer is the offset to begin at.
pub(crate) const ROUTE_OFFER: u32 = 0x20;
/// Message: bytes of a file that was offered.
pub(crate) const ROUTE_DATA: u32 = 0x21;
/// Request: "that was all of it". The answer is OK once the digest fits and the file is in place.
pub(crate) const ROUTE_DONE: u32 = 0x22;

/// Bytes in front of the data of a [`ROUTE_DATA`] message.
pub(crate) const DATA_HEAD: usize = 12;
/// The longest name, in bytes.
pub(crate) const NAME_MAX: usize = 1024;

/// A SHA-256.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Digest(pub(crate) [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A file that somebody would send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Number by which the data refers to it, chosen by the sender.
    pub(crate) index: u32,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
    /// Where it is to go, with `/` between the parts; not checked yet.
    pub(crate) name: String,
}

impl Offer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.index.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.digest.0);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (index, rest) = bytes.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (digest, name) = rest.split_first_chunk()?;
        if name.len() > NAME_MAX {
            return None;
        }
        Some(Self {
            index: u32::from_le_bytes(*index),
            size: u64::from_le_bytes(*size),
            digest: Digest(*digest),
            name: String::from_utf8(name.to_vec()).ok()?,
        })
    }
}

/// The answer to an offer: where to begin, or that the file is there already.
pub(crate) fn offered_answer(offset: u64, whole: bool) -> Vec<u8> {
    let mut answer = offset.to_le_bytes().to_vec();
    answer.push(whole.into());
    answer
}

/// Offset, and whether there is nothing to send.
pub(crate) fn split_answer(answer: &[u8]) -> Option<(u64, bool)> {
    let (offset, rest) = answer.split_first_chunk()?;
    let [whole] = *rest else { return None };
    Some((u64::from_le_bytes(*offset), whole != 0))
}

/// The head of a data message.
pub(crate) fn data_head(index: u32, offset: u64) -> [u8; DATA_HEAD] {
    let mut head = [0; DATA_HEAD];
    head[..4].copy_from_slice(&index.to_le_bytes());
    head[4..].copy_from_slice(&offset.to_le_bytes());
    head
}

/// File, offset and bytes of a data message.
pub(crate) fn split_data(bytes: &[u8]) -> Option<(u32, u64, &[u8])> {
    let (index, rest) = bytes.split_first_chunk()?;
    let (offset, data) = rest.split_first_chunk()?;
    Some((u32::from_le_bytes(*index), u64::from_le_bytes(*offset), data))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_and_data_come_back_as_they_went() {
        let offer =
            Offer { index: 7, size: 1 << 40, digest: Digest([9; 32]), name: "a/bé".to_owned() };
        let bytes = offer.encode();
        assert_eq!(Offer::decode(&bytes), Some(offer));
        for len in 0..44 {
            assert_eq!(Offer::decode(&bytes[..len]), None);
        }
        assert_eq!(Offer::decode(&[bytes.as_slice(), &[0xFF]].concat()), None);
        let data = [&data_head(3, 99)[..], b"xyz"].concat();
        assert_eq!(split_data(&data), Some((3, 99, &b"xyz"[..])));
        assert_eq!(split_data(&data[..11]), None);
        assert_eq!(split_answer(&offered_answer(5, true)), Some((5, true)));
        assert_eq!(split_answer(&[0; 8]), None);
    }
}
