//! What every frame and every stream of bytes has in common.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "whatever is wrong fails the test, as it should"
)]

use proptest::collection::vec;
use proptest::prelude::*;

use outlast_core::CloseCode;
use outlast_core::wire::{
    AuthData, Close, CloseFlags, Drain, Frame, Grant, HANDSHAKE_MAX, HEADER_LEN, Header, Hello,
    MAX_BODY, MIN_MAX_BODY, Op, Probe, REASON_MAX, RequestId, Resume, Resumed, Route, Status,
    Terms, Welcome, encode_ack, encode_empty, encode_probe,
};

const KINDS: u8 = 20;

/// What a random legal frame is made of; frames borrow from it.
#[derive(Debug, Clone)]
struct Material {
    kind: u8,
    wide: [u64; 3],
    words: [u32; 8],
    short: u16,
    small: [u8; 4],
    flags: [bool; 5],
    payload: Vec<u8>,
    texts: [Vec<u8>; 3],
    reason: String,
    key: [u8; 16],
}

fn material() -> impl Strategy<Value = Material> {
    // Boundaries of the route encodings and of signed numbers are worth more than chance gives.
    let word = prop_oneof![any::<u32>(), 0..300u32, Just(0xFFFF), Just(0x1_0000), Just(u32::MAX),];
    let numbers = (any::<[u64; 3]>(), proptest::array::uniform8(word), any::<u16>());
    let small = (any::<[u8; 4]>(), any::<[bool; 5]>(), any::<[u8; 16]>());
    let bytes = (
        vec(any::<u8>(), 0..400),
        proptest::array::uniform3(vec(any::<u8>(), 0..=254)),
        "\\PC{0,42}",
    );
    (0..KINDS, numbers, small, bytes).prop_map(|(kind, numbers, small, bytes)| Material {
        kind,
        wide: numbers.0,
        words: numbers.1,
        short: numbers.2,
        small: small.0,
        flags: small.1,
        key: small.2,
        payload: bytes.0,
        texts: bytes.1,
        reason: bytes.2,
    })
}

impl Material {
    fn terms(&self) -> Terms {
        let max_body = self.short.clamp(MIN_MAX_BODY, MAX_BODY);
        Terms {
            max_body,
            max_requests: self.short,
            idle_ms: self.words[0],
            heartbeat_ms: self.words[1],
            window: self.words[2].clamp(u32::from(max_body) + 4, (1 << 31) - 1),
            max_msg: self.words[3],
            ttl_s: self.words[4],
            send_buffer: self.words[5],
        }
    }

    fn optional<T>(&self, flag: usize, value: T) -> Option<T> {
        self.flags[flag].then_some(value)
    }

    fn hello(&self) -> Hello<'_> {
        let [a, b, key_id, kind] = self.small;
        let resume = Resume {
            sid: self.wide[0],
            attach: self.words[6],
            key_id,
            proof_kind: kind,
            rx_next: self.wide[1],
            tx_first: self.wide[2],
            proof: self.key,
        };
        Hello {
            version_min: a.min(b).max(1),
            version_max: a.max(b).max(1),
            wants_session: self.flags[0],
            terms: self.terms(),
            caps: self.words[7],
            resume: self.optional(1, resume),
            auth: self.optional(2, AuthData { method: kind, data: &self.texts[0] }),
            agent: self.optional(3, &self.texts[1]),
            client_id: self.optional(4, &self.texts[2]),
        }
    }

    fn welcome(&self) -> Welcome<'_> {
        let epoch = self.words[6];
        let grant = Grant { sid: self.wide[0], epoch, key_id: self.small[2], key: self.key };
        let resumed = Resumed { rx_next: self.wide[1], tx_first: self.wide[2], epoch };
        let has_session = self.flags[0];
        Welcome {
            version: self.small[0],
            has_session,
            terms: self.terms(),
            caps: self.words[7],
            session: (has_session && self.flags[1]).then_some(grant),
            resumed: (has_session && !self.flags[1]).then_some(resumed),
            address: self.optional(2, &self.texts[0]),
        }
    }

    fn close(&self) -> Close<'_> {
        Close {
            code: CloseCode::new(self.short),
            flags: CloseFlags(u16::from(self.small[0] & 3)),
            retry_ms: self.words[0],
            rx_next: self.optional(0, self.wide[0]),
            last_attach: self.optional(1, self.words[1]),
            versions: self.optional(2, (self.small[1], self.small[2])),
            reason: if self.reason.len() > REASON_MAX { "" } else { &self.reason },
        }
    }

    fn drain(&self) -> Drain<'_> {
        Drain {
            code: CloseCode::new(self.short),
            grace_ms: self.words[0],
            spread_ms: self.words[1],
            address: self.optional(0, &self.texts[0]),
        }
    }

    fn frame(&self) -> Frame<'_> {
        let [small, ..] = self.small;
        let more = self.flags[0];
        let id = RequestId(self.short);
        let route = Route::from(self.words[0]);
        let payload = self.payload.as_slice();
        let [nonce, tx, ack, limit, ..] = self.words;
        let probe = self.optional(1, Probe { nonce, tx, ack, limit });
        match self.kind {
            0 => Frame::Hello(self.hello()),
            1 => Frame::Welcome(self.welcome()),
            2 => Frame::Auth { step: small, data: payload },
            3 => Frame::Ack { ack, limit },
            4 => Frame::Ping(probe),
            5 => Frame::Pong(probe),
            6 => Frame::Drain(self.drain()),
            7 => Frame::Close(self.close()),
            8 => Frame::Note { route, payload },
            9 | 10 => Frame::Message { route, payload, more },
            11 => Frame::Request { id, route, payload, more },
            12 => Frame::Response { id, status: Status(small), payload, more },
            13 => Frame::Cancel { id, reason: small },
            14 => Frame::Fin,
            15 => Frame::Token { key_id: small, key: self.key },
            16 if !payload.is_empty() => Frame::Continue { payload, more },
            16 | 17 => Frame::Abort,
            18 => Frame::Skip,
            _ => Frame::Ignored { sequenced: more },
        }
    }
}

