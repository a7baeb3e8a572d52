//! A peer made of bytes: it writes whatever it likes, legal or not.
//!
//! Nothing here comes from the core, neither encoder nor decoder nor cryptography, so that an error
//! in the core cannot hide behind the same error in its judge.

/// The kinds of frames, as numbers.
pub mod kind {
    #![allow(missing_docs, reason = "the names are those of the specification's table")]
    pub const HELLO: u8 = 0x01;
    pub const WELCOME: u8 = 0x02;
    pub const AUTH: u8 = 0x03;
    pub const ACK: u8 = 0x08;
    pub const PING: u8 = 0x09;
    pub const PONG: u8 = 0x0A;
    pub const DRAIN: u8 = 0x0C;
    pub const CLOSE: u8 = 0x0D;
    pub const NOTE: u8 = 0x10;
    pub const GREASE: u8 = 0x5E;
    pub const MSG: u8 = 0x80;
    pub const REQ: u8 = 0x81;
    pub const RSP: u8 = 0x82;
    pub const CANCEL: u8 = 0x84;
    pub const FIN: u8 = 0x85;
    pub const TOKEN: u8 = 0x86;
    pub const CONT: u8 = 0x8F;
    pub const SKIP: u8 = 0xC0;
}

/// The MORE bit of the length field.
pub const MORE: u16 = 1 << 14;
/// The LANE bit of the length field.
pub const LANE: u16 = 1 << 15;

/// A frame: `bits` are those above the length.
#[must_use]
pub fn frame_with(kind: u8, tag: u8, bits: u16, body: &[u8]) -> Vec<u8> {
    let len = body.len() as u16 & 0x3FFF | bits;
    let mut out = vec![kind, tag];
    out.extend(len.to_le_bytes());
    out.extend(body);
    out
}

/// A plain frame.
#[must_use]
pub fn frame(kind: u8, tag: u8, body: &[u8]) -> Vec<u8> {
    frame_with(kind, tag, 0, body)
}

/// A one-way message on a short route.
#[must_use]
pub fn message(route: u8, payload: &[u8]) -> Vec<u8> {
    frame(kind::MSG, route, payload)
}

/// A request or anything else whose body begins with a request's number.
#[must_use]
pub fn numbered(kind: u8, tag: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = id.to_le_bytes().to_vec();
    body.extend(payload);
    frame(kind, tag, &body)
}

/// An acknowledgement.
#[must_use]
pub fn ack(ack: u32, limit: u32) -> Vec<u8> {
    frame(kind::ACK, 0, &[ack.to_le_bytes(), limit.to_le_bytes()].concat())
}

/// A full PING or PONG.
#[must_use]
pub fn probe(kind: u8, nonce: u32, tx: u32, ack: u32, limit: u32) -> Vec<u8> {
    frame(kind, 0, &[nonce, tx, ack, limit].map(u32::to_le_bytes).concat())
}

/// What a HELLO says. The default is a modest client that wants a new session.
#[derive(Debug, Clone)]
pub struct Hello {
    /// Oldest and newest version.
    pub versions: (u8, u8),
    /// Flags, without those that follow from the options.
    pub flags: u16,
    /// Longest body.
    pub max_body: u16,
    /// Open requests.
    pub max_requests: u16,
    /// Silence that is borne, in milliseconds.
    pub idle_ms: u32,
    /// Fastest beat, in milliseconds.
    pub beat_ms: u32,
    /// Bytes that may come.
    pub window: u32,
    /// Longest message.
    pub max_message: u32,
    /// Retention, in seconds.
    pub retention_s: u32,
    /// Send buffer.
    pub send_buffer: u32,
    /// Options, encoded.
    pub options: Vec<u8>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            versions: (1, 1),
            flags: 2,
            max_body: 16_383,
            max_requests: 16,
            idle_ms: 0,
            beat_ms: 0,
            window: 65_536,
            max_message: 1 << 20,
            retention_s: 600,
            send_buffer: 65_536,
            options: Vec::new(),
        }
    }
}

