//! The firmware as a client of the command `outlast serve`, and what both of them say.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Outcome;
use crate::board::Board;
use crate::options::Options;

/// A server that runs until this is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(read: impl Read) -> impl Iterator<Item = String> {
    BufReader::new(read).lines().map_while(Result::ok)
}

/// One run: `outlast serve --echo` on loopback, and the board in QEMU's user network.
pub(crate) fn run(options: &Options, program: &Path) -> Outcome {
    let mut command = Command::new(program);
    command.args(["serve", "--echo", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
    let (out, notes) = (child.stdout.take(), child.stderr.take());
    let serving = Serving(child);
    let (out, notes) = (out.ok_or("it has no output")?, notes.ok_or("it has no notes")?);
    let mut notes = lines(notes);
    let first = notes.next().unwrap_or_default();
    println!("outlast | {first}");
    let address = first.strip_prefix("serving on ").and_then(|rest| rest.split(';').next());
    let port = address.and_then(|address| address.rsplit(':').next()?.parse().ok());
    let port: u16 = port.ok_or_else(|| format!("it names no address: {first}"))?;
    let show = |line: String| println!("outlast | {line}");
    let readers = [
        std::thread::spawn(move || notes.for_each(show)),
        std::thread::spawn(move || lines(out).for_each(show)),
    ];
    let network = ["-netdev", "user,id=n0,ipv6=off"].map(str::to_owned);
    let board = Board::boot(options, &network, port)?;
    let report = board.speak()?;
    drop(serving);
    for reader in readers {
        // They end with the server.
        let _ = reader.join();
    }
    if report.number("came_back") == Some(options.count) {
        Ok(())
    } else {
        Err(format!("not all came back: {report:?}"))
    }
}
