//! What the tests share: samples of every format, a driver in memory, the vector files.
#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

extern crate alloc;

use alloc::borrow::Cow;
use std::fs;
use std::path::Path;

use outlast_formats::json::Json;
use outlast_formats::rocketmq::Command;
use outlast_formats::{
    AnyFormat, Compression, End, Extra, Format, FormatError, FormatKind, Key, Kind, Options,
    Packet, Step,
};

/// A format with options, as `name=value` with spaces between.
pub(crate) fn format(name: &str, options: &str) -> AnyFormat {
    let mut set = Options::default();
    for option in options.split_whitespace() {
        let (name, value) = option.split_once('=').expect("name=value");
        set.set(name, value).expect(option);
    }
    AnyFormat::new(name.parse().expect(name), &set).expect(name)
}

/// Every format, and some in another configuration.
pub(crate) const CONFIGURED: &[(&str, &str)] = &[
    ("length-prefix", ""),
    ("rocketmq", ""),
    ("ltv", ""),
    ("tlv", ""),
    ("htlv", ""),
    ("ndjson", ""),
    ("ndjson", "overlong=resync"),
    ("msgtrans", ""),
    ("length-field", ""),
    ("length-field", "offset=2 width=3 endian=little adjustment=1 magic=aa55"),
    ("length-field", "offset=2 width=2 magic=aa55 resync=true"),
    ("delimiter", ""),
    ("delimiter", "delimiter=0d0a0d0a strip_cr=false overlong=resync max=4096"),
    ("fixed", "size=4"),
    ("raw", ""),
];

