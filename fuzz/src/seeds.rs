//! Inputs to start from: what honest peers say, and scripts that reach deep states.

use outlast_core::wire::{
    AuthData, Close, CloseFlags, Drain, Frame, Grant, Hello, Probe, RequestId, Resume, Resumed,
    Route, Status, Terms, Welcome,
};
use outlast_core::{Attach, CloseCode, HANDSHAKE_MAX, Instant, Session};

use crate::snapshot;

const TERMS: Terms = Terms {
    max_body: 252,
    max_requests: 4,
    idle_ms: 30_000,
    heartbeat_ms: 1_000,
    window: 512,
    max_msg: 1_024,
    ttl_s: 600,
    send_buffer: 512,
};

fn hello<'b>() -> Hello<'b> {
    Hello {
        version_min: 1,
        version_max: 1,
        wants_session: true,
        terms: TERMS,
        caps: 0,
        resume: None,
        auth: None,
        agent: Some(b"seed"),
        client_id: Some(b"it"),
    }
}

fn welcome<'b>() -> Welcome<'b> {
    Welcome {
        version: 1,
        has_session: true,
        terms: TERMS,
        caps: 0,
        session: Some(Grant { sid: 1, epoch: 1, key_id: 1, key: [9; 16] }),
        resumed: None,
        address: None,
    }
}

fn resume() -> Resume {
    Resume { sid: 1, attach: 2, key_id: 1, proof_kind: 1, rx_next: 0, tx_first: 0, proof: [3; 16] }
}

fn close<'b>() -> Close<'b> {
    Close {
        code: CloseCode::STALE_ATTACH,
        flags: CloseFlags::NO_RETRY,
        retry_ms: 50,
        rx_next: Some(12),
        last_attach: Some(4),
        versions: Some((1, 1)),
        reason: "a reason",
    }
}

fn handshakes() -> Vec<Frame<'static>> {
    let auth = AuthData { method: 2, data: &[4; 16] };
    let resumed = Resumed { rx_next: 0, tx_first: 0, epoch: 1 };
    vec![
        Frame::Hello(hello()),
        Frame::Hello(Hello { resume: Some(resume()), ..hello() }),
        Frame::Hello(Hello { auth: Some(auth), ..hello() }),
        Frame::Welcome(welcome()),
        Frame::Welcome(Welcome { session: None, resumed: Some(resumed), ..welcome() }),
        Frame::Welcome(Welcome { address: Some(b"[::1]:7"), ..welcome() }),
        Frame::Auth { step: 0, data: &[6; 32] },
    ]
}

fn messages() -> Vec<Frame<'static>> {
    let probe = Probe { nonce: 1, tx: 2, ack: 3, limit: 4 };
    let (id, payload) = (RequestId(1), &b"payload"[..]);
    let (near, far) = (Route::from(7_u8), Route::from(70_000_u32));
    let drain = Drain {
        code: CloseCode::GOING_AWAY,
        grace_ms: 10,
        spread_ms: 20,
        address: Some(b"127.0.0.1:9"),
    };
    vec![
        Frame::Ack { ack: 0, limit: 512 },
        Frame::Ping(None),
        Frame::Pong(Some(probe)),
        Frame::Drain(drain),
        Frame::Close(close()),
        Frame::Note { route: near, payload },
        Frame::Message { route: near, payload, more: false },
        Frame::Message { route: far, payload, more: true },
        Frame::Continue { payload, more: true },
        Frame::Continue { payload, more: false },
        Frame::Abort,
        Frame::Request { id, route: Route::from(300_u16), payload, more: false },
        Frame::Response { id, status: Status::OK, payload, more: false },
        Frame::Cancel { id, reason: 1 },
        Frame::Token { key_id: 2, key: [8; 16] },
        Frame::Skip,
        Frame::Ignored { sequenced: true },
        Frame::Ignored { sequenced: false },
        Frame::Fin,
    ]
}

fn encode(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = vec![0; HANDSHAKE_MAX];
    let len = frame.encode(&mut out).expect("every frame can be encoded");
    out.truncate(len);
    out
}

fn behind(prefix: &[u8], frames: &[Frame<'_>]) -> Vec<u8> {
    let frames = frames.iter().flat_map(encode);
    prefix.iter().copied().chain(frames).collect()
}

/// A limit, then one frame; and all frames behind each other.
#[must_use]
pub fn decoder() -> Vec<Vec<u8>> {
    let all: Vec<Frame<'_>> = handshakes().into_iter().chain(messages()).collect();
    let limit = 1_020_u16.to_le_bytes();
    let mut seeds: Vec<Vec<u8>> =
        all.iter().map(|frame| behind(&limit, std::slice::from_ref(frame))).collect();
    seeds.push(behind(&limit, &all));
    // Bodies alone, for the decoders of bodies.
    seeds.extend(handshakes().iter().map(|frame| {
        let frame = encode(frame);
        [&limit[..], frame.get(4..).unwrap_or_default()].concat()
    }));
    seeds
}

/// Both ends, in one piece and byte by byte, with something to say after the handshake.
#[must_use]
pub fn handshake() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for choice in [0, 1, 3] {
        for chunk in [0, 2, 3] {
            for first in handshakes() {
                seeds.push(behind(&[choice, chunk], &[first]));
                let more: Vec<Frame<'_>> = std::iter::once(first).chain(messages()).collect();
                seeds.push(behind(&[choice, chunk], &more));
            }
        }
    }
    seeds
}

