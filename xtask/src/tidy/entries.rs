//! Every public call of the core is one of those that are proved to be free of panics and bounded
//! in stack: `proof/entries` has a function for it, which the link proof and the program `stack`
//! both take from there.

use std::collections::BTreeSet;

use super::source::{Source, is_word};
use super::{Finding, Tree};

const CORE: &str = "core/src/";
const ENTRIES: &str = "proof/entries/src/";

/// Traits whose methods are calls of the core, where the core implements them. The others are
/// memory that somebody brings along, or a text for somebody to read.
const TRAITS: [&str; 2] = ["Prover", "Verifier"];

/// Calls that nothing is proved of, each with why.
const LEFT_OUT: [(&str, &str); 4] = [
    ("write_link_table", "draws a diagram for the documentation, through a pointer to a writer"),
    ("write_link_dot", "as write_link_table"),
    ("write_session_table", "as write_link_table"),
    ("write_session_dot", "as write_link_table"),
];

/// Every public function of the core is called by an entry, as `Type::name(` or `name(`.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut called = BTreeSet::new();
    for (_, source) in tree.sources().filter(|(file, _)| file.path.starts_with(ENTRIES)) {
        source.code().for_each(|(_, line)| calls(line, &mut called));
    }
    let mut found = Vec::new();
    let mut unused: BTreeSet<&str> = LEFT_OUT.map(|(name, _)| name).into();
    for (file, source) in tree.sources().filter(|(file, _)| file.path.starts_with(CORE)) {
        for (line, name) in public(source) {
            if unused.remove(name.as_str()) || called.contains(&name) {
                continue;
            }
            let message = format!("`{name}` is no entry of `{ENTRIES}`: nothing is proved of it");
            found.push(file.finding(line, "entries", message));
        }
    }
    if let Some(file) = tree.file("core/src/lib.rs") {
        let gone = |name| file.finding(0, "entries", format!("`{name}` is left out and not there"));
        found.extend(unused.into_iter().map(gone));
    }
    found
}

/// The names in front of brackets, each with the type in front of it if there is one.
fn calls(line: &str, called: &mut BTreeSet<String>) {
    for (at, _) in line.match_indices('(') {
        let before = line.get(..at).unwrap_or_default();
        let start = before.rfind(|c| !is_word(c) && c != ':').map_or(0, |at| at + 1);
        called.insert(before.get(start..).unwrap_or_default().to_owned());
    }
}

/// The public functions of a file, with the type they belong to and their lines.
fn public(source: &Source) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut block = Block::default();
    let mut head = None;
    for (number, line) in source.code() {
        // What an `impl` is of may take several lines.
        if line.trim_start().starts_with("impl") && head.is_none() {
            head = Some(String::new());
        }
        if let Some(mut text) = head.take() {
            text.push_str(line);
            if text.contains('{') {
                block = Block::of(&text);
            } else {
                head = Some(text);
            }
        }
        if line == "}" {
            block = Block::default();
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(at) = words.iter().position(|word| *word == "fn") else { continue };
        let is_public = words.first() == Some(&"pub") || at == 0 && block.is_of_calls;
        if let (true, false, Some(name)) = (is_public, source.is_test(number), words.get(at + 1)) {
            let name: String = name.chars().take_while(|c| is_word(*c)).collect();
            let of = block.name.as_ref().map_or(String::new(), |of| format!("{of}::"));
            found.push((number, of + &name));
        }
    }
    found
}

/// What an `impl` is of.
#[derive(Default)]
struct Block {
    name: Option<String>,
    /// Its methods are public without saying so.
    is_of_calls: bool,
}

impl Block {
    fn of(head: &str) -> Self {
        let text = head.trim_start().trim_start_matches("impl");
        let text = text.get(generics(text)..).unwrap_or_default().trim_start();
        let (of, name) = match text.split_once(" for ") {
            Some((of, name)) => (Some(of), name),
            None => (None, text),
        };
        if head.trim_end().ends_with("{}") {
            return Self::default();
        }
        let name: String = name.chars().take_while(|c| is_word(*c)).collect();
        let is_of_calls = of.is_some_and(|of| TRAITS.contains(&of.trim()));
        Self { name: (!name.is_empty()).then_some(name), is_of_calls }
    }
}

/// How long the list of generics is that `text` begins with.
fn generics(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if c == '>' { at + 1 } else { 0 };
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: &str = "impl Error for Known<u8> {}\npub fn free() {}\n\
        impl<S: Storage + ?Sized> Session<S> {\n    pub const fn send(&self) {}\n\
        \x20   pub(crate) fn inner(&self) {}\n    fn own(&self) {}\n}\n\
        impl<K: AsRef<[u8]>> Verifier\n    for Known<K>\n{\n    fn handle_step(&self) {}\n}\n\
        impl fmt::Display for Known<u8> {\n    fn fmt(&self) {}\n}\n\
        #[cfg(test)]\nmod tests {\n    pub fn of() {}\n}\n";

    fn missing(entries: &str) -> Vec<String> {
        let tree = Tree::of(&[("core/src/a.rs", CALLS), ("proof/entries/src/a.rs", entries)]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_call_that_is_no_entry_is_found() {
        let all = "fn core_a() { free(); Session::send(s); Known::handle_step(k) }\n";
        assert!(missing(all).is_empty(), "{:?}", missing(all));
        for name in ["free", "Session::send", "Known::handle_step"] {
            let [found] = missing(&all.replace(name, "other")).try_into().expect("one is found");
            assert!(found.starts_with(&format!("`{name}` is no entry")), "{found}");
        }
    }

    #[test]
    fn a_call_of_the_same_name_of_another_type_is_another() {
        let other = "fn core_a() { free(); Acceptor::send(s); Known::handle_step(k) }\n";
        assert_eq!(missing(other).len(), 1);
    }

    #[test]
    fn what_is_left_out_is_there() {
        let text = "pub fn write_link_table() {}\n";
        let tree = Tree::of(&[("core/src/lib.rs", text)]);
        assert_eq!(check(&tree).len(), LEFT_OUT.len() - 1);
    }
}