impl Hello {
    /// The frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = b"OUTL".to_vec();
        body.extend([self.versions.0, self.versions.1]);
        body.extend(self.flags.to_le_bytes());
        body.extend(self.max_body.to_le_bytes());
        body.extend(self.max_requests.to_le_bytes());
        for field in [
            self.idle_ms,
            self.beat_ms,
            self.window,
            self.max_message,
            self.retention_s,
            self.send_buffer,
        ] {
            body.extend(field.to_le_bytes());
        }
        body.extend(&self.options);
        frame(kind::HELLO, 1, &body)
    }

    /// The same HELLO with a claim to a session.
    #[must_use]
    pub fn resuming(&self, claim: &Claim) -> Self {
        let mut hello = self.clone();
        hello.flags |= 1;
        hello.options.extend(claim.encode());
        hello
    }
}

/// A claim to a session, with everything that its proof covers.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The session's number.
    pub sid: u64,
    /// Number of the attempt.
    pub attach: u32,
    /// Number of the key.
    pub key_id: u8,
    /// The key.
    pub key: [u8; 16],
    /// How far this end received.
    pub rx_next: u64,
    /// What this end still keeps.
    pub tx_first: u64,
}

impl Claim {
    /// The option, with its head of two bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0x02, 48];
        out.extend(self.sid.to_le_bytes());
        out.extend(self.attach.to_le_bytes());
        out.extend([self.key_id, 1, 0, 0]);
        out.extend(self.rx_next.to_le_bytes());
        out.extend(self.tx_first.to_le_bytes());
        let mut covered = b"outlast-resume".to_vec();
        covered.extend(self.sid.to_le_bytes());
        covered.extend(self.attach.to_le_bytes());
        covered.push(self.key_id);
        covered.extend(self.rx_next.to_le_bytes());
        covered.extend(self.tx_first.to_le_bytes());
        out.extend(&hmac_sha256(&self.key, &covered)[..16]);
        out
    }
}

/// A WELCOME for a client: a new session with this number and key.
#[must_use]
pub fn welcome(sid: u64, key: [u8; 16], terms: &Hello) -> Vec<u8> {
    let mut frame = terms.encode();
    frame[0] = kind::WELCOME;
    frame[8] = 1;
    frame[9] = 0;
    frame[10..12].copy_from_slice(&2u16.to_le_bytes());
    let mut option = vec![0x10, 32];
    option.extend(sid.to_le_bytes());
    option.extend(1u32.to_le_bytes());
    option.extend([1, 0, 0, 0]);
    option.extend(key);
    frame.extend(option);
    let len = (frame.len() - 4) as u16;
    frame[2..4].copy_from_slice(&len.to_le_bytes());
    frame
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Kind.
    pub kind: u8,
    /// Tag.
    pub tag: u8,
    /// Whether MORE is set.
    pub more: bool,
    /// Body.
    pub body: Vec<u8>,
}

impl Frame {
    /// Takes the first whole frame from the front of `bytes`.
    pub fn take(bytes: &mut Vec<u8>) -> Option<Self> {
        let [kind, tag, low, high] = *bytes.first_chunk()?;
        let word = u16::from_le_bytes([low, high]);
        let end = 4 + usize::from(word & 0x3FFF);
        let body = bytes.get(4..end)?.to_vec();
        bytes.drain(..end);
        Some(Self { kind, tag, more: word & MORE != 0, body })
    }

    /// The little-endian number of `N` bytes at `at` in the body.
    #[must_use]
    pub fn number<const N: usize>(&self, at: usize) -> u64 {
        let bytes = self.body.get(at..at + N).unwrap_or_default();
        bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte))
    }

    /// The value of the option of this type, if the fixed part before the options is 36 bytes.
    #[must_use]
    pub fn option(&self, wanted: u8) -> Option<&[u8]> {
        let mut rest = self.body.get(36..)?;
        while let [kind, len, tail @ ..] = rest {
            let (value, more) = tail.split_at_checked(usize::from(*len))?;
            if *kind == wanted {
                return Some(value);
            }
            rest = more;
        }
        None
    }

    /// Code and flags, if this is a CLOSE.
    #[must_use]
    pub fn close(&self) -> Option<(u16, u16)> {
        let is_close = self.kind == kind::CLOSE && self.body.len() >= 8;
        is_close.then(|| (self.number::<2>(0) as u16, self.number::<2>(2) as u16))
    }
}

