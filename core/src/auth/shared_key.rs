//! Method 2: both ends prove that they hold one key, and neither shows it.
//!
//! ```text
//! client  HELLO AUTHM  client nonce (16)
//! server  AUTH         server nonce (16)
//! client  AUTH         HMAC(key, "outlast-auth-client" ..) (32)
//! server  AUTH         HMAC(key, "outlast-auth-server" ..) (32), then WELCOME
//! ```
//!
//! Behind the label both proofs cover: server nonce, client nonce, length of the client id as u16
//! (little-endian), client id, channel binding. The client proves first, so that nobody gets
//! material to guess a weak key from by merely asking.

use core::fmt;

use super::bearer::TokenDigest;
use super::exchange::{AuthContext, AuthStep, Prover, Reply, Verdict, Verifier, put};
use super::hash::Hash;
use super::secret::Secret;
use super::{METHOD_SHARED_KEY, mac_sha256, same_bytes};

/// Bytes of a nonce.
pub const NONCE_LEN: usize = 16;

type Nonce = [u8; NONCE_LEN];

const CLIENT_LABEL: &[u8] = b"outlast-auth-client";
const SERVER_LABEL: &[u8] = b"outlast-auth-server";
/// Used where the client id is unknown, so that the answer takes as long as for a known one.
const NO_KEY: [u8; 16] = [0; 16];

fn proof(
    label: &[u8],
    key: &[u8],
    server_nonce: &Nonce,
    client_nonce: &Nonce,
    context: &AuthContext<'_>,
) -> [u8; 32] {
    let id_len = u16::try_from(context.client_id.len()).unwrap_or(u16::MAX);
    let mut proof = [0; 32];
    let text = |hash: &mut Hash| {
        hash.update(label);
        hash.update(server_nonce);
        hash.update(client_nonce);
        hash.update(&id_len.to_le_bytes());
        hash.update(context.client_id);
        hash.update(context.channel_binding);
    };
    mac_sha256(key, text, &mut proof);
    proof
}

/// What the client answers to the server's nonce.
#[must_use]
pub fn shared_key_client_proof(
    key: &Secret,
    server_nonce: &[u8; NONCE_LEN],
    client_nonce: &[u8; NONCE_LEN],
    context: &AuthContext<'_>,
) -> [u8; 32] {
    //= AUT-6
    proof(CLIENT_LABEL, key.expose(), server_nonce, client_nonce, context)
}

/// What the server answers to the client's proof.
#[must_use]
pub fn shared_key_server_proof(
    key: &Secret,
    server_nonce: &[u8; NONCE_LEN],
    client_nonce: &[u8; NONCE_LEN],
    context: &AuthContext<'_>,
) -> [u8; 32] {
    //= AUT-7
    proof(SERVER_LABEL, key.expose(), server_nonce, client_nonce, context)
}

/// A client the server knows.
#[derive(Debug, Clone)]
pub struct SharedKey {
    client: TokenDigest,
    key: Secret,
    principal: u64,
}

impl SharedKey {
    /// The client that sends `client_id` as CLIENT_ID shares `key` and is `principal`.
    #[must_use]
    pub fn new(client_id: &[u8], key: Secret, principal: u64) -> Self {
        Self { client: TokenDigest::of(client_id), key, principal }
    }
}

#[derive(Copy, Clone)]
enum ServerState {
    Start,
    Challenged(Nonce),
    Over,
}

/// The server's side.
///
/// `K` is a list of [`SharedKey`]s in any kind of memory; a server with very many clients writes
/// its own [`Verifier`] around the two proof functions.
pub struct SharedKeyVerifier<K> {
    keys: K,
    nonce: Nonce,
    state: ServerState,
}

impl<K> fmt::Debug for SharedKeyVerifier<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeyVerifier(..)")
    }
}

impl<K: AsRef<[SharedKey]>> SharedKeyVerifier<K> {
    /// A verifier for one connection. `nonce` must never be used twice.
    #[must_use]
    pub const fn new(keys: K, nonce: [u8; NONCE_LEN]) -> Self {
        Self { keys, nonce, state: ServerState::Start }
    }

    fn find(&self, client_id: &[u8]) -> Option<&SharedKey> {
        let wanted = TokenDigest::of(client_id);
        let mut found = None;
        for known in self.keys.as_ref() {
            if known.client.matches(&wanted) {
                found = Some(known);
            }
        }
        found
    }

