//! Subjects that are other programs, in any language, on any machine.
//!
//! The data of such a subject flows through TCP like that of any other; what it is told to do and
//! what it tells goes over a control line of its own, as text. `docs/conformance.md` describes that
//! text. A program that speaks it can be judged by every case of the suite:
//!
//! ```no_run
//! use outlast_conformance::net::{Loopback, foreign::Foreign};
//!
//! let peer = Foreign::at("my peer", "127.0.0.1:7000".parse().unwrap());
//! outlast_conformance::cases::run(&mut Loopback::new(peer), "a10_noise").unwrap();
//! ```

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use outlast_core::registry::RegistryConfig;
use outlast_core::{CloseCode, Config, Release};

use super::{Controls, Feed, Runtime, Started, lock};
use crate::driver::{Cmd, Obs};

/// How long a program may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(60);

/// A control line: two ends of bytes, such as a connection, a pipe or a serial port.
pub struct Control {
    /// What the program tells.
    pub read: Box<dyn Read + Send>,
    /// What it is told.
    pub write: Box<dyn Write + Send>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// Opens the control line of another subject, each time it is called.
type Open = Box<dyn FnMut() -> io::Result<Control>>;

/// A runtime that is another program.
pub struct Foreign {
    name: &'static str,
    open: Open,
    lines: Vec<Weak<Line>>,
    /// Bytes of messages that the program takes ahead of saying so.
    ahead: usize,
    /// The name under which the program reaches this machine, if not that of loopback.
    host: Option<String>,
    /// Why there is none.
    missing: Option<String>,
    _program: Option<Program>,
}

impl std::fmt::Debug for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Foreign").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Foreign {
    /// A program to which `open` opens one control line for each subject.
    pub fn new(name: &'static str, open: impl FnMut() -> io::Result<Control> + 'static) -> Self {
        let (lines, open) = (Vec::new(), Box::new(open));
        Self { name, open, lines, ahead: 0, host: None, missing: None, _program: None }
    }

    /// A program that runs already and takes control connections at this address.
    #[must_use]
    pub fn at(name: &'static str, address: SocketAddr) -> Self {
        Self::new(name, move || {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Ok(Control { read: Box::new(stream.try_clone()?), write: Box::new(stream) })
        })
    }

    /// Starts a program, whose first line of output says `control HOST:PORT`. It ends when its
    /// standard input does. A program that is not installed leaves a driver without a runtime: its
    /// cases are not run, and say so.
    ///
    /// # Panics
    ///
    /// If it starts and says something else.
    #[must_use]
    pub fn start(name: &'static str, mut command: Command) -> Self {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(error) => {
                let missing = format!("{}: {error}", command.get_program().display());
                let nobody = || Err(io::ErrorKind::NotFound.into());
                return Self { missing: Some(missing), ..Self::new(name, nobody) };
            }
        };
        let mut first = String::new();
        if let Some(out) = child.stdout.take() {
            // What cannot be read is no address either.
            let _ = BufReader::new(out).read_line(&mut first);
        }
        let address = first.trim_end().strip_prefix("control ").and_then(|at| at.parse().ok());
        let program = Some(Program(child));
        let address = address.unwrap_or_else(|| panic!("no control line, but {first:?}"));
        Self { _program: program, ..Self::at(name, address) }
    }

    /// The program reaches this machine under another name, as one in an emulator does.
    #[must_use]
    pub fn reaching_us_at(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// A subject that begins with these words; and where it listens, if it does.
    fn begin(&mut self, words: &str, feed: &Feed) -> (Arc<Line>, Option<SocketAddr>) {
        let control = (self.open)();
        let control = control.unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let line = Line::open(control, feed.clone());
        let ready = line.ask(words).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut words = ready.split(' ');
        let begins = words.next() == Some("ready");
        let ahead = words.next().and_then(|ahead| ahead.parse().ok()).filter(|_| begins);
        self.ahead = ahead.unwrap_or_else(|| panic!("not ready, but {ready:?}"));
        line.with(|told| told.ahead = self.ahead);
        self.lines.push(Arc::downgrade(&line));
        (line, words.next().and_then(|address| address.parse().ok()))
    }
}

impl Runtime for Foreign {
    fn name(&self) -> &'static str {
        self.name
    }

    fn serve(
        &mut self,
        config: Config,
        sessions: RegistryConfig,
        feed: &Feed,
    ) -> (SocketAddr, Started) {
        let words = format!("server{}{}", settings(&config), registry(&sessions));
        let (line, address) = self.begin(&words, feed);
        let address = address.unwrap_or_else(|| panic!("{} listens nowhere", self.name));
        (address, Box::new(AProgram { line, is_server: true }))
    }

    fn dial(&mut self, address: SocketAddr, config: Config, feed: &Feed) -> Started {
        let host = self.host.clone().unwrap_or_else(|| address.ip().to_string());
        let port = address.port();
        // Most cases cut the connection, and wait for the next.
        let eager = " backoff_base_ms=1 backoff_cap_ms=10";
        let words = format!("client {host}:{port}{}{eager}", settings(&config));
        let line = self.begin(&words, feed).0;
        Box::new(AProgram { line, is_server: false })
    }

    fn starve(&mut self, time: Duration) {
        let lines: Vec<_> = self.lines.iter().filter_map(Weak::upgrade).collect();
        for line in &lines {
            line.say(&format!("starve {}\n", time.as_millis()));
        }
        for line in &lines {
            let answer = line.answer(PATIENCE + time);
            answer.unwrap_or_else(|error| panic!("{} did not sleep: {error}", self.name));
        }
    }

    fn slack(&self) -> usize {
        self.ahead
    }

    fn missing(&self) -> Option<String> {
        self.missing.clone()
    }
}

