//! The bytes of the systems themselves, in both directions.
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

mod common;

use core::time::Duration;

use common::Vector;
use outlast_formats::{Cause, Extra, Failure, Format, FormatError, FormatKind, Packet, Step};

/// The name of an error, without what it says beyond that.
fn name(error: &FormatError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(', '{']).next().unwrap().to_owned()
}

/// The members of a header that are not known come back with all others around them.
fn without_unknown(packet: &Packet<'_>) -> (String, Vec<(String, String)>) {
    let mut packet = packet.clone();
    let mut unknown = Vec::new();
    if let Extra::RocketMq(command) = &mut packet.extra {
        let known = ["code", "language", "version", "opaque", "flag", "remark", "extFields"];
        let members = command.unknown.take().into_iter().flat_map(|object| object.members());
        unknown = members.map(|(name, value)| (name.text().into(), value.text().into())).collect();
        unknown.retain(|(name, _): &(String, String)| !known.contains(&name.trim_matches('"')));
    }
    (common::text(&packet), unknown)
}

fn accept(vector: &Vector, payload: &[u8], bytes: &[u8]) {
    let name = vector.name();
    let ext = vector.bytes("ext").unwrap_or_default();
    let packet = vector.packet(payload, &ext);
    let mut format = vector.format();
    // Raw bytes are a packet however few they are.
    let shorter = if format.kind() == FormatKind::Raw { 0..1 } else { 0..bytes.len() };
    for len in shorter {
        let step = format.decode(&bytes[..len]).unwrap();
        assert!(matches!(step, Step::Need(need) if need > len), "{name}: {step:?} at {len}");
    }
    let Ok(Step::Packet { packet: found, taken }) = format.decode(bytes) else {
        panic!("{name} is no packet");
    };
    assert_eq!(taken, bytes.len(), "{name}");
    assert_eq!(without_unknown(&found), without_unknown(&packet), "{name}");
    let mut out = b"before".to_vec();
    format.encode(&packet, &mut out).unwrap_or_else(|error| panic!("{name}: {error}"));
    let written = out.strip_prefix(b"before").expect("only appended");
    if vector.get("canonical") == Some("no") {
        let Ok(Step::Packet { packet: again, .. }) = format.decode(written) else {
            panic!("{name} is no packet when written");
        };
        assert_eq!(common::text(&again), common::text(&packet), "{name}");
    } else {
        assert_eq!(written, bytes, "{name} is written differently");
        // What was read gives the same bytes as well, whatever else stood in a header.
        let mut again = Vec::new();
        format.encode(&found, &mut again).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again, bytes, "{name} is written differently once it was read");
    }
}

fn refuse(vector: &Vector, wanted: &str, bytes: &[u8]) {
    let mut format = vector.format();
    let (_, early) = bytes.split_last().expect("something to refuse");
    let step = format.decode(early).unwrap();
    assert!(matches!(step, Step::Need(_)), "{}: {step:?} too early", vector.name());
    let error = format.decode(bytes).expect_err(vector.name());
    assert_eq!(name(&error), wanted, "{}", vector.name());
}

fn pass_over(vector: &Vector, bytes: &[u8]) {
    let mut format = vector.format();
    match format.decode(bytes).expect(vector.name()) {
        Step::Skip(taken) => {
            assert_eq!(vector.get("skip"), Some("yes"), "{}", vector.name());
            assert_eq!(taken, bytes.len());
        }
        Step::Bad { error, taken } => {
            assert_eq!(taken, bytes.len());
            assert_eq!(Some(name(&error).as_str()), vector.get("bad"), "{}", vector.name());
            let unix = Duration::from_millis(1_700_000_000_500);
            let failure = Failure { cause: Cause::Malformed(error), text: None, unix };
            let mut out = Vec::new();
            let said = format.encode_failure(&failure, None, &mut out).unwrap();
            let answer = vector.get("answer").map(|line| format!("{line}\n"));
            assert_eq!(said.then(|| String::from_utf8(out).unwrap()), answer, "{}", vector.name());
        }
        step @ (Step::Need(_) | Step::Packet { .. }) => panic!("{}: {step:?}", vector.name()),
    }
}

#[test]
fn vectors_of_all_formats_in_both_directions() {
    let all = Vector::all();
    for kind in FormatKind::ALL {
        let count = all.iter().filter(|v| v.get("format") == Some(kind.name())).count();
        assert!(count > 0, "no vector of {}", kind.name());
    }
    for vector in &all {
        let bytes = vector.bytes("bytes").expect(vector.name());
        match (vector.payload(), vector.get("refuse")) {
            (Some(payload), None) => accept(vector, &payload, &bytes),
            (None, Some(wanted)) => refuse(vector, wanted, &bytes),
            (None, None) => pass_over(vector, &bytes),
            (Some(_), Some(_)) => panic!("{} is both", vector.name()),
        }
    }
}
