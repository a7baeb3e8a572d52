//! Foreign formats out of arbitrary bytes: bounded, the same in any pieces, and the same again
//! after encoding.

use outlast_formats::{
    AnyFormat, End, Extra, Format, FormatError, FormatKind, Options, Packet, Step,
};

use crate::bytes::Bytes;

/// What is fuzzed: every format, and what changes how it reads. The limits are small, so that they
/// are met.
const CONFIGURED: &[(&str, &[(&str, &str)])] = &[
    ("length-prefix", &[("max", "300")]),
    ("rocketmq", &[("max", "600"), ("max_header", "400")]),
    ("rocketmq", &[("bit0_is_one_way", "true")]),
    ("ltv", &[("max", "300")]),
    ("tlv", &[("heartbeat_id", "1")]),
    ("htlv", &[("skip_damaged", "true")]),
    ("htlv", &[("check_head", "true")]),
    ("ndjson", &[("max", "300"), ("overlong", "resync")]),
    ("ndjson", &[("heartbeats", "false")]),
    ("msgtrans", &[("max", "1000"), ("max_unpacked", "5000")]),
    ("length-field", &[("offset", "2"), ("width", "3"), ("endian", "little"), ("max", "300")]),
    ("length-field", &[("width", "8"), ("adjustment", "-9"), ("strip", "0"), ("max", "300")]),
    ("length-field", &[("offset", "3"), ("width", "1"), ("magic", "aa55"), ("resync", "true")]),
    ("delimiter", &[("max", "40"), ("last", "true")]),
    ("delimiter", &[("max", "40"), ("delimiter", "0d0a0d"), ("overlong", "resync")]),
    ("fixed", &[("size", "7")]),
    ("raw", &[("max", "30")]),
];

/// How many there are.
pub const COUNT: usize = CONFIGURED.len();

/// The first byte chooses the format, the second the size of the pieces; the rest is a stream.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let format = format(bytes.below(COUNT));
    let size = usize::from(bytes.u8()) + 1;
    let stream = bytes.take(usize::MAX);
    let whole = drive(format.clone(), stream, usize::MAX);
    assert_eq!(whole, drive(format.clone(), stream, size), "in pieces of {size}");
    assert_eq!(whole, drive(format, stream, 1), "byte by byte");
}

/// One of the configured formats.
#[must_use]
pub fn format(index: usize) -> AnyFormat {
    let (name, settings) = CONFIGURED[index % COUNT];
    let mut options = Options::default();
    for (name, value) in settings {
        options.set(name, value).expect("an option");
    }
    AnyFormat::new(name.parse().expect("a format"), &options).expect("a configuration")
}

/// Everything that was seen, in an order that no division changes.
#[derive(Debug, PartialEq)]
struct Seen {
    packets: Vec<String>,
    raw: Vec<u8>,
    bad: Vec<FormatError>,
    end: Result<String, FormatError>,
}

fn drive(mut format: AnyFormat, stream: &[u8], size: usize) -> Seen {
    let end = Ok(String::new());
    let mut seen = Seen { packets: Vec::new(), raw: Vec::new(), bad: Vec::new(), end };
    let (mut from, mut to) = (0_usize, 0_usize);
    while to < stream.len() {
        to = to.saturating_add(size).min(stream.len());
        loop {
            // In pieces, no more is held than the format ever needs.
            let room = if size == usize::MAX { stream.len() } else { format.max_input() };
            let held = &stream[from..to.min(from.saturating_add(room))];
            match format.decode(held) {
                Ok(Step::Need(need)) => {
                    assert!(need > held.len() && need <= format.max_input());
                    break;
                }
                Ok(Step::Packet { packet, taken }) => {
                    assert!((1..=held.len()).contains(&taken));
                    from += taken;
                    note(&format, &packet, &mut seen);
                }
                Ok(Step::Skip(taken)) => {
                    assert!((1..=held.len()).contains(&taken));
                    from += taken;
                }
                Ok(Step::Bad { error, taken }) => {
                    assert!((1..=held.len()).contains(&taken));
                    from += taken;
                    seen.bad.push(error);
                }
                Err(error) => {
                    seen.end = Err(error);
                    return seen;
                }
            }
        }
    }
    seen.end = format.end(&stream[from..]).map(|end| match end {
        End::Clean => "clean".to_owned(),
        End::Truncated { have, need } => {
            assert!(have == stream.len() - from && need > have);
            format!("truncated at {have}")
        }
        End::Packet(packet) => format!("{packet:?}"),
    });
    seen
}

