//! QEMU with the firmware in it.

use std::net::Ipv4Addr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::Outcome;
use crate::log::Log;
use crate::options::Options;

/// What 10.0.2.2 is on every link: the host, as the board sees it.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// What the firmware said; the last line is `done` and numbers.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) lines: Vec<String>,
    /// When the board said that it resets itself.
    pub(crate) reset: Option<Instant>,
}

impl Report {
    /// The last number said under this name.
    pub(crate) fn number(&self, name: &str) -> Option<u32> {
        let words = self.lines.iter().rev().flat_map(|line| line.split(' '));
        let mut pairs = words.filter_map(|word| word.split_once('='));
        pairs.find(|(key, _)| *key == name)?.1.parse().ok()
    }
}

/// A board that runs.
pub(crate) struct Board {
    child: Child,
    output: Log<ChildStdout>,
    report: Report,
    start: Instant,
}

impl Board {
    /// Starts the firmware; it dials `port` of the host.
    pub(crate) fn boot(options: &Options, network: &[String], port: u16) -> Outcome<Self> {
        let name = options.elf.file_name().unwrap_or_default();
        let arguments = [
            "firmware".to_owned(),
            u32::from(SERVER).to_string(),
            port.to_string(),
            options.count.to_string(),
            options.seed.to_string(),
            options.reset_at.to_string(),
        ];
        let mut semihosting = "enable=on,target=native".to_owned();
        arguments.iter().for_each(|word| semihosting.push_str(&format!(",arg={word}")));
        let mut command = if name == "rv32" {
            let mut command = Command::new("qemu-system-riscv32");
            command.args(["-M", "virt", "-m", "16M", "-bios", "none"]);
            command.args(["-global", "virtio-mmio.force-legacy=false"]);
            command.args(["-device", "virtio-net-device,netdev=n0"]);
            command
        } else {
            let mut command = Command::new("qemu-system-arm");
            command.args(["-M", "mps2-an386", "-net", "nic,model=lan9118,netdev=n0"]);
            command
        };
        command.args(["-display", "none", "-monitor", "none", "-serial", "none"]);
        command.args(network).arg("-semihosting-config").arg(semihosting);
        command.arg("-kernel").arg(&options.elf);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|e| format!("{command:?}: {e}"))?;
        let output = child.stdout.take().ok_or("QEMU has no output")?;
        let output = Log::new(&options.elf, output)?;
        Ok(Self { child, output, report: Report::default(), start: Instant::now() })
    }

    /// Waits until the firmware says a line that begins so.
    pub(crate) fn wait_for(&mut self, begin: &str) -> Outcome {
        loop {
            let Some(line) = self.output.next()? else {
                return Err(format!("it never said `{begin}`: {:?}", self.report.lines));
            };
            let is_it = line.starts_with(begin);
            self.report.lines.push(line);
            if is_it {
                return Ok(());
            }
        }
    }

    /// Prints what the firmware says as it says it, and wants it to end well.
    pub(crate) fn speak(mut self) -> Outcome<Report> {
        while let Some(line) = self.output.next()? {
            println!("board   | {line}");
            self.report.lines.push(line);
        }
        let status = self.child.wait().map_err(|e| e.to_string())?;
        let report = std::mem::take(&mut self.report);
        if status.success() { Ok(report) } else { Err(format!("{status}: {report:?}")) }
    }

    /// Waits until the firmware ends, and wants it to end well.
    pub(crate) fn finish(&mut self) -> Outcome<Report> {
        let mut report = std::mem::take(&mut self.report);
        while let Some(line) = self.output.next()? {
            if line.starts_with("reset ") {
                report.reset = Some(Instant::now());
            }
            report.lines.push(line);
        }
        let status = self.child.wait().map_err(|e| e.to_string())?;
        for line in &report.lines {
            println!("{:>6} ms  {line}", self.start.elapsed().as_millis());
        }
        if status.success() { Ok(report) } else { Err(format!("{status}: {report:?}")) }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        // It has ended already, or nobody waits for what it has to say.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
