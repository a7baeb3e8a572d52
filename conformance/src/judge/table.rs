//! The list of all cases.

use super::{Role, WireCase, claims, client, echo, greeting, link, open};

macro_rules! cases {
    ($($role:ident $module:ident::$run:ident = $name:literal, $sentences:literal,
       $what:literal $(, $flag:ident)?;)*) => {
        vec![$(WireCase {
            name: $name,
            role: Role::$role,
            sentences: $sentences,
            what: $what,
            echo: cases!(@is echo $($flag)?),
            slow: cases!(@is slow $($flag)?),
            run: $module::$run,
        }),*]
    };
    (@is echo echo) => { true };
    (@is slow slow) => { true };
    (@is $flag:ident $($other:ident)?) => { false };
}

/// Every case of the judge, in the order in which they are run.
#[must_use]
pub fn wire_cases() -> Vec<WireCase> {
    [of_greetings(), of_connections(), of_sessions(), of_clients()].concat()
}

fn of_greetings() -> Vec<WireCase> {
    cases! {
        Server greeting::foreign_protocols = "greeting_foreign_protocols", "HND-1 FRM-5",
            "what is no HELLO is refused at its first byte";
        Server greeting::wrong_magic = "greeting_wrong_magic", "HND-2",
            "another magic is refused at its first wrong byte";
        Server greeting::no_common_version = "greeting_no_common_version", "HND-5 HND-6 HND-7",
            "without a common version the range is told";
        Server greeting::welcome_is_legal = "greeting_welcome_is_legal",
            "HND-9 HND-12 HND-13 HND-14 HND-15 HND-23 REG-15",
            "WELCOME keeps what the specification says of its fields";
        Server greeting::illegal_limits = "greeting_illegal_limits", "HND-9 HND-26",
            "limits that are illegal are refused";
        Server greeting::extreme_fields = "greeting_extreme_fields", "HND-24",
            "zero and the largest value in every other field lead to a session or a code";
        Server greeting::options = "greeting_options", "FRM-22 FRM-23 FRM-24",
            "options that are cut, repeated or critical and unknown are refused, others skipped";
        Server greeting::flags = "greeting_flags", "HND-8 HND-17",
            "flags fit the options, and a session is wanted";
        Server greeting::too_long = "greeting_too_long", "HND-4 FRM-11",
            "a header of HELLO that promises too much is enough to refuse it";
        Server greeting::bytes_behind_hello = "greeting_bytes_behind_hello", "HND-10",
            "bytes behind a HELLO before its answer are refused";
        Server greeting::other_frames_first = "greeting_other_frames_first", "HND-1",
            "frames of an open connection are refused before there is one";
        Server greeting::byte_at_a_time = "greeting_byte_at_a_time", "FRM-17",
            "a HELLO in single bytes is a HELLO";
        Server greeting::handshake_has_an_end = "greeting_has_an_end", "HND-3",
            "bytes do not extend the time for the handshake";
    }
}

fn of_connections() -> Vec<WireCase> {
    cases! {
        Server open::illegal_kinds = "open_illegal_kinds", "FRM-5 FRM-6",
            "kinds that are illegal or unknown and critical are refused";
        Server open::reserved_bits = "open_reserved_bits", "FRM-8 FRM-9 FRM-11 FRM-21 CLS-15",
            "reserved bits are refused, in the order of the rules";
        Server open::wrong_sizes = "open_wrong_sizes", "FRM-12 FRM-13 FRM-15 FRG-8",
            "bodies and tags that a kind does not have are refused";
        Server open::text_is_text = "open_text_is_text", "FRM-29 CLS-15",
            "a reason that is no text or too long is refused";
        Server open::handshake_frames = "open_handshake_frames", "HND-19 FRM-20",
            "frames of the handshake and of the other direction are refused";
        Server open::over_the_limits = "open_over_the_limits", "FRM-10 FRG-5",
            "a body or message over its limit is refused at the first byte over it";
        Server open::unknown_is_counted = "open_unknown_is_counted", "FRM-3 FRM-7 FRM-26 FRM-27",
            "unknown kinds that may be skipped count in the position";
        Server open::pings_are_answered = "open_pings_are_answered", "HBT-9 HBT-11 POS-10",
            "a PING is answered with its nonce and right positions";
        Server open::wrong_positions = "open_wrong_positions", "POS-10 CLS-6 RSM-12",
            "a PING at another position ends the session";
        Server open::wrong_acks = "open_wrong_acks", "POS-8 POS-9 CRD-8 RSM-12",
            "acks of the future or the past, and credit taken back, end the session";
        Server open::requests = "open_requests", "REQ-2 REQ-4 REQ-7",
            "numbers of requests out of range, and responses unasked, are refused";
        Server open::fragments = "open_fragments", "FRG-1 FRG-2 FRG-3 FRG-6",
            "one message at a time, and an aborted one was never sent";
        Server open::behind_fin = "open_behind_fin", "CLS-1 CLS-2",
            "nothing may follow FIN";
        Server open::a_peer_may_drain = "open_a_peer_may_drain", "CLS-8",
            "DRAIN of a client changes nothing for the server";
        Server link::floods_are_calmed = "link_floods_are_calmed", "BUD-1 BUD-2 BUD-3",
            "frames that move no data are paid from the budget, and the session survives it";
        Server link::messages_are_no_flood = "link_messages_are_no_flood", "BUD-5",
            "a thousand small sequenced frames are no flood";
        Server link::it_beats = "link_it_beats", "HBT-2",
            "it is never silent for as long as its client bears";
        Server link::silence_has_an_end = "link_silence_has_an_end", "HBT-3 HBT-4 RSM-17",
            "a silent client is asked, then given up at its limit, and may come back", slow;
        Server link::a_frame_has_an_end = "link_a_frame_has_an_end", "HBT-8",
            "bytes do not extend the time for a frame", slow;
    }
}

