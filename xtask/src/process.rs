//! Starting other programs and saying which.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// What `cargo run` leaves in the environment of this tool. A cargo started from here would take
/// it for the caller's wish and rebuild crates, or pick another toolchain.
const INHERITED: [&str; 4] = ["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "RUSTC"];

/// A command line under construction.
pub(crate) struct Process {
    command: Command,
    shown: String,
}

impl Process {
    /// A call of `program`, found on the path, in the current folder and without input.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program.as_ref());
        command.stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || INHERITED.contains(&name.as_ref()) {
                command.env_remove(name.as_ref());
            }
        }
        let shown = program.as_ref().to_string_lossy().into_owned();
        Self { command, shown }
    }

    /// A call of cargo in `dir`; `line` is split at spaces.
    pub(crate) fn cargo(dir: &Path, line: &str) -> Self {
        Self::new("cargo").words(line).dir(dir)
    }

    /// A call of cargo of another toolchain.
    pub(crate) fn cargo_of(toolchain: &str, dir: &Path, line: &str) -> Self {
        let mut process = Self::new("cargo").arg(format!("+{toolchain}"));
        process.command.env_remove("RUSTUP_TOOLCHAIN");
        process.words(line).dir(dir)
    }

    /// Adds one argument.
    pub(crate) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        let argument = argument.into();
        self.shown.push(' ');
        self.shown.push_str(&argument.to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Adds the words of `line`, split at spaces.
    pub(crate) fn words(self, line: &str) -> Self {
        line.split_whitespace().fold(self, Self::arg)
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref();
        self.shown = format!("{name}='{}' {}", value.to_string_lossy(), self.shown);
        self.command.env(name, value);
        self
    }

    /// Sets the folder to run in.
    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// The command line, to show or to repeat by hand.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Runs it with its output on ours. An exit code other than zero is an error.
    pub(crate) fn run(mut self) -> Result<(), String> {
        println!("$ {}", self.shown);
        let status = self.command.status().map_err(|e| format!("{}: {e}", self.shown))?;
        if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", self.shown)) }
    }

    /// Runs it with its output on ours, and returns that too, with whether it succeeded.
    pub(crate) fn run_and_keep(mut self) -> Result<(String, Result<(), String>), String> {
        println!("$ {}", self.shown);
        let failed = |error: std::io::Error| format!("{}: {error}", self.shown);
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let copy = writer.try_clone().map_err(failed)?;
        let mut child = self.command.stdout(writer).stderr(copy).spawn().map_err(failed)?;
        // The pipe ends with the last of those who write to it.
        drop(self.command);
        let mut kept = String::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line.map_err(|error| error.to_string())?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            kept.push_str(&line);
            kept.push('\n');
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        let ended =
            if status.success() { Ok(()) } else { Err(format!("`{}`: {status}", self.shown)) };
        Ok((kept, ended))
    }

    /// Runs it silently and returns what it printed, whatever the exit code.
    pub(crate) fn output(mut self) -> Result<Output, String> {
        self.command.output().map_err(|e| format!("{}: {e}", self.shown))
    }

    /// Runs it silently and returns its standard output; errors carry what it complained of.
    pub(crate) fn capture(self) -> Result<String, String> {
        let shown = self.shown.clone();
        let output = self.output()?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            let complaint = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{shown}`: {}\n{}", output.status, complaint.trim_end()))
        }
    }

    /// Starts it with all output going to `log`.
    pub(crate) fn start(mut self, log: File) -> Result<Child, String> {
        println!("$ {}", self.shown);
        let copy = log.try_clone().map_err(|e| e.to_string())?;
        let started = self.command.stdout(log).stderr(copy).spawn();
        started.map_err(|e| format!("{}: {e}", self.shown))
    }
}

/// Whether a program of that name answers `--version`.
pub(crate) fn exists(program: &str) -> bool {
    Process::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}
