//! Every check of this repository behind one command.
//!
//! `cargo xtask test` runs them all in order and ends with a table; `cargo xtask test NAME…` runs
//! the named ones. A few take options when run alone: see `cargo xtask help`.

mod builds;
mod dashboard;
mod firmware;
mod footprint;
mod fuzz;
mod instructions;
mod manifest;
mod options;
mod peers;
mod process;
mod proof;
mod quality;
mod stack;
mod steps;
mod suites;
mod tidy;
mod tools;
mod wireshark;
mod workspace;

use std::process::ExitCode;

use options::Command;
use workspace::Workspace;

const HELP: &str = "\
Checks of this repository. Needs Rust; installs or names what else a step wants.

cargo xtask test               every step, then a table
cargo xtask test fmt tidy      only these steps, in the order of the list
cargo xtask list               the steps and what each one proves
cargo xtask tidy               house rules, with file and line
cargo xtask proof              link proofs: no panic, no allocator
cargo xtask instructions [--bless]
                               exact instruction counts; --bless rewrites the record
cargo xtask firmware [--runs N] [--loaded yes]
                               boards under QEMU; each link N times, with both cores busy
cargo xtask firmware --serve yes
                               a board as a client of `outlast serve`; prints both sides
cargo xtask footprint [--bless]
                               sizes, stack, instructions; --bless rewrites docs/embedded.md
cargo xtask stack              the bound on the stack of each call of the core
cargo xtask footprint --peers yes
                               builds MQTT clients too, and writes their sizes there
cargo xtask fuzz [--seconds N] [--target NAME] [--engine libfuzzer|random] [--seed N]
                               fuzz every target (or one) for N seconds each";

fn main() -> ExitCode {
    let workspace = Workspace::find();
    match options::parse(std::env::args().skip(1)) {
        Ok(Command::Help) => {
            println!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Command::List) => {
            steps::list();
            ExitCode::SUCCESS
        }
        Ok(Command::Test(names)) => steps::run(&workspace, &names),
        Ok(Command::Fuzz(options)) => single(fuzz::run(&workspace, &options)),
        Ok(Command::Firmware(options)) => single(firmware::run(&workspace, &options)),
        Ok(Command::Stack) => single(stack::run(&workspace)),
        Ok(Command::Peers) => single(peers::bless(&workspace)),
        Ok(Command::BlessFootprint) => single(footprint::bless(&workspace)),
        Ok(Command::Bless) => single(instructions::bless(&workspace)),
        Err(message) => {
            eprintln!("{message}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Reports a step that was run with options of its own.
fn single(verdict: steps::Verdict) -> ExitCode {
    match verdict {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("failed: {why}");
            ExitCode::FAILURE
        }
    }
}
