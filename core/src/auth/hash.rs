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
pub(super) struct Hash {
    state: [u32; 8],
    block: [u8; BLOCK],
    len: usize,
}

impl Hash {
    const fn new() -> Self {
        Self { state: START, block: [0; BLOCK], len: 0 }
    }

    // A call for each byte is little beside what its hash is, and there is one way down to the
    // compression, whose stack is the most that any call of the core has at its end.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn put(&mut self, byte: u8) {
        if let Some(place) = self.block.get_mut(self.len % BLOCK) {
            *place = byte;
        }
        self.len += 1;
        if self.len.is_multiple_of(BLOCK) {
            compress256(&mut self.state, core::slice::from_ref(&self.block));
        }
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    pub(super) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.put(*byte);
        }
    }

    /// Begins anew with a block of `key` and `pad`.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn begin(&mut self, key: &[u8], pad: u8) {
        (self.state, self.len) = (START, BLOCK);
        for (at, place) in self.block.iter_mut().enumerate() {
            *place = key.get(at).copied().unwrap_or_default() ^ pad;
        }
        compress256(&mut self.state, core::slice::from_ref(&self.block));
    }

    /// Completes the last block: the hash is the state then.
    fn finish(&mut self) {
        let len = self.len;
        self.put(0x80);
        while self.len % BLOCK != BLOCK - LENGTH {
            self.put(0);
        }
        if let Some(length) = self.block.last_chunk_mut() {
            *length = ((len as u64) << 3).to_be_bytes();
        }
        compress256(&mut self.state, core::slice::from_ref(&self.block));
    }

    /// The hash of one whole block, behind which the state is `from`, and of the hash before.
    fn again(&mut self, from: &[u32; 8]) {
        let (front, back) = self.block.split_at_mut(32);
        for (to, word) in front.as_chunks_mut().0.iter_mut().zip(&self.state) {
            *to = word.to_be_bytes();
        }
        back.fill(0);
        let bits = ((BLOCK + 32) as u64) << 3;
        let (mark, length) = back.split_at_mut(32 - LENGTH);
        if let Some(mark) = mark.first_mut() {
            *mark = 0x80;
        }
        length.copy_from_slice(&bits.to_be_bytes());
        self.state = *from;
        compress256(&mut self.state, core::slice::from_ref(&self.block));
    }

    /// The state as bytes.
    // Out of line, so that its copies are no part of what lies below the compression.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn digest(&self) -> [u8; 32] {
        let mut out = [0; 32];
        self.write(&mut out);
        out
    }

    /// Writes the state as bytes.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn write(&self, out: &mut [u8; 32]) {
        for (to, from) in out.as_chunks_mut().0.iter_mut().zip(&self.state) {
            *to = from.to_be_bytes();
        }
    }
}

/// SHA-256 of `bytes`, for methods of one's own.
#[must_use]
#[inline(always)]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Hash::new();
    hash.update(bytes);
    hash.finish();
    hash.digest()
}

/// The first `N` bytes, in whole words and 32 at most, of the HMAC-SHA256 of the concatenation of
/// `parts`, for methods of one's own. Bytes of `key` beyond 64 are ignored: hash such a key first.
#[must_use]
pub fn hmac_sha256<const N: usize>(key: &[u8], parts: &[&[u8]]) -> [u8; N] {
    let mut mac = [0; 32];
    mac_sha256(key, |hash| parts.iter().for_each(|part| hash.update(part)), &mut mac);
    let mut out = [0; N];
    for (to, from) in out.as_chunks_mut::<4>().0.iter_mut().zip(mac.as_chunks::<4>().0) {
        *to = *from;
    }
    out
}

/// Writes the HMAC-SHA256 of what `text` hashes. Bytes of `key` beyond 64 would be ignored, so no
/// type here holds more.
///
/// What is alive here is alive below the compression, so there is one state, one block and nothing
/// else: the inner hash waits where the result goes.
// In the function that has `out`, of which there is one in any program.
#[inline(always)]
pub(super) fn mac_sha256(key: &[u8], text: impl FnOnce(&mut Hash), out: &mut [u8; 32]) {
    let mut hash = Hash::new();
    hash.begin(key, INNER_PAD);
    text(&mut hash);
    hash.finish();
    hash.write(out);
    hash.begin(key, OUTER_PAD);
    hash.update(out);
    hash.finish();
    hash.write(out);
    wipe(&mut hash.block);
}

/// PBKDF2 with HMAC-SHA256, of 32 bytes: the `Hi` of RFC 5802. A password of any length and any
/// salt; `iterations` of 0 count as 1. It is meant to take long: two compressions of a block for
/// each iteration.
#[must_use]
pub fn pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut sum = [0; 32];
    let mut hash = Hash::new();
    let key = if password.len() > BLOCK {
        hash.update(password);
        hash.finish();
        hash.write(&mut sum);
        sum.as_slice()
    } else {
        password
    };
    hash.begin(key, INNER_PAD);
    let inner = hash.state;
    hash.begin(key, OUTER_PAD);
    let outer = hash.state;
    sum.fill(0);
    (hash.state, hash.len) = (inner, BLOCK);
    hash.update(salt);
    hash.update(&1_u32.to_be_bytes());
    hash.finish();
    for left in (0..iterations.max(1)).rev() {
        hash.again(&outer);
        for (sum, word) in sum.as_chunks_mut().0.iter_mut().zip(&hash.state) {
            *sum = (u32::from_be_bytes(*sum) ^ word).to_be_bytes();
        }
        if left > 0 {
            hash.again(&inner);
        }
    }
    wipe(&mut hash.block);
    sum
}