fn settings(config: &Config) -> String {
    let numbers = [
        ("max_body", u64::from(config.max_body)),
        ("max_message", config.max_message.into()),
        ("window", config.window.into()),
        ("window_max", config.window_max.into()),
        ("send_buffer", config.send_buffer.into()),
        ("max_requests", config.max_requests.into()),
        ("max_requests_out", config.max_requests_out.into()),
        ("idle_timeout_ms", config.idle_timeout_ms.into()),
        ("heartbeat_min_ms", config.heartbeat_min_ms.into()),
        ("retention_s", config.retention_s.into()),
        ("handshake_timeout_ms", config.handshake_timeout_ms.into()),
        ("frame_timeout_ms", config.frame_timeout_ms.into()),
        ("ack_delay_ms", config.ack_delay_ms.into()),
        ("linger_ms", config.linger_ms.into()),
    ];
    let release = match config.release {
        Release::Automatic => "automatic",
        Release::Manual => "manual",
    };
    words(&numbers) + " release=" + release
}

fn registry(sessions: &RegistryConfig) -> String {
    words(&[
        ("max_entries", sessions.max_entries.into()),
        ("max_per_owner", sessions.max_per_owner.into()),
        ("max_unconfirmed", sessions.max_unconfirmed.into()),
        ("max_detached", sessions.max_detached.into()),
        ("max_detached_per_owner", sessions.max_detached_per_owner.into()),
        ("max_ttl_s", sessions.max_ttl_s.into()),
        ("busy_retry_ms", sessions.busy_retry_ms.into()),
        ("epoch", sessions.epoch.into()),
    ])
}

fn words(numbers: &[(&str, u64)]) -> String {
    numbers.iter().fold(String::new(), |mut out, (name, value)| {
        // Writing to a string does not fail.
        let _ = write!(out, " {name}={value}");
        out
    })
}

/// A program that was started, and ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server or a client in the program; it ends with its control line.
struct AProgram {
    line: Arc<Line>,
    is_server: bool,
}

impl Controls for AProgram {
    fn held_bytes(&self) -> Option<usize> {
        let held = self.line.ask("held").unwrap_or_else(|error| panic!("nothing held: {error}"));
        Some(number(held.strip_prefix("held ").unwrap_or(&held)) as usize)
    }

    fn command(&mut self, session: u64, command: Cmd) -> Result<(), String> {
        let session = if self.is_server { session } else { 0 };
        let words = match command {
            Cmd::Send { route, payload } => return self.line.send(session, route, &payload),
            Cmd::Request { route, payload } => {
                format!("request {session} {route} {}", hex(&payload))
            }
            Cmd::Respond { id, status, payload } => {
                format!("respond {session} {id} {status} {}", hex(&payload))
            }
            Cmd::Finish => format!("finish {session}"),
            Cmd::Close(code) => format!("close {session} {}", code.get()),
            Cmd::End(code) => format!("end {session} {}", code.get()),
            Cmd::Drain(grace, spread) => format!("drain {session} {grace} {spread}"),
        };
        self.line.ask(&words).map(drop)
    }
}

impl Drop for AProgram {
    fn drop(&mut self) {
        self.line.say("stop\n");
    }
}

/// The control line of one subject.
struct Line {
    write: Mutex<Box<dyn Write + Send>>,
    told: Mutex<Told>,
    changed: Condvar,
}

/// What the program has told and nobody has taken.
#[derive(Default)]
struct Told {
    answers: VecDeque<Result<String, String>>,
    /// The sessions there are, and the sizes of messages under way to each.
    sessions: HashMap<u64, VecDeque<usize>>,
    ahead: usize,
    is_over: bool,
}

impl Told {
    fn has_room(&self, session: u64, size: usize) -> Result<bool, String> {
        let under_way = self.sessions.get(&session).ok_or("no such session")?;
        let sum: usize = under_way.iter().sum();
        Ok(sum == 0 || sum + size <= self.ahead)
    }
}

impl Line {
    fn open(control: Control, feed: Feed) -> Arc<Self> {
        let Control { read, write } = control;
        let (told, changed) = (Mutex::default(), Condvar::new());
        let line = Arc::new(Self { write: Mutex::new(write), told, changed });
        let reader = Arc::downgrade(&line);
        drop(std::thread::spawn(move || {
            for text in BufReader::with_capacity(1 << 16, read).lines() {
                let (Ok(text), Some(line)) = (text, reader.upgrade()) else {
                    break;
                };
                line.hear(&text, &feed);
            }
            if let Some(line) = reader.upgrade() {
                line.with(|told| told.is_over = true);
            }
        }));
        line
    }

