//! `outlast serve --format` and `outlast connect --format`.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Running, run};

#[test]
fn every_format_is_echoed_between_the_two_commands() {
    let object = r#"{"message_type": "chat_message", "content": "grüße"}"#;
    let formats: [(&str, &[&str], &str); 7] = [
        ("length-prefix", &[], "one"),
        ("ltv", &[], "one"),
        ("tlv", &["--format-option", "max=64"], "one"),
        ("htlv", &[], "one"),
        ("ndjson", &[], object),
        ("delimiter", &[], "one"),
        ("fixed", &["--format-option", "size=3"], "one"),
    ];
    for (format, options, line) in formats {
        let serve = [&["serve", "--format", format], options, &["127.0.0.1:0"]].concat();
        let mut server = Running::start(&serve);
        let address = server.address();
        let connect = [&["connect", "--format", format], options, &[&address]].concat();
        let mut client = Running::start(&connect);
        client.type_line(line);
        client.wait_for("connected to");
        client.wait_for(line);
        client.end_input();
        let (status, said) = client.finish();
        assert!(status.success(), "{format}: {said}");
        server.wait_for(line);
        server.wait_for("ends: the peer ended the connection");
    }
}

#[test]
fn requests_are_answered_where_a_format_has_them() {
    for format in ["msgtrans", "rocketmq"] {
        let mut server = Running::start(&["serve", "--format", format, "127.0.0.1:0"]);
        let address = server.address();
        let mut client = Running::start(&["connect", "--format", format, "--request", &address]);
        for line in ["ping", "pong"] {
            client.type_line(line);
            client.wait_for(line);
        }
        client.end_input();
        let (status, said) = client.finish();
        assert!(status.success(), "{format}: {said}");
    }
}

#[test]
fn bytes_written_by_hand_come_back_as_they_are() {
    let mut server = Running::start(&["serve", "--format", "tlv", "--quiet", "127.0.0.1:0"]);
    let mut peer = TcpStream::connect(server.address()).unwrap();
    let packet = b"\0\0\0\x01\0\0\0\x04ping";
    peer.write_all(packet).unwrap();
    let mut back = [0; 12];
    peer.read_exact(&mut back).unwrap();
    assert_eq!(back, *packet);
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (args, words) in [
        (&["serve", "--format", "xml"][..], "xml"),
        (&["serve", "--format", "ltv", "--format-option", "delimiter=0a"], "delimiter"),
        (&["serve", "--format", "ltv", "--format-option", "max"], "KEY=VALUE"),
        (&["serve", "--format", "ltv", "--relay"], "--relay"),
        (&["serve", "--format", "ltv", "--keep", "5"], "--keep"),
        (&["connect", "--format", "fixed"], "size"),
    ] {
        let (status, said) = run(args);
        assert!(!status.success() && said.contains(words), "{args:?}: {said}");
    }
}
