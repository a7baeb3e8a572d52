//! `--pcap`: what a command writes is read by `outlast inspect`, and by tshark where there is one.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Running, folder, noise, run};

fn name(path: &Path) -> String {
    path.display().to_string()
}

/// A capture in words, with every stream that is in it.
fn explained(path: &Path) -> String {
    let (status, text) = run(&["inspect", "--all", "--payload", "100", &name(path)]);
    assert!(status.success(), "{text}");
    text
}

/// How many streams there are, of which each begins with a title.
fn streams(text: &str) -> usize {
    text.lines().filter(|line| line.starts_with("127.0.0.1:") && line.contains(" to ")).count()
}

/// The lines with a frame of this name, from this end.
fn frames<'t>(text: &'t str, mark: char, kind: &str) -> Vec<&'t str> {
    let is_it = |line: &&str| {
        let mut words = line.split_whitespace().skip_while(|word| !word.starts_with(mark));
        words.next().is_some_and(|word| word == mark.to_string() || word.ends_with(mark))
            && words.next() == Some(kind)
    };
    text.lines().filter(is_it).collect()
}

/// What a dissector of the protocol, and every checksum, have against a capture. `None`: there is
/// no tshark. With `OUTLAST_TSHARK` set, as `cargo xtask test wireshark` does, it has to be there.
fn dissected(path: &Path, field: &str) -> Option<Vec<String>> {
    let demanded = std::env::var("OUTLAST_TSHARK").ok();
    let program = demanded.as_deref().unwrap_or("tshark");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/wireshark/outlast.lua");
    let tshark = |show: &str, field: &str| {
        let mut command = Command::new(program);
        command.arg("-X").arg(format!("lua_script:{}", script.display()));
        command.args(["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
        command.arg("-r").arg(path).args(["-Y", show, "-T", "fields", "-e", field]);
        let done = match command.output() {
            Ok(done) => done,
            Err(error) if demanded.is_none() => {
                println!("NOT RUN, there is no {program}: {error}");
                return None;
            }
            Err(error) => panic!("{program}: {error}"),
        };
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        // It complains of a last packet that is not whole.
        assert!(done.status.success() && !said.contains("cut short"), "{said}");
        Some(String::from_utf8_lossy(&done.stdout).lines().map(str::to_owned).collect())
    };
    let wrong = "outlast.broken or ip.checksum.status == 0 or tcp.checksum.status == 0 \
                 or tcp.analysis.lost_segment or tcp.analysis.retransmission";
    assert_eq!(tshark(wrong, "frame.number")?, Vec::<String>::new());
    let rows: Vec<String> = tshark("outlast", field)?;
    Some(rows.iter().flat_map(|row| row.split(',')).map(str::to_owned).collect())
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

#[test]
fn both_ends_see_the_same_and_secrets_stay_in_the_file() {
    let folder = folder("pcap-both");
    let (here, there) = (file(&folder, "client.pcap"), file(&folder, "server.pcap"));
    let token = file(&folder, "token");
    fs::write(&token, "open sesame").expect("it can be written");
    let token = name(&token);
    let serve = ["serve", "--echo", "--token-file", &token, "--pcap", &name(&there), "127.0.0.1:0"];
    let mut server = Running::start(&serve);
    let address = server.address();
    let connect = ["connect", "--token-file", &token, "--pcap", &name(&here), &address];
    let mut client = Running::start(&connect);
    let long = "x".repeat(100_000);
    for line in ["one", &long, "two"] {
        client.type_line(line);
    }
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    server.wait_for("ended; everything arrived");
    for path in [&here, &there] {
        let text = explained(path);
        assert_eq!(streams(&text), 1, "{text}");
        for (mark, kind) in [('>', "HELLO"), ('<', "WELCOME"), ('>', "FIN"), ('<', "FIN")] {
            assert_eq!(frames(&text, mark, kind).len(), 1, "{kind}: {text}");
        }
        for mark in ['>', '<'] {
            let messages = frames(&text, mark, "MSG");
            assert!(messages.first().is_some_and(|line| line.contains("\"one\"")), "{text}");
            assert!(messages.last().is_some_and(|line| line.contains("\"two\"")), "{text}");
            assert!(!frames(&text, mark, "CONT").is_empty(), "the long one is in pieces: {text}");
        }
        // Words leave secrets out; the file cannot.
        assert!(!text.contains("open sesame"), "{text}");
        let bytes = fs::read(path).expect("it is there");
        assert!(bytes.windows(11).any(|window| window == b"open sesame"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(path).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}

#[test]
fn wireshark_finds_nothing_wrong_with_it() {
    let folder = folder("pcap-tshark");
    let path = file(&folder, "session.pcap");
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let address = server.address();
    let mut client = Running::start(&["connect", "--pcap", &name(&path), &address]);
    // Small ones come together in one packet, the long one is in many.
    let long = "y".repeat(200_000);
    for line in ["one", "two", "three", &long, "four"] {
        client.type_line(line);
    }
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    if let Some(kinds) = dissected(&path, "outlast.kind") {
        for (kind, least) in [("0x01", 1), ("0x02", 1), ("0x80", 10), ("0x8f", 20), ("0x85", 2)] {
            let count = kinds.iter().filter(|known| *known == kind).count();
            assert!(count >= least, "{kind}: {count}");
        }
    }
}

#[test]
fn over_tls_it_has_what_the_protocol_sees() {
    let folder = folder("pcap-tls");
    let (status, said) = run(&["cert", &name(&file(&folder, "keys"))]);
    assert!(status.success(), "{said}");
    let at = |file: &str| name(&folder.join("keys").join(file));
    let (cert, key, ca) = (at("server.pem"), at("server.key"), at("ca.pem"));
    let (here, there) = (file(&folder, "client.pcap"), file(&folder, "server.pcap"));
    let serve =
        ["serve", "--echo", "--tls-cert", &cert, "--tls-key", &key, "--pcap", &name(&there)];
    let mut server = Running::start(&[&serve[..], &["127.0.0.1:0"]].concat());
    let target = server.address();
    // What a proxy keeps is TLS.
    let between = file(&folder, "proxy.pcap");
    let proxy = ["proxy", "--pcap", &name(&between), "127.0.0.1:0", &target];
    let mut proxy = Running::start(&proxy);
    let address = proxy.address();
    assert!(!proxy.seen().contains("nothing will go wrong"), "a capture is enough of a reason");
    let connect = ["connect", "--tls-ca", &ca, "--pcap", &name(&here), &address];
    let mut client = Running::start(&connect);
    client.type_line("nobody between can read this");
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    server.wait_for("ended; everything arrived");
    for path in [&here, &there] {
        let text = explained(path);
        assert_eq!(frames(&text, '>', "HELLO").len(), 1, "{text}");
        let messages = frames(&text, '<', "MSG");
        assert!(messages[0].contains("nobody between can read this"), "{text}");
    }
    let has = |path: &Path| {
        let bytes = fs::read(path).expect("it is there");
        bytes.windows(14).any(|window| window == b"nobody between")
    };
    assert!(has(&here) && has(&there) && !has(&between));
    let (_, text) = run(&["inspect", "--all", &name(&between)]);
    assert!(streams(&text) == 1 && frames(&text, '>', "HELLO").is_empty(), "{text}");
}

/// Connections that are cut and split: each is a stream of its own, at all three places.
#[test]
fn every_connection_of_a_session_is_in_it() {
    let folder = folder("pcap-cut");
    let paths = ["server", "proxy", "client"].map(|end| file(&folder, &format!("{end}.pcap")));
    let [there, between, here] = paths.each_ref().map(|path| name(path));
    let mut server = Running::start(&["serve", "--echo", "--pcap", &there, "127.0.0.1:0"]);
    let target = server.address();
    let chaos = ["proxy", "--seed", "5", "--split", "100", "--cut-bytes", "300..3000"];
    let mut proxy =
        Running::start(&[&chaos[..], &["--pcap", &between, "127.0.0.1:0", &target]].concat());
    let address = proxy.address();
    let mut client = Running::start(&["connect", "--pcap", &here, &address]);
    let lines: Vec<String> = (0..200).map(|number| format!("line {number}.")).collect();
    for line in &lines {
        client.type_line(line);
    }
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    server.wait_for("ended; everything arrived");
    for path in &paths {
        let text = explained(path);
        assert!(streams(&text) > 3, "{text}");
        assert!(frames(&text, '>', "HELLO").len() > 3, "{text}");
        for line in &lines {
            assert!(text.contains(&format!("\"{line}\"")), "{line} is missing: {text}");
        }
        dissected(path, "outlast.kind");
    }
}

#[test]
fn it_ends_at_its_limit_and_the_session_goes_on() {
    let folder = folder("pcap-limit");
    let path = file(&folder, "client.pcap");
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let address = server.address();
    let connect = ["connect", "--pcap", &name(&path), "--pcap-limit", "5000", &address];
    let mut client = Running::start(&connect);
    let lines: Vec<String> = (0..300).map(|number| format!("line {number}.")).collect();
    for line in &lines {
        client.type_line(line);
    }
    client.wait_for("\"line 299.\"".trim_matches('"'));
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    let end = format!("the capture {} ends here, and everything else goes on", name(&path));
    assert_eq!(said.matches(&end).count(), 1, "{said}");
    assert!(said.contains("--pcap-limit is 5000"), "{said}");
    let len = fs::metadata(&path).expect("it is there").len();
    assert!((1_000..=5_000).contains(&len), "{len}");
    let text = explained(&path);
    assert!(text.contains("WELCOME"), "{text}");
    dissected(&path, "outlast.kind");
    let (status, said) = run(&["connect", "--pcap-limit", "5000", &address]);
    assert!(!status.success() && said.contains("--pcap"), "{said}");
}

/// Files may not grow beyond a size that is reached in the midst of the session.
#[cfg(unix)]
#[test]
fn a_disk_without_room_costs_the_capture_and_nothing_else() {
    let folder = folder("pcap-full");
    let path = file(&folder, "client.pcap");
    let mut server = Running::start(&["serve", "--echo", "127.0.0.1:0"]);
    let address = server.address();
    // Blocks have 512 bytes, or 1024 in some shells. Without the signal the write fails instead.
    let script = "trap '' XFSZ; ulimit -f 8; exec \"$0\" connect --pcap \"$1\" \"$2\"";
    let args = ["-c", script, env!("CARGO_BIN_EXE_outlast"), &name(&path), &address];
    let mut client = Running::start_program("sh", &args);
    let lines: Vec<String> = (0..300).map(|number| format!("line {number}.")).collect();
    for line in &lines {
        client.type_line(line);
    }
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success(), "{said}");
    assert!(said.contains(&format!("the capture {} ends here", name(&path))), "{said}");
    for line in &lines {
        assert!(said.lines().any(|known| known == line), "{line}: {said}");
    }
    // What is there is whole.
    assert!(explained(&path).contains("WELCOME"));
    dissected(&path, "outlast.kind");
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_anything_begins() {
    let folder = folder("pcap-bad");
    let bad = name(&folder.join("none").join("here.pcap"));
    let letter = file(&folder, "letter.txt");
    fs::write(&letter, "the only copy").expect("it can be written");
    let letter = name(&letter);
    for path in [&bad, &letter] {
        let commands: [&[&str]; 8] = [
            &["serve", "127.0.0.1:0"],
            &["serve", "--format", "tlv", "127.0.0.1:0"],
            &["receive", &name(&folder), "127.0.0.1:0"],
            &["connect", "127.0.0.1:1"],
            &["connect", "--format", "tlv", "127.0.0.1:1"],
            &["send", &letter, "127.0.0.1:1"],
            &["bench", "127.0.0.1:1"],
            &["conformance", "127.0.0.1:1"],
        ];
        for command in commands {
            let (status, said) = run(&[command, &["--pcap", path]].concat());
            let expected = format!("cannot write {path}: ");
            assert!(!status.success() && said.contains(&expected), "{command:?}: {said}");
        }
    }
    assert_eq!(fs::read(&letter).expect("it is there"), b"the only copy");
}

#[test]
fn every_command_that_speaks_has_it() {
    let folder = folder("pcap-commands");
    let path = |file: &str| name(&folder.join(file));
    // A server of its own, and two connections in one capture.
    let bench = ["bench", "--connections", "2", "--seconds", "0.05", "--callers", "2"];
    let (status, said) = run(&[&bench[..], &["--pcap", &path("bench.pcap")]].concat());
    assert!(status.success(), "{said}");
    let text = explained(&folder.join("bench.pcap"));
    assert_eq!((streams(&text), frames(&text, '<', "WELCOME").len()), (2, 2), "{said}");

    let demo = ["demo", "--quiet", "--cuts", "2", "--seconds", "0", "--clients", "1"];
    fs::write(folder.join("file"), noise(7, 100_000)).expect("it can be written");
    let (kept, carried) = (path("demo.pcap"), path("file"));
    let (status, said) = run(&[&demo[..], &["--pcap", &kept, &carried]].concat());
    assert!(status.success(), "{said}");
    let text = explained(&folder.join("demo.pcap"));
    assert!(streams(&text) > 2, "{text}");

    let mut server = Running::start(&["serve", "--echo", "--quiet", "127.0.0.1:0"]);
    let judge = ["conformance", "--echo", "--case", "echo", "--pcap", &path("judge.pcap")];
    let (status, said) = run(&[&judge[..], &[&server.address()]].concat());
    assert!(status.success(), "{said}");
    let text = explained(&folder.join("judge.pcap"));
    assert!(!frames(&text, '>', "HELLO").is_empty(), "{text}");
    assert!(!frames(&text, '<', "WELCOME").is_empty(), "{text}");

    let inbox = path("inbox");
    let receive = ["receive", "--once", "--pcap", &path("receive.pcap"), &inbox, "127.0.0.1:0"];
    let mut receiver = Running::start(&receive);
    let address = receiver.address();
    let (status, said) = run(&["send", &path("file"), &address, "--pcap", &path("send.pcap")]);
    assert!(status.success() && receiver.finish().0.success(), "{said}");
    for end in ["send.pcap", "receive.pcap"] {
        let text = explained(&folder.join(end));
        assert!(frames(&text, '>', "MSG").len() > 1, "{end}: {text}");
    }
}

/// Bytes that are nobody's protocol, and an end that goes without a word.
#[test]
fn noise_is_kept_as_it_came_and_hurts_nobody() {
    let folder = folder("pcap-noise");
    let path = file(&folder, "server.pcap");
    let mut server = Running::start(&["serve", "--echo", "--pcap", &name(&path), "127.0.0.1:0"]);
    let address = server.address();
    let noise = noise(3, 200_000);
    for len in [1, 5, 200_000] {
        let mut peer = TcpStream::connect(&address).expect("the server listens");
        // It may have been closed in the midst of that.
        let _ = peer.write_all(&noise[..len]);
        let _ = peer.shutdown(Shutdown::Write);
        let _ = peer.read_to_end(&mut Vec::new());
    }
    let mut client = Running::start(&["connect", &address]);
    client.type_line("still there?");
    client.end_input();
    let (status, said) = client.finish();
    assert!(status.success() && said.contains("still there?"), "{said}");
    server.wait_for("ended; everything arrived");
    let text = explained(&path);
    assert_eq!((streams(&text), frames(&text, '>', "HELLO").len()), (4, 1), "{text}");
    let bytes = fs::read(&path).expect("it is there");
    let kept = |len: usize| bytes.windows(len).filter(|window| *window == &noise[..len]).count();
    assert_eq!((kept(5), kept(1_000)), (2, 1));
    dissected(&path, "tcp.stream");
}

#[test]
fn another_system_s_packets_are_kept_as_they_are() {
    let folder = folder("pcap-foreign");
    let (here, there) = (file(&folder, "client.pcap"), file(&folder, "server.pcap"));
    let serve = ["serve", "--format", "tlv", "--pcap", &name(&there), "127.0.0.1:0"];
    let mut server = Running::start(&serve);
    let address = server.address();
    let connect = ["connect", "--format", "tlv", "--pcap", &name(&here), &address];
    let mut client = Running::start(&connect);
    client.type_line("some words");
    client.wait_for("some words");
    client.end_input();
    assert!(client.finish().0.success());
    server.wait_for("ends: the peer ended the connection");
    for path in [&here, &there] {
        let bytes = fs::read(path).expect("it is there");
        let packet = b"\0\0\0\x0asome words";
        assert_eq!(bytes.windows(packet.len()).filter(|window| window == packet).count(), 2);
    }
}
