//! The acceptor, and who somebody is.

use outlast_core::auth::{
    AuthContext, AuthStep, BearerProver, BearerVerifier, NoAuth, Prover, Reply, Secret, SessionKey,
    SharedKey, SharedKeyProver, SharedKeyVerifier, TokenDigest, Verdict, Verifier, handle_hello,
    hmac_sha256, pbkdf2_sha256, resume_proof, sha256, shared_key_client_proof,
    shared_key_server_proof, verify_resume_proof,
};
use outlast_core::wire::{Close, Hello, Resume};
use outlast_core::{Acceptor, CloseCode, Config, Greeting, Instant, StateError, Violation};

entries! {
    fn core_acceptor_new(now: Instant, config: &Config) -> Acceptor {
        Acceptor::new(now, config)
    }
    fn core_acceptor_handle_input<'b>(
        acceptor: &mut Acceptor,
        now: Instant,
        input: &mut &'b [u8],
    ) -> Result<Option<Greeting<'b>>, Violation> {
        Acceptor::handle_input(acceptor, now, input)
    }
    fn core_acceptor_challenge(
        acceptor: &mut Acceptor,
        data: &[u8],
        out: &mut [u8],
    ) -> Result<usize, StateError> {
        Acceptor::challenge(acceptor, data, out)
    }
    fn core_acceptor_refuse(acceptor: &mut Acceptor, close: &Close<'_>, out: &mut [u8]) -> usize {
        Acceptor::refuse(acceptor, close, out)
    }
    fn core_acceptor_poll_timeout(acceptor: &Acceptor) -> Option<Instant> {
        Acceptor::poll_timeout(acceptor)
    }
    fn core_acceptor_handle_timeout(
        acceptor: &mut Acceptor,
        now: Instant,
    ) -> Result<(), Violation> {
        Acceptor::handle_timeout(acceptor, now)
    }
    fn core_resume_proof(key: &SessionKey, claim: &Resume, channel_binding: &[u8]) -> [u8; 16] {
        resume_proof(key, claim, channel_binding)
    }
    fn core_verify_resume_proof(
        key: &SessionKey,
        claim: &Resume,
        channel_binding: &[u8],
        encrypted: bool,
    ) -> bool {
        verify_resume_proof(key, claim, channel_binding, encrypted)
    }
    fn core_token_digest_of(token: &[u8]) -> TokenDigest { TokenDigest::of(token) }
    fn core_token_digest_from_bytes(digest: [u8; 32]) -> TokenDigest {
        TokenDigest::from_bytes(digest)
    }
    fn core_token_digest_matches(token_digest: &TokenDigest, other: &TokenDigest) -> bool {
        TokenDigest::matches(token_digest, other)
    }
    fn core_bearer_verifier_new(
        tokens: &'static [(TokenDigest, u64)],
    ) -> BearerVerifier<&'static [(TokenDigest, u64)]> {
        BearerVerifier::new(tokens)
    }
    fn core_bearer_verifier_allow_plaintext(
        bearer_verifier: BearerVerifier<&'static [(TokenDigest, u64)]>,
    ) -> BearerVerifier<&'static [(TokenDigest, u64)]> {
        BearerVerifier::allow_plaintext(bearer_verifier)
    }
    fn core_bearer_verifier_handle_step(
        bearer_verifier: &mut BearerVerifier<&'static [(TokenDigest, u64)]>,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict {
        BearerVerifier::handle_step(bearer_verifier, context, step, out)
    }
    fn core_bearer_prover_new(token: &'static [u8]) -> BearerProver<&'static [u8]> {
        BearerProver::new(token)
    }
    fn core_bearer_prover_allow_plaintext(
        bearer_prover: BearerProver<&'static [u8]>,
    ) -> BearerProver<&'static [u8]> {
        BearerProver::allow_plaintext(bearer_prover)
    }
    fn core_bearer_prover_method(bearer_prover: &BearerProver<&'static [u8]>) -> u8 {
        BearerProver::method(bearer_prover)
    }
    fn core_bearer_prover_start(
        bearer_prover: &mut BearerProver<&'static [u8]>,
        context: &AuthContext<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        BearerProver::start(bearer_prover, context, out)
    }
    fn core_bearer_prover_handle_step(
        bearer_prover: &mut BearerProver<&'static [u8]>,
        context: &AuthContext<'_>,
        data: &[u8],
        out: &mut [u8],
    ) -> Reply {
        BearerProver::handle_step(bearer_prover, context, data, out)
    }
    fn core_bearer_prover_is_satisfied(bearer_prover: &BearerProver<&'static [u8]>) -> bool {
        BearerProver::is_satisfied(bearer_prover)
    }
    fn core_handle_hello(
        verifier: &mut NoAuth,
        context: &AuthContext<'_>,
        hello: &Hello<'_>,
        out: &mut [u8],
    ) -> Result<Verdict, CloseCode> {
        handle_hello(verifier, context, hello, out)
    }
    fn core_no_auth_handle_step(
        no_auth: &mut NoAuth,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict {
        NoAuth::handle_step(no_auth, context, step, out)
    }
    fn core_sha256(bytes: &[u8]) -> [u8; 32] { sha256(bytes) }
    fn core_hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] { hmac_sha256(key, parts) }
    fn core_pbkdf2_sha256(password: &[u8], salt: &[u8], iterations: u32) -> [u8; 32] {
        pbkdf2_sha256(password, salt, iterations)
    }
    fn core_session_key_new(bytes: [u8; 16]) -> SessionKey { SessionKey::new(bytes) }
    fn core_session_key_expose(session_key: &SessionKey) -> &[u8; 16] {
        SessionKey::expose(session_key)
    }
    fn core_secret_new(bytes: &[u8]) -> Option<Secret> { Secret::new(bytes) }
    fn core_secret_expose(secret: &Secret) -> &[u8] { Secret::expose(secret) }
    fn core_shared_key_client_proof(
        key: &Secret,
        server_nonce: &[u8; 16],
        client_nonce: &[u8; 16],
        context: &AuthContext<'_>,
    ) -> [u8; 32] {
        shared_key_client_proof(key, server_nonce, client_nonce, context)
    }
    fn core_shared_key_server_proof(
        key: &Secret,
        server_nonce: &[u8; 16],
        client_nonce: &[u8; 16],
        context: &AuthContext<'_>,
    ) -> [u8; 32] {
        shared_key_server_proof(key, server_nonce, client_nonce, context)
    }
    fn core_shared_key_new(client_id: &[u8], key: Secret, principal: u64) -> SharedKey {
        SharedKey::new(client_id, key, principal)
    }
    fn core_shared_key_verifier_new(
        keys: &'static [SharedKey],
        nonce: [u8; 16],
    ) -> SharedKeyVerifier<&'static [SharedKey]> {
        SharedKeyVerifier::new(keys, nonce)
    }
    fn core_shared_key_verifier_handle_step(
        shared_key_verifier: &mut SharedKeyVerifier<&'static [SharedKey]>,
        context: &AuthContext<'_>,
        step: AuthStep<'_>,
        out: &mut [u8],
    ) -> Verdict {
        SharedKeyVerifier::handle_step(shared_key_verifier, context, step, out)
    }
    fn core_shared_key_prover_new(key: Secret, nonce: [u8; 16]) -> SharedKeyProver {
        SharedKeyProver::new(key, nonce)
    }
    fn core_shared_key_prover_method(shared_key_prover: &SharedKeyProver) -> u8 {
        SharedKeyProver::method(shared_key_prover)
    }
    fn core_shared_key_prover_start(
        shared_key_prover: &mut SharedKeyProver,
        context: &AuthContext<'_>,
        out: &mut [u8],
    ) -> Option<usize> {
        SharedKeyProver::start(shared_key_prover, context, out)
    }
    fn core_shared_key_prover_handle_step(
        shared_key_prover: &mut SharedKeyProver,
        context: &AuthContext<'_>,
        data: &[u8],
        out: &mut [u8],
    ) -> Reply {
        SharedKeyProver::handle_step(shared_key_prover, context, data, out)
    }
    fn core_shared_key_prover_is_satisfied(shared_key_prover: &SharedKeyProver) -> bool {
        SharedKeyProver::is_satisfied(shared_key_prover)
    }
}
