//! What this process takes of its machine, where the system says it (Linux).

use std::time::Duration;

/// What this process has taken of its machine.
#[derive(Debug, Copy, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Time of processors, of all threads together, in steps of 10 ms.
    pub cpu: Duration,
    /// Bytes of memory that are present.
    pub memory: u64,
    /// The most there ever were.
    pub memory_peak: u64,
    /// Threads.
    pub threads: u64,
}

impl Process {
    /// As the system says it now; `None` where it does not.
    #[must_use]
    pub fn read() -> Option<Self> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        Self::parse(&stat, &status)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The name of the program, in parentheses, may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = |at: usize| fields.split_whitespace().nth(at)?.parse::<u64>().ok();
        // What programs are told is in hundredths of a second, whatever the kernel counts in.
        let cpu = Duration::from_millis((ticks(11)? + ticks(12)?).saturating_mul(10));
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let kib = |name: &str| Some(field(name)?.saturating_mul(1024));
        Some(Self {
            cpu,
            memory: kib("VmRSS:")?,
            memory_peak: kib("VmHWM:")?,
            threads: field("Threads:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 100 1 2";
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n";
        let expected = Process {
            cpu: Duration::from_secs(3),
            memory: 1 << 20,
            memory_peak: 2 << 20,
            threads: 3,
        };
        assert_eq!(Process::parse(stat, status), Some(expected));
        assert_eq!(Process::parse("nonsense", status), None);
        assert_eq!(Process::parse(stat, "VmRSS: many"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_takes_something() {
        let process = Process::read().unwrap();
        assert!(process.memory > 1 << 16 && process.memory_peak >= process.memory);
        assert!(process.threads >= 1);
    }
}
