//! The random engine and the replayer of findings, on stable Rust.
//!
//! ```text
//! replay --list                              the targets
//! replay NAME --seconds N [--seed S]         made-up inputs for N seconds
//! replay NAME --seed S --input I             one made-up input again
//! replay NAME FILE…                          inputs from files
//! replay NAME --write-seeds DIR              the inputs it starts from, for another fuzzer
//! ```

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use outlast_fuzz::engine::{Random, input};
use outlast_fuzz::{TARGETS, Target, target};

/// One input that takes longer than this hangs.
const STUCK: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return ExitCode::SUCCESS;
    }
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), String> {
    let (name, rest) = arguments.split_first().ok_or("usage: replay --list | NAME …")?;
    let target = target(name).ok_or_else(|| format!("no target is called {name}"))?;
    let (mut seconds, mut seed, mut index) = (None, None, None);
    let mut words = rest.iter();
    while let Some(word) = words.next() {
        let slot = match word.as_str() {
            "--seconds" => &mut seconds,
            "--seed" => &mut seed,
            "--input" => &mut index,
            "--write-seeds" => {
                let dir = words.next().ok_or("--write-seeds wants a folder")?;
                return write_seeds(target, Path::new(dir));
            }
            file => {
                replay_file(target, Path::new(file))?;
                continue;
            }
        };
        let value = words.next().and_then(|value| value.parse().ok());
        *slot = Some(value.ok_or_else(|| format!("{word} wants a number"))?);
    }
    match (seconds, index) {
        (_, Some(index)) => replay_input(target, seed.unwrap_or(0), index),
        (Some(seconds), None) => fuzz(target, Duration::from_secs(seconds), seed),
        (None, None) => Ok(()),
    }
}

fn write_seeds(target: &Target, dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    for (number, seed) in (target.seeds)().iter().enumerate() {
        fs::write(dir.join(format!("seed-{number:03}")), seed).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn replay_file(target: &Target, file: &Path) -> Result<(), String> {
    let data = fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    (target.run)(&data);
    println!("{}: clean", file.display());
    Ok(())
}

fn replay_input(target: &Target, seed: u64, index: u64) -> Result<(), String> {
    let data = input(&mut Random::new(seed, index), &(target.seeds)());
    println!("{} bytes: {data:02x?}", data.len());
    (target.run)(&data);
    Ok(())
}

fn fuzz(target: &Target, time: Duration, seed: Option<u64>) -> Result<(), String> {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_micros());
    let seed = seed.unwrap_or_else(|| u64::try_from(now() % u128::from(u32::MAX)).unwrap_or(0));
    println!("seed: {seed}");
    let progress = Arc::new(AtomicU64::new(0));
    let name = target.name;
    watch(Arc::clone(&progress), move |index| {
        eprintln!("stuck: `replay {name} --seed {seed} --input {index}`");
    });
    let seeds = (target.seeds)();
    for seed in &seeds {
        (target.run)(seed);
    }
    let start = Instant::now();
    let mut index = 0;
    while start.elapsed() < time {
        progress.store(index, Ordering::Relaxed);
        let data = input(&mut Random::new(seed, index), &seeds);
        // The function holds nothing that outlives the call.
        if catch_unwind(AssertUnwindSafe(|| (target.run)(&data))).is_err() {
            let path = save(name, &data)?;
            return Err(format!(
                "a finding, saved as {path}; again: `replay {name} --seed {seed} --input {index}`"
            ));
        }
        index += 1;
    }
    println!("executions: {index}");
    Ok(())
}

/// Ends the process if the counter stands still: a thread that hangs cannot be stopped otherwise.
fn watch(progress: Arc<AtomicU64>, report: impl Fn(u64) + Send + 'static) {
    thread::spawn(move || {
        let mut last = u64::MAX;
        loop {
            // tidy: allow(sleep): it watches a thread that hangs, which no event can tell.
            thread::sleep(STUCK);
            let now = progress.load(Ordering::Relaxed);
            if now == last {
                report(now);
                std::process::exit(2);
            }
            last = now;
        }
    });
}

fn save(name: &str, data: &[u8]) -> Result<String, String> {
    let dir = format!("artifacts/{name}");
    fs::create_dir_all(&dir).map_err(|e| e.to_string())?;
    let sum = data.iter().fold(0xCBF2_9CE4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let path = format!("{dir}/random-{sum:016x}");
    fs::write(&path, data).map_err(|e| e.to_string())?;
    Ok(path)
}