fn of_sessions() -> Vec<WireCase> {
    cases! {
        Server claims::a_session_goes_on = "claims_a_session_goes_on", "RSM-5 RSM-9 RSM-17 POS-7",
            "a session goes on after resets and ends of streams, without half frames";
        Server claims::it_acks_after_a_resume = "claims_it_acks_after_a_resume", "RSM-15",
            "an ACK follows WELCOME to a resume";
        Server claims::a_repeated_attach_is_stale = "claims_a_repeated_attach_is_stale",
            "RSM-3 RSM-4", "a number used before is refused, and nothing changes";
        Server claims::stolen_claims_are_unknown = "claims_stolen_claims_are_unknown",
            "REG-2 REG-3 AUT-1", "guessed and stolen sessions are unknown alike";
        Server claims::a_takeover_supersedes = "claims_a_takeover_supersedes", "RSM-8 RSM-10",
            "the old connection is told not to come back, and its bytes count no more";
        Server claims::wrong_claims_of_positions = "claims_wrong_positions",
            "RSM-6 RSM-7 RSM-12", "a claim that knows more than was said ends the session";
        Server claims::a_resume_with_less = "claims_a_resume_with_less", "RSM-14",
            "limits cannot shrink with a resume, and trying leaves the session";
        Server claims::codes_of_close = "claims_codes_of_close", "CLS-4 COD-2 COD-4 REG-9",
            "what CLOSE ends follows from its flags and from the range of its code";
        Server claims::the_same_place_twice_is_poison = "claims_poison", "CLS-12",
            "the same place broken twice ends the session, progress in between begins anew";
        Server claims::the_unconfirmed_are_dropped = "claims_unconfirmed_are_dropped", "REG-8",
            "a session whose client is never heard is gone after the handshake limit", slow;
        Server claims::credit_is_an_absolute_position = "claims_equal_acks", "POS-9",
            "an ack that says nothing new is legal";
        Server echo::messages = "echo_messages", "POS-18 FRM-16",
            "messages come back as they were, on their routes", echo;
        Server echo::byte_at_a_time = "echo_byte_at_a_time", "FRM-17",
            "a message in single bytes comes back", echo;
        Server echo::long_messages = "echo_long_messages", "FRG-4 FRG-5 POS-17",
            "a message in fragments comes back whole", echo;
        Server echo::requests = "echo_requests", "REQ-3 REQ-5",
            "every request gets one response, and its number is free then", echo;
        Server echo::exactly_once = "echo_exactly_once", "POS-18 RSM-9 RSM-18",
            "each message comes back once and in order over many breaks", echo;
        Server echo::a_good_end = "echo_a_good_end", "CLS-3 CLS-6 RSM-12",
            "two FINs end the session with OK, for ever", echo;
    }
}

fn of_clients() -> Vec<WireCase> {
    cases! {
        Client client::hello_is_legal = "client_hello_is_legal", "HND-1 HND-9 HND-10 HND-23 HND-26",
            "HELLO keeps what the specification says of its fields, and nothing follows it";
        Client client::confirms_its_session = "client_confirms", "HND-18",
            "a frame follows WELCOME at once";
        Client client::refuses_what_is_no_welcome = "client_refuses_no_welcome", "HND-1 HND-2",
            "what is no WELCOME is refused as soon as it is there";
        Client client::byte_at_a_time = "client_byte_at_a_time", "FRM-17",
            "a WELCOME in single bytes is a WELCOME";
        Client client::refuses_and_resumes = "client_refuses_and_resumes",
            "FRM-6 FRM-8 FRM-12 FRG-3 REQ-4 HND-19 RSM-1 RSM-2 AUT-1",
            "what is illegal costs the connection, not the session";
        Client client::resumes_with_its_positions = "client_resumes", "RSM-1 RSM-2 RSM-15 POS-7",
            "it claims its session with its positions, a new number and the right proof";
        Client client::uses_the_new_key = "client_uses_the_new_key", "AUT-11",
            "it claims its session with the newest key";
        Client client::counts = "client_counts", "POS-8 POS-9 POS-10 CRD-8 CLS-6",
            "wrong positions end the session at both ends";
        Client client::a_lost_session_is_replaced = "client_replaces_a_lost_session",
            "CLS-4 COD-4 CLI-8", "a session that is over is not claimed";
        Client client::takes_the_told_attach = "client_takes_the_told_attach", "RSM-20 CLI-6",
            "after STALE_ATTACH it tries again with the next number";
        Client client::leaves_when_asked = "client_leaves_when_asked", "CLS-9 CLI-4",
            "it leaves within the spread, and comes back";
        Client client::keeps_the_hint = "client_keeps_the_hint", "CLI-1 COD-6",
            "it does not dial before it was told to";
        Client client::beats = "client_beats", "HBT-2",
            "it is never silent for as long as its server bears";
        Client client::silence_has_an_end = "client_silence_has_an_end", "HBT-3 HBT-4",
            "a silent server is asked, then given up at its limit", slow;
        Client client::echo_exactly_once = "echo_client_exactly_once", "POS-18 RSM-9 REQ-3",
            "each message comes back once and in order over many breaks", echo;
        Client client::obeys_no_retry = "client_obeys_no_retry", "CLI-5 COD-5",
            "told not to come back, it does not";
    }
}