/// Packets that the format can carry, the empty one among them if it has one.
pub(crate) fn samples(name: &str) -> Vec<Packet<'static>> {
    match name {
        "length-prefix" => plain(&[b"", b"hello", &[0xAA; 3000], b"\n\r\n"]),
        // The longest adjustment in use here wants a byte.
        "length-field" => plain(&[b"x", b"hello", &[0xAA; 3000], b"\xAA\x55\xAA"]),
        "delimiter" => plain(&[b"", b"hello", b"\rx", &[0xAA; 3000]]),
        "fixed" => plain(&[b"abcd", b"\0\0\0\0", b"\nxyz"]),
        "raw" => plain(&[b"hello", b"x", &[0xAA; 9000]]),
        "ltv" | "tlv" => vec![
            Packet::one_way(0, b""),
            Packet::one_way(1, b"ping"),
            Packet::heartbeat(Key::Id(99_999), b"heartbeat [a->b]"),
            Packet::one_way(0xDEAD_BEEF, &[7; 4096]),
        ],
        "htlv" => [(0, b"".as_slice()), (16, b"abc"), (255, &[1; 255])]
            .map(|(id, data)| Packet {
                extra: Extra::Htlv { head: 0xA2 },
                ..Packet::one_way(id, data)
            })
            .to_vec(),
        "ndjson" => vec![
            Packet::named("a", br#"{"message_type": "a"}"#),
            Packet::heartbeat(Key::Name("heartbeat".into()), br#"{"message_type":"heartbeat"}"#),
            Packet::named("b", r#" {"x": [1, {"y": "]}你"}], "message_type": "b"} "#.as_bytes()),
            Packet::named("n", br#"{"message_type":"\u006e","message_type":"n","x":-Infinity}"#),
        ],
        "msgtrans" => msgtrans(),
        "rocketmq" => rocketmq(),
        other => panic!("no samples of {other}"),
    }
}

fn plain(payloads: &[&'static [u8]]) -> Vec<Packet<'static>> {
    payloads.iter().map(|payload| Packet::plain(payload)).collect()
}

fn msgtrans() -> Vec<Packet<'static>> {
    let with = |ext: &'static [u8], compression, packet| Packet {
        extra: Extra::MsgTrans { flags: 7, ext, compression },
        ..packet
    };
    vec![
        with(b"", Compression::None, Packet::request(10, 100, b"")),
        with(b"route:abc", Compression::None, Packet::response(255, u32::MAX, b"pong")),
        with(b"", Compression::Zlib, Packet::request(1, 0, &[b'a'; 5000])),
        with(&[3; 70], Compression::Zstd, Packet::request(1, 7, &[b'b'; 5000])),
    ]
}

fn rocketmq() -> Vec<Packet<'static>> {
    let json = |text| Some(Json::new(text).unwrap());
    let known = Command { language: json("3"), version: Some(1), ..Command::NONE };
    let full = Command {
        language: json("\"JAVA\""),
        remark: json(r#""no \"route\"""#),
        ext_fields: json(r#"{"topic":"T"}"#),
        flag: 1,
        ..known
    };
    vec![
        Packet { extra: Extra::RocketMq(known), ..Packet::request(105, 1, b"") },
        Packet { extra: Extra::RocketMq(full), ..Packet::response(17, u32::MAX, &[5; 2000]) },
        Packet {
            kind: Kind::OneWay,
            extra: Extra::RocketMq(Command { flag: 2, ..known }),
            ..Packet::request(310, 0x7FFF_FFFF, b"hi")
        },
    ]
}

/// What a driver saw, comparable over any division of the bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Seen {
    /// A packet, as text.
    Packet(String),
    /// Bytes without boundaries, put together.
    Raw(Vec<u8>),
    /// Bytes that were no packet.
    Bad(FormatError),
    /// An error that ended the connection.
    Error(FormatError),
    /// The end of the stream: clean, or within a packet.
    End(bool),
}

/// A connection in memory: it holds what it must and no more, and checks the format's promises.
pub(crate) struct Driver {
    pub(crate) format: AnyFormat,
    pub(crate) held: Vec<u8>,
    pub(crate) seen: Vec<Seen>,
    need: usize,
    dead: bool,
}

impl Driver {
    pub(crate) fn new(format: AnyFormat) -> Self {
        Self { format, held: Vec::new(), seen: Vec::new(), need: 0, dead: false }
    }

    /// Bytes came.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.dead && !bytes.is_empty() {
            // No more is taken in than the format ever needs.
            let room = self.format.max_input() - self.held.len();
            assert!(room > 0, "a full buffer, and no packet");
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.held.extend_from_slice(now);
            bytes = later;
            self.work();
        }
    }

    fn work(&mut self) {
        let mut at = 0;
        loop {
            let rest = &self.held[at..];
            let step = self.format.decode(rest);
            if rest.len() < self.need {
                let is_packet = matches!(step, Ok(Step::Packet { .. }));
                assert!(!is_packet, "{step:?} before {} bytes", self.need);
            }
            match step {
                Ok(Step::Need(need)) => {
                    assert!(need > rest.len(), "{need} are needed and there");
                    assert!(need <= self.format.max_input(), "{need} are never needed");
                    self.need = need;
                    break;
                }
                Ok(Step::Packet { packet, taken }) => {
                    assert!((1..=rest.len()).contains(&taken));
                    at += taken;
                    let is_raw = self.format.kind() == FormatKind::Raw
                        || matches!(packet.extra, Extra::Raw { .. });
                    match self.seen.last_mut() {
                        Some(Seen::Raw(bytes)) if is_raw => bytes.extend(&*packet.payload),
                        _ if is_raw => self.seen.push(Seen::Raw(packet.payload.into_owned())),
                        _ => self.seen.push(Seen::Packet(text(&packet))),
                    }
                }
                Ok(Step::Skip(taken)) => {
                    assert!((1..=rest.len()).contains(&taken));
                    at += taken;
                }
                Ok(Step::Bad { error, taken }) => {
                    assert!((1..=rest.len()).contains(&taken));
                    at += taken;
                    self.seen.push(Seen::Bad(error));
                }
                Err(error) => {
                    self.seen.push(Seen::Error(error));
                    self.dead = true;
                    return;
                }
            }
            self.need = 0;
        }
        self.held.drain(..at);
    }

    /// The stream ended.
    pub(crate) fn end(mut self) -> Vec<Seen> {
        if !self.dead {
            self.seen.push(match self.format.end(&self.held) {
                Ok(End::Clean) => Seen::End(true),
                Ok(End::Truncated { have, need }) => {
                    assert!(have == self.held.len() && need > have);
                    Seen::End(false)
                }
                Ok(End::Packet(packet)) => Seen::Packet(text(&packet)),
                Err(error) => Seen::Error(error),
            });
        }
        self.seen
    }
}

/// A packet as text; whether the payload is borrowed makes no difference.
pub(crate) fn text(packet: &Packet<'_>) -> String {
    let Packet { kind, key, correlation, payload, extra } = packet;
    let payload: Vec<String> = payload.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind:?} {key:?} {correlation:?} {extra:?} {}", payload.concat())
}

