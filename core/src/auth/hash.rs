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
        (self.state, self.len) = (START, 0);
        for at in 0..BLOCK {
            self.put(key.get(at).copied().unwrap_or_default() ^ pad);
        }
    }

    /// Completes the last block: the hash is the state then.
    fn finish(&mut self) {
        let mut bits = (self.len as u64) << 3;
        self.put(0x80);
        while self.len % BLOCK != BLOCK - LENGTH {
            self.put(0);
        }
        // Highest first, and from registers.
        for _ in 0..LENGTH {
            bits = bits.rotate_left(8);
            let [lowest, ..] = bits.to_le_bytes();
            self.put(lowest);
        }
    }

    /// As [`update`](Self::update) with these bytes behind one whole block, and
    /// [`finish`](Self::finish): one block, written at once.
    fn compress_last(&mut self, bytes: &[u8; 32]) {
        let (front, back) = self.block.split_at_mut(32);
        front.copy_from_slice(bytes);
        back.fill(0);
        let bits = ((BLOCK + 32) as u64) << 3;
        let (mark, length) = back.split_at_mut(32 - LENGTH);
        if let Some(mark) = mark.first_mut() {
            *mark = 0x80;
        }
        length.copy_from_slice(&bits.to_be_bytes());
        compress256(&mut self.state, core::slice::from_ref(&self.block));
    }

    /// Writes the first bytes of the state, in whole words.
    // Out of line, so that its copies are no part of what lies below the compression.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn write(&self, out: &mut [u8]) {
        for (to, from) in out.as_chunks_mut().0.iter_mut().zip(&self.state) {
            *to = from.to_be_bytes();
        }
    }
}

/// SHA-256 of `bytes`, for methods of one's own.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = Hash::new();
    hash.update(bytes);
    hash.finish();
    let mut out = [0; 32];
    hash.write(&mut out);
    out
}

/// The first `N` bytes, in whole words and 32 at most, of the HMAC-SHA256 of the concatenation of
/// `parts`, for methods of one's own. Bytes of `key` beyond 64 are ignored: hash such a key first.
#[must_use]
pub fn hmac_sha256<const N: usize>(key: &[u8], parts: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    mac_sha256(key, |hash| parts.iter().for_each(|part| hash.update(part)), &mut out);
    out
}

/// Writes the first bytes, in whole words and at most 32, of the HMAC-SHA256 of what `text` hashes.
/// Bytes of `key` beyond 64 would be ignored, so no type here holds more.
///
/// What is alive here is alive below the compression, so there is one state, one block and the one
/// inner hash, and the result goes where it is wanted.
pub(super) fn mac_sha256(key: &[u8], text: impl FnOnce(&mut Hash), out: &mut [u8]) {
    let mut hash = Hash::new();
    hash.begin(key, INNER_PAD);
    text(&mut hash);
    hash.finish();
    let mut inner = [0; 32];
    hash.write(&mut inner);
    hash.begin(key, OUTER_PAD);
    hash.update(&inner);
    hash.finish();
    hash.write(out);
    wipe(&mut hash.block);
}

/// PBKDF2 with HMAC-SHA256, of 32 bytes: the `Hi` of RFC 5802. A password of any length and any
/// salt; `iterations` of 0 count as 1. It is meant to take long: two compressions of a block for
/// each iteration.
#[must_use]
pub fn pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut hashed = sha256(password);
    let key = if password.len() > BLOCK { hashed.as_slice() } else { password };
    let (mut inner, mut outer) = (Hash::new(), Hash::new());
    inner.begin(key, INNER_PAD);
    outer.begin(key, OUTER_PAD);
    let mut sum: [u8; 32] = hmac_sha256(key, &[salt, &1_u32.to_be_bytes()]);
    let mut last = sum;
    for _ in 1..iterations {
        last = again(&inner.state, &outer.state, &last);
        for (sum, last) in sum.iter_mut().zip(last) {
            *sum ^= last;
        }
    }
    wipe(&mut inner.block);
    wipe(&mut outer.block);
    wipe(&mut hashed);
    wipe(&mut last);
    sum
}

/// HMAC of 32 bytes, from the states behind the padded key.
fn again(inner: &[u32; 8], outer: &[u32; 8], bytes: &[u8; 32]) -> [u8; 32] {
    let mut hash = Hash { state: *inner, block: [0; BLOCK], len: BLOCK };
    hash.compress_last(bytes);
    let mut out = [0; 32];
    hash.write(&mut out);
    hash.state = *outer;
    hash.compress_last(&out);
    hash.write(&mut out);
    out
}
