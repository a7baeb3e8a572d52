//! The kernel's TCP, over a TAP device in a network namespace of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::board::Board;
use crate::options::Options;
use crate::server::Server;

/// The device's name inside the namespace.
const DEVICE: &str = "tap0";
/// A second boot that waits for the first one's connection to be forgotten takes a second, each
/// time.
const SOON: Duration = Duration::from_millis(700);
/// How often it may take as long because the machine does something else.
const TRIES: u32 = 5;

fn ip(line: &str) -> Outcome {
    let status =
        Command::new("ip").args(line.split(' ')).status().map_err(|e| format!("ip: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("`ip {line}`: {status}")) }
}

/// A namespace that is gone when this is.
struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("netns del {}", self.0));
    }
}

/// Makes the namespace, and runs this program inside it.
pub(crate) fn outside(options: &Options, inside: &str) -> Outcome {
    let name = format!("outlast{}-{}", std::process::id(), options.seed);
    ip(&format!("netns add {name}"))?;
    let namespace = Namespace(name);
    let name = &namespace.0;
    ip(&format!("-n {name} link set lo up"))?;
    ip(&format!("-n {name} tuntap add name {DEVICE} mode tap"))?;
    ip(&format!("-n {name} addr add 10.0.2.2/24 dev {DEVICE}"))?;
    ip(&format!("-n {name} link set {DEVICE} up"))?;
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let (count, seed) = (options.count.to_string(), options.seed.to_string());
    let reset_at = options.reset_at.to_string();
    let status = Command::new("ip")
        .args(["netns", "exec", name])
        .arg(program)
        .arg(inside)
        .arg(&options.elf)
        .args(["--count", &count, "--seed", &seed, "--reset-at", &reset_at])
        .status()
        .map_err(|e| e.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("inside the namespace: {status}")) }
}

fn network() -> [String; 2] {
    let device = format!("tap,id=n0,ifname={DEVICE},script=no,downscript=no");
    ["-netdev".to_owned(), device]
}

/// One run, inside the namespace.
pub(crate) fn run(options: &Options) -> Outcome {
    let server = Server::start("10.0.2.2:0")?;
    let mut board = Board::boot(options, &network(), server.port())?;
    let report = board.finish()?;
    server.check(options, &report)
}

/// The board dies in mid-stream without a word, and boots again with another seed while the kernel
/// still holds the connection.
pub(crate) fn reset(options: &Options) -> Outcome {
    let mut opened = Duration::MAX;
    for _ in 0..TRIES {
        opened = die_and_boot_again(options)?;
        if opened <= SOON {
            return Ok(());
        }
    }
    Err(format!("the second boot needed {opened:?} to connect, and as long {TRIES} times"))
}

/// How long the second boot took to connect.
fn die_and_boot_again(options: &Options) -> Outcome<Duration> {
    let server = Server::start("10.0.2.2:0")?;
    let endless = Options { count: u32::MAX, ..options.clone() };
    let mut first = Board::boot(&endless, &network(), server.port())?;
    first.wait_for("opened")?;
    let start = Instant::now();
    while server.messages() < options.count / 2 {
        if start.elapsed() > Duration::from_secs(60) {
            return Err("the first boot sends nothing".to_owned());
        }
        std::thread::yield_now();
    }
    drop(first);
    let before = server.messages();
    let again = Options { seed: options.seed + 1_000, ..options.clone() };
    let mut second = Board::boot(&again, &network(), server.port())?;
    let report = second.finish()?;
    let opened = report
        .lines
        .iter()
        .find_map(|line| line.strip_prefix("connected us=")?.parse().ok())
        .map(Duration::from_micros)
        .ok_or("the second boot said nothing of when")?;
    println!("the second boot was connected after {opened:?}, {before} messages into the first");
    server.check_last(&again, &report).map(|()| opened)
}
