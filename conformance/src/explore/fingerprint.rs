//! How states are told apart.

use std::hash::Hasher;

/// A hasher of 128 bits. Inputs are small and honest; it has to spread, not to withstand.
#[derive(Debug, Default)]
pub(super) struct Fingerprint {
    a: u64,
    b: u64,
}

impl Fingerprint {
    const fn add(&mut self, word: u64) {
        self.a = (self.a ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        self.b = self.b.rotate_left(23).wrapping_add(word).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
        self.b ^= self.b >> 31;
    }

    pub(super) fn whole(&self) -> u128 {
        let (a, b) = (crate::rng::mix(self.a), crate::rng::mix(self.b ^ self.a.rotate_left(17)));
        u128::from(a) << 64 | u128::from(b)
    }
}

impl Hasher for Fingerprint {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last[..rest.len()].copy_from_slice(rest);
            self.add(u64::from_le_bytes(last) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, i: u8) {
        self.add(u64::from(i));
    }

    fn write_u16(&mut self, i: u16) {
        self.add(u64::from(i));
    }

    fn write_u32(&mut self, i: u32) {
        self.add(u64::from(i));
    }

    fn write_u64(&mut self, i: u64) {
        self.add(i);
    }

    fn write_u128(&mut self, i: u128) {
        self.add(i as u64);
        self.add((i >> 64) as u64);
    }

    fn write_usize(&mut self, i: usize) {
        self.add(i as u64);
    }

    fn finish(&self) -> u64 {
        self.a
    }
}
