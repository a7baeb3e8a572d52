//! House rules as a test: each rule looks at the tree of files and reports file and line.

mod behaviour;
mod docs;
mod entries;
mod errors;
mod features;
mod landing;
mod manifests;
mod receipts;
mod settings;
mod shape;
mod source;
mod spec;
mod words;

use std::collections::HashMap;
use std::fmt;
use std::fs;

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::workspace::Workspace;
use source::Source;

/// One offence against one rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: String,
    /// Counted from one; zero is the file as a whole.
    line: usize,
    rule: &'static str,
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path, self.line, self.rule, self.message)
    }
}

/// One file of the repository.
struct File {
    path: String,
    /// Empty if the file is not text.
    text: String,
    /// Code and comments told apart, for Rust files.
    source: Option<Source>,
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::new(path, &text));
        Self { path: path.to_owned(), text, source }
    }

    fn finding(&self, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule, message: message.into() }
    }
}

/// The files that a commit of the present state would hold.
struct Tree {
    files: Vec<File>,
}

impl Tree {
    fn of_repository(workspace: &Workspace) -> Result<Self, String> {
        let list = Process::new("git")
            .words("ls-files --cached --others --exclude-standard")
            .dir(workspace.root())
            .capture()?;
        let read = |path: &str| {
            let bytes = fs::read(workspace.root().join(path)).ok()?;
            Some(File::new(path, String::from_utf8(bytes).unwrap_or_default()))
        };
        Ok(Self::new(list.lines().filter_map(read).collect()))
    }

    /// Files that a parent declares for tests only are tests as a whole.
    fn new(mut files: Vec<File>) -> Self {
        let mut tests = Vec::new();
        for file in &files {
            let stem = file.path.trim_end_matches(".rs");
            let root = ["/mod", "/lib", "/main"].iter().find_map(|root| stem.strip_suffix(root));
            let folder = root.unwrap_or(stem);
            let modules = file.source.iter().flat_map(Source::test_modules);
            tests.extend(modules.map(|name| format!("{folder}/{name}.rs")));
        }
        for file in files.iter_mut().filter(|file| tests.contains(&file.path)) {
            file.source.iter_mut().for_each(Source::mark_test);
        }
        Self { files }
    }

    #[cfg(test)]
    fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File::new(path, text.to_owned());
        Self::new(files.iter().map(file).collect())
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    fn has_path(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        path.is_empty() || self.files.iter().any(|f| f.path == path || f.path.starts_with(&folder))
    }

    fn sources(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| file.source.as_ref().map(|source| (file, source)))
    }
}

const RULES: &[fn(&Tree) -> Vec<Finding>] = &[
    shape::check,
    behaviour::stubs,
    behaviour::sleeps,
    behaviour::unbounded_channels,
    behaviour::wire_in_runtimes,
    behaviour::decisions_in_runtimes,
    words::check,
    spec::check,
    receipts::check,
    features::check,
    settings::check,
    errors::check,
    docs::links,
    docs::examples,
    docs::commands,
    docs::map,
    landing::check,
    manifests::check,
    entries::check,
];

/// Runs every rule and removes what a marker with a reason permits.
fn findings(tree: &Tree) -> Vec<Finding> {
    let raw = RULES.iter().flat_map(|rule| rule(tree)).collect();
    let mut left = permitted(tree, raw);
    left.sort();
    left
}

/// `// tidy: allow(RULE): reason` on the line above permits one finding. A marker that permits
/// nothing is itself a finding, so that none outlives its cause.
fn permitted(tree: &Tree, raw: Vec<Finding>) -> Vec<Finding> {
    let mut left = raw;
    let sources: HashMap<&str, &Source> =
        tree.sources().map(|(file, source)| (file.path.as_str(), source)).collect();
    let mut used = Vec::new();
    left.retain(|finding| {
        let source = sources.get(finding.path.as_str());
        let marker = source.is_some_and(|s| s.permits(finding.line, finding.rule));
        if marker {
            used.push((finding.path.clone(), finding.line - 1));
        }
        !marker
    });
    for (file, source) in tree.sources() {
        for line in source.markers() {
            if !used.contains(&(file.path.clone(), line)) {
                let message = "this marker permits nothing, or gives no reason: remove it";
                left.push(file.finding(line, "marker", message));
            }
        }
    }
    left
}

/// Checks the repository.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    let tree = Tree::of_repository(workspace)?;
    // A sentence without code or test is reported, not refused: the text may lead the code.
    let (gaps, found): (Vec<_>, Vec<_>) =
        findings(&tree).into_iter().partition(|finding| finding.rule == spec::GAP);
    for finding in gaps.iter().chain(&found) {
        println!("{finding}");
    }
    let counts = spec::counts(&tree);
    println!("{counts}");
    if found.is_empty() {
        Ok(Outcome::Passed(format!("{} files; {counts}", tree.files.len())))
    } else {
        Err(format!("{} findings", found.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAP: &str = "// tidy: allow(sleep): the kernel offers no event for it\n\
        fn f() { std::thread::sleep(d); }\n";

    fn all(path: &str, text: &str) -> Vec<&'static str> {
        let tree = Tree::of(&[(path, text)]);
        let raw = behaviour::sleeps(&tree);
        permitted(&tree, raw).into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_marker_with_a_reason_permits_one_line() {
        assert!(all("core/tests/a.rs", NAP).is_empty());
        let twice = format!("{NAP}fn g() {{ std::thread::sleep(d); }}\n");
        assert_eq!(all("core/tests/a.rs", &twice), ["sleep"]);
    }

    #[test]
    fn a_marker_needs_a_reason_and_a_use() {
        let bare = NAP.replace(": the kernel offers no event for it", ":");
        assert_eq!(all("core/tests/a.rs", &bare), ["sleep", "marker"]);
        assert_eq!(all("core/src/a.rs", NAP), ["marker"]);
    }

    #[test]
    fn modules_declared_for_tests_are_tests() {
        let parent = ("core/src/registry.rs", "#[cfg(test)]\nmod room;\n");
        let child = ("core/src/registry/room.rs", "fn f() { std::thread::sleep(d); }\n");
        assert_eq!(behaviour::sleeps(&Tree::of(&[parent, child])).len(), 1);
        assert!(behaviour::sleeps(&Tree::of(&[child])).is_empty());
    }

    #[test]
    fn findings_name_file_and_line() {
        let tree = Tree::of(&[("core/tests/a.rs", "\nfn f() { std::thread::sleep(d); }\n")]);
        let shown = behaviour::sleeps(&tree)[0].to_string();
        assert!(shown.starts_with("core/tests/a.rs:2: [sleep] "), "{shown}");
    }
}
