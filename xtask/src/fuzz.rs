//! Fuzzing: with libFuzzer where a C++ compiler is there, with the random engine everywhere.
//!
//! Both engines run the same functions of `fuzz/src`. libFuzzer is built with the stable compiler:
//! the coverage pass is part of LLVM and wants no nightly flag. The address sanitizer would; the
//! core forbids unsafe code, so what it could find is a bug of somebody else.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
    -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks";
const CI_SECONDS: u64 = 60;
const LOCAL_SECONDS: u64 = 10;
/// How long a run may take beyond what it was asked for before it counts as hanging.
const GRACE: Duration = Duration::from_secs(180);
/// The longest input in bytes; a session needs room for many operations.
const MAX_INPUT: u32 = 2_048;

/// What makes up the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    LibFuzzer,
    /// Seeded generation and mutation without feedback; needs nothing but stable Rust.
    Random,
}

/// How to fuzz.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) seconds: u64,
    /// One target instead of all.
    pub(crate) target: Option<String>,
    /// Where the random engine starts; by default it draws and prints a seed.
    pub(crate) seed: Option<u64>,
    /// Which engine; by default libFuzzer if it can be built.
    pub(crate) engine: Option<Engine>,
}

impl Default for Options {
    fn default() -> Self {
        Self { seconds: LOCAL_SECONDS, target: None, seed: None, engine: None }
    }
}

/// Every target, for a while that fits the occasion.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    let seconds = if workspace.ci() { CI_SECONDS } else { LOCAL_SECONDS };
    run(workspace, &Options { seconds, ..Options::default() })
}

/// Fuzzes as asked.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Verdict {
    let (engine, remark) = choose(options.engine)?;
    let runner = build(workspace, Engine::Random, "")?;
    let listed = Process::new(&runner).arg("--list").capture()?;
    let targets: Vec<&str> = match &options.target {
        Some(name) => listed.lines().filter(|line| line == name).collect(),
        None => listed.lines().collect(),
    };
    if targets.is_empty() {
        return Err(format!("no such target; there are: {}", listed.replace('\n', " ")));
    }
    let mut runs = Vec::new();
    for target in targets {
        let process = match engine {
            Engine::Random => random(workspace, &runner, target, options),
            Engine::LibFuzzer => {
                let binary = build(workspace, Engine::LibFuzzer, target)?;
                let corpus = workspace.target_dir().join("fuzz/corpus").join(target);
                Process::new(&runner).arg(target).arg("--write-seeds").arg(&corpus).capture()?;
                libfuzzer(workspace, &binary, target, options.seconds, &corpus)?
            }
        };
        let log = workspace.target_dir().join(format!("fuzz/{target}.log"));
        runs.push(Run { target: target.to_owned(), process, log });
    }
    let limit = Duration::from_secs(options.seconds) + GRACE;
    let told = together(runs, limit)?;
    Ok(Outcome::Passed(format!("{remark}, {} s each: {}", options.seconds, told.join("; "))))
}

fn choose(wish: Option<Engine>) -> Result<(Engine, String), String> {
    match (wish, tools::cpp()) {
        (Some(Engine::Random), _) => Ok((Engine::Random, "random engine".to_owned())),
        (None | Some(Engine::LibFuzzer), Ok(())) => Ok((Engine::LibFuzzer, "libFuzzer".to_owned())),
        (Some(Engine::LibFuzzer), Err(why)) => Err(why),
        (None, Err(why)) => Ok((Engine::Random, format!("random engine ({why})"))),
    }
}

/// Builds the random runner, or the libFuzzer binary of one target; returns where it lies.
fn build(workspace: &Workspace, engine: Engine, target: &str) -> Result<PathBuf, String> {
    let folder = workspace.root().join("fuzz");
    let place = workspace.target_dir().join("fuzz");
    let host = tools::host()?;
    // With --target, the flags below stay away from build scripts.
    let process = Process::cargo(&folder, "build --release --target").arg(&host);
    let process = process.arg("--target-dir");
    if engine == Engine::Random {
        let process = process.arg(&place).words("--no-default-features --bin replay");
        process.run()?;
        return Ok(place.join(host).join("release/replay"));
    }
    let place = place.join("libfuzzer");
    process.arg(&place).words(&format!("--bin {target}")).env("RUSTFLAGS", COVERAGE).run()?;
    Ok(place.join(host).join("release").join(target))
}

