//! SHA-256 and HMAC around the compression function alone: one buffer, one copy of each loop.
//!
//! A hash is made once for each connection, so what counts is its size on a microcontroller: the
//! general types keep four states and three buffers at a time where one of each will do.

use sha2::block_api::compress256;

use super::secret::wipe;

/// Bytes that are compressed at once. An HMAC key is padded to as many; longer keys are not used
/// here.
const BLOCK: usize = 64;
/// What a block must leave free for the length.
const LENGTH: usize = 8;
/// The state that FIPS 180-4 begins with.
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const INNER_PAD: u8 = 0x36;
const OUTER_PAD: u8 = 0x5C;

/// A hash under way.
struct Hash {
    state: [u32; 8],
    block: [u8; BLOCK],
    len: usize,
}

impl Hash {
    const fn new() -> Self {
        Self { state: START, block: [0; BLOCK], len: 0 }
    }

    fn put(&mut self, byte: u8) {
        if let Some(place) = self.block.get_mut(self.len % BLOCK) {
            *place = byte;
        }
        self.len += 1;
        if self.len.is_multiple_of(BLOCK) {
            compress256(&mut self.state, core::slice::from_ref(&self.block));
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(*byte);
        }
    }

    /// Begins anew with a block of `key` and `pad`.
    fn begin(&mut self, key: &[u8], pad: u8) {
        (self.state, self.len) = (START, 0);
        for at in 0..BLOCK {
            self.put(key.get(at).copied().unwrap_or_default() ^ pad);
        }
    }

    /// Completes the last block: the hash is the state then.
    fn finish(&mut self) {
        let bits = (self.len as u64) << 3;
        self.put(0x80);
        while self.len % BLOCK != BLOCK - LENGTH {
            self.put(0);
        }
        self.update(&bits.to_be_bytes());
    }

    /// The first bytes of the state.
    fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        for (to, from) in bytes.as_chunks_mut().0.iter_mut().zip(self.state) {
            *to = from.to_be_bytes();
        }
        bytes
    }
}

/// SHA-256 of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Hash::new();
    hash.update(bytes);
    hash.finish();
    hash.bytes()
}

/// The first `N` bytes, in whole words, of the HMAC-SHA256 of the concatenation of `parts`. Bytes
/// of `key` beyond 64 would be ignored, so no type here holds more.
pub(super) fn hmac_sha256<const N: usize>(key: &[u8], parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Hash::new();
    hash.begin(key, INNER_PAD);
    for part in parts {
        hash.update(part);
    }
    hash.finish();
    let inner = hash.state;
    hash.begin(key, OUTER_PAD);
    for word in inner {
        hash.update(&word.to_be_bytes());
    }
    hash.finish();
    wipe(&mut hash.block);
    hash.bytes()
}
