//! Every case of the suite over the second implementation, which was written from the
//! specification alone. In each case both ends are its: the server and the client, in a process of
//! its own for each, and where a case has only one of them the other is bytes written by hand.

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

outlast_conformance::suite! { python() }
