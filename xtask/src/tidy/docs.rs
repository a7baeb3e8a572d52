//! Documents that point somewhere, and examples that compile.

use super::{File, Finding, Tree};

fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.path.ends_with(".md"))
}

/// Links to files of this repository lead to files of this repository.
pub(super) fn links(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in documents(tree) {
        for (line, text) in prose(&file.text) {
            for target in targets(&text) {
                let path = target.split('#').next().unwrap_or_default();
                if is_elsewhere(target) || tree.has_path(&resolve(&file.path, path)) {
                    continue;
                }
                let message = format!("`{target}` leads nowhere");
                found.push(file.finding(line, "links", message));
            }
        }
    }
    found
}

fn is_elsewhere(target: &str) -> bool {
    target.starts_with('#') || target.starts_with("mailto:") || target.contains("://")
}

/// The lines outside of fenced code, numbered, without their code spans.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            let kept: Vec<&str> = line.split('`').step_by(2).collect();
            lines.push((index + 1, kept.join("``")));
        }
    }
    lines
}

/// What stands in the round brackets of `[text](target)`, and behind `[name]: ` at a line's start.
fn targets(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
    inline.chain(reference.map(|(_, target)| target.trim())).collect()
}

/// `target` as seen from the file at `from`, as a path from the top.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

/// A document with Rust examples is included in the documentation of a crate, so that
/// `cargo test` compiles and runs them. None is left out of that.
pub(super) fn examples(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in documents(tree) {
        let ignored = |line: &str| line.starts_with("```rust") && line.contains("ignore");
        for (index, _) in file.text.lines().enumerate().filter(|(_, line)| ignored(line)) {
            let message = "an example that nothing compiles";
            found.push(file.finding(index + 1, "examples", message));
        }
        let opening = |line: &str| line.starts_with("```rust") && !line.contains("ignore");
        let Some(index) = file.text.lines().position(opening) else {
            continue;
        };
        if !is_included(tree, &file.path) {
            let message = "no crate includes this document, so nothing compiles its examples";
            found.push(file.finding(index + 1, "examples", message));
        }
    }
    found
}

fn is_included(tree: &Tree, document: &str) -> bool {
    tree.sources().any(|(file, _)| {
        let mut calls = file.text.split("include_str!(\"").skip(1);
        calls.any(|rest| {
            let target = rest.split('"').next().unwrap_or_default();
            resolve(&file.path, target) == document
        })
    })
}

/// What a document has one run by `cargo run -p PACKAGE` with `--bin` or `--example` is there.
pub(super) fn commands(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in documents(tree) {
        for (index, line) in file.text.lines().enumerate() {
            for command in line.split("cargo run ").skip(1) {
                // What stands behind ` -- ` is the program's own.
                let command = command.split(['`', '#']).next().unwrap_or_default();
                let command = command.split(" -- ").next().unwrap_or_default();
                if let Some(message) = not_there(tree, command) {
                    found.push(file.finding(index + 1, "commands", message));
                }
            }
        }
    }
    found
}

/// What a command names that is not there.
fn not_there(tree: &Tree, command: &str) -> Option<String> {
    let behind = |option: &str| {
        let mut words = command.split_whitespace().skip_while(|word| *word != option);
        words.nth(1)
    };
    let package = behind("-p")?;
    let named = format!("name = \"{package}\"");
    let is = |file: &&File| {
        file.path.ends_with("Cargo.toml") && file.text.lines().any(|line| line == named)
    };
    let Some(manifest) = tree.files.iter().find(is) else {
        return Some(format!("there is no package {package}"));
    };
    let folder = manifest.path.trim_end_matches("Cargo.toml");
    let (kind, name, places) = match (behind("--bin"), behind("--example")) {
        (Some(name), _) => ("program", name, ["src/bin", "src"]),
        (None, Some(name)) => ("example", name, ["examples", "src/examples"]),
        (None, None) => return None,
    };
    let there = places.iter().any(|place| tree.has_path(&format!("{folder}{place}/{name}.rs")))
        || manifest.text.contains(&format!("name = \"{name}\"\n"));
    (!there).then(|| format!("{package} has no {kind} {name}"))
}

