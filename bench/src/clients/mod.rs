//! The peers' own clients, each run as a child process: `bench client KIND WORK ADDRESS MILLIS`.

pub(crate) mod msgtrans;
pub(crate) mod outlast;
pub(crate) mod tarpc;
pub(crate) mod thin;

use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::process::Stdio;
use std::time::Instant;

use crate::generator::GENERATOR_CORE;
use crate::servers::{self, Kind, Mode};
use crate::sys;

/// Payload of a request in bytes.
pub(crate) const CALL_SIZE: usize = 64;
/// Payload of a one-way message in bytes.
pub(crate) const SEND_SIZE: usize = 16;
/// One-way messages between two looks at the clock.
pub(crate) const SENDS_PER_LOOK: u64 = 64;

/// What a client does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    /// This many callers share one connection, each with one request open.
    Calls(usize),
    /// One task sends 16-byte messages, one call each.
    Send,
}

impl Work {
    pub(crate) const ALL: [Self; 2] = [Self::Calls(128), Self::Send];

    pub(crate) fn name(self) -> String {
        match self {
            Self::Calls(callers) => format!("calls{callers}"),
            Self::Send => "send16".to_owned(),
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        if name == "send16" {
            return Some(Self::Send);
        }
        name.strip_prefix("calls")?.parse().ok().map(Self::Calls)
    }

    /// What the server must do for it.
    pub(crate) const fn mode(self) -> Mode {
        match self {
            Self::Calls(_) => Mode::Echo,
            Self::Send => Mode::Sink,
        }
    }
}

/// A client with the server it talks to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) server: Kind,
}

/// The first one is what the others are compared with.
pub(crate) const PAIRS: [Pair; 4] = [
    Pair { name: "thin", server: Kind::TokioLp },
    Pair { name: "tarpc", server: Kind::Tarpc },
    Pair { name: "msgtrans", server: Kind::Msgtrans },
    Pair { name: "outlast", server: Kind::Outlast },
];

impl Pair {
    pub(crate) const fn supports(self, work: Work) -> bool {
        self.server.supports(work.mode())
    }
}

/// What a client did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Outcome {
    /// Answered requests, or messages that the server has certainly taken.
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    /// The client's own CPU time in seconds.
    pub(crate) cpu: f64,
}

/// The child's `main`: `args` are the words behind `client`.
pub(crate) fn main(args: &[String]) -> io::Result<()> {
    let usage = || io::Error::other("usage: bench client KIND calls128|send16 ADDRESS MILLIS");
    let [kind, work, address, millis] = args else {
        return Err(usage());
    };
    let kind = kind.clone();
    let work = Work::from_name(work).ok_or_else(usage)?;
    let address: SocketAddr = address.parse().map_err(io::Error::other)?;
    let duration = Duration::from_millis(millis.parse().map_err(io::Error::other)?);
    sys::pin_to_core(GENERATOR_CORE)?;
    servers::run(async move {
        let begin = Instant::now();
        let cpu = sys::cpu_time(std::process::id())?;
        let count = match kind.as_str() {
            "thin" => thin::run(address, work, duration).await?,
            "tarpc" => tarpc::run(address, work, duration).await?,
            "msgtrans" => msgtrans::run(address, work, duration).await?,
            "outlast" => outlast::run(address, work, duration).await?,
            _ => return Err(usage()),
        };
        let cpu = sys::cpu_time(std::process::id())?.saturating_sub(cpu);
        println!("done {count} {} {}", begin.elapsed().as_secs_f64(), cpu.as_secs_f64());
        // Some libraries keep tasks that never end.
        std::process::exit(0);
    })
}

/// Runs a client to its end, or gives it up `patience` after it should have ended.
pub(crate) fn run_child(
    pair: Pair,
    work: Work,
    address: SocketAddr,
    duration: Duration,
    patience: Duration,
) -> io::Result<Outcome> {
    let mut child = servers::child()?
        .args(["client", pair.name, &work.name(), &address.to_string()])
        .arg(duration.as_millis().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let begin = Instant::now();
    while child.try_wait()?.is_none() {
        if begin.elapsed() > duration + patience {
            child.kill()?;
            child.wait()?;
            let what = format!("{} {} hung, gave up", pair.name, work.name());
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output()?;
    parse(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| io::Error::other(format!("client {} failed", pair.name)))
}

fn parse(text: &str) -> Option<Outcome> {
    let mut words = text.lines().last()?.strip_prefix("done ")?.split(' ');
    let mut next = || words.next();
    Some(Outcome {
        count: next()?.parse().ok()?,
        seconds: next()?.parse().ok()?,
        cpu: next()?.parse().ok()?,
    })
}

/// The error of a client that has no such operation.
pub(crate) fn no_such_work() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this client has no one-way message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_has_a_name_and_back() {
        for work in Work::ALL {
            assert_eq!(Work::from_name(&work.name()), Some(work));
        }
    }

    #[test]
    fn outcome_is_the_last_line() {
        let outcome = parse("noise\ndone 10 0.5 0.25\n").unwrap();
        assert_eq!(outcome, Outcome { count: 10, seconds: 0.5, cpu: 0.25 });
        assert_eq!(parse("done 10"), None);
    }
}
