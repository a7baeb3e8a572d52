//! `outlast inspect` on what the specification shows, and on captures made here.

mod common;

use std::fs;
use std::path::Path;

use common::{folder, run};

fn inspect(args: &[&str]) -> String {
    let (status, text) = run(&[&["inspect"], args].concat());
    assert!(status.success(), "{text}");
    text
}

fn data(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name).display().to_string()
}

/// To renew the expected text: run with `OUTLAST_BLESS=1` and read the difference.
fn compare(name: &str, text: &str) {
    let path = data(name);
    if std::env::var_os("OUTLAST_BLESS").is_some() {
        fs::write(&path, format!("{}\n", text.trim_end())).expect("the source can be written");
    }
    let expected = fs::read_to_string(&path).expect("the expected text is there");
    assert_eq!(text.trim_end(), expected.trim_end(), "{path} differs");
}

#[test]
fn a_resumed_session_is_explained_frame_by_frame() {
    compare("resume.txt", &inspect(&[&data("resume.hex")]));
}

#[test]
fn every_single_frame_is_explained() {
    compare("frames.txt", &inspect(&["--payload", "8", &data("frames.hex")]));
}

#[test]
fn what_peers_refuse_is_named() {
    for (hex, words) in [
        ("00000000", "BAD_FRAME (0x0101)"),
        ("ffffffff", "BAD_FRAME (0x0101)"),
        ("> 47455420 2f", "this looks like an HTTP request"),
        ("> 16030100", "this looks like a TLS handshake"),
        ("a1090d00 06", "UNKNOWN_CRITICAL (0x0108)"),
        ("0b00060005002000 0000", "UNKNOWN_CRITICAL (0x0108)"),
        ("800304c0 41*4", "BAD_LANE (0x0105)"),
        ("80fc0000", "BAD_FRAME (0x0101)"),
        ("8f000000", "BAD_FRAME (0x0101)"),
        ("08000700 00*7", "BAD_FRAME (0x0101)"),
        ("< 09000000", "BAD_STATE (0x0104)"),
    ] {
        let text = inspect(&["--", hex]);
        assert!(text.contains("ILLEGAL") && text.contains(words), "{hex}:\n{text}");
    }
}

/// The frames that other implementations check themselves against.
#[test]
fn golden_vectors_are_explained_or_refused_as_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/vectors");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the vectors are there").map_while(Result::ok) {
        let text = fs::read_to_string(entry.path()).expect("it is text");
        for block in text.split("\n\n") {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name))?;
                Some(line.strip_prefix(':')?.trim())
            };
            // Limits other than the greatest are what a reader announces, and nobody did here.
            let (Some(name), Some(bytes), None) =
                (field("name"), field("bytes"), field("our_max_body"))
            else {
                continue;
            };
            // Only the beginning of a connection is judged as such.
            let sender = if field("stage") == Some("first") { "> " } else { "" };
            let said = inspect(&["--", &format!("{sender}{bytes}")]);
            match field("refuse") {
                Some(code) => assert!(
                    said.contains("ILLEGAL") && said.contains(&format!("{code} (0x")),
                    "{name} is not refused with {code}:\n{said}"
                ),
                None => assert!(!said.contains("ILLEGAL"), "{name} is refused:\n{said}"),
            }
            count += 1;
        }
    }
    assert!(count > 100, "{count} vectors");
}

#[test]
fn secrets_are_shown_only_when_asked_for() {
    let token = "86 02 10 00 | 10 11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f";
    assert!(!inspect(&[token]).contains("1011"));
    assert!(inspect(&["--secrets", token]).contains("101112131415161718191a1b1c1d1e1f"));
}

#[test]
fn a_frame_that_is_not_whole_is_mentioned() {
    assert!(inspect(&["80 07 10 00 30"]).contains("the last frame (MSG) has 5 of its 20 B"));
    assert!(inspect(&["80 07"]).contains("the last header has 2 of its 4 B"));
}

#[test]
fn mistakes_are_explained() {
    let (status, text) = run(&["inspect", "no-such-file"]);
    assert!(!status.success());
    assert!(text.contains("there is no file `no-such-file`"), "{text}");
    let (status, text) = run(&["inspect", "812"]);
    assert!(!status.success());
    assert!(text.contains("odd number of digits"), "{text}");
}

/// A capture in the making: Ethernet, IPv4, TCP.
struct Capture(Vec<u8>);

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 50_000);
const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 9_999);

