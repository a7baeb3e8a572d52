//! The repository speaks of the project alone, and not of any one machine or registry.

use super::source::is_word;
use super::{Finding, Tree};

/// Paths that exist on one machine only, at the beginning of a path.
const PLACES: [[&str; 2]; 3] = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]];

/// Hosts of package registries: which one serves a package is the affair of whoever builds.
const HOSTS: [[&str; 2]; 6] = [
    ["crates", ".io"],
    ["pypi", ".org"],
    ["pythonhosted", ".org"],
    ["npmjs", ".org"],
    ["deb.debian", ".org"],
    ["proxy.golang", ".org"],
];

/// No such word in any text file but lock files, which cargo writes.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| !file.path.ends_with(".lock")) {
        for (index, line) in file.text.lines().enumerate() {
            for word in offending(line) {
                let message = format!("`{word}` does not belong here");
                found.push(file.finding(index + 1, "words", message));
            }
        }
    }
    found
}

fn offending(line: &str) -> Vec<String> {
    let lower = line.to_lowercase();
    let places = PLACES.iter().map(|parts| parts.concat()).filter(|place| {
        let within_path = |c: char| is_word(c) || "./-}~".contains(c);
        let leads_on = |c: char| is_word(c) || c == '.';
        line.match_indices(place).any(|(at, _)| {
            let starts = !previous(line, at).is_some_and(within_path);
            starts && next(line, at + place.len()).is_some_and(leads_on)
        })
    });
    let hosts = HOSTS.iter().map(|parts| parts.concat()).filter(|host| lower.contains(host));
    places.chain(hosts).collect()
}

fn previous(line: &str, at: usize) -> Option<char> {
    line.get(..at)?.chars().next_back()
}

fn next(line: &str, at: usize) -> Option<char> {
    line.get(at..)?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_word_is_caught() {
        for parts in HOSTS {
            let line = format!("as told by the {} yesterday", parts.concat());
            assert_eq!(offending(&line), [parts.concat()]);
        }
        for parts in PLACES {
            let line = format!("see {}main/a.rs", parts.concat());
            assert_eq!(offending(&line), [parts.concat()]);
        }
    }

    #[test]
    fn a_place_inside_a_path_is_none() {
        assert!(offending("framework/main and net/work/er and <p>a/b</p>").is_empty());
    }

    #[test]
    fn case_and_sentence_ends_do_not_hide_a_host() {
        let line = format!("Ask {}.", ["CRATES", ".IO"].concat());
        assert_eq!(offending(&line).len(), 1);
    }

    #[test]
    fn the_tree_is_searched_with_lines_and_lock_files_are_not() {
        let text = format!("fine\nfrom {}\n", ["crates", ".io"].concat());
        let tree = Tree::of(&[("README.md", &text), ("Cargo.lock", &text)]);
        let found = check(&tree);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_str(), found[0].line), ("README.md", 2));
    }
}
