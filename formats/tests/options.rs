//! No option without an effect, no effect without an option.
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

mod common;

use common::{Seen, drive, format};
use outlast_formats::{AnyFormat, ConfigError, Format, FormatKind, Options, Packet};

fn options(text: &str) -> Result<Options, ConfigError> {
    let mut options = Options::default();
    for option in text.split_whitespace() {
        let (name, value) = option.split_once('=').unwrap();
        options.set(name, value)?;
    }
    Ok(options)
}

fn refused(name: &str, text: &str) -> String {
    let built = options(text).and_then(|options| AnyFormat::new(name.parse()?, &options));
    built.map(|format| format!("{format:?}")).expect_err(text).to_string()
}

/// What comes of the bytes, and what is written for an empty packet to 1.
fn effect(name: &str, text: &str, bytes: &[u8]) -> (Vec<Seen>, Option<Vec<u8>>, usize) {
    let mut format = format(name, text);
    let mut out = Vec::new();
    let sent = match format.kind() {
        FormatKind::LengthField | FormatKind::Delimiter => Packet::plain(b"xxxxxxxxxxxxxxxx"),
        FormatKind::RocketMq => Packet::request(1, 1, b""),
        _ => Packet::one_way(1, b"xxxxxxxxxxxxxxxx"),
    };
    let written = format.encode(&sent, &mut out).is_ok().then_some(out);
    (drive(format.clone(), [bytes]), written, format.max_input())
}

