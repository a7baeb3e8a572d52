//! System calls per message, counted from outside the server in a run of their own.
//!
//! `perf stat` counts without slowing the server much and is told exactly when to begin; `strace`
//! is the fallback and slows every call. Without either the answer is "not measured".

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::sys;

/// How long a tool may take to attach or to write its result.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is available here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tool {
    Perf,
    Strace,
}

impl Tool {
    /// The best tool that works on this machine, tried on a process that does nothing.
    pub(crate) fn find() -> Option<Self> {
        let works = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        if works(Command::new("perf").args(["stat", "-e", EVENT, "true"])) {
            Some(Self::Perf)
        } else if works(Command::new("strace").args(["-c", "-f", "true"])) {
            Some(Self::Strace)
        } else {
            None
        }
    }
}

const EVENT: &str = "raw_syscalls:sys_enter";

/// A tool attached to a server.
pub(crate) struct Counter {
    tool: Tool,
    child: Child,
    folder: Folder,
}

impl Counter {
    /// Attaches to a process and returns once it counts.
    pub(crate) fn attach(tool: Tool, pid: u32) -> io::Result<Self> {
        let folder = Folder::new(pid)?;
        let pid = pid.to_string();
        let report = folder.file("report");
        let child = match tool {
            Tool::Perf => {
                let (control, ack) = (folder.file("control"), folder.file("ack"));
                sys::make_fifo(&control)?;
                sys::make_fifo(&ack)?;
                let fifo = format!("fifo:{},{}", control.display(), ack.display());
                let child = Command::new("perf")
                    .args(["stat", "-x,", "-D", "-1", "-e", EVENT, "-p", &pid])
                    .arg("--control")
                    .arg(fifo)
                    .arg("-o")
                    .arg(&report)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                enable(&control, &ack)?;
                child
            }
            Tool::Strace => {
                let child = Command::new("strace")
                    .args(["-c", "-f", "-p", &pid, "-o"])
                    .arg(&report)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()?;
                wait_traced(&pid)?;
                child
            }
        };
        Ok(Self { tool, child, folder })
    }

    /// Detaches and returns how many system calls there were.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        sys::interrupt(&self.child)?;
        let begin = Instant::now();
        while self.child.try_wait()?.is_none() {
            if begin.elapsed() > PATIENCE {
                return Err(io::Error::other("the counting tool did not end"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let text = std::fs::read_to_string(self.folder.file("report"))?;
        let count = match self.tool {
            Tool::Perf => parse_perf(&text),
            Tool::Strace => parse_strace(&text),
        };
        count.ok_or_else(|| io::Error::other(format!("cannot read the count in {text:?}")))
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// `1234,,raw_syscalls:sys_enter,...`
fn parse_perf(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.contains(EVENT))?;
    line.split(',').next()?.trim().parse().ok()
}

/// `100.00    0.000123    1    1234    5 total` (errors may be left out)
fn parse_strace(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| line.trim_end().ends_with("total"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Tells perf to begin and waits for its word that it has.
fn enable(control: &Path, ack: &Path) -> io::Result<()> {
    // Opened for both directions so that neither end waits for the other to appear.
    let open = |path: &Path| -> io::Result<File> {
        let mut how = OpenOptions::new();
        how.read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
    };
    let (mut control, mut ack) = (open(control)?, open(ack)?);
    control.write_all(b"enable\n")?;
    let begin = Instant::now();
    let mut answer = [0; 16];
    loop {
        match ack.read(&mut answer) {
            Ok(n) if n > 0 => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) => return Err(e),
        }
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other("perf did not begin to count"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_traced(pid: &str) -> io::Result<()> {
    let begin = Instant::now();
    loop {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
        if tracer.is_some_and(|pid| pid.trim() != "0") {
            return Ok(());
        }
        if begin.elapsed() > PATIENCE {
            return Err(io::Error::other("strace did not attach"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A folder of our own for pipes and reports, removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(pid: u32) -> io::Result<Self> {
        let name = format!("outlast-bench-{}-{pid}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_tools_write() {
        let perf = "# started\n\n1234,,raw_syscalls:sys_enter,99,100.00,,\n";
        assert_eq!(parse_perf(perf), Some(1234));
        assert_eq!(parse_perf("<not counted>,,raw_syscalls:sys_enter,0\n"), None);
        let strace =
            "% time calls\n------\n100.00    0.000000           0        29         1 total\n";
        assert_eq!(parse_strace(strace), Some(29));
    }
}
