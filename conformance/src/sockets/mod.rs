//! Limits, deadlines and policies over real sockets (feature `sockets`).
//!
//! With virtual time they are proved to the microsecond, in the tests of `outlast-service`. What is
//! here shows that they hold where there are a kernel and a scheduler, on every runtime with
//! sockets: one body each, over whatever a [`Ground`](crate::net::Ground) runs on.

mod access;
mod addresses;
mod deadlines;
#[cfg(unix)]
mod descriptors;
mod endurance;
mod limits;
mod own_method;
mod policies;
mod tools;

use std::time::Duration;

pub use access::*;
pub use addresses::*;
pub use deadlines::*;
#[cfg(unix)]
pub use descriptors::{is_the_server, out_of_descriptors_it_serves_on_and_recovers, the_server};
pub use endurance::*;
pub use limits::*;
pub use own_method::a_method_of_ones_own_lets_in;
pub use policies::*;

/// However busy the machine is, no case takes so long.
pub const LONGEST: Duration = Duration::from_secs(900);

/// Makes a test of each case over this [`Ground`](crate::net::Ground).
#[macro_export]
macro_rules! socket_suite {
    ($ground:expr) => {
        $crate::socket_suite! { @ $ground;
            a_connection_may_wait_for_another_one_to_go
            a_connection_that_takes_nothing_is_given_up_and_its_session_is_not
            a_drain_ends_when_everybody_has_left_or_its_time_is_over
            a_million_messages_pass_a_handler_that_awaits_each_echo
            a_password_proves_both_ends
            a_pool_without_connection_lets_wait_as_many_as_may
            a_request_whose_time_is_over_is_cancelled_at_the_peer
            a_resumed_session_authenticates_again_and_gets_new_keys
            a_server_listens_where_it_is_told
            a_session_that_nobody_resumes_has_its_place_until_its_time_is_over
            a_shared_key_proves_both_ends
            a_slow_reader_gets_the_newest_value
            a_small_message_waits_for_others
            a_token_is_neither_shown_nor_taken_in_clear_unless_allowed
            a_token_lets_in_and_nothing_else_does
            an_attempt_that_takes_too_long_is_given_up
            bytes_come_no_faster_than_they_may
            connections_come_no_faster_than_they_may
            failures_lock_a_source_out
            limits_change_at_once_and_nobody_has_to_leave
            memory_is_limited_and_who_is_there_stays
            messages_come_no_faster_than_they_may
            one_listener_takes_both_families
            one_source_has_its_share_and_no_more
            requests_end_at_their_deadline_and_too_many_are_refused
            sessions_that_are_gone_lock_nobody_out
            silent_handshakes_make_room_before_their_time_is_over
            the_oldest_handshake_makes_room
            who_is_too_slow_is_refused_or_let_go
            who_reads_events_too_slowly_is_told_how_many_are_lost
        }
    };
    (@ $ground:expr; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                let ground = $ground;
                let net = ground.net();
                ground.run_for($crate::sockets::LONGEST, $crate::sockets::$case(net));
            }
        )*
    };
}
