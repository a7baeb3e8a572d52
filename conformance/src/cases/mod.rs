//! Every case by name: what must happen, which sentence says so, and how to see it.
//!
//! | names | from |
//! |---|---|
//! | `f…` | failures of other protocols that this one rules out |
//! | `c…` | what broke real users of earlier systems |
//! | `a…` | bad input and attacks |
//!
//! A case is written once, over a [`Bench`], and runs on every driver:
//!
//! ```no_run
//! use outlast_conformance::memory::Memory;
//! outlast_conformance::suite! { Memory::default() }
//! ```

mod attack_table;
mod attacks;
mod failures;
mod flow;
mod histories;
mod hostile;
pub mod rows;
mod table;
mod tools;

use std::io::Write;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::bench::Bench;
use crate::driver::Driver;
use crate::model::Wrong;
#[cfg(test)]
pub(crate) use tools::SMALL;

/// One case.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// Its name, which never changes.
    pub name: &'static str,
    /// The sentences of the specification it is about.
    pub sentences: &'static str,
    /// What must happen.
    pub what: &'static str,
    /// Does it.
    pub run: fn(&mut Bench<'_>) -> Result<(), Wrong>,
}

/// Every case there is, in the order of names within each group.
#[must_use]
pub fn cases() -> Vec<Case> {
    [table::CASES, attack_table::CASES].concat()
}

/// The table of all cases, as Markdown.
#[must_use]
pub fn table() -> String {
    let mut out = String::from("| case | sentences | what must happen |\n|---|---|---|\n");
    for Case { name, sentences, what, .. } in cases() {
        out.push_str(&format!("| {name} | {sentences} | {what} |\n"));
    }
    out
}

/// Runs one case; false if what the driver runs is not there.
///
/// # Errors
///
/// What did not happen, or happened and must not.
pub fn run(driver: &mut dyn Driver, name: &str) -> Result<bool, Wrong> {
    let case = cases().into_iter().find(|case| case.name == name);
    let case = case.ok_or_else(|| Wrong(format!("there is no case {name}")))?;
    if let Some(missing) = driver.missing() {
        // Where all that is judged is there for sure, nothing is left out.
        if std::env::var_os("CI").is_some() {
            return Err(Wrong(format!("{} is missing: {missing}", driver.name())));
        }
        // Straight to the stream, as a test that passes keeps what it prints to itself.
        let said = format!("{name}: NOT RUN, {} is missing: {missing}\n", driver.name());
        let _ = std::io::stderr().write_all(said.as_bytes());
        return Ok(false);
    }
    let mut bench = Bench::new(driver);
    (case.run)(&mut bench)?;
    bench.dismiss(true).map(|()| true)
}

/// Cases that look at the memory of the process.
const MEASURING: [&str; 5] = [
    "a02_announced_body_costs_nothing",
    "a25_pings_without_progress",
    "a32_message_that_never_ends",
    "c07_peer_that_never_reads",
    "c13_requests_leave_nothing_behind",
];

/// Whose turn it is: cases run at the same time, but for those that look at the memory of the
/// process, which run alone.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it is held")] Held);