fn note(format: &AnyFormat, packet: &Packet<'_>, seen: &mut Seen) {
    if format.kind() == FormatKind::Raw {
        seen.raw.extend(&*packet.payload);
        return;
    }
    check_round_trip(format, packet);
    seen.packets.push(format!("{packet:?}"));
}

/// What was decoded can be encoded, and is the same when read back.
fn check_round_trip(format: &AnyFormat, packet: &Packet<'_>) {
    let (mut writer, mut reader) = (format.clone(), format.clone());
    // Where bytes are dropped on reading, or added to what was left out, the packet written anew
    // may be too long.
    let mut out = Vec::new();
    match writer.encode(packet, &mut out) {
        Ok(()) => {}
        Err(FormatError::TooLongToSend { .. }) => return,
        // A line may end with several carriage returns, of which one is no part of it.
        Err(FormatError::Unrepresentable(_)) if packet.payload.ends_with(b"\r") => return,
        Err(error) => panic!("{error}: {packet:?}"),
    }
    let Ok(Step::Packet { packet: again, taken }) = reader.decode(&out) else {
        panic!("written, and no packet: {packet:?}");
    };
    assert_eq!(taken, out.len());
    assert_eq!((again.kind, &again.key), (packet.kind, &packet.key));
    assert_eq!((again.correlation, &again.payload), (packet.correlation, &packet.payload));
    let (mut again, mut before) = (again.extra, packet.extra.clone());
    // The header that the unknown members are taken from is written in another order, and says
    // what was left to be understood.
    for extra in [&mut again, &mut before] {
        if let Extra::RocketMq(command) = extra {
            command.unknown = None;
            command.language = None;
            command.version = None;
        }
    }
    assert_eq!(again, before);
}

/// A packet of each format behind the choice of it, and some of them behind each other.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let line = br#"{"message_type": "a", "x": [1, "\u0041", {"y": NaN}]}"#;
    let mut seeds = Vec::new();
    for index in 0..COUNT {
        let mut format = format(index);
        let packets = [
            Packet::plain(b"payload"),
            Packet::plain(&[0, 0, 0, 0, 0, 0, 0, 15, b'a', b'b', b'c', b'd', b'e', b'f']),
            Packet::one_way(1, b"payload"),
            Packet::request(7, 1, b"payload"),
            Packet::response(7, 1, &[b'x'; 60]),
            Packet::named("a", line),
        ];
        let mut all = vec![u8::try_from(index).unwrap_or(0), 3];
        for packet in &packets {
            let mut one = all[..2].to_vec();
            if format.encode(packet, &mut one).is_ok() {
                all.extend(&one[2..]);
                seeds.push(one);
            }
        }
        seeds.push(all);
    }
    let msgtrans = CONFIGURED.iter().position(|(name, _)| *name == "msgtrans").unwrap_or(0);
    for compression in ["zlib", "zstd"] {
        let mut options = Options::default();
        options.set("compression", compression).expect("an option");
        let mut packed = AnyFormat::new(FormatKind::MsgTrans, &options).expect("a format");
        let mut seed = vec![u8::try_from(msgtrans).unwrap_or(0), 3];
        let payload = b"payload, payload, payload and payload".repeat(9);
        packed.encode(&Packet::request(1, 1, &payload), &mut seed).expect("a packet");
        seeds.push(seed);
    }
    seeds
}
