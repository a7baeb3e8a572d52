//! Which runtime passes which case: read from what `cargo test` prints, and shown as one table.
//!
//! Each test target named `suite_…` is a column. All of them must have the same cases, and pass
//! every one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::workspace::Workspace;

/// What the name of a suite's test target begins with.
const PREFIX: &str = "suite_";
/// A test about the suite, not of it.
const ABOUT: &str = "every_case_has_a_test";
/// What looks like a test and sums them up.
const SUMMARY: &str = "result:";

/// Where what the step `tests` printed is kept for steps that add a column.
const KEPT: &str = "suites.txt";

/// Keeps what suites printed.
pub(crate) fn keep(workspace: &Workspace, output: &str) -> Result<(), String> {
    let of_suites = |line: &&str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("Running" | "Doc-tests" | "test"))
    };
    let lines: Vec<&str> = output.lines().filter(of_suites).collect();
    let path = workspace.target_dir().join(KEPT);
    fs::write(&path, lines.join("\n") + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

/// What was kept, if anything was.
pub(crate) fn kept(workspace: &Workspace) -> String {
    fs::read_to_string(workspace.target_dir().join(KEPT)).unwrap_or_default()
}

/// Cases and whether they passed, for each suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Suites(BTreeMap<String, BTreeMap<String, bool>>);

impl Suites {
    /// Reads what `cargo test` printed.
    pub(crate) fn read(output: &str) -> Self {
        let mut suites = Self::default();
        let mut current = None;
        for line in output.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["Running", .., binary] => current = suite_of(binary),
                ["Doc-tests", ..] => current = None,
                ["test", name, .., result]
                    if current.is_some() && *name != ABOUT && *name != SUMMARY =>
                {
                    let suite = current.clone().unwrap_or_default();
                    let passed = *result == "ok";
                    suites.0.entry(suite).or_default().insert((*name).to_owned(), passed);
                }
                _ => {}
            }
        }
        suites
    }

    /// How many suites and cases there are, or what is missing.
    pub(crate) fn judge(&self) -> Result<(usize, usize), String> {
        let cases = self.cases();
        let mut wrong = Vec::new();
        for (suite, results) in &self.0 {
            for case in &cases {
                match results.get(*case) {
                    Some(true) => {}
                    Some(false) => wrong.push(format!("{suite} fails {case}")),
                    None => wrong.push(format!("{suite} does not run {case}")),
                }
            }
        }
        if wrong.is_empty() { Ok((self.0.len(), cases.len())) } else { Err(wrong.join("; ")) }
    }

    /// The table, a row for each case.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("{:<40}", "case");
        for suite in self.0.keys() {
            out.push_str(&format!(" {suite}"));
        }
        for case in self.cases() {
            out.push_str(&format!("\n{case:<40}"));
            for (suite, results) in &self.0 {
                let mark = match results.get(case) {
                    Some(true) => "ok",
                    Some(false) => "FAILED",
                    None => "-",
                };
                out.push_str(&format!(" {mark:<width$}", width = suite.len()));
            }
        }
        out
    }

    fn cases(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|results| results.keys().map(String::as_str)).collect()
    }
}

/// The suite of a binary such as `(target/debug/deps/suite_tokio-0123456789abcdef)`.
fn suite_of(binary: &str) -> Option<String> {
    let name = binary.trim_matches(['(', ')']).rsplit('/').next()?;
    let (name, _hash) = name.rsplit_once('-')?;
    name.strip_prefix(PREFIX).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
     Running tests/suite_core_in_memory.rs (target/debug/deps/suite_core_in_memory-01ab)
test a01_noise ... ok
test f01_ends ... ok
test every_case_has_a_test ... ok
     Running tests/loopback.rs (target/debug/deps/loopback-01ab)
test something_else ... ok
     Running tests/suite_tokio/main.rs (target/debug/deps/suite_tokio-01ab)
test a01_noise ... ok
test f01_ends ... ok
test result: ok. 2 passed; 0 failed
   Doc-tests outlast_core
test src/lib.rs - (line 3) ... ok
";

    #[test]
    fn a_suite_is_a_column_and_a_case_a_row() {
        let suites = Suites::read(OUTPUT);
        assert_eq!(suites.judge(), Ok((2, 2)));
        let table = suites.table();
        let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
        let at = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(at(lines[0]), ["case", "core_in_memory", "tokio"]);
        assert_eq!(at(lines[1]), ["a01_noise", "ok", "ok"]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn what_fails_or_is_left_out_is_named() {
        let failed = OUTPUT.replacen("f01_ends ... ok", "f01_ends ... FAILED", 1);
        let said = Suites::read(&failed).judge().unwrap_err();
        assert_eq!(said, "core_in_memory fails f01_ends");
        let missing = OUTPUT.replacen("test a01_noise ... ok\n", "", 1);
        let said = Suites::read(&missing).judge().unwrap_err();
        assert_eq!(said, "core_in_memory does not run a01_noise");
        let ignored = OUTPUT.replacen("a01_noise ... ok", "a01_noise ... ignored", 1);
        assert!(Suites::read(&ignored).judge().is_err());
    }
}
