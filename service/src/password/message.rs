//! The messages of SCRAM, as text, and base64.

/// What a client says first of the channel that its proof is bound to.
pub(super) const UNBOUND: &str = "n,,";
pub(super) const BOUND: &str = "p=tls-exporter,,";

/// Shortest and longest nonce of one end, in bytes.
const NONCES: std::ops::RangeInclusive<usize> = 16..=128;

/// The header of the client's first message, by what is known of the transport.
pub(super) const fn header(binding: &[u8]) -> &'static str {
    if binding.is_empty() { UNBOUND } else { BOUND }
}

/// What the client's last message repeats of the header, with the binding itself.
pub(super) fn channel(binding: &[u8]) -> String {
    encode64(&[header(binding).as_bytes(), binding].concat())
}

/// `n=NAME,r=NONCE`.
pub(super) struct First {
    pub(super) name: String,
    pub(super) nonce: String,
}

impl First {
    pub(super) fn read(bare: &str) -> Option<Self> {
        let mut fields = bare.split(',');
        let name = unescaped(fields.next()?.strip_prefix("n=")?)?;
        let nonce = fields.next()?.strip_prefix("r=")?;
        let is_whole = fields.next().is_none() && is_nonce(nonce) && !name.is_empty();
        is_whole.then(|| Self { name, nonce: nonce.to_owned() })
    }

    pub(super) fn write(name: &str, nonce: &str) -> String {
        format!("n={},r={nonce}", name.replace('=', "=3D").replace(',', "=2C"))
    }
}

/// `r=BOTH NONCES,s=SALT,i=ITERATIONS`.
pub(super) struct Challenge {
    pub(super) nonce: String,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl Challenge {
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut fields = text.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?.to_owned();
        let salt = decode64(fields.next()?.strip_prefix("s=")?).filter(|salt| !salt.is_empty())?;
        let iterations = fields.next()?.strip_prefix("i=")?;
        let is_number = iterations.bytes().all(|byte| byte.is_ascii_digit());
        let iterations = iterations.parse().ok().filter(|_| is_number)?;
        fields.next().is_none().then_some(Self { nonce, salt, iterations })
    }

    pub(super) fn write(nonce: &str, salt: &[u8], iterations: u32) -> String {
        format!("r={nonce},s={},i={iterations}", encode64(salt))
    }
}

/// The client's last message up to its proof, and the proof.
pub(super) fn split_proof(text: &str) -> Option<(&str, [u8; 32])> {
    let (front, proof) = text.rsplit_once(",p=")?;
    Some((front, decode64(proof)?.try_into().ok()?))
}

/// Printable and no comma.
pub(super) fn is_nonce(text: &str) -> bool {
    NONCES.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

/// A comma and an equals sign have names.
fn unescaped(name: &str) -> Option<String> {
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((front, escape)) = rest.split_once('=') {
        out.push_str(front);
        let (letter, behind) = match escape.split_at_checked(2)? {
            ("2C", behind) => (',', behind),
            ("3D", behind) => ('=', behind),
            _ => return None,
        };
        out.push(letter);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648).
pub(super) fn encode64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = LETTERS[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

/// The bytes, if this is base64 in its one spelling.
pub(super) fn decode64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for letters in text.as_bytes().chunks(4) {
        let used = letters.iter().take_while(|letter| **letter != b'=').count();
        let mut word = 0_u32;
        for letter in letters.iter().take(used) {
            let value = LETTERS.iter().position(|known| known == letter)?;
            word = word << 6 | u32::try_from(value).ok()?;
        }
        let word = word << (6 * (4 - used.min(4)));
        let bytes = word.to_be_bytes();
        out.extend_from_slice(bytes.get(1..used.max(1))?);
    }
    // Whatever has another spelling is none: padding inside, bits left over, a length that is odd.
    (encode64(&out) == text).then_some(out)
}
