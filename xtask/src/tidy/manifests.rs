//! Every crate says under which licence and from which Rust on it may be used.

use super::{Finding, Tree};
use crate::manifest;

/// Each package has `rust-version` and `license`, and what a registry shows if it is published.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| is_manifest(&file.path)) {
        if manifest::value(&file.text, "package", "name").is_none() {
            continue;
        }
        let is_published = manifest::value(&file.text, "package", "publish").is_none();
        let shown = ["description", "repository", "readme", "keywords", "categories"];
        let shown = shown.into_iter().filter(|_| is_published);
        for key in ["rust-version", "license", "edition"].into_iter().chain(shown) {
            if manifest::value(&file.text, "package", key).is_none() {
                found.push(file.finding(0, "manifest", format!("`{key}` is missing")));
            }
        }
    }
    found
}

fn is_manifest(path: &str) -> bool {
    path == "Cargo.toml" || path.ends_with("/Cargo.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_are_caught() {
        let full = "[package]\nname = \"a\"\nedition = \"2024\"\nlicense.workspace = true\n\
            rust-version = \"1.85\"\ndescription = \"a\"\nrepository.workspace = true\n\
            readme = \"r\"\nkeywords = []\n";
        let bare = "[package]\nname = \"b\"\nedition = \"2024\"\npublish = false\n\
            [dependencies]\nlicense = \"1\"\n";
        let top = "[workspace]\nmembers = [\"a\", \"b\"]\n";
        let files = [("a/Cargo.toml", full), ("b/Cargo.toml", bare), ("Cargo.toml", top)];
        let found: Vec<String> =
            check(&Tree::of(&files)).into_iter().map(|finding| finding.to_string()).collect();
        assert_eq!(
            found,
            [
                "a/Cargo.toml:0: [manifest] `categories` is missing",
                "b/Cargo.toml:0: [manifest] `rust-version` is missing",
                "b/Cargo.toml:0: [manifest] `license` is missing"
            ]
        );
    }
}
