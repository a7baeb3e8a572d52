//! Child processes, their CPU time and memory, and the arithmetic of samples.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::servers::{self, Kind, Mode};
use crate::sys;

/// A server process; dropping it ends it.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `bench serve KIND MODE` and waits until it listens.
    pub(crate) fn start(kind: Kind, mode: Mode) -> io::Result<Self> {
        Self::start_with(servers::server_child()?, kind, mode)
    }

    /// The same, started by a command that runs this program as the last thing it does.
    pub(crate) fn start_with(mut command: Command, kind: Kind, mode: Mode) -> io::Result<Self> {
        let mut child = command
            .args(["serve", kind.name(), mode.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let port = line.trim().strip_prefix("ready ").and_then(|port| port.parse::<u16>().ok());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_default()));
        let server = Self { child, address };
        if port.is_none() {
            return Err(io::Error::other(format!("server {} did not start", kind.name())));
        }
        Ok(server)
    }

    /// Lets it end by itself; what it complained of, if that was kept.
    pub(crate) fn finish(mut self) -> io::Result<String> {
        drop(self.child.stdin.take());
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said)?;
        }
        self.child.wait()?;
        Ok(said)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// User and system time of all its threads since it began.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        sys::cpu_time(self.pid())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> io::Result<u64> {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid()))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no Rss line"))
    }

    /// Descriptors it has open.
    pub(crate) fn open_files(&self) -> io::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.pid()))?.count())
    }

    /// Waits until the server has at least `files` descriptors open, at most twenty seconds: on a
    /// busy machine a connection is there long before it is accepted.
    pub(crate) fn await_files(&self, files: usize) -> io::Result<()> {
        let begin = Instant::now();
        while self.open_files()? < files && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until the server has used no CPU for `quiet`, at most five seconds, and returns when
    /// it last did.
    pub(crate) fn settle(&self, quiet: Duration) -> io::Result<Instant> {
        let begin = Instant::now();
        let mut last = begin;
        let mut cpu = self.cpu()?;
        while last.elapsed() < quiet && begin.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(1));
            let now = self.cpu()?;
            if now != cpu {
                cpu = now;
                last = Instant::now();
            }
        }
        Ok(last)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if servers::is_profiled() {
            // It ends by itself, so that the profiler writes down what it saw.
            drop(self.child.stdin.take());
        } else {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// Median, least and greatest of a few samples.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` without samples.
    pub(crate) fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut all: Vec<f64> = samples.into_iter().filter(|x| x.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let (min, max) = (*all.first()?, *all.last()?);
        let mid = all.len() / 2;
        let median = if all.len() % 2 == 1 { all[mid] } else { (all[mid - 1] + all[mid]) / 2.0 };
        Some(Self { median, min, max })
    }
}

/// The value below which `share` (0 to 1) of the samples lie; sorts them.
pub(crate) fn percentile(samples: &mut [u32], share: f64) -> Option<f64> {
    samples.sort_unstable();
    let last = samples.len().checked_sub(1)?;
    let at = (share * last as f64).round() as usize;
    samples.get(at.min(last)).map(|x| f64::from(*x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_takes_the_middle() {
        let odd = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max), (2.0, 1.0, 3.0));
        let even = Spread::of([4.0, 1.0, 2.0, 3.0, f64::NAN]).unwrap();
        assert_eq!((even.median, even.min, even.max), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut ramp: Vec<u32> = (0..=1000).rev().collect();
        assert_eq!(percentile(&mut ramp, 0.5), Some(500.0));
        assert_eq!(percentile(&mut ramp, 0.999), Some(999.0));
        assert_eq!(percentile(&mut [], 0.5), None);
    }
}