    fn with<T>(&self, act: impl FnOnce(&mut Told) -> T) -> T {
        let done = act(&mut lock(&self.told));
        self.changed.notify_all();
        done
    }

    fn say(&self, text: &str) {
        // A program that is gone is noticed when it does not answer.
        let _ = lock(&self.write).write_all(text.as_bytes());
    }

    fn ask(&self, words: &str) -> Result<String, String> {
        self.say(&format!("{words}\n"));
        self.answer(PATIENCE)
    }

    fn answer(&self, time: Duration) -> Result<String, String> {
        let waited = self.changed.wait_timeout_while(lock(&self.told), time, |told| {
            told.answers.is_empty() && !told.is_over
        });
        let mut told = waited.unwrap_or_else(PoisonError::into_inner).0;
        told.answers.pop_front().unwrap_or_else(|| Err("the program does not answer".into()))
    }

    fn send(&self, session: u64, route: u32, payload: &[u8]) -> Result<(), String> {
        let words = format!("send {session} {route} {}\n", hex(payload));
        let size = payload.len() + 4;
        if self.with(|told| told.ahead) == 0 {
            return self.ask(words.trim_end()).map(drop);
        }
        if !self.with(|told| told.has_room(session, size))? {
            // Whatever it could take it has taken when it answers.
            self.ask("sync")?;
        }
        if !self.with(|told| told.has_room(session, size))? {
            return Err("full".into());
        }
        self.with(|told| told.sessions.entry(session).or_default().push_back(size));
        self.say(&words);
        Ok(())
    }

    /// A line that the program said.
    fn hear(&self, text: &str, feed: &Feed) {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["ok"] | ["held", _] | ["ready", ..] => {
                self.with(|told| told.answers.push_back(Ok(text.into())))
            }
            ["no", ..] => {
                let why = text.strip_prefix("no ").unwrap_or_default().to_owned();
                self.with(|told| told.answers.push_back(Err(why)));
            }
            ["took", session, count] => self.took(number(session), number(count)),
            ["refused", session, ..] => self.took(number(session), 1),
            [name, session, ref rest @ ..] => {
                let session = number(session);
                match name {
                    "opened" => {
                        self.with(|told| drop(told.sessions.insert(session, <_>::default())))
                    }
                    "ended" | "lost" => self.with(|told| drop(told.sessions.remove(&session))),
                    _ => {}
                }
                feed.tell(session, observation(name, rest));
            }
            _ => panic!("not a line of a subject: {text:?}"),
        }
    }

    fn took(&self, session: u64, count: u64) {
        self.with(|told| {
            if let Some(under_way) = told.sessions.get_mut(&session) {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(under_way.len());
                drop(under_way.drain(..count));
            }
        });
    }
}

fn observation(name: &str, rest: &[&str]) -> Obs {
    let code = |word: &str| CloseCode::new(number(word) as u16);
    match (name, rest) {
        ("opened", []) => Obs::Opened,
        ("resumed", []) => Obs::Resumed,
        ("message", [route, payload]) => {
            Obs::Message { route: number(route) as u32, payload: bytes(payload) }
        }
        ("request", [id, route, payload]) => {
            let (id, route) = (number(id) as u16, number(route) as u32);
            Obs::Request { id, route, payload: bytes(payload) }
        }
        ("response", [id, status, payload]) => {
            let (id, status) = (number(id) as u16, number(status) as u8);
            Obs::Response { id, status, payload: bytes(payload) }
        }
        ("acked", [position]) => Obs::Acked(number(position)),
        ("finished", []) => Obs::Finished,
        ("disconnected", [why]) => Obs::Disconnected(code(why)),
        ("ended", []) => Obs::Ended,
        ("lost", [why, "-"]) => Obs::Lost(code(why), None),
        ("lost", [why, position]) => Obs::Lost(code(why), Some(number(position))),
        ("other", _) => Obs::Other("event"),
        _ => panic!("not an observation: {name} {rest:?}"),
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("not a number: {word:?}"))
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "-".into();
    }
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn bytes(word: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or_else(|| panic!("{word:?}"));
    let pairs = word.as_bytes().chunks_exact(2);
    pairs.map(|pair| (digit(pair[0]) << 4 | digit(pair[1])) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_words() {
        for payload in [&b""[..], b"\0\xFF\x1A"] {
            assert_eq!(bytes(&hex(payload)), payload);
        }
    }

    #[test]
    fn a_program_that_is_not_installed_is_missing() {
        let foreign = Foreign::start("nobody", Command::new("there-is-no-such-program"));
        assert!(foreign.missing().is_some());
    }

    #[test]
    fn what_is_ahead_is_limited() {
        let mut told = Told { ahead: 100, ..Told::default() };
        assert!(told.has_room(1, 1).is_err());
        told.sessions.insert(1, VecDeque::from([60]));
        assert_eq!(told.has_room(1, 40), Ok(true));
        assert_eq!(told.has_room(1, 41), Ok(false));
    }
}
