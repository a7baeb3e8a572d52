//! Who comes in: credentials, and how many of one source.

use std::sync::{Arc, Mutex};

use outlast_core::admission::GateConfig;
use outlast_core::auth::{Secret, SharedKey};
use outlast_core::wire::Resume;
use outlast_core::{CloseCode, Config};
use outlast_service::net::Net;
use outlast_service::{
    KeyedClient, Limits, Password, Passwords, SharedKeys, StoredPassword, Token, Tokens,
};

use super::tools::{Bare, Listening, a_client, a_server, deaf, dial, finish, hello, until, visit};

fn key(byte: u8) -> Secret {
    Secret::new(&[byte; 32]).unwrap()
}

/// A wrong token, none, and another method are refused, and counted.
//= test AUT-9
pub async fn a_token_lets_in_and_nothing_else_does<N: Net>(net: N) {
    let server = Listening::finishing(&net, a_server(&net).token(b"open sesame")).await;
    let at = server.local_addr();
    let shows = |token: &[u8]| Some(Token::new(token).allow_plaintext());
    assert!(visit(&net, at, shows(b"open sesame")).await.complete);
    assert_eq!(visit(&net, at, shows(b"open sesam")).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(visit(&net, at, None::<Token>).await.code, CloseCode::AUTH_REQUIRED);
    let other = Some(KeyedClient::new(*b"ada", key(1)));
    assert_eq!(visit(&net, at, other).await.code, CloseCode::AUTH_FAILED);
    until(|| server.handle().stats().denied == 2).await;
}

/// A client says it to nobody that all on the way can hear, and a server takes it from nobody.
//= test AUT-5
pub async fn a_token_is_neither_shown_nor_taken_in_clear_unless_allowed<N: Net>(net: N) {
    let tokens = Tokens::new([(&b"open sesame"[..], 7)]);
    let server = Listening::finishing(&net, a_server(&net).authenticator(tokens)).await;
    let at = server.local_addr();
    let shown = Token::new(*b"open sesame");
    assert_eq!(visit(&net, at, Some(shown.clone())).await.code, CloseCode::AUTH_FAILED);
    // It hung up without a word.
    until(|| server.handle().stats().failed_handshakes == 1).await;
    assert_eq!(server.handle().stats().denied, 0, "nothing was shown");
    assert_eq!(visit(&net, at, Some(shown.allow_plaintext())).await.code, CloseCode::AUTH_FAILED);
    until(|| server.handle().stats().denied == 1).await;
}

/// Whoever has the key knows that the other end has it, too.
//= test AUT-6
//= test AUT-7
pub async fn a_shared_key_proves_both_ends<N: Net>(net: N) {
    let known =
        SharedKeys::new([SharedKey::new(b"ada", key(1), 41), SharedKey::new(b"bob", key(2), 42)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let principals = Arc::clone(&seen);
    let server = Listening::start(&net, a_server(&net).authenticator(known), move |info| {
        principals.lock().unwrap().push(info.principal);
        finish
    })
    .await;
    let at = server.local_addr();
    assert!(visit(&net, at, Some(KeyedClient::new(*b"bob", key(2)))).await.complete);
    assert!(visit(&net, at, Some(KeyedClient::new(*b"ada", key(1)))).await.complete);
    assert_eq!(*seen.lock().unwrap(), [Some(42), Some(41)]);
    for (name, byte) in [(*b"ada", 2), (*b"eve", 1)] {
        let closed = visit(&net, at, Some(KeyedClient::new(name, key(byte)))).await;
        assert_eq!(closed.code, CloseCode::AUTH_FAILED);
    }
    // A server that asks for nothing has not proved that it is the right one.
    let impostor = Listening::finishing(&net, a_server(&net)).await;
    let closed = visit(&net, impostor.local_addr(), Some(KeyedClient::new(*b"ada", key(1)))).await;
    assert_eq!(closed.code, CloseCode::AUTH_FAILED);
}

/// Whoever knows the password knows that the other end has something made from it.
//= test AUT-16
//= test AUT-17
pub async fn a_password_proves_both_ends<N: Net>(net: N) {
    let stored = |password| StoredPassword::with_iterations(password, 4_096).unwrap();
    let known = Passwords::new([("ada", stored("first"), 41), ("bob", stored("second"), 42)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let principals = Arc::clone(&seen);
    let builder = a_server(&net).authenticator(known.allow_plaintext());
    let server = Listening::start(&net, builder, move |info| {
        principals.lock().unwrap().push(info.principal);
        finish
    })
    .await;
    let at = server.local_addr();
    let shows = |name: &str, password: &str| Password::new(name, password).unwrap();
    for (name, password) in [("bob", "second"), ("ada", "first"), ("bob", "second")] {
        assert!(visit(&net, at, Some(shows(name, password).allow_plaintext())).await.complete);
    }
    assert_eq!(*seen.lock().unwrap(), [Some(42), Some(41), Some(42)]);
    for (name, password) in [("ada", "second"), ("eve", "first")] {
        let closed = visit(&net, at, Some(shows(name, password).allow_plaintext())).await;
        assert_eq!(closed.code, CloseCode::AUTH_FAILED);
    }
    until(|| server.handle().stats().denied == 2).await;
    // In clear a client shows nothing, unless it is told to.
    assert_eq!(visit(&net, at, Some(shows("ada", "first"))).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(server.handle().stats().denied, 2);
    // A server that asks for nothing has not proved that it is the right one.
    let impostor = Listening::finishing(&net, a_server(&net)).await;
    let user = shows("ada", "first").allow_plaintext();
    let closed = visit(&net, impostor.local_addr(), Some(user)).await;
    assert_eq!(closed.code, CloseCode::AUTH_FAILED);
}

/// Resuming passes the same authentication, and gives the session another key each time.
//= test AUT-10
//= test AUT-11
pub async fn a_resumed_session_authenticates_again_and_gets_new_keys<N: Net>(net: N) {
    let known = SharedKeys::new([SharedKey::new(b"ada", key(1), 41)]);
    let server = Listening::finishing(&net, a_server(&net).authenticator(known)).await;
    let builder = a_client(&net, server.local_addr());
    let handle = dial(&net, builder.credentials(KeyedClient::new(*b"ada", key(1))), deaf);
    for resumed in 0..5 {
        handle.send_receipted(1u8, b"still here").await.unwrap().await.unwrap();
        assert_eq!(server.handle().stats().resumed, resumed);
        handle.disconnect(CloseCode::GOING_AWAY);
    }
    handle.send_receipted(1u8, b"still here").await.unwrap().await.unwrap();
    handle.finish();
    assert!(handle.closed().await.complete);
    assert_eq!(server.handle().stats().created, 1);
}

fn limits(change: impl FnOnce(&mut GateConfig)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits.connections);
    limits
}

/// A source that has as many connections as it may is told when to come again.
//= test REG-14
pub async fn one_source_has_its_share_and_no_more<N: Net>(net: N) {
    let limits = limits(|connections| connections.max_per_source = 2);
    let server = Listening::finishing(&net, a_server(&net).limits(limits)).await;
    let at = server.local_addr();
    let first = Bare::connect(&net, at).await;
    let _second = Bare::connect(&net, at).await;
    let mut third = Bare::connect(&net, at).await;
    let (code, retry_ms) = third.told().await.unwrap();
    assert_eq!(code, CloseCode::BUSY);
    assert!(retry_ms > 0);
    until(|| server.handle().stats().refused == 1).await;
    drop(first);
    until(|| server.handle().stats().connections <= 1).await;
    assert!(visit(&net, at, None::<Token>).await.complete);
}

/// Connections that say nothing do not keep out those that would.
//= test REG-14
pub async fn the_oldest_handshake_makes_room<N: Net>(net: N) {
    let limits = limits(|connections| connections.max_connections = 2);
    let server = Listening::finishing(&net, a_server(&net).limits(limits)).await;
    let at = server.local_addr();
    let mut silent = [Bare::connect(&net, at).await, Bare::connect(&net, at).await];
    assert!(visit(&net, at, None::<Token>).await.complete);
    assert_eq!(silent[0].told().await.unwrap().0, CloseCode::BUSY);
    silent[1].write(b"still welcome").await;
}

/// Who guesses too often is not heard for a while.
//= test REG-12
pub async fn failures_lock_a_source_out<N: Net>(net: N) {
    let limits = limits(|connections| {
        connections.free_failures = 2;
        connections.lockout_base = 3_600_000_000;
        connections.lockout_cap = 3_600_000_000;
    });
    let server = Listening::finishing(&net, a_server(&net).limits(limits).token(b"secret")).await;
    let at = server.local_addr();
    for _ in 0..3 {
        let wrong = Token::new(*b"guess").allow_plaintext();
        assert_eq!(visit(&net, at, Some(wrong)).await.code, CloseCode::AUTH_FAILED);
    }
    let mut out = Bare::connect(&net, at).await;
    let (code, retry_ms) = out.told().await.unwrap();
    assert_eq!(code, CloseCode::BUSY);
    assert!(retry_ms > 3_500_000, "{retry_ms}");
}

/// After a restart every honest client comes with a session that is gone.
//= test REG-12
pub async fn sessions_that_are_gone_lock_nobody_out<N: Net>(net: N) {
    let limits = limits(|connections| connections.free_failures = 0);
    let server = Listening::finishing(&net, a_server(&net).limits(limits)).await;
    let at = server.local_addr();
    let resume = Resume {
        sid: 7,
        attach: 2,
        key_id: 1,
        proof_kind: 1,
        rx_next: 0,
        tx_first: 0,
        proof: [0; 16],
    };
    for sid in 1..20 {
        let mut stream = Bare::connect(&net, at).await;
        stream.write(&hello(Some(Resume { sid, ..resume }))).await;
        stream.shut().await;
        assert_eq!(stream.told().await.unwrap().0, CloseCode::NO_SESSION);
    }
    assert!(visit(&net, at, None::<Token>).await.complete);
}

/// However many say nothing, whoever does gets a turn soon.
//= test REG-14
pub async fn silent_handshakes_make_room_before_their_time_is_over<N: Net>(net: N) {
    let limits = limits(|connections| connections.max_handshakes = 4);
    let config = Config { handshake_timeout_ms: 600_000, ..Config::SERVER };
    let server = Listening::finishing(&net, a_server(&net).config(config).limits(limits)).await;
    let at = server.local_addr();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Bare::connect(&net, at).await);
    }
    assert!(visit(&net, at, None::<Token>).await.complete);
}
