extern crate alloc;

use super::*;

const KEY: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

fn claim() -> Resume {
    Resume {
        sid: 0x0001_0000_dead_beef,
        attach: 2,
        key_id: 1,
        proof_kind: PROOF_MAC,
        rx_next: 360,
        tx_first: 1200,
        proof: [
            0xd6, 0x63, 0x80, 0x6e, 0xb7, 0x25, 0x56, 0x8e, 0xc0, 0x87, 0x86, 0xa2, 0x83, 0x10,
            0x4f, 0xa2,
        ],
    }
}

//= test AUT-1
#[test]
fn resume_proof_matches_the_golden_vector() {
    assert_eq!(resume_proof(&SessionKey::new(KEY), &claim(), b""), claim().proof);
    assert!(verify_resume_proof(&SessionKey::new(KEY), &claim(), b"", false));
}

//= test AUT-2
#[test]
fn every_covered_field_and_every_bit_of_the_proof_counts() {
    let key = SessionKey::new(KEY);
    let changed: [fn(&mut Resume); 6] = [
        |c| c.sid ^= 1,
        |c| c.attach += 1,
        |c| c.key_id += 1,
        |c| c.rx_next ^= 1 << 63,
        |c| c.tx_first ^= 1,
        |c| c.proof_kind = 2,
    ];
    for change in changed {
        let mut other = claim();
        change(&mut other);
        assert!(!verify_resume_proof(&key, &other, b"", true));
    }
    for bit in 0..128 {
        let mut other = claim();
        other.proof[bit / 8] ^= 1 << (bit % 8);
        assert!(!verify_resume_proof(&key, &other, b"", true));
    }
    assert!(!verify_resume_proof(&key, &claim(), b"another transport", true));
}

//= test AUT-3
#[test]
fn the_key_itself_is_a_proof_only_where_nobody_can_read_it() {
    let shown = Resume { proof_kind: PROOF_BEARER, proof: KEY, ..claim() };
    assert!(verify_resume_proof(&SessionKey::new(KEY), &shown, b"", true));
    assert!(!verify_resume_proof(&SessionKey::new(KEY), &shown, b"", false));
    let mac = Resume { proof_kind: PROOF_MAC, ..shown };
    assert!(!verify_resume_proof(&SessionKey::new(KEY), &mac, b"", true));
}

fn hmac_of(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut out = [0; 32];
    mac_sha256(key, |hash| parts.iter().for_each(|part| hash.update(part)), &mut out);
    out
}

#[test]
fn hmac_matches_rfc_4231() {
    let expected = [
        0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53, 0x5c, 0xa8, 0xaf, 0xce, 0xaf, 0x0b, 0xf1,
        0x2b, 0x88, 0x1d, 0xc2, 0x00, 0xc9, 0x83, 0x3d, 0xa7, 0x26, 0xe9, 0x37, 0x6c, 0x2e, 0x32,
        0xcf, 0xf7,
    ];
    assert_eq!(hmac_of(&[0x0b; 20], &[b"Hi ", b"", b"There"]), expected);
}

/// The values for SHA-256 that are agreed on beside RFC 6070, and the password of RFC 7677.
#[test]
fn pbkdf2_matches_known_values() {
    let hex = |bytes: [u8; 32]| bytes.map(|byte| alloc::format!("{byte:02x}")).concat();
    for (password, salt, iterations, expected) in [
        (&b"password"[..], &b"salt"[..], 1, "120fb6cffcf8b32c43e7225256c4f837a86548c9"),
        (b"password", b"salt", 2, "ae4d0c95af6b46d32d0adff928f06dd02a303f8e"),
        (b"password", b"salt", 4096, "c5e478d59288c841aa530db6845c4c8d962893a0"),
        (
            b"passwordPASSWORDpassword",
            b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            "348c89dbcbd32b2f32d814b8116e84cf2b17347e",
        ),
    ] {
        let made = hex(pbkdf2_sha256(password, salt, iterations));
        assert!(made.starts_with(expected), "{made}");
    }
    // A long password counts as its hash.
    let long = [b'x'; 65];
    assert_eq!(pbkdf2_sha256(&long, b"s", 3), pbkdf2_sha256(&sha256(&long), b"s", 3));
    assert_eq!(pbkdf2_sha256(b"p", b"s", 0), pbkdf2_sha256(b"p", b"s", 1));
}