/// HMAC-SHA256 with a key of at most 64 bytes.
#[must_use]
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = [&block.map(|b| b ^ 0x36)[..], data].concat();
    sha256(&[&block.map(|b| b ^ 0x5C)[..], &sha256(&inner)].concat())
}

/// SHA-256 (FIPS 180-4). Its constants are computed, as the standard defines them.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    let primes: Vec<u64> = (2..312).filter(|n| (2..*n).all(|d| n % d != 0)).collect();
    let mut state = [0u32; 8];
    for (word, prime) in state.iter_mut().zip(&primes) {
        *word = root_fraction(*prime, 2);
    }
    let rounds: Vec<u32> = primes.iter().take(64).map(|prime| root_fraction(*prime, 3)).collect();
    let mut padded = data.to_vec();
    padded.push(0x80);
    while padded.len() % 64 != 56 {
        padded.push(0);
    }
    padded.extend((data.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        compress(&mut state, &rounds, block);
    }
    let mut out = [0; 32];
    for (to, word) in out.chunks_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    out
}

/// The first 32 bits of the fraction of the `degree`th root of `n`.
fn root_fraction(n: u64, degree: u32) -> u32 {
    // The largest r with r^degree <= n * 2^(32 * degree), found bit by bit.
    let fits = |r: u128| match degree {
        2 => r * r <= u128::from(n) << 64,
        _ => r * r * r <= u128::from(n) << 96,
    };
    let mut root = 0u128;
    for bit in (0..37).rev() {
        if fits(root | 1 << bit) {
            root |= 1 << bit;
        }
    }
    root as u32
}

fn compress(state: &mut [u32; 8], rounds: &[u32], block: &[u8]) {
    let mut w: Vec<u32> =
        block.chunks(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect();
    for t in 16..64 {
        let (a, b) = (w[t - 15], w[t - 2]);
        let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ a >> 3;
        let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ b >> 10;
        w.push(w[t - 16].wrapping_add(s0).wrapping_add(w[t - 7]).wrapping_add(s1));
    }
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (k, w) in rounds.iter().zip(&w) {
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let choice = e & f ^ !e & g;
        let t1 = h.wrapping_add(s1).wrapping_add(choice).wrapping_add(*k).wrapping_add(*w);
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t2 = s0.wrapping_add(a & b ^ a & c ^ b & c);
        (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(t1), c, b, a, t1.wrapping_add(t2));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sha256_of_the_standards_example() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), abc);
    }

    #[test]
    fn hmac_of_rfc_4231_case_2() {
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let mac = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(&mac), expected);
    }

    #[test]
    fn the_specifications_claim_comes_out() {
        let mut key = [0; 16];
        for (at, byte) in key.iter_mut().enumerate() {
            *byte = at as u8;
        }
        let claim = Claim {
            sid: 0x0001_0000_DEAD_BEEF,
            attach: 2,
            key_id: 1,
            key,
            rx_next: 360,
            tx_first: 1200,
        };
        assert_eq!(hex(&claim.encode()[34..]), "d663806eb725568ec08786a283104fa2");
    }

    #[test]
    fn frames_are_taken_whole() {
        let mut bytes = message(7, b"ab");
        bytes.extend([0x80, 0]);
        let frame = Frame::take(&mut bytes).unwrap();
        assert_eq!((frame.kind, frame.tag, &frame.body[..]), (kind::MSG, 7, &b"ab"[..]));
        assert!(Frame::take(&mut bytes).is_none());
        assert_eq!(bytes.len(), 2);
    }
}