/// What is seen of bytes that come in these pieces.
pub(crate) fn drive<'a>(
    format: AnyFormat,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Vec<Seen> {
    let mut driver = Driver::new(format);
    pieces.into_iter().for_each(|piece| driver.feed(piece));
    driver.end()
}

/// What is seen of bytes that are all there at once, more than the format ever needs.
pub(crate) fn at_once(format: AnyFormat, bytes: &[u8]) -> Vec<Seen> {
    let mut driver = Driver::new(format);
    driver.held.extend_from_slice(bytes);
    driver.work();
    driver.end()
}

/// Packets as bytes, one behind the other.
pub(crate) fn encode(format: &mut AnyFormat, packets: &[Packet<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for packet in packets {
        format.encode(packet, &mut out).unwrap_or_else(|error| panic!("{error}: {packet:?}"));
    }
    out
}

/// One block of a vector file.
#[derive(Debug, Clone)]
pub(crate) struct Vector(Vec<(String, String)>);

impl Vector {
    /// All of all files.
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
        let mut all = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "txt") {
                continue;
            }
            let text = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
            all.extend(text.split("\n\n").map(Self::of).filter(|vector| !vector.0.is_empty()));
        }
        all
    }

    fn of(block: &str) -> Self {
        let lines = block.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let field = |line: &str| {
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
            (name.to_owned(), value.trim().to_owned())
        };
        Self(lines.map(field).collect())
    }

    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    pub(crate) fn name(&self) -> &str {
        self.get("name").expect("every vector has a name")
    }

    pub(crate) fn bytes(&self, field: &str) -> Option<Vec<u8>> {
        let digits: Vec<u8> = self.get(field)?.bytes().filter(|byte| *byte != b' ').collect();
        let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16);
        Some(digits.chunks(2).map(|pair| byte(pair).expect(self.name())).collect())
    }

    pub(crate) fn format(&self) -> AnyFormat {
        format(self.get("format").expect(self.name()), self.get("options").unwrap_or_default())
    }

    fn number<T: core::str::FromStr>(&self, field: &str) -> Option<T> {
        self.get(field).map(|text| text.parse().ok().expect(self.name()))
    }

    fn json(&self, field: &str) -> Option<Json<'_>> {
        self.get(field).map(|text| Json::new(text).expect(self.name()))
    }

    /// The payload, if the vector is a packet.
    pub(crate) fn payload(&self) -> Option<Vec<u8>> {
        self.get("text").map(|text| text.as_bytes().to_vec()).or_else(|| self.bytes("payload"))
    }

    /// The packet of these fields.
    pub(crate) fn packet<'v>(&'v self, payload: &'v [u8], ext: &'v [u8]) -> Packet<'v> {
        let kind = match self.get("kind").unwrap_or("one-way") {
            "one-way" => Kind::OneWay,
            "request" => Kind::Request,
            "response" => Kind::Response,
            "heartbeat" => Kind::Heartbeat,
            other => panic!("{other}"),
        };
        let key = match (self.number("id"), self.get("name_key")) {
            (Some(id), _) => Key::Id(id),
            (None, Some(name)) => Key::Name(name.into()),
            (None, None) => Key::None,
        };
        let extra = match self.get("format") {
            Some("htlv") => Extra::Htlv { head: self.number("head").expect("a head") },
            Some("msgtrans") => Extra::MsgTrans {
                flags: self.number("flags").unwrap_or(0),
                ext,
                compression: match self.get("compression") {
                    Some("zlib") => Compression::Zlib,
                    Some("zstd") => Compression::Zstd,
                    _ => Compression::None,
                },
            },
            Some("rocketmq") => Extra::RocketMq(Command {
                language: self.json("language"),
                version: self.number("version"),
                flag: self.number("flag").expect("a flag"),
                remark: self.json("remark"),
                ext_fields: self.json("ext_fields"),
                unknown: self.json("unknown"),
            }),
            _ => Extra::None,
        };
        let payload = Cow::Borrowed(payload);
        Packet { kind, key, correlation: self.number("correlation"), payload, extra }
    }
}
