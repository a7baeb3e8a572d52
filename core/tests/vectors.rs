//! The golden vectors: every frame in `conformance/vectors` is read and written as its file says.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever is wrong fails the test"
)]

extern crate alloc;

use alloc::collections::{BTreeMap, BTreeSet};
use core::cell::RefCell;
use std::fs;
use std::path::Path;

use outlast_core::wire::{
    AuthData, Close, CloseFlags, Drain, Frame, Grant, HEADER_LEN, Hello, MAX_BODY, Probe,
    RequestId, Resume, Resumed, Route, Status, Terms, Welcome,
};
use outlast_core::{
    Acceptor, Attach, CloseCode, Config, HANDSHAKE_MAX, Instant, Retry, Scope, Session,
};

struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
    /// Byte fields, so that frames can borrow from them.
    values: BTreeMap<String, Vec<u8>>,
    /// Fields nobody asked for are typing errors in the file.
    used: RefCell<BTreeSet<String>>,
}

const BYTE_FIELDS: [&str; 9] =
    ["payload", "data", "auth_data", "key", "proof", "agent", "client_id", "address", "bytes"];

impl Vector {
    fn parse(block: &str) -> Option<Self> {
        let mut fields = BTreeMap::new();
        for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (field, value) = line.split_once(':').expect("field: value");
            let earlier = fields.insert(field.to_owned(), value.trim().to_owned());
            assert!(earlier.is_none(), "{field} twice in:\n{block}");
        }
        let name = fields.remove("name")?;
        let mut values = BTreeMap::new();
        for field in BYTE_FIELDS {
            if let Some(hex) = fields.remove(field) {
                let bytes = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16));
                values.insert(field.to_owned(), bytes.collect::<Result<_, _>>().expect(&hex));
            }
        }
        Some(Self { name, fields, values, used: RefCell::default() })
    }

    fn text(&self, field: &str) -> Option<&str> {
        self.used.borrow_mut().insert(field.to_owned());
        self.fields.get(field).map(String::as_str)
    }

    fn number<T: TryFrom<u64>>(&self, field: &str) -> Option<T> {
        let text = self.text(field)?;
        let number = match text.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => text.parse(),
        };
        let number = number.unwrap_or_else(|_| panic!("{}: {field}: {text}", self.name));
        Some(T::try_from(number).unwrap_or_else(|_| panic!("{}: {field}: {text}", self.name)))
    }

    fn need<T: TryFrom<u64>>(&self, field: &str) -> T {
        self.number(field).unwrap_or_else(|| panic!("{}: no {field}", self.name))
    }

    fn yes(&self, field: &str) -> bool {
        match self.text(field) {
            Some("yes") => true,
            Some("no") => false,
            other => panic!("{}: {field}: {other:?}", self.name),
        }
    }

    fn bytes(&self, field: &str) -> Option<&[u8]> {
        self.used.borrow_mut().insert(field.to_owned());
        self.values.get(field).map(Vec::as_slice)
    }

    fn need_bytes(&self, field: &str) -> &[u8] {
        self.bytes(field).unwrap_or_else(|| panic!("{}: no {field}", self.name))
    }

    fn key(&self, field: &str) -> [u8; 16] {
        self.need_bytes(field).try_into().expect("16 bytes")
    }

    fn max_body(&self) -> u16 {
        self.number("our_max_body").unwrap_or(MAX_BODY)
    }

    fn code(&self, field: &str) -> Option<CloseCode> {
        let name = self.text(field)?;
        let code = CloseCode::ALL.iter().find(|code| code.name() == name);
        Some(*code.unwrap_or_else(|| panic!("{}: unknown code {name}", self.name)))
    }

    fn assert_all_used(&self) {
        let used = self.used.borrow();
        let mut fields = self.fields.keys().chain(self.values.keys());
        if let Some(field) = fields.find(|field| !used.contains(*field)) {
            panic!("{}: {field} means nothing here", self.name);
        }
    }
}

