//! What broke elsewhere, as one body of cases over every format.
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

mod common;

use core::time::Duration;

use common::{CONFIGURED, Driver, Seen, at_once, drive, encode, format, samples, text};
use outlast_formats::{
    AnyFormat, Beat, Cause, End, Extra, Failure, Fault, Format, FormatError, FormatKind, Key, Kind,
    Packet, Step,
};

/// Every configured format, its samples, and them as bytes.
fn each(mut case: impl FnMut(&str, &dyn Fn() -> AnyFormat, &[Packet<'static>], &[u8])) {
    for (name, options) in CONFIGURED {
        let fresh = || format(name, options);
        let packets = samples(name);
        let bytes = encode(&mut fresh(), &packets);
        case(&format!("{name} {options}"), &fresh, &packets, &bytes);
    }
}

fn packets(format: &AnyFormat, packets: &[Packet<'_>]) -> Vec<Seen> {
    if format.kind() == FormatKind::Raw {
        return vec![Seen::Raw(packets.iter().flat_map(|p| p.payload.to_vec()).collect())];
    }
    packets.iter().map(|packet| Seen::Packet(text(packet))).collect()
}

#[test]
fn c01_any_division_gives_the_same_packets() {
    each(|name, fresh, sent, bytes| {
        let mut wanted = packets(&fresh(), sent);
        wanted.push(Seen::End(true));
        assert_eq!(drive(fresh(), [bytes]), wanted, "{name} in one piece");
        assert_eq!(at_once(fresh(), bytes), wanted, "{name} all at once");
        for size in [1, 2, 3, 7, 16, 61, 1000] {
            assert_eq!(drive(fresh(), bytes.chunks(size)), wanted, "{name} in pieces of {size}");
        }
        for at in 0..bytes.len().min(400) {
            let (one, two) = bytes.split_at(at);
            assert_eq!(drive(fresh(), [one, two]), wanted, "{name} divided at {at}");
        }
    });
}

#[test]
fn c02_state_is_per_connection() {
    each(|name, fresh, sent, bytes| {
        let (mut one, mut two) = (Driver::new(fresh()), Driver::new(fresh()));
        // Another connection that is always in the middle of something else.
        for (at, byte) in bytes.iter().enumerate() {
            one.feed(&[*byte]);
            two.feed(&bytes[at / 2..][..at % 2]);
        }
        let mut wanted = packets(&fresh(), sent);
        wanted.push(Seen::End(true));
        assert_eq!(one.end(), wanted, "{name}");
    });
}

#[test]
fn c04_empty_end_and_truncated_are_three_things() {
    each(|name, fresh, sent, bytes| {
        assert_eq!(fresh().end(b"").unwrap(), End::Clean, "{name}");
        let first = encode(&mut fresh(), &sent[..1]);
        let is_raw = fresh().kind() == FormatKind::Raw;
        for len in 1..first.len() {
            let seen = drive(fresh(), [&bytes[..len]]);
            if is_raw {
                assert_eq!(seen[1..], [Seen::End(true)], "{name}");
            } else {
                assert_eq!(seen, [Seen::End(false)], "{name}, {len} bytes");
            }
        }
        let seen = drive(fresh(), [first.as_slice()]);
        assert_eq!(seen.last(), Some(&Seen::End(true)), "{name}");
        assert_eq!(seen.len(), 2, "{name}: one packet and the end");
        if !is_raw {
            assert_eq!(fresh().end(&first), Err(FormatError::Undecoded), "{name}");
        }
    });
}

#[test]
fn c05_a_length_over_the_limit_is_refused_from_the_header() {
    let cases: &[(&str, &str, &[u8], &[u8])] = &[
        ("length-prefix", "max=8", &[0, 0, 0, 8], &[0, 0, 0, 9]),
        ("rocketmq", "max=8", &[0, 0, 0, 8], &[0, 0, 0, 9]),
        ("rocketmq", "max_header=2", &[0, 0, 0, 8, 0, 0, 0, 2], &[0, 0, 0, 8, 0, 0, 0, 3]),
        ("ltv", "max=8", &[8, 0, 0, 0, 1, 0, 0, 0], &[9, 0, 0, 0, 1, 0, 0, 0]),
        ("tlv", "max=8", &[0, 0, 0, 1, 0, 0, 0, 8], &[0, 0, 0, 1, 0, 0, 0, 9]),
        ("length-field", "max=8", &[0, 0, 0, 4], &[0, 0, 0, 5]),
        ("length-field", "width=8 max=9", &[0, 0, 0, 0, 0, 0, 0, 1], &[0x7F; 8]),
        ("ndjson", "max=8", b"{\"messag", b"{\"message\n"),
        ("delimiter", "max=8", b"12345678", b"123456789\n"),
        (
            "msgtrans",
            "max=64",
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 65, 0, 0],
        ),
        (
            "msgtrans",
            "max_ext=1",
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0],
        ),
    ];
    for (name, options, most, over) in cases {
        let step = format(name, options).decode(most).unwrap();
        let limit = format(name, options).max_input();
        assert!(matches!(step, Step::Need(need) if need <= limit), "{name} {options}: {step:?}");
        let error = format(name, options).decode(over).unwrap_err();
        let is_limit =
            matches!(error, FormatError::TooLong { .. } | FormatError::NoDelimiter { .. });
        assert!(is_limit, "{name} {options}: {error}");
        assert_eq!(error.fault(), Fault::Peer);
    }
}

/// What this end may not send is refused before a byte of it is written, and costs nothing.
#[test]
fn c05_what_the_peer_could_not_take_is_not_written() {
    each(|name, fresh, sent, _| {
        let mut format = fresh();
        if format.kind() == FormatKind::Raw {
            return;
        }
        let mut packet = sent.last().expect("a sample").clone();
        packet.extra = Extra::None;
        packet.payload = if format.kind() == FormatKind::Ndjson {
            let pad = " ".repeat(format.max_input());
            format!("{{\"message_type\":\"n\"}}{pad}").into_bytes().into()
        } else {
            vec![b'x'; format.max_input()].into()
        };
        if format.kind() == FormatKind::Fixed {
            packet.payload = b"12345".into();
        }
        if format.kind() == FormatKind::MsgTrans {
            packet.payload = vec![0; (16 << 20) + 1].into();
        }
        let mut out = b"kept".to_vec();
        let error = format.encode(&packet, &mut out).unwrap_err();
        assert!(matches!(error, FormatError::TooLongToSend { .. }), "{name}: {error}");
        assert_eq!((error.fault(), out.as_slice()), (Fault::Local, b"kept".as_slice()), "{name}");
        // The next one goes.
        let first = encode(&mut format, &sent[..1]);
        assert_eq!(first, encode(&mut fresh(), &sent[..1]), "{name}");
    });
}

#[test]
fn c08_an_unknown_key_is_answered_or_nothing_happens() {
    let unix = Duration::from_secs(1_700_000_000);
    each(|name, fresh, sent, _| {
        let mut format = fresh();
        let asked = sent.iter().find(|packet| packet.kind == Kind::Request);
        let about = asked.unwrap_or(&sent[0]);
        let mut out = Vec::new();
        let failure = Failure { cause: Cause::NoRoute, text: None, unix };
        let said = format.encode_failure(&failure, Some(about), &mut out).unwrap();
        let answers = [FormatKind::Ndjson, FormatKind::RocketMq].contains(&format.kind());
        assert_eq!((said, out.is_empty()), (answers, !answers), "{name}");
        if answers {
            let seen = drive(fresh(), [out.as_slice()]);
            assert!(matches!(&*seen, [Seen::Packet(_), Seen::End(true)]), "{name}: {seen:?}");
        }
    });
}

#[test]
fn failures_say_what_the_originals_say() {
    let unix = Duration::from_millis(1_700_000_000_500);
    let say = |name: &str, cause, text, about: Option<&Packet<'_>>| {
        let mut out = Vec::new();
        let failure = Failure { cause, text, unix };
        let said = format(name, "").encode_failure(&failure, about, &mut out).unwrap();
        said.then(|| String::from_utf8_lossy(&out).into_owned())
    };
    let line = "{\"message_type\": \"error_message\", \"timestamp\": 1700000000.5, \
                \"error_code\": 1008, \"error_message\": \"未知的消息类型\"}\n";
    assert_eq!(say("ndjson", Cause::NoRoute, None, None).as_deref(), Some(line));
    let codes = [
        (Cause::Malformed(FormatError::NotAnObject), 1009, 1),
        (Cause::Malformed(FormatError::NoName), 1008, 1),
        (Cause::Denied, 1001, 16),
        (Cause::Busy, 1009, 2),
        (Cause::TimedOut, 1009, 1),
        (Cause::Failed, 1009, 1),
        (Cause::NoRoute, 1008, 3),
    ];
    let request = Packet::request(105, 7, b"");
    for (cause, chat, rocket) in codes {
        let line = say("ndjson", cause, Some("\"quoted\""), None).unwrap();
        assert!(line.contains(&format!("\"error_code\": {chat}, ")), "{line}");
        assert!(line.contains(r#""error_message": "\"quoted\"""#), "{line}");
        let command = say("rocketmq", cause, Some("why"), Some(&request)).unwrap();
        assert!(command.contains(&format!("{{\"code\":{rocket},")), "{command}");
        assert!(command.contains("\"opaque\":7,\"flag\":1,\"remark\":\"why\"}"), "{command}");
    }
    // Nobody waits for an answer to these.
    let one_way = Packet { correlation: Some(1), ..Packet::one_way(105, b"") };
    assert_eq!(say("rocketmq", Cause::Failed, None, Some(&one_way)), None);
    assert_eq!(say("rocketmq", Cause::Failed, None, None), None);
    assert_eq!(say("ltv", Cause::Failed, None, Some(&Packet::one_way(1, b""))), None);
}

#[test]
fn heartbeats_are_those_of_the_format() {
    let unix = Duration::from_millis(1_700_000_000_500);
    let beat = Beat { local: "a", remote: "b", unix };
    let text = |name, options| {
        let mut out = Vec::new();
        let mut format = format(name, options);
        let said = format.encode_heartbeat(&beat, &mut out).unwrap();
        let mut seen = drive(format, [out.as_slice()]);
        assert_eq!((seen.pop(), said), (Some(Seen::End(true)), seen.len() == 1), "{name}");
        seen.pop()
    };
    let hex: String = b"heartbeat [a->b]".iter().map(|byte| format!("{byte:02x}")).collect();
    for name in ["ltv", "tlv"] {
        let wanted = format!("Heartbeat Id(99999) None None {hex}");
        assert_eq!(text(name, ""), Some(Seen::Packet(wanted)));
        let wanted = format!("Heartbeat Id(7) None None {hex}");
        assert_eq!(text(name, "heartbeat_id=7"), Some(Seen::Packet(wanted)));
        assert_eq!(text(name, "heartbeats=false"), None);
    }
    let Some(Seen::Packet(line)) = text("ndjson", "") else {
        panic!("no heartbeat");
    };
    assert!(line.starts_with("Heartbeat Name(\"heartbeat\") None None 7b226d"), "{line}");
    assert_eq!(text("ndjson", "heartbeats=false"), None);
    for name in ["length-prefix", "rocketmq", "htlv", "msgtrans", "delimiter", "raw"] {
        assert_eq!(text(name, ""), None, "{name}");
    }
}

#[test]
fn replies_go_where_their_packets_came_from() {
    each(|name, fresh, sent, _| {
        let mut format = fresh();
        for packet in sent.iter().filter(|packet| packet.kind != Kind::Heartbeat) {
            let reply = format.reply(packet, packet.payload.clone());
            let mut out = Vec::new();
            format.encode(&reply, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut other = fresh();
            let Ok(Step::Packet { packet: read, .. }) = other.decode(&out) else {
                panic!("{name}: no packet");
            };
            if packet.kind == Kind::Request {
                assert_eq!(read.kind, Kind::Response, "{name}");
                assert_eq!(read.correlation, packet.correlation, "{name}");
            }
            if format.kind() == FormatKind::RocketMq {
                assert_eq!(read.key, Key::Id(0), "success");
            } else {
                assert_eq!(read.key, packet.key, "{name}");
            }
            assert!(read.payload == packet.payload || format.kind() == FormatKind::Raw, "{name}");
        }
    });
}

/// What a format has no way to say is said so, and written by none.
#[test]
fn what_cannot_be_said_is_an_error() {
    let plain = || Packet::plain(b"x");
    let beat = || Packet::heartbeat(Key::Id(99_999), b"");
    let htlv = || Extra::Htlv { head: 1 };
    let raw = || Packet { extra: Extra::Raw { left: 0 }, ..Packet::one_way(1, b"x") };
    let other = |packet| Packet { extra: htlv(), ..packet };
    let named = |line| Packet::named("a", line);
    let cases: Vec<(&str, &str, Packet<'_>)> = vec![
        ("length-prefix", "", Packet::one_way(1, b"x")),
        ("length-prefix", "", Packet { kind: Kind::Request, ..plain() }),
        ("length-prefix", "", Packet { correlation: Some(1), ..plain() }),
        ("length-prefix", "", other(plain())),
        ("delimiter", "", Packet::plain(b"a\nb")),
        ("delimiter", "", Packet::plain(b"a\r")),
        ("delimiter", "delimiter=6161", Packet::plain(b"xa")),
        ("fixed", "size=2", plain()),
        ("length-field", "strip=0", plain()),
        ("length-field", "strip=0", Packet::plain(b"\0\0\0\x02x")),
        ("length-field", "offset=1 magic=07 strip=0", Packet::plain(b"\x08\0\0\0\0")),
        ("length-field", "adjustment=4", plain()),
        ("ltv", "", plain()),
        ("ltv", "", Packet::named("a", b"")),
        ("ltv", "", Packet::request(1, 1, b"")),
        ("ltv", "", Packet::one_way(99_999, b"")),
        ("ltv", "", Packet::heartbeat(Key::Id(1), b"")),
        ("ltv", "heartbeats=false", beat()),
        ("ltv", "", raw()),
        ("htlv", "", Packet::one_way(256, b"")),
        ("htlv", "", Packet::request(1, 1, b"")),
        ("htlv", "", raw()),
        ("htlv", "check_head=true", other(Packet::one_way(1, b""))),
        ("ndjson", "", named(b"{}")),
        ("ndjson", "", named(b"[1]")),
        ("ndjson", "", named(b"{\"message_type\":\"b\"}")),
        ("ndjson", "", named(b"{\"message_type\":\"a\"}\r")),
        ("ndjson", "", named(b"{\"message_type\":\n\"a\"}")),
        ("ndjson", "", named(b"{\"message_type\":\"a\",\"x\":\"\xff\"}")),
        ("ndjson", "", Packet::named("heartbeat", b"{\"message_type\":\"heartbeat\"}")),
        ("ndjson", "", Packet::heartbeat(Key::None, b"{\"message_type\":\"a\"}")),
        ("ndjson", "", other(named(b"{\"message_type\":\"a\"}"))),
        ("msgtrans", "", Packet::one_way(256, b"")),
        ("msgtrans", "", Packet { correlation: None, ..Packet::request(1, 1, b"") }),
        ("msgtrans", "", beat()),
        ("msgtrans", "", raw()),
        ("rocketmq", "", Packet::one_way(1, b"")),
        ("rocketmq", "", beat()),
        ("rocketmq", "", other(Packet::request(1, 1, b""))),
    ];
    for (name, options, packet) in cases {
        let mut out = b"kept".to_vec();
        let error = format(name, options).encode(&packet, &mut out).expect_err(name);
        let why = format!("{name} {options}: {error}: {packet:?}");
        assert!(matches!(error, FormatError::Unrepresentable(_)), "{why}");
        assert_eq!((error.fault(), out.as_slice()), (Fault::Local, b"kept".as_slice()), "{why}");
    }
    // A length of one byte has room for 255.
    let error = format("length-field", "width=1").encode(&Packet::plain(&[0; 256]), &mut vec![]);
    assert!(matches!(error, Err(FormatError::TooLongToSend { .. })), "{error:?}");
}

/// One-way packets that say nothing of their number are counted, as the original counts them.
#[test]
fn one_way_packets_of_msgtrans_are_counted() {
    let (mut format, mut out) = (format("msgtrans", ""), Vec::new());
    for wanted in 1..=3_u32 {
        out.clear();
        format.encode(&Packet::one_way(5, b""), &mut out).unwrap();
        assert_eq!(out[4..8], wanted.to_be_bytes());
    }
}

/// A file in the middle of lines: as many bytes as were announced, whatever they are.
#[test]
fn raw_bytes_between_lines_are_counted_not_read() {
    let file = b"{\"message_type\":\"x\"}\n===FILE_DATA_END===\n\0\xFF";
    let line = b"{\"message_type\":\"a\"}\n";
    for size in 1..=file.len() {
        let mut driver = Driver::new(format("ndjson", ""));
        driver.feed(line);
        // The driver had already looked at what it took for a line.
        driver.feed(&file[..1]);
        driver.format.expect_raw(file.len() as u64).unwrap();
        // An empty line first: whoever remembers how far it had looked does not see its end.
        let rest = [&file[1..], b"\n", line].concat();
        rest.chunks(size).for_each(|piece| driver.feed(piece));
        let seen = driver.end();
        assert_eq!(seen.len(), 4, "{seen:?}");
        assert_eq!(seen[1], Seen::Raw(file.to_vec()));
        assert_eq!((&seen[0], &seen[3]), (&seen[2], &Seen::End(true)));
    }
    let mut cut = Driver::new(format("ndjson", ""));
    cut.format.expect_raw(3).unwrap();
    cut.feed(b"ab");
    assert_eq!(cut.end(), [Seen::Raw(b"ab".to_vec()), Seen::End(false)]);
    let error = format("ltv", "").expect_raw(1).unwrap_err();
    assert!(matches!(error, FormatError::Unrepresentable(_)));
}

/// After dirt, the packets behind it are found, however the bytes are divided.
#[test]
fn dirt_is_passed_over_where_that_is_wanted() {
    let good = [0xAA, 0x55, 0, 1, b'x'];
    let dirty: Vec<u8> =
        [&[0xAA, 0xAA, 7][..], &good, &[0x55, 0xAA, 0x54], &good, &good, &[0xAA]].concat();
    let lines = b"1234\n12345\n123456\n\n1\n".as_slice();
    for size in 1..=dirty.len() {
        let field = format("length-field", "offset=2 width=2 magic=aa55 resync=true");
        let seen = drive(field, dirty.chunks(size));
        let packet = Seen::Packet("OneWay None None None 78".into());
        assert_eq!(seen[..3], [packet.clone(), packet.clone(), packet], "{size}");
        assert_eq!(seen[3..], [Seen::End(false)], "{size}");
        // A magic in the dirt with a length that cannot be: only the magic is passed over.
        let field = format("length-field", "offset=2 width=2 magic=aa55 resync=true max=9");
        let long = [&[0xAA, 0x55, 0xAA, 0x55, 0, 1, b'x'][..], &good].concat();
        let seen = drive(field, long.chunks(size));
        let packet = Seen::Packet("OneWay None None None 78".into());
        let error = FormatError::TooLong { length: 0xAA55, limit: 9 };
        let wanted = [Seen::Bad(error), packet.clone(), packet, Seen::End(true)];
        assert_eq!(seen, wanted, "{size}");
        let seen = drive(format("delimiter", "max=4 overlong=resync"), lines.chunks(size));
        let line = |hex: &str| Seen::Packet(format!("OneWay None None None {hex}"));
        let long = Seen::Bad(FormatError::NoDelimiter { limit: 4 });
        let wanted = [line("31323334"), long.clone(), long, line(""), line("31"), Seen::End(true)];
        assert_eq!(seen, wanted, "{size}");
        assert_eq!(at_once(format("delimiter", "max=4 overlong=resync"), lines), wanted);
    }
    // A line that is too long and never ends is an end in the middle.
    let seen = drive(format("ndjson", "max=4 overlong=resync"), [b"1234567".as_slice()]);
    assert_eq!(seen, [Seen::Bad(FormatError::NoDelimiter { limit: 4 }), Seen::End(false)]);
}

/// A payload that unpacks to more than allowed is given up at the limit.
#[test]
fn bombs_end_at_the_limit() {
    for codec in ["zlib", "zstd"] {
        let open = format("msgtrans", &format!("compression={codec}"));
        let payload = vec![0; 1 << 20];
        let bytes = encode(&mut open.clone(), &[Packet::request(0, 1, &payload)]);
        assert!(bytes.len() < 1 << 13, "{codec} packs it into {} bytes", bytes.len());
        let seen = drive(open, [bytes.as_slice()]);
        assert!(matches!(&*seen, [Seen::Packet(_), Seen::End(true)]), "{codec}");
        for (limit, fits) in [((1 << 20) - 1, false), (1 << 20, true), (1, false)] {
            let seen = drive(format("msgtrans", &format!("max_unpacked={limit}")), [&*bytes]);
            let bomb = [Seen::Error(FormatError::Bomb { limit })];
            assert_eq!(seen == bomb, !fits, "{codec} with {limit}: {:?}", seen.last());
        }
        // What is cut short, or goes on, is not what the encoder made.
        let step = |payload: &[u8]| {
            let mut bytes = bytes[..16].to_vec();
            bytes[10..14].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
            bytes.extend(payload);
            drive(format("msgtrans", ""), [&*bytes])
        };
        let packed = &bytes[16..];
        for wrong in [&packed[..packed.len() - 1], &[packed, &[0]].concat(), &[]] {
            let seen = step(wrong);
            assert!(matches!(&*seen, [Seen::Error(FormatError::BadCompressed(_))]), "{seen:?}");
        }
    }
}
