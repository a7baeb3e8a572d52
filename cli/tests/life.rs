//! The life of `outlast serve`: signals, its service manager, folders that are not what they should
//! be.
#![cfg(unix)]

mod common;

use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use common::{Folder, Running, run};

/// Longer than anything here takes on a busy machine; reaching it is a failure.
const DEADLINE: Duration = Duration::from_secs(60);

/// A server with a client that does nothing any more, not even leave.
fn stuck(more: &[&str]) -> (Running, Running) {
    let mut server = Running::start(&[&["serve", "127.0.0.1:0"], more].concat());
    let mut client = Running::start(&["connect", &server.address()]);
    client.wait_for("connected to");
    server.wait_for("* begins");
    client.halt();
    (server, client)
}

#[test]
fn a_second_signal_ends_at_once_and_says_so() {
    for (first, second, code) in [("TERM", "TERM", 143), ("INT", "INT", 130), ("TERM", "INT", 130)]
    {
        for more in [&[][..], &["--snapshots"]] {
            let folder = Folder::new(&format!("second-{first}-{second}"));
            let (path, grace) = (folder.path("sessions"), ["--grace", "600000"]);
            let path = if more.is_empty() { None } else { Some(path.as_str()) };
            let more: Vec<&str> =
                grace.into_iter().chain(more.iter().copied()).chain(path).collect();
            let (mut server, client) = stuck(&more);
            server.signal(first);
            server.wait_for("1 sessions begun");
            // Not this one: the settings do not matter any more.
            server.signal("HUP");
            server.wait_for("settings are not read again");
            server.signal(second);
            let (status, said) = server.finish();
            assert_eq!(status.code(), Some(code), "{said}");
            assert!(said.contains("ends at once"), "{said}");
            client.kill();
        }
    }
}

/// Nobody is waited for, and the sessions are stored all the same.
#[test]
fn no_grace_is_the_shortest_end_there_is() {
    let folder = Folder::new("no-grace");
    let sessions = folder.path("sessions");
    for more in [&[][..], &["--snapshots", &sessions]] {
        let (server, client) = stuck(&[&["--grace", "0"], more].concat());
        server.signal("TERM");
        let (status, said) = server.finish();
        assert_eq!(status.code(), Some(0), "{said}");
        assert_eq!(said.contains("1 sessions are stored in"), !more.is_empty(), "{said}");
        client.kill();
    }
    let mut server = Running::start(&["serve", "127.0.0.1:0", "--snapshots", &sessions]);
    server.wait_for("; 1 of an earlier server go on");
    // With nothing to be read, a terminal that is closed is the end, and an orderly one here.
    server.signal("HUP");
    let (status, said) = server.finish();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("1 sessions are stored in"), "{said}");
}

/// How long a server takes to end from which clients go that do as they are told.
fn time_to_leave(spread: &str) -> Duration {
    let set = format!("drain.spread={spread}");
    let args = ["serve", "127.0.0.1:0", "--quiet", "--grace", "600000", "--set", &set];
    let mut server = Running::start(&args);
    let address = server.address();
    let mut clients: Vec<Running> =
        (0..8).map(|_| Running::start(&["connect", &address])).collect();
    clients.iter_mut().for_each(|client| drop(client.wait_for("connected to")));
    let since = Instant::now();
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
    clients.into_iter().for_each(Running::kill);
    since.elapsed()
}

#[test]
fn clients_leave_over_the_time_that_the_settings_say() {
    // That each of eight goes in the first twelfth of the time happens once in 400 million times.
    let slow = time_to_leave("6 s");
    assert!(slow >= Duration::from_millis(500), "{slow:?}");
    // Without a word of it there would be half of the grace, five minutes: that each goes in the
    // first of five parts of that, for which its end is waited for, happens once in 400,000 times.
    time_to_leave("0");
}