fn encoded(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let mut out = vec![0xEE; HEADER_LEN + usize::from(MAX_BODY)];
    let len = frame.encode(&mut out)?;
    out.truncate(len);
    Some(out)
}

/// Everything a receiver sees of a stream that arrives in these pieces: kinds, sizes, the end.
fn received(pieces: &[&[u8]], max_body: u16) -> (Vec<String>, Result<usize, CloseCode>) {
    let (mut buffer, mut seen) = (Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let mut input = buffer.as_slice();
        loop {
            match Frame::split(input, max_body) {
                Ok(Some((header, body, rest))) => {
                    match Frame::decode(header, body) {
                        Ok(frame) => seen.push(format!("{header:?} {frame:?}")),
                        Err(code) => return (seen, Err(code)),
                    }
                    assert_eq!(input.len() - rest.len(), header.frame_size());
                    input = rest;
                }
                Ok(None) => break,
                Err(code) => return (seen, Err(code)),
            }
        }
        buffer = input.to_vec();
    }
    (seen, Ok(buffer.len()))
}

/// Cuts `bytes` at these places, wherever they fall.
fn cut<'b>(bytes: &'b [u8], places: &[usize]) -> Vec<&'b [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (bytes.len() + 1)).collect();
    places.push(bytes.len());
    places.sort_unstable();
    let mut from = 0;
    places
        .into_iter()
        .map(|to| {
            let piece = &bytes[from..to];
            from = to;
            piece
        })
        .collect()
}

/// Random bytes of which most begin like a frame, and some are one but for a byte.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let header =
        (any::<u8>(), any::<u8>(), 0..80u16, 0..64u8).prop_map(|(kind, tag, len, bits)| {
            let bits = if bits < 4 { u32::from(bits) << 30 } else { 0 };
            let word = u32::from(kind) | u32::from(tag) << 8 | u32::from(len) << 16 | bits;
            Header::from_word(word)
        });
    let like_a_frame = (header, vec(any::<u8>(), 80)).prop_map(|(header, body)| {
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(&body[..usize::from(header.body_len())]);
        bytes
    });
    let spoilt = (material(), any::<usize>(), any::<u8>()).prop_map(|(material, at, byte)| {
        let mut bytes = encoded(&material.frame()).expect("made of legal parts");
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes
    });
    let part = prop_oneof![4 => like_a_frame, 2 => spoilt, 1 => vec(any::<u8>(), 0..20)];
    vec(part, 0..8).prop_map(|parts| parts.concat())
}

/// At least a thousand cases; the environment (`PROPTEST_CASES`) can ask for more.
fn config() -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(1_000), ..config }
}