#[derive(Debug)]
#[expect(dead_code, reason = "they are held")]
enum Held {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

/// Waits for the turn of the case `name`, which lasts until it is dropped.
#[must_use]
pub fn turn(name: &str) -> Turn {
    static TURNS: RwLock<()> = RwLock::new(());
    Turn(if MEASURING.contains(&name) {
        Held::Alone(TURNS.write().unwrap_or_else(PoisonError::into_inner))
    } else {
        Held::Shared(TURNS.read().unwrap_or_else(PoisonError::into_inner))
    })
}

/// Makes a test of every case for a driver, an expression that makes a fresh one for each test.
///
/// None is left out, whatever the driver:
///
/// ```no_run
/// use outlast_conformance::memory::Memory;
/// outlast_conformance::suite! { Memory::default() }
/// ```
#[macro_export]
macro_rules! suite {
    ($driver:expr $(,)?) => {
        $crate::suite! { @each $driver;
            f01_ends_count_alike, f02_positions_wrap, f03_ack_beyond_sent, f03_ack_in_mid_frame,
            f04_takeover_fences_first, f05_stale_hello_is_refused, f06_ack_means_taken,
            f07_rollback_is_noticed, f08_dead_session_answers, f09_guessed_sid_is_unknown,
            f09_wrong_proof_is_unknown, f10_new_key_is_used, f11_superseded_forbids_retry,
            f12_poison_ends_the_session, f13_control_needs_no_credit,
            f14_output_never_holds_up_input, f15_ping_flood_is_calmed, f15_pongs_are_coalesced,
            f16_honest_pings_are_fine, f17_control_goes_before_data, f17_any_byte_is_life,
            f18_partial_frame_times_out, f18_handshake_times_out, f19_late_poll_is_forgiven,
            f20_timers_begin_anew, f21_control_needs_no_room, f22_silence_is_noticed,
            f23_end_of_stream_detaches, f23_finish_ends_well, f24_loss_says_what_arrived,
            f25_hint_of_the_server_is_kept, f26_send_never_waits, f27_resume_with_other_limits,
            f28_one_message_at_a_time, f29_nothing_is_compressed, f30_unknown_critical,
            f30_unknown_ignorable_is_counted, f30_zeros_and_ones, f31_version_range_is_told,
            f32_one_response_for_each_request, f32_response_unasked, f33_grants_are_reserved,
            f34_noise_delivers_nothing, f35_unconfirmed_is_reaped, f35_heard_once_is_confirmed,
            f36_hoarding_evicts_the_oldest,
            c01_any_split, c02_connections_do_not_mix, c03_pauses_lose_nothing,
            c04_empty_is_not_the_end, c05_too_large_from_the_header, c06_echo_without_deadlock,
            c07_peer_that_never_reads, c08_unknown_kind_costs_one_connection, c09_close_racing_send,
            c10_silent_peer_frees_its_place, c11_misuse_leaves_the_session,
            c12_every_setting_has_an_effect, c13_requests_leave_nothing_behind,
            a01_length_over_the_limit, a02_announced_body_costs_nothing, a03_wrong_body_sizes,
            a04_byte_at_a_time, a05_handshake_drip, a06_frame_drip, a07_silent_connections,
            a08_unknown_kinds, a09_reserved_bits, a10_noise, a11_foreign_protocols,
            a12_text_is_text, a15_bad_options, a16_frames_out_of_state, a17_ack_of_the_future,
            a18_ack_regress, a19_repeated_frame, a20_position_gap, a22_credit_overrun_by_one,
            a22_credit_shrink, a23_extreme_hellos, a24_request_reuse, a25_pings_without_progress,
            a26_both_ends_full, a27_ping_flood, a28_small_messages_are_free,
            a29_request_and_cancel_flood, a32_message_that_never_ends, a33_tiny_fragments,
            a34_message_over_the_limit, a40_vanished_peer_with_data, a41_resets,
            a42_end_in_mid_frame, a43_resume_flood, a44_replayed_resume,
            a46_late_bytes_after_takeover, a47_superseded_client_stops, a48_orphans_are_limited,
            a49_too_long_a_greeting, a69_bytes_behind_hello,
        }
    };
    (@each $driver:expr; $($name:ident),* $(,)?) => {
        $(
            #[test]
            fn $name() {
                let _turn = $crate::cases::turn(stringify!($name));
                let mut driver = $driver;
                if let Err(wrong) = $crate::cases::run(&mut driver, stringify!($name)) {
                    panic!("{}: {wrong}", stringify!($name));
                }
            }
        )*

        #[test]
        fn every_case_has_a_test() {
            let known: Vec<_> = $crate::cases::cases().iter().map(|case| case.name).collect();
            assert_eq!(known, [$(stringify!($name)),*]);
        }
    };
}