/// A service manager that listens all the time, whatever else the test does: a socket that is full
/// of signs of life takes nothing else.
struct Manager(Receiver<String>);

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        let (tell, told) = sync_channel(100_000);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            loop {
                match socket.recv(&mut bytes) {
                    Ok(len) => {
                        let text = String::from_utf8(bytes[..len].to_vec()).unwrap();
                        if tell.send(text).is_err() {
                            return;
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        Self(told)
    }

    /// The next that is told, but for signs of life.
    fn told(&self) -> String {
        loop {
            let told = self.next();
            if told != "WATCHDOG=1" {
                return told;
            }
        }
    }

    fn next(&self) -> String {
        self.0.recv_timeout(DEADLINE).expect("something is told")
    }
}

fn follow_a_life(manager: &Manager, name: &str) {
    let variables = [("NOTIFY_SOCKET", name), ("WATCHDOG_USEC", "400000")];
    let args = ["serve", "127.0.0.1:0", "--grace", "3000"];
    let server = Running::start_with(&args, &variables);
    assert_eq!(manager.told(), "READY=1\nSTATUS=serves 0 sessions");
    let before = uptime();
    server.signal("HUP");
    let told = manager.told();
    let at: u64 = told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(at >= before, "{at} is before {before}");
    assert_eq!(manager.told(), "READY=1\nSTATUS=serves 0 sessions");
    for _ in 0..3 {
        assert_eq!(manager.next(), "WATCHDOG=1");
    }
    server.signal("TERM");
    let told = manager.told();
    let expected = "STOPPING=1\nEXTEND_TIMEOUT_USEC=13000000\nSTATUS=ends within 13";
    assert!(told.starts_with(expected), "{told}");
    assert_eq!(server.finish().0.code(), Some(0));
}

/// Microseconds by the clock of `MONOTONIC_USEC`, or somewhat less.
fn uptime() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000
}

#[test]
fn a_service_manager_is_told_of_each_step() {
    let folder = Folder::new("notify");
    let path = folder.path("socket");
    follow_a_life(&Manager::new(UnixDatagram::bind(&path).unwrap()), &path);
    // A name that is of no use keeps nobody from serving.
    for name in ["relative", &folder.path("nobody")] {
        let args = ["serve", "127.0.0.1:0"];
        let mut server = Running::start_with(&args, &[("NOTIFY_SOCKET", name)]);
        server.address();
        server.signal("TERM");
        let (status, said) = server.finish();
        assert_eq!(status.code(), Some(0), "{said}");
        let expected = if name == "relative" { "NOTIFY_SOCKET is" } else { "was not told" };
        // Once, though it is ready and then ends.
        assert_eq!(said.matches(expected).count(), 1, "{said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_service_manager_may_have_an_abstract_name() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    let name = format!("outlast-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::new(UnixDatagram::bind_addr(&address).unwrap());
    follow_a_life(&manager, &format!("@{name}"));
}

/// The unit in docs/operations.md starts a server that says so.
#[test]
fn the_unit_that_is_documented_is_one_that_works() {
    let text = std::fs::read_to_string("../docs/operations.md").unwrap();
    let (_, rest) = text.split_once("```ini\n").unwrap();
    let (unit, _) = rest.split_once("\n```").unwrap();
    let value = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {key} in\n{unit}"))
    };
    assert_eq!((value("Type"), value("ExecReload")), ("notify-reload", "kill -HUP $MAINPID"));
    let folder = Folder::new("unit");
    let socket = folder.path("socket");
    let manager = Manager::new(UnixDatagram::bind(&socket).unwrap());
    let state = folder.path("state");
    let config = folder.write("server.toml", b"[[listen]]\naddress = \"127.0.0.1:0\"\n");
    let command = value("ExecStart").replace("/etc/outlast/server.toml", &config);
    let command = command.replace("${STATE_DIRECTORY}", &state);
    let args: Vec<&str> = command.split(' ').skip(1).collect();
    let server = Running::start_with(&args, &[("NOTIFY_SOCKET", &socket)]);
    assert!(manager.told().starts_with("READY=1\n"));
    server.signal("TERM");
    assert!(manager.told().starts_with("STOPPING=1\n"));
    let (status, said) = server.finish();
    assert!(status.success() && said.contains("0 sessions are stored in"), "{said}");
    // systemd itself, where it is there.
    let unit = folder.write("outlast.service", unit.as_bytes());
    match Command::new("systemd-analyze").args(["verify", &unit]).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            // One that is older than the type of service says so; its manual has what to do.
            let passes =
                ["is not executable", "Failed to parse service type, ignoring: notify-reload"];
            let faults =
                said.lines().filter(|line| !passes.iter().any(|known| line.contains(known)));
            assert_eq!(faults.count(), 0, "{said}");
        }
        Err(error) => println!("NOT RUN: systemd-analyze: {error}"),
    }
}

