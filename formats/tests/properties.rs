//! What holds for any packets, any bytes and any division of them.
//!
//! A failure prints its seed; `PROPTEST_RNG_SEED` (a number) chooses it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

mod common;

use common::{CONFIGURED, Seen, at_once, drive, encode, format, text};
use outlast_formats::json::{Json, quote};
use outlast_formats::ndjson::{Envelope, Head};
use outlast_formats::rocketmq::Command;
use outlast_formats::{AnyFormat, Compression, Extra, FormatKind, Key, Kind, Packet};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Runs a property with a seed that is printed where it fails.
fn check<S: Strategy>(
    cases: u32,
    strategy: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|text| text.parse().ok());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed: u64 = given.unwrap_or_else(|| now.as_secs() << 20 | u64::from(now.subsec_micros()));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    if let Err(error) = TestRunner::new_with_rng(config, rng).run(strategy, property) {
        panic!("PROPTEST_RNG_SEED={seed}: {error}");
    }
}

/// One packet before it is one of a certain format.
#[derive(Debug, Clone)]
struct Draft {
    kind: u8,
    id: u32,
    correlation: u32,
    payload: Vec<u8>,
    ext: Vec<u8>,
    flags: u16,
    words: String,
}

fn draft() -> impl Strategy<Value = Draft> {
    let payload = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..40),
        2 => prop::collection::vec(prop::sample::select(b"\r\n\xAA\x55{}\"0\0".to_vec()), 0..40),
        1 => prop::collection::vec(any::<u8>(), 200..2000),
    ];
    let ext = prop::collection::vec(any::<u8>(), 0..20);
    let id = prop_oneof![any::<u32>(), 0_u32..300, Just(99_999)];
    let rest = (any::<u16>(), "\\PC{0,12}|[\\x00-\\x7f]{0,6}");
    (any::<u8>(), id, any::<u32>(), payload, ext, rest).prop_map(
        |(kind, id, correlation, payload, ext, (flags, words))| Draft {
            kind,
            id,
            correlation,
            payload,
            ext,
            flags,
            words,
        },
    )
}

/// Texts that a packet of the draft borrows.
struct Texts {
    line: String,
    remark: String,
    fields: String,
    unknown: String,
}

impl Texts {
    fn of(draft: &Draft) -> Self {
        let line = Envelope::new(&draft.words, f64::from(draft.id))
            .string("words", &draft.words)
            .float("x", f64::from(draft.flags) / 3.0)
            .boolean("b", draft.kind > 9)
            .null("nothing");
        let mut word = String::new();
        quote(&draft.words, &mut word);
        let line = line.json("j", Json::new(&format!("[{word}, {{{word}: -1e-7}}]")).unwrap());
        let fields = format!("{{{word}: {word}}}");
        let unknown = format!("{{\"?{}\": {fields}}}", draft.id);
        Self { line: line.finish(), remark: word, fields, unknown }
    }
}

/// The draft as a packet that the format can carry.
fn packet<'d>(format: &AnyFormat, options: &str, draft: &'d Draft, texts: &'d Texts) -> Packet<'d> {
    let payload = draft.payload.as_slice();
    match format.kind() {
        FormatKind::Ltv | FormatKind::Tlv if draft.id == 99_999 => {
            Packet::heartbeat(Key::Id(draft.id), payload)
        }
        FormatKind::Ltv | FormatKind::Tlv => Packet::one_way(draft.id, payload),
        FormatKind::Htlv => {
            let extra = Extra::Htlv { head: draft.kind };
            let short = &payload[..payload.len().min(255)];
            Packet { extra, ..Packet::one_way(draft.id & 255, short) }
        }
        FormatKind::MsgTrans => {
            let compression =
                [Compression::None, Compression::Zlib, Compression::Zstd][draft.id as usize % 3];
            let kind = [Kind::OneWay, Kind::Request, Kind::Response][draft.kind as usize % 3];
            let extra = Extra::MsgTrans { flags: draft.flags, ext: &draft.ext, compression };
            let id = draft.id & 255;
            Packet { kind, extra, ..Packet::request(id, draft.correlation, payload) }
        }
        FormatKind::RocketMq => {
            let flag = i32::from(draft.flags.cast_signed());
            let kind = match flag & 3 {
                0 => Kind::Request,
                2 => Kind::OneWay,
                _ => Kind::Response,
            };
            let json = |wanted: bool, text| wanted.then(|| Json::new(text).unwrap());
            let command = Command {
                language: json(true, if draft.kind & 1 == 0 { "3" } else { &texts.remark }),
                version: Some(draft.flags.into()),
                flag,
                remark: json(draft.kind & 2 == 0, &texts.remark),
                ext_fields: json(draft.kind & 4 == 0, &texts.fields),
                unknown: json(draft.kind & 8 == 0, &texts.unknown),
            };
            let extra = Extra::RocketMq(command);
            Packet { kind, extra, ..Packet::request(draft.id, draft.correlation, payload) }
        }
        FormatKind::Ndjson => Packet::named(&draft.words, texts.line.as_bytes()),
        FormatKind::Fixed => Packet::plain(b"abcd"),
        // The longest adjustment in use wants a byte.
        FormatKind::LengthField if options.contains("adjustment") && payload.is_empty() => {
            Packet::plain(b"x")
        }
        _ => Packet::plain(payload),
    }
}

