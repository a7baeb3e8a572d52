//! Every key of `docs/configuration.md` has a test that proves its effect.
//!
//! The tables of keys have seven columns and are made of the settings themselves; the one of proofs
//! has two, and what it names has to be there. A key that nobody proves is a dead option.

use std::collections::BTreeSet;

use super::features::{Index, rows, spans};
use super::{Finding, Tree};

const SETTINGS: &str = "docs/configuration.md";
const RULE: &str = "settings";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(SETTINGS) else {
        return Vec::new();
    };
    let index = Index::new(tree);
    let all = rows(&file.text);
    let keys: BTreeSet<&str> = all
        .iter()
        .filter(|(_, cells)| cells.len() == 7)
        .flat_map(|(_, cells)| key(cells))
        .collect();
    let mut proven = BTreeSet::new();
    let mut found = Vec::new();
    for (line, cells) in &all {
        let [named, proof] = cells.as_slice() else {
            continue;
        };
        for key in spans(named) {
            if !keys.contains(key) {
                found.push(file.finding(*line, RULE, format!("{key} is in no table of keys")));
            }
            if !proven.insert(key) {
                found.push(file.finding(*line, RULE, format!("{key} is there twice")));
            }
        }
        let wrong = index.check_proof(proof).into_iter();
        found.extend(wrong.map(|message| file.finding(*line, RULE, message)));
    }
    for key in keys.difference(&proven) {
        found.push(file.finding(0, RULE, format!("no test proves that {key} has an effect")));
    }
    if keys.is_empty() {
        found.push(file.finding(0, RULE, "there is no table of keys"));
    }
    found
}

/// The key of a row of seven cells.
fn key<'a>(cells: &[&'a str]) -> Option<&'a str> {
    spans(cells.first()?).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str = "| key | what | values | default | field | variable | when |\n\
        |---|---|---|---|---|---|---|\n\
        | `a.b` | it | 1 | 1 | `a.b` | `A_B` | restart |\n\
        | `a.c` | it | 1 | 1 | `a.c` | `A_C` | restart |\n\n\
        | key | proof |\n|---|---|\n";

    fn told(proofs: &str) -> Vec<String> {
        let text = format!("{KEYS}{proofs}");
        let test = "#[test]\nfn it_is_so() {}\n";
        let tree = Tree::of(&[(SETTINGS, &text), ("config/tests/a.rs", test)]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn every_key_needs_a_test_that_is_there() {
        let whole = "| `a.b`, `a.c` | `config/tests/a.rs::it_is_so` |\n";
        assert_eq!(told(whole), [""; 0]);
        for (proofs, expected) in [
            (
                "| `a.b` | `config/tests/a.rs::it_is_so` |\n",
                "no test proves that a.c has an effect",
            ),
            ("| `a.b`, `a.c` | `config/tests/a.rs::it_is_not` |\n", "no such test in"),
            ("| `a.b`, `a.c` | believe me |\n", "names no test"),
            ("| `a.b`, `a.c`, `a.d` | `config/tests/a.rs::it_is_so` |\n", "a.d is in no table"),
        ] {
            let told = told(proofs);
            assert!(told.iter().any(|told| told.contains(expected)), "{proofs}: {told:?}");
        }
        assert_eq!(told(&whole.repeat(2)), ["a.b is there twice", "a.c is there twice"]);
        let empty = Tree::of(&[(SETTINGS, "# Configuration\n")]);
        assert_eq!(check(&empty).len(), 1);
    }
}
