//! Fan-out beside one session that never reads: what it costs the others, and how much memory.

use std::io;

use crate::generator::{EchoWith, Load, Session};
use crate::measure::{Server, Spread};
use crate::options::Options;
use crate::report::{Report, Table, digits, spread, time};
use crate::servers::{FAN_OUT_BUFFER, Kind, Mode};

/// Sessions, the deaf one among them.
const CONNECTIONS: usize = 1000;
/// Bytes sent to everybody before anything is measured: more than may be kept for one session.
const FILL: usize = 1 << 20;
/// Most of these, until memory grows by no more than [`STEADY`] bytes with each of two in a row.
const FILLS: usize = 8;
const STEADY: u64 = 32 << 10;
/// What may be kept for a session that takes nothing: its send buffer, what waits behind that (256
/// KiB, and what one look into the queue adds), the queue, and what is put up ahead of it for all.
const BOUND: usize = FAN_OUT_BUFFER + (256 << 10) * 3 + (64 << 10);

/// One run.
struct Run {
    /// CPU of the server per message that somebody received, in ns.
    cpu: f64,
    /// Messages received per second.
    rate: f64,
    /// Bytes that the server's memory grew by while one session took nothing.
    grown: f64,
}

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    if !options.wants(Kind::Outlast) {
        return Ok(());
    }
    let title = "fan-out, 64 bytes to 1000 connections, one of which never reads";
    let columns = ["", "CPU/msg", "with all reading", "against that", "rate", "memory", "bound"];
    let mut table = Table::new(title, &columns);
    for window in [1, 32] {
        let mut runs = Vec::new();
        for _ in 0..options.rounds {
            let all = one(options, window, false)?;
            runs.push((all, one(options, window, true)?));
        }
        let of = |what: fn(&(Run, Run)) -> f64| Spread::of(runs.iter().map(what));
        let (Some(all), Some(deaf)) = (of(|(all, _)| all.cpu), of(|(_, deaf)| deaf.cpu)) else {
            continue;
        };
        let share = of(|(all, deaf)| all.cpu / deaf.cpu);
        let rates = of(|(all, deaf)| deaf.rate / all.rate);
        let grown = of(|(_, deaf)| deaf.grown).map_or(0.0, |grown| grown.median);
        let kib = |bytes: f64| format!("{} KiB", digits(bytes / 1024.0));
        table.row(vec![
            format!("{window} under way"),
            time(deaf.median),
            time(all.median),
            spread(share),
            spread(rates),
            kib(grown),
            kib(BOUND as f64),
        ]);
        let name = format!("fanout.{CONNECTIONS}x{window}.deaf");
        if let Some(share) = share {
            report.ratio(format!("{name}.share"), share.median);
        }
        report.ratio(format!("{name}.memory_of_bound"), grown / BOUND as f64);
    }
    report.table(table);
    Ok(())
}

/// Resident memory once filling it further hardly adds to it: what the sessions hold depends on
/// what is under way when their peers acknowledge something.
fn fullest(server: &Server, mut fill: impl FnMut() -> io::Result<()>) -> io::Result<u64> {
    fill()?;
    let (mut before, mut steady) = (server.resident()?, 0);
    for _ in 0..FILLS {
        fill()?;
        let now = server.resident()?;
        steady = if now < before + STEADY { steady + 1 } else { 0 };
        before = now;
        if steady == 2 {
            break;
        }
    }
    Ok(before)
}

/// A fresh server, memory as full as it gets, one measured run.
fn one(options: &Options, window: usize, deaf: bool) -> io::Result<Run> {
    let Some(dialect) = Kind::Outlast.dialect() else {
        return Err(io::Error::other("it has a dialect"));
    };
    let server = Server::start(Kind::Outlast, Mode::FanOut)?;
    let load = Load::FanOut { connections: CONNECTIONS, window };
    let mut session = Session::connect(server.address, dialect, EchoWith::Message, load)?;
    let before = fullest(&server, || session.fill(dialect, FILL))?;
    if deaf {
        session.deafen()?;
    }
    session.fill(dialect, FILL)?;
    let grown = server.resident()? as f64 - before as f64;
    session.drive(options.run / 5)?;
    let began = server.cpu()?;
    let tally = session.drive(options.run)?;
    let cpu = server.cpu()?.saturating_sub(began).as_secs_f64() * 1e9 / tally.messages as f64;
    Ok(Run { cpu, rate: tally.messages as f64 / tally.wall.as_secs_f64(), grown })
}
