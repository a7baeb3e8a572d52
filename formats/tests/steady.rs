//! What costs memory or time with every packet, and must not.
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

mod common;

use common::{CONFIGURED, encode, format, samples};
use outlast_conformance::heap::{self, of_thread};
use outlast_formats::{Compression, Extra, Format, FormatKind, Packet, Step};

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// Decodes all of `input` and answers each packet.
fn serve(format: &mut impl Format, mut input: &[u8], out: &mut Vec<u8>) -> usize {
    let mut packets = 0;
    while let Ok(Step::Packet { packet, taken }) = format.decode(input) {
        let reply = format.reply(&packet, packet.payload.clone());
        format.encode(&reply, out).unwrap();
        input = &input[taken..];
        packets += 1;
    }
    assert!(input.is_empty());
    packets
}

/// Decoding borrows, and encoding only appends: with room in `out` nothing is allocated.
#[test]
fn packets_cost_no_allocation() {
    for (name, options) in CONFIGURED {
        let mut format = format(name, options);
        let mut packets = samples(name);
        let packs = |packet: &Packet<'_>| {
            matches!(&packet.extra, Extra::MsgTrans { compression, .. }
                if *compression != Compression::None)
        };
        packets.retain(|packet| !packs(packet));
        // The last of these has an escape in its name.
        packets.truncate(3);
        let input = encode(&mut format, &packets);
        let mut out = Vec::with_capacity(2 * input.len() + 100);
        let before = of_thread().taken;
        serve(&mut format, &input, &mut out);
        assert_eq!(of_thread().taken - before, 0, "{name} {options}");
    }
}

#[test]
fn c13_a_million_requests_leave_nothing_behind() {
    for (name, options) in CONFIGURED {
        let mut format = format(name, options);
        let mut packets = samples(name);
        packets.truncate(2);
        packets.retain(|packet| packet.payload.len() < 100);
        let mut input = encode(&mut format, &packets);
        let count = if format.kind() == FormatKind::Raw { 1 } else { packets.len() };
        input = input.repeat(500 / count);
        let mut out = Vec::with_capacity(4 * input.len());
        let before = of_thread().held;
        let mut served = 0;
        while served < 1_000_000 {
            served += match format.kind() {
                FormatKind::Raw => serve(&mut format, &input, &mut out) * 500,
                _ => serve(&mut format, &input, &mut out),
            };
            out.clear();
        }
        assert_eq!(of_thread().held - before, 0, "{name} {options}");
    }
}

/// What 64 MiB were packed into costs as much memory as the limit allows, not as it unpacks to.
#[test]
fn bombs_take_no_more_memory_than_allowed() {
    // zstd holds its window beside what it gives: up to 8 MiB, and rings grow by doubling.
    for (codec, window) in [("zlib", 0), ("zstd", 16 << 20)] {
        let limit = 1 << 20;
        let format = format("msgtrans", "max_unpacked=1048576");
        let bomb = {
            let whole = vec![0; 64 << 20];
            let mut options = outlast_formats::Options::default();
            options.set("compression", codec).unwrap();
            options.set("max_unpacked", "1073741824").unwrap();
            let kind = FormatKind::MsgTrans;
            let mut open = outlast_formats::AnyFormat::new(kind, &options).unwrap();
            encode(&mut open, &[Packet::request(0, 1, &whole)])
        };
        let before = of_thread().held;
        heap::forget_most();
        let error = format.clone().decode(&bomb).unwrap_err();
        assert_eq!(error, outlast_formats::FormatError::Bomb { limit });
        let most = of_thread().most - before;
        assert!(most < (3 << 20) + window, "{codec} took {most} bytes");
    }
}

/// Byte by byte, a long line costs as many looks as it has bytes, not their square.
#[test]
fn a_long_packet_byte_by_byte_is_linear() {
    const LEN: usize = 1 << 20;
    for (name, options) in [("delimiter", "max=2000000"), ("ndjson", "max=2000000")] {
        let mut format = format(name, options);
        let mut line = vec![b' '; LEN];
        line.push(b'\n');
        // A quadratic search of a line this long looks at 2^39 bytes and takes minutes.
        for len in 1..=LEN {
            assert_eq!(format.decode(&line[..len]), Ok(Step::Need(len + 1)));
        }
        assert!(!matches!(format.decode(&line), Ok(Step::Need(_)) | Err(_)));
    }
}
