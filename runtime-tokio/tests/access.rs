//! Who comes in: credentials, and how many of one source.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use outlast_core::wire::{Close, Frame, Hello, MAX_BODY, Resume};
use outlast_core::{Attach, Config, HANDSHAKE_MAX, Instant, Session};
use outlast_tokio::{
    Attempts, Client, CloseCode, Closed, Credentials, Incoming, KeyedClient, Limits, Password,
    Passwords, Peer, ReconnectPolicy, Running, Secret, Server, ServerBuilder, SharedKey,
    SharedKeys, StoredPassword, Token, Tokens,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn start(builder: ServerBuilder) -> Running {
    let server = builder.bind("127.0.0.1:0").await.unwrap();
    server.start(|_| serve).unwrap()
}

/// What every server here does: it finishes with its client.
fn serve(peer: &mut Peer<'_>, event: Incoming<'_>) {
    if matches!(event, Incoming::Finished) {
        peer.finish();
    }
}

/// One attempt with these credentials: a receipted message and the end, or why not.
async fn visit(address: SocketAddr, credentials: Option<impl Credentials>) -> Closed {
    let mut builder = Client::builder()
        .address(address.to_string())
        .reconnect(ReconnectPolicy { attempts: Attempts::Once, ..ReconnectPolicy::default() });
    if let Some(credentials) = credentials {
        builder = builder.credentials(credentials);
    }
    let (handle, runner) = builder.connect(|_: &mut Peer<'_>, _: Incoming<'_>| {}).unwrap();
    let closed = tokio::spawn(runner);
    if let Ok(receipt) = handle.send_receipted(1u8, b"hello").await {
        receipt.await.unwrap();
        handle.finish();
    }
    closed.await.unwrap()
}

/// What a connection is told that says nothing.
async fn told(stream: &mut TcpStream) -> Option<(CloseCode, u32)> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap_or_default();
    let (header, body, _) = Frame::split(&bytes, MAX_BODY).ok()??;
    match Frame::decode(header, body).ok()? {
        Frame::Close(Close { code, retry_ms, .. }) => Some((code, retry_ms)),
        _ => None,
    }
}

fn key(byte: u8) -> Secret {
    Secret::new(&[byte; 32]).unwrap()
}

