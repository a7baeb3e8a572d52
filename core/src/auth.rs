//! Who the peer is: the proof that owns a session, and the exchanges that name a principal.
//!
//! Everything here is a pure function of its arguments. Challenges come from injected entropy, and
//! every comparison with a secret takes a time that does not depend on where the bytes differ.

mod bearer;
mod exchange;
mod hash;
mod secret;
mod shared_key;

#[cfg(test)]
mod tests;

use crate::wire::{CLAIM_LEN, Resume};
use hash::{Hash, mac_sha256};

pub use bearer::{BearerProver, BearerVerifier, TokenDigest};
pub use exchange::{AuthContext, AuthStep, NoAuth, Prover, Reply, Verdict, Verifier, handle_hello};
pub use hash::{hmac_sha256, pbkdf2_sha256, sha256};
pub use secret::{SECRET_MAX, Secret, SessionKey};
pub use shared_key::{
    NONCE_LEN, SharedKey, SharedKeyProver, SharedKeyVerifier, shared_key_client_proof,
    shared_key_server_proof,
};

/// Bytes of a resume proof.
pub const PROOF_LEN: usize = 16;
/// Method number of the bearer token.
pub const METHOD_BEARER: u8 = 1;
/// Method number of the shared-key challenge.
pub const METHOD_SHARED_KEY: u8 = 2;
/// Method number of the password proof: SCRAM-SHA-256, as RFC 5802 and 7677 have it. The exchange
/// is in the service crate.
pub const METHOD_PASSWORD: u8 = 3;
/// `proof_kind` of a RESUME whose proof is the session key itself.
pub const PROOF_BEARER: u8 = 0;
/// `proof_kind` of a RESUME whose proof is an HMAC under the session key.
pub const PROOF_MAC: u8 = 1;

const RESUME_LABEL: &[u8] = b"outlast-resume";

/// The proof a RESUME carries: that its sender holds the session's key, for this attempt only.
///
/// `claim.proof` and `claim.proof_kind` are not read. `channel_binding` is what both ends know
/// about the transport they share and no other (empty where there is nothing of the kind).
#[must_use]
pub fn resume_proof(key: &SessionKey, claim: &Resume, channel_binding: &[u8]) -> [u8; PROOF_LEN] {
    let mut mac = [0; 32];
    prove_parts(key, claim, channel_binding, &mut mac);
    first(&mac)
}

#[inline(always)]
fn prove_parts(key: &SessionKey, claim: &Resume, channel_binding: &[u8], mac: &mut [u8; 32]) {
    let hash_claim = |hash: &mut Hash| {
        hash.update(&claim.sid.to_le_bytes());
        hash.update(&claim.attach.to_le_bytes());
        hash.update(&[claim.key_id]);
        hash.update(&claim.rx_next.to_le_bytes());
        hash.update(&claim.tx_first.to_le_bytes());
    };
    prove(key.expose(), hash_claim, channel_binding, mac);
}

/// The part of a MAC that is sent.
fn first(mac: &[u8; 32]) -> [u8; PROOF_LEN] {
    let (proof, _) = mac.as_chunks();
    proof.first().copied().unwrap_or_default()
}

/// As [`resume_proof`], of a claim as it lies in a RESUME in front of the proof.
pub(crate) fn prove_claim(
    key: &[u8; 16],
    claim: &[u8; CLAIM_LEN],
    channel_binding: &[u8],
    proof: &mut [u8; PROOF_LEN],
) {
    // Between the number of the key and the positions are the kind and what is reserved.
    let (front, positions) = claim.split_at(CLAIM_LEN - 16);
    let hash_claim = |hash: &mut Hash| {
        hash.update(front.get(..13).unwrap_or_default());
        hash.update(positions);
    };
    let mut mac = [0; 32];
    prove(key, hash_claim, channel_binding, &mut mac);
    *proof = first(&mac);
}

#[inline(always)]
fn prove(
    key: &[u8; 16],
    hash_claim: impl FnOnce(&mut Hash),
    channel_binding: &[u8],
    mac: &mut [u8; 32],
) {
    // Piece by piece: a list of the pieces would lie on the stack below all of the hash.
    let text = |hash: &mut Hash| {
        hash.update(RESUME_LABEL);
        hash_claim(hash);
        hash.update(channel_binding);
    };
    //= AUT-1
    mac_sha256(key, text, mac);
}

/// Whether `claim.proof` shows that its sender holds `key`.
///
/// `encrypted` says that the transport is confidential and its server authenticated; only then may
/// the key itself stand for a proof. The work is the same whatever the claim holds, so neither an
/// unknown kind nor a wrong proof can be told from the time taken.
#[must_use]
#[inline(always)]
pub fn verify_resume_proof(
    key: &SessionKey,
    claim: &Resume,
    channel_binding: &[u8],
    encrypted: bool,
) -> bool {
    //= AUT-2
    let mut mac = [0; 32];
    prove_parts(key, claim, channel_binding, &mut mac);
    let by_mac = same_bytes(&first(&mac), &claim.proof);
    let by_key = same_bytes(key.expose(), &claim.proof);
    match claim.proof_kind {
        PROOF_MAC => by_mac,
        //= AUT-3
        PROOF_BEARER => by_key && encrypted,
        _ => false,
    }
}

/// Compares in a time that depends on the length alone.
fn same_bytes<const N: usize>(left: &[u8; N], right: &[u8; N]) -> bool {
    let difference = left.iter().zip(right).fold(0, |sum, (l, r)| sum | (l ^ r));
    // Without the barrier the optimiser may leave the loop at the first difference.
    core::hint::black_box(difference) == 0
}
