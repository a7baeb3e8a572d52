//! The exchange against the vector of RFC 7677, and whatever else may come.

use outlast_core::auth::{
    AuthContext, AuthStep, METHOD_PASSWORD, METHOD_SHARED_KEY, Prover, Reply, Secret, Verdict,
    Verifier,
};

use super::message::{Challenge, decode64, encode64};
use super::server::PasswordVerifier;
use super::stored::Keys;
use super::*;
use crate::auth::Hidden;

const PLAIN: AuthContext<'static> =
    AuthContext { client_id: b"", channel_binding: b"", encrypted: false };
const TLS: AuthContext<'static> =
    AuthContext { client_id: b"", channel_binding: &[7; 32], encrypted: true };

/// A user with few iterations, so that tests are quick.
fn users() -> Passwords {
    let stored = StoredPassword::with_iterations("pencil", MIN_ITERATIONS).unwrap();
    Passwords::new([("user", stored, 41)]).allow_plaintext()
}

fn password(name: &str, password: &str) -> Password {
    Password::new(name, password).unwrap().allow_plaintext()
}

/// One step at the server: what it says, and whom it lets in.
fn ask(
    verifier: &mut PasswordVerifier,
    context: &AuthContext<'_>,
    index: u8,
    data: &[u8],
) -> Option<(Option<u64>, Vec<u8>)> {
    let mut out = [0; 1024];
    let step = AuthStep { method: METHOD_PASSWORD, index, data };
    match verifier.handle_step(context, step, &mut out) {
        Verdict::Deny => None,
        Verdict::Continue(len) => Some((None, out[..len].to_vec())),
        Verdict::Accept { principal, reply } => Some((Some(principal), out[..reply].to_vec())),
    }
}

/// Everything both ends say, in turn, and whether the client is content.
struct Talk {
    said: Vec<String>,
    principal: Option<u64>,
    satisfied: bool,
}

