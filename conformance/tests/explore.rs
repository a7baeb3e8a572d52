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
fn finish() {
    //= test CLS-3 CLS-5
    explores("finish");
}

#[test]
fn credit() {
    //= test CRD-2 CRD-9 CRD-10
    explores("credit");
}

#[test]
fn expire() {
    //= test RSM-12 RSM-19 CLS-13
    explores("expire");
}

#[test]
fn release() {
    //= test POS-12 POS-15 CRD-4 RSM-11
    explores("release");
}

#[test]
fn rotate() {
    //= test AUT-11 AUT-13 REG-6
    explores("rotate");
}

#[test]
fn durable() {
    //= test SNP-1 SNP-6
    explores("durable");
}

#[test]
fn rollback() {
    //= test RSM-6 RSM-7
    explores("rollback");
}

#[test]
fn takeover() {
    //= test POS-18 RSM-2 RSM-3 RSM-5 RSM-8 RSM-9
    explores("takeover");
}
