//! Which headers and sizes are legal: all 256 kinds, both bits, telling tags, sizes from zero up.

use outlast_core::CloseCode;
use outlast_core::wire::{Frame, Header, MAX_BODY, Op};

const TAGS: [u8; 8] = [0, 1, 2, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF];
const SIZES: u16 = 40;

/// What may be in a frame of a kind: how the tag is used, and which sizes of a zero body are legal.
enum Rule {
    /// The tag must be zero and the size one of these.
    Tagless(&'static [u16]),
    /// The tag is free and the size at least and at most this.
    Sized(u16, u16),
    /// The tag is a route, whose extension and at least this much more must be there.
    Routed(u16),
    /// CONT: tag 0 with data or tag 1 without.
    Continue,
    /// A body of zeros has no magic.
    NeedsMagic,
    /// At least 12 bytes, and then pairs: a zero option is two bytes.
    Drain,
}

/// The assigned kinds, by number; everything else is reserved or unknown.
const RULES: [(u8, Rule); 19] = [
    (0x01, Rule::NeedsMagic),
    (0x02, Rule::NeedsMagic),
    (0x03, Rule::Sized(0, u16::MAX)),
    (0x08, Rule::Tagless(&[8])),
    (0x09, Rule::Tagless(&[0, 16])),
    (0x0A, Rule::Tagless(&[0, 16])),
    (0x0C, Rule::Drain),
    // Zeros are the code OK without parts, and then a reason.
    (
        0x0D,
        Rule::Tagless(&[
            8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
            30, 31, 32, 33, 34, 35, 36, 37, 38, 39,
        ]),
    ),
    (0x10, Rule::Routed(0)),
    (0x41, Rule::Sized(0, u16::MAX)),
    (0x5E, Rule::Sized(0, u16::MAX)),
    (0x80, Rule::Routed(0)),
    (0x81, Rule::Routed(2)),
    (0x82, Rule::Sized(2, u16::MAX)),
    (0x84, Rule::Sized(2, 2)),
    (0x85, Rule::Tagless(&[0])),
    (0x86, Rule::Sized(16, 16)),
    (0x8F, Rule::Continue),
    (0xC0, Rule::Sized(0, u16::MAX)),
];

/// The verdict on the header, from the words of the specification and not from the code.
fn header_verdict(kind: u8, more: bool, lane: bool) -> Result<(), CloseCode> {
    if kind == 0 || kind % 32 == 31 {
        return Err(CloseCode::BAD_FRAME);
    }
    let has_options = kind & 0x20 != 0;
    let is_ignorable = kind & 0x40 != 0;
    let is_assigned = RULES.iter().any(|(assigned, _)| *assigned == kind);
    if has_options || !(is_ignorable || is_assigned) {
        return Err(CloseCode::UNKNOWN_CRITICAL);
    }
    if lane {
        return Err(CloseCode::BAD_LANE);
    }
    if more && ![0x80, 0x81, 0x82, 0x8F].contains(&kind) {
        return Err(CloseCode::BAD_FRAME);
    }
    Ok(())
}

/// The verdict on `size` zeros behind a legal header.
fn body_verdict(kind: u8, tag: u8, more: bool, size: u16) -> Result<(), CloseCode> {
    let legal = match RULES.iter().find(|(assigned, _)| *assigned == kind) {
        None => true,
        Some((_, Rule::Tagless(sizes))) => tag == 0 && sizes.contains(&size),
        Some((_, Rule::Sized(least, most))) => (*least..=*most).contains(&size),
        Some((_, Rule::Routed(least))) => match tag {
            0xFC | 0xFD => false,
            0xFE => size >= least + 2,
            0xFF => size >= least + 4,
            _ => size >= *least,
        },
        Some((_, Rule::Continue)) => match tag {
            0 => size > 0,
            1 => size == 0 && !more,
            _ => false,
        },
        Some((_, Rule::NeedsMagic)) => false,
        Some((_, Rule::Drain)) if tag == 0 && size > 12 && size % 2 == 1 => {
            return Err(CloseCode::BAD_OPTION);
        }
        Some((_, Rule::Drain)) => tag == 0 && size >= 12,
    };
    if legal { Ok(()) } else { Err(CloseCode::BAD_FRAME) }
}

fn header(kind: u8, tag: u8, size: u16, more: bool, lane: bool) -> Header {
    let word = u32::from(kind) | u32::from(tag) << 8 | u32::from(size) << 16;
    Header::from_word(word | u32::from(more) << 30 | u32::from(lane) << 31)
}

fn each_header(mut check: impl FnMut(Header)) {
    for kind in 0..=0xFF {
        for tag in TAGS {
            for size in 0..SIZES {
                for bits in 0..4 {
                    check(header(kind, tag, size, bits & 1 != 0, bits & 2 != 0));
                }
            }
        }
    }
}

//= test FRM-5, FRM-6, FRM-7, FRM-8, FRM-9, FRM-11, FRM-12, FRM-13, FRM-15, FRG-8
#[test]
fn every_kind_and_size_is_judged_as_specified() {
    let body = [0; SIZES as usize];
    each_header(|header| {
        let size = header.body_len();
        let body = &body[..usize::from(size)];
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(body);

        let expected = header_verdict(header.kind(), header.more(), header.lane());
        let split = Frame::split(&bytes, MAX_BODY);
        match expected {
            Ok(()) => assert_eq!(split, Ok(Some((header, body, &[][..]))), "{header:?}"),
            Err(code) => assert_eq!(split, Err(code), "{header:?}"),
        }
        let expected =
            expected.and_then(|()| body_verdict(header.kind(), header.tag(), header.more(), size));
        let decoded = Frame::decode(header, body).map(|_| ());
        assert_eq!(decoded, expected, "{header:?}");
    });
}

//= test FRM-1
#[test]
fn a_body_of_another_length_than_announced_is_refused() {
    let body = [0; SIZES as usize + 1];
    each_header(|header| {
        let size = usize::from(header.body_len());
        for wrong in [size + 1, size.wrapping_sub(1)] {
            if let Some(body) = body.get(..wrong) {
                assert!(Frame::decode(header, body).is_err(), "{header:?} with {wrong} bytes");
            }
        }
    });
}

//= test FRM-10, FRM-11
#[test]
fn the_limit_is_judged_last_and_from_the_header_alone() {
    each_header(|header| {
        let expected = header_verdict(header.kind(), header.more(), header.lane());
        let fits = if header.body_len() <= 10 { Ok(()) } else { Err(CloseCode::TOO_LARGE) };
        let bytes = header.to_bytes();
        let split = Frame::split(&bytes, 10);
        assert_eq!(split.map(|_| ()), expected.and(fits), "{header:?}");
    });
}

#[test]
fn nothing_is_decided_before_the_header_is_there() {
    each_header(|header| {
        for len in 0..4 {
            assert_eq!(Frame::split(&header.to_bytes()[..len], MAX_BODY), Ok(None), "{header:?}");
        }
    });
}

//= test FRM-3, FRM-7
#[test]
fn an_unknown_ignorable_kind_says_whether_it_counts() {
    for kind in 0..=0xFF {
        let header = header(kind, 9, 0, false, false);
        if header.op().is_none() && header_verdict(kind, false, false).is_ok() {
            let sequenced = kind & 0x80 != 0;
            assert_eq!(Frame::decode(header, &[]), Ok(Frame::Ignored { sequenced }), "{header:?}");
            assert_eq!(header.is_sequenced(), sequenced);
        }
    }
}

//= test HND-1
#[test]
fn a_connection_begins_with_one_of_four_kinds() {
    for kind in 0..=0xFF {
        let header = header(kind, 1, 36, false, false);
        let bytes = header.to_bytes();
        let verdict = Frame::split_first(&bytes, MAX_BODY);
        match header.op() {
            Some(Op::Hello | Op::Welcome | Op::Auth | Op::Close) => {
                assert!(verdict.is_ok(), "{header:?}");
            }
            Some(_) => assert_eq!(verdict, Err(CloseCode::BAD_STATE), "{header:?}"),
            None => assert_eq!(verdict, Err(CloseCode::BAD_FRAME), "{header:?}"),
        }
        // The first byte is enough, unless it is one of the four.
        let first = Frame::split_first(&bytes[..1], MAX_BODY);
        assert_eq!(first.is_err(), verdict.is_err(), "{header:?}");
    }
}
