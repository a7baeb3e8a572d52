//! Runs the firmware in QEMU against a tokio server of this repository, over one of three links, or
//! against the command `outlast serve`.
//!
//! ```text
//! host wire ELF [--runs N] [--count N] [--loss P] [--duplicate P] [--reorder P] [--seed N]
//! host user ELF [--runs N] [--count N] [--seed N]
//! host tap  ELF [--runs N] [--count N] [--seed N]      as root
//! host reset ELF [--seed N]                            as root: the board dies in mid-stream
//! host serve ELF OUTLAST [--count N]                   with that program as the server
//! ```
//!
//! With `--reset-at N` the board resets itself once N messages came back, without a word to the
//! server, and takes its session up again: the new connection has to supersede the ghost.
//!
//! * `wire`: Ethernet frames in Unix datagrams, with seeded faults; the TCP of the other side is
//!   smoltcp's, and what it carries goes byte by byte to the server.
//! * `user`: QEMU's user network, whose 10.0.2.2 is this host.
//! * `tap`: a TAP device in a network namespace of its own, and the kernel's TCP.

mod board;
mod log;
mod options;
mod outlast;
mod server;
mod tap;
mod wire;

use std::process::ExitCode;
use std::time::Instant;

use options::{Link, Options};
use wire::Faults;

/// What happened, or what went wrong.
pub(crate) type Outcome<T = ()> = Result<T, String>;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match runs(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

/// All runs, each with its own seed; one that fails ends them.
fn runs(options: &Options) -> Outcome {
    let mut took = Vec::new();
    let mut faults = [Faults::default(); 2];
    for run in 0..options.runs {
        let options = Options { seed: options.seed + run, ..options.clone() };
        let start = Instant::now();
        let met =
            one(&options).map_err(|why| format!("run {run}, seed {}: {why}", options.seed))?;
        faults = [faults[0].plus(met[0]), faults[1].plus(met[1])];
        took.push(start.elapsed().as_millis());
    }
    if matches!(options.link, Link::TapInside | Link::ResetInside) {
        return Ok(());
    }
    if let Some(missing) = missing_fault(options, &faults) {
        return Err(missing);
    }
    took.sort_unstable();
    let (first, last) = (took.first().copied().unwrap_or(0), took.last().copied().unwrap_or(0));
    let middle = took.get(took.len() / 2).copied().unwrap_or(0);
    let (done, wanted) = (took.len(), options.runs);
    let [from, to] = faults.map(|Faults { lost, repeated, reordered }| {
        format!("{lost} lost, {repeated} twice, {reordered} later")
    });
    println!("ok {done}/{wanted} ms {first}/{middle}/{last} from the board {from}; to it {to}");
    Ok(())
}

/// A fault that was asked for and that no frame met, in one direction: what it is for was not
/// tested then.
fn missing_fault(options: &Options, faults: &[Faults; 2]) -> Option<String> {
    for (way, Faults { lost, repeated, reordered }) in ["from", "to"].iter().zip(faults) {
        for (what, percent, met) in [
            ("lost", options.loss, lost),
            ("repeated", options.duplicate, repeated),
            ("reordered", options.reorder, reordered),
        ] {
            if percent > 0 && *met == 0 {
                return Some(format!(
                    "no frame {way} the board was {what}, so that was not tested: \
                     more messages or another seed"
                ));
            }
        }
    }
    None
}

/// One run; how many frames met a fault that was made, on their way from the board and to it.
fn one(options: &Options) -> Outcome<[Faults; 2]> {
    match &options.link {
        Link::Serve(program) => outlast::run(options, program),
        Link::Wire => return wire::run(options),
        Link::User => user(options),
        Link::Tap => tap::outside(options, "tap-inside"),
        Link::Reset => tap::outside(options, "reset-inside"),
        Link::TapInside => tap::run(options),
        Link::ResetInside => tap::reset(options),
    }?;
    Ok([Faults::default(); 2])
}

/// Over QEMU's user network.
fn user(options: &Options) -> Outcome {
    let server = server::Server::start("127.0.0.1:0")?;
    let network = ["-netdev", "user,id=n0,ipv6=off"].map(str::to_owned);
    let mut board = board::Board::boot(options, &network, server.port())?;
    let report = board.finish()?;
    server.check(options, &report)
}
