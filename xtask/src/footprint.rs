//! Sizes, stack, memory and instructions of the firmware, as one table in `docs/embedded.md`.
//!
//! The table is its own record: what is measured must be what it says, within a tolerance, and a
//! figure that misses its bar says so there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::firmware::{self, M4};
use crate::process::Process;
use crate::stack;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

const BEGIN: &str = "<!-- figures: written by `cargo xtask footprint --bless` -->";
const END: &str = "<!-- end of figures -->";
const SAME_COMPILER: f64 = 0.02;
const OTHER_COMPILER: f64 = 0.15;

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figure {
    name: String,
    value: u64,
    /// The most it should be.
    bar: u64,
    unit: &'static str,
}

fn figure(name: &str, value: u64, bar: u64, unit: &'static str) -> Figure {
    Figure { name: name.to_owned(), value, bar, unit }
}

/// What `llvm-size` says: code with constants, initialised and other memory.
#[derive(Debug, Copy, Clone, Default)]
struct Size {
    text: u64,
    data: u64,
    bss: u64,
}

impl Size {
    const fn flash(self) -> u64 {
        self.text + self.data
    }
}

fn size(workspace: &Workspace, elf: &Path) -> Result<Size, String> {
    let told = Process::new(tools::llvm(workspace, "llvm-size")?).arg(elf).capture()?;
    let line = told.lines().nth(1).unwrap_or_default();
    let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(text), Some(data), Some(bss)) => Ok(Size { text, data, bss }),
        _ => Err(format!("llvm-size said: {told}")),
    }
}

/// Bytes of flash that a program takes.
pub(crate) fn flash(workspace: &Workspace, elf: &Path) -> Result<u64, String> {
    size(workspace, elf).map(Size::flash)
}

/// The number behind `name=` in what a program said.
fn said(text: &str, name: &str) -> Result<u64, String> {
    let mut pairs = text.split_whitespace().filter_map(|word| word.split_once('='));
    let number = pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok());
    number.ok_or_else(|| format!("no {name} in: {text}"))
}

/// What is larger than `memory.x` allows does not link: a table is planted, and the linker says so.
fn caps(workspace: &Workspace) -> Result<(), String> {
    for line in ["-p m4 --features planted", "-p bare --bin size_base --features planted"] {
        let process = firmware::building(workspace, line, M4);
        println!("$ {} (must fail)", process.shown());
        let output = process.output()?;
        let complaint = String::from_utf8_lossy(&output.stderr);
        if output.status.success() || !complaint.contains("will not fit in region 'FLASH'") {
            return Err(format!("`{line}` is too large and was not refused:\n{complaint}"));
        }
    }
    Ok(())
}

fn measure(workspace: &Workspace) -> Result<Vec<Figure>, String> {
    let dir = firmware::build(workspace, "-p bare", M4)?;
    let of = |name: &str| flash(workspace, &dir.join(name));
    let base = of("size_base")?;
    let framing = of("size_framing")?.saturating_sub(base);
    let client = of("size_client")?.saturating_sub(base);
    let session = firmware::session(workspace)?;
    let counts =
        firmware::alone("mps2-an386", "-icount shift=0", dir.join("count")).map(|text| {
            print!("{text}");
            text
        })?;
    let whole_elf = firmware::build(workspace, "-p m4", M4)?.join("m4");
    let whole = size(workspace, &whole_elf)?;
    let run = Process::new(firmware::host(workspace)?).arg("wire").arg(&whole_elf).capture()?;
    let (_, bound) = stack::measure(workspace)?;
    Ok(vec![
        figure("framing, flash over the bare firmware", framing, 1_024, "B"),
        figure("client core, flash over the bare firmware", client, 10_240, "B"),
        figure("session state without its ring", said(&session, "state")?, 384, "B"),
        figure("stack of any core call, bound", bound.bytes, stack::LIMIT, "B"),
        figure("both ends of a session on Cortex-M0, all RAM", said(&session, "ram")?, 8_192, "B"),
        figure("message of 64 B out", said(&counts, "message_out_64")?, 500, "instructions"),
        figure("message of 64 B in", said(&counts, "message_in_64")?, 500, "instructions"),
        figure("whole firmware with smoltcp IPv4, flash", whole.flash(), 38_912, "B"),
        figure("whole firmware, static RAM", whole.data + whole.bss, 12_288, "B"),
        figure("whole firmware, stack used", said(&run, "stack")?, 2_048, "B"),
    ])
}

pub(crate) fn document(workspace: &Workspace) -> PathBuf {
    workspace.root().join("docs/embedded.md")
}

pub(crate) fn rustc() -> Result<String, String> {
    let version = Process::new("rustc").arg("--version").capture()?;
    Ok(version.trim().to_owned())
}

fn render(figures: &[Figure], rustc: &str) -> String {
    let mut text = format!("{BEGIN}\nMeasured with {rustc}.\n\n");
    text.push_str("| figure | measured | bar | met |\n|---|---:|---:|---|\n");
    for Figure { name, value, bar, unit } in figures {
        let met = if value <= bar { "yes" } else { "**no**" };
        text.push_str(&format!("| {name} | {value} {unit} | {bar} {unit} | {met} |\n"));
    }
    text.push_str(END);
    text
}

