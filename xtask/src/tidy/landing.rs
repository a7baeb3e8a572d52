//! Every published crate begins with a page that a newcomer can start from.

use super::{File, Finding, Tree};
use crate::manifest;

/// Lines of the page, examples and empty ones included.
const LINES: usize = 100;

/// The documentation of a published crate's root has so many lines, and an example that is
/// compiled: by `rustdoc`, or, where that compiles none, as a file among the crate's examples.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with("/Cargo.toml")) {
        let of = |key| manifest::value(&file.text, "package", key);
        if of("name").is_none() || of("publish").is_some() {
            continue;
        }
        let folder = file.path.trim_end_matches("Cargo.toml");
        let library = tree.file(&format!("{folder}src/lib.rs"));
        let Some(root) = library.or_else(|| tree.file(&format!("{folder}src/main.rs"))) else {
            found.push(file.finding(0, "landing", "there is no src/lib.rs and no src/main.rs"));
            continue;
        };
        let page = Page::of(&root.text);
        if page.lines < LINES {
            let message = format!("{} lines of documentation, of at least {LINES}", page.lines);
            found.push(root.finding(1, "landing", message));
        }
        let shown = |example: &String| is_example(&tree.files, folder, example);
        if !(if library.is_some() { page.tested } else { page.examples.iter().any(shown) }) {
            let message = if library.is_some() {
                "no example that is compiled"
            } else {
                "no example that is a file of `examples`"
            };
            found.push(root.finding(1, "landing", message));
        }
    }
    found
}

fn is_example(files: &[File], folder: &str, text: &str) -> bool {
    let folder = format!("{folder}examples/");
    files.iter().any(|file| file.path.starts_with(&folder) && file.text.trim() == text.trim())
}

/// The documentation of a crate's root.
#[derive(Default)]
struct Page {
    lines: usize,
    /// `rustdoc` compiles an example.
    tested: bool,
    /// Blocks of Rust, without what marks them as documentation.
    examples: Vec<String>,
}

impl Page {
    fn of(source: &str) -> Self {
        let mut page = Self::default();
        let mut block: Option<(bool, String)> = None;
        for line in source.lines() {
            let text = match line.strip_prefix("//!") {
                Some(text) => {
                    page.lines += 1;
                    text.strip_prefix(' ').unwrap_or(text)
                }
                // The same fence under two conditions: the first one tells.
                None => match line.split_once("doc = \"```") {
                    Some((_, rest)) if block.is_none() => {
                        let info = rest.split('"').next().unwrap_or_default();
                        block = Some((is_rust(info), String::new()));
                        continue;
                    }
                    Some(_) | None => continue,
                },
            };
            match (text.strip_prefix("```"), block.take()) {
                (Some(info), None) => block = Some((is_rust(info), String::new())),
                (Some(_), Some((is_rust, example))) => {
                    page.tested |= is_rust && !example.trim().is_empty();
                    page.examples.extend(is_rust.then_some(example));
                }
                (None, Some((is_rust, example))) => block = Some((is_rust, example + text + "\n")),
                (None, None) => {}
            }
        }
        page
    }
}

/// Whether `rustdoc` compiles a block that begins with "```" and this.
fn is_rust(info: &str) -> bool {
    let compiled = |word: &str| {
        matches!(word, "" | "rust" | "no_run" | "should_panic") || word.starts_with("edition")
    };
    info.split(',').all(|word| compiled(word.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: (&str, &str) = ("a/Cargo.toml", "[package]\nname = \"a\"\n");

    fn said(files: &[(&str, &str)]) -> Vec<String> {
        check(&Tree::of(files)).into_iter().map(|finding| finding.to_string()).collect()
    }

    fn page(fence: &str, lines: usize) -> String {
        let head = format!("//! A crate.\n//!\n//! {fence}\n//! let a = 1;\n//! ```\n");
        head + &"//! More.\n".repeat(lines - 5) + "fn f() {}\n"
    }

    #[test]
    fn a_long_page_with_an_example_is_enough() {
        for fence in ["```", "```rust", "```no_run", "```rust,no_run", "```edition2024"] {
            assert!(said(&[MANIFEST, ("a/src/lib.rs", &page(fence, 100))]).is_empty(), "{fence}");
        }
        // Under a condition, with another fence where it does not hold.
        let either = "#![cfg_attr(feature = \"x\", doc = \"```\")]\n\
            #![cfg_attr(not(feature = \"x\"), doc = \"```text\")]";
        let text = page("```", 102).replace("//! ```\n//! let", &format!("{either}\n//! let"));
        assert!(said(&[MANIFEST, ("a/src/lib.rs", &text)]).is_empty());
    }

    #[test]
    fn a_short_page_is_caught() {
        assert_eq!(
            said(&[MANIFEST, ("a/src/lib.rs", &page("```", 99))]),
            ["a/src/lib.rs:1: [landing] 99 lines of documentation, of at least 100"]
        );
        // Nor does it help that comments follow which are not the page's.
        let text = page("```", 99) + "/// Documents a function.\nfn g() {}\n// A comment.\n";
        assert_eq!(said(&[MANIFEST, ("a/src/lib.rs", &text)]).len(), 1);
    }

    #[test]
    fn an_example_that_nobody_compiles_is_none() {
        for fence in ["```text", "```toml", "```ignore", "```rust,ignore", "```compile_fail"] {
            assert_eq!(
                said(&[MANIFEST, ("a/src/lib.rs", &page(fence, 100))]),
                ["a/src/lib.rs:1: [landing] no example that is compiled"],
                "{fence}"
            );
        }
        // What stands behind a block is no example.
        let text = page("```text", 100).replace("//! ```\n//! More", "//! ```\n//! let a = 1");
        assert_eq!(said(&[MANIFEST, ("a/src/lib.rs", &text)]).len(), 1);
        let empty = page("```", 100).replace("//! let a = 1;\n", "//!\n");
        assert_eq!(said(&[MANIFEST, ("a/src/lib.rs", &empty)]).len(), 1);
    }

    #[test]
    fn a_program_shows_one_of_its_examples() {
        let main = ("a/src/main.rs", page("```", 100));
        let program = (main.0, main.1.as_str());
        let wrong = ["a/src/main.rs:1: [landing] no example that is a file of `examples`"];
        assert_eq!(said(&[MANIFEST, program]), wrong);
        assert_eq!(said(&[MANIFEST, program, ("a/examples/b.rs", "let a = 2;\n")]), wrong);
        assert_eq!(said(&[MANIFEST, program, ("b/examples/b.rs", "let a = 1;\n")]), wrong);
        assert!(said(&[MANIFEST, program, ("a/examples/b.rs", "let a = 1;\n")]).is_empty());
    }

    #[test]
    fn what_is_not_published_needs_no_page() {
        let own = ("a/Cargo.toml", "[package]\nname = \"a\"\npublish = false\n");
        assert!(said(&[own, ("a/src/lib.rs", "//! Short.\n")]).is_empty());
        assert!(said(&[("b/Cargo.toml", "[workspace]\n")]).is_empty());
        assert_eq!(said(&[MANIFEST]).len(), 1);
    }
}
