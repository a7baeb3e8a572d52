//! Every row of `docs/features.md` names an interface and a test that are there.
//!
//! A table has five columns: row, what it is, interface, default, proof. The interface names at
//! least one path of names that stand together in one file of the sources. Every code span of the
//! proof is a test, as `file.rs::name`, and one of them has to be; beside it may stand figures that
//! are held: a threshold of the bench, as `bench/src/gate.rs::fanout.1000x1.outlast.cap`, or a
//! count of instructions, as `proof/instructions.toml::one_way_16`.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, is_word};
use super::{Finding, Tree};

const FEATURES: &str = "docs/features.md";
const SETTINGS_PAGE: &str = "docs/configuration.md";

/// Rows that have to be there, from 1 to a number, by letter.
const ROWS: &[(char, u32)] = &[
    ('A', 18),
    ('B', 13),
    ('C', 10),
    ('D', 11),
    ('E', 11),
    ('F', 8),
    ('G', 18),
    ('H', 10),
    ('I', 9),
    ('J', 7),
    ('K', 5),
    ('L', 9),
    ('M', 5),
    ('N', 6),
    ('O', 10),
    ('P', 2),
];

/// Rows that are left out, and why.
const LEFT_OUT: &[(&str, &str)] =
    &[("J2", "WebSocket and QUIC come later"), ("M2", "several machines come later")];

/// What has no interface yet. Each is taken from here when its row is written.
const NOT_YET: &[&str] = &[];

/// Settings that have to be there, each as one of the spans of a first cell.
const SETTINGS: &[&str] = &[
    "acceptor",
    "auth_required",
    "auto_reconnect",
    "backlog",
    "batch",
    "buffer_size",
    "buffer_timeout",
    "cache",
    "CertFile",
    "client timeout",
    "close sweep",
    "compression",
    "connect",
    "connect_timeout",
    "connection_timeout",
    "DEBUG",
    "delay",
    "enable_heartbeat",
    "enable_nodelay",
    "enable_reuse_address",
    "enable_ssl",
    "encryption",
    "exponential_backoff",
    "ext",
    "factor",
    "file_transfer",
    "flush",
    "graceful",
    "graceful_shutdown",
    "health_check_interval",
    "heartbeat sweep",
    "heartbeat_interval",
    "HeartbeatMax",
    "HIGH_PERFORMANCE",
    "high_performance",
    "history",
    "Host",
    "host",
    "idle",
    "idle_timeout",
    "insecure",
    "IOReadBuffSize",
    "ipv6",
    "json_api",
    "KcpACKNoDelay",
    "KcpFecDataShards",
    "KcpFecParityShards",
    "KcpInterval",
    "KcpNc",
    "KcpNoDelay",
    "KcpPort",
    "KcpRecvWindow",
    "KcpResend",
    "KcpSendWindow",
    "KcpStreamMode",
    "keep_alive",
    "keep_alive_interval",
    "keep_alive_timeout",
    "log settings",
    "LogCons",
    "LogDir",
    "LogFile",
    "LogFileSize",
    "LogIsolationLevel",
    "LogSaveDays",
    "low_latency",
    "mailbox",
    "max_connections",
    "max_message_size",
    "max_packet_size",
    "max_retries",
    "max_retry",
    "MaxConn",
    "MaxMsgChanLen",
    "MaxPacketSize",
    "MaxWorkerTaskLen",
    "memory sweep",
    "Mode",
    "Name",
    "nodelay",
    "outbound",
    "pause",
    "payload",
    "permit wait",
    "pipe",
    "pool",
    "port",
    "ports",
    "PrivateKeyFile",
    "queue wait",
    "queue_size",
    "QUIC idle",
    "QUIC keep-alive",
    "QUIC streams",
    "rate",
    "RateLimiterConfig",
    "read timeout",
    "realtime",
    "receive_buffer_size",
    "reconnect check",
    "reconnect_interval",
    "reliable",
    "request timeout",
    "RequestPoolMode",
    "retries",
    "retry_interval",
    "reuse",
    "RouterSlicesMode",
    "RTT",
    "send_buffer_size",
    "send_timeout",
    "ssl_cert",
    "ssl_key",
    "TCP keep-alive",
    "tcp_nodelay",
    "TcpPort",
    "thread_pool_size",
    "timeout",
    "TTL",
    "windows",
    "WorkerMode",
    "WorkerPoolSize",
    "write deadline",
    "WS idle",
    "WS ping",
    "WS pong",
    "WsPath",
    "WsPort",
];

