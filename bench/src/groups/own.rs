//! Pairs end to end: a peer's own client against its own server, one core each.

use core::time::Duration;
use std::io;

use crate::clients::{self, Outcome, PAIRS, Pair, Work};
use crate::measure::{Server, Spread};
use crate::options::Options;
use crate::report::{Report, Table, digits, rate, spread, time};

/// What a client may take longer than it was told before it is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// All rounds of a pair.
struct Series {
    pair: Pair,
    /// Rate per second by round; a round that failed is missing.
    rates: Vec<Option<f64>>,
    /// CPU of both sides per message in ns.
    cpu: Vec<f64>,
    gone: bool,
}

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    for work in Work::ALL {
        let pairs = PAIRS.into_iter().filter(|pair| {
            (pair.name == "thin" || options.wants(pair.server)) && pair.supports(work)
        });
        let mut all: Vec<Series> = pairs
            .map(|pair| Series { pair, rates: Vec::new(), cpu: Vec::new(), gone: false })
            .collect();
        for _ in 0..options.rounds {
            for series in &mut all {
                let measured = if series.gone { None } else { one(series, work, options, report) };
                series.rates.push(measured);
            }
        }
        print(report, work, &all);
    }
    Ok(())
}

fn one(series: &mut Series, work: Work, options: &Options, report: &mut Report) -> Option<f64> {
    match run_pair(series.pair, work, options.run) {
        Ok((outcome, server_cpu)) => {
            let count = outcome.count as f64;
            let both = outcome.cpu + server_cpu.as_secs_f64();
            series.cpu.push(both * 1e9 / count);
            Some(count / outcome.seconds)
        }
        Err(error) => {
            series.gone = true;
            report.note(format!("own.{}: {}: {error}", work.name(), series.pair.name));
            None
        }
    }
}

fn run_pair(pair: Pair, work: Work, duration: Duration) -> io::Result<(Outcome, Duration)> {
    let server = Server::start(pair.server, work.mode())?;
    let before = server.cpu()?;
    let outcome = clients::run_child(pair, work, server.address, duration, PATIENCE)?;
    Ok((outcome, server.cpu()?.saturating_sub(before)))
}

fn print(report: &mut Report, work: Work, all: &[Series]) {
    let title = match work {
        Work::Calls(callers) => {
            format!("own client, {callers} callers on one connection, 64 bytes")
        }
        Work::Send => "own client, one `send` per 16-byte message".to_owned(),
    };
    let columns = ["", "rate (min-max M/s)", "CPU/msg, both sides", "x thin (min-max)"];
    let mut table = Table::new(title, &columns);
    let Some(thin) = all.first() else { return };
    for series in all {
        let name = series.pair.name;
        let Some(rates) = Spread::of(series.rates.iter().flatten().copied()) else {
            continue;
        };
        let cpu = Spread::of(series.cpu.iter().copied());
        let ratio = against(series, thin);
        table.row(vec![
            name.to_owned(),
            format!("{} ({}-{})", rate(rates.median), mega(rates.min), mega(rates.max)),
            cpu.map_or_else(String::new, |s| time(s.median)),
            spread(ratio),
        ]);
        report.ratio(format!("own.{}.{name}.per_s", work.name()), rates.median);
        for other in all.iter().filter(|other| other.pair != series.pair) {
            if let Some(ratio) = against(series, other) {
                let name = format!("own.{}.{name}.vs_{}", work.name(), other.pair.name);
                report.ratio(name, ratio.median);
            }
        }
    }
    report.table(table);
}

fn mega(rate: f64) -> String {
    digits(rate / 1e6)
}

/// Rate over rate, round by round.
fn against(series: &Series, other: &Series) -> Option<Spread> {
    let rounds = series.rates.iter().zip(&other.rates);
    Spread::of(rounds.filter_map(|(own, other)| Some((*own)? / (*other)?)))
}
