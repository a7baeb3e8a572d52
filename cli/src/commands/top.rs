//! `outlast top`: what a server shows of itself, in a terminal.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use super::{Outcome, print};
use crate::top::{self, Feed, Shown};
use outlast_config::Address;

/// A server's sessions and rates, live in the terminal
///
/// It reads what `outlast serve --admin` shows. q or Esc ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the server shows itself: host:port, of which either part may be left out
    #[arg(value_name = "ADDR", default_value = Address::ADMIN, value_parser = Address::of_admin)]
    address: Address,
    /// Look every so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Print what there is now as text, and end
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let address = args.address.to_string();
    // An address where nothing is is said before the screen is taken.
    let first = Shown::fetch(&address)?;
    if args.once || !std::io::stdout().is_terminal() {
        print(&top::text(&first));
        return Ok(ExitCode::SUCCESS);
    }
    let feed = Feed::start(address, Duration::from_secs(args.every));
    top::live(first, &feed).map_err(|error| format!("the terminal: {error}"))?;
    Ok(ExitCode::SUCCESS)
}
