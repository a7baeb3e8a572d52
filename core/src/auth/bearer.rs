//! Method 1: the client shows a token, in its HELLO, and nothing else happens.

use core::fmt;

use super::exchange::{AuthContext, AuthStep, Prover, Reply, Verdict, Verifier, put};
use super::hash::sha256;
use super::{METHOD_BEARER, same_bytes};

/// The SHA-256 of a token: what a server keeps instead of the token.
///
/// Digests have one length, so comparing them tells nothing about the length of a token either.
#[derive(Clone)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of `token`.
    #[must_use]
    #[inline(always)]
    pub fn of(token: &[u8]) -> Self {
        Self(sha256(token))
    }

    /// A digest computed elsewhere.
    #[must_use]
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Compares in constant time.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        same_bytes(&self.0, &other.0)
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenDigest(..)")
    }
}

/// The server's side: the tokens it accepts, each with the principal it stands for.
#[derive(Debug, Clone)]
pub struct BearerVerifier<T> {
    tokens: T,
    plaintext: bool,
}

impl<T: AsRef<[(TokenDigest, u64)]>> BearerVerifier<T> {
    /// Accepts `tokens` over encrypted transports only.
    #[must_use]
    pub const fn new(tokens: T) -> Self {
        Self { tokens, plaintext: false }
    }

    /// Accepts them over any transport: whoever can read the wire can use the token for ever.
    #[must_use]
    pub fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }

    fn find(&self, shown: &TokenDigest) -> Option<u64> {
        // Every token is compared, so the time does not tell which of them was near.
        let mut found = None;
        for (digest, principal) in self.tokens.as_ref() {
            if digest.matches(shown) {
                found = Some(*principal);
            }
        }
        found
    }
}

impl<T: AsRef<[(TokenDigest, u64)]>> Verifier for BearerVerifier<T> {
    fn handle_step(
        &mut self,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        _: &mut [u8],
    ) -> Verdict {
        //= AUT-5
        let expected = step.method == METHOD_BEARER && step.index == 0;
        if !expected || !(context.encrypted || self.plaintext) {
            return Verdict::Deny;
        }
        self.find(&TokenDigest::of(step.data))
            .map_or(Verdict::Deny, |principal| Verdict::Accept { principal, reply: 0 })
    }
}

/// The client's side: one token of any kind of memory (`&[u8]`, an array, a `Vec`).
///
/// The memory is the caller's, and so is clearing it.
#[derive(Clone)]
pub struct BearerProver<B> {
    token: B,
    plaintext: bool,
}

impl<B: AsRef<[u8]>> BearerProver<B> {
    /// Shows `token` over encrypted transports only.
    #[must_use]
    pub const fn new(token: B) -> Self {
        Self { token, plaintext: false }
    }

    /// Shows it over any transport: whoever can read the wire can use the token for ever.
    #[must_use]
    pub fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

impl<B> fmt::Debug for BearerProver<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerProver(..)")
    }
}

impl<B: AsRef<[u8]>> Prover for BearerProver<B> {
    fn method(&self) -> u8 {
        METHOD_BEARER
    }

    fn start(&mut self, context: &AuthContext<'_>, out: &mut [u8]) -> Option<usize> {
        if !(context.encrypted || self.plaintext) {
            return None;
        }
        put(out, self.token.as_ref())
    }

    fn handle_step(&mut self, _: &AuthContext<'_>, _: &[u8], _: &mut [u8]) -> Reply {
        Reply::Refuse
    }

    fn is_satisfied(&self) -> bool {
        true
    }
}