/// The exchange of these two; `change` may spoil each message, by its number.
fn talk(
    users: &Passwords,
    user: &Password,
    contexts: [&AuthContext<'_>; 2],
    change: impl Fn(usize, &mut Vec<u8>),
) -> Talk {
    let mut prover = user.exchange(server::nonce());
    let mut verifier = users.exchange(server::nonce());
    let mut talk = Talk { said: Vec::new(), principal: None, satisfied: false };
    let mut out = [0; 1024];
    let Some(len) = prover.start(contexts[0], &mut out) else {
        return talk;
    };
    let mut data = out[..len].to_vec();
    for index in 0..2 {
        change(talk.said.len(), &mut data);
        talk.said.push(String::from_utf8_lossy(&data).into_owned());
        let Some((principal, mut answer)) = ask(&mut verifier, contexts[1], index, &data) else {
            break;
        };
        talk.principal = principal;
        change(talk.said.len(), &mut answer);
        talk.said.push(String::from_utf8_lossy(&answer).into_owned());
        match prover.handle_step(contexts[0], &answer, &mut out) {
            Reply::Send(len) => data = out[..len].to_vec(),
            Reply::Wait | Reply::Refuse => break,
        }
    }
    talk.satisfied = prover.is_satisfied();
    talk
}

fn unchanged(_: usize, _: &mut Vec<u8>) {}

//= test AUT-16
#[test]
fn the_exchange_of_rfc_7677_byte_for_byte() {
    let salt = decode64("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let stored = StoredPassword::with_salt(b"pencil", &salt, 4096).unwrap();
    let users = Passwords::new([("user", stored, 41)]).allow_plaintext();
    let mut verifier = users.exchange("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into());
    let mut prover = password("user", "pencil").exchange("rOprNGfwEbeRWgbNEkqO".into());
    let mut out = [0; 512];
    let len = prover.start(&PLAIN, &mut out).unwrap();
    assert_eq!(out[..len], *b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let (_, challenge) = ask(&mut verifier, &PLAIN, 0, &out[..len]).unwrap();
    let both = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let expected = format!("r={both},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
    assert_eq!(String::from_utf8_lossy(&challenge), expected);
    let Reply::Send(len) = prover.handle_step(&PLAIN, &challenge, &mut out) else {
        panic!("no proof");
    };
    let expected = format!("c=biws,r={both},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    assert_eq!(String::from_utf8_lossy(&out[..len]), expected);
    let (principal, answer) = ask(&mut verifier, &PLAIN, 1, &out[..len]).unwrap();
    assert_eq!(principal, Some(41));
    let expected = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(String::from_utf8_lossy(&answer), expected);
    assert!(!prover.is_satisfied(), "the server has not proved anything yet");
    assert_eq!(prover.handle_step(&PLAIN, &answer, &mut out), Reply::Wait);
    assert!(prover.is_satisfied());
    assert!(ask(&mut verifier, &PLAIN, 2, b"again").is_none());
}

//= test AUT-16
//= test AUT-17
#[test]
fn nothing_can_be_changed_on_the_way() {
    let (users, user) = (users(), password("user", "pencil"));
    let whole = talk(&users, &user, [&PLAIN, &PLAIN], unchanged);
    assert_eq!((whole.principal, whole.satisfied, whole.said.len()), (Some(41), true, 4));
    for number in 0..4 {
        for at in 0..whole.said[number].len() {
            let spoil = |message: usize, data: &mut Vec<u8>| {
                if message == number {
                    data[at] ^= 1;
                }
            };
            let spoiled = talk(&users, &user, [&PLAIN, &PLAIN], spoil);
            // Who changes the last message can keep the client out, and let nobody in.
            assert!(!spoiled.satisfied, "message {number}, byte {at}");
            assert!(spoiled.principal.is_none() || number == 3, "message {number}, byte {at}");
        }
    }
}

//= test AUT-18
#[test]
fn an_unknown_name_is_answered_like_a_known_one() {
    let (users, salt) = (users(), |talk: &Talk| talk.said[1].split(',').nth(1).map(str::to_owned));
    let shape = |talk: &Talk| {
        let lengths: Vec<usize> = talk.said.iter().map(String::len).collect();
        let iterations = talk.said[1].split(',').nth(2).map(str::to_owned);
        (lengths, iterations, talk.principal, talk.satisfied)
    };
    let attempt = |name: &str| talk(&users, &password(name, "crayon"), [&PLAIN, &PLAIN], unchanged);
    let (known, unknown, other) = (attempt("user"), attempt("usar"), attempt("usor"));
    assert_eq!(known.said.len(), 3, "the proof was sent, and not answered");
    assert_eq!(shape(&known), shape(&unknown));
    assert_eq!(salt(&unknown), salt(&attempt("usar")), "the same each time");
    assert_ne!(salt(&unknown), salt(&other));
    // With a secret of one's own the salts outlast the server.
    let kept = |byte| {
        let users = users.clone().secret(Secret::new(&[byte; 32]).unwrap());
        salt(&talk(&users, &password("usar", "x"), [&PLAIN, &PLAIN], unchanged))
    };
    assert_eq!(kept(1), kept(1));
    assert_ne!(kept(1), kept(2));
}

#[test]
fn names_are_counted_like_most() {
    let few = StoredPassword::with_iterations("a", 5_000).unwrap();
    let many = StoredPassword::with_iterations("b", 9_000).unwrap();
    let users = Passwords::new([("a", few, 1), ("b", many.clone(), 2), ("c", many, 3)]);
    let users = users.allow_plaintext();
    let said = talk(&users, &password("nobody", "x"), [&PLAIN, &PLAIN], unchanged).said;
    assert!(said[1].ends_with(",i=9000"), "{}", said[1]);
    for wrong in [0, MIN_ITERATIONS - 1, MAX_ITERATIONS + 1, u32::MAX] {
        let refused = users.clone().usual_iterations(wrong).unwrap_err();
        assert_eq!(refused, PasswordError::Iterations);
    }
    let users = users.usual_iterations(4_097).unwrap();
    let said = talk(&users, &password("nobody", "x"), [&PLAIN, &PLAIN], unchanged).said;
    assert!(said[1].ends_with(",i=4097"), "{}", said[1]);
}

//= test AUT-16
#[test]
fn a_proof_is_bound_to_its_channel() {
    let (users, user) = (users(), password("user", "pencil"));
    let whole = talk(&users, &user, [&TLS, &TLS], unchanged);
    assert!(whole.satisfied && whole.said[0].starts_with("p=tls-exporter,,n=user,"));
    let other = AuthContext { channel_binding: &[8; 32], ..TLS };
    for contexts in [[&TLS, &other], [&TLS, &PLAIN], [&PLAIN, &TLS]] {
        let refused = talk(&users, &user, contexts, unchanged);
        assert!(!refused.satisfied && refused.principal.is_none());
    }
}

#[test]
fn nothing_is_said_in_clear_unless_allowed() {
    let (users, user) = (users(), password("user", "pencil"));
    let secretive = Password::new("user", "pencil").unwrap();
    let stored = StoredPassword::with_iterations("pencil", MIN_ITERATIONS).unwrap();
    let strict = Passwords::new([("user", stored, 41)]);
    assert!(talk(&users, &secretive, [&PLAIN, &PLAIN], unchanged).said.is_empty());
    assert_eq!(talk(&strict, &user, [&PLAIN, &PLAIN], unchanged).said.len(), 1);
    assert!(talk(&strict, &secretive, [&TLS, &TLS], unchanged).satisfied);
}

//= test AUT-17
#[test]
fn a_client_answers_no_server_that_asks_for_too_little_or_too_much() {
    let user = password("user", "pencil").most_iterations(10_000).unwrap();
    for (iterations, answers) in
        [("4095", false), ("4096", true), ("10000", true), ("10001", false), ("+4096", false)]
    {
        let mut prover = user.exchange("rOprNGfwEbeRWgbNEkqO".into());
        let mut out = [0; 512];
        prover.start(&PLAIN, &mut out).unwrap();
        let challenge = format!("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i={iterations}");
        let reply = prover.handle_step(&PLAIN, challenge.as_bytes(), &mut out);
        assert_eq!(matches!(reply, Reply::Send(_)), answers, "{iterations}");
    }
    for nonsense in [
        "r=rOprNGfwEbeRWgbNEkqO,s=c2FsdA==,i=4096",
        "r=another nonce,s=c2FsdA==,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA,i=4096",
        "r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4096,x=y",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        "",
    ] {
        let mut prover = user.exchange("rOprNGfwEbeRWgbNEkqO".into());
        let mut out = [0; 512];
        prover.start(&PLAIN, &mut out).unwrap();
        let reply = prover.handle_step(&PLAIN, nonsense.as_bytes(), &mut out);
        assert_eq!(reply, Reply::Refuse, "{nonsense}");
    }
}

#[test]
fn a_server_takes_nothing_else() {
    let long = format!("n,,n={},r=rOprNGfwEbeRWgbNEkqO", "x".repeat(256));
    for first in [
        "",
        "n=user,r=rOprNGfwEbeRWgbNEkqO",
        "y,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "n,a=other,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "n,,m=x,n=user,r=rOprNGfwEbeRWgbNEkqO",
        "n,,n=,r=rOprNGfwEbeRWgbNEkqO",
        "n,,n=us=er,r=rOprNGfwEbeRWgbNEkqO",
        "n,,n=user,r=short",
        "n,,n=user,r=rOprNGfwEbeRWgbNEkqO,x=y",
        &long,
    ] {
        let mut verifier = users().exchange("abc".into());
        assert!(ask(&mut verifier, &PLAIN, 0, first.as_bytes()).is_none(), "{first}");
        let good = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
        assert!(ask(&mut verifier, &PLAIN, 0, good).is_none(), "it had its chance");
    }
    let mut out = [0; 512];
    let data = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let step = AuthStep { method: METHOD_SHARED_KEY, index: 0, data };
    assert_eq!(users().exchange("abc".into()).handle_step(&PLAIN, step, &mut out), Verdict::Deny);
}

#[test]
fn names_may_have_commas_and_equals_signs() {
    let stored = StoredPassword::with_iterations("pencil", MIN_ITERATIONS).unwrap();
    let users = Passwords::new([("a=b,c=2C", stored, 7)]).allow_plaintext();
    let user = password("a=b,c=2C", "pencil");
    assert_eq!(talk(&users, &user, [&PLAIN, &PLAIN], unchanged).principal, Some(7));
}

#[test]
fn what_is_kept_is_text_that_lets_nobody_in() {
    let stored = StoredPassword::with_iterations("pencil", 5_000).unwrap();
    let text = stored.to_text();
    assert!(text.starts_with("SCRAM-SHA-256$5000:") && !text.contains("pencil"), "{text}");
    let again: StoredPassword = text.parse().unwrap();
    assert_eq!(again.to_text(), text);
    let other = StoredPassword::with_iterations("pencil", 5_000).unwrap();
    assert_ne!(other.to_text(), text, "each has a salt of its own");
    let users = Passwords::new([("user", again, 41)]).allow_plaintext();
    let whole = talk(&users, &password("user", "pencil"), [&PLAIN, &PLAIN], unchanged);
    assert_eq!(whole.principal, Some(41));
    for (bad, error) in [
        (text.replace("5000", "4095"), PasswordError::Iterations),
        (text.replace("5000", "10000001"), PasswordError::Iterations),
        (text.replace("256$", "1$"), PasswordError::Malformed),
        (text[..text.len() - 1].to_owned(), PasswordError::Malformed),
        (String::new(), PasswordError::Malformed),
    ] {
        assert_eq!(bad.parse::<StoredPassword>().unwrap_err(), error, "{bad}");
    }
    assert_eq!(StoredPassword::new("").unwrap_err(), PasswordError::Length);
    assert_eq!(Password::new("", "x").unwrap_err(), PasswordError::Length);
    assert_eq!(Password::new("x", [0; 256]).unwrap_err(), PasswordError::Length);
}

//= test AUT-14
#[test]
fn passwords_are_not_printed_and_are_cleared() {
    let stored = StoredPassword::with_iterations("pencil", MIN_ITERATIONS).unwrap();
    let users = Passwords::new([("user", stored.clone(), 41)]);
    let user = Password::new("user", "pencil").unwrap();
    let shown = format!("{stored:?} {users:?} {user:?}");
    assert_eq!(shown, "StoredPassword(..) Passwords(..) Password(..)");
    let mut hidden = Hidden(b"pencil".to_vec());
    hidden.wipe();
    assert_eq!(hidden.0, [0; 6]);
}

#[test]
fn base64_has_one_spelling() {
    for (bytes, text) in
        [(&b""[..], ""), (b"f", "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
    {
        assert_eq!(encode64(bytes), text);
        assert_eq!(decode64(text).as_deref(), Some(bytes));
    }
    for bad in ["Z", "Zg", "Zg=", "Zh==", "=", "====", "Zg==Zg==", "Z g=", "Zm9v\n"] {
        assert_eq!(decode64(bad), None, "{bad}");
    }
}

/// The work is done once for all connections of a client, and none of them waits meanwhile: it may
/// need keys that are there.
#[test]
fn a_client_computes_its_keys_once_and_nobody_waits_meanwhile() {
    let user = password("user", "pencil");
    let challenge = |salt| Challenge { nonce: String::new(), salt: vec![salt], iterations: 4_096 };
    let mut made = 0;
    let mut keys = |salt| {
        user.keys(&challenge(salt), |password, salt, iterations| {
            assert!(!user.is_busy(), "others would wait");
            made += 1;
            Keys::of(password, salt, iterations)
        })
    };
    for salt in [1, 1, 2, 2, 2] {
        let expected = Keys::of(b"pencil", &[salt], 4_096);
        assert_eq!(keys(salt).client.expose(), expected.client.expose());
    }
    assert_eq!(made, 2, "they are kept");
    assert!(user.clone().most_iterations(MIN_ITERATIONS - 1).is_err());
    assert!(user.most_iterations(MAX_ITERATIONS + 1).is_err());
}
