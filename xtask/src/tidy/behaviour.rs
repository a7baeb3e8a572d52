//! Calls that do not belong: stubs, naps in tests, queues without a limit, wire types in runtimes.

use super::source::{Source, is_word};
use super::{Finding, Tree};

/// Whether `text` holds `word` with no letter, digit or underscore directly before it.
fn starts_word(text: &str, word: &str) -> bool {
    let clear =
        |at: usize| !text.get(..at).and_then(|head| head.chars().next_back()).is_some_and(is_word);
    text.match_indices(word).any(|(at, _)| clear(at))
}

fn code_lines(
    tree: &Tree,
    rule: &'static str,
    applies: impl Fn(&Source, usize) -> bool,
    judge: impl Fn(&str) -> Option<String>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in tree.sources() {
        for (number, line) in source.code().filter(|(number, _)| applies(source, *number)) {
            found.extend(judge(line).map(|message| file.finding(number, rule, message)));
        }
    }
    found
}

/// No unfinished code, no test that is switched off, no note of work left over.
pub(super) fn stubs(tree: &Tree) -> Vec<Finding> {
    let unfinished = |line: &str| {
        let bad = ["todo!", "unimplemented!", "#[ignore"].into_iter();
        bad.filter(|word| line.contains(word)).map(|word| format!("`{word}` is not allowed")).next()
    };
    let mut found = code_lines(tree, "stub", |_, _| true, unfinished);
    let notes = ["TO\u{44}O", "FIX\u{4d}E", "XX\u{58}", "HAC\u{4b}"];
    for (file, source) in tree.sources() {
        for (number, line) in source.comments() {
            if let Some(word) = notes.iter().find(|word| starts_word(line, word)) {
                let message = format!("`{word}`: do it, or write down why it stays as it is");
                found.push(file.finding(number, "stub", message));
            }
        }
    }
    found
}

/// No test rests on how long something takes.
pub(super) fn sleeps(tree: &Tree) -> Vec<Finding> {
    code_lines(tree, "sleep", Source::is_test, |line| {
        let nap = ["thread::sleep", "time::sleep"].into_iter().find(|nap| line.contains(nap))?;
        Some(format!("`{nap}` in a test: wait for the event, or use virtual time"))
    })
}

/// Every queue has a limit.
pub(super) fn unbounded_channels(tree: &Tree) -> Vec<Finding> {
    let judge = |line: &str| {
        if std_channel(line) {
            return Some("`mpsc::channel()` has no limit: use `sync_channel`".to_owned());
        }
        let calls = ["unbounded_channel(", "unbounded_channel::<", "unbounded(", "unbounded::<"];
        let call = calls.iter().find(|call| starts_word(line, call))?;
        Some(format!("`{call}`: a queue needs a limit"))
    };
    code_lines(tree, "unbounded", |_, _| true, judge)
}

/// The standard library's `channel` takes no limit; everybody else's takes one as its argument.
fn std_channel(line: &str) -> bool {
    line.match_indices("mpsc::channel").any(|(at, name)| {
        let rest = line.get(at + name.len()..).unwrap_or_default();
        let rest = match rest.strip_prefix("::<") {
            Some(generic) => generic.split_once(">(").map_or("", |(_, arguments)| arguments),
            None => rest.strip_prefix('(').unwrap_or_default(),
        };
        rest.starts_with(')')
    })
}

/// What of the wire module an application names, and a runtime may hand on.
const WIRE_VALUES: [&str; 3] = ["RequestId", "Route", "Status"];

/// Runtimes move bytes; what the bytes mean is decided in the core alone.
pub(super) fn wire_in_runtimes(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in tree.sources() {
        if !file.path.starts_with("runtime-") || !file.path.contains("/src/") {
            continue;
        }
        let code = source.whole_code();
        for (at, path) in code.match_indices("outlast_core::") {
            let rest = code.get(at + path.len()..).unwrap_or_default();
            if let Some(name) = wire_name(rest) {
                let line = code.get(..at).unwrap_or_default().matches('\n').count() + 1;
                let message = format!("`{name}` of the wire: the core decides what bytes mean");
                found.push(file.finding(line, "wire", message));
            }
        }
    }
    found
}

/// Whoever says one of these words has a frame in hand, or decides what to do about one, by
/// whatever path or alias it came.
const DECIDERS: [&str; 13] = [
    "Acceptor",
    "Dialer",
    "Frame",
    "Gate",
    "Header",
    "Hello",
    "Registry",
    "Welcome",
    "handle_input",
    "handle_timeout",
    "handle_transmitted",
    "poll_transmit",
    "poll_transmit_parts",
];

