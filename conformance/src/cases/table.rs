//! The list of cases from failures and histories, and what a list is made with.

use super::{Case, failures, flow, histories};

macro_rules! case {
    ($module:ident, $run:ident, $sentences:literal, $what:literal) => {
        Case { name: stringify!($run), sentences: $sentences, what: $what, run: $module::$run }
    };
}
pub(super) use case;

pub(super) const CASES: &[Case] = &[
    case!(
        failures,
        f01_ends_count_alike,
        "POS-10",
        "a PING whose position is not the receiver's ends the session"
    ),
    case!(failures, f02_positions_wrap, "POS-2", "an ack 2^31 or more ahead counts as going back"),
    case!(failures, f03_ack_beyond_sent, "POS-8", "an ack of what was not sent ends the session"),
    case!(failures, f03_ack_in_mid_frame, "POS-8", "an ack inside a frame ends the session"),
    case!(
        failures,
        f04_takeover_fences_first,
        "RSM-8",
        "what the old connection has under way is not taken after WELCOME"
    ),
    case!(
        failures,
        f05_stale_hello_is_refused,
        "RSM-3",
        "a repeated attach number leaves the session and its connection alone"
    ),
    case!(failures, f06_ack_means_taken, "POS-12", "an ack covers what the application took"),
    case!(
        failures,
        f07_rollback_is_noticed,
        "RSM-6 RSM-7",
        "a claim to more than was sent ends the session at both ends"
    ),
    case!(failures, f08_dead_session_answers, "RSM-12", "a dead session answers every claim alike"),
    case!(
        failures,
        f09_guessed_sid_is_unknown,
        "REG-3",
        "a guessed number is answered with NO_SESSION"
    ),
    case!(
        failures,
        f09_wrong_proof_is_unknown,
        "REG-3",
        "a wrong proof is answered as an unknown number is"
    ),
    case!(
        flow,
        f10_new_key_is_used,
        "AUT-11",
        "a client claims its session with the newest key it got"
    ),
    case!(
        failures,
        f11_superseded_forbids_retry,
        "RSM-10",
        "the connection taken over is told not to come back"
    ),
    case!(
        failures,
        f12_poison_ends_the_session,
        "CLS-12",
        "the same error twice at the same place ends the session"
    ),
    case!(
        failures,
        f13_control_needs_no_credit,
        "CRD-9",
        "control frames pass where the window is used up"
    ),
    case!(
        flow,
        f14_output_never_holds_up_input,
        "DRV-1 CRD-10",
        "input is taken while no output is"
    ),
    case!(
        failures,
        f15_ping_flood_is_calmed,
        "BUD-1 BUD-2",
        "more PINGs than the budget holds end the connection with CALM"
    ),
    case!(
        failures,
        f15_pongs_are_coalesced,
        "HBT-10",
        "many PINGs at once get one PONG, for the last"
    ),
    case!(
        failures,
        f16_honest_pings_are_fine,
        "BUD-5",
        "a PING each 100 ms for ten minutes is no flood"
    ),
    case!(
        flow,
        f17_control_goes_before_data,
        "DRV-2",
        "an answer to a PING does not wait for the data that waits"
    ),
    case!(
        flow,
        f17_any_byte_is_life,
        "HBT-12",
        "whoever sends data, or half a frame, needs no heartbeat"
    ),
    case!(
        failures,
        f18_partial_frame_times_out,
        "HBT-8",
        "a frame that does not become whole ends the connection"
    ),
    case!(
        failures,
        f18_handshake_times_out,
        "HND-3",
        "a handshake that is not made ends the connection"
    ),
    case!(
        failures,
        f19_late_poll_is_forgiven,
        "HBT-6",
        "a server that slept does not take its own sleep for silence"
    ),
    case!(
        failures,
        f20_timers_begin_anew,
        "HBT-13",
        "a new connection has its whole limit of silence"
    ),
    case!(
        flow,
        f21_control_needs_no_room,
        "HBT-9 POS-14",
        "answers and acks need no room in the send buffer"
    ),
    case!(
        failures,
        f22_silence_is_noticed,
        "HBT-4",
        "a silent peer is given up at its limit, not before"
    ),
    case!(
        failures,
        f23_end_of_stream_detaches,
        "RSM-17",
        "the end of the stream leaves the session as it is"
    ),
    case!(
        failures,
        f23_finish_ends_well,
        "CLS-3 CLS-5",
        "two FINs and their acks end the session with OK"
    ),
    case!(
        failures,
        f24_loss_says_what_arrived,
        "CLS-6 CLS-13",
        "CLOSE of an ended session says what was received"
    ),
    case!(
        flow,
        f25_hint_of_the_server_is_kept,
        "CLI-1",
        "a client told to wait does not dial before"
    ),
    case!(
        failures,
        f26_send_never_waits,
        "POS-5",
        "sending to a peer that takes nothing is refused, and memory stays"
    ),
    case!(failures, f27_resume_with_other_limits, "RSM-14", "limits cannot change with a resume"),
    case!(
        flow,
        f28_one_message_at_a_time,
        "FRG-1 FRG-2 FRM-9",
        "between fragments control may pass and no other message"
    ),
    case!(
        flow,
        f29_nothing_is_compressed,
        "FRM-6",
        "a frame with options, such as a codec, is refused"
    ),
    case!(
        failures,
        f30_unknown_critical,
        "FRM-6",
        "an unknown kind that may not be skipped ends the connection"
    ),
    case!(
        failures,
        f30_unknown_ignorable_is_counted,
        "FRM-3 FRM-7",
        "an unknown kind that may be skipped counts in the position"
    ),
    case!(
        failures,
        f30_zeros_and_ones,
        "FRM-5",
        "streams of zeros and of ones end at their first frame"
    ),
    case!(
        failures,
        f31_version_range_is_told,
        "HND-6",
        "a HELLO without a common version is told the range"
    ),
    case!(
        failures,
        f32_one_response_for_each_request,
        "REQ-3 REQ-5",
        "a request gets one response, and its number is free then"
    ),
    case!(
        failures,
        f32_response_unasked,
        "REQ-4",
        "a response nobody asked for ends the connection"
    ),
    case!(flow, f33_grants_are_reserved, "FRM-6", "the kinds of streams are refused"),
    case!(
        flow,
        f34_noise_delivers_nothing,
        "HND-1 FRM-5",
        "noise opens no session and delivers nothing"
    ),
    case!(
        failures,
        f35_unconfirmed_is_reaped,
        "REG-8",
        "a session whose client was never heard is gone after the handshake time"
    ),
    case!(
        flow,
        f35_heard_once_is_confirmed,
        "REG-8",
        "a session whose client was heard once stays, however soon its connection ended"
    ),
    case!(
        flow,
        f36_hoarding_evicts_the_oldest,
        "REG-10",
        "beyond the limit the session detached longest is evicted, and says so"
    ),
    case!(
        histories,
        c01_any_split,
        "FRM-17",
        "any division of the same bytes gives the same messages"
    ),
    case!(
        histories,
        c02_connections_do_not_mix,
        "DRV-10",
        "halves of frames on two connections stay apart"
    ),
    case!(histories, c03_pauses_lose_nothing, "DRV-10", "a pause inside a frame loses none of it"),
    case!(
        histories,
        c04_empty_is_not_the_end,
        "FRM-12",
        "an empty message, a cut frame and the end are three things"
    ),
    case!(
        histories,
        c05_too_large_from_the_header,
        "FRM-10",
        "a length over the limit is refused by the header alone"
    ),
    case!(
        histories,
        c06_echo_without_deadlock,
        "CRD-10",
        "a million messages to an echo come back, whatever the buffers"
    ),
    case!(
        histories,
        c07_peer_that_never_reads,
        "CRD-4",
        "a peer that takes nothing stops only itself"
    ),
    case!(
        histories,
        c08_unknown_kind_costs_one_connection,
        "FRM-6",
        "what one peer does wrong, others do not notice"
    ),
    case!(
        histories,
        c09_close_racing_send,
        "CLS-4",
        "sending to a session that has just ended is an error, and the end is told once"
    ),
    case!(
        histories,
        c10_silent_peer_frees_its_place,
        "HBT-4",
        "a peer that never says a byte is gone in time"
    ),
    case!(
        histories,
        c11_misuse_leaves_the_session,
        "HND-20",
        "a message too long to send leaves the session as it was"
    ),
    case!(
        histories,
        c12_every_setting_has_an_effect,
        "HND-14",
        "what is configured is what is announced"
    ),
    case!(
        histories,
        c13_requests_leave_nothing_behind,
        "REQ-5",
        "a million requests one after the other leave nothing behind; fewer in real time"
    ),
];