/// Every row is whole, and every row that has to be there is.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file(FEATURES) else {
        return Vec::new();
    };
    let index = Index::new(tree);
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (line, cells) in rows(&file.text) {
        let mut say = |message: String| found.push(file.finding(line, "features", message));
        let [id, what, interface, default, proof] = cells.as_slice() else {
            say(format!("a row has five cells, this one {}", cells.len()));
            continue;
        };
        let named = names(id);
        if named.is_empty() {
            say(format!("`{id}` is neither a row's number nor the name of a setting"));
        }
        for name in named {
            if !seen.insert(name.clone()) {
                say(format!("{name} is there twice"));
            }
        }
        if what.is_empty() || default.is_empty() {
            say("a row says what it is and what the default is".to_owned());
        }
        index.check_interface(interface).into_iter().for_each(&mut say);
        index.check_proof(proof).into_iter().for_each(&mut say);
    }
    let complete = completeness(&seen, &required(ROWS, SETTINGS), NOT_YET);
    found.extend(complete.into_iter().map(|message| file.finding(0, "features", message)));
    found
}

/// What is missing, and what is there though it is said not to be.
fn completeness(
    seen: &BTreeSet<String>,
    required: &BTreeSet<String>,
    not_yet: &[&str],
) -> Vec<String> {
    let awaited = |name: &&String| not_yet.contains(&name.as_str());
    let missing = required.difference(seen).filter(|name| !awaited(name));
    let missing = missing.map(|name| format!("there is no row for {name}"));
    let early = seen.iter().filter(awaited);
    let early = early.map(|name| format!("{name} has a row: take it from NOT_YET in the check"));
    missing.chain(early).collect()
}

/// All names that some first cell has to have.
fn required(rows: &[(char, u32)], settings: &[&str]) -> BTreeSet<String> {
    let rows = rows
        .iter()
        .flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}")));
    let rows = rows.filter(|row| LEFT_OUT.iter().all(|(left_out, _)| left_out != row));
    rows.chain(settings.iter().map(|name| (*name).to_owned())).collect()
}

/// What a first cell names: the number of a row, or settings in code spans.
fn names(cell: &str) -> Vec<String> {
    if cell.contains('`') {
        return spans(cell).map(str::to_owned).collect();
    }
    let is_number = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit());
    let letter = cell.starts_with(|c: char| c.is_ascii_uppercase());
    let is_row = letter && cell.get(1..).is_some_and(is_number);
    is_row.then(|| cell.to_owned()).into_iter().collect()
}

/// The rows of all tables that are as wide as they should be, or try to: their lines and cells.
pub(super) fn rows(text: &str) -> Vec<(usize, Vec<&str>)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_rule = |line: &&str| line.starts_with("|-") || line.starts_with("| -");
    let is_head = |at: usize| lines.get(at + 1).is_some_and(is_rule);
    let numbered = lines.iter().enumerate();
    let bodies =
        numbered.filter(|(at, line)| line.starts_with('|') && !is_rule(line) && !is_head(*at));
    bodies
        .map(|(at, line)| {
            let inner = line.trim_matches('|');
            (at + 1, inner.split('|').map(str::trim).collect())
        })
        .collect()
}

pub(super) fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// What the sources have.
pub(super) struct Index<'a> {
    tree: &'a Tree,
    /// The words of each file of the sources, tests left out.
    words: Vec<BTreeSet<String>>,
    /// The names of the tests of each file.
    tests: BTreeMap<&'a str, BTreeSet<String>>,
}