/// A folder with the session of one client in it, and the key that it is encrypted with.
fn stored(name: &str) -> (Folder, String, String) {
    let folder = Folder::new(name);
    let key = folder.write("key", &[7; 32]);
    let (sessions, key_file) = (folder.path("sessions"), format!("snapshots.key_file={key}"));
    let (server, client) = stuck(&["--grace", "0", "--snapshots", &sessions, "--set", &key_file]);
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
    client.kill();
    (folder, sessions, key_file)
}

#[test]
fn a_key_belongs_to_its_folder() {
    let (folder, sessions, key_file) = stored("keys");
    assert!(!folder_has(&sessions, "key"), "the key lies with what it protects");
    let other = format!("snapshots.key_file={}", folder.write("other", &[8; 32]));
    for set in [other.as_str(), "log.level=off"] {
        let (status, said) = run(&["serve", "127.0.0.1:0", "--snapshots", &sessions, "--set", set]);
        assert_eq!(status.code(), Some(1), "{said}");
        for part in ["snapshots.folder: ", "sessions.snapshot", "another key", "move it away"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
    let args = ["serve", "127.0.0.1:0", "--snapshots", &sessions, "--set", &key_file];
    let mut server = Running::start(&args);
    server.wait_for("; 1 of an earlier server go on");
    server.signal("TERM");
    assert_eq!(server.finish().0.code(), Some(0));
    let short = format!("snapshots.key_file={}", folder.write("short", b"secret"));
    let none = format!("snapshots.key_file={}", folder.path("none"));
    for (set, expected) in [(short, "has 6 bytes, a key has 32"), (none, "cannot read")] {
        let args = ["serve", "127.0.0.1:0", "--snapshots", &sessions, "--set", &set];
        let (status, said) = run(&args);
        assert!(!status.success() && said.contains(expected), "{said}");
        assert!(said.contains("snapshots.key_file: ") && said.contains("head -c 32"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

fn folder_has(folder: &str, name: &str) -> bool {
    std::path::Path::new(folder).join(name).exists()
}

#[test]
fn what_is_damaged_is_not_gone_on_from_and_not_thrown_away() {
    let (_folder, sessions, key_file) = stored("damaged");
    let file = format!("{sessions}/sessions.snapshot");
    let whole = std::fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    flipped[100] ^= 1;
    let half = whole[..whole.len() / 2].to_vec();
    for damaged in [flipped, half, Vec::new(), b"something else entirely".to_vec()] {
        std::fs::write(&file, &damaged).unwrap();
        let args = ["serve", "127.0.0.1:0", "--snapshots", &sessions, "--set", &key_file];
        let (status, said) = run(&args);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(
            said.contains("snapshots.folder: ") && said.contains("sessions.snapshot"),
            "{said}"
        );
        assert!(said.contains("move it away"), "{said}");
        assert_eq!(std::fs::read(&file).unwrap(), damaged, "it was changed");
    }
    std::fs::remove_file(&file).unwrap();
    let args = ["serve", "127.0.0.1:0", "--snapshots", &sessions, "--set", &key_file];
    let mut server = Running::start(&args);
    server.wait_for("; 0 of an earlier server go on");
}

#[test]
fn folders_that_are_of_no_use_are_named_with_their_key() {
    let folder = Folder::new("folders");
    let file = folder.write("file", b"x");
    for path in [file.as_str(), &format!("{file}/below")] {
        let (status, said) = run(&["serve", "127.0.0.1:0", "--snapshots", path]);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("snapshots.folder: ") && said.contains(path), "{said}");
    }
    for (args, expected) in [
        (&["--set", "snapshots.every=1 s"][..], "snapshots.every is set, and snapshots.folder is"),
        (&["--set", "snapshots.key_file=x"], "snapshots.key_file is set, and snapshots.folder is"),
        (
            &["--set", "snapshots.every=99 ms", "--snapshots", "x"],
            "snapshots.every is 99 ms: it must be from 100 ms",
        ),
        (&["--admin-token-file", "x"], "admin.token_file is set, and admin.listen is not"),
        (
            &["--set", "listen.0.format=ndjson", "--set", "snapshots.folder=x"],
            "snapshots.folder is for sessions",
        ),
    ] {
        let (status, said) = run(&[&["serve", "127.0.0.1:0"], args].concat());
        assert!(!status.success() && said.contains(expected), "{expected}: {said}");
    }
}

/// A disk without room: what was stored before stays, the server goes on, and says at its end that
/// the sessions are not stored.
#[test]
fn a_full_disk_is_told_of_and_costs_only_what_is_not_stored() {
    let (_folder, sessions, key_file) = stored("full");
    // Of files beyond 1 KiB it is as if there were no room. Pipes are no files.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$@\"";
    let every = ["--set", "snapshots.every=100 ms", "--grace", "0", "--echo"];
    let args = ["serve", "127.0.0.1:0", "--snapshots", &sessions, "--set", &key_file];
    let mut command = Command::new("bash");
    command.args(["-c", script, "bash", env!("CARGO_BIN_EXE_outlast")]).args(args).args(every);
    let mut server = Running::run(&mut command);
    let address = server.address();
    server.wait_for("; 1 of an earlier server go on");
    let mut client = Running::start(&["connect", &address]);
    client.wait_for("connected to");
    // Each session takes some of it.
    let mut others: Vec<Running> = (0..8).map(|_| Running::start(&["connect", &address])).collect();
    others.iter_mut().for_each(|other| drop(other.wait_for("connected to")));
    let said = server.wait_for("sessions are not stored");
    assert!(said.contains("snapshots.folder: ") && said.contains("sessions.snapshot"), "{said}");
    server.signal("TERM");
    let (status, said) = server.finish();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("snapshots.folder: the sessions could not be stored"), "{said}");
    client.kill();
    // The next server goes on with what was stored before: the first one at least.
    let mut server = Running::start(&args);
    let said = server.wait_for("of an earlier server go on");
    assert!(!said.contains("; 0 of"), "{said}");
}

#[test]
fn what_is_told_of_sessions_is_as_much_as_is_wanted() {
    let folder = Folder::new("log");
    let file = folder.write("server.toml", b"log.level = \"info\"\n");
    let mut server = Running::start(&["serve", "--quiet", "--config", &file, "127.0.0.1:0"]);
    let address = server.address();
    let talk = || {
        let (status, said) = run(&["connect", &address]);
        assert!(status.success(), "{said}");
    };
    talk();
    server.wait_for("session opened");
    server.wait_for("session closed");
    folder.write("server.toml", b"log.level = \"off\"\n");
    server.signal("HUP");
    server.wait_for("in effect now: log.level");
    talk();
    server.signal("TERM");
    let (status, said) = server.finish();
    assert!(status.success(), "{said}");
    assert_eq!(said.matches("session opened").count(), 1, "{said}");
}

/// A page, metrics and health from a file, and a token that is asked for.
#[test]
fn what_a_server_shows_of_itself_is_in_its_settings() {
    use std::io::{Read, Write};
    let folder = Folder::new("shows");
    let token = folder.write("token", b"one\n");
    let text = format!("[admin]\nlisten = \"127.0.0.1:0\"\ntoken_file = \"{token}\"\n");
    let file = folder.write("server.toml", text.as_bytes());
    let grace = ["--grace", "600000", "--set", "drain.spread=0"];
    let args = ["serve", "--config", &file, "127.0.0.1:0"];
    let mut server = Running::start(&[&args[..], &grace].concat());
    let address = server.address();
    let line = server.wait_for("shows itself at http://");
    let admin = line.split_once("http://").unwrap().1.trim_end_matches('/').to_owned();
    let ask = |request: &str, more: &str| {
        let mut tcp = std::net::TcpStream::connect(&admin).unwrap();
        let head =
            format!("{request} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n{more}\r\n");
        tcp.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        tcp.read_to_string(&mut text).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    assert_eq!(ask("GET /readyz", ""), 200);
    assert_eq!(ask("POST /api/drain", ""), 401);
    let mut client = Running::start(&["connect", &address]);
    client.wait_for("connected to");
    client.halt();
    assert_eq!(ask("POST /api/drain", "authorization: Bearer one\r\n"), 202);
    server.wait_for("1 sessions begun");
    // The first signal says no more than that did.
    server.signal("TERM");
    server.wait_for("it ends already");
    client.signal("CONT");
    assert_eq!(server.finish().0.code(), Some(0));
    client.kill();
    let (status, said) = run(&["serve", "--print-config", "--admin", ""]);
    assert!(status.success() && said.contains("listen = \"127.0.0.1:7412\""), "{said}");
}
