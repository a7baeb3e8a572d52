//! Programs as people start them, relays that cut their connections, and peers written by hand.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; reaching it is a failure.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The runtimes that every program runs on.
pub(crate) const RUNTIMES: [&str; 2] = ["tokio", "smol"];

/// A program that runs, with the lines it has written so far, on whichever stream.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// How far it has been waited through.
    through: usize,
}

impl Running {
    pub(crate) fn start(program: &str, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(args)
            .env_remove("CHAT_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = sync_channel(1_000_000);
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("it is piped")),
            Box::new(child.stderr.take().expect("it is piped")),
        ];
        for stream in streams {
            let sender = sender.clone();
            std::thread::spawn(move || {
                let lines = BufReader::new(stream).lines().map_while(Result::ok);
                let _ = lines.map(|line| sender.send(line)).find(Result::is_err);
            });
        }
        Self { child, lines, seen: Vec::new(), through: 0 }
    }

    /// Waits for a line with `part` in it, behind the last one that was waited for.
    pub(crate) fn wait_for(&mut self, part: &str) -> String {
        let until = Instant::now() + LONG;
        loop {
            while let Some(line) = self.seen.get(self.through) {
                self.through += 1;
                if line.contains(part) {
                    return line.clone();
                }
            }
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(reason) => panic!("`{part}` never came ({reason}):\n{}", self.seen.join("\n")),
            }
        }
    }

    /// What comes next, whatever it is.
    pub(crate) fn line(&mut self) -> String {
        self.wait_for("")
    }

    /// The address that a line with `what` in it says.
    pub(crate) fn address(&mut self, what: &str) -> String {
        let line = self.wait_for(what);
        line.rsplit(' ').next().expect("there is an address").to_owned()
    }

    /// All lines so far.
    pub(crate) fn seen(&self) -> &[String] {
        &self.seen
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        let input = self.child.stdin.as_mut().expect("it is open");
        writeln!(input, "{line}").expect("the program reads");
    }

    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Asks it to end, as `kill` does.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().expect("there is kill").success());
    }

    /// Waits for it to end; returns its exit status and everything it wrote.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        let until = Instant::now() + LONG;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("it never ended:\n{}", self.seen.join("\n"))
                }
            }
        }
        let status = self.child.wait().expect("it ended");
        (status, self.seen.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; one that did not has waited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections to somebody else, which can be cut.
#[derive(Clone)]
pub(crate) struct Relay(Arc<Wire>);

struct Wire {
    address: SocketAddr,
    target: String,
    open: Mutex<Vec<TcpStream>>,
    /// Bytes after which a connection is cut, counted from the side that dialled.
    most: usize,
    /// Nobody comes through.
    shut: AtomicBool,
    /// Connections that came through so far.
    carried: AtomicUsize,
}

impl Relay {
    pub(crate) fn to(target: &str) -> Self {
        Self::cutting(target, usize::MAX)
    }

    /// Cuts every connection by itself, once who dialled has sent so many bytes.
    pub(crate) fn cutting(target: &str, most: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let relay = Self(Arc::new(Wire {
            address: listener.local_addr().expect("it is bound"),
            target: target.to_owned(),
            open: Mutex::default(),
            most,
            shut: AtomicBool::new(false),
            carried: AtomicUsize::new(0),
        }));
        let wire = relay.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                wire.carry(stream);
            }
        });
        relay
    }

    pub(crate) fn address(&self) -> String {
        self.0.address.to_string()
    }

    /// How many connections came through so far.
    pub(crate) fn carried(&self) -> usize {
        self.0.carried.load(Ordering::SeqCst)
    }

    fn carry(&self, near: TcpStream) {
        let mut open = self.0.open.lock().expect("nobody panics with it");
        if self.0.shut.load(Ordering::SeqCst) {
            return;
        }
        let Ok(far) = TcpStream::connect(&self.0.target) else {
            return;
        };
        self.0.carried.fetch_add(1, Ordering::SeqCst);
        for (from, to, most) in [(&near, &far, self.0.most), (&far, &near, usize::MAX)] {
            let from = from.try_clone().expect("a handle");
            let mut to = to.try_clone().expect("a handle");
            std::thread::spawn(move || {
                let most = u64::try_from(most).unwrap_or(u64::MAX);
                let carried = std::io::copy(&mut (&from).take(most), &mut to);
                if carried.is_ok_and(|carried| carried == most) {
                    let _ = from.shutdown(Shutdown::Both);
                    let _ = to.shutdown(Shutdown::Both);
                }
                let _ = to.shutdown(Shutdown::Write);
            });
        }
        open.extend([near, far]);
    }

    /// Cuts every connection that there is.
    pub(crate) fn cut(&self) {
        for stream in self.0.open.lock().expect("nobody panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Cuts every connection, and lets nobody through until [`open`](Self::open).
    pub(crate) fn shut(&self) {
        self.0.shut.store(true, Ordering::SeqCst);
        self.cut();
    }

    pub(crate) fn open(&self) {
        self.0.shut.store(false, Ordering::SeqCst);
    }
}

/// A peer that speaks lines, written by hand.
pub(crate) struct Lines {
    reader: BufReader<TcpStream>,
}

impl Lines {
    pub(crate) fn dial(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(LONG)).expect("it is open");
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.reader.get_mut().write_all(format!("{line}\n").as_bytes()).expect("it is read");
    }

    /// The next line; none at the end.
    pub(crate) fn hear(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).expect("a line in time");
        (read > 0).then(|| line.trim_end().to_owned())
    }

    /// The next line that has `part` in it.
    pub(crate) fn hear_of(&mut self, part: &str) -> String {
        loop {
            let line = self.hear().unwrap_or_else(|| panic!("the end, and no `{part}`"));
            if line.contains(part) {
                return line;
            }
        }
    }
}

/// A peer of bytes.
pub(crate) fn dial(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("it is open");
    stream
}

/// Reads exactly these bytes.
pub(crate) fn expect(stream: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    stream.read_exact(&mut came).expect("they come");
    assert_eq!(came, bytes, "{}", String::from_utf8_lossy(&came));
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