impl<'a> Index<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        let words = tree.sources().map(|(_, source)| words(source)).collect();
        let tests = tree.sources().map(|(file, source)| (file.path.as_str(), tests(source)));
        Self { tree, words, tests: tests.collect() }
    }

    fn check_interface(&self, cell: &str) -> Vec<String> {
        let is_path = |span: &&str| span.chars().all(|c| is_word(c) || c == ':');
        let paths: Vec<&str> = spans(cell).filter(is_path).collect();
        let mut wrong: Vec<String> = paths
            .iter()
            .filter(|path| !self.has(path))
            .map(|path| format!("`{path}` is in no file of the sources"))
            .collect();
        if paths.is_empty() {
            wrong.push("this row names no interface".to_owned());
        }
        // `session.window` is a key of the settings, if there are settings at all.
        let is_key =
            |span: &&str| span.contains('.') && span.chars().all(|c| is_word(c) || c == '.');
        let settings = self.tree.file(SETTINGS_PAGE).map(|file| file.text.as_str());
        let unknown = spans(cell).filter(is_key).filter(|key| {
            settings.is_some_and(|settings| !settings.contains(&format!("\n| `{key}` | ")))
        });
        wrong.extend(unknown.map(|key| format!("`{key}` is no key of {SETTINGS_PAGE}")));
        wrong
    }

    /// Whether all names of a path stand in one file. The crate is only said for readers.
    fn has(&self, path: &str) -> bool {
        let parts: Vec<&str> =
            path.split("::").filter(|part| !part.starts_with("outlast")).collect();
        !parts.is_empty()
            && self.words.iter().any(|words| parts.iter().all(|part| words.contains(*part)))
    }

    /// Whether a figure is held to what it is, if the span is one.
    fn figure(&self, span: &str) -> Option<bool> {
        let (path, name) = span.split_once("::")?;
        let text = |path| self.tree.file(path).map_or("", |file| file.text.as_str());
        match path {
            GATE => Some(text(GATE).contains(&format!("(\"{name}\","))),
            COUNTS => {
                Some(text(COUNTS).lines().any(|line| line.starts_with(&format!("{name} = "))))
            }
            _ => None,
        }
    }

    pub(super) fn check_proof(&self, cell: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut count = 0;
        for span in spans(cell) {
            if let Some(held) = self.figure(span) {
                wrong.extend((!held).then(|| format!("no such figure is held: `{span}`")));
                continue;
            }
            count += 1;
            let Some((file, name)) = span.split_once(".rs::") else {
                wrong.push(format!("`{span}` is no `file.rs::test`"));
                continue;
            };
            let path = format!("{file}.rs");
            let known = self.tests.get(path.as_str()).is_some_and(|tests| tests.contains(name));
            if !known {
                let why =
                    if self.tree.has_path(&path) { "no such test in" } else { "no such file:" };
                wrong.push(format!("{why} `{path}`: `{name}`"));
            }
        }
        if count == 0 {
            wrong.push("this row names no test".to_owned());
        }
        wrong
    }
}

/// Where thresholds of the bench are, and where counts of instructions.
const GATE: &str = "bench/src/gate.rs";
const COUNTS: &str = "proof/instructions.toml";

