//! Clients in another language, written from the vectors alone, against a server of ours.
#![allow(clippy::unwrap_used, clippy::panic, reason = "whatever is wrong fails the test")]
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "the same")]
#![allow(clippy::wildcard_enum_match_arm, clippy::expect_fun_call, reason = "the same")]

mod common;
#[path = "common/server.rs"]
mod server;

use std::path::Path;
use std::process::Command;

use outlast_formats::AnyFormat;

/// What a client says and whether it is content; nothing where there is no Python.
fn converse(module: &str, format: &AnyFormat, patience: &str) -> Option<(bool, String)> {
    let address = server::start(format).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/python");
    let mut command = Command::new("python3");
    command.args(["-m", &format!("formats.{module}"), "127.0.0.1"]).arg(address.port().to_string());
    command.env("FORMATS_TIMEOUT", patience);
    match command.env("PYTHONDONTWRITEBYTECODE", "1").current_dir(folder).output() {
        Ok(out) => {
            let said = [out.stdout, out.stderr].concat();
            Some((out.status.success(), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) if std::env::var_os("CI").is_none() => {
            println!("{module}: NOT RUN, python3: {error}");
            None
        }
        Err(error) => panic!("python3: {error}"),
    }
}

fn content(module: &str, format: &str) {
    if let Some(said) = converse(module, &common::format(format, ""), "60") {
        assert_eq!(said, (true, "ok\n".to_owned()), "{module}");
    }
}

#[test]
fn python_length_prefix() {
    content("length_prefix", "length-prefix");
}

#[test]
fn python_rocketmq() {
    content("rocketmq", "rocketmq");
}

#[test]
fn python_ltv() {
    content("ltv", "ltv");
}

#[test]
fn python_tlv() {
    content("tlv", "tlv");
}

#[test]
fn python_htlv() {
    content("htlv", "htlv");
}

#[test]
fn python_ndjson() {
    content("ndjson", "ndjson");
}

#[test]
fn python_msgtrans() {
    content("msgtrans", "msgtrans");
}

/// A server that does not keep the format is told so, with what differs.
#[test]
fn python_clients_notice_another_format() {
    let wrong = [
        ("ltv", "tlv", ""),
        ("tlv", "ltv", ""),
        ("length_prefix", "length-prefix", "max=1048577"),
        ("length_prefix", "length-prefix", "max=100000"),
        ("ltv", "ltv", "heartbeats=false"),
        ("htlv", "htlv", "skip_damaged=true"),
        ("ndjson", "ndjson", "heartbeats=false"),
        ("rocketmq", "rocketmq", "bit0_is_one_way=true version=9"),
        ("msgtrans", "msgtrans", "zlib=false"),
    ];
    for (module, format, options) in wrong {
        // Some wait for an end that never comes.
        let format = common::format(format, options);
        if let Some((is_content, said)) = converse(module, &format, "1") {
            assert!(!is_content && !said.contains("Traceback"), "{module} {options}: {said}");
        }
    }
}
