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

/// Bytes of a proof.
const PROOF_LEN: usize = 32;

type Nonce = [u8; NONCE_LEN];

const CLIENT_LABEL: &[u8] = b"outlast-auth-client";
const SERVER_LABEL: &[u8] = b"outlast-auth-server";
/// Used where the client id is unknown, so that the answer takes as long as for a known one.
const NO_KEY: [u8; 16] = [0; 16];

/// What a proof covers, and the key that it is of.
struct Covered<'a> {
    label: &'static [u8],
    key: &'a [u8],
    server_nonce: &'a Nonce,
    client_nonce: &'a Nonce,
    context: &'a AuthContext<'a>,
}

impl Covered<'_> {
    /// Makes the proof. One function for whatever is done with it, so that it lies here and not
    /// above.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    fn prove(&self, proof: Proof<'_>) -> bool {
        let mut expected = [0; PROOF_LEN];
        // Of the closure's own there is one word, and everything else stays where it lies.
        mac_sha256(self.key, |hash| self.hash(hash), &mut expected);
        match proof {
            Proof::Shown(shown) => same_bytes(&expected, shown),
            Proof::Wanted(out) => {
                *out = expected;
                true
            }
        }
    }

    fn hash(&self, hash: &mut Hash) {
        let id_len = u16::try_from(self.context.client_id.len()).unwrap_or(u16::MAX);
        hash.update(self.label);
        hash.update(self.server_nonce);
        hash.update(self.client_nonce);
        hash.update(&id_len.to_le_bytes());
        hash.update(self.context.client_id);
        hash.update(self.context.channel_binding);
    }

    /// Puts the proof at the front of `out`; `None` if it does not fit.
    fn put_proof(&self, out: &mut [u8]) -> Option<usize> {
        self.prove(Proof::Wanted(out.first_chunk_mut()?));
        Some(PROOF_LEN)
    }

    fn proof(&self) -> [u8; PROOF_LEN] {
        let mut proof = [0; PROOF_LEN];
        self.prove(Proof::Wanted(&mut proof));
        proof
    }
}

/// What a proof is made for.
enum Proof<'a> {
    /// To be compared with this one; the answer is whether they are the same.
    Shown(&'a [u8; PROOF_LEN]),
    /// To be written here.
    Wanted(&'a mut [u8; PROOF_LEN]),
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
    let (label, key) = (CLIENT_LABEL, key.expose());
    Covered { label, key, server_nonce, client_nonce, context }.proof()
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
    let (label, key) = (SERVER_LABEL, key.expose());
    Covered { label, key, server_nonce, client_nonce, context }.proof()
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

    #[cfg_attr(target_pointer_width = "32", inline(never))]
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
        let (label, server_nonce) = (CLIENT_LABEL, &self.nonce);
        let mut covered = Covered { label, key, server_nonce, client_nonce, context };
        let fits = covered.prove(Proof::Shown(shown));
        let Some(known) = known.filter(|_| fits) else {
            return Verdict::Deny;
        };
        let principal = known.principal;
        covered.label = SERVER_LABEL;
        covered.put_proof(out).map_or(Verdict::Deny, |reply| Verdict::Accept { principal, reply })
    }
}

impl<K: AsRef<[SharedKey]>> Verifier for SharedKeyVerifier<K> {
    fn handle_step(
        &mut self,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict {
        let is_mine = step.method == METHOD_SHARED_KEY;
        if let (true, ServerState::Start, Ok(client_nonce)) =
            (is_mine, &self.state, step.data.try_into())
        {
            self.state = ServerState::Challenged(client_nonce);
            return put(out, &self.nonce).map_or(Verdict::Deny, Verdict::Continue);
        }
        let verdict = match (&self.state, step.data.try_into()) {
            (ServerState::Challenged(client_nonce), Ok(shown)) if is_mine => {
                self.judge(context, client_nonce, shown, out)
            }
            _ => Verdict::Deny,
        };
        // A nonce serves one exchange: whatever happens, the same question is not asked again.
        self.state = ServerState::Over;
        verdict
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

    /// The state after the server's message, and what to do about it.
    fn next(&self, context: &AuthContext<'_>, data: &[u8], out: &mut [u8]) -> (ClientState, Reply) {
        const BROKEN: (ClientState, Reply) = (ClientState::Broken, Reply::Refuse);
        let covered = |label, server_nonce| Covered {
            label,
            key: self.key.expose(),
            server_nonce,
            client_nonce: &self.nonce,
            context,
        };
        match &self.state {
            ClientState::Asked => {
                let Ok(server_nonce) = <&Nonce>::try_from(data) else {
                    return BROKEN;
                };
                let len = covered(CLIENT_LABEL, server_nonce).put_proof(out);
                len.map_or(BROKEN, |len| (ClientState::Proved(*server_nonce), Reply::Send(len)))
            }
            ClientState::Proved(server_nonce) => match data.try_into() {
                Ok(shown) if covered(SERVER_LABEL, server_nonce).prove(Proof::Shown(shown)) => {
                    (ClientState::Satisfied, Reply::Wait)
                }
                Ok(_) | Err(_) => BROKEN,
            },
            ClientState::Start | ClientState::Satisfied | ClientState::Broken => BROKEN,
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
        let reply;
        (self.state, reply) = self.next(context, data, out);
        reply
    }

    fn is_satisfied(&self) -> bool {
        matches!(self.state, ClientState::Satisfied)
    }
}
