//! The acceptor and the methods of authentication.

use core::hint::black_box;

use outlast_core::auth::{
    AuthContext, AuthStep, BearerProver, BearerVerifier, Prover, Secret, SessionKey, SharedKey,
    SharedKeyProver, SharedKeyVerifier, TokenDigest, Verifier, handle_hello, resume_proof,
    verify_resume_proof,
};
use outlast_core::wire::{Close, Hello};
use outlast_core::{Acceptor, Config};

use super::{keep, now, word};

pub(super) fn all(input: &[u8], out: &mut [u8]) -> usize {
    acceptor(input, out)
        .wrapping_add(proofs(input))
        .wrapping_add(bearer(input, out))
        .wrapping_add(shared_key(input, out))
}

fn acceptor(input: &[u8], out: &mut [u8]) -> usize {
    let word = word(input);
    let mut acceptor = black_box(Acceptor::new(now(word), &black_box(Config::SERVER)));
    let mut rest = input;
    let mut kept = keep(acceptor.handle_input(now(word), &mut rest));
    kept = keep(black_box(&mut acceptor).challenge(input, out)).wrapping_add(kept);
    kept = keep(acceptor.handle_input(now(word), &mut rest)).wrapping_add(kept);
    kept = keep((acceptor.poll_timeout(), acceptor.handle_timeout(now(word)))).wrapping_add(kept);
    if let Ok(close) = Close::decode(input) {
        kept = black_box(&mut acceptor).refuse(&close, out).wrapping_add(kept);
    }
    kept
}

fn proofs(input: &[u8]) -> usize {
    let key = SessionKey::new([word(input) as u8; 16]);
    let Ok(hello) = Hello::decode(input) else {
        return 0;
    };
    let Some(claim) = hello.resume else { return 0 };
    let proof = resume_proof(&key, &claim, input);
    let verified = verify_resume_proof(&key, &claim, input, word(input) & 1 == 0);
    keep(proof).wrapping_add(usize::from(verified))
}

fn context(input: &[u8]) -> AuthContext<'_> {
    AuthContext { client_id: input, channel_binding: input, encrypted: word(input) & 1 == 0 }
}

fn step(input: &[u8]) -> AuthStep<'_> {
    let word = word(input);
    AuthStep { method: word as u8, index: (word >> 8) as u8, data: input }
}

fn bearer(input: &[u8], out: &mut [u8]) -> usize {
    let known = [(TokenDigest::of(input), word(input))];
    let mut verifier = BearerVerifier::new(known).allow_plaintext();
    let mut prover = BearerProver::new(input).allow_plaintext();
    let first = Hello::decode(input)
        .map_or(0, |hello| keep(handle_hello(&mut verifier, &context(input), &hello, out)));
    exchange(&mut verifier, &mut prover, input, out).wrapping_add(first)
}

fn shared_key(input: &[u8], out: &mut [u8]) -> usize {
    let Some(key) = Secret::new(input) else {
        return 0;
    };
    let known = [SharedKey::new(input, key.clone(), word(input))];
    let mut verifier = SharedKeyVerifier::new(known, [word(input) as u8; 16]);
    let mut prover = SharedKeyProver::new(key, [3; 16]);
    exchange(&mut verifier, &mut prover, input, out)
}

fn exchange(
    verifier: &mut impl Verifier,
    prover: &mut impl Prover,
    input: &[u8],
    out: &mut [u8],
) -> usize {
    let context = context(input);
    keep(verifier.handle_step(&context, step(input), out))
        .wrapping_add(keep(black_box(&mut *verifier).handle_step(&context, step(input), out)))
        .wrapping_add(keep(prover.start(&context, out)))
        .wrapping_add(keep(black_box(&mut *prover).handle_step(&context, input, out)))
        .wrapping_add(keep(black_box(&mut *prover).handle_step(&context, input, out)))
        .wrapping_add(keep((prover.method(), prover.is_satisfied())))
}