const MAP: &str = "ARCHITECTURE.md";
/// The crates whose every source file is on the map.
const MAPPED: [&str; 3] = ["core/src/", "service/src/", "runtime-tokio/src/"];

/// Every source file of the product is on the map, and everything on the map is there.
pub(super) fn map(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(MAP) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut named = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for span in line.split('`').skip(1).step_by(2).filter(|span| span.contains("/src/")) {
            if !tree.has_path(span) {
                let message = format!("`{span}` does not exist");
                found.push(file.finding(index + 1, "map", message));
            }
            named.push(span);
        }
    }
    let is_test = |path: &str| path.contains("/tests/") || path.ends_with("/tests.rs");
    let mapped = |path: &str| MAPPED.iter().any(|folder| path.starts_with(folder));
    for (source, _) in tree.sources().filter(|(source, _)| mapped(&source.path)) {
        if !is_test(&source.path) && !named.contains(&source.path.as_str()) {
            found.push(source.finding(0, "map", format!("{MAP} has no row for this file")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_has_every_file_and_no_other() {
        let text = "| a | `core/src/a.rs`, `core/src/gone.rs` |\n| b | `cli/src/x/` |\n";
        let files = ["core/src/a.rs", "core/src/b.rs", "core/src/b/tests.rs", "cli/src/x/y.rs"];
        let mut all = vec![(MAP, text)];
        all.extend(files.map(|path| (path, "")));
        let found: Vec<_> = map(&Tree::of(&all)).iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].starts_with("ARCHITECTURE.md:1: ") && found[1].starts_with("core/src/b.rs")
        );
    }

    fn lines(rule: fn(&Tree) -> Vec<Finding>, files: &[(&str, &str)]) -> Vec<usize> {
        rule(&Tree::of(files)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn dead_links_are_caught() {
        let text = "[a](guide.md) [b](../core/src/lib.rs#L3) [c](https://x.test/y)\n\
            [d](gone.md) [e](#here)\n`[f](in_code.md)`\n```\n[g](fenced.md)\n```\n\
            [h](../core)\n[i]: ../gone\n";
        let files = [("docs/a.md", text), ("docs/guide.md", ""), ("core/src/lib.rs", "")];
        assert_eq!(lines(links, &files), [2, 8]);
    }

    #[test]
    fn commands_name_what_is_there() {
        let text = "`cargo run -p apps --bin chat -- --bin x`\ncargo run -p apps --bin caht  # x\n\
            cargo run --release -p apps --example one\ncargo run -p other\n\
            cargo run --release -- demo\ncargo run -p apps --example two\n";
        let files = [
            ("README.md", text),
            ("apps/Cargo.toml", "[package]\nname = \"apps\"\n"),
            ("apps/src/bin/chat.rs", ""),
            ("apps/examples/one.rs", ""),
        ];
        assert_eq!(lines(commands, &files), [2, 4, 6]);
    }

    #[test]
    fn examples_must_be_compiled() {
        let text = "Words.\n```rust\nlet a = 1;\n```\n";
        let lone = [("README.md", text), ("core/src/lib.rs", "")];
        assert_eq!(lines(examples, &lone), [2]);
        let include = "#[doc = include_str!(\"../../README.md\")]\nstruct Readme;\n";
        let included = [("README.md", text), ("core/src/lib.rs", include)];
        assert!(lines(examples, &included).is_empty());
        assert!(lines(examples, &[("README.md", "```sh\nls\n```\n")]).is_empty());
        let ignored = [("README.md", "```rust,ignore\nlet a = 1;\n```\n")];
        assert_eq!(lines(examples, &ignored), [1]);
    }
}