/// Every option, in every format that has it: what it is given with, its value, and bytes that come
/// to something else with it.
const EFFECTS: &[(&str, &str, &str, &[u8])] = &[
    ("length-prefix", "", "max=4", b""),
    ("rocketmq", "", "max=40", b""),
    ("rocketmq", "", "max_header=4", b""),
    (
        "rocketmq",
        "",
        "bit0_is_one_way=true",
        b"\0\0\0\x22\0\0\0\x1e{\"code\":1,\"opaque\":1,\"flag\":1}",
    ),
    ("rocketmq", "", "language=7", b""),
    ("rocketmq", "", "version=7", b""),
    ("ltv", "", "max=4", b""),
    ("ltv", "", "heartbeat_id=5", b"\0\0\0\0\x05\0\0\0"),
    ("ltv", "", "heartbeats=false", b"\0\0\0\0\x9f\x86\x01\0"),
    ("tlv", "", "max=4", b""),
    ("tlv", "", "heartbeat_id=5", b"\0\0\0\x05\0\0\0\0"),
    ("tlv", "", "heartbeats=false", b"\0\x01\x86\x9f\0\0\0\0"),
    ("htlv", "", "head_byte=1", b""),
    ("htlv", "", "check_head=true", b"\xa3"),
    ("htlv", "", "skip_damaged=true", b"\xa2\0\0\0\0"),
    ("ndjson", "", "max=4", b""),
    ("ndjson", "max=4", "overlong=resync", b"12345"),
    ("ndjson", "", "heartbeats=false", b"{\"message_type\":\"heartbeat\"}\n"),
    ("msgtrans", "", "max=64", b""),
    ("msgtrans", "", "max_ext=4", b""),
    ("msgtrans", "", "max_unpacked=63", ZLIB),
    ("msgtrans", "", "compression=zlib", b""),
    ("msgtrans", "", "compression=zstd", b""),
    ("msgtrans", "", "zlib=false", ZLIB),
    ("msgtrans", "", "zstd=false", &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    ("length-field", "", "offset=1", b""),
    ("length-field", "", "width=2", b""),
    ("length-field", "", "endian=little", b""),
    ("length-field", "", "adjustment=-4", b""),
    ("length-field", "", "strip=0", b"\0\0\0\0"),
    ("length-field", "", "max=9", b""),
    ("length-field", "offset=1", "magic=07", b"\x08"),
    ("length-field", "offset=1", "head=07", b""),
    ("length-field", "offset=1 magic=07", "resync=true", b"\x08"),
    ("delimiter", "", "delimiter=0d", b""),
    ("delimiter", "", "max=4", b""),
    ("delimiter", "", "strip_cr=false", b"\r\n"),
    ("delimiter", "max=4", "overlong=resync", b"12345"),
    ("delimiter", "", "last=true", b"1"),
    ("fixed", "", "size=16", b""),
    ("raw", "", "max=4", b""),
];

const ZLIB: &[u8] = &[
    1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 22, 0, 0, 0x78, 0x9c, 0xa5, 0xc0, 0x81, 0, 0, 0, 0,
    0x80, 0x20, 0xd6, 0xfc, 0x25, 0x86, 0x38, 0x9e, 0, 0x14, 0x8d, 0x18, 0x41,
];

#[test]
fn c12_every_option_has_an_effect_or_is_refused() {
    for kind in FormatKind::ALL {
        for option in Options::NAMES {
            let given = format!("{option}=");
            let mut listed =
                EFFECTS.iter().filter(|row| row.0 == kind.name() && row.2.starts_with(&given));
            let Some((name, with, set, bytes)) = listed.next() else {
                // Any value of it is refused for having no effect, whatever else is wrong.
                let values = ["1", "true", "00", "big", "close", "none"];
                let value = values.iter().find(|v| Options::default().set(option, v).is_ok());
                let size = if *kind == FormatKind::Fixed { "size=1" } else { "" };
                let text = format!("{size} {option}={}", value.expect("a value"));
                let why = refused(kind.name(), &text);
                assert!(why.contains("has no effect"), "{} {text}: {why}", kind.name());
                continue;
            };
            if *kind == FormatKind::Fixed {
                continue;
            }
            let before = effect(name, with, bytes);
            let after = effect(name, &format!("{with} {set}"), bytes);
            assert_ne!(before, after, "{name}: {set} changes nothing");
        }
    }
}

#[test]
fn the_size_of_fixed_packets_must_be_given() {
    assert_eq!(refused("fixed", ""), "fixed wants `size`");
    assert_eq!(format("fixed", "size=3").max_input(), 3);
}

#[test]
fn unknown_names_list_those_there_are() {
    let formats = refused("xml", "");
    let options = refused("ltv", "speed=1");
    for kind in FormatKind::ALL {
        assert!(formats.contains(kind.name()), "{formats}");
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    assert!(formats.starts_with("no format is called `xml`"), "{formats}");
    for name in Options::NAMES {
        assert!(options.contains(name), "{options}");
    }
}

#[test]
fn impossible_values_are_refused_by_name() {
    let cases = [
        ("ltv", "max=0", "max"),
        ("ltv", "max=1073741825", "max"),
        ("ltv", "heartbeats=false heartbeat_id=1", "heartbeat_id"),
        ("length-prefix", "max=0", "max"),
        ("raw", "max=0", "max"),
        ("fixed", "size=0", "size"),
        ("rocketmq", "max_header=16777216", "max_header"),
        ("msgtrans", "max=63", "max"),
        ("msgtrans", "max=16777217", "max"),
        ("msgtrans", "max_ext=65536", "max_ext"),
        ("msgtrans", "max_unpacked=0", "max_unpacked"),
        ("msgtrans", "zlib=false compression=zlib", "compression"),
        ("length-field", "width=5", "width"),
        ("length-field", "width=0", "width"),
        ("length-field", "offset=65", "offset"),
        ("length-field", "max=3", "max"),
        ("length-field", "strip=2", "strip"),
        ("length-field", "strip=129", "strip"),
        ("length-field", "adjustment=-9223372036854775808", "adjustment"),
        ("length-field", "adjustment=9223372036854775807", "adjustment"),
        ("length-field", "magic=aa", "magic"),
        ("length-field", "offset=2 magic=aabb strip=1", "strip"),
        ("length-field", "head=0000000000", "head"),
        ("length-field", "resync=true", "magic"),
        ("delimiter", "delimiter=", "delimiter"),
        ("delimiter", "delimiter=0000000000000000000000000000000000", "delimiter"),
        ("delimiter", "delimiter=0", "delimiter"),
        ("delimiter", "strip_cr=1", "strip_cr"),
        ("delimiter", "overlong=never", "overlong"),
        ("length-field", "endian=middle", "endian"),
        ("msgtrans", "compression=lz4", "compression"),
        ("htlv", "head_byte=256", "head_byte"),
    ];
    for (name, text, option) in cases {
        let why = refused(name, text);
        assert!(why.contains(&format!("`{option}`")), "{name} {text}: {why}");
    }
}
