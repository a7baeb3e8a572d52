//! Work of the core whose instructions are counted: `count` lists it, `count NAME ROUNDS` does it.
//!
//! A round is [`ROUND`] messages. `cargo xtask instructions` runs every piece of work twice, with
//! different numbers of rounds, and takes the difference: what start-up costs cancels out, and what
//! is left is the same on every run of the same binary, however busy the machine is.

mod pair;
mod work;

use std::hint::black_box;
use std::process::ExitCode;

/// Messages in a round.
const ROUND: usize = 1_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        work::ALL.iter().for_each(|work| println!("{}", work.name));
        return ExitCode::SUCCESS;
    }
    let name = arguments.first().map(String::as_str);
    let work = work::ALL.iter().find(|work| Some(work.name) == name);
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok());
    let (Some(work), Some(rounds)) = (work, rounds) else {
        eprintln!("usage: count [NAME ROUNDS]");
        return ExitCode::from(2);
    };
    black_box((work.run)(black_box(rounds)));
    ExitCode::SUCCESS
}