proptest! {
    #![proptest_config(config())]

    //= test FRM-2, FRM-4, FRM-30
    #[test]
    fn what_is_written_is_read_back(material in material()) {
        let frame = material.frame();
        let bytes = encoded(&frame).expect("made of legal parts");
        let (header, body, rest) = Frame::split(&bytes, MAX_BODY).unwrap().unwrap();
        prop_assert_eq!(header.frame_size(), bytes.len());
        prop_assert!(rest.is_empty());
        prop_assert_eq!(Frame::decode(header, body), Ok(frame));

        // Exactly this much room is needed, and no more is touched.
        let mut exact = vec![0; bytes.len()];
        prop_assert_eq!(frame.encode(&mut exact), Some(bytes.len()));
        prop_assert_eq!(&exact, &bytes);
        if !matches!(frame, Frame::Close(_)) {
            prop_assert_eq!(frame.encode(&mut exact[..bytes.len() - 1]), None);
        }
        if matches!(frame, Frame::Hello(_) | Frame::Welcome(_)) {
            prop_assert!(bytes.len() <= HANDSHAKE_MAX);
        }
    }

    #[test]
    fn what_is_read_can_be_written_and_read_again(bytes in noise()) {
        let mut input = bytes.as_slice();
        while let Ok(Some((header, body, rest))) = Frame::split(input, MAX_BODY) {
            if let Ok(frame) = Frame::decode(header, body) {
                let again = encoded(&frame).expect("a legal frame can be written");
                let (header, body, _) = Frame::split(&again, MAX_BODY).unwrap().unwrap();
                prop_assert_eq!(Frame::decode(header, body), Ok(frame));
            }
            input = rest;
        }
    }

    //= test FRM-17
    #[test]
    fn any_division_of_noise_gives_the_same_frames(
        bytes in noise(),
        places in vec(any::<usize>(), 0..12),
        max_body in 0..100u16,
    ) {
        prop_assert_eq!(received(&cut(&bytes, &places), max_body), received(&[&bytes], max_body));
    }

    //= test FRM-17
    #[test]
    fn any_division_of_a_conversation_gives_the_same_frames(
        materials in vec(material(), 0..6),
        places in vec(any::<usize>(), 0..12),
    ) {
        let frames: Vec<_> = materials.iter().filter_map(|m| encoded(&m.frame())).collect();
        let stream = frames.concat();
        let (seen, end) = received(&cut(&stream, &places), MAX_BODY);
        prop_assert_eq!(seen.len(), frames.len());
        prop_assert_eq!(end, Ok(0));
    }

    #[test]
    fn more_input_never_changes_a_verdict(bytes in noise(), end in any::<usize>()) {
        let part = &bytes[..end % (bytes.len() + 1)];
        for split in [Frame::split, Frame::split_first] {
            match (split(part, 60), split(&bytes, 60)) {
                (Ok(None), _) => {}
                (Ok(Some((header, body, _))), Ok(Some((header_2, body_2, _)))) => {
                    prop_assert_eq!((header, body), (header_2, body_2));
                }
                (part, whole) => prop_assert_eq!(part, whole),
            }
        }
    }

    //= test CLS-16
    #[test]
    fn a_close_always_fits_the_smallest_peer(material in material(), reason in ".{0,200}") {
        let close = Close { reason: &reason, ..material.close() };
        for room in 0..160 {
            let mut out = vec![0; room];
            let Some(len) = close.encode(&mut out) else {
                prop_assert!(room < 26, "no room in {room} bytes");
                continue;
            };
            let read = Close::decode(&out[HEADER_LEN..len]).unwrap();
            prop_assert!(reason.starts_with(read.reason));
            // What was cut was cut for lack of room, at the last character that fits.
            let next = reason[read.reason.len()..].chars().next().map_or(0, char::len_utf8);
            let full = len + next > room || read.reason.len() + next > REASON_MAX;
            prop_assert!(full || next == 0);
            prop_assert_eq!(Close { reason: "", ..read }, Close { reason: "", ..close });
        }
    }
}

#[test]
fn the_small_writers_agree_with_the_general_one() {
    let probe = Probe { nonce: 1, tx: 2, ack: 3, limit: u32::MAX };
    let same = |frame: Frame<'_>, bytes: &[u8]| assert_eq!(encoded(&frame).unwrap(), bytes);
    same(Frame::Ack { ack: 0x168, limit: 0x1_0168 }, &encode_ack(0x168, 0x1_0168));
    same(Frame::Ping(Some(probe)), &encode_probe(Op::Ping, probe));
    same(Frame::Pong(Some(probe)), &encode_probe(Op::Pong, probe));
    same(Frame::Ping(None), &encode_empty(Op::Ping));
    same(Frame::Pong(None), &encode_empty(Op::Pong));
    same(Frame::Fin, &encode_empty(Op::Fin));
    same(Frame::Skip, &encode_empty(Op::Skip));
}
