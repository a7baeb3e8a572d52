//! The part of a snapshot that every one has, read where it lies. `snapshot.rs` has the layout.

use super::{FIXED, MAGIC, SnapshotError, VERSION};
use crate::config::{Config, bitmaps_len};
use crate::ring::Ring;
use crate::storage::Storage;
use crate::wire::{HEADER_LEN, MAX_BODY};

/// The fixed part, as it lies there.
#[derive(Copy, Clone)]
pub(super) struct Fixed<'b>(&'b [u8; FIXED]);

impl<'b> Fixed<'b> {
    pub(super) const fn new(bytes: &'b [u8; FIXED]) -> Self {
        Self(bytes)
    }

    /// The bytes at a place that is within.
    #[inline(always)]
    pub(super) fn field<const N: usize>(self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    pub(super) fn u16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.field(at))
    }

    pub(super) fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.field(at))
    }

    pub(super) fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.field(at))
    }

    pub(super) fn has(self, flag: u16) -> bool {
        self.u16(6) & flag != 0
    }

    pub(super) fn retained(self) -> usize {
        self.u32(76) as usize
    }

    pub(super) fn peer_max_body(self) -> u16 {
        self.u16(98)
    }

    pub(super) fn max_requests(self) -> u16 {
        self.u16(108)
    }

    pub(super) fn peer_max_requests(self) -> u16 {
        self.u16(110)
    }

    pub(super) fn partial(self) -> u32 {
        self.u32(116)
    }

    pub(super) fn requests(self) -> u32 {
        u32::from(self.u16(124)) + u32::from(self.u16(126))
    }

    /// Whether it is a snapshot, and its numbers can be.
    pub(super) fn is_sane(self) -> bool {
        let [version, role]: [u8; 2] = self.field(4);
        let (acked, done) = (self.u64(64), self.u64(84));
        let (high, retained) = (self.u32(72), self.u32(76));
        // Sums of positions and distances must not overflow.
        let far = u64::MAX - (1 << 40);
        self.field(0) == MAGIC
            && version == VERSION
            && role <= 1
            && self.u16(6) < 32
            && self.u16(26) == 0
            && self.u32(112) == 0
            && self.u32(120) == 0
            && high <= retained
            && acked <= far
            && done <= far
            && self.peer_max_body() <= MAX_BODY
    }

    /// Limits of a session never change, so a configuration that is narrower cannot carry it on.
    //= SNP-7
    pub(super) fn check_limits<S: Storage>(
        self,
        config: &Config,
        ring: &mut Ring<S>,
    ) -> Result<(), SnapshotError> {
        let promised = (self.u16(96), self.u32(100), self.max_requests());
        if promised != (config.max_body, config.max_message, config.max_requests)
            || self.partial() > config.max_message
        {
            return Err(SnapshotError::Limits);
        }
        let bits = bitmaps_len(config.max_requests, self.peer_max_requests());
        ring.reserve_bits(bits);
        let frame = usize::from(self.peer_max_body()) + HEADER_LEN;
        let needed = self.retained().max(frame);
        if needed > ring.limit() as usize {
            return Err(SnapshotError::TooSmall { needed: needed + bits });
        }
        Ok(())
    }
}
