//! `outlast demo`: what this is for, in some seconds.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{Outcome, block_on, print};
use crate::demo::{Plan, run as show};
use crate::progress::Board;
use crate::rng::fresh_seed;
use crate::tap::Tap;

/// Files, messages and requests through a hundred cut connections, and nothing is lost
///
/// A server, some clients and a proxy that makes trouble run in this one program. The clients send
/// files, a stream of messages and requests, and get a stream back, while the proxy cuts, stalls,
/// splits, slows down and silently drops their connections. At the end everything is compared.
/// The exit code is 1 if anything differs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files and folders to carry; without any, the source of this program
    paths: Vec<PathBuf>,
    /// Run until sessions were resumed this often
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    cuts: u64,
    /// How long it runs at least
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How long it runs at most, if the cuts do not come [default: 55, or 20 more than --seconds]
    #[arg(long, value_name = "SECONDS")]
    limit: Option<u64>,
    /// Clients at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=256))]
    clients: u32,
    /// Repeats the trouble of an earlier run; a fresh seed is printed otherwise
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    tap: Tap,
    /// Nothing but the table
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  outlast demo
  outlast demo --cuts 1000 --clients 16
  outlast demo ~/Pictures";

/// In seconds; longer it takes only if told so.
const MOST: u64 = 55;

pub(crate) fn run(args: &Args) -> Outcome {
    let plan = Plan {
        seed: args.seed.unwrap_or_else(fresh_seed),
        cuts: args.cuts,
        least: Duration::from_secs(args.seconds),
        most: Duration::from_secs(
            args.limit.unwrap_or_else(|| MOST.max(args.seconds.saturating_add(20))),
        ),
        clients: args.clients,
        paths: args.paths.clone(),
        tapping: args.tap.layer()?,
    };
    let board = Board::new(args.quiet);
    block_on(async {
        let report = show(&plan, &board).await?;
        print(&format!("\n{}\n", report.table()));
        let failures = report.failures();
        for failure in &failures {
            print(&format!("  FAILED: {failure}\n"));
        }
        if failures.is_empty() {
            print("  Nothing was lost, doubled, reordered or damaged.\n");
            Ok(ExitCode::SUCCESS)
        } else {
            Ok(ExitCode::FAILURE)
        }
    })
}
