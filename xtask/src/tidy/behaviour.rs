//! Calls that do not belong: stubs, naps in tests, queues without a limit, wire types in runtimes.

use std::collections::BTreeMap;

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

/// What of the wire module is not called like anything else: whoever says one of these words has
/// it, by whatever path or alias it came.
const WIRE_NAMES: [&str; 12] = [
    "AuthData",
    "CloseFlags",
    "HANDSHAKE_MAX",
    "HEADER_LEN",
    "MAX_BODY",
    "Op",
    "Probe",
    "REASON_MAX",
    "Terms",
    "encode_ack",
    "encode_empty",
    "encode_probe",
];

/// Runtimes move bytes; what the bytes mean is decided in the core alone. The runtime for
/// microcontrollers drives the core itself, so it knows how long its handshake may be.
pub(super) fn wire_in_runtimes(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, source) in tree.sources() {
        if !file.path.starts_with("runtime-") || !file.path.contains("/src/") {
            continue;
        }
        let code = source.whole_code();
        let starts = code.match_indices("wire").map(|(at, _)| at);
        let paths = starts.filter_map(|at| Some((at, wire_name(&code, at)?)));
        let is_core = file.path.starts_with("runtime-embedded/");
        let words = words(&code).filter(|(_, word)| !is_core && WIRE_NAMES.contains(word));
        let mut named = BTreeMap::new();
        for (at, name) in paths.chain(words) {
            let line = code.get(..at).unwrap_or_default().matches('\n').count() + 1;
            named.entry(line).or_insert(name);
        }
        let finding = |(line, name)| {
            let message = format!("`{name}` of the wire: the core decides what bytes mean");
            file.finding(line, "wire", message)
        };
        found.extend(named.into_iter().map(finding));
    }
    found
}

/// Each word of a text and where it begins.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    code.split(|c| !is_word(c)).filter_map(move |word| {
        let begins = at;
        // What ends a word in code is one byte long.
        at += word.len() + code.get(at + word.len()..)?.chars().next().map_or(0, char::len_utf8);
        (!word.is_empty()).then_some((begins, word))
    })
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

/// The first name that is taken from the wire module of the core without being one of
/// [`WIRE_VALUES`], by the word `wire` at `at`, if it is a part of a path or of a list of imports.
/// The crate smoltcp has a module of the same name.
fn wire_name(code: &str, at: usize) -> Option<&str> {
    let (before, rest) = (code.get(..at)?, code.get(at..)?);
    let behind = rest.strip_prefix("wire")?;
    if behind.starts_with(is_word) || before.ends_with(is_word) {
        return None;
    }
    let statement = before.rsplit(';').next().unwrap_or_default();
    let import = statement.rfind("use ").and_then(|at| statement.get(at + 4..));
    let imports = |text: &str| text.chars().all(|c| is_word(c) || ":{}, \n".contains(c));
    let import = import.filter(|text| imports(text));
    let is_foreign = |path: &str| path.trim_start().starts_with("smoltcp::");
    if import.is_some_and(is_foreign) || before.ends_with("smoltcp::") {
        return None;
    }
    let Some(names) = behind.strip_prefix("::") else {
        // A variable or a field may be called so.
        return (import.is_some() || before.ends_with("::")).then_some("wire");
    };
    let end = if names.starts_with('{') { names.find('}') } else { names.find(|c| !is_word(c)) };
    let names = names.get(..end.unwrap_or(names.len()))?.trim_start_matches('{');
    let mut each = names.split(',').map(str::trim);
    if names.is_empty() {
        return Some("wire::*");
    }
    each.find(|name| !name.is_empty() && !WIRE_VALUES.contains(name))
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

    #[test]
    fn no_other_path_leads_runtimes_to_the_wire() {
        let text = "use crate::core::wire::{Close, Op};\nuse outlast_service::core::wire::Grant;\n\
            use outlast_service::{Handle, core::{Session, wire}};\nuse super::proto::wire as w;\n\
            fn f(wire: &Wire) { wire.read(self.wire, wire); }\nuse crate::core::wire::*;\n\
            use crate::core::wire::Route;\nfn g(op: c::Op) -> usize { c::HEADER_LEN }\n\
            use super::{core::Session,\n    core::wire::{Status, Drain}};\nlet Opened = On;\n";
        let found = lines(wire_in_runtimes, "runtime-tokio/src/runtime.rs", text);
        assert_eq!(found, [1, 2, 3, 4, 6, 8, 10]);
        let text = "use smoltcp::wire::IpEndpoint;\n\
            use smoltcp::{iface::Interface, wire::IpCidr};\nfn f(at: smoltcp::wire::IpAddress) {}\n\
            use crate::core::wire::Op;\n";
        assert_eq!(lines(wire_in_runtimes, "runtime-embedded/src/a.rs", text), [4]);
    }
}
