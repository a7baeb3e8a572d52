//! Long histories, each from one number, and what they have to have gone through in all.

use outlast_conformance::sim::{History, run, seeds};
use outlast_conformance::strategies;
use outlast_conformance::world::Seen;
use proptest::prelude::*;

/// `OUTLAST_SEEDS` raises the number of histories, `OUTLAST_SEED` replays one.
#[test]
fn histories_of_many_seeds() {
    //= test POS-1 POS-3 POS-18 REQ-3 REQ-11 FRG-9 HBT-13 RSM-16
    let seeds = seeds(2_000);
    let single = seeds.end - seeds.start == 1;
    let (mut items, mut answers, mut all) = (0, 0, Seen::default());
    for seed in seeds {
        match run(seed) {
            Ok(report) => {
                items += report.items;
                answers += report.answers;
                all += report.seen;
            }
            Err(failure) => panic!("{failure}\n(replay with OUTLAST_SEED={seed})"),
        }
    }
    println!("{items} items, {answers} answers, {all:?}");
    // A fault that never happens proves nothing.
    let Seen { lossy_cuts, takeovers, resumes, crashes, refusals, silences, .. } = all;
    let counts = [lossy_cuts, takeovers, resumes, crashes, refusals, silences, items, answers];
    assert!(single || counts.iter().all(|count| *count > 0), "{all:?}");
}

#[test]
fn a_seed_is_the_whole_history() {
    for seed in 1..50 {
        let digest = |seed| run(seed).map(|report| report.digest).ok();
        assert_eq!(digest(seed), digest(seed), "seed {seed}");
    }
}

#[test]
fn positions_start_where_numbers_overflow() {
    //= test POS-1 POS-2
    for (number, start) in [1u64 << 31, 1 << 32, 1 << 33, 1 << 62, 1 << 63].into_iter().enumerate()
    {
        for seed in 0..40 {
            let mut history = History::draw(seed * 5 + number as u64);
            history.start = (start - seed * 7, start - 500 + seed * 3);
            history.run().unwrap_or_else(|failure| panic!("start {start}: {failure}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Histories whose parts are drawn one by one, so that a failing one can be made smaller.
    #[test]
    fn histories_of_drawn_parts(history in strategies::history()) {
        prop_assert!(history.run().is_ok(), "{}", history.run().unwrap_err());
    }
}