/// A header that came with unknown members gives them back; the header around them is dropped.
fn unknown(seen: &Seen) -> Seen {
    let Seen::Packet(text) = seen else {
        return seen.clone();
    };
    let Some((before, after)) = text.split_once("unknown: ") else {
        return seen.clone();
    };
    let payload = after.rsplit(' ').next().unwrap();
    let has = !after.starts_with("None");
    Seen::Packet(format!("{before} {has} {payload}"))
}

#[test]
fn what_is_encoded_is_decoded_whatever_the_division() {
    let strategy =
        (prop::collection::vec(draft(), 0..8), prop::collection::vec(1_usize..200, 1..20));
    for (name, options) in CONFIGURED {
        check(64, &strategy, |(drafts, sizes)| {
            let mut fresh = format(name, options);
            let texts: Vec<Texts> = drafts.iter().map(Texts::of).collect();
            let mut bytes = Vec::new();
            let mut wanted = Vec::new();
            for (draft, texts) in drafts.iter().zip(&texts) {
                let packet = packet(&fresh, options, draft, texts);
                let before = bytes.len();
                match outlast_formats::Format::encode(&mut fresh, &packet, &mut bytes) {
                    Ok(()) if fresh.kind() == FormatKind::Raw => match wanted.last_mut() {
                        Some(Seen::Raw(all)) => all.extend(&*packet.payload),
                        _ if packet.payload.is_empty() => {}
                        _ => wanted.push(Seen::Raw(packet.payload.to_vec())),
                    },
                    Ok(()) => wanted.push(unknown(&Seen::Packet(text(&packet)))),
                    // What cannot be said leaves no trace.
                    Err(error) => {
                        prop_assert_eq!(error.fault(), outlast_formats::Fault::Local);
                        prop_assert_eq!(bytes.len(), before);
                    }
                }
            }
            wanted.push(Seen::End(true));
            let (mut pieces, mut rest) = (Vec::new(), bytes.as_slice());
            for size in sizes.iter().cycle() {
                let (piece, later) = rest.split_at((*size).min(rest.len()));
                pieces.push(piece);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            let seen = drive(format(name, options), pieces);
            let seen: Vec<Seen> = seen.iter().map(unknown).collect();
            prop_assert_eq!(seen, wanted, "{} {}", name, options);
            Ok(())
        });
    }
}

/// Bytes near a format: its own packets with some bytes changed, and nothing of the sort.
fn garbage(name: &'static str, options: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let whole = encode(&mut format(name, options), &common::samples(name));
    let whole: Vec<u8> = whole.into_iter().take(3000).collect();
    let len = whole.len();
    let changes = prop::collection::vec((0..len, any::<u8>()), 1..6);
    let changed = (changes, 0..len).prop_map(move |(changes, from)| {
        let mut bytes = whole.clone();
        changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        bytes.split_off(from * usize::from(changes[0].1 & 1))
    });
    prop_oneof![changed, prop::collection::vec(any::<u8>(), 0..200)]
}

/// The driver of the tests asserts that memory is bounded and that every step makes progress.
#[test]
fn garbage_is_an_error_or_a_packet_whatever_the_division() {
    for (name, options) in CONFIGURED {
        check(200, &(garbage(name, options), 1_usize..50), |(bytes, size)| {
            let whole = drive(format(name, options), [bytes.as_slice()]);
            let pieces = drive(format(name, options), bytes.chunks(size));
            prop_assert_eq!(&whole, &pieces, "{} {}", name, options);
            let at_once = at_once(format(name, options), &bytes);
            prop_assert_eq!(&whole, &at_once, "{} {}", name, options);
            let bytewise = drive(format(name, options), bytes.chunks(1));
            prop_assert_eq!(whole, bytewise, "{} {}", name, options);
            Ok(())
        });
    }
}

/// A value of any shape, as text with white space in it.
fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<f64>().prop_filter("JSON has none", |f| f.is_finite()).prop_map(|f| format!("{f:e}")),
        any::<i64>().prop_map(|i| i.to_string()),
        any::<String>().prop_map(|text| {
            let mut out = String::new();
            quote(&text, &mut out);
            out
        }),
    ];
    scalar.prop_recursive(5, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|all| format!("[ {}]", all.join(","))),
            prop::collection::vec((any::<u8>(), inner), 0..4).prop_map(|all| {
                let all: Vec<_> = all.iter().map(|(k, v)| format!("\"{k}\" :\t{v}")).collect();
                format!("{{{} }}", all.join(",\n"))
            }),
        ]
    })
}