/// What runtimes over the service crate have in common is there. The runtime for microcontrollers
/// is on the core alone.
pub(super) fn decisions_in_runtimes(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in tree.sources() {
        let is_runtime = file.path.starts_with("runtime-") && file.path.contains("/src/");
        if !is_runtime || file.path.starts_with("runtime-embedded/") {
            continue;
        }
        for (number, line) in source.code() {
            let mut words = line.split(|c| !is_word(c));
            let closes = line.contains("CloseCode::").then_some("CloseCode::");
            if let Some(word) = words.find(|word| DECIDERS.contains(word)).or(closes) {
                let message = format!("`{word}` in a runtime: decisions are the service's");
                found.push(file.finding(number, "decision", message));
            }
        }
    }
    found
}

/// The first name that a path or a list behind `outlast_core::` takes from the wire module without
/// being one of [`WIRE_VALUES`].
fn wire_name(rest: &str) -> Option<&str> {
    if let Some(list) = rest.strip_prefix('{') {
        let list = list.split(';').next().unwrap_or_default();
        let at = list.match_indices("wire").map(|(at, _)| at).find(|&at| {
            let before = list.get(..at).and_then(|head| head.chars().next_back());
            !before.is_some_and(is_word)
        })?;
        return wire_name(list.get(at..)?);
    }
    let behind = rest.strip_prefix("wire")?;
    if behind.starts_with(is_word) {
        return None;
    }
    let Some(names) = behind.strip_prefix("::") else {
        return Some("wire");
    };
    let end = if names.starts_with('{') { names.find('}') } else { names.find(|c| !is_word(c)) };
    let names = names.get(..end.unwrap_or(names.len()))?.trim_start_matches('{');
    let mut each = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    each.find(|name| !WIRE_VALUES.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn stubs_are_caught_in_code_and_notes_in_comments() {
        let note = ["// TO", "DO: later"].concat();
        let text = format!("fn a() {{ todo!() }}\n#[ignore]\n{note}\nlet s = \"todo!\";\n");
        assert_eq!(lines(stubs, "core/src/a.rs", &text), [1, 2, 3]);
        assert_eq!(lines(stubs, "core/src/a.rs", "fn a() { unimplemented!() }"), [1]);
        assert!(lines(stubs, "core/src/a.rs", "// a todo list has items\n").is_empty());
    }

    #[test]
    fn sleeps_are_caught_in_tests_only() {
        let text = "fn a() { std::thread::sleep(d); }\nfn b() { tokio::time::sleep_until(t); }\n";
        assert_eq!(lines(sleeps, "runtime-tokio/tests/a.rs", text), [1, 2]);
        assert_eq!(lines(sleeps, "conformance/src/a.rs", text), [1, 2]);
        assert!(lines(sleeps, "runtime-tokio/src/a.rs", text).is_empty());
        let inner = format!("#[cfg(test)]\nmod tests {{\n{text}}}\n");
        assert_eq!(lines(sleeps, "runtime-tokio/src/a.rs", &inner), [3, 4]);
    }

    #[test]
    fn queues_without_limit_are_caught() {
        let text = "let a = mpsc::unbounded_channel();\nlet b = flume::unbounded::<u8>();\n\
            let c = mpsc::channel();\nlet d = mpsc::channel::<Vec<u8>>();\n\
            let e = mpsc::channel(8);\nlet f = mpsc::channel::<u8>(8);\nlet g = is_unbounded();\n\
            let h = unbounded_channels();\n";
        assert_eq!(lines(unbounded_channels, "service/src/a.rs", text), [1, 2, 3, 4]);
    }

    #[test]
    fn runtimes_decide_nothing() {
        let text = "use outlast_service::core::wire::Header;\nuse proto::client::Dialer;\n\
            use outlast_core::client::DialerConfig;\nlet e = s.handle_input(now, &mut input)?;\n\
            // A Frame is none of its business.\ns.close(now, CloseCode::BUSY, 0);\n";
        assert_eq!(lines(decisions_in_runtimes, "runtime-std/src/a.rs", text), [1, 2, 4, 6]);
        for elsewhere in ["service/src/a.rs", "runtime-std/tests/a.rs", "runtime-embedded/src/a.rs"]
        {
            assert!(lines(decisions_in_runtimes, elsewhere, text).is_empty());
        }
    }

    #[test]
    fn runtimes_know_no_wire_types() {
        let text = "use outlast_core::wire;\nuse outlast_core::wire::Header;\n\
            use outlast_core::{Instant, wire::Op};\nuse outlast_core::Instant;\n\
            fn f() { outlast_core::wire::encode_ack(0, 0); }\nuse outlast_core::wired;\n\
            pub use outlast_core::wire::{Route, Status};\n\
            use outlast_core::{Instant, wire::{Route, Frame}};\n\
            fn g(r: outlast_core::wire::Route) {}\n";
        assert_eq!(lines(wire_in_runtimes, "runtime-tokio/src/a.rs", text), [1, 2, 3, 5, 8]);
        assert!(lines(wire_in_runtimes, "cli/src/a.rs", text).is_empty());
        assert!(lines(wire_in_runtimes, "runtime-tokio/tests/a.rs", text).is_empty());
    }
}
