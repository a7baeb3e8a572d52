//! `outlast proxy`: the troublemaker by itself.

use std::str::FromStr;
use std::time::Instant;

use super::serve::cannot_listen;
use super::{Outcome, block_on};
use crate::proxy::{Chaos, Happening, Proxy, Range, Watcher};
use crate::rng::fresh_seed;
use crate::tap::Tap;
use outlast_config::Address;

/// A TCP proxy that makes trouble: cuts, stalls, splits, slows down, goes deaf
///
/// It listens on LISTEN and passes every connection on to TARGET. With --chaos it does all of it
/// in a mixture that a person would complain about; the other options choose and change parts.
/// The same --seed gives connection number n the same fate. It knows nothing of the protocol, so
/// it may stand in front of anything. With --pcap it keeps what clients say and hear, which over
/// TLS nobody can read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to listen, host:port; either part may be left out
    listen: Address,
    /// Where to pass connections on, host:port; either part may be left out
    target: Address,
    /// All sorts of trouble at once
    #[arg(long)]
    chaos: bool,
    /// Repeats a run; a fresh one is printed otherwise
    #[arg(long)]
    seed: Option<u64>,
    /// Cut after so many bytes of one direction
    #[arg(long, value_name = "FROM..TO")]
    cut_bytes: Option<Span>,
    /// Cut after so many milliseconds, if bytes did not do it before
    #[arg(long, value_name = "FROM..TO")]
    cut_ms: Option<Span>,
    /// Share of connections that stall once, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent())]
    stall: Option<u8>,
    /// How long a stall lasts, in milliseconds
    #[arg(long, value_name = "FROM..TO")]
    stall_ms: Option<Span>,
    /// Share of connections whose bytes travel in pieces of a few bytes, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent())]
    split: Option<u8>,
    /// Share of slow connections, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent())]
    throttle: Option<u8>,
    /// How slow, in bytes per second
    #[arg(long, value_name = "FROM..TO")]
    throttle_rate: Option<Span>,
    /// Share of cuts that neither end is told of, in percent
    #[arg(long, value_name = "PERCENT", value_parser = percent())]
    half_open: Option<u8>,
    /// How long a half-open connection stays, in milliseconds
    #[arg(long, value_name = "FROM..TO")]
    half_open_ms: Option<Span>,
    #[command(flatten)]
    tap: Tap,
    /// Say nothing about single connections
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  outlast serve                                    # terminal 1, on port 7411
  outlast proxy --chaos :7412 :7411                # terminal 2
  outlast connect :7412                            # terminal 3: type, nothing gets lost

  outlast proxy --cut-bytes 1000..50000 :7412 :7411
  outlast proxy --pcap session.pcap :7412 :7411    # no trouble, but a capture
  outlast proxy --throttle 100 --throttle-rate 20000 :7412 example.org:7411";

/// `from..to`, or one number for both.
#[derive(Debug, Copy, Clone)]
struct Span(Range);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to) = text.split_once("..").unwrap_or((text, text));
        let number = |digits: &str| {
            let digits = digits.trim().replace('_', "");
            digits.parse().map_err(|_| format!("`{text}` is no range: write 1000..50000, or 1000"))
        };
        let (from, to) = (number(from)?, number(to)?);
        if from > to {
            return Err(format!("`{text}` begins behind its end"));
        }
        Ok(Self((from, to)))
    }
}

fn percent() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(0..=100)
}

impl Args {
    fn trouble(&self) -> Chaos {
        let base = if self.chaos { Chaos::DEFAULT } else { Chaos::NONE };
        let span = |span: Option<Span>, or: Range| span.map_or(or, |Span(range)| range);
        Chaos {
            cut_bytes: self.cut_bytes.map(|Span(range)| range).or(base.cut_bytes),
            cut_ms: self.cut_ms.map(|Span(range)| range).or(base.cut_ms),
            stall: self.stall.unwrap_or(base.stall),
            stall_ms: span(self.stall_ms, base.stall_ms),
            split: self.split.unwrap_or(base.split),
            split_bytes: base.split_bytes,
            throttle: self.throttle.unwrap_or(base.throttle),
            throttle_rate: span(self.throttle_rate, base.throttle_rate),
            half_open: self.half_open.unwrap_or(base.half_open),
            half_open_ms: span(self.half_open_ms, base.half_open_ms),
        }
    }
}

pub(crate) fn run(args: &Args) -> Outcome {
    let chaos = args.trouble();
    let seed = args.seed.unwrap_or_else(fresh_seed);
    if chaos == Chaos::NONE && !args.tap.is_on() {
        eprintln!("nothing will go wrong: give --chaos, or say what should (see --help)");
    }
    let start = Instant::now();
    let report = move |index: u64, happening: Happening| {
        println!("{:>9.3} #{index} {happening}", start.elapsed().as_secs_f64());
    };
    let watcher: Option<Watcher> = if args.quiet { None } else { Some(Box::new(report)) };
    let (listen, target) = (args.listen.to_string(), args.target.to_string());
    block_on(async {
        let proxy = Proxy::bind(&listen, &target, chaos, seed, watcher)
            .await
            .map_err(|error| cannot_listen(&args.listen, &error))?
            .tapped(args.tap.layer()?);
        let bound = proxy.local_addr().map_err(|error| error.to_string())?;
        eprintln!("proxy on {bound} for {target}, --seed {seed}; stop it with Ctrl-C");
        let control = proxy.control();
        tokio::select! {
            () = proxy.run() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        let counts = control.counts();
        eprintln!(
            "{} connections, {} cut ({} of them half-open), {} stalls, {} unreachable, {} bytes",
            counts.connections,
            counts.cuts,
            counts.half_open,
            counts.stalls,
            counts.unreachable,
            counts.bytes
        );
        Ok(std::process::ExitCode::SUCCESS)
    })
}
