//! RocketMQ's commands: bytes of its own encoder, and the program's client.

mod common;

use std::io::Write;

use common::{RUNTIMES, Running, dial, expect};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rocketmq-echo");

fn start(runtime: &str, options: &[&str]) -> (Running, String) {
    let usual = ["--listen", "127.0.0.1:0", "--runtime", runtime];
    let mut server = Running::start(PROGRAM, &[&usual, options].concat());
    let at = server.address("RocketMQ commands on");
    (server, at)
}

fn command(header: &str, body: &str) -> Vec<u8> {
    let [whole, head] = [4 + header.len() + body.len(), header.len()];
    let lengths = [whole, head].map(|it| u32::try_from(it).unwrap().to_be_bytes());
    [lengths.as_flattened(), header.as_bytes(), body.as_bytes()].concat()
}

#[test]
fn requests_are_answered_by_their_own_number() {
    for runtime in RUNTIMES {
        let (mut server, at) = start(runtime, &[]);
        let mut peer = dial(&at);
        let fields = r#""extFields":{"topic":"TopicTest"}}"#;
        let asked = r#"{"code":310,"language":3,"version":1,"opaque":2147483647,"flag":0,"#;
        let asked = command(&[asked, fields].concat(), "hi");
        assert_eq!(&asked[..8], b"\0\0\0\x6a\0\0\0\x64", "as RocketMQ's own encoder has it");
        peer.write_all(&asked).unwrap();
        let answer = r#"{"code":0,"language":3,"version":1,"opaque":2147483647,"flag":1,"#;
        expect(&mut peer, &command(&[answer, fields].concat(), "hi"));
        // A code that nobody takes, with its own number; then one-way ones, of which the first is
        // not known either: neither is answered.
        let unknown = r#"{"code":105,"language":3,"version":1,"opaque":1,"flag":0}"#;
        assert_eq!(command(unknown, "").len(), 0x3d + 4);
        peer.write_all(&command(unknown, "")).unwrap();
        let remark = "request type 105 not supported";
        let answer = r#"{"code":3,"language":3,"version":1,"opaque":1,"flag":1,"remark":""#;
        expect(&mut peer, &command(&format!("{answer}{remark}\"}}"), ""));
        for (code, body) in [(105, "lost?"), (310, "no")] {
            let told = format!("{{\"code\":{code},\"opaque\":2,\"flag\":2}}");
            peer.write_all(&command(&told, body)).unwrap();
            server.wait_for(&format!("one-way {code}: {body}"));
        }
        peer.write_all(&command(r#"{"code":34,"opaque":-5,"flag":0}"#, "")).unwrap();
        let beat = r#"{"code":0,"language":3,"version":1,"opaque":-5,"flag":1}"#;
        expect(&mut peer, &command(beat, ""));
    }
}

#[test]
fn the_client_has_many_open_at_once() {
    for runtime in RUNTIMES {
        let (mut server, at) = start(runtime, &[]);
        let send = |args: &[&str]| {
            let usual = ["--runtime", runtime, "send", "--server", &at];
            Running::start(PROGRAM, &[&usual, args].concat()).finish()
        };
        let (status, said) = send(&["--count", "200", "hello"]);
        assert!(status.success(), "{said}");
        let mut lines: Vec<&str> = said.lines().collect();
        lines.sort_unstable();
        let mut expected: Vec<String> =
            (0..200).map(|n| format!("hello {n} -> hello {n}")).collect();
        expected.sort_unstable();
        assert_eq!(lines, expected, "each has its own answer");
        let (status, said) = send(&["--code", "999", "what?"]);
        assert_eq!((status.code(), &said[..]), (Some(1), "error: the server says code 3"));
        let (status, _) = send(&["--one-way", "--count", "3", "told"]);
        assert!(status.success());
        for n in 0..3 {
            assert_eq!(server.wait_for("one-way"), format!("one-way 310: told {n}"));
        }
    }
}

#[test]
fn one_way_commands_of_pyrocketmq_are_not_taken_for_answers() {
    let (mut server, at) = start("tokio", &["--pyrocketmq"]);
    let told = command(r#"{"code":310,"language":3,"version":1,"opaque":9,"flag":1}"#, "said");
    dial(&at).write_all(&told).unwrap();
    server.wait_for("one-way 310: said");
}