    fn judge(
        &self,
        context: &AuthContext<'_>,
        client_nonce: &Nonce,
        shown: &[u8; 32],
        out: &mut [u8],
    ) -> Verdict {
        let known = self.find(context.client_id);
        let key = known.map_or(&NO_KEY[..], |k| k.key.expose());
        let expected = proof(CLIENT_LABEL, key, &self.nonce, client_nonce, context);
        let fits = same_bytes(&expected, shown);
        let Some(known) = known.filter(|_| fits) else {
            return Verdict::Deny;
        };
        let answer = proof(SERVER_LABEL, key, &self.nonce, client_nonce, context);
        let principal = known.principal;
        put(out, &answer).map_or(Verdict::Deny, |reply| Verdict::Accept { principal, reply })
    }
}

impl<K: AsRef<[SharedKey]>> Verifier for SharedKeyVerifier<K> {
    fn handle_step(
        &mut self,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict {
        // A nonce serves one exchange: whatever happens, the same question is not asked again.
        let state = core::mem::replace(&mut self.state, ServerState::Over);
        if step.method != METHOD_SHARED_KEY {
            return Verdict::Deny;
        }
        match state {
            ServerState::Start => {
                let Ok(client_nonce) = step.data.try_into() else {
                    return Verdict::Deny;
                };
                self.state = ServerState::Challenged(client_nonce);
                put(out, &self.nonce).map_or(Verdict::Deny, Verdict::Continue)
            }
            ServerState::Challenged(client_nonce) => match step.data.try_into() {
                Ok(shown) => self.judge(context, &client_nonce, shown, out),
                Err(_) => Verdict::Deny,
            },
            ServerState::Over => Verdict::Deny,
        }
    }
}

#[derive(Copy, Clone)]
enum ClientState {
    Start,
    Asked,
    Proved(Nonce),
    Satisfied,
    Broken,
}

/// The client's side.
pub struct SharedKeyProver {
    key: Secret,
    nonce: Nonce,
    state: ClientState,
}

impl fmt::Debug for SharedKeyProver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeyProver(..)")
    }
}

impl SharedKeyProver {
    /// A prover for one connection. `nonce` must never be used twice.
    #[must_use]
    pub const fn new(key: Secret, nonce: [u8; NONCE_LEN]) -> Self {
        Self { key, nonce, state: ClientState::Start }
    }

    fn answer(&mut self, context: &AuthContext<'_>, data: &[u8], out: &mut [u8]) -> Reply {
        let Ok(server_nonce) = data.try_into() else {
            return Reply::Refuse;
        };
        let shown = shared_key_client_proof(&self.key, &server_nonce, &self.nonce, context);
        let Some(len) = put(out, &shown) else {
            return Reply::Refuse;
        };
        self.state = ClientState::Proved(server_nonce);
        Reply::Send(len)
    }

    fn check(&mut self, context: &AuthContext<'_>, data: &[u8], server_nonce: &Nonce) -> Reply {
        let expected = shared_key_server_proof(&self.key, server_nonce, &self.nonce, context);
        match data.try_into() {
            Ok(shown) if same_bytes(&expected, shown) => {
                self.state = ClientState::Satisfied;
                Reply::Wait
            }
            Ok(_) | Err(_) => Reply::Refuse,
        }
    }
}

impl Prover for SharedKeyProver {
    fn method(&self) -> u8 {
        METHOD_SHARED_KEY
    }

    fn start(&mut self, _: &AuthContext<'_>, out: &mut [u8]) -> Option<usize> {
        self.state = ClientState::Asked;
        put(out, &self.nonce)
    }

    fn handle_step(&mut self, context: &AuthContext<'_>, data: &[u8], out: &mut [u8]) -> Reply {
        match core::mem::replace(&mut self.state, ClientState::Broken) {
            ClientState::Asked => self.answer(context, data, out),
            ClientState::Proved(server_nonce) => self.check(context, data, &server_nonce),
            ClientState::Start | ClientState::Satisfied | ClientState::Broken => Reply::Refuse,
        }
    }

    fn is_satisfied(&self) -> bool {
        matches!(self.state, ClientState::Satisfied)
    }
}