/// A row as it is recorded.
#[derive(Debug, PartialEq, Eq)]
struct Recorded {
    name: String,
    value: u64,
    met: bool,
}

/// The recorded values by name, and the compiler that they were measured with.
fn recorded(text: &str) -> Result<(String, Vec<Recorded>), String> {
    let (_, behind) = text.split_once(BEGIN).ok_or("docs/embedded.md has no table")?;
    let (table, _) = behind.split_once(END).ok_or("the table of docs/embedded.md has no end")?;
    let compiler = table.lines().find_map(|line| line.strip_prefix("Measured with "));
    let compiler = compiler.ok_or("the table names no compiler")?.trim_end_matches('.');
    let row = |line: &str| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let name = cells.next()?.to_owned();
        let value = cells.next()?.split(' ').next()?.parse().ok()?;
        let met = cells.nth(1)? == "yes";
        Some(Recorded { name, value, met })
    };
    Ok((compiler.to_owned(), table.lines().filter_map(row).collect()))
}

/// What is not as recorded: a figure that is new or has moved beyond the tolerance, and one that
/// met its bar and misses it now, however little it moved. One recorded as missed may stay so.
fn compare(record: &[Recorded], now: &[Figure], tolerance: f64) -> Vec<String> {
    let mut wrong = Vec::new();
    for Figure { name, value, bar, unit } in now {
        let Some(was) = record.iter().find(|row| row.name == *name) else {
            wrong.push(format!("{name} is not in the table"));
            continue;
        };
        let change = *value as f64 / was.value.max(1) as f64 - 1.0;
        if was.met && value > bar {
            wrong.push(format!("{name}: {value} {unit} miss the bar of {bar}, which was met"));
        } else if change.abs() > tolerance {
            wrong.push(format!("{name}: {} -> {value}", was.value));
        }
    }
    wrong
}

/// Measures, and compares with the table.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    if let Some(why) = firmware::needs(workspace)? {
        return Ok(Outcome::Skipped(why));
    }
    stack::controls(workspace)?;
    caps(workspace)?;
    let figures = measure(workspace)?;
    let path = document(workspace);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (compiler, record) = recorded(&text)?;
    let tolerance = if compiler == rustc()? { SAME_COMPILER } else { OTHER_COMPILER };
    let wrong = compare(&record, &figures, tolerance);
    let missed = figures.iter().filter(|figure| figure.value > figure.bar).count();
    if wrong.is_empty() {
        let all = figures.len();
        Ok(Outcome::Passed(format!("{all} figures as recorded; {missed} of them miss their bar")))
    } else {
        Err(format!("{}; if intended: `cargo xtask footprint --bless`", wrong.join("; ")))
    }
}

/// Rewrites the table.
pub(crate) fn bless(workspace: &Workspace) -> Verdict {
    if let Some(why) = firmware::needs(workspace)? {
        return Err(why);
    }
    let figures = measure(workspace)?;
    let path = document(workspace);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let (before, rest) = text.split_once(BEGIN).ok_or("docs/embedded.md has no table")?;
    let (_, after) = rest.split_once(END).ok_or("the table of docs/embedded.md has no end")?;
    let table = render(&figures, &rustc()?);
    println!("{table}");
    fs::write(&path, format!("{before}{table}{after}")).map_err(|e| e.to_string())?;
    Ok(Outcome::Passed(format!("wrote {} figures", figures.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, value: u64, met: bool) -> Recorded {
        Recorded { name: name.to_owned(), value, met }
    }

    #[test]
    fn a_table_survives_writing_and_reading() {
        let figures = [figure("a b", 7, 5, "B"), figure("c", 3, 3, "instructions")];
        let text = format!("# Title\n{}\nmore", render(&figures, "rustc 1.2.3"));
        let (compiler, record) = recorded(&text).expect("own format");
        assert_eq!(compiler, "rustc 1.2.3");
        assert_eq!(record, [row("a b", 7, false), row("c", 3, true)]);
        assert!(text.contains("| a b | 7 B | 5 B | **no** |"));
    }

    #[test]
    fn changes_beyond_the_tolerance_are_caught_both_ways() {
        let record = [row("a", 1_000, false)];
        let with = |value| compare(&record, &[figure("a", value, 9, "B")], SAME_COMPILER).len();
        assert_eq!((with(1_019), with(1_021), with(981), with(979)), (0, 1, 0, 1));
        assert_eq!(compare(&record, &[figure("b", 1, 9, "B")], SAME_COMPILER).len(), 1);
    }

    #[test]
    fn a_bar_that_was_met_stays_met() {
        let with = |met, value| {
            let record = [row("a", 1_000, met)];
            compare(&record, &[figure("a", value, 1_000, "B")], SAME_COMPILER)
        };
        assert!(with(true, 1_000).is_empty());
        assert_eq!(with(true, 1_001), ["a: 1001 B miss the bar of 1000, which was met"]);
        assert!(with(false, 1_001).is_empty() && with(false, 999).is_empty());
        // With another compiler as well, whose tolerance is wider.
        let record = [row("a", 1_000, true)];
        let now = [figure("a", 1_001, 1_000, "B")];
        assert_eq!(compare(&record, &now, OTHER_COMPILER).len(), 1);
    }
}