/// Another reader of JSON takes what this one takes, and nothing else.
#[test]
fn json_is_what_others_take_for_it() {
    let strategy = (json(), prop::collection::vec((any::<u16>(), "[\\x20-\\x7f\\n]?"), 0..3));
    check(3000, &strategy, |(mut text, changes)| {
        for (at, letter) in &changes {
            let at = usize::from(*at) % (text.len() + 1);
            if text.is_char_boundary(at) && text.is_char_boundary((at + 1).min(text.len())) {
                text.replace_range(at..(at + 1).min(text.len()), letter);
            }
        }
        let ours = Json::new(&text);
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (&ours, &theirs) {
            // Half of a surrogate pair is no text, but its escape is JSON; so is a number that is
            // too large for a float.
            (Ok(_), Err(_)) => {
                prop_assert!(text.contains("\\u") || text.contains(['e', 'E']), "{}", text);
            }
            (Ok(ours), Ok(theirs)) => same(*ours, theirs)?,
            (Err(error), Ok(_)) => prop_assert!(false, "{error}: {text}"),
            (Err(_), Err(_)) => {}
        }
        Ok(())
    });
}

fn same(ours: Json<'_>, theirs: &serde_json::Value) -> Result<(), TestCaseError> {
    use serde_json::Value;
    match theirs {
        Value::String(text) => prop_assert!(ours.as_str().is_some_and(|ours| ours == *text)),
        Value::Null => prop_assert!(ours.is_null()),
        Value::Number(_) => prop_assert!(ours.as_f64().is_some()),
        Value::Object(members) => {
            for (name, value) in ours.members() {
                let name = name.as_str().expect("a name");
                prop_assert!(members.contains_key(&*name));
                if ours.get(&name) == Some(value) {
                    same(value, &members[&*name])?;
                }
            }
        }
        Value::Bool(_) | Value::Array(_) => prop_assert_eq!(ours.members().count(), 0),
    }
    Ok(())
}

#[test]
fn escapes_of_json_are_resolved() {
    let cases = [
        (r#""\ud83d\ude00\u4f60\/\"\\\b\f\n\r\t""#, Some("😀你/\"\\\u{8}\u{c}\n\r\t")),
        (r#""\uD83D""#, None),
        (r#""\ude00x""#, None),
        (r#""\ud83d\u0041""#, None),
        (r#""\ud83dxx""#, None),
        ("7", None),
    ];
    for (text, wanted) in cases {
        let json = Json::new(text).expect("JSON, if not always text");
        assert_eq!(json.as_str().as_deref(), wanted, "{text}");
    }
    for wrong in [r#""\x""#, r#""\u12g4""#, r#""\u12"#, "\"\n\"", "\"", "01", "1.", "-", "1e", "+1"]
    {
        assert!(Json::new(wrong).is_err(), "{wrong}");
    }
}

/// Values may be nested so deep and no deeper, and depth costs no stack.
#[test]
fn json_is_nested_128_deep() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = |depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        assert!(Json::new(&text(128)).is_ok());
        assert!(Json::new(&text(129)).is_err());
        assert!(Json::new(&open.repeat(1 << 20)).is_err());
    }
    let mixed = format!("{}{{}}{}", "[{\"a\":".repeat(64), "}]".repeat(64));
    assert!(Json::new(&mixed).is_ok());
    assert!(Json::new(&mixed.replace("{}", "{]")).is_err());
}

#[test]
fn an_envelope_says_what_was_put_into_it() {
    check(300, &(any::<String>(), any::<f64>(), any::<String>()), |(name, time, text)| {
        let line = Envelope::new(&name, time).string("x", &text).finish();
        prop_assert!(!line.contains('\n'));
        let head = Head::of(line.as_bytes()).expect("an envelope");
        prop_assert_eq!(&*head.message_type, name.as_str());
        let read = head.timestamp.expect("a time");
        prop_assert!(read == time || read.is_nan() && time.is_nan());
        let field = head.object.get("x").and_then(Json::as_str);
        prop_assert_eq!(field.as_deref(), Some(text.as_str()));
        Ok(())
    });
}
