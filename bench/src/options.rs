//! The command line.

use core::time::Duration;
use std::path::PathBuf;

use crate::gate::Level;
use crate::generator::EchoWith;
use crate::groups::Group;
use crate::servers::Kind;

pub(crate) const HELP: &str = "\
bench: outlast against the machine's limit and against its peers, side by side

usage: cargo run --release -p bench -- [OPTIONS]

  --quick              fewer and shorter rounds: all groups in two minutes
  --groups A,B         of: core oneway echo fanout own idle resume tls observe
  --peers A,B          of: tokio-raw tokio-lp tokio-util msgtrans tarpc outlast
                       outlast-routed smol-raw outlast-smol async-std-raw outlast-async-std
                       std-raw outlast-std
                       (the limit, epoll-raw, always runs)
  --sizes A,B          bytes of one-way messages (16,256,65536)
  --rounds N           interleaved rounds (5; quick 3)
  --millis N           length of one run (400; quick 150)
  --connections N      of the idle group (10000)
  --echo request|message
                       what an outlast echo is made of (request)
  --runtime multi|current
                       tokio's default scheduler or the single-threaded one, for all (multi)
  --under 'CMD ARGS'   run the servers under a profiler: perf record -o /tmp/a,
                       valgrind --tool=callgrind; says how many messages each took
  --no-syscalls        do not count system calls
  --instructions       count instructions of the core group under valgrind
  --json FILE          also write everything as JSON
  --gate[=goal]        exit with 1 if a figure misses its floor (its goal)

One core runs the server, the other one the load; ratios come from neighbouring runs.
";

/// What to measure and how long.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) groups: Vec<Group>,
    pub(crate) peers: Vec<Kind>,
    pub(crate) sizes: Vec<usize>,
    pub(crate) rounds: usize,
    pub(crate) run: Duration,
    pub(crate) connections: usize,
    pub(crate) echo: EchoWith,
    /// Value of the variable that tells the children which runtime to take.
    pub(crate) runtime: &'static str,
    /// What the servers are run under.
    pub(crate) under: Option<String>,
    pub(crate) syscalls: bool,
    pub(crate) instructions: bool,
    pub(crate) json: Option<PathBuf>,
    pub(crate) gate: Option<Level>,
}

impl Options {
    /// # Errors
    /// Says which word is wrong.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let quick = args.iter().any(|arg| arg == "--quick");
        let mut options = Self {
            quick,
            groups: Group::ALL.to_vec(),
            peers: Kind::ALL.to_vec(),
            sizes: vec![16, 256, 64 * 1024],
            rounds: if quick { 3 } else { 5 },
            run: Duration::from_millis(if quick { 150 } else { 400 }),
            connections: 10_000,
            echo: EchoWith::Request,
            runtime: "multi",
            under: None,
            syscalls: true,
            instructions: false,
            json: None,
            gate: None,
        };
        let mut args = args.iter().map(String::as_str);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
            match arg {
                "--quick" => {}
                "--groups" => options.groups = list(value()?, Group::from_name)?,
                "--peers" => options.peers = list(value()?, Kind::from_name)?,
                "--sizes" => options.sizes = list(value()?, |text| text.parse().ok())?,
                "--rounds" => options.rounds = number(value()?)?.max(1),
                "--millis" => options.run = Duration::from_millis(number(value()?)? as u64),
                "--connections" => options.connections = number(value()?)?,
                "--echo" => {
                    options.echo = match value()? {
                        "request" => EchoWith::Request,
                        "message" => EchoWith::Message,
                        other => return Err(format!("unknown echo {other}")),
                    }
                }
                "--runtime" => {
                    options.runtime = match value()? {
                        "multi" => "multi",
                        "current" => "current",
                        other => return Err(format!("unknown runtime {other}")),
                    }
                }
                "--under" => options.under = Some(value()?.to_owned()),
                "--no-syscalls" => options.syscalls = false,
                "--instructions" => options.instructions = true,
                "--json" => options.json = Some(PathBuf::from(value()?)),
                "--gate" => options.gate = Some(Level::Floor),
                "--gate=goal" => options.gate = Some(Level::Goal),
                other => return Err(format!("unknown option {other}")),
            }
        }
        Ok(options)
    }

    pub(crate) fn wants(&self, kind: Kind) -> bool {
        self.peers.contains(&kind)
    }
}

fn list<T>(text: &str, one: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    let words = text.split(',').filter(|word| !word.is_empty());
    words.map(|word| one(word).ok_or_else(|| format!("unknown name {word}"))).collect()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options, String> {
        Options::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn words_are_read() {
        let options =
            parse("--quick --groups echo,own --peers tokio-lp --rounds 2 --gate").unwrap();
        assert_eq!(options.groups, [Group::Echo, Group::Own]);
        assert_eq!(options.peers, [Kind::TokioLp]);
        assert_eq!((options.rounds, options.gate), (2, Some(Level::Floor)));
        assert!(parse("--rounds").is_err());
        assert!(parse("--groups nonsense").is_err());
    }
}
