//! The list of cases from failures and histories, and what a list is made with.

use super::{Case, failures, flow, histories};
use crate::driver::Caps;

/// Needs nothing that not every driver can do.
pub(super) const NOTHING: Caps = Caps { virtual_time: false, memory: false, paced_dials: false };
/// Looks at the memory that is held.
pub(super) const MEMORY: Caps = Caps { memory: true, ..NOTHING };
/// Dials again only when it is time to.
const PACED: Caps = Caps { paced_dials: true, ..NOTHING };

macro_rules! case {
    ($module:ident, $run:ident, $needs:ident, $sentences:literal, $what:literal) => {
        Case {
            name: stringify!($run),
            sentences: $sentences,
            what: $what,
            needs: $needs,
            run: $module::$run,
        }
    };
}
pub(super) use case;

pub(super) const CASES: &[Case] = &[
    case!(
        failures,
        f01_ends_count_alike,
        NOTHING,
        "POS-10",
        "a PING whose position is not the receiver's ends the session"
    ),
    case!(
        failures,
        f02_positions_wrap,
        NOTHING,
        "POS-2",
        "an ack 2^31 or more ahead counts as going back"
    ),
    case!(
        failures,
        f03_ack_beyond_sent,
        NOTHING,
        "POS-8",
        "an ack of what was not sent ends the session"
    ),
    case!(
        failures,
        f03_ack_in_mid_frame,
        NOTHING,
        "POS-8",
        "an ack inside a frame ends the session"
    ),
    case!(
        failures,
        f04_takeover_fences_first,
        NOTHING,
        "RSM-8",
        "what the old connection has under way is not taken after WELCOME"
    ),
    case!(
        failures,
        f05_stale_hello_is_refused,
        NOTHING,
        "RSM-3",
        "a repeated attach number leaves the session and its connection alone"
    ),
    case!(
        failures,
        f06_ack_means_taken,
        NOTHING,
        "POS-12",
        "an ack covers what the application took"
    ),
    case!(
        failures,
        f07_rollback_is_noticed,
        NOTHING,
        "RSM-6 RSM-7",
        "a claim to more than was sent ends the session at both ends"
    ),
    case!(
        failures,
        f08_dead_session_answers,
        NOTHING,
        "RSM-12",
        "a dead session answers every claim alike"
    ),
    case!(
        failures,
        f09_guessed_sid_is_unknown,
        NOTHING,
        "REG-3",
        "a guessed number is answered with NO_SESSION"
    ),
    case!(
        failures,
        f09_wrong_proof_is_unknown,
        NOTHING,
        "REG-3",
        "a wrong proof is answered as an unknown number is"
    ),
    case!(
        flow,
        f10_new_key_is_used,
        NOTHING,
        "AUT-11",
        "a client claims its session with the newest key it got"
    ),
    case!(
        failures,
        f11_superseded_forbids_retry,
        NOTHING,
        "RSM-10",
        "the connection taken over is told not to come back"
    ),
    case!(
        failures,
        f12_poison_ends_the_session,
        NOTHING,
        "CLS-12",
        "the same error twice at the same place ends the session"
    ),
    case!(
        failures,
        f13_control_needs_no_credit,
        NOTHING,
        "CRD-9",
        "control frames pass where the window is used up"
    ),
    case!(
        flow,
        f14_output_never_holds_up_input,
        NOTHING,
        "DRV-1 CRD-10",
        "input is taken while no output is"
    ),
    case!(
        failures,
        f15_ping_flood_is_calmed,
        NOTHING,
        "BUD-1 BUD-2",
        "more PINGs than the budget holds end the connection with CALM"
    ),
    case!(
        failures,
        f15_pongs_are_coalesced,
        NOTHING,
        "HBT-10",
        "many PINGs at once get one PONG, for the last"
    ),
    case!(
        failures,
        f16_honest_pings_are_fine,
        NOTHING,
        "BUD-5",
        "a PING each 100 ms for ten minutes is no flood"
    ),
    case!(
        flow,
        f17_control_goes_before_data,
        NOTHING,
        "DRV-2",
        "an answer to a PING does not wait for the data that waits"
    ),
    case!(
        flow,
        f17_any_byte_is_life,
        NOTHING,
        "HBT-12",
        "whoever sends data, or half a frame, needs no heartbeat"
    ),
    case!(
        failures,
        f18_partial_frame_times_out,
        NOTHING,
        "HBT-8",
        "a frame that does not become whole ends the connection"
    ),
    case!(
        failures,
        f18_handshake_times_out,
        NOTHING,
        "HND-3",
        "a handshake that is not made ends the connection"
    ),
    case!(
        failures,
        f19_late_poll_is_forgiven,
        NOTHING,
        "HBT-6",
        "a server that slept does not take its own sleep for silence"
    ),
    case!(
        failures,
        f20_timers_begin_anew,
        NOTHING,
        "HBT-13",
        "a new connection has its whole limit of silence"
    ),
    case!(
        flow,
        f21_control_needs_no_room,
        NOTHING,
        "HBT-9 POS-14",
        "answers and acks need no room in the send buffer"
    ),
    case!(
        failures,
        f22_silence_is_noticed,
        NOTHING,
        "HBT-4",
        "a silent peer is given up at its limit, not before"
    ),
    case!(
        failures,
        f23_end_of_stream_detaches,
        NOTHING,
        "RSM-17",
        "the end of the stream leaves the session as it is"
    ),
    case!(
        failures,
        f23_finish_ends_well,
        NOTHING,
        "CLS-3 CLS-5",
        "two FINs and their acks end the session with OK"
    ),
    case!(
        failures,
        f24_loss_says_what_arrived,
        NOTHING,
        "CLS-6 CLS-13",
        "CLOSE of an ended session says what was received"
    ),
    case!(
        flow,
        f25_hint_of_the_server_is_kept,
        PACED,
        "CLI-1",
        "a client told to wait does not dial before"
    ),
    case!(
        failures,
        f26_send_never_waits,
        NOTHING,
        "POS-5",
        "sending to a peer that takes nothing is refused, and memory stays"
    ),
    case!(
        failures,
        f27_resume_with_other_limits,
        NOTHING,
        "RSM-14",
        "limits cannot change with a resume"
    ),
    case!(
        flow,
        f28_one_message_at_a_time,
        NOTHING,
        "FRG-1 FRG-2 FRM-9",
        "between fragments control may pass and no other message"
    ),
    case!(
        flow,
        f29_nothing_is_compressed,
        NOTHING,
        "FRM-6",
        "a frame with options, such as a codec, is refused"
    ),
    case!(
        failures,
        f30_unknown_critical,
        NOTHING,
        "FRM-6",
        "an unknown kind that may not be skipped ends the connection"
    ),
    case!(
        failures,
        f30_unknown_ignorable_is_counted,
        NOTHING,
        "FRM-3 FRM-7",
        "an unknown kind that may be skipped counts in the position"
    ),
    case!(
        failures,
        f30_zeros_and_ones,
        NOTHING,
        "FRM-5",
        "streams of zeros and of ones end at their first frame"
    ),
    case!(
        failures,
        f31_version_range_is_told,
        NOTHING,
        "HND-6",
        "a HELLO without a common version is told the range"
    ),
    case!(
        failures,
        f32_one_response_for_each_request,
        NOTHING,
        "REQ-3 REQ-5",
        "a request gets one response, and its number is free then"
    ),
    case!(
        failures,
        f32_response_unasked,
        NOTHING,
        "REQ-4",
        "a response nobody asked for ends the connection"
    ),
    case!(flow, f33_grants_are_reserved, NOTHING, "FRM-6", "the kinds of streams are refused"),
    case!(
        flow,
        f34_noise_delivers_nothing,
        NOTHING,
        "HND-1 FRM-5",
        "noise opens no session and delivers nothing"
    ),
    case!(
        failures,
        f35_unconfirmed_is_reaped,
        NOTHING,
        "REG-8",
        "a session whose client was never heard is gone after the handshake time"
    ),
    case!(
        flow,
        f35_heard_once_is_confirmed,
        NOTHING,
        "REG-8",
        "a session whose client was heard once stays, however soon its connection ended"
    ),
    case!(
        flow,
        f36_hoarding_evicts_the_oldest,
        NOTHING,
        "REG-10",
        "beyond the limit the session detached longest is evicted, and says so"
    ),
    case!(
        histories,
        c01_any_split,
        NOTHING,
        "FRM-17",
        "any division of the same bytes gives the same messages"
    ),
    case!(
        histories,
        c02_connections_do_not_mix,
        NOTHING,
        "DRV-10",
        "halves of frames on two connections stay apart"
    ),
    case!(
        histories,
        c03_pauses_lose_nothing,
        NOTHING,
        "DRV-10",
        "a pause inside a frame loses none of it"
    ),
    case!(
        histories,
        c04_empty_is_not_the_end,
        NOTHING,
        "FRM-12",
        "an empty message, a cut frame and the end are three things"
    ),
    case!(
        histories,
        c05_too_large_from_the_header,
        NOTHING,
        "FRM-10",
        "a length over the limit is refused by the header alone"
    ),
    case!(
        histories,
        c06_echo_without_deadlock,
        NOTHING,
        "CRD-10",
        "a million messages to an echo come back, whatever the buffers"
    ),
    case!(
        histories,
        c07_peer_that_never_reads,
        NOTHING,
        "CRD-4",
        "a peer that takes nothing stops only itself"
    ),
    case!(
        histories,
        c08_unknown_kind_costs_one_connection,
        NOTHING,
        "FRM-6",
        "what one peer does wrong, others do not notice"
    ),
    case!(
        histories,
        c09_close_racing_send,
        NOTHING,
        "CLS-4",
        "sending to a session that has just ended is an error, and the end is told once"
    ),
    case!(
        histories,
        c10_silent_peer_frees_its_place,
        NOTHING,
        "HBT-4",
        "a peer that never says a byte is gone in time"
    ),
    case!(
        histories,
        c11_misuse_leaves_the_session,
        NOTHING,
        "HND-20",
        "a message too long to send leaves the session as it was"
    ),
    case!(
        histories,
        c12_every_setting_has_an_effect,
        NOTHING,
        "HND-14",
        "what is configured is what is announced"
    ),
    case!(
        histories,
        c13_requests_leave_nothing_behind,
        NOTHING,
        "REQ-5",
        "a million requests one after the other leave nothing behind; fewer in real time"
    ),
];