fn words(source: &Source) -> BTreeSet<String> {
    let lines = source.code().filter(|(line, _)| !source.is_test(*line));
    let words = lines.flat_map(|(_, line)| line.split(|c| !is_word(c)));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Functions in what is compiled for tests alone.
fn tests(source: &Source) -> BTreeSet<String> {
    let functions = source.functions().into_iter();
    functions
        .filter(|function| source.is_test(function.first))
        .map(|function| function.name)
        .collect()
}

#[cfg(test)]
mod tests_of_the_check {
    use super::*;

    const HEAD: &str =
        "# Features\n\n| row | what | interface | default | proof |\n|---|---|---|---|---|\n";

    fn check_rows(rows: &str) -> Vec<String> {
        let text = format!("{HEAD}{rows}");
        let code = "pub struct Limits { pub patience: u8 }\nimpl Limits { pub fn set() {} }\n";
        let other = "pub struct Other;\n#[cfg(test)]\nmod tests {\n#[test]\nfn it_waits() {}\n}\n";
        let test = "#[test]\nfn it_is_so() {}\n";
        let tree = Tree::of(&[
            (FEATURES, &text),
            ("service/src/limits.rs", code),
            ("service/src/other.rs", other),
            ("service/tests/all.rs", test),
            (GATE, "const ALL: &[T] = &[more(\"echo.64x1.cap\", 0.8, 0.9)];\n"),
            (SETTINGS_PAGE, "# Settings\n\n| `access.default` | it |\n"),
            (COUNTS, "[per-round]\none_way_16 = 5\n"),
        ]);
        // Of what has to be there this little document has next to nothing.
        let found = check(&tree).into_iter().filter(|finding| finding.line > 0);
        found.map(|finding| finding.message).collect()
    }

    #[test]
    fn whole_rows_pass() {
        let rows = "| A1 | it | `Limits::patience` | 0 | `service/tests/all.rs::it_is_so` |\n\
            | `size`, `length` | it | `outlast_x::Other`, `--option`, `access.default` | 1 | \
            `service/src/other.rs::it_waits` |\n\
            | N1 | it | `Limits` | 0 | `service/tests/all.rs::it_is_so`, \
            `bench/src/gate.rs::echo.64x1.cap`, `proof/instructions.toml::one_way_16` |\n";
        assert_eq!(check_rows(rows), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let proof = "`service/tests/all.rs::it_is_so`";
        for (row, expected) in [
            (format!("| A1 | it | `Other::patience` | 0 | {proof} |"), "in no file"),
            (format!("| A1 | it | `it_waits` | 0 | {proof} |"), "in no file"),
            (format!("| A1 | it | nothing | 0 | {proof} |"), "names no interface"),
            (format!("| A1 | it | `Limits`, `access.window` | 0 | {proof} |"), "is no key of"),
            (format!("| A1 | it | `Limits` |  | {proof} |"), "what the default is"),
            (format!("| what | it | `Limits` | 0 | {proof} |"), "neither a row"),
            (format!("| A1 | it | `Limits` | {proof} |"), "five cells"),
            ("| A1 | it | `Limits` | 0 | believe me |".to_owned(), "names no test"),
            ("| A1 | it | `Limits` | 0 | `it_is_so` |".to_owned(), "is no `file.rs::test`"),
            ("| A1 | it | `Limits` | 0 | `a/b.rs::c` |".to_owned(), "no such file"),
            (
                format!("| A1 | it | `Limits` | 0 | {proof}, `{GATE}::echo.64.cap` |"),
                "no such figure",
            ),
            (format!("| A1 | it | `Limits` | 0 | {proof}, `{COUNTS}::one` |"), "no such figure"),
            (format!("| A1 | it | `Limits` | 0 | `{GATE}::echo.64x1.cap` |"), "names no test"),
            (
                "| A1 | it | `Limits` | 0 | `service/src/limits.rs::set` |".to_owned(),
                "no such test",
            ),
        ] {
            let told = check_rows(&row);
            assert!(told.iter().any(|told| told.contains(expected)), "{row}: {told:?}");
        }
    }

    #[test]
    fn a_row_is_there_once() {
        let row = "| A1 | it | `Limits` | 0 | `service/tests/all.rs::it_is_so` |\n";
        assert_eq!(check_rows(&row.repeat(2)), ["A1 is there twice"]);
    }

    #[test]
    fn rows_that_have_to_be_there_are_counted_by_letter() {
        let wanted: Vec<String> = required(&[('J', 3)], &["size"]).into_iter().collect();
        assert_eq!(wanted, ["J1", "J3", "size"]);
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let told = completeness(&set(&["J1", "size"]), &set(&["J1", "J3", "J4"]), &["J4", "size"]);
        let early = "size has a row: take it from NOT_YET in the check";
        assert_eq!(told, ["there is no row for J3", early]);
    }

    #[test]
    fn a_document_without_rows_lacks_all_of_them() {
        let tree = Tree::of(&[(FEATURES, "# Features\n")]);
        let told: Vec<String> = check(&tree).into_iter().map(|found| found.message).collect();
        assert!(told.iter().any(|told| told == "there is no row for A1"));
        assert!(told.iter().all(|told| told.starts_with("there is no row for ")));
        assert_eq!(told.len(), required(ROWS, SETTINGS).len() - NOT_YET.len());
    }
}
