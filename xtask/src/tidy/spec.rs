//! Every numbered sentence of the specification is carried by code and proved by a test.
//!
//! A sentence starts with its bold id, as in `**FRM-3**`. Code that carries it says `//= FRM-3`
//! on a line of its own, a test that proves it `//= test FRM-3`; several ids may share a line. A
//! sentence marked `(text)` behind its id states no behaviour and needs neither.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::{File, Finding, Tree};

/// The rule about sentences that nothing implements or proves yet.
pub(super) const GAP: &str = "gap";

const SPEC: &str = "docs/spec.md";

struct Sentence {
    id: String,
    line: usize,
    text_only: bool,
}

/// A quotation of one sentence in a Rust file.
struct Quote<'t> {
    id: String,
    file: &'t File,
    line: usize,
    proves: bool,
    in_test: bool,
}

/// How much of the specification is covered.
pub(super) struct Counts {
    sentences: usize,
    text_only: usize,
    with_code: usize,
    with_test: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sentences, text_only, with_code, with_test } = self;
        write!(
            f,
            "spec: {sentences} sentences, {text_only} text only, {with_code} with code, \
             {with_test} with a test"
        )
    }
}

/// Counts the sentences and what covers them.
pub(super) fn counts(tree: &Tree) -> Counts {
    let sentences = sentences(tree);
    let quotes = quotes(tree);
    let covered = |proves: bool| {
        let ids: BTreeSet<&str> =
            quotes.iter().filter(|q| q.proves == proves).map(|q| q.id.as_str()).collect();
        sentences.iter().filter(|s| !s.text_only && ids.contains(s.id.as_str())).count()
    };
    Counts {
        sentences: sentences.len(),
        text_only: sentences.iter().filter(|s| s.text_only).count(),
        with_code: covered(false),
        with_test: covered(true),
    }
}

/// Both directions: every sentence is quoted, every quotation names a sentence.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(spec) = tree.file(SPEC) else {
        return vec![missing_spec()];
    };
    let sentences = sentences(tree);
    let quotes = quotes(tree);
    let mut found = Vec::new();
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    for Sentence { id, line, text_only } in &sentences {
        if let Some(other) = first.insert(id, *line) {
            found.push(spec.finding(*line, "spec", format!("{id} stands on line {other} too")));
        }
        let quoted = |proves: bool| quotes.iter().any(|q| q.proves == proves && q.id == *id);
        if !text_only && !quoted(false) {
            found.push(spec.finding(*line, GAP, format!("no code says `//= {id}`")));
        }
        if !text_only && !quoted(true) {
            found.push(spec.finding(*line, GAP, format!("no test says `//= test {id}`")));
        }
    }
    for Quote { id, file, line, proves, in_test } in &quotes {
        if !first.contains_key(id.as_str()) {
            found.push(file.finding(*line, "spec", format!("{SPEC} has no sentence {id}")));
        }
        if *proves && !in_test {
            let message = format!("`//= test {id}` stands outside a test");
            found.push(file.finding(*line, "spec", message));
        }
    }
    found
}

fn missing_spec() -> Finding {
    let message = "the specification is missing".to_owned();
    Finding { path: SPEC.to_owned(), line: 0, rule: "spec", message }
}

fn sentences(tree: &Tree) -> Vec<Sentence> {
    let text = tree.file(SPEC).map_or("", |file| file.text.as_str());
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line;
        while let Some((_, behind)) = rest.split_once("**") {
            let Some((inner, behind)) = behind.split_once("**") else {
                break;
            };
            if is_id(inner) {
                let text_only = behind.trim_start().starts_with("(text)");
                found.push(Sentence { id: inner.to_owned(), line: index + 1, text_only });
            }
            rest = behind;
        }
    }
    found
}

fn quotes(tree: &Tree) -> Vec<Quote<'_>> {
    let mut found = Vec::new();
    for (file, source) in tree.sources() {
        for (line, comment) in source.comments() {
            let Some(quoted) = comment.trim().strip_prefix("//=") else {
                continue;
            };
            let quoted = quoted.trim();
            let (proves, ids) = match quoted.strip_prefix("test ") {
                Some(ids) => (true, ids),
                None => (false, quoted),
            };
            for id in ids.split([' ', ',']).filter(|id| !id.is_empty()) {
                let in_test = source.is_test(line);
                found.push(Quote { id: id.to_owned(), file, line, proves, in_test });
            }
        }
    }
    found
}

/// Three capitals, a hyphen, a number; one letter may follow it.
fn is_id(text: &str) -> bool {
    let Some((area, number)) = text.split_once('-') else {
        return false;
    };
    let digits = number.trim_end_matches(|c: char| c.is_ascii_lowercase());
    area.len() == 3
        && area.bytes().all(|b| b.is_ascii_uppercase())
        && !digits.is_empty()
        && number.len() - digits.len() <= 1
        && digits.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Frames\n**FRM-1** a header. **FRM-2** a body.\n\
        **FRM-3** (text) words are English.\n**not an id** and **FRM-x**\n";
    const CODE: &str = "//= FRM-1, FRM-2\nfn f() {}\n#[cfg(test)]\nmod tests {\n    \
        //= test FRM-1 FRM-2\n    fn t() {}\n}\n";

    fn messages(spec: &str, code: &str) -> Vec<String> {
        let tree = Tree::of(&[(SPEC, spec), ("core/src/a.rs", code)]);
        check(&tree).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn full_coverage_passes_and_is_counted() {
        assert_eq!(messages(TEXT, CODE), [""; 0]);
        let tree = Tree::of(&[(SPEC, TEXT), ("core/src/a.rs", CODE)]);
        let told = "spec: 3 sentences, 1 text only, 2 with code, 2 with a test";
        assert_eq!(counts(&tree).to_string(), told);
    }

    #[test]
    fn sentences_without_code_or_test_are_caught() {
        let found = messages(TEXT, "//= FRM-1\nfn f() {}\n");
        assert_eq!(found.len(), 3);
        assert!(
            found[0].contains("spec.md:2") && found[0].contains("no test says `//= test FRM-1")
        );
        assert!(found[1].contains("no code says `//= FRM-2"));
    }

    #[test]
    fn quotations_of_nothing_are_caught() {
        let code = format!("{CODE}//= FRM-9\n");
        let found = messages(TEXT, &code);
        assert_eq!(found, ["core/src/a.rs:8: [spec] docs/spec.md has no sentence FRM-9"]);
    }

    #[test]
    fn a_proof_outside_tests_is_caught() {
        let found = messages(TEXT, &format!("{CODE}//= test FRM-1\n"));
        assert!(found.len() == 1 && found[0].contains("outside a test"), "{found:?}");
    }

    #[test]
    fn ids_stand_once() {
        let found = messages(&format!("{TEXT}**FRM-1** again\n"), CODE);
        assert!(found.len() == 1 && found[0].contains("stands on line 2 too"), "{found:?}");
    }

    #[test]
    fn a_missing_specification_is_caught() {
        assert_eq!(check(&Tree::of(&[("core/src/a.rs", CODE)])).len(), 1);
    }
}
