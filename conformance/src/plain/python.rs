//! Peers in another language, written from the vectors alone: programs of `conformance/python`.

use std::path::Path;
use std::process::Command;

use outlast_service::Limits;
use outlast_service::net::Net;
use outlast_service::plain::PlainConfig;

use super::subject::{SUBJECTS, Subject};
use crate::net::Ground;

/// Formats and the programs that speak them.
const PROGRAMS: &[(&str, &str)] = &[
    ("length-prefix", "length_prefix"),
    ("rocketmq", "rocketmq"),
    ("ltv", "ltv"),
    ("tlv", "tlv"),
    ("htlv", "htlv"),
    ("ndjson", "ndjson"),
    ("msgtrans", "msgtrans"),
];

/// Each client in another language is content with the server of its format. Where there is no
/// Python they are not run, and say so; in CI that is a failure.
///
/// # Panics
///
/// If one of them is not.
pub fn peers_in_another_language_are_content<N: Net>(ground: &Ground<N>) {
    for (format, program) in PROGRAMS {
        let subject = SUBJECTS.iter().find(|subject| subject.name == *format);
        let subject: &Subject = subject.expect("a format");
        let (config, limits) = (PlainConfig::default(), Limits::one_source());
        let host = ground.serve(subject.format(), config, limits);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
        let mut command = Command::new("python3");
        command.args(["-m", &format!("formats.{program}"), "127.0.0.1"]);
        command.arg(host.address.port().to_string()).current_dir(folder);
        command.env("FORMATS_TIMEOUT", "60").env("PYTHONDONTWRITEBYTECODE", "1");
        match command.output() {
            Ok(out) => {
                let said = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
                assert!(out.status.success() && said == "ok\n", "{program}: {said}");
            }
            Err(error) if std::env::var_os("CI").is_none() => {
                println!("{program}: NOT RUN, python3: {error}");
            }
            Err(error) => panic!("python3: {error}"),
        }
    }
}
