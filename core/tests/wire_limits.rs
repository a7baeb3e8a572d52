//! What no peer would accept is not written, and what must not be seen is not shown.

use outlast_core::CloseCode;
use outlast_core::wire::{
    AuthData, Close, CloseFlags, Drain, Frame, Grant, HEADER_LEN, Header, Hello, MAX_BODY, Resume,
    Resumed, Route, Terms, Welcome,
};

fn encoded(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let mut out = vec![0xEE; HEADER_LEN + usize::from(MAX_BODY)];
    let len = frame.encode(&mut out)?;
    out.truncate(len);
    Some(out)
}

fn assert_refused(frame: Frame<'_>) {
    assert_eq!(frame.encode(&mut [0; 20_000]), None, "{frame:?}");
}

const LONG: &[u8] = &[0; 16_384];

const TERMS: Terms = Terms {
    max_body: 60,
    max_requests: 0,
    idle_ms: 0,
    heartbeat_ms: 0,
    window: 64,
    max_msg: 0,
    ttl_s: 0,
    send_buffer: 0,
};

const HELLO: Hello<'_> = Hello {
    version_min: 1,
    version_max: 1,
    wants_session: false,
    terms: TERMS,
    caps: 0,
    resume: None,
    auth: None,
    agent: None,
    client_id: None,
};

const WELCOME: Welcome<'_> = Welcome {
    version: 1,
    has_session: false,
    terms: TERMS,
    caps: 0,
    session: None,
    resumed: None,
    address: None,
};

#[test]
fn a_body_that_no_header_can_announce_is_not_written() {
    let message = |route, payload| Frame::Message { route, payload, more: false };
    assert_refused(message(Route::from(7u8), LONG));
    assert_refused(message(Route::from(0xFCu8), &LONG[2..]));
    assert_refused(Frame::Auth { step: 1, data: LONG });
    assert_refused(Frame::Continue { payload: LONG, more: true });
    assert_refused(Frame::Continue { payload: &[], more: true });
    let (code, address) = (CloseCode::MOVED, Some(&LONG[..256]));
    assert_refused(Frame::Drain(Drain { code, grace_ms: 0, spread_ms: 0, address }));
}

//= test HND-7, HND-9
#[test]
fn a_hello_that_no_server_accepts_is_not_written() {
    let hello = HELLO;
    assert!(encoded(&Frame::Hello(hello)).is_some());
    let version = |version_min, version_max| Hello { version_min, version_max, ..hello };
    assert_refused(Frame::Hello(version(0, 1)));
    assert_refused(Frame::Hello(version(2, 1)));
    let terms = |max_body, window| Terms { max_body, window, ..TERMS };
    for terms in [terms(59, 64), terms(60, 63), terms(16_384, 1 << 20), terms(60, 1 << 31)] {
        assert_refused(Frame::Hello(Hello { terms, ..hello }));
    }
    let auth = Some(AuthData { method: 0, data: &LONG[..255] });
    assert_refused(Frame::Hello(Hello { auth, ..hello }));
    assert_refused(Frame::Hello(Hello { agent: Some(&LONG[..256]), ..hello }));
}

//= test HND-15
#[test]
fn a_welcome_to_a_session_neither_new_nor_resumed_is_not_written() {
    let session = Some(Grant { sid: 0, epoch: 0, key_id: 0, key: [0; 16] });
    let resumed = Some(Resumed { rx_next: 0, tx_first: 0, epoch: 0 });
    for (has_session, session, resumed, legal) in [
        (false, None, None, true),
        (false, None, resumed, false),
        (false, session, None, false),
        (false, session, resumed, false),
        (true, None, None, false),
        (true, None, resumed, true),
        (true, session, None, true),
        (true, session, resumed, false),
    ] {
        let welcome = Welcome { has_session, session, resumed, ..WELCOME };
        assert_eq!(encoded(&Frame::Welcome(welcome)).is_some(), legal, "{welcome:?}");
    }
}

#[test]
fn a_longer_payload_than_the_room_of_a_message_is_not_written_over_the_end() {
    let frame = Frame::Message { route: Route::from(7u8), payload: &[1; 16], more: false };
    let mut out = [0; 64];
    assert_eq!(frame.encode(&mut out[..19]), None);
    assert_eq!(out[19..], [0; 45]);
}

//= test AUT-14
//= test HND-4
#[test]
fn a_frame_of_a_handshake_has_a_limit_of_its_own() {
    let empty_auth = Frame::Auth { step: 0, data: &[] };
    for frame in [Frame::Hello(HELLO), Frame::Welcome(WELCOME), empty_auth] {
        for (size, legal) in [(1020, true), (1021, false)] {
            let mut out = vec![0; 2_000];
            let short = frame.encode(&mut out);
            // What is missing is options of no known type, none of them longer than it may be.
            let mut end = short.unwrap();
            let size = HEADER_LEN + size;
            while end < size {
                let len = (size - end - 2).min(250);
                out[end] = 0x7F;
                out[end + 1] = u8::try_from(len).unwrap();
                end += len + 2;
            }
            let body = &out[HEADER_LEN..size];
            let op = Header::from_word(u32::from(out[0])).op().unwrap();
            let header = Header::new(op, out[1], u16::try_from(body.len()).unwrap());
            let verdict = Frame::decode(header, body).map(|_| ());
            assert_eq!(
                verdict,
                if legal { Ok(()) } else { Err(CloseCode::TOO_LARGE) },
                "{frame:?}"
            );
        }
    }
    assert_refused(Frame::Auth { step: 0, data: &LONG[..1021] });
    assert!(encoded(&Frame::Auth { step: 0, data: &LONG[..1020] }).is_some());
}

//= test FRM-21
#[test]
fn only_bits_with_a_meaning_of_their_own_are_flags_of_a_close() {
    let close = Close { flags: CloseFlags(0xFFFF), ..Close::new(CloseCode::OK) };
    let mut out = [0; 64];
    let len = close.encode(&mut out).unwrap();
    let both = CloseFlags::SESSION_ENDED | CloseFlags::NO_RETRY;
    assert_eq!(Close::decode(&out[HEADER_LEN..len]), Ok(Close { flags: both, ..close }));
    assert!(both.contains(CloseFlags::NO_RETRY) && !CloseFlags::NONE.contains(both));
}

#[test]
fn secrets_are_not_shown() {
    // Numbers that occur nowhere else.
    let key = [0xA7; 16];
    let grant = Grant { sid: 1, epoch: 2, key_id: 3, key };
    let resume =
        Resume { sid: 1, attach: 2, key_id: 3, proof_kind: 0, rx_next: 4, tx_first: 5, proof: key };
    let shown = [
        format!("{:?}", Frame::Token { key_id: 1, key }),
        format!("{:?}", Frame::Auth { step: 1, data: &key }),
        format!("{:?}", AuthData { method: 1, data: &key }),
        format!("{grant:?} {grant:#?}"),
        format!("{resume:?} {resume:#?}"),
    ];
    for text in shown {
        assert!(!text.contains("167") && !text.contains("a7"), "{text}");
    }
}
