//! The state machines as the documentation shows them are those that run.
//!
//! `OUTLAST_BLESS=1 cargo test -p outlast-core --test diagrams` writes the files anew.
#![expect(clippy::unwrap_used, reason = "whatever is wrong fails the test")]

use core::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use outlast_core::client::{DialEvent, DialState};
use outlast_core::state::{
    write_link_dot, write_link_table, write_session_dot, write_session_table,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagrams")
}

/// Compares `text` with the file, or writes it if that is wanted.
fn check(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var_os("OUTLAST_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert_eq!(found, text, "docs/diagrams/{name} is old: run this test with OUTLAST_BLESS=1");
}

fn written(write: fn(&mut dyn fmt::Write) -> fmt::Result) -> String {
    let mut text = String::new();
    write(&mut text).unwrap();
    text
}

fn page(title: &str, about: &str, table: &str, dot: &str) -> String {
    format!(
        "# {title}\n\n{about}\n\nWritten by `core/tests/diagrams.rs` from the tables that the code \
         runs. An empty cell is an\nevent that is illegal or without effect in that state. \
         The same as a graph: [{dot}]({dot}).\n\n{table}"
    )
}

#[test]
fn connection_diagram_is_the_table_that_runs() {
    let table = written(write_link_table);
    let about = "The life of one connection, at either end.";
    check("connection.md", &page("Connection", about, &table, "connection.dot"));
    check("connection.dot", &written(write_link_dot));
}

#[test]
fn session_diagram_is_the_table_that_runs() {
    let table = written(write_session_table);
    let about = "The life of a session, over any number of connections.";
    check("session.md", &page("Session", about, &table, "session.dot"));
    check("session.dot", &written(write_session_dot));
}

#[test]
fn dialer_diagram_is_the_table_that_runs() {
    let (mut table, mut dot) = ("| state |".to_owned(), "digraph dialer {\n".to_owned());
    for event in DialEvent::ALL {
        write!(table, " {} |", event.name()).unwrap();
    }
    write!(table, "\n|---|{}", "---|".repeat(DialEvent::ALL.len())).unwrap();
    for state in DialState::ALL {
        write!(table, "\n| {} |", state.name()).unwrap();
        for event in DialEvent::ALL {
            let next = state.next(event);
            write!(table, " {} |", next.map_or("", DialState::name)).unwrap();
            if let Some(next) = next.filter(|next| *next != state) {
                let (from, to, label) = (state.name(), next.name(), event.name());
                writeln!(dot, "  {from} -> {to} [label=\"{label}\"];").unwrap();
            }
        }
    }
    let about = "When a client dials, and when it stops.";
    check("dialer.md", &page("Dialer", about, &format!("{table}\n"), "dialer.dot"));
    check("dialer.dot", &(dot + "}\n"));
}

/// The specification shows the same tables, with other spacing.
//= test STM-1
//= test STM-2
#[test]
fn specification_shows_the_tables_that_run() {
    let spec = fs::read_to_string(folder().join("../spec.md")).unwrap();
    let rows = |text: &str| -> Vec<String> {
        let cells = |line: &str| line.split('|').map(str::trim).collect::<Vec<_>>().join("|");
        text.lines().filter(|line| line.starts_with('|')).map(cells).collect()
    };
    let known = rows(&spec);
    for name in ["connection.md", "session.md", "dialer.md"] {
        let page = fs::read_to_string(folder().join(name)).unwrap();
        for row in rows(&page) {
            assert!(known.contains(&row), "docs/spec.md lacks this row of {name}: {row}");
        }
    }
}
