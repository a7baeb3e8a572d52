//! Which runtime passes which case: read from what `cargo test` prints, and shown as one table.
//!
//! Each test target named `suite_…` is a column. Those that there have to be are named here, all of
//! them must have the same cases, and pass every one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::process::Process;
use crate::workspace::Workspace;

/// What the name of a suite's test target begins with.
const PREFIX: &str = "suite_";
/// A test about the suite, not of it.
const ABOUT: &str = "every_case_has_a_test";
/// What looks like a test and sums them up.
const SUMMARY: &str = "result:";

/// The columns of the step `tests`. A target that is configured away prints no cases, and would not
/// be missed by comparing those that do.
pub(crate) const COLUMNS: [&str; 12] = [
    "async_std",
    "core_in_memory",
    "mine",
    "python_both_roles",
    "smol",
    "smoltcp",
    "std",
    "tls_async_std",
    "tls_smol",
    "tls_std",
    "tls_tokio",
    "tokio",
];
/// The column that the step `board` adds.
pub(crate) const BOARD: &str = "firmware";

/// Where what the step `tests` printed is kept for steps that add a column. It begins with the
/// state of the repository that was tested.
const KEPT: &str = "suites.txt";

/// Forgets what was kept: a run that is cut off leaves nothing that looks like its result.
pub(crate) fn forget(workspace: &Workspace) {
    // Most often there is something, and if not, that is what is wanted.
    let _ = fs::remove_file(workspace.target_dir().join(KEPT));
}

/// Keeps what suites printed.
pub(crate) fn keep(workspace: &Workspace, output: &str) -> Result<(), String> {
    let of_suites = |line: &&str| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("Running" | "Doc-tests" | "test")) || not_run(line).is_some()
    };
    let state = state(workspace);
    let lines: Vec<&str> =
        [state.as_str()].into_iter().chain(output.lines().filter(of_suites)).collect();
    let path = workspace.target_dir().join(KEPT);
    fs::write(&path, lines.join("\n") + "\n").map_err(|e| format!("{}: {e}", path.display()))
}

/// What was kept of this very state of the repository, or why nothing is.
pub(crate) fn kept(workspace: &Workspace) -> Result<String, String> {
    let kept = fs::read_to_string(workspace.target_dir().join(KEPT));
    let kept = kept.map_err(|_| "the step `tests` was not run".to_owned())?;
    of_state(&kept, &state(workspace))
}

fn of_state(kept: &str, now: &str) -> Result<String, String> {
    let (of, rest) = kept.split_once('\n').unwrap_or((kept, ""));
    if of == now {
        Ok(rest.to_owned())
    } else {
        Err(format!("the step `tests` was run at {of}, and this is {now}"))
    }
}

/// The commit, and a number for what has been changed since.
fn state(workspace: &Workspace) -> String {
    let git = |line: &str| Process::new("git").words(line).dir(workspace.root()).capture();
    let commit = git("rev-parse HEAD").unwrap_or_else(|_| "no commit".to_owned());
    let commit = commit.trim();
    let others = git("ls-files --others --exclude-standard").unwrap_or_default();
    let changed = git("diff HEAD").unwrap_or_default() + &others;
    if changed.is_empty() {
        return commit.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    changed.hash(&mut hasher);
    for file in others.lines() {
        fs::read(workspace.root().join(file)).unwrap_or_default().hash(&mut hasher);
    }
    format!("{commit} with changes {:016x}", hasher.finish())
}

/// How a case ended. Of two ends of one case the worse counts.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Ended {
    Well,
    /// What would be judged is not on this machine.
    NotRun,
    Badly,
}

/// Cases and how they ended, for each suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Suites(BTreeMap<String, BTreeMap<String, Ended>>);

impl Suites {
    /// Reads what `cargo test` printed.
    pub(crate) fn read(output: &str) -> Self {
        let mut suites = Self::default();
        let mut current: Option<String> = None;
        for line in output.lines() {
            if let (Some(case), Some(suite)) = (not_run(line), &current) {
                suites.add(suite, case, Ended::NotRun);
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["Running", .., binary] => current = suite_of(binary),
                ["Doc-tests", ..] => current = None,
                ["test", name, .., result] if *name != ABOUT && *name != SUMMARY => {
                    let ended = if *result == "ok" { Ended::Well } else { Ended::Badly };
                    if let Some(suite) = &current {
                        suites.add(suite, name, ended);
                    }
                }
                _ => {}
            }
        }
        suites
    }

    fn add(&mut self, suite: &str, case: &str, ended: Ended) {
        let cases = self.0.entry(suite.to_owned()).or_default();
        let before = cases.entry(case.to_owned()).or_insert(ended);
        *before = ended.max(*before);
    }

    /// What there is of these columns, or what is wrong. Where everything can be had, all is run.
    pub(crate) fn judge(&self, columns: &[&str], ci: bool) -> Result<String, String> {
        let cases = self.cases();
        let missing = columns.iter().filter(|column| !self.0.contains_key(**column));
        let mut wrong: Vec<String> = missing.map(|column| format!("{column} is missing")).collect();
        let (mut whole, mut not_run) = (0, Vec::new());
        for (suite, results) in &self.0 {
            if !columns.contains(&suite.as_str()) {
                wrong.push(format!("{suite} is not among the columns that are known"));
            }
            let mut left_out = 0;
            for case in &cases {
                match results.get(*case) {
                    Some(Ended::Well) => {}
                    Some(Ended::NotRun) => left_out += 1,
                    Some(Ended::Badly) => wrong.push(format!("{suite} fails {case}")),
                    None => wrong.push(format!("{suite} does not run {case}")),
                }
            }
            if left_out > 0 {
                not_run.push(format!("{left_out} of {suite} NOT RUN"));
            } else {
                whole += 1;
            }
        }
        if ci {
            wrong.append(&mut not_run);
        }
        if wrong.is_empty() {
            let said = format!("{} cases of the suite over {whole} runtimes", cases.len());
            Ok([vec![said], not_run].concat().join(", "))
        } else {
            Err(wrong.join("; "))
        }
    }

