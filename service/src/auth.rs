//! Who the other end is: what a server asks of clients, and what a client shows.
//!
//! The exchanges themselves are pure ([`outlast_core::auth`]); here is what makes one for each
//! connection. A method of one's own implements [`Authenticator`] and [`Credentials`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use outlast_core::auth::{
    AuthContext, BearerProver, BearerVerifier, NONCE_LEN, Prover, Secret, SharedKey,
    SharedKeyProver, SharedKeyVerifier, TokenDigest, Verifier,
};

use crate::entropy::fill;
use crate::transport::PeerIdentity;

/// What a server asks of its clients. Without one it lets everybody in, as nobody in particular.
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// The exchange with one client, whose HELLO has come.
    fn verifier(&self, remote: Option<SocketAddr>) -> Box<dyn Verifier + Send>;

    /// What to make of a client whose transport has found out who it is. Unless this says
    /// otherwise, it has to show what everybody has to.
    fn recognize(&self, identity: &PeerIdentity) -> Recognized {
        let _ = identity;
        Recognized::Unknown
    }
}

/// What an [`Authenticator`] makes of a client that its transport has identified.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub enum Recognized {
    /// It may come in as this principal (0: nobody in particular), and shows nothing more.
    As(u64),
    /// That says nothing: it has to show what everybody has to.
    Unknown,
    /// It may not come in ([`AUTH_FAILED`](outlast_core::CloseCode::AUTH_FAILED)).
    Denied,
}

/// What a client shows its server.
pub trait Credentials: fmt::Debug + Send + Sync + 'static {
    /// Who the client says it is, at most 255 bytes; empty for nothing.
    fn client_id(&self) -> &[u8] {
        &[]
    }

    /// The exchange over one connection.
    fn prover(&self) -> Box<dyn Prover + Send>;
}

/// Bearer tokens that let in, each as a principal (0: nobody in particular).
///
/// Only digests of them are kept. What is compared takes a time that depends on none of them.
#[derive(Debug, Clone)]
pub struct Tokens {
    known: Arc<[(TokenDigest, u64)]>,
    plaintext: bool,
}

impl Tokens {
    /// These tokens, over encrypted transports only.
    #[must_use]
    pub fn new<'a>(tokens: impl IntoIterator<Item = (&'a [u8], u64)>) -> Self {
        let known = tokens.into_iter().map(|(token, whose)| (TokenDigest::of(token), whose));
        Self { known: known.collect(), plaintext: false }
    }

    /// Over any transport: whoever can read the wire can use a token for ever.
    #[must_use]
    pub const fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

impl Authenticator for Tokens {
    fn verifier(&self, _: Option<SocketAddr>) -> Box<dyn Verifier + Send> {
        let verifier = BearerVerifier::new(Arc::clone(&self.known));
        Box::new(if self.plaintext { verifier.allow_plaintext() } else { verifier })
    }
}

/// A client's bearer token. It is not printed, and is cleared when its last owner drops it.
#[derive(Clone)]
pub struct Token {
    token: Shown,
    plaintext: bool,
}

impl Token {
    /// Shows `token` over encrypted transports only.
    #[must_use]
    pub fn new(token: impl Into<Vec<u8>>) -> Self {
        Self { token: Shown(Arc::new(Hidden(token.into()))), plaintext: false }
    }

    /// Shows it over any transport: whoever can read the wire can use it for ever.
    #[must_use]
    pub const fn allow_plaintext(mut self) -> Self {
        self.plaintext = true;
        self
    }
}

/// A secret as its owners share it.
#[derive(Clone)]
struct Shown(Arc<Hidden>);

impl AsRef<[u8]> for Shown {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

/// Bytes of any length that are not printed and are cleared when they are dropped. That is as much
/// as safe code can do: what the caller made them from, and what was copied out, is elsewhere.
pub(crate) struct Hidden(pub(crate) Vec<u8>);

impl Hidden {
    /// Overwrites them, and keeps the optimiser from leaving that out.
    pub(crate) fn wipe(&mut self) {
        self.0.fill(0);
        std::hint::black_box(&self.0);
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        self.wipe();
    }
}

//= AUT-14
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Credentials for Token {
    fn prover(&self) -> Box<dyn Prover + Send> {
        let prover = BearerProver::new(self.token.clone());
        Box::new(if self.plaintext { prover.allow_plaintext() } else { prover })
    }
}

/// Keys that a server shares with its clients. Neither end shows the key, and each proves to the
/// other that it holds it; the connection itself stays readable.
#[derive(Debug, Clone)]
pub struct SharedKeys(Arc<[SharedKey]>);

impl SharedKeys {
    /// The clients that the server knows.
    #[must_use]
    pub fn new(keys: impl IntoIterator<Item = SharedKey>) -> Self {
        Self(keys.into_iter().collect())
    }
}

impl Authenticator for SharedKeys {
    fn verifier(&self, _: Option<SocketAddr>) -> Box<dyn Verifier + Send> {
        Box::new(SharedKeyVerifier::new(Arc::clone(&self.0), nonce()))
    }
}

/// The key that a client shares with its server, and the name the server knows it by.
#[derive(Debug, Clone)]
pub struct KeyedClient {
    client_id: Box<[u8]>,
    key: Secret,
}

impl KeyedClient {
    /// The client `client_id`, at most 255 bytes, holds `key`.
    #[must_use]
    pub fn new(client_id: impl Into<Box<[u8]>>, key: Secret) -> Self {
        Self { client_id: client_id.into(), key }
    }
}

impl Credentials for KeyedClient {
    fn client_id(&self) -> &[u8] {
        &self.client_id
    }

    fn prover(&self) -> Box<dyn Prover + Send> {
        Box::new(SharedKeyProver::new(self.key.clone(), nonce()))
    }
}

/// An exchange of a client under way, and what it is about.
pub(crate) struct Proving {
    pub(crate) prover: Box<dyn Prover + Send>,
    pub(crate) client_id: Vec<u8>,
    pub(crate) channel_binding: Vec<u8>,
    pub(crate) encrypted: bool,
}

impl Proving {
    /// The exchange, and what both ends know.
    pub(crate) fn parts(&mut self) -> (&mut (dyn Prover + Send), AuthContext<'_>) {
        let context = AuthContext {
            client_id: &self.client_id,
            channel_binding: &self.channel_binding,
            encrypted: self.encrypted,
        };
        (&mut *self.prover, context)
    }
}

fn nonce() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    fill(&mut nonce);
    nonce
}
