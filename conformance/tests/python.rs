//! Every case of the suite over the second implementation, which was written from the
//! specification alone: as a server and as a client, in a process of its own for each.

use std::path::Path;
use std::process::Command;

use outlast_conformance::net::Loopback;
use outlast_conformance::net::foreign::Foreign;

/// The Python peer. Where Python is not installed its cases are not run, and say so.
fn python() -> Loopback<Foreign> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let mut command = Command::new("python3");
    command.args(["-m", "outlast_peer", "control"]).current_dir(directory);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    Loopback::new(Foreign::start("the Python peer", command))
}

outlast_conformance::suite! {
    python(),
    // No program tells how much memory it holds.
    not_run: [a02_announced_body_costs_nothing],
}

/// The golden vectors, read and written by the Python peer.
#[test]
fn golden_vectors() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/tests");
    let mut command = Command::new("python3");
    command.args(["-m", "unittest", "discover", "-s"]).arg(tests);
    match command.env("PYTHONDONTWRITEBYTECODE", "1").output() {
        Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
        Err(error) if std::env::var_os("CI").is_none() => {
            println!("golden_vectors: NOT RUN, python3: {error}");
        }
        Err(error) => panic!("python3: {error}"),
    }
}