//= test AUT-9
#[tokio::test]
async fn a_token_lets_in_and_nothing_else_does() {
    let server = start(Server::builder().token(b"open sesame")).await;
    let at = server.local_addr();
    let shows = |token: &[u8]| Some(Token::new(token).allow_plaintext());
    assert!(visit(at, shows(b"open sesame")).await.complete);
    assert_eq!(visit(at, shows(b"open sesam")).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(visit(at, None::<Token>).await.code, CloseCode::AUTH_REQUIRED);
    let other = Some(KeyedClient::new(*b"ada", key(1)));
    assert_eq!(visit(at, other).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(server.handle().stats().denied, 2);
}

//= test AUT-5
#[tokio::test]
async fn a_token_is_neither_shown_nor_taken_in_clear_unless_allowed() {
    let tokens = Tokens::new([(&b"open sesame"[..], 7)]);
    let server = start(Server::builder().authenticator(tokens)).await;
    let at = server.local_addr();
    let shown = Token::new(*b"open sesame");
    assert_eq!(visit(at, Some(shown.clone())).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(server.handle().stats().failed_handshakes, 1, "it hung up without a word");
    assert_eq!(server.handle().stats().denied, 0, "nothing was shown");
    assert_eq!(visit(at, Some(shown.allow_plaintext())).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(server.handle().stats().denied, 1);
}

//= test AUT-6
//= test AUT-7
#[tokio::test]
async fn a_shared_key_proves_both_ends() {
    let known =
        SharedKeys::new([SharedKey::new(b"ada", key(1), 41), SharedKey::new(b"bob", key(2), 42)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let principals = Arc::clone(&seen);
    let server = Server::builder().authenticator(known).bind("127.0.0.1:0").await.unwrap();
    let server = server
        .start(move |info| {
            principals.lock().unwrap().push(info.principal);
            serve
        })
        .unwrap();
    let at = server.local_addr();
    assert!(visit(at, Some(KeyedClient::new(*b"bob", key(2)))).await.complete);
    assert!(visit(at, Some(KeyedClient::new(*b"ada", key(1)))).await.complete);
    assert_eq!(*seen.lock().unwrap(), [Some(42), Some(41)]);
    for (name, byte) in [(*b"ada", 2), (*b"eve", 1)] {
        let closed = visit(at, Some(KeyedClient::new(name, key(byte)))).await;
        assert_eq!(closed.code, CloseCode::AUTH_FAILED);
    }
    // A server that asks for nothing has not proved that it is the right one.
    let impostor = start(Server::builder()).await;
    let closed = visit(impostor.local_addr(), Some(KeyedClient::new(*b"ada", key(1)))).await;
    assert_eq!(closed.code, CloseCode::AUTH_FAILED);
}

//= test AUT-16
//= test AUT-17
#[tokio::test]
async fn a_password_proves_both_ends() {
    let stored = |password| StoredPassword::with_iterations(password, 4_096).unwrap();
    let known = Passwords::new([("ada", stored("first"), 41), ("bob", stored("second"), 42)]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let principals = Arc::clone(&seen);
    let server = Server::builder().authenticator(known.allow_plaintext());
    let server = server.bind("127.0.0.1:0").await.unwrap();
    let server = server
        .start(move |info| {
            principals.lock().unwrap().push(info.principal);
            serve
        })
        .unwrap();
    let at = server.local_addr();
    let shows = |name: &str, password: &str| Password::new(name, password).unwrap();
    for (name, password) in [("bob", "second"), ("ada", "first"), ("bob", "second")] {
        assert!(visit(at, Some(shows(name, password).allow_plaintext())).await.complete);
    }
    assert_eq!(*seen.lock().unwrap(), [Some(42), Some(41), Some(42)]);
    for (name, password) in [("ada", "second"), ("eve", "first")] {
        let closed = visit(at, Some(shows(name, password).allow_plaintext())).await;
        assert_eq!(closed.code, CloseCode::AUTH_FAILED);
    }
    assert_eq!(server.handle().stats().denied, 2);
    // In clear a client shows nothing, unless it is told to.
    assert_eq!(visit(at, Some(shows("ada", "first"))).await.code, CloseCode::AUTH_FAILED);
    assert_eq!(server.handle().stats().denied, 2);
    // A server that asks for nothing has not proved that it is the right one.
    let impostor = start(Server::builder()).await;
    let user = shows("ada", "first").allow_plaintext();
    let closed = visit(impostor.local_addr(), Some(user)).await;
    assert_eq!(closed.code, CloseCode::AUTH_FAILED);
}

/// Resuming passes the same authentication, and gives the session another key each time.
//= test AUT-10
//= test AUT-11
#[tokio::test]
async fn a_resumed_session_authenticates_again_and_gets_new_keys() {
    let known = SharedKeys::new([SharedKey::new(b"ada", key(1), 41)]);
    let server = start(Server::builder().authenticator(known)).await;
    let (handle, runner) = Client::builder()
        .address(server.local_addr().to_string())
        .credentials(KeyedClient::new(*b"ada", key(1)))
        .connect(|_: &mut Peer<'_>, _: Incoming<'_>| {})
        .unwrap();
    let runner = tokio::spawn(runner);
    for resumed in 0..5 {
        handle.send_receipted(1u8, b"still here").await.unwrap().await.unwrap();
        assert_eq!(server.handle().stats().resumed, resumed);
        handle.disconnect(CloseCode::GOING_AWAY);
    }
    handle.send_receipted(1u8, b"still here").await.unwrap().await.unwrap();
    handle.finish();
    assert!(runner.await.unwrap().complete);
    assert_eq!(server.handle().stats().created, 1);
}

fn limits(change: impl FnOnce(&mut outlast_tokio::GateConfig)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits.connections);
    limits
}

//= test REG-14
#[tokio::test]
async fn one_source_has_its_share_and_no_more() {
    let limits = limits(|connections| connections.max_per_source = 2);
    let server = start(Server::builder().limits(limits)).await;
    let at = server.local_addr();
    let first = TcpStream::connect(at).await.unwrap();
    let _second = TcpStream::connect(at).await.unwrap();
    let mut third = TcpStream::connect(at).await.unwrap();
    let (code, retry_ms) = told(&mut third).await.unwrap();
    assert_eq!(code, CloseCode::BUSY);
    assert!(retry_ms > 0);
    assert_eq!(server.handle().stats().refused, 1);
    drop(first);
    while server.handle().stats().connections > 1 {
        tokio::task::yield_now().await;
    }
    assert!(visit(at, None::<Token>).await.complete);
}

/// Connections that say nothing do not keep out those that would.
//= test REG-14
#[tokio::test]
async fn the_oldest_handshake_makes_room() {
    let limits = limits(|connections| connections.max_connections = 2);
    let server = start(Server::builder().limits(limits)).await;
    let at = server.local_addr();
    let mut silent = [TcpStream::connect(at).await.unwrap(), TcpStream::connect(at).await.unwrap()];
    assert!(visit(at, None::<Token>).await.complete);
    assert_eq!(told(&mut silent[0]).await.unwrap().0, CloseCode::BUSY);
    silent[1].write_all(b"still welcome").await.unwrap();
}

//= test REG-12
#[tokio::test]
async fn failures_lock_a_source_out() {
    let limits = limits(|connections| {
        connections.free_failures = 2;
        connections.lockout_base = 3_600_000_000;
        connections.lockout_cap = 3_600_000_000;
    });
    let server = start(Server::builder().limits(limits).token(b"secret")).await;
    let at = server.local_addr();
    for _ in 0..3 {
        let wrong = Token::new(*b"guess").allow_plaintext();
        assert_eq!(visit(at, Some(wrong)).await.code, CloseCode::AUTH_FAILED);
    }
    let mut out = TcpStream::connect(at).await.unwrap();
    let (code, retry_ms) = told(&mut out).await.unwrap();
    assert_eq!(code, CloseCode::BUSY);
    assert!(retry_ms > 3_500_000, "{retry_ms}");
}

/// After a restart every honest client comes with a session that is gone.
//= test REG-12
#[tokio::test]
async fn sessions_that_are_gone_lock_nobody_out() {
    let limits = limits(|connections| connections.free_failures = 0);
    let server = start(Server::builder().limits(limits)).await;
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
        let mut stream = TcpStream::connect(at).await.unwrap();
        let mut session = Session::client(Config::CLIENT, vec![]).unwrap();
        let mut out = [0; HANDSHAKE_MAX];
        let now = Instant::from_micros(1);
        let len = session.attach(now, &Attach::default(), &mut out).unwrap();
        let (header, body, _) = Frame::split(&out[..len], MAX_BODY).unwrap().unwrap();
        let Ok(Frame::Hello(hello)) = Frame::decode(header, body) else {
            panic!("HELLO is what a client says first");
        };
        let mut claim = [0; HANDSHAKE_MAX];
        let hello = Hello { resume: Some(Resume { sid, ..resume }), ..hello };
        let len = hello.encode(&mut claim).unwrap();
        stream.write_all(&claim[..len]).await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(told(&mut stream).await.unwrap().0, CloseCode::NO_SESSION);
    }
    assert!(visit(at, None::<Token>).await.complete);
}

/// However many say nothing, whoever does gets a turn soon.
//= test REG-14
#[tokio::test]
async fn silent_handshakes_make_room_before_their_time_is_over() {
    let limits = limits(|connections| connections.max_handshakes = 4);
    let config = Config { handshake_timeout_ms: 600_000, ..Config::SERVER };
    let server = start(Server::builder().config(config).limits(limits)).await;
    let at = server.local_addr();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(at).await.unwrap());
    }
    assert!(visit(at, None::<Token>).await.complete);
}
