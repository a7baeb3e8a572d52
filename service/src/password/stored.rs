//! What a server keeps of a password.

use std::fmt;
use std::str::FromStr;

use outlast_core::auth::{Secret, pbkdf2_sha256, sha256};

use super::message::{decode64, encode64};
use super::{Key, MAX_NAME, checked, hmac, secret};
use crate::entropy::fill;

const KIND: &str = "SCRAM-SHA-256";
/// Bytes of a salt that is made here.
const SALT: usize = 16;
/// Longest salt that is taken.
const MAX_SALT: usize = 64;

/// The keys of one password: enough to check a proof, and to give one, and not to log in.
///
/// As text it is what PostgreSQL keeps, `SCRAM-SHA-256$4096:salt$StoredKey:ServerKey`, so a list
/// can come from there. Who has the text can guess at the password: keep it as one keeps a key.
#[derive(Clone)]
pub struct StoredPassword {
    pub(super) salt: Box<[u8]>,
    pub(super) iterations: u32,
    /// SHA-256 of the key that the client proves to have.
    pub(super) stored: Secret,
    /// The key that the server proves to have.
    pub(super) server: Secret,
}

impl StoredPassword {
    /// What a password costs unless somebody says otherwise: some hundredths of a second.
    pub const ITERATIONS: u32 = 100_000;

    /// The keys of `password`, 1 to 255 bytes, with a salt of its own and
    /// [`ITERATIONS`](Self::ITERATIONS). It takes as long as that.
    ///
    /// The bytes are used as they are: whoever takes passwords from people who may type the same
    /// letters in two ways normalises them first.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Length`].
    pub fn new(password: impl AsRef<[u8]>) -> Result<Self, PasswordError> {
        Self::with_iterations(password, Self::ITERATIONS)
    }

    /// As [`new`](Self::new), with another number of iterations: 4,096 to 10,000,000.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Length`], [`PasswordError::Iterations`].
    pub fn with_iterations(
        password: impl AsRef<[u8]>,
        iterations: u32,
    ) -> Result<Self, PasswordError> {
        let mut salt = [0; SALT];
        fill(&mut salt);
        Self::with_salt(password.as_ref(), &salt, iterations)
    }

    pub(super) fn with_salt(
        password: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Result<Self, PasswordError> {
        if password.is_empty() || password.len() > MAX_NAME {
            return Err(PasswordError::Length);
        }
        checked(iterations)?;
        let keys = Keys::of(password, salt, iterations);
        let stored = secret(&sha256(keys.client.expose()));
        Ok(Self { salt: salt.into(), iterations, stored, server: keys.server })
    }

    /// Nobody's keys, for a name that is not known: always the same for the same name.
    pub(super) fn of_nobody(name: &str, hidden: &Secret, iterations: u32) -> Self {
        let made = |what: &[u8]| hmac(hidden.expose(), &[what, name.as_bytes()]);
        let salt = made(b"salt").first_chunk::<SALT>().copied().unwrap_or_default();
        let (stored, server) = (secret(&made(b"stored")), secret(&made(b"server")));
        Self { salt: salt.into(), iterations, stored, server }
    }
}

/// What a client makes of a password.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) client: Secret,
    pub(super) server: Secret,
}

impl Keys {
    pub(super) fn of(password: &[u8], salt: &[u8], iterations: u32) -> Self {
        let salted = secret(&pbkdf2_sha256(password, salt, iterations));
        let key = |what: &[u8]| secret(&hmac(salted.expose(), &[what]));
        Self { client: key(b"Client Key"), server: key(b"Server Key") }
    }
}

/// The key in a [`Secret`] that was made of one.
pub(super) fn bytes(secret: &Secret) -> Key {
    secret.expose().first_chunk().copied().unwrap_or_default()
}

//= AUT-14
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredPassword(..)")
    }
}

impl StoredPassword {
    /// As text, for a file or a table.
    #[must_use]
    pub fn to_text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], self.stored.expose(), self.server.expose()].map(encode64);
        format!("{KIND}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for StoredPassword {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        let parts = || {
            let (cost, keys) = text.strip_prefix(KIND)?.strip_prefix('$')?.split_once('$')?;
            let (iterations, salt) = cost.split_once(':')?;
            let (stored, server) = keys.split_once(':')?;
            let key = |text| Some(secret(&Key::try_from(decode64(text)?).ok()?));
            let salt = decode64(salt).filter(|salt| (1..=MAX_SALT).contains(&salt.len()))?;
            Some((iterations.parse().ok()?, salt, key(stored)?, key(server)?))
        };
        let (iterations, salt, stored, server) = parts().ok_or(PasswordError::Malformed)?;
        checked(iterations)?;
        Ok(Self { salt: salt.into(), iterations, stored, server })
    }
}

/// Why there are no keys of a password.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordError {
    /// A password, or a user's name, has 1 to 255 bytes.
    Length,
    /// There are 4,096 to 10,000,000 iterations.
    Iterations,
    /// The text is not `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
    Malformed,
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "a name or a password has 1 to 255 bytes",
            Self::Iterations => "a password takes 4,096 to 10,000,000 iterations",
            Self::Malformed => {
                "stored keys are written SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey"
            }
        })
    }
}

impl std::error::Error for PasswordError {}
