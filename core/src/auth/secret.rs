//! Bytes that must not be printed and are cleared when they are dropped.

use core::fmt;

/// The most bytes a [`Secret`] holds: what HMAC-SHA256 takes as a key without hashing it first.
pub const SECRET_MAX: usize = 64;

/// Overwrites `bytes`, and keeps the optimiser from dropping the writes as unobserved.
///
/// This is the most that safe code can do: copies the compiler made elsewhere are out of reach.
#[cfg_attr(target_pointer_width = "32", inline(never))]
pub(super) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    core::hint::black_box(bytes);
}

/// The key of one session, made by the server. It is not printed and is cleared when dropped.
#[derive(Clone)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// The key with these bytes; they must come from a source an attacker cannot predict.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be put on the wire or into an encrypted snapshot and nowhere else.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 16] {
        &self.0
    }
}

impl Drop for SessionKey {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// A secret of up to [`SECRET_MAX`] bytes. It is not printed and is cleared when dropped.
#[derive(Clone)]
pub struct Secret {
    bytes: [u8; SECRET_MAX],
    len: u8,
}

impl Secret {
    /// Copies `bytes`; `None` if they are empty or more than [`SECRET_MAX`].
    ///
    /// For a shared key take 16 random bytes or more: what a person can remember can be guessed
    /// by whoever recorded one exchange.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let len = u8::try_from(bytes.len()).ok()?;
        let mut secret = Self { bytes: [0; SECRET_MAX], len };
        secret.bytes.get_mut(..bytes.len()).filter(|to| !to.is_empty())?.copy_from_slice(bytes);
        Some(secret)
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        wipe(&mut self.bytes);
    }
}

//= AUT-14
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
