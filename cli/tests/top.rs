//! `outlast serve --admin` and `outlast top`, in a terminal of its own that a small Python program
//! makes. Where there is no Python this says so and looks at no terminal.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::Running;
use outlast_conformance::net::Unserved;

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server that shows itself: where it serves, and where it shows itself.
fn serve(more: &[&str]) -> (Running, String, String) {
    let args = ["serve", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--echo", "--quiet"];
    let mut server = Running::start(&[&args, more].concat());
    let address = server.address();
    let line = server.wait_for("shows itself at http://");
    let (_, admin) = line.split_once("http://").unwrap();
    let admin = admin.trim_end_matches('/').to_owned();
    (server, address, admin)
}

/// Status and body.
fn ask(admin: &str, request: &str, more: &str) -> (u16, String) {
    let mut tcp = TcpStream::connect(admin).unwrap();
    let head = format!("{request} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n{more}\r\n");
    tcp.write_all(head.as_bytes()).unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A program on a terminal.
struct Terminal {
    python: Child,
    answers: BufReader<ChildStdout>,
}

impl Terminal {
    fn open(columns: u32, rows: u32, args: &[&str]) -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/top.py");
        let python = Command::new("python3")
            .args([script, &columns.to_string(), &rows.to_string()])
            .arg(env!("CARGO_BIN_EXE_outlast"))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut python = match python {
            Ok(python) => python,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("NOT RUN, there is no terminal to look at: python3: {error}");
                return None;
            }
            Err(error) => panic!("python3: {error}"),
        };
        let answers = BufReader::new(python.stdout.take().unwrap());
        Some(Self { python, answers })
    }

    fn order(&mut self, order: &str) {
        writeln!(self.python.stdin.as_mut().unwrap(), "{order}").unwrap();
    }

    fn screen(&mut self) -> String {
        self.order("screen");
        let mut text = String::new();
        loop {
            let mut line = String::new();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "the terminal is there");
            if line == "--\n" {
                return text;
            }
            text.push_str(&line);
        }
    }

    /// Waits until all of this is on the screen.
    fn wait_for(&mut self, parts: &[&str]) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            let screen = self.screen();
            if parts.iter().all(|part| screen.contains(part)) {
                return screen;
            }
            assert!(Instant::now() < until, "{parts:?} never came:\n{screen}");
        }
    }

    /// How the program ended, and what it left of the terminal.
    fn end(mut self) -> String {
        self.order("wait");
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        self.python.wait().unwrap();
        line.trim_end().to_owned()
    }
}

#[test]
fn a_terminal_shows_what_the_server_does_and_is_as_before_afterwards() {
    let (server, address, admin) = serve(&[]);
    let Some(mut terminal) = Terminal::open(100, 32, &["top", &admin]) else {
        return;
    };
    terminal.wait_for(&["ready", "sessions     0 (peak 0)", "messages in  0", "q ends"]);
    let mut client = Running::start(&["connect", &address]);
    client.wait_for("connected");
    for n in 0..5 {
        client.type_line(&format!("line {n}"));
    }
    // Without anybody doing anything to the screen.
    let screen = terminal.wait_for(&["sessions     1 (peak 1)", "messages in  5", "connected"]);
    assert!(screen.contains("1 shown") && screen.contains("127.0.0.1:"), "{screen}");
    // Narrower, and there is all that matters.
    terminal.order("size 44 40");
    let screen = terminal.wait_for(&["sessions     1 (peak 1)", "messages in  5", "connected"]);
    assert!(screen.lines().all(|line| line.chars().count() <= 44), "{screen}");
    server.kill();
    terminal.wait_for(&["no answer"]);
    terminal.order("type q");
    assert_eq!(terminal.end(), "exit 0 restored");
    client.kill();
}

#[test]
fn what_is_not_a_terminal_gets_text_and_an_empty_port_gets_a_sentence() {
    let (server, _, admin) = serve(&[]);
    let (status, said) = Running::start(&["top", &admin]).finish();
    assert!(status.success() && said.contains("ready") && said.contains("sessions"), "{said}");
    server.kill();
    let nobody = Unserved::new();
    let (status, said) = Running::start(&["top", &nobody.address().to_string(), "--once"]).finish();
    assert!(!status.success() && said.contains("does not show a server"), "{said}");
}

#[test]
fn who_has_the_token_ends_the_server_from_there() {
    let folder = std::env::temp_dir().join(format!("outlast-admin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let (server, _, admin) = serve(&["--admin-token-file", file.to_str().unwrap()]);
    assert_eq!(ask(&admin, "GET /readyz", "").0, 200);
    assert_eq!(ask(&admin, "POST /api/drain", "").0, 401);
    let wrong = "authorization: Bearer open\r\n";
    assert_eq!(ask(&admin, "POST /api/drain", wrong).0, 401);
    assert!(ask(&admin, "GET /metrics", "").1.contains("\noutlast_sessions 0\n"));
    let right = "authorization: Bearer open sesame\r\n";
    assert_eq!(ask(&admin, "POST /api/drain", right).0, 202);
    let (status, said) = server.finish();
    assert!(status.success() && said.contains("asked to drain"), "{said}");
    std::fs::write(&file, "\n").unwrap();
    let args = ["serve", ":0", "--admin", ":0", "--admin-token-file", file.to_str().unwrap()];
    let (status, said) = Running::start(&args).finish();
    assert!(!status.success() && said.contains("is empty"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn servers_of_other_systems_show_themselves_too() {
    let args = ["serve", "127.0.0.1:0", "--format", "ndjson", "--admin", "127.0.0.1:0"];
    let mut server = Running::start(&args);
    let address = server.address();
    let line = server.wait_for("shows itself at http://");
    let (_, admin) = line.split_once("http://").unwrap();
    let admin = admin.trim_end_matches('/');
    let mut client = TcpStream::connect(&address).unwrap();
    client.write_all(b"{\"type\":\"message\",\"data\":\"x\"}\n").unwrap();
    let until = Instant::now() + DEADLINE;
    while !ask(admin, "GET /metrics", "").1.contains("\noutlast_connections_accepted_total 1\n") {
        assert!(Instant::now() < until, "it was never seen");
    }
    server.kill();
}
