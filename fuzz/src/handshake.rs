//! Hostile handshakes, at both ends: HELLO and AUTH through the acceptor, WELCOME at the client.

use outlast_core::auth::{
    AuthContext, AuthStep, Secret, SharedKey, SharedKeyVerifier, Verdict, Verifier,
};
use outlast_core::wire::{Close, CloseFlags, Frame, Grant, Hello};
use outlast_core::{
    Acceptor, Attach, CloseCode, Config, Greeting, HANDSHAKE_MAX, Instant, Session,
};

use crate::bytes::Bytes;

const KEY: [u8; 16] = [9; 16];

/// The first byte chooses the end and how the bytes arrive; the rest is what the peer says.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let choice = bytes.u8();
    let chunk = bytes.pick(&[1, 3, 64, 4_096]);
    let said = bytes.take(usize::MAX);
    if choice & 1 == 0 { server(said, chunk) } else { client(said, chunk, choice & 2 == 2) }
}

fn config() -> Config {
    Config { max_requests: 4, max_requests_out: 4, ..Config::CONSTRAINED }
}

/// A server that wants a shared key, and one session that could be resumed.
fn server(said: &[u8], chunk: usize) {
    let now = Instant::from_micros(1);
    let mut acceptor = Acceptor::new(now, &config());
    let mut verifier = verifier();
    let mut held: Vec<u8> = Vec::new();
    let mut chunks = said.chunks(chunk);
    let mut greeted: Option<Vec<u8>> = None;
    while let Some(part) = chunks.next() {
        held.extend_from_slice(part);
        let mut input = held.as_slice();
        let got = match acceptor.handle_input(now, &mut input) {
            Ok(got) => got,
            Err(violation) => return refuse(&mut acceptor, violation.code()),
        };
        match got {
            None => {
                assert!(input.len() <= 1_024 + 4, "an unfinished handshake holds {}", input.len());
            }
            Some(Greeting::Hello(hello)) => {
                let mut copy = vec![0; HANDSHAKE_MAX];
                let len = hello.encode(&mut copy).expect("what was decoded can be encoded");
                copy.truncate(len);
                let auth = hello.auth.map(|auth| (auth.method, auth.data));
                let Some((method, data)) = auth else {
                    return admit(&copy, &held, chunks);
                };
                let step = AuthStep { method, index: 0, data };
                if !challenge(&mut acceptor, &mut verifier, &hello, step) {
                    return;
                }
                greeted = Some(copy);
            }
            Some(Greeting::Auth { step, data }) => {
                let hello = greeted.as_deref().expect("AUTH is an answer");
                let Some(hello) = decode_hello(hello) else {
                    return;
                };
                let step = AuthStep { method: 2, index: step, data };
                if !challenge(&mut acceptor, &mut verifier, &hello, step) {
                    return;
                }
            }
        }
        let rest = input.len();
        held.drain(..held.len() - rest);
    }
    let late = acceptor.poll_timeout().expect("a handshake has a deadline");
    assert!(acceptor.handle_timeout(late).is_err(), "a handshake without end");
}

fn verifier() -> SharedKeyVerifier<Vec<SharedKey>> {
    let key = Secret::new(&KEY).expect("not empty");
    SharedKeyVerifier::new(vec![SharedKey::new(b"it", key, 1)], [5; 16])
}

/// Whether the exchange goes on.
fn challenge(
    acceptor: &mut Acceptor,
    verifier: &mut SharedKeyVerifier<Vec<SharedKey>>,
    hello: &Hello<'_>,
    step: AuthStep<'_>,
) -> bool {
    let context = AuthContext {
        client_id: hello.client_id.unwrap_or_default(),
        channel_binding: &[],
        encrypted: false,
    };
    let (mut answer, mut out) = ([0; 64], [0; 128]);
    match verifier.handle_step(&context, step, &mut answer) {
        Verdict::Continue(len) => acceptor.challenge(&answer[..len], &mut out).is_ok(),
        Verdict::Accept { .. } | Verdict::Deny => false,
    }
}

