//! What being watched costs: the same server with statistics, without, and with a subscriber of
//! `tracing` at `info`, one after the other in each round.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::instructions::parse;
use super::loopback;
use crate::generator::{Dialect, EchoWith, Load, Session};
use crate::measure::{Server, Spread};
use crate::options::Options;
use crate::report::{Report, Table, digits, spread, time};
use crate::servers::{Kind, Mode};

/// Bytes of a message: as short as they are, so that everything else shows.
const SIZE: usize = 16;
/// Rounds for one of the others: what is looked for is less than what one round varies by.
const TIMES: usize = 4;
/// Without statistics, with them, and with somebody who listens as well.
const KINDS: [Kind; 3] = [Kind::OutlastUncounted, Kind::Outlast, Kind::OutlastTraced];

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let load = Load::OneWay { size: SIZE };
    let mut rounds: Vec<[f64; 3]> = Vec::new();
    for round in 0..options.rounds * TIMES {
        let mut cpu = [0.0; 3];
        // Another one is first each time.
        for at in 0..KINDS.len() {
            let at = (at + round) % KINDS.len();
            cpu[at] = loopback::cpu_of(KINDS[at], Mode::Sink, options.echo, load, options.run)?;
        }
        rounds.push(cpu);
    }
    let columns = ["", "CPU/msg", "more than before (min-max)", "instructions/msg"];
    let mut table = Table::new("being watched, one-way, 16-byte messages, 1 connection", &columns);
    // What is looked for is less than what the clock says twice: what is judged is exact.
    let counted = instructions(options, report)?;
    let names = ["without statistics", "statistics", "statistics and tracing at info"];
    for (at, name) in names.into_iter().enumerate() {
        let own = Spread::of(rounds.iter().map(|cpu| cpu[at]));
        let more = |cpu: &[f64; 3]| (cpu[at] / cpu[at.saturating_sub(1)] - 1.0) * 100.0;
        let more = Spread::of(rounds.iter().map(more)).filter(|_| at > 0);
        let exact = counted.map_or_else(|| "-".to_owned(), |all| digits(all[at]));
        let percent =
            more.map_or_else(|| "-".to_owned(), |more| format!("{} %", spread(Some(more))));
        let cpu = own.map_or_else(|| "-".to_owned(), |own| time(own.median));
        table.row(vec![name.to_owned(), cpu, percent, exact]);
        if let Some(more) = more {
            let what = if at == 1 { "statistics" } else { "tracing" };
            report.ratio(format!("observe.{SIZE}.{what}_percent"), more.median);
        }
    }
    if let Some(all) = counted {
        for (at, what) in [(1, "statistics"), (2, "tracing")] {
            let percent = (all[at] / all[at - 1] - 1.0) * 100.0;
            report.ratio(format!("observe.{SIZE}.{what}_instructions_percent"), percent);
        }
    }
    report.table(table);
    Ok(())
}

/// Instructions of each kind per message, by valgrind: two runs that differ in what is sent, so
/// that beginning and end are left out. `None` = the tool is missing or failed.
fn instructions(options: &Options, report: &mut Report) -> io::Result<Option<[f64; 3]>> {
    let mut all = [0.0; 3];
    for (at, kind) in KINDS.into_iter().enumerate() {
        let (short, long) = (Duration::from_millis(500), Duration::from_secs(3));
        let (Some(few), Some(many)) =
            (collect(kind, short, options.echo)?, collect(kind, long, options.echo)?)
        else {
            report.note("instructions: not measured, valgrind is missing or failed");
            return Ok(None);
        };
        let messages = many.1.saturating_sub(few.1).max(1) as f64;
        all[at] = many.0.saturating_sub(few.0) as f64 / messages;
    }
    Ok(Some(all))
}

/// Instructions and messages of one whole run.
fn collect(kind: Kind, run: Duration, echo: EchoWith) -> io::Result<Option<(u64, u64)>> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(std::env::current_exe()?).stderr(Stdio::piped());
    let Ok(server) = Server::start_with(command, kind, Mode::Sink) else {
        return Ok(None);
    };
    let load = Load::OneWay { size: SIZE };
    let mut session = Session::connect(server.address, Dialect::Outlast, echo, load)?;
    let tally = session.drive(run)?;
    drop(session);
    let said = server.finish()?;
    Ok(parse(&said).map(|count| (count, tally.messages)))
}