    /// The table, a row for each case.
    pub(crate) fn table(&self) -> String {
        let mut out = format!("{:<40}", "case");
        for suite in self.0.keys() {
            out.push_str(&format!(" {suite:<7}"));
        }
        for case in self.cases() {
            out.push_str(&format!("\n{case:<40}"));
            for (suite, results) in &self.0 {
                let mark = match results.get(case) {
                    Some(Ended::Well) => "ok",
                    Some(Ended::NotRun) => "NOT RUN",
                    Some(Ended::Badly) => "FAILED",
                    None => "-",
                };
                out.push_str(&format!(" {mark:<width$}", width = suite.len().max(7)));
            }
        }
        out
    }

    fn cases(&self) -> BTreeSet<&str> {
        self.0.values().flat_map(|results| results.keys().map(String::as_str)).collect()
    }
}

/// The case that a line such as `a10_noise: NOT RUN, the peer is missing` is about. It may stand
/// behind the beginning of a line that another thread has not ended.
fn not_run(line: &str) -> Option<&str> {
    let (before, _) = line.split_once(": NOT RUN, ")?;
    before.split_whitespace().next_back()
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

    const BOTH: [&str; 2] = ["core_in_memory", "tokio"];

    fn judged(output: &str) -> Result<String, String> {
        Suites::read(output).judge(&BOTH, false)
    }

    #[test]
    fn a_suite_is_a_column_and_a_case_a_row() {
        let suites = Suites::read(OUTPUT);
        assert_eq!(judged(OUTPUT).unwrap(), "2 cases of the suite over 2 runtimes");
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
        assert_eq!(judged(&failed).unwrap_err(), "core_in_memory fails f01_ends");
        let missing = OUTPUT.replacen("test a01_noise ... ok\n", "", 1);
        assert_eq!(judged(&missing).unwrap_err(), "core_in_memory does not run a01_noise");
        let ignored = OUTPUT.replacen("a01_noise ... ok", "a01_noise ... ignored", 1);
        assert!(judged(&ignored).is_err());
        // A run of the same suite that went well does not make up for one that did not.
        assert!(judged(&[failed.as_str(), OUTPUT].concat()).is_err());
    }

    #[test]
    fn a_column_that_is_not_there_is_missed_and_a_new_one_is_noticed() {
        let configured_away = OUTPUT.replace(
            "test a01_noise ... ok\ntest f01_ends ... ok\ntest result: ok. 2",
            "test result: ok. 0",
        );
        assert_eq!(judged(&configured_away).unwrap_err(), "tokio is missing");
        let renamed = OUTPUT.replace("suite_tokio", "suite_tokyo");
        let said = judged(&renamed).unwrap_err();
        assert_eq!(said, "tokio is missing; tokyo is not among the columns that are known");
    }

    #[test]
    fn what_is_not_run_has_a_mark_and_fails_where_all_can_be_had() {
        let absent = "a01_noise: NOT RUN, the peer is missing: no such file\n";
        let last = OUTPUT.rfind("test a01_noise").unwrap();
        // In a line of its own, and, with one thread, behind the name of the test.
        let alone = format!("{}{absent}{}", &OUTPUT[..last], &OUTPUT[last..]);
        let behind = OUTPUT[last..].replacen("ok\n", &format!("{absent}ok\n"), 1);
        for output in [alone, format!("{}{behind}", &OUTPUT[..last])] {
            let suites = Suites::read(&output);
            let table = suites.table();
            let row = table.lines().find(|line| line.starts_with("a01_noise")).unwrap();
            assert!(row.trim_end().ends_with(" ok             NOT RUN"), "{table}");
            let said = "2 cases of the suite over 1 runtimes, 1 of tokio NOT RUN";
            assert_eq!(suites.judge(&BOTH, false).unwrap(), said);
            assert_eq!(suites.judge(&BOTH, true).unwrap_err(), "1 of tokio NOT RUN");
        }
    }

    #[test]
    fn what_was_kept_of_another_state_is_stale() {
        assert_eq!(of_state("abc\ntest a ... ok\n", "abc").unwrap(), "test a ... ok\n");
        let said = of_state("abc\ntest a ... ok\n", "abc with changes 1").unwrap_err();
        assert_eq!(said, "the step `tests` was run at abc, and this is abc with changes 1");
        assert!(of_state("", "abc").is_err());
    }

    #[test]
    fn the_columns_are_the_test_targets_of_the_repository() {
        let output = Process::new("git").words("ls-files *suite_*.rs *suite_*/main.rs");
        let listed = output.dir(Workspace::find().root()).capture().unwrap();
        let of = |path: &str| {
            let name = path.trim_end_matches(".rs").trim_end_matches("/main").rsplit('/').next()?;
            name.strip_prefix(PREFIX).map(str::to_owned)
        };
        let found: BTreeSet<String> =
            listed.lines().filter(|path| path.contains("/tests/")).filter_map(of).collect();
        let known = COLUMNS.into_iter().chain([BOARD]).map(str::to_owned).collect();
        assert_eq!(found, known);
    }
}
