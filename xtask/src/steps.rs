//! The list of steps, and the table at the end.

use std::fmt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::workspace::Workspace;
use crate::{
    builds, dashboard, firmware, footprint, fuzz, instructions, proof, quality, tidy, tools,
    wireshark,
};

/// How a step that did not fail ended, with a word on what it saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed(String),
    /// Something it needs cannot be had here; the text names it and the command to get it.
    Skipped(String),
}

/// The end of a step; an error says what is wrong.
pub(crate) type Verdict = Result<Outcome, String>;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed(note) => write!(f, "passed: {note}"),
            Self::Skipped(why) => write!(f, "SKIPPED: {why}"),
        }
    }
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Verdict,
}

const STEPS: &[Step] = &[
    Step {
        name: "tools",
        about: "targets, components, valgrind and a browser are there",
        run: tools::step,
    },
    Step { name: "fmt", about: "every crate is formatted", run: quality::fmt },
    Step { name: "tidy", about: "house rules, spec and receipt coverage", run: tidy::step },
    Step { name: "clippy", about: "no lint in any crate, test or example", run: quality::clippy },
    Step { name: "doc", about: "rustdoc without a warning", run: quality::doc },
    Step { name: "tests", about: "unit, integration and doc tests", run: quality::tests },
    Step {
        name: "dashboard",
        about: "the page of a server in headless Chromium",
        run: dashboard::step,
    },
    Step { name: "bench", about: "the benches' own tests", run: quality::bench },
    Step {
        name: "mutants",
        about: "a rule taken out of the code is noticed",
        run: quality::mutants,
    },
    Step { name: "demo", about: "the demo loses nothing over a hundred cuts", run: quality::demo },
    Step {
        name: "wireshark",
        about: "the dissector shows what the specification says",
        run: wireshark::step,
    },
    Step { name: "msrv", about: "builds with the oldest Rust promised", run: builds::msrv },
    Step { name: "targets", about: "the core builds for four bare targets", run: builds::targets },
    Step { name: "features", about: "every set of features by itself", run: builds::features },
    Step { name: "proof", about: "no panic and no allocator can be reached", run: proof::step },
    Step { name: "instructions", about: "exact instruction counts", run: instructions::step },
    Step {
        name: "firmware",
        about: "boards under QEMU: vectors, sessions, every link",
        run: firmware::step,
    },
    Step {
        name: "board",
        about: "every case of the suite over firmware on a Cortex-M4 under QEMU",
        run: firmware::board,
    },
    Step {
        name: "footprint",
        about: "flash, RAM, stack and instructions as docs/embedded.md says",
        run: footprint::step,
    },
    Step { name: "fuzz", about: "every fuzz target, a while each", run: fuzz::step },
];

/// Whether a step has this name.
pub(crate) fn exists(name: &str) -> bool {
    STEPS.iter().any(|step| step.name == name)
}

/// Prints the steps.
pub(crate) fn list() {
    for step in STEPS {
        println!("{:<14}{}", step.name, step.about);
    }
}

struct Row {
    name: &'static str,
    verdict: Verdict,
    took: Duration,
}

/// Runs the named steps (all if none is named) in the order of the list. A failure does not keep
/// the later ones from running: one run shows everything that is wrong.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> ExitCode {
    let wanted = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.name);
    let mut rows = Vec::new();
    for step in STEPS.iter().filter(wanted) {
        println!("\n=== {}: {}", step.name, step.about);
        let start = Instant::now();
        let verdict = (step.run)(workspace);
        match &verdict {
            Ok(outcome) => println!("=== {}: {outcome}", step.name),
            Err(why) => println!("=== {}: FAILED: {why}", step.name),
        }
        rows.push(Row { name: step.name, verdict, took: start.elapsed() });
    }
    summarise(&rows)
}

fn summarise(rows: &[Row]) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    println!("\n{:<14}{:<9}{:>9}  detail", "step", "result", "time");
    for row in rows {
        let (result, detail) = match &row.verdict {
            Ok(Outcome::Passed(note)) => (counted(&mut passed, "passed"), note),
            Ok(Outcome::Skipped(why)) => (counted(&mut skipped, "SKIPPED"), why),
            Err(why) => (counted(&mut failed, "FAILED"), why),
        };
        let detail = detail.lines().next().unwrap_or_default();
        let seconds = row.took.as_secs_f64();
        println!("{:<14}{result:<9}{seconds:>7.1} s  {detail}", row.name);
    }
    println!("\n{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn counted(count: &mut u32, word: &'static str) -> &'static str {
    *count += 1;
    word
}
