//! Who may come in: what a server that demands authentication says, and whose a session is.

use super::*;
use outlast_core::auth::{
    AuthContext, AuthStep, BearerVerifier, Secret, SharedKey, SharedKeyVerifier, TokenDigest,
    Verdict, Verifier, handle_hello,
};
use outlast_core::registry::{Admission, Entropy, Entry, Peer, Registry, RegistryConfig};
use outlast_core::wire::AuthData;

type Sessions = Registry<[Entry; 4]>;

fn sessions() -> Sessions {
    Registry::new(RegistryConfig::default(), 1, [const { Entry::EMPTY }; 4])
}

const TOKENS: [(&[u8], u64); 2] = [(b"alice's", 1), (b"bob's", 2)];

fn verifier() -> BearerVerifier<Vec<(TokenDigest, u64)>> {
    let tokens = TOKENS.map(|(token, principal)| (TokenDigest::of(token), principal));
    BearerVerifier::new(tokens.to_vec())
}

fn context() -> AuthContext<'static> {
    AuthContext { client_id: &[], channel_binding: &[], encrypted: true }
}

/// The first thing a server says to a HELLO with these credentials: whom it takes it for, or no.
fn judge(hello: &Hello<'_>, auth: Option<(u8, &[u8])>) -> Result<u64, CloseCode> {
    let auth = auth.map(|(method, data)| AuthData { method, data });
    match handle_hello(&mut verifier(), &context(), &Hello { auth, ..*hello }, &mut [])? {
        Verdict::Accept { principal, .. } => Ok(principal),
        other => panic!("{other:?}"),
    }
}

//= test AUT-9
#[test]
fn credentials_are_demanded_and_nothing_is_said_about_wrong_ones() {
    let said = hello_of(&mut Session::client(config(), Vec::new()).unwrap(), T, 7);
    let hello = hello(&said);
    assert_eq!(judge(&hello, None), Err(CloseCode::AUTH_REQUIRED));
    for (method, data) in [
        (1, &b""[..]),
        (1, b"alice"),
        (1, b"alice's "),
        (2, b"alice's"),
        (0, b"alice's"),
        (255, &[0; 200]),
    ] {
        assert_eq!(judge(&hello, Some((method, data))), Err(CloseCode::AUTH_FAILED), "{data:?}");
    }
    assert_eq!(judge(&hello, Some((1, b"bob's"))), Ok(2));
    // A method of several steps fails at any of them with the same word.
    let secret = Secret::new(&[4; 32]).unwrap();
    let keys = [SharedKey::new(b"", secret, 3)];
    let mut shared = SharedKeyVerifier::new(keys, [2; 16]);
    let mut out = [0; 64];
    let auth = Some(AuthData { method: 2, data: &[1; 16] });
    let first = handle_hello(&mut shared, &context(), &Hello { auth, ..hello }, &mut out);
    assert_eq!(first, Ok(Verdict::Continue(16)));
    let step = AuthStep { method: 2, index: 1, data: &[9; 32] };
    assert_eq!(shared.handle_step(&context(), step, &mut out), Verdict::Deny);
}

//= test AUT-10
#[test]
fn a_session_is_given_back_to_whom_it_was_given() {
    let mut sessions = sessions();
    let mut client = Session::client(config(), Vec::new()).unwrap();
    let peer = |principal| Peer { principal, source: 1, channel_binding: &[], encrypted: true };
    let entropy = || Entropy { sid: GRANT.sid, key: GRANT.key };
    let said = hello_of(&mut client, T, 7);
    let alice = judge(&hello(&said), Some((1, TOKENS[0].0))).unwrap();
    let admitted = sessions.admit(T, &hello(&said), &peer(Some(alice)), entropy()).unwrap();
    let Admission::New { lease, grant, .. } = admitted else { panic!("{admitted:?}") };
    let mut out = [0; HANDSHAKE_MAX];
    let accepted =
        Session::server(T, config(), &hello(&said), grant, 5, Vec::new(), &mut out).unwrap();
    let server = accepted.session;
    take(&mut client, &out[..accepted.written]);
    assert!(sessions.confirmed(lease));
    // The same key and proof by someone else: by bob, and by one who is nobody.
    let said = hello_of(&mut client, T, 7);
    let bob = judge(&hello(&said), Some((1, TOKENS[1].0))).unwrap();
    assert_eq!(judge(&hello(&said), None), Err(CloseCode::AUTH_REQUIRED), "also to resume");
    let (before, stats) = (server.clone(), *sessions.stats());
    for who in [Some(bob), None] {
        let refusal = sessions.admit(T, &hello(&said), &peer(who), entropy()).unwrap_err();
        assert_eq!(refusal.code, CloseCode::IDENTITY_MISMATCH, "{who:?}");
        assert_eq!((refusal.rx_next, refusal.last_attach), (None, None));
    }
    assert!(server == before && sessions.confirmed(lease), "its owner notices nothing");
    assert_eq!(sessions.stats().attached, stats.attached);
    let admitted = sessions.admit(T, &hello(&said), &peer(Some(alice)), entropy()).unwrap();
    assert!(matches!(admitted, Admission::Resume { fence: true, .. }));
}

//= test REG-15
#[test]
fn name_and_key_of_a_session_are_the_entropy_it_was_made_with_and_nothing_else() {
    let peer = Peer { principal: None, source: 1, channel_binding: &[], encrypted: false };
    let said = hello_of(&mut Session::client(config(), Vec::new()).unwrap(), T, 7);
    let mut all = Vec::new();
    for number in 0..4u64 {
        // The same server, client and time, again and again: only entropy tells them apart.
        let mut sessions = sessions();
        let sid = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let key = sid.to_be_bytes().repeat(2).try_into().unwrap();
        let admitted = sessions.admit(T, &hello(&said), &peer, Entropy { sid, key }).unwrap();
        let Admission::New { grant, .. } = admitted else { panic!("{admitted:?}") };
        assert_eq!((grant.sid, grant.key), (sid, key));
        all.push(grant);
        // A number that is taken already is given to nobody else, however it came about.
        let refusal = sessions.admit(T, &hello(&said), &peer, Entropy { sid, key }).unwrap_err();
        assert_eq!(refusal.code, CloseCode::BUSY);
    }
    all.dedup_by_key(|grant| grant.key);
    assert_eq!(all.len(), 4);
}
