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
    (
        "A13",
        "adapters are the formats': formats/tests/steady.rs::a_long_packet_byte_by_byte_is_linear \
         and formats/tests/conformance.rs::c05_a_length_over_the_limit_is_refused_from_the_header",
    ),
    (
        "A14",
        "adapters are the formats': \
         formats/tests/conformance.rs::c05_a_length_over_the_limit_is_refused_from_the_header and \
         formats/tests/properties.rs::garbage_is_an_error_or_a_packet_whatever_the_division",
    ),
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
    (
        "A35",
        "nothing of this protocol is compressed, as f29 shows; payloads of other formats are: \
         formats/tests/conformance.rs::bombs_end_at_the_limit",
    ),
    (
        "A37",
        "the deadline for writing belongs to a runtime and is longer than a case may take: each \
         runtime runs conformance/src/sockets/limits.rs::\
         a_connection_that_takes_nothing_is_given_up_and_its_session_is_not; c07 shows that others \
         go on",
    ),
    (
        "A39",
        "sending to many belongs to a runtime and has its own bench, and \
         service/tests/heap/main.rs::a_broadcast_is_one_copy_however_many_get_it",
    ),
    (
        "A45",
        "a driver has no authenticator to set: the registry's tests show the rule, and \
         conformance/src/sockets/access.rs::a_shared_key_proves_both_ends who somebody \
         is found to be",
    ),
    (
        "A50",
        "all connections of a driver come from one source: the gate's tests show the rules, and \
         conformance/src/sockets/access.rs::one_source_has_its_share_and_no_more that a server \
         keeps them",
    ),
    (
        "A51",
        "a driver sets no limit of connections: \
         conformance/src/sockets/access.rs::the_oldest_handshake_makes_room does",
    ),
    (
        "A52",
        "running out of descriptors needs a process of its own: each runtime has such a test, of \
         conformance/src/sockets/descriptors.rs",
    ),
    ("A54", "bytes of TLS are a layer's: tls/tests/memory/wire.rs"),
    (
        "A55",
        "certificates are a layer's: tls/tests/memory/reload.rs::\
         another_certificate_is_for_connections_that_come_and_errors_change_nothing",
    ),
    (
        "A56",
        "a driver has no access list to set: \
         core/src/admission/tests.rs::rules_agree_with_a_naive_reading shows how they are read, \
         and cli/tests/config.rs::whoever_is_not_to_come_does_not that a server keeps them",
    ),
    ("A57", "nothing of a driver is logged: service/src/security.rs::an_event_is_one_line"),
    (
        "A58",
        "nothing of a driver is logged: \
         service/src/security.rs::many_of_one_kind_are_counted_and_hide_no_other",
    ),
    ("A59", "no value of a label comes from a peer: admin/src/metrics.rs"),
    ("A60", "a configuration is checked before there is a subject: the core's tests show it"),
    (
        "A61",
        "a driver has no file: config/tests/reload.rs::a_mistake_changes_nothing and \
         cli/tests/config.rs::settings_are_read_again_or_stay_as_they_were",
    ),
    (
        "A62",
        "signals need a process of its own: \
         cli/tests/life.rs::a_second_signal_ends_at_once_and_says_so",
    ),
    (
        "A63",
        "killing needs a process of its own, and a store that outlives it: \
         cli/tests/restart.rs::who_was_quiet_survives_a_server_that_is_killed",
    ),
    (
        "A64",
        "a driver has no store: \
         cli/tests/life.rs::a_full_disk_is_told_of_and_costs_only_what_is_not_stored and \
         service/src/snapshots/file.rs::what_is_damaged_or_of_another_key_is_said_so",
    ),
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
    (
        "F7",
        "a store is not a driver's: \
         cli/tests/restart.rs::snapshots_of_an_end_are_old_once_another_server_went_on",
    ),
    ("F9", "that the same principal must come back is for the registry's tests"),
    (
        "F10",
        "the server's side of a change of keys is in conformance/src/sockets/access.rs::\
         a_resumed_session_authenticates_again_and_gets_new_keys",
    ),
    ("F12", "the message that poisons a session is told by its code, not by its bytes"),
    ("F25", "how delays are drawn is for the tests of the client's logic"),
    (
        "F26",
        "here the send is refused; the other policies are in \
         conformance/src/sockets/limits.rs::who_is_too_slow_is_refused_or_let_go",
    ),
    ("F28", "there is one lane in version 1: the other is refused"),
    ("F29", "there is no compression in version 1: options are refused"),
    (
        "F31",
        "what covers a HELLO is TLS below it, which is a layer's: tls/tests/memory/wire.rs::\
         a_stream_that_was_tampered_with_is_broken_and_says_so",
    ),
    ("F33", "there are no streams in version 1: their kinds are refused"),
    (
        "F34",
        "noise on a stream is shown alone; the wrapper for lossy lines is in \
         runtime-embedded/tests/stream/serial.rs::noise_is_no_packet_and_costs_no_more_memory",
    ),
    ("F36", "the limit for all owners together is for the registry's tests"),
    ("C11", "attempts and delays are for the tests of the client's logic, in virtual time"),
    ("C12", "what is announced is shown; sockets' options belong to each runtime"),
    (
        "A11",
        "other protocols on a port with TLS are in tls/tests/memory/wire.rs, what is told of them \
         in service/tests/scripted/security.rs::\
         broken_rules_are_told_of_in_handshakes_and_behind_them",
    ),
    ("A43", "that both take as long is for the registry's tests"),
    (
        "A49",
        "that a source which fails is locked out is in \
         conformance/src/sockets/access.rs::failures_lock_a_source_out",
    ),
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

    /// What reasons name is there: files by their path, and tests in them.
    #[test]
    fn what_reasons_name_is_there() {
        let top = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut named = 0;
        for (row, why) in LATER.iter().chain(PARTLY) {
            for word in why.split_whitespace().filter(|word| word.contains(".rs")) {
                let word = word.trim_end_matches([',', ';', ':']);
                let (path, test) = word.split_once("::").unwrap_or((word, ""));
                let text = std::fs::read_to_string(format!("{top}/{path}"));
                let text = text.unwrap_or_else(|error| panic!("{row}: {path}: {error}"));
                let is_there = test.is_empty()
                    || ["(", "<"].iter().any(|end| text.contains(&format!("fn {test}{end}")));
                assert!(is_there, "{row}: {path} has no {test}");
                named += 1;
            }
            assert!(!why.contains("yet") && !why.contains("later"), "{row}: {why}");
        }
        assert!(named > 20, "{named}");
    }

    fn reason(list: &[(&str, &str)], row: &str) -> bool {
        list.iter().any(|(named, _)| *named == row)
    }
}