fn vectors() -> Vec<Vector> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/vectors");
    let mut vectors = Vec::new();
    for entry in fs::read_dir(directory).expect("the vectors are part of the repository") {
        let path = entry.expect("a readable directory").path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(&path).expect("UTF-8").replace("\r\n", "\n");
            vectors.extend(text.split("\n\n").filter_map(Vector::parse));
        }
    }
    vectors.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(vectors.windows(2).all(|pair| pair[0].name != pair[1].name), "names are unique");
    assert!(!vectors.is_empty());
    vectors
}

fn terms(v: &Vector) -> Terms {
    Terms {
        max_body: v.need("max_body"),
        max_requests: v.need("max_requests"),
        idle_ms: v.need("idle_ms"),
        heartbeat_ms: v.need("heartbeat_ms"),
        window: v.need("window"),
        max_msg: v.need("max_msg"),
        ttl_s: v.need("ttl_s"),
        send_buffer: v.need("send_buffer"),
    }
}

fn hello(v: &Vector) -> Hello<'_> {
    Hello {
        version_min: v.need("version_min"),
        version_max: v.need("version_max"),
        wants_session: v.yes("wants_session"),
        terms: terms(v),
        caps: v.need("caps"),
        resume: v.number("sid").map(|sid| Resume {
            sid,
            attach: v.need("attach"),
            key_id: v.need("key_id"),
            proof_kind: v.need("proof_kind"),
            rx_next: v.need("rx_next"),
            tx_first: v.need("tx_first"),
            proof: v.key("proof"),
        }),
        auth: v
            .number("auth_method")
            .map(|method| AuthData { method, data: v.need_bytes("auth_data") }),
        agent: v.bytes("agent"),
        client_id: v.bytes("client_id"),
    }
}

fn welcome(v: &Vector) -> Welcome<'_> {
    Welcome {
        version: v.need("version"),
        has_session: v.yes("has_session"),
        terms: terms(v),
        caps: v.need("caps"),
        session: v.number("sid").map(|sid| Grant {
            sid,
            epoch: v.need("epoch"),
            key_id: v.need("key_id"),
            key: v.key("key"),
        }),
        resumed: v.number("rx_next").map(|rx_next| Resumed {
            rx_next,
            tx_first: v.need("tx_first"),
            epoch: v.need("epoch"),
        }),
        address: v.bytes("address"),
    }
}

fn close(v: &Vector) -> Close<'_> {
    let code = CloseCode::new(v.need("code"));
    assert_eq!(v.text("code_name"), Some(code.name()), "{}", v.name);
    let scope = match code.scope() {
        Scope::Normal => "normal",
        Scope::Connection => "connection",
        Scope::Handshake => "handshake",
        Scope::Session => "session",
        Scope::Application => "application",
        Scope::Reserved => "reserved",
    };
    assert_eq!(v.text("scope"), Some(scope), "{}", v.name);
    let retry = match code.retry() {
        Retry::Now => "now",
        Retry::Later => "later",
        Retry::NewSession => "new-session",
        Retry::Never => "never",
    };
    assert_eq!(v.text("retry"), Some(retry), "{}", v.name);
    Close {
        code,
        flags: CloseFlags(v.need("flags")),
        retry_ms: v.need("retry_ms"),
        rx_next: v.number("rx_next"),
        last_attach: v.number("last_attach"),
        versions: v.number("version_min").map(|oldest| (oldest, v.need("version_max"))),
        reason: v.text("reason").unwrap_or_default(),
    }
}

fn drain(v: &Vector) -> Drain<'_> {
    Drain {
        code: CloseCode::new(v.need("code")),
        grace_ms: v.need("grace_ms"),
        spread_ms: v.need("spread_ms"),
        address: v.bytes("address"),
    }
}

fn probe(v: &Vector) -> Option<Probe> {
    let nonce = v.number("nonce")?;
    Some(Probe { nonce, tx: v.need("tx"), ack: v.need("ack"), limit: v.need("limit") })
}

