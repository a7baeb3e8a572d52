//! Every input that ever was a finding, and every seed, runs clean.

use std::fs;
use std::path::Path;

use outlast_fuzz::TARGETS;
use outlast_fuzz::engine::{Random, input};

/// Inputs made up per target; the fuzzers do the many.
const INPUTS: u64 = 2_000;
const SEED: u64 = 1;

#[test]
fn seeds_run_clean() {
    for target in TARGETS {
        (target.seeds)().iter().for_each(|seed| (target.run)(seed));
    }
}

#[test]
fn past_findings_stay_mended() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions").join(target.name);
        let Ok(entries) = fs::read_dir(folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.expect("a readable folder").path();
            println!("{}", path.display());
            (target.run)(&fs::read(path).expect("a readable file"));
        }
    }
}

#[test]
fn made_up_inputs_run_clean() {
    for target in TARGETS {
        let seeds = (target.seeds)();
        for index in 0..INPUTS {
            let _named = Named(target.name, index);
            (target.run)(&input(&mut Random::new(SEED, index), &seeds));
        }
    }
}

/// Says which input it was if the test fails on it.
struct Named(&'static str, u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("again: replay {} --seed {SEED} --input {}", self.0, self.1);
        }
    }
}