impl Capture {
    fn new() -> Self {
        let words = [0xA1B2_C3D4_u32, 0x0004_0002, 0, 0, 65_535, 1];
        Self(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    fn segment(&mut self, by_client: bool, seq: u32, flags: u8, payload: &[u8]) {
        let (from, to) = if by_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let total = u16::try_from(40 + payload.len()).expect("a short segment");
        let mut packet = vec![0; 12];
        packet.extend_from_slice(&[8, 0, 0x45, 0]);
        packet.extend_from_slice(&total.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend_from_slice(&from.0);
        packet.extend_from_slice(&to.0);
        packet.extend_from_slice(&from.1.to_be_bytes());
        packet.extend_from_slice(&to.1.to_be_bytes());
        packet.extend_from_slice(&seq.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        packet.extend_from_slice(payload);
        // Short frames are padded, and the padding is no data.
        packet.resize(packet.len().max(60), 0);
        let length = u32::try_from(packet.len()).expect("a short packet");
        let micros = u32::try_from(self.0.len()).expect("a short capture");
        for word in [100, micros, length, length] {
            self.0.extend_from_slice(&word.to_le_bytes());
        }
        self.0.extend_from_slice(&packet);
    }
}

/// The bytes of the two directions of `resume.hex`.
fn directions() -> [Vec<u8>; 2] {
    let text = fs::read_to_string(data("resume.hex")).expect("the file is there");
    let mut sides = [Vec::new(), Vec::new()];
    let mut side = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        side = match line.chars().next() {
            Some('>') => 0,
            Some('<') => 1,
            _ => side,
        };
        for token in line.trim_start_matches(['>', '<']).split_whitespace() {
            let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
            let Ok(byte) = u8::from_str_radix(digits, 16) else {
                continue;
            };
            let times = times.parse().expect("a number");
            sides[side].extend(std::iter::repeat_n(byte, times));
        }
    }
    sides
}

#[test]
fn a_capture_is_put_together_whatever_order_it_has() {
    let [up, down] = directions();
    let mut capture = Capture::new();
    capture.segment(true, u32::MAX - 3, 2, b"");
    capture.segment(false, 500, 18, b"");
    capture.segment(true, u32::MAX - 2, 16, &up[..60]);
    // Retransmitted with more behind it, as TCP does; then one that came too early.
    capture.segment(true, u32::MAX - 2, 16, &up[..90]);
    capture.segment(false, 501, 16, &down[..62]);
    let at = |offset: u32| (u32::MAX - 2).wrapping_add(offset);
    capture.segment(true, at(110), 16, &up[110..]);
    capture.segment(true, at(90), 16, &up[90..110]);
    capture.segment(false, 501 + 62, 16, &down[62..]);
    let path = folder("capture").join("session.pcap");
    fs::write(&path, &capture.0).expect("the folder can be written to");
    let text = inspect(&[&path.display().to_string()]);
    assert!(text.starts_with("10.0.0.1:50000 to 10.0.0.2:9999\n"), "{text}");
    for (count, name) in [(1, "HELLO"), (1, "WELCOME"), (1, "FIN"), (1, "CLOSE"), (3, "MSG  ")] {
        let found = text.lines().filter(|line| line.contains(name)).count();
        assert!(found >= count.min(1), "{name} is missing:\n{text}");
    }
    assert!(text.contains("client: 12 frames") && text.contains("server: 9 frames"), "{text}");
    assert!(!text.contains("ILLEGAL") && !text.contains("gap"), "{text}");
}

#[test]
fn other_traffic_is_left_alone() {
    let mut capture = Capture::new();
    capture.segment(true, 1, 2, b"");
    capture.segment(true, 2, 16, b"GET / HTTP/1.1\r\n\r\n");
    let path = folder("other").join("web.pcap").display().to_string();
    fs::write(&path, &capture.0).expect("the folder can be written to");
    let (status, text) = run(&["inspect", &path]);
    assert!(!status.success());
    assert!(text.contains("none of the 1 TCP streams looks like outlast"), "{text}");
    assert!(inspect(&["--all", &path]).contains("this looks like an HTTP request"));
}

#[test]
fn a_gap_is_mentioned() {
    let [up, _] = directions();
    let mut capture = Capture::new();
    capture.segment(true, 0, 2, b"");
    capture.segment(true, 1, 16, &up[..90]);
    capture.segment(true, 1 + 100, 16, &up[100..]);
    let path = folder("gap").join("gap.pcap").display().to_string();
    fs::write(&path, &capture.0).expect("the folder can be written to");
    assert!(inspect(&[&path]).contains("the capture has a gap"));
}