fn frame<'v>(kind: &str, v: &'v Vector) -> Frame<'v> {
    let id = || RequestId(v.need("id"));
    let route = || Route::from(v.need::<u32>("route"));
    let payload = || v.need_bytes("payload");
    let more = || v.yes("more");
    match kind {
        "hello" => Frame::Hello(hello(v)),
        "welcome" => Frame::Welcome(welcome(v)),
        "auth" => Frame::Auth { step: v.need("step"), data: v.need_bytes("data") },
        "ack" => Frame::Ack { ack: v.need("ack"), limit: v.need("limit") },
        "ping" => Frame::Ping(probe(v)),
        "pong" => Frame::Pong(probe(v)),
        "drain" => Frame::Drain(drain(v)),
        "close" => Frame::Close(close(v)),
        "note" => Frame::Note { route: route(), payload: payload() },
        "message" => Frame::Message { route: route(), payload: payload(), more: more() },
        "request" => Frame::Request { id: id(), route: route(), payload: payload(), more: more() },
        "response" => {
            let status = Status(v.need("status"));
            Frame::Response { id: id(), status, payload: payload(), more: more() }
        }
        "cancel" => Frame::Cancel { id: id(), reason: v.need("reason") },
        "fin" => Frame::Fin,
        "token" => Frame::Token { key_id: v.need("key_id"), key: v.key("key") },
        "continue" => Frame::Continue { payload: payload(), more: more() },
        "abort" => Frame::Abort,
        "skip" => Frame::Skip,
        "ignored" => Frame::Ignored { sequenced: v.yes("sequenced") },
        other => panic!("{}: no frame is called {other}", v.name),
    }
}

fn check_accepted(v: &Vector, expected: &Frame<'_>, bytes: &[u8]) {
    let max_body = v.max_body();
    for end in 0..bytes.len() {
        assert_eq!(Frame::split(&bytes[..end], max_body), Ok(None), "{}: {end} bytes", v.name);
    }
    let mut stream = bytes.to_vec();
    stream.extend_from_slice(b"rest");
    let (header, body, rest) = Frame::split(&stream, max_body).expect(&v.name).expect(&v.name);
    assert_eq!(rest, b"rest", "{}", v.name);
    assert_eq!(header.frame_size(), bytes.len(), "{}", v.name);
    assert_eq!(Frame::decode(header, body).as_ref(), Ok(expected), "{}", v.name);

    let is_first = matches!(
        expected,
        Frame::Hello(_) | Frame::Welcome(_) | Frame::Auth { .. } | Frame::Close(_)
    );
    if is_first {
        let split = Frame::split_first(&stream, max_body);
        assert_eq!(split, Ok(Some((header, body, rest))), "{}", v.name);
    }
}

fn check_written(v: &Vector, frame: &Frame<'_>, bytes: &[u8]) {
    let mut out = vec![0xEE; bytes.len() + 1];
    assert_eq!(frame.encode(&mut out), Some(bytes.len()), "{}", v.name);
    assert_eq!(&out[..bytes.len()], bytes, "{}", v.name);
    assert_eq!(out[bytes.len()], 0xEE, "{}: nothing is written behind the frame", v.name);
    assert_eq!(frame.encode(&mut out[..bytes.len()]), Some(bytes.len()), "{}", v.name);
    if !matches!(frame, Frame::Close(close) if !close.reason.is_empty()) {
        for room in 0..bytes.len() {
            assert_eq!(frame.encode(&mut out[..room]), None, "{}: {room} bytes", v.name);
        }
    }
}

