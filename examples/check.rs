// What every runtime's examples have to do, as programs: `runtime-*/tests/examples.rs` include
// this file.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

/// Longer than anything takes here.
const LONG: Duration = Duration::from_secs(60);

/// An example that runs; what it prints comes line by line.
struct Example {
    process: Child,
    types: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Example {
    fn start(name: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(built(name))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, lines) = sync_channel(1_000);
        let printed = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            printed.lines().map_while(Result::ok).all(|line| tell.send(line).is_ok())
        });
        Self { types: process.stdin.take(), process, lines }
    }

    /// What it prints next.
    fn line(&self) -> String {
        self.lines.recv_timeout(LONG).expect("a line")
    }

    fn say(&mut self, line: &str) {
        writeln!(self.types.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its input, and waits for its end; this is the rest of what it prints.
    fn end(mut self) -> Vec<String> {
        drop(self.types.take());
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LONG) {
            rest.push(line);
        }
        assert!(self.process.wait().unwrap().success(), "{rest:?}");
        rest
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It has ended already, unless the test has failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The program, which cargo makes along with the tests.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let program = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(program.exists(), "`cargo test` makes examples, and `--test` alone does not: {name}");
    program
}

/// Ten things come back in order and once, although the connection is cut.
fn check_echo(name: &str) {
    let printed = Example::start(name, &[]).end();
    let (said, notes): (Vec<_>, Vec<_>) =
        printed.iter().partition(|line| line.starts_with("hello "));
    assert!(said.iter().map(|line| &line[..]).eq((1..=10).map(|n| format!("hello {n}"))));
    for note in ["(cut off: ", "(back, and nothing is lost)"] {
        assert_eq!(notes.iter().filter(|line| line.starts_with(note)).count(), 1, "{printed:?}");
    }
}

/// Two talk: the first keeps the room, the second comes and goes.
fn check_chat(name: &str) {
    let mut ann = Example::start(name, &["ann", "127.0.0.1:0"]);
    let place = ann.line();
    let place = place.strip_prefix("(the room is at ").unwrap().trim_end_matches(')');
    assert_eq!(ann.line(), "ann is here");
    let mut bob = Example::start(name, &["bob", place]);
    assert_eq!((ann.line(), bob.line()), ("bob is here".into(), "bob is here".into()));
    ann.say("hello bob");
    assert_eq!((ann.line(), bob.line()), ("ann: hello bob".into(), "ann: hello bob".into()));
    bob.say("hello ann");
    assert_eq!((ann.line(), bob.line()), ("bob: hello ann".into(), "bob: hello ann".into()));
    bob.end();
    assert_eq!(ann.line(), "bob has left");
    ann.end();
}
