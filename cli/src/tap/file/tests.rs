use std::net::{Ipv4Addr, Ipv6Addr};

use outlast_core::wire::{Frame, Grant, Route};
use outlast_core::{Acceptor, Attach, Config, Greeting, HANDSHAKE_MAX, Instant, Session};

use super::*;
use crate::inspect::{Options, explain};
use crate::rng::{Rng, fresh_seed};

/// A file that is gone with this.
struct Kept(std::path::PathBuf);

impl Kept {
    fn new(name: &str) -> Self {
        let name = format!("outlast-tap-{}-{name}.pcap", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        Self(path)
    }

    fn capture(&self, limit: u64) -> Arc<Capture> {
        Arc::new(Capture::create(&self.0, limit).expect("there is room"))
    }

    /// The packets, without the headers of the file.
    fn packets(&self) -> Vec<Vec<u8>> {
        let bytes = fs::read(&self.0).expect("it is there");
        let mut rest = &bytes[24..];
        let mut packets = Vec::new();
        while let Some((head, behind)) = rest.split_first_chunk::<16>() {
            let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
            packets.push(behind[..len].to_vec());
            rest = &behind[len..];
        }
        assert!(rest.is_empty(), "the last packet is whole");
        packets
    }

    fn explained(&self) -> String {
        let options = Options { payload: 64, secrets: false, port: None, all: true };
        explain(&fs::read(&self.0).expect("it is there"), &options).expect("it is a capture")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn at(ip: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(ip.into(), port)
}

const NO_LIMIT: u64 = u64::MAX;

#[test]
fn checksums_are_those_of_the_standard() {
    // The example of RFC 1071, section 3: the sum is ddf2.
    assert_eq!(checksum(&[&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]]), !0xddf2);
    // A header with its checksum in it sums up to nothing.
    let v4 = ip_header([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), 20);
    assert_eq!(checksum(&[&v4]), 0);
}

#[test]
fn every_packet_has_the_checksums_that_it_should_have() {
    let (v4, v6) = (at(Ipv4Addr::LOCALHOST, 7411), at(Ipv6Addr::LOCALHOST, 5000));
    for (local, remote, header) in [(v4, v4, 20), (v6, v6, 40), (v4, v6, 40)] {
        let kept = Kept::new(&format!("sums-{header}-{}", local == remote));
        let mut stream = kept.capture(NO_LIMIT).stream(local, remote, true);
        for len in [1, 2, 3, SEGMENT, SEGMENT + 1] {
            stream.sent(&vec![0xAB; len]);
            stream.received(&vec![0xFF; len]);
        }
        drop(stream);
        let packets = kept.packets();
        // Three to begin with, one for each piece but two for the last, and one at the end.
        assert_eq!(packets.len(), 3 + 2 * 6 + 1);
        for packet in packets {
            let (ip, tcp) = packet.split_at(header);
            let pseudo = pseudo_header(local.ip(), remote.ip(), tcp.len());
            assert_eq!(checksum(&[&pseudo, tcp]), 0);
            assert!(header == 40 || checksum(&[ip]) == 0);
        }
    }
}

/// How the two ends of a session greet each other.
fn greetings() -> [Vec<u8>; 2] {
    let (now, config) = (Instant::from_micros(1), Config::SERVER);
    let mut client = Session::client(config, vec![0; 64]).expect("the limits are good");
    let (mut hello, mut welcome) = (vec![0; HANDSHAKE_MAX], vec![0; HANDSHAKE_MAX]);
    let said = client.attach(now, &Attach { seed: 1, ..Attach::default() }, &mut hello);
    hello.truncate(said.expect("it is the first"));
    let heard = Acceptor::new(now, &config).handle_input(now, &mut hello.as_slice());
    let Ok(Some(Greeting::Hello(greeting))) = heard else {
        panic!("this was a HELLO: {heard:?}");
    };
    let grant = Grant { sid: 7, epoch: 1, key_id: 1, key: [3; 16] };
    let server = Session::server(now, config, &greeting, grant, 2, vec![0; 64], &mut welcome);
    welcome.truncate(server.expect("there is room").written);
    [hello, welcome]
}

/// Frames of both ends, in pieces that have nothing to do with where frames begin and end.
#[test]
fn what_went_by_is_read_back_however_it_was_cut() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(fresh_seed);
    println!("SEED={seed}");
    let mut rng = Rng::new(seed);
    let kept = Kept::new("pieces");
    let (here, there) = (at(Ipv4Addr::LOCALHOST, 40_000), at(Ipv4Addr::LOCALHOST, 7411));
    let mut stream = kept.capture(NO_LIMIT).stream(here, there, true);
    // As after four gigabytes: the numbers of bytes begin anew.
    stream.ends[0].next = u32::MAX - 500;
    stream.packet(0, SYN, &[]);
    let mut streams = greetings();
    for number in 0..200_u32 {
        let text = format!("message {number}");
        let message =
            Frame::Message { route: Route::from(7_u8), payload: text.as_bytes(), more: false };
        let mut out = [0; 64];
        let len = message.encode(&mut out).expect("there is room");
        streams.iter_mut().for_each(|bytes| bytes.extend_from_slice(&out[..len]));
    }
    let mut ends = streams.each_ref().map(Vec::as_slice);
    while ends.iter().any(|rest| !rest.is_empty()) {
        let index = (rng.next() % 2) as usize;
        let len = (rng.next() % 300).min(ends[index].len() as u64) as usize;
        let (piece, behind) = ends[index].split_at(len);
        ends[index] = behind;
        if index == 0 { stream.sent(piece) } else { stream.received(piece) }
    }
    drop(stream);
    let text = kept.explained();
    for mark in ['>', '<'] {
        let lines = text.lines().filter(|line| line.trim_start().contains(mark));
        let numbers: Vec<u32> = lines
            .filter_map(|line| line.split_once("\"message ")?.1.strip_suffix('"')?.parse().ok())
            .collect();
        assert_eq!(numbers, (0..200).collect::<Vec<_>>(), "{mark}\n{text}");
    }
}

#[test]
fn how_a_connection_ended_is_in_it() {
    let flags = |end: fn(&mut Stream)| {
        let kept = Kept::new("end");
        let (here, there) = (at(Ipv4Addr::LOCALHOST, 1), at(Ipv4Addr::LOCALHOST, 2));
        let mut stream = kept.capture(NO_LIMIT).stream(here, there, false);
        end(&mut stream);
        drop(stream);
        let ends = kept.packets().into_iter().skip(3);
        ends.map(|packet| (packet[21], packet[33])).collect::<Vec<_>>()
    };
    // The sender's port, and what it says.
    assert_eq!(flags(|_| {}), [(1, FIN | ACK)]);
    assert_eq!(flags(Stream::finished), [(1, FIN | ACK)]);
    assert_eq!(flags(Stream::ended), [(2, FIN | ACK), (1, FIN | ACK)]);
    assert_eq!(flags(Stream::broken), [(2, RST | ACK)]);
    assert_eq!(flags(Stream::cut), [(1, RST | ACK)]);
}

#[test]
fn it_ends_at_its_limit_with_a_whole_packet() {
    for limit in [24, 500, 1_000, 70_000] {
        let kept = Kept::new(&format!("limit-{limit}"));
        let (here, there) = (at(Ipv4Addr::LOCALHOST, 1), at(Ipv4Addr::LOCALHOST, 2));
        let capture = kept.capture(limit);
        let mut stream = capture.stream(here, there, true);
        for _ in 0..1_000 {
            stream.sent(&[7; 400]);
        }
        let len = fs::metadata(&kept.0).expect("it is there").len();
        let packet = 16 + 40 + 400;
        assert!(len <= limit && (len + packet > limit || limit == 24), "{len} of {limit}");
        // Nothing comes behind the end, not even what would fit.
        let count = kept.packets().len();
        stream.sent(&[7]);
        drop(stream);
        assert_eq!(kept.packets().len(), count);
    }
}

#[test]
fn a_file_that_is_no_capture_is_left_alone() {
    let kept = Kept::new("other");
    fs::write(&kept.0, "the only copy of a letter").expect("there is room");
    let error = Capture::create(&kept.0, NO_LIMIT).expect_err("it is no capture");
    assert!(error.to_string().contains("no capture"), "{error}");
    assert_eq!(fs::read(&kept.0).expect("it is there"), b"the only copy of a letter");
    // An empty one, and a capture, are replaced.
    fs::write(&kept.0, "").expect("there is room");
    let mut stream = kept.capture(NO_LIMIT).stream(at([1, 2, 3, 4], 5), at([1, 2, 3, 4], 6), true);
    stream.sent(&[0; 100]);
    drop(stream);
    kept.capture(NO_LIMIT);
    assert_eq!(kept.packets().len(), 0);
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let kept = Kept::new("mode");
    let mode = || fs::metadata(&kept.0).expect("it is there").permissions().mode() & 0o777;
    kept.capture(NO_LIMIT);
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&kept.0, PermissionsExt::from_mode(0o644)).expect("it is ours");
    kept.capture(NO_LIMIT);
    assert_eq!(mode(), 0o600);
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_it_and_nothing_else() {
    let path = Path::new("/dev/full");
    assert!(Capture::create(path, NO_LIMIT).is_err());
    let file = OpenOptions::new().write(true).open(path).expect("Linux has it");
    let capture = Capture {
        name: "/dev/full".to_owned(),
        limit: NO_LIMIT,
        file: Mutex::new(Some(Open { file, len: 24 })),
        is_over: AtomicBool::new(false),
    };
    let capture = Arc::new(capture);
    let mut stream = capture.stream(at([1, 2, 3, 4], 5), at([1, 2, 3, 4], 6), true);
    stream.sent(&[1; 100]);
    assert!(capture.file.lock().expect("nobody panicked").is_none());
}