fn check_refused(v: &Vector, code: CloseCode, bytes: &[u8]) {
    let max_body = v.max_body();
    match v.text("stage") {
        Some("header") => {
            assert_eq!(Frame::split(&bytes[..HEADER_LEN - 1], max_body), Ok(None), "{}", v.name);
            assert_eq!(Frame::split(&bytes[..HEADER_LEN], max_body), Err(code), "{}", v.name);
            assert_eq!(Frame::split(bytes, max_body), Err(code), "{}", v.name);
        }
        Some("body") => {
            let (header, body, rest) =
                Frame::split(bytes, max_body).expect(&v.name).expect(&v.name);
            assert_eq!(rest, b"", "{}", v.name);
            assert_eq!(Frame::decode(header, body), Err(code), "{}", v.name);
        }
        Some("first") => {
            let mut prefixes = (0..=bytes.len()).map(|end| &bytes[..end]);
            let refused = prefixes.find_map(|part| Frame::split_first(part, max_body).err());
            assert_eq!(refused, Some(code), "{}", v.name);
            assert_eq!(Frame::split_first(bytes, max_body), Err(code), "{}", v.name);
            check_first(v, code, bytes);
        }
        other => panic!("{}: stage: {other:?}", v.name),
    }
}

/// Both ends refuse how a connection begins at the same byte as `split_first`.
fn check_first(v: &Vector, code: CloseCode, bytes: &[u8]) {
    let (now, config) = (Instant::from_micros(1), Config { max_body: 252, ..Config::SERVER });
    let mut prefixes = (0..=bytes.len()).map(|end| &bytes[..end]);
    let at = prefixes.find(|part| Frame::split_first(part, MAX_BODY).is_err()).expect(&v.name);
    for (part, expected) in [(&at[..at.len() - 1], None), (at, Some(code)), (bytes, Some(code))] {
        let mut client = Session::client(config, Vec::new()).expect("a legal configuration");
        let greeted = client.attach(now, &Attach::default(), &mut [0; HANDSHAKE_MAX]);
        greeted.expect("it waits for WELCOME");
        let refused = client.handle_input(now, &mut &*part).err();
        assert_eq!(refused.map(|broken| broken.code()), expected, "{}: a client", v.name);
        let mut acceptor = Acceptor::new(now, &config);
        let refused = acceptor.handle_input(now, &mut &*part).err();
        assert_eq!(refused.map(|broken| broken.code()), expected, "{}: a server", v.name);
    }
}

//= test FRM-1, FRM-4, FRM-12, FRM-13, FRM-15, FRM-16, FRM-19, FRM-21, FRM-22, FRM-23, FRM-24
//= test FRM-26, FRM-27, FRM-29, FRG-8
//= test HND-1, HND-2, HND-4, HND-5, HND-7, HND-8, HND-9, HND-15, CLS-15, COD-2, COD-3
#[test]
fn every_vector_holds() {
    for v in &vectors() {
        let bytes = v.need_bytes("bytes");
        match (v.text("accept"), v.code("refuse")) {
            (Some(kind), None) => {
                let frame = frame(kind, v);
                check_accepted(v, &frame, bytes);
                if v.text("canonical").is_none() || v.yes("canonical") {
                    check_written(v, &frame, bytes);
                }
            }
            (None, Some(code)) => check_refused(v, code, bytes),
            (accept, refuse) => panic!("{}: accept {accept:?}, refuse {refuse:?}", v.name),
        }
        v.assert_all_used();
    }
}

//= test COD-1, COD-2, COD-3
#[test]
fn every_code_has_a_close_vector() {
    let vectors = vectors();
    let closes = vectors.iter().filter(|v| v.text("accept") == Some("close"));
    let codes: BTreeSet<u16> = closes.map(|v| v.need("code")).collect();
    for code in CloseCode::ALL {
        assert!(codes.contains(&code.get()), "no vector for {code}");
    }
}

#[test]
fn every_kind_of_frame_has_a_vector() {
    let vectors = vectors();
    let kinds: BTreeSet<&str> = vectors.iter().filter_map(|v| v.text("accept")).collect();
    assert_eq!(kinds.len(), 19, "{kinds:?}");
}
