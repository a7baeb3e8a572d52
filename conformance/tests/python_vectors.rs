//! The golden vectors, read and written by the second implementation.

use std::path::Path;
use std::process::Command;

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
