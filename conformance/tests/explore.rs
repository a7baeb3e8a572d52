//! Every order of events within small bounds, with the real core.

use outlast_conformance::explore::Search;

fn explores(name: &str) {
    let search = Search::named(name).unwrap_or_else(|| panic!("no search {name}"));
    let outcome = search.run();
    println!("{name}: {outcome}");
    assert!(outcome.trouble.is_none(), "{name}: {outcome}");
    assert!(outcome.complete > 0 && outcome.depth > 20, "{name} went nowhere: {outcome}");
}

#[test]
fn sessions_that_both_ends_finish_end_well_in_every_order() {
    //= test CLS-3 CLS-5
    explores("finish");
}

#[test]
fn nothing_goes_beyond_the_credit_in_any_order() {
    //= test CRD-2 CRD-9 CRD-10
    explores("credit");
}

#[test]
fn a_session_that_expires_says_what_arrived_in_every_order() {
    //= test RSM-12 RSM-19 CLS-13
    explores("expire");
}

#[test]
fn only_what_was_released_is_acknowledged_in_any_order() {
    //= test POS-12 POS-15 CRD-4 RSM-11
    explores("release");
}

#[test]
fn keys_change_and_old_ones_lose_their_use_in_every_order() {
    //= test AUT-11 AUT-13 REG-6
    explores("rotate");
}

#[test]
fn a_restored_session_goes_on_in_every_order() {
    //= test SNP-1 SNP-6
    explores("durable");
}

#[test]
fn a_session_set_back_is_noticed_in_every_order() {
    //= test RSM-6 RSM-7
    explores("rollback");
}

#[test]
fn a_takeover_loses_and_doubles_nothing_in_any_order() {
    //= test POS-18 RSM-2 RSM-3 RSM-5 RSM-8 RSM-9
    explores("takeover");
}
