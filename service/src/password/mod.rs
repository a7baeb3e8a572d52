//! Passwords that are proved and not shown: SCRAM-SHA-256, as RFC 5802 and RFC 7677 have it.
//!
//! A server keeps neither a password nor anything that lets in by itself: salted keys
//! ([`StoredPassword`]), from which each guess costs many hashes. A client shows that it
//! knows the password, and the server that it knows the keys: somebody else's server learns nothing
//! that it could use. Where the transport is TLS the proof holds for that connection alone
//! (`tls-exporter` of RFC 9266), so that nobody can pass it on.

mod client;
mod message;
mod server;
mod stored;

#[cfg(test)]
mod tests;

pub use client::Password;
pub use server::Passwords;
pub use stored::{PasswordError, StoredPassword};

use outlast_core::auth::{Secret, TokenDigest, hmac_sha256};

/// The fewest iterations that are accepted, at either end (RFC 7677).
const MIN_ITERATIONS: u32 = 4_096;
/// The most that a server can be given.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Longest name of a user and longest password, in bytes.
const MAX_NAME: usize = 255;

type Key = [u8; 32];

/// A number of iterations that may be.
fn checked(iterations: u32) -> Result<u32, PasswordError> {
    let may = (MIN_ITERATIONS..=MAX_ITERATIONS).contains(&iterations);
    if may { Ok(iterations) } else { Err(PasswordError::Iterations) }
}

/// Compares in constant time.
fn same(left: Key, right: Key) -> bool {
    TokenDigest::from_bytes(left).matches(&TokenDigest::from_bytes(right))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Key {
    hmac_sha256(key, parts)
}

fn secret(key: &Key) -> Secret {
    match Secret::new(key) {
        Some(secret) => secret,
        None => unreachable!("a key of 32 bytes fits a secret"),
    }
}

/// Each byte of one with that of the other.
fn xor(left: &Key, right: &Key) -> Key {
    let mut sum = *left;
    sum.iter_mut().zip(right).for_each(|(sum, right)| *sum ^= right);
    sum
}