#[test]
fn secrets_are_bounded_and_not_printed() {
    use alloc::format;
    assert!(Secret::new(b"").is_none());
    assert!(Secret::new(&[7; SECRET_MAX + 1]).is_none());
    let secret = Secret::new(b"hunter2").unwrap();
    assert_eq!(secret.expose(), b"hunter2");
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    assert_eq!(format!("{:?}", SessionKey::new(KEY)), "SessionKey(..)");
    assert_eq!(format!("{:?}", TokenDigest::of(b"t")), "TokenDigest(..)");
    assert_eq!(format!("{:?}", BearerProver::new(b"hunter2")), "BearerProver(..)");
    let known = SharedKey::new(b"id", secret.clone(), 1);
    assert!(!format!("{known:?}").contains("hunter"));
    assert_eq!(format!("{:?}", SharedKeyProver::new(secret, [0; 16])), "SharedKeyProver(..)");
}

fn context(encrypted: bool) -> AuthContext<'static> {
    AuthContext { client_id: b"sensor-7", channel_binding: b"binding", encrypted }
}

//= test AUT-5
#[test]
fn bearer_accepts_only_its_tokens() {
    let tokens = [(TokenDigest::of(b"first"), 11), (TokenDigest::of(b"second"), 22)];
    let mut out = [0; 64];
    let mut ask = |token: &[u8], index, method, encrypted| {
        let mut verifier = BearerVerifier::new(&tokens[..]);
        let step = AuthStep { method, index, data: token };
        verifier.handle_step(&context(encrypted), step, &mut out)
    };
    assert_eq!(ask(b"second", 0, 1, true), Verdict::Accept { principal: 22, reply: 0 });
    assert_eq!(ask(b"first", 0, 1, true), Verdict::Accept { principal: 11, reply: 0 });
    for wrong in [&b""[..], b"firs", b"firstt", b"FIRST"] {
        assert_eq!(ask(wrong, 0, 1, true), Verdict::Deny);
    }
    assert_eq!(ask(b"first", 1, 1, true), Verdict::Deny);
    assert_eq!(ask(b"first", 0, 2, true), Verdict::Deny);
    assert_eq!(ask(b"first", 0, 1, false), Verdict::Deny);
    let mut open = BearerVerifier::new(&tokens[..]).allow_plaintext();
    let step = AuthStep { method: 1, index: 0, data: b"first" };
    let verdict = open.handle_step(&context(false), step, &mut out);
    assert_eq!(verdict, Verdict::Accept { principal: 11, reply: 0 });
}

#[test]
fn bearer_client_shows_its_token_only_where_allowed() {
    let mut out = [0; 8];
    let mut prover = BearerProver::new(b"token");
    assert_eq!(prover.start(&context(true), &mut out), Some(5));
    assert_eq!(&out[..5], b"token");
    assert_eq!(prover.start(&context(false), &mut out), None);
    assert_eq!(prover.start(&context(true), &mut out[..4]), None);
    assert_eq!(prover.handle_step(&context(true), b"?", &mut out), Reply::Refuse);
    assert!(prover.is_satisfied());
    assert_eq!(prover.allow_plaintext().start(&context(false), &mut out), Some(5));
}

struct Pair {
    client: SharedKeyProver,
    server: SharedKeyVerifier<[SharedKey; 2]>,
}

fn pair(client_key: &[u8], client_id: &[u8]) -> Pair {
    let secret = |bytes: &[u8]| Secret::new(bytes).unwrap();
    let keys = [
        SharedKey::new(b"other", secret(b"another key"), 1),
        SharedKey::new(client_id, secret(b"the shared key"), 7),
    ];
    Pair {
        client: SharedKeyProver::new(secret(client_key), [0xC1; 16]),
        server: SharedKeyVerifier::new(keys, [0x5E; 16]),
    }
}