/// Configurations, then operations: connect, talk, cut, resume.
#[must_use]
pub fn session() -> Vec<Vec<u8>> {
    // Automatic release, then two configurations of eight choices each.
    const START: [u8; 17] = [0, 2, 3, 3, 1, 3, 3, 2, 1, 2, 3, 3, 1, 3, 3, 2, 1];
    const CONNECT: [u8; 7] = [17, 0, 0xFF, 3, 31, 0x9F, 31];
    const TALK: [u8; 14] = [8, 1, 20, 0, 0x88, 1, 30, 0, 11, 1, 9, 31, 0x9F, 31];
    const ANSWER: [u8; 6] = [0x8C, 0, 5, 0, 0x9F, 31];
    const LONG: [u8; 13] = [13, 0, 100, 0, 0, 15, 200, 0, 0, 15, 50, 0, 1];
    const CUT: [u8; 8] = [19, 1, 17, 0, 0xFF, 3, 31, 0x9F];
    const HALF: [u8; 6] = [4, 0, 0x80, 10, 0, 17];
    let script = |parts: &[&[u8]]| [&START[..], &parts.concat()].concat();
    vec![
        script(&[&CONNECT]),
        script(&[&CONNECT, &TALK, &ANSWER]),
        script(&[&CONNECT, &TALK, &CUT, &TALK]),
        script(&[&CONNECT, &LONG, &[31, 0x9F], &TALK]),
        script(&[&CONNECT, &LONG, &HALF, &CUT, &TALK, &ANSWER]),
        script(&[&CONNECT, &TALK, &[23], &CUT, &TALK]),
        script(&[&CONNECT, &TALK, &[0x97], &CUT, &TALK]),
        script(&[&CONNECT, &[26], &CUT, &TALK, &CUT, &TALK, &ANSWER]),
        script(&[&CONNECT, &TALK, &[25, 0, 0, 0, 0x99, 0, 0, 0], &[31, 0x9F, 31, 0x9F]]),
        script(&[&CONNECT, &[22, 0, 12], &encode(&Frame::Ack { ack: 9, limit: 9 }), &[0, 200, 0]]),
        script(&[&CONNECT, &[20, 4], &TALK, &[20, 5], &TALK]),
    ]
}

/// Real snapshots of both roles, with messages, requests and an open message inside.
#[must_use]
pub fn snapshot() -> Vec<Vec<u8>> {
    let config = snapshot::config();
    let (now, mut out) = (Instant::from_micros(1), [0; HANDSHAKE_MAX]);
    let mut client = Session::client(config, Vec::new()).expect("a legal configuration");
    let len = client.attach(now, &Attach::default(), &mut out).expect("a first HELLO");
    let greeting = Frame::split(&out[..len], 1_020).expect("own HELLO").expect("whole");
    let Ok(Frame::Hello(hello)) = Frame::decode(greeting.0, greeting.1) else {
        return Vec::new();
    };
    let grant = Grant { sid: 1, epoch: 1, key_id: 1, key: [9; 16] };
    let mut answer = [0; HANDSHAKE_MAX];
    let accepted = Session::server(now, config, &hello, grant, 3, Vec::new(), &mut answer);
    let accepted = accepted.expect("limits that fit");
    let mut server = accepted.session;
    let mut input = &answer[..accepted.written];
    while let Ok(Some(_)) = client.handle_input(now, &mut input) {}
    let mut seeds = Vec::new();
    for session in [&mut client, &mut server] {
        seeds.push(store(session, &[]));
        let _ = session.send(Route::from(7_u8), b"one");
        if let Some(id) = session.free_request() {
            let _ = session.request(id, Route::from(8_u8), b"two");
        }
        seeds.push(store(session, &[]));
        let head = outlast_core::Head::Message { route: Route::from(9_u8) };
        let _ = session.begin(head, b"three");
        seeds.push(store(session, b"part"));
        session.detach(now);
        seeds.push(store(session, b""));
    }
    seeds
}

fn store(session: &Session<Vec<u8>>, partial: &[u8]) -> Vec<u8> {
    let mut out = vec![0; session.snapshot_len(partial.len())];
    match session.snapshot(60, partial, &mut out) {
        Ok(len) => out.truncate(len),
        Err(_) => out.clear(),
    }
    out
}
