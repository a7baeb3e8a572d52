//! A board under QEMU, and its control line.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use outlast_conformance::net::foreign::Control;

/// How long a board may take from its start to its control line.
const PATIENCE: Duration = Duration::from_secs(30);
/// The port that a board's server is to have may be taken by somebody else meanwhile.
const TRIES: u32 = 10;

/// A board that runs, until this is dropped.
struct Board(Child);

impl Drop for Board {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
        let mut said = String::new();
        if let Some(error) = &mut self.0.stderr {
            let _ = error.read_to_string(&mut said);
        }
        if said.contains("panicked") {
            eprintln!("the board: {said}");
        }
    }
}

/// What a board is told; the board ends with it.
struct Line {
    stream: TcpStream,
    _board: Board,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Starts a board, and waits for its control line.
pub(crate) fn boot() -> io::Result<Control> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..TRIES {
        match try_boot() {
            Ok(control) => return Ok(control),
            Err(why) if why.kind() == io::ErrorKind::AddrInUse => last = why,
            Err(why) => return Err(why),
        }
    }
    Err(last)
}

fn try_boot() -> io::Result<Control> {
    let control = TcpListener::bind("127.0.0.1:0")?;
    // A port that nobody has; QEMU says so if somebody has it by then.
    let server = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut board = start(control.local_addr()?.port(), server)?;
    let start = Instant::now();
    control.set_nonblocking(true)?;
    loop {
        match control.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                let read = Box::new(stream.try_clone()?);
                return Ok(Control { read, write: Box::new(Line { stream, _board: board }) });
            }
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Err(why) => return Err(why),
        }
        if board.0.try_wait()?.is_some() {
            return Err(why_not(&mut board));
        }
        if start.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // tidy: allow(sleep): a process tells nobody that it ended; truth is in the looks above
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Why a board that has ended already did not start.
fn why_not(board: &mut Board) -> io::Error {
    let mut said = String::new();
    if let Some(error) = &mut board.0.stderr {
        let _ = error.read_to_string(&mut said);
    }
    if said.contains("forwarding") {
        io::Error::new(io::ErrorKind::AddrInUse, said)
    } else {
        io::Error::other(said)
    }
}

fn start(control: u16, server: u16) -> io::Result<Board> {
    static SEED: AtomicU32 = AtomicU32::new(1);
    let elf = std::env::var_os("OUTLAST_SUITE_ELF");
    let elf = elf.expect("OUTLAST_SUITE_ELF names the program: `cargo xtask board` sets it");
    // Boots differ, and so do runs of the suite.
    let seed = SEED.fetch_add(1, Ordering::Relaxed) + (std::process::id() << 10);
    let network = format!("user,id=n0,ipv6=off,hostfwd=tcp:127.0.0.1:{server}-10.0.2.15:7000");
    let semihosting = format!(
        "enable=on,target=native,arg=suite,arg={control},arg={server},arg={}",
        seed & 0x7FFF_FFFF
    );
    let mut command = Command::new("qemu-system-arm");
    command.args(["-M", "mps2-an386", "-net", "nic,model=lan9118,netdev=n0"]);
    command.args(["-display", "none", "-monitor", "none", "-serial", "none"]);
    command.arg("-netdev").arg(network);
    command.arg("-semihosting-config").arg(semihosting);
    command.arg("-kernel").arg(elf);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().map(Board)
}
