//! Every promise in `docs/receipts.md` names something that exists and checks it.
//!
//! A row of a table is good if at least one of its `code` spans is the name of a function or a
//! file of this repository, and none that looks like a path of names or files leads nowhere.

use std::collections::BTreeSet;

use super::source::is_word;
use super::{Finding, Tree};

const RECEIPTS: &str = "docs/receipts.md";

/// Every row names a test, a bench or a file that is there.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(RECEIPTS) else {
        return Vec::new();
    };
    let names = names(tree);
    let lines: Vec<&str> = file.text.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !is_row(&lines, index) {
            continue;
        }
        let spans: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let known = |span: &str| exists(tree, &names, span);
        for span in spans.iter().filter(|span| is_path(span) && !known(span)) {
            let message = format!("`{span}` does not exist");
            found.push(file.finding(index + 1, "receipts", message));
        }
        if !spans.iter().any(|span| known(span)) {
            let message = "this row names no test, bench or file of the repository";
            found.push(file.finding(index + 1, "receipts", message));
        }
    }
    found
}

/// A row of a table's body: the head and the rule below it do not count.
fn is_row(lines: &[&str], index: usize) -> bool {
    let is_rule = |line: &&str| {
        let line = line.trim();
        line.starts_with('|') && line.chars().all(|c| "|-: ".contains(c)) && line.contains('-')
    };
    let head = lines.get(index + 1).is_some_and(is_rule);
    lines.get(index).is_some_and(|line| line.trim().starts_with('|') && !is_rule(line) && !head)
}

/// The names of all functions, and of cases that macros turn into functions.
fn names(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, source) in tree.sources() {
        for (_, line) in source.code() {
            let words = line.split(|c| !is_word(c)).filter(|word| word.contains('_'));
            names.extend(words.map(str::to_owned));
        }
        names.extend(source.functions().into_iter().map(|function| function.name));
    }
    names
}

fn is_path(span: &str) -> bool {
    let plain = span.chars().all(|c| is_word(c) || ":/.-".contains(c));
    plain && (span.contains("::") || span.ends_with(".rs") || span.ends_with(".py"))
}

fn exists(tree: &Tree, names: &BTreeSet<String>, span: &str) -> bool {
    let (file, name) = match span.split_once(".rs::") {
        Some((file, name)) => (Some(format!("{file}.rs")), name),
        None if tree.has_path(span) => return true,
        None => (None, span),
    };
    let last = name.rsplit("::").next().unwrap_or(name);
    file.is_none_or(|file| tree.has_path(&file)) && names.contains(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rows: &str) -> Vec<usize> {
        let text = format!("# Receipts\n\n| promise | proof |\n|---|---|\n{rows}");
        let test = "#[test]\nfn nothing_is_lost() {}\nsuite! { a17_ack_future }\n";
        let tree = Tree::of(&[(RECEIPTS, &text), ("conformance/tests/faults.rs", test)]);
        check(&tree).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn names_files_and_cases_count() {
        assert!(lines("| a | `nothing_is_lost` |\n| b | `a17_ack_future` |\n").is_empty());
        assert!(lines("| a | `faults::nothing_is_lost` |\n").is_empty());
        assert!(lines("| a | `conformance/tests/faults.rs::nothing_is_lost` |\n").is_empty());
        assert!(lines("| a | `conformance/tests/faults.rs` and `cargo test` |\n").is_empty());
    }

    #[test]
    fn rows_without_a_proof_are_caught() {
        assert_eq!(lines("| a | believe me |\n"), [5]);
        assert_eq!(lines("| a | `nothing_is_lots` |\n"), [5]);
    }

    #[test]
    fn a_dead_name_beside_a_good_one_is_caught() {
        assert_eq!(lines("| a | `nothing_is_lost`, `faults::gone` |\n"), [5]);
        assert_eq!(lines("| a | `nothing_is_lost`, `conformance/tests/gone.rs` |\n"), [5]);
    }
}
