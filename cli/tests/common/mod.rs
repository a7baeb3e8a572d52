//! The command as a user has it: a process, its output line by line, its exit code.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Longer than a command says nothing on a busy machine; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);
/// Longer than a command takes that says something all the time, such as a judge with many cases.
const LONGEST: Duration = Duration::from_secs(900);

/// Until when something has to be said, and until when it has to be what is waited for.
struct Patience(Instant);

impl Patience {
    fn new() -> Self {
        Self(Instant::now() + LONGEST)
    }

    /// How long the next line may take.
    fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now()).min(DEADLINE)
    }
}

/// A command that runs, with the lines it has written so far.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<(usize, String)>,
    seen: Vec<(usize, String)>,
    /// How far each stream has been waited through. Nothing says in which order lines of different
    /// streams were written.
    through: [usize; 2],
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    /// As [`start`](Self::start), with these variables in its environment.
    pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outlast"));
        command.args(args).envs(variables.iter().copied());
        Self::run(&mut command)
    }

    /// The same for another program, which may become the command.
    pub(crate) fn start_program(program: &str, args: &[&str]) -> Self {
        Self::run(Command::new(program).args(args))
    }

    /// Any program.
    pub(crate) fn run(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("OUTLAST_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let (sender, lines) = sync_channel(100_000);
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for (number, stream) in streams.into_iter().enumerate() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if sender.send((number, line)).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, seen: Vec::new(), through: [0; 2] }
    }

    /// Waits for a line with `part` in it, behind the last one of its stream that was waited for,
    /// and returns it.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        let patience = Patience::new();
        let mut at = 0;
        loop {
            while let Some((stream, line)) = self.seen.get(at) {
                at += 1;
                if at > self.through[*stream] && line.contains(part) {
                    self.through[*stream] = at;
                    return line.clone();
                }
            }
            match self.lines.recv_timeout(patience.left()) {
                Ok(line) => self.seen.push(line),
                Err(reason) => panic!("`{part}` never came ({reason}):\n{}", self.seen()),
            }
        }
    }

    /// Everything it said so far.
    pub(crate) fn seen(&self) -> String {
        let lines: Vec<&str> = self.seen.iter().map(|(_, line)| line.as_str()).collect();
        lines.join("\n")
    }

    /// The address behind ` on `, as the commands print it when they listen.
    pub(crate) fn address(&mut self) -> String {
        let line = self.wait_for(" on 127.0.0.1:");
        let (_, rest) = line.split_once(" on ").expect("it was found");
        rest.split([';', ' ']).next().expect("there is an address").to_owned()
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is open");
        writeln!(input, "{line}").expect("the command reads");
    }

    /// As [`type_line`](Self::type_line), to a command that may have left already.
    pub(crate) fn offer_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is open");
        let _ = writeln!(input, "{line}");
    }

    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Sends it a signal, by name.
    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.expect("there is `kill`").success());
    }

    /// Stops it: it does nothing at all until it is told to continue.
    #[cfg(unix)]
    pub(crate) fn halt(&self) {
        self.signal("STOP");
        // Its threads go on until each of them has heard of it.
        let until = Instant::now() + DEADLINE;
        while !self.has_stopped() {
            assert!(Instant::now() < until, "it does not stop");
            std::thread::yield_now();
        }
    }

    /// Whether all of its threads have, as far as the system tells.
    fn has_stopped(&self) -> bool {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.child.id())) else {
            return true;
        };
        threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok())
            .all(|stat| {
                stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(['T', 't']))
            })
    }

    /// Ends it without warning, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ended");
    }

    /// Waits for it to end; returns its exit status and everything it wrote.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let patience = Patience::new();
        loop {
            match self.lines.recv_timeout(patience.left()) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it never ended:\n{}", self.seen())
                }
            }
        }
        let status = self.child.wait().expect("it ended");
        (status, self.seen())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that did not has waited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub(crate) fn run(args: &[&str]) -> (ExitStatus, String) {
    let mut running = Running::start(args);
    running.end_input();
    running.finish()
}

/// A folder that is gone with this.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("outlast-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("there is room for temporary files");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.0.join(name), bytes).expect("it can be written to");
        self.path(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// An empty folder of this test alone.
pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the build folder can be written to");
    folder
}

/// Bytes that look like nothing, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}
