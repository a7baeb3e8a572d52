//! A session of a server as bytes: the core's snapshot, and what the service knows besides.
//!
//! Little-endian. Lengths are of what follows; the parts come in this order.
//!
//! ```text
//!  0 "OUTV" | 4 version u8 | 5 flags u8 | 6 zero u16 | 8 principal u64 | 16 source u64
//! 24 taken at, in seconds since 1970 u64 | 32 retention in seconds u32
//! 36 lengths u32 of: the core's snapshot, queued frames, answers, what the handler saved
//! ```

use std::time::{SystemTime, UNIX_EPOCH};

const MAGIC: [u8; 4] = *b"OUTV";
const VERSION: u8 = 1;
const FIXED: usize = 52;

/// The application has said that it sends nothing more.
const FINISH: u8 = 1;
/// Nothing was received after it was taken.
const LAST: u8 = 2;

/// Where the flags are.
#[cfg(feature = "net")]
const FLAGS: usize = 5;

/// Whether nothing was received after it was taken.
#[cfg(feature = "net")]
pub(crate) fn is_last(snapshot: &[u8]) -> bool {
    snapshot.get(FLAGS).is_some_and(|flags| flags & LAST != 0)
}

/// A server goes on with the session: more may have been received after this was taken.
#[cfg(feature = "net")]
pub(crate) fn forget_last(snapshot: &mut [u8]) {
    if let Some(flags) = snapshot.get_mut(FLAGS) {
        *flags &= !LAST;
    }
}

/// Whose session it is, and how long it is kept.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    /// 0 is nobody in particular.
    pub(crate) principal: u64,
    pub(crate) source: u64,
    /// How much of its retention is left, in seconds.
    pub(crate) left_s: u32,
    /// The session does not go on here.
    pub(crate) is_last: bool,
}

/// What a session is made of again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record<'b> {
    pub(crate) principal: u64,
    pub(crate) source: u64,
    pub(crate) taken_at: u64,
    pub(crate) ttl_s: u32,
    pub(crate) finish: bool,
    pub(crate) is_last: bool,
    pub(crate) core: &'b [u8],
    /// Frames that have no room in the session yet.
    pub(crate) queued: &'b [u8],
    /// Answers that have none.
    pub(crate) answers: &'b [u8],
    pub(crate) saved: &'b [u8],
}

impl<'b> Record<'b> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let parts = [self.core, self.queued, self.answers, self.saved];
        let mut out =
            Vec::with_capacity(FIXED + parts.iter().map(|part| part.len()).sum::<usize>());
        out.extend_from_slice(&MAGIC);
        let flags = (u8::from(self.finish) * FINISH) | (u8::from(self.is_last) * LAST);
        out.extend_from_slice(&[VERSION, flags, 0, 0]);
        for number in [self.principal, self.source, self.taken_at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.ttl_s.to_le_bytes());
        for part in parts {
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&len.to_le_bytes());
        }
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out
    }

    /// `None`: these are no such bytes.
    pub(crate) fn decode(bytes: &'b [u8]) -> Option<Self> {
        let (fixed, mut rest) = bytes.split_first_chunk::<FIXED>()?;
        let u32_at = |at: usize| Some(u32::from_le_bytes(*fixed.get(at..)?.first_chunk()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(*fixed.get(at..)?.first_chunk()?));
        let [version, flags, 0, 0] = *fixed.get(4..)?.first_chunk::<4>()? else {
            return None;
        };
        if !fixed.starts_with(&MAGIC) || version != VERSION || flags > FINISH | LAST {
            return None;
        }
        let mut take = |at: usize| {
            let (part, left) = rest.split_at_checked(usize::try_from(u32_at(at)?).ok()?)?;
            rest = left;
            Some(part)
        };
        let [core, queued, answers, saved] = [take(36)?, take(40)?, take(44)?, take(48)?];
        let (principal, source, taken_at) = (u64_at(8)?, u64_at(16)?, u64_at(24)?);
        let (ttl_s, finish, is_last) = (u32_at(32)?, flags & FINISH != 0, flags & LAST != 0);
        let whole = rest.is_empty();
        let parts = Self {
            principal,
            source,
            taken_at,
            ttl_s,
            finish,
            is_last,
            core,
            queued,
            answers,
            saved,
        };
        whole.then_some(parts)
    }
}

/// Seconds since 1970; a clock before that says 0.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        Record {
            principal: 7,
            source: 8,
            taken_at: 9,
            ttl_s: 600,
            finish: true,
            is_last: false,
            core: b"core",
            queued: b"queued",
            answers: b"",
            saved: b"s",
        }
    }

    #[test]
    fn records_come_back_and_nothing_else_does() {
        let bytes = record().encode();
        assert_eq!(Record::decode(&bytes), Some(record()));
        for at in 0..bytes.len() {
            assert_eq!(Record::decode(&bytes[..at]), None, "cut at {at}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Record::decode(&longer), None);
        for at in (0..8).chain(36..52) {
            let mut other = bytes.clone();
            other[at] ^= 0x40;
            assert_eq!(Record::decode(&other), None, "changed at {at}");
        }
    }
}
