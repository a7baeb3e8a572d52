//! Exact instruction counts against a committed record.
//!
//! `proof/count` does each piece of work under callgrind for one round and for three; half the
//! difference is what a round costs, start-up excluded. The count depends neither on the load of
//! the machine nor on its processor: the program is linked with musl, whose `memcpy` is always the
//! same (glibc chooses one by processor). So the gate is narrow with the compiler that the record
//! was made with. Another compiler makes other code; then only a large change fails, and the
//! record wants rewriting.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::manifest;
use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

const SAME_COMPILER: f64 = 0.005;
const OTHER_COMPILER: f64 = 0.10;

/// Instructions of a round, by the name of the work.
type Counts = BTreeMap<String, u64>;

struct Record {
    rustc: String,
    counts: Counts,
}

fn record_path(workspace: &Workspace) -> PathBuf {
    workspace.root().join("proof/instructions.toml")
}

fn rustc() -> Result<String, String> {
    let version = Process::new("rustc").arg("--version").capture()?;
    Ok(version.trim().to_owned())
}

/// Compares with the record, and fails on more *and* on fewer instructions: an improvement that is
/// not recorded could be lost again unnoticed.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    let target = target()?;
    let needs = tools::valgrind().and_then(|()| tools::targets(workspace, &[target.as_str()]));
    if let Err(why) = needs {
        return Ok(Outcome::Skipped(why));
    }
    let path = record_path(workspace);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let record = parse(&text)?;
    let same = record.rustc == rustc()?;
    let tolerance = if same { SAME_COMPILER } else { OTHER_COMPILER };
    if !same {
        println!("recorded with {}: allowing {} %", record.rustc, tolerance * 100.0);
    }
    let wrong = compare(&record.counts, &measure(workspace, &target)?, tolerance);
    if wrong.is_empty() {
        let note = format!("{} counts within {} %", record.counts.len(), tolerance * 100.0);
        Ok(Outcome::Passed(note))
    } else {
        let hint = "if intended: `cargo xtask instructions --bless`";
        Err(format!("{}; {hint}", wrong.join("; ")))
    }
}

/// Rewrites the record.
pub(crate) fn bless(workspace: &Workspace) -> Verdict {
    let target = target()?;
    tools::valgrind()?;
    tools::targets(workspace, &[target.as_str()])?;
    let record = Record { rustc: rustc()?, counts: measure(workspace, &target)? };
    let path = record_path(workspace);
    fs::write(&path, render(&record)).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(Outcome::Passed(format!("wrote {} counts", record.counts.len())))
}

/// This machine's target with a C library that is linked into the program.
fn target() -> Result<String, String> {
    let host = tools::host()?;
    let arch = host.split('-').next().unwrap_or_default();
    Ok(format!("{arch}-unknown-linux-musl"))
}

fn measure(workspace: &Workspace, triple: &str) -> Result<Counts, String> {
    let target = workspace.target_dir().join("proof");
    let folder = workspace.root().join("proof");
    Process::cargo(&folder, "build --release --package count --target")
        .arg(triple)
        .arg("--target-dir")
        .arg(&target)
        .run()?;
    let binary = target.join(triple).join("release/count");
    let mut counts = Counts::new();
    for name in Process::new(&binary).capture()?.lines() {
        let total = |rounds: &str| {
            let out = target.join(format!("callgrind.{name}.{rounds}"));
            let mut option = std::ffi::OsString::from("--callgrind-out-file=");
            option.push(&out);
            Process::new("valgrind")
                .arg("--tool=callgrind")
                .arg(option)
                .arg(&binary)
                .arg(name)
                .arg(rounds)
                .capture()?;
            let text = fs::read_to_string(&out).map_err(|e| format!("{}: {e}", out.display()))?;
            totals(&text).ok_or_else(|| format!("{} has no totals", out.display()))
        };
        let (one, three) = (total("1")?, total("3")?);
        let round = three.saturating_sub(one) / 2;
        println!("{name:<24}{:>10.3} thousand instructions per round", round as f64 / 1000.0);
        counts.insert(name.to_owned(), round);
    }
    Ok(counts)
}

/// The `totals:` (or `summary:`) line of callgrind's output.
fn totals(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| {
        line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: "))
    })?;
    line.trim().parse().ok()
}

fn compare(record: &Counts, now: &Counts, tolerance: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, &count) in now {
        let Some(&wanted) = record.get(name) else {
            wrong.push(format!("{name} is not recorded"));
            continue;
        };
        let change = count as f64 / wanted.max(1) as f64 - 1.0;
        if change.abs() > tolerance {
            let (was, is) = (wanted as f64 / 1000.0, count as f64 / 1000.0);
            wrong.push(format!("{name}: {was:.3} -> {is:.3} ({:+.2} %)", change * 100.0));
        }
    }
    let gone = record.keys().filter(|name| !now.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name} is recorded but not measured")));
    wrong
}

fn parse(text: &str) -> Result<Record, String> {
    let rustc = manifest::value(text, "", "rustc").ok_or("instructions.toml names no rustc")?;
    let mut counts = Counts::new();
    for (section, name, value) in manifest::assignments(text) {
        if section == "per-round" {
            let count = value.replace('_', "").parse();
            let count = count.map_err(|_| format!("instructions.toml: `{name} = {value}`"))?;
            counts.insert(name, count);
        }
    }
    Ok(Record { rustc, counts })
}

fn render(record: &Record) -> String {
    let mut text = format!(
        "# Instructions under callgrind of a round: 1000 messages, or one idle hour. Checked by\n\
         # `cargo xtask instructions`, rewritten by `cargo xtask instructions --bless`.\n\
         rustc = \"{}\"\n\n[per-round]\n",
        record.rustc
    );
    for (name, count) in &record.counts {
        text.push_str(&format!("{name} = {count}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, u64)]) -> Counts {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_record_survives_writing_and_reading() {
        let record =
            Record { rustc: "rustc 1.2.3 (x)".to_owned(), counts: counts(&[("a", 7), ("b", 1)]) };
        let read = parse(&render(&record)).expect("own format");
        assert_eq!((read.rustc, read.counts), (record.rustc, record.counts));
    }

    #[test]
    fn changes_beyond_the_tolerance_are_caught_both_ways() {
        let record = counts(&[("a", 10_000)]);
        assert!(compare(&record, &counts(&[("a", 10_050)]), SAME_COMPILER).is_empty());
        assert_eq!(compare(&record, &counts(&[("a", 10_051)]), SAME_COMPILER).len(), 1);
        assert_eq!(compare(&record, &counts(&[("a", 9_900)]), SAME_COMPILER).len(), 1);
        assert!(compare(&record, &counts(&[("a", 9_900)]), OTHER_COMPILER).is_empty());
    }

    #[test]
    fn new_and_missing_work_is_caught() {
        let (record, now) = (counts(&[("a", 1)]), counts(&[("b", 1)]));
        let wrong = compare(&record, &now, SAME_COMPILER);
        assert_eq!(wrong, ["b is not recorded", "a is recorded but not measured"]);
    }

    #[test]
    fn totals_of_callgrind() {
        assert_eq!(totals("events: Ir\nfn=(1)\n1 2\n\ntotals: 123\n"), Some(123));
        assert_eq!(totals("events: Ir\nsummary: 77\n"), Some(77));
        assert_eq!(totals("events: Ir\n"), None);
    }
}
