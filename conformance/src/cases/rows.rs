//! Which rows have a case, and why the others have none.
//!
//! The cases are named after the rows of three lists: failures of other protocols (`F1` to `F36`),
//! what broke users of earlier systems (`C1` to `C13`), attacks (`A1` to `A69`, with gaps). What
//! each row is stands in `docs/conformance.md`. A row
//! without a case stands in [`LATER`] with the reason, and one whose case shows only a part of it
//! in [`PARTLY`]. A test counts them all, so that no row is forgotten.

use super::cases;

/// The numbers of the attacks that the list goes up to and does not have.
const NO_ATTACKS: [u32; 5] = [31, 36, 38, 53, 66];

/// Every row: `F1` and so on.
#[must_use]
pub fn rows() -> Vec<String> {
    let failures = (1..=36).map(|n| format!("F{n}"));
    let histories = (1..=13).map(|n| format!("C{n}"));
    let attacks = (1..=69).filter(|n| !NO_ATTACKS.contains(n)).map(|n| format!("A{n}"));
    failures.chain(histories).chain(attacks).collect()
}

/// The names of the cases of a row.
#[must_use]
pub fn cases_of(row: &str) -> Vec<&'static str> {
    let (group, number) = row.split_at(1);
    let prefix = format!("{}{number:0>2}_", group.to_lowercase());
    cases().iter().map(|case| case.name).filter(|name| name.starts_with(&prefix)).collect()
}

/// Rows without a case, and why.
pub const LATER: &[(&str, &str)] = &[
    ("A13", "there are no adapters for lines yet"),
    ("A14", "there are no adapters for other framings yet"),
    (
        "A21",
        "positions near 2^31, 2^32 and 2^63 cannot be reached through a connection in time: \
         the simulator starts there",
    ),
    (
        "A30",
        "the core makes no error answers by itself, and what a runtime answers is bounded by the \
         requests that may be open: see a24 and a29",
    ),
    ("A35", "there is no compression: f29 shows that it is refused"),
    (
        "A37",
        "the deadline for writing belongs to a runtime and is longer than a case may take: each \
         runtime has a test of its own; c07 shows that others go on",
    ),
    ("A39", "sending to many belongs to a runtime and has its own tests and bench"),
    (
        "A45",
        "a driver has no authenticator to set: the registry's tests show the rule, and \
         runtime-tokio/tests/access.rs that principals are told apart",
    ),
    (
        "A50",
        "all connections of a driver come from one source: the gate's tests show the rules, and \
         runtime-tokio/tests/access.rs that a server keeps them",
    ),
    ("A51", "a driver sets no limit of connections: runtime-tokio/tests/access.rs does"),
    ("A52", "running out of descriptors needs a process of its own: each runtime has such a test"),
    ("A54", "bytes of TLS are a layer's: tls/tests/memory has them"),
    ("A55", "certificates are a layer's: tls/tests/memory reloads them"),
    ("A56", "no runtime takes access lists yet: the core's tests show how they are read"),
    ("A57", "nothing is logged yet"),
    ("A58", "nothing is logged yet"),
    ("A59", "metrics are plain counters without labels yet"),
    ("A60", "a configuration is checked before there is a subject: the core's tests show it"),
    ("A61", "nothing is reloaded yet"),
    ("A62", "signals need a process of its own"),
    ("A63", "killing needs a process of its own, and a store that outlives it"),
    ("A64", "there is no store yet"),
    (
        "A65",
        "time is an argument of the core, whose tests let it jump and go back; f19 shows a late \
         poll",
    ),
    ("A67", "running out of memory needs a process of its own"),
    ("A68", "tables, timers and crowds are judged by the tests of the registry and by benches"),
];

/// Rows whose cases show only a part, and what is missing.
pub const PARTLY: &[(&str, &str)] = &[
    ("F2", "a connection cannot carry 2^32 bytes in time: the simulator starts near there"),
    ("F7", "restarting from what was stored is for the simulator; several owners come later"),
    ("F9", "that the same principal must come back is for the registry's tests"),
    ("F10", "the server's side of a change of keys is in runtime-tokio/tests/access.rs"),
    ("F12", "the message that poisons a session is told by its code, not by its bytes"),
    ("F25", "how delays are drawn is for the tests of the client's logic"),
    ("F26", "what is done with a slow receiver is one policy yet: the send is refused"),
    ("F28", "there is one lane in version 1: the other is refused"),
    ("F29", "there is no compression in version 1: options are refused"),
    ("F31", "there is no transcript to cover a HELLO before there is TLS"),
    ("F33", "there are no streams in version 1: their kinds are refused"),
    ("F34", "the wrapper for lossy lines comes later: noise on a stream is shown alone"),
    ("F36", "the limit for all owners together is for the registry's tests"),
    ("C11", "attempts and delays are for the tests of the client's logic, in virtual time"),
    ("C12", "what is announced is shown; sockets' options belong to each runtime"),
    ("A11", "other protocols on a port with TLS: tls/tests/memory; the log comes later"),
    ("A43", "that both take as long is for the registry's tests"),
    ("A49", "that a source which fails is locked out is in runtime-tokio/tests/access.rs"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_case_or_a_reason() {
        for row in rows() {
            let (has, later) = (!cases_of(&row).is_empty(), reason(LATER, &row));
            assert!(has || later, "{row} has neither a case nor a reason");
            assert!(!(has && later), "{row} has a case: it stands in LATER no more");
            let partly = reason(PARTLY, &row);
            assert!(has || !partly, "{row} has no case: it does not stand in PARTLY");
        }
    }

    #[test]
    fn the_lists_are_documented() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");
        let page = std::fs::read_to_string(page).expect("the page is part of the repository");
        let key = |line: &str| Some(line.strip_prefix("| ")?.split_once(" | ")?.0.to_owned());
        let is_row = |key: &String| {
            let (group, number) = key.split_at(1);
            "FCA".contains(group) && number.parse::<u32>().is_ok()
        };
        let documented: Vec<String> = page.lines().filter_map(key).filter(is_row).collect();
        assert_eq!(documented, rows());
    }

    #[test]
    fn every_case_and_every_reason_has_a_row() {
        let rows = rows();
        for (row, _) in LATER.iter().chain(PARTLY) {
            assert!(rows.contains(&(*row).to_owned()), "there is no row {row}");
        }
        for case in cases() {
            let known = rows.iter().any(|row| cases_of(row).contains(&case.name));
            assert!(known, "{} is of no row", case.name);
        }
    }

    fn reason(list: &[(&str, &str)], row: &str) -> bool {
        list.iter().any(|(named, _)| *named == row)
    }
}