fn random(workspace: &Workspace, runner: &Path, target: &str, options: &Options) -> Process {
    let folder = workspace.root().join("fuzz");
    let line = format!("{target} --seconds {}", options.seconds);
    let process = Process::new(runner).words(&line).dir(&folder);
    match options.seed {
        Some(seed) => process.words(&format!("--seed {seed}")),
        None => process,
    }
}

/// New inputs go to `corpus`, below the target folder; past findings are only read.
fn libfuzzer(
    workspace: &Workspace,
    binary: &Path,
    target: &str,
    seconds: u64,
    corpus: &Path,
) -> Result<Process, String> {
    let folder = workspace.root().join("fuzz");
    let artifacts = folder.join("artifacts").join(target);
    fs::create_dir_all(&artifacts).map_err(|e| format!("{}: {e}", artifacts.display()))?;
    let line = format!(
        "-max_total_time={seconds} -max_len={MAX_INPUT} -len_control=0 -timeout=60 \
         -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=artifacts/{target}/"
    );
    // In CI every run takes the same turns, so that what it finds is the change's doing; new
    // turns are taken wherever else this runs.
    let seed = if std::env::var_os("CI").is_some() { "-seed=7411" } else { "-seed=0" };
    let process = Process::new(binary).words(&line).arg(seed).dir(&folder).arg(corpus);
    let findings = folder.join("regressions").join(target);
    Ok(if findings.exists() { process.arg(findings) } else { process })
}

struct Run {
    target: String,
    process: Process,
    log: PathBuf,
}

/// Runs as many at once as there are processors; every one runs even if another finds something.
fn together(mut runs: Vec<Run>, limit: Duration) -> Result<Vec<String>, String> {
    let width = thread::available_parallelism().map_or(1, usize::from);
    let (mut told, mut wrong) = (Vec::new(), Vec::new());
    while !runs.is_empty() {
        let batch: Vec<Run> = runs.drain(..width.min(runs.len())).collect();
        let started: Vec<_> = batch.into_iter().map(|run| start(run, limit)).collect();
        for (target, log, watcher) in started {
            let ended = watcher.join().unwrap_or_else(|_| Err("the watcher broke".to_owned()));
            let log = fs::read_to_string(&log).unwrap_or_default();
            match ended {
                Ok(()) => told.push(format!("{target} {}", executions(&log))),
                Err(why) => {
                    println!("{}", tail(&log, 60));
                    wrong.push(format!("{target}: {why}"));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(told) } else { Err(wrong.join("; ")) }
}

type Watcher = thread::JoinHandle<Result<(), String>>;

fn start(run: Run, limit: Duration) -> (String, PathBuf, Watcher) {
    let Run { target, process, log } = run;
    let started = File::create(&log).map_err(|e| format!("{}: {e}", log.display()));
    let started = started.and_then(|file| process.start(file));
    let watcher = thread::spawn(move || watch(started?, limit));
    (target, log, watcher)
}

/// Waits for the end, but not for ever.
fn watch(mut child: Child, limit: Duration) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("a finding ({status})")),
            None if start.elapsed() > limit => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("no end after {} s", limit.as_secs()));
            }
            None => thread::sleep(Duration::from_millis(100)),
        }
    }
}

/// The number of executions as either engine reports it.
fn executions(log: &str) -> String {
    let count = log.lines().find_map(|line| {
        let line = line.trim();
        line.strip_prefix("stat::number_of_executed_units:")
            .or_else(|| line.strip_prefix("executions:"))
    });
    count.map_or_else(|| "(no count)".to_owned(), |count| format!("{} runs", count.trim()))
}

fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines);
    all.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_of_both_engines() {
        assert_eq!(executions("x\nstat::number_of_executed_units: 12\n"), "12 runs");
        assert_eq!(executions("seed: 1\nexecutions: 9\n"), "9 runs");
        assert_eq!(executions(""), "(no count)");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_shown() {
        assert_eq!(tail("a\nb\nc", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }
}
