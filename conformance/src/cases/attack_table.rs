//! The list of cases from bad input and attacks.

use super::table::case;
use super::{Case, attacks, flow, hostile};

pub(super) const CASES: &[Case] = &[
    case!(
        attacks,
        a01_length_over_the_limit,
        "FRM-10",
        "one byte over the limit is refused by the header"
    ),
    case!(
        attacks,
        a02_announced_body_costs_nothing,
        "FRG-10",
        "a hundred announced bodies hold no more than their headers"
    ),
    case!(
        attacks,
        a03_wrong_body_sizes,
        "FRM-12 FRM-13",
        "bodies and tags that a kind does not have are refused"
    ),
    case!(attacks, a04_byte_at_a_time, "FRM-17 FRM-18", "legal bytes one at a time work"),
    case!(attacks, a05_handshake_drip, "HND-3", "bytes do not extend the time for the handshake"),
    case!(attacks, a06_frame_drip, "HBT-8", "bytes do not extend the time for a frame"),
    case!(
        hostile,
        a07_silent_connections,
        "HND-3",
        "a hundred silent connections are gone in time"
    ),
    case!(
        hostile,
        a08_unknown_kinds,
        "FRM-6 FRM-7",
        "every unknown kind is skipped or refused, as its bits say"
    ),
    case!(attacks, a09_reserved_bits, "FRM-8 FRM-9 HND-8", "reserved bits are refused"),
    case!(attacks, a10_noise, "FRM-5", "noise is refused"),
    case!(
        attacks,
        a11_foreign_protocols,
        "HND-1 HND-2",
        "other protocols are refused at their first bytes"
    ),
    case!(
        hostile,
        a12_text_is_text,
        "CLS-15",
        "a reason that is no text is refused, bytes stay bytes"
    ),
    case!(
        attacks,
        a15_bad_options,
        "FRM-23 FRM-24",
        "options that are cut, repeated or critical and unknown are refused"
    ),
    case!(
        attacks,
        a16_frames_out_of_state,
        "HND-19 FRM-20",
        "legal frames at the wrong time or from the wrong end are refused"
    ),
    case!(
        hostile,
        a17_ack_of_the_future,
        "POS-8",
        "an ack of what was not sent ends the session, after a resume too"
    ),
    case!(attacks, a18_ack_regress, "POS-9", "an ack that goes back ends the session"),
    case!(hostile, a19_repeated_frame, "POS-10", "a frame sent twice is noticed"),
    case!(attacks, a20_position_gap, "POS-10", "a gap in the position ends the session"),
    case!(
        attacks,
        a22_credit_overrun_by_one,
        "CRD-1",
        "a frame that ends one byte beyond the credit is refused"
    ),
    case!(attacks, a22_credit_shrink, "POS-9 CRD-8", "credit cannot be taken back"),
    case!(
        attacks,
        a23_extreme_hellos,
        "HND-24",
        "zero and the largest value in every field lead to a session or a code"
    ),
    case!(
        attacks,
        a24_request_reuse,
        "REQ-2",
        "a request with a number in use or out of range is refused"
    ),
    case!(
        hostile,
        a25_pings_without_progress,
        "POS-5 HBT-9",
        "who acknowledges nothing but asks gets answers, and no more is kept"
    ),
    case!(
        hostile,
        a26_both_ends_full,
        "CRD-10 DRV-1",
        "two ends that are full of output go on once anything is carried"
    ),
    case!(attacks, a27_ping_flood, "BUD-2", "PINGs with changing nonces are a flood too"),
    case!(
        hostile,
        a28_small_messages_are_free,
        "BUD-5",
        "thousands of empty messages are no flood"
    ),
    case!(
        attacks,
        a29_request_and_cancel_flood,
        "BUD-2",
        "cancelling without end is paid from the budget"
    ),
    case!(
        hostile,
        a32_message_that_never_ends,
        "FRG-6 FRG-10",
        "a message that never ends holds no more than its limit"
    ),
    case!(hostile, a33_tiny_fragments, "FRG-4", "a message in fragments of one byte arrives"),
    case!(
        attacks,
        a34_message_over_the_limit,
        "FRG-5",
        "a message of fragments is refused at the first byte over the limit"
    ),
    case!(
        flow,
        a40_vanished_peer_with_data,
        "HBT-4",
        "a peer that vanished is given up, and what it did not get is sent again"
    ),
    case!(
        hostile,
        a41_resets,
        "DRV-7",
        "connections reset at any moment cost nothing but themselves"
    ),
    case!(
        attacks,
        a42_end_in_mid_frame,
        "POS-7",
        "a stream that ends inside a frame only detaches"
    ),
    case!(
        hostile,
        a43_resume_flood,
        "REG-2 REG-3",
        "guessed claims get one answer, whether the number exists or not"
    ),
    case!(attacks, a44_replayed_resume, "RSM-3", "a HELLO that was recorded is worth nothing"),
    case!(
        attacks,
        a46_late_bytes_after_takeover,
        "RSM-8",
        "bytes of the connection taken over are not taken"
    ),
    case!(hostile, a47_superseded_client_stops, "CLI-5", "a client told not to come back does not"),
    case!(
        hostile,
        a48_orphans_are_limited,
        "REG-7",
        "sessions whose client is never heard are limited"
    ),
    case!(
        hostile,
        a49_too_long_a_greeting,
        "HND-4",
        "a greeting beyond its limit is refused by its header"
    ),
    case!(
        attacks,
        a69_bytes_behind_hello,
        "HND-10",
        "bytes behind a HELLO before its answer are refused"
    ),
];