/// Runs the exchange; the server's context may differ from the client's.
fn exchange(pair: &mut Pair, server_context: &AuthContext<'_>) -> (Verdict, Reply) {
    let (mut a, mut b) = ([0; 64], [0; 64]);
    let n = pair.client.start(&context(false), &mut a).unwrap();
    let step = AuthStep { method: METHOD_SHARED_KEY, index: 0, data: &a[..n] };
    let Verdict::Continue(n) = pair.server.handle_step(server_context, step, &mut b) else {
        return (Verdict::Deny, Reply::Refuse);
    };
    assert!(!pair.client.is_satisfied());
    let Reply::Send(n) = pair.client.handle_step(&context(false), &b[..n], &mut a) else {
        return (Verdict::Deny, Reply::Refuse);
    };
    let step = AuthStep { method: METHOD_SHARED_KEY, index: 2, data: &a[..n] };
    let verdict = pair.server.handle_step(server_context, step, &mut b);
    let Verdict::Accept { reply, .. } = verdict else {
        return (verdict, Reply::Refuse);
    };
    (verdict, pair.client.handle_step(&context(false), &b[..reply], &mut a))
}

//= test AUT-6
//= test AUT-7
#[test]
fn shared_key_proves_both_ends() {
    let mut both = pair(b"the shared key", b"sensor-7");
    let (verdict, reply) = exchange(&mut both, &context(false));
    assert_eq!(verdict, Verdict::Accept { principal: 7, reply: 32 });
    assert_eq!(reply, Reply::Wait);
    assert!(both.client.is_satisfied());
    let again = AuthStep { method: METHOD_SHARED_KEY, index: 3, data: &[0; 16] };
    assert_eq!(both.server.handle_step(&context(false), again, &mut [0; 64]), Verdict::Deny);
}

#[test]
fn shared_key_refuses_a_wrong_key_client_or_transport() {
    let wrong_key = exchange(&mut pair(b"the shared kez", b"sensor-7"), &context(false));
    assert_eq!(wrong_key.0, Verdict::Deny);
    let unknown = exchange(&mut pair(b"the shared key", b"sensor-8"), &context(false));
    assert_eq!(unknown.0, Verdict::Deny);
    let relayed = AuthContext { channel_binding: b"in the middle", ..context(false) };
    assert_eq!(exchange(&mut pair(b"the shared key", b"sensor-7"), &relayed).0, Verdict::Deny);
    // The dummy key of unknown clients opens nothing.
    let dummy = exchange(&mut pair(&[0; 16], b"sensor-8"), &context(false));
    assert_eq!(dummy.0, Verdict::Deny);
}

#[test]
fn shared_key_proofs_are_the_documented_hmac() {
    let key = Secret::new(b"the shared key").unwrap();
    let (server, client) = ([0x5E; 16], [0xC1; 16]);
    let mut text = alloc::vec::Vec::new();
    text.extend_from_slice(b"outlast-auth-client");
    text.extend_from_slice(&server);
    text.extend_from_slice(&client);
    text.extend_from_slice(&[8, 0]);
    text.extend_from_slice(b"sensor-7binding");
    let expected = hmac_of(b"the shared key", &[&text]);
    assert_eq!(shared_key_client_proof(&key, &server, &client, &context(false)), expected);
    assert_ne!(shared_key_server_proof(&key, &server, &client, &context(false)), expected);
}

#[test]
fn a_server_without_the_key_is_refused() {
    let mut both = pair(b"the shared key", b"sensor-7");
    let mut out = [0; 64];
    both.client.start(&context(false), &mut out).unwrap();
    let sent = both.client.handle_step(&context(false), &[9; 16], &mut out);
    assert_eq!(sent, Reply::Send(32));
    // Reflecting the client's own proof does not help: the labels differ.
    let reflected = out;
    let reply = both.client.handle_step(&context(false), &reflected[..32], &mut out);
    assert_eq!(reply, Reply::Refuse);
    assert!(!both.client.is_satisfied());
}
