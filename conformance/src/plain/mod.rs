//! What broke in real systems, over every foreign format, on a runtime with sockets (feature
//! `plain`).
//!
//! These connections have no sessions, so the suite's other cases say nothing of them. Each of
//! these thirteen breaks at least one system that is in use; all of them hold here, for every
//! format and on every runtime.

pub mod cases;
mod ground;
mod python;
mod subject;
mod wire;

pub use crate::net::Ground;
pub use ground::Told;
pub use python::peers_in_another_language_are_content;
pub use subject::{SUBJECTS, Subject};
pub use wire::Wire;

/// Makes a test of each case over this [`Ground`].
#[macro_export]
macro_rules! plain_suite {
    ($ground:expr) => {
        #[test]
        fn peers_in_another_language_are_content() {
            $crate::plain::peers_in_another_language_are_content(&$ground);
        }

        $crate::plain_suite! { @ $ground;
            c01_any_division_gives_the_same_packets
            c02_a_connection_keeps_its_bytes_to_itself
            c03_a_pause_within_a_packet_loses_nothing
            c04_empty_end_and_truncated_are_three_things
            c05_a_length_over_the_limit_is_refused_from_the_header
            c06_pipelined_messages_come_back_whatever_the_queue
            c07_a_peer_that_never_reads_slows_only_itself
            c08_an_unknown_key_costs_no_more_than_an_answer
            c09_close_and_send_race_and_every_hook_is_called_once
            c10_a_silent_peer_is_closed_on_time_and_its_place_is_free
            c11_attempts_are_counted_and_misuse_leaves_the_connection
            c12_a_limit_that_is_set_is_kept
            c13_requests_leave_nothing_behind
        }
    };
    (@ $ground:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::plain::cases::$case(&$ground);
            }
        )*
    };
}