fn refuse(acceptor: &mut Acceptor, code: CloseCode) {
    let close = Close {
        code,
        flags: CloseFlags::NONE,
        retry_ms: 0,
        rx_next: None,
        last_attach: None,
        versions: None,
        reason: "",
    };
    let mut out = [0; HANDSHAKE_MAX];
    let len = acceptor.refuse(&close, &mut out);
    let told = Frame::split(&out[..len], 1_020).expect("a CLOSE").expect("a whole CLOSE");
    let Ok(Frame::Close(told)) = Frame::decode(told.0, told.1) else {
        panic!("a refusal that is no CLOSE");
    };
    assert_eq!(told.code, code);
    assert_eq!(acceptor.poll_timeout(), None, "refused and still waiting");
}

fn decode_hello(frame: &[u8]) -> Option<Hello<'_>> {
    let (header, body, _) = Frame::split(frame, 1_020).ok()??;
    match Frame::decode(header, body) {
        Ok(Frame::Hello(hello)) => Some(hello),
        _ => None,
    }
}

/// The HELLO was admitted: as a new session, and as the resume of one that exists.
fn admit(hello: &[u8], held: &[u8], chunks: std::slice::Chunks<'_, u8>) {
    let Some(hello) = decode_hello(hello) else {
        return;
    };
    let (now, mut out) = (Instant::from_micros(1), [0; HANDSHAKE_MAX]);
    let grant = Grant { sid: 1, epoch: 1, key_id: 1, key: KEY };
    let fresh = Session::server(now, config(), &hello, grant, 3, [0_u8; 2_048], &mut out);
    if let Ok(accepted) = fresh {
        assert!(accepted.written <= out.len());
        let mut session = accepted.session;
        let mut said = held.to_vec();
        said.extend(chunks.flatten());
        converse(&mut session, &said);
        session.detach(now);
        if session.accept(now, &hello, 4, &mut out).is_ok() {
            converse(&mut session, &said);
        }
    }
}

/// Everything the peer says behind the handshake.
fn converse(session: &mut Session<[u8; 2_048]>, said: &[u8]) {
    let now = Instant::from_micros(2);
    let mut input = said;
    let most = said.len() / 4 + 16;
    for turn in 0.. {
        assert!(turn < most, "events without end");
        match session.handle_input(now, &mut input) {
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => break,
        }
    }
    let mut out = [0; 4_096];
    let written = session.poll_transmit(now, &mut out);
    assert!(written <= out.len());
    assert!(session.acknowledged() <= session.transmitted());
}

/// A client that dials for the first time, or resumes, and hears whatever it hears.
fn client(said: &[u8], chunk: usize, again: bool) {
    let now = Instant::from_micros(1);
    let mut session = Session::client(config(), [0_u8; 2_048]).expect("a legal configuration");
    let mut out = [0; HANDSHAKE_MAX];
    let with = Attach { seed: 7, ..Attach::default() };
    session.attach(now, &with, &mut out).expect("a first HELLO");
    listen(&mut session, said, chunk);
    if again {
        session.detach(now);
        if session.attach(now, &with, &mut out).is_ok() {
            listen(&mut session, said, chunk);
        }
    }
}

fn listen(session: &mut Session<[u8; 2_048]>, said: &[u8], chunk: usize) {
    let now = Instant::from_micros(2);
    let mut held: Vec<u8> = Vec::new();
    for part in said.chunks(chunk) {
        held.extend_from_slice(part);
        let mut input = held.as_slice();
        let most = input.len() / 4 + 16;
        for turn in 0.. {
            assert!(turn < most, "events without end");
            match session.handle_input(now, &mut input) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let rest = input.len();
        held.drain(..held.len() - rest);
        let mut out = [0; 512];
        session.poll_transmit(now, &mut out);
    }
}
