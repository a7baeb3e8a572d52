//! Servers over loopback TCP under the neutral generator, in rounds interleaved with the limit.

use core::time::Duration;
use std::io;

use crate::generator::{EchoWith, Load, Session};
use crate::measure::{Server, Spread, percentile};
use crate::options::Options;
use crate::report::{Report, Table, digits, rate, spread, time};
use crate::servers::{self, Kind, Mode};
use crate::syscalls::{Counter, Tool};

/// Runs between two runs of the limit.
const PEERS_BETWEEN: usize = 3;

/// One server in one mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Subject {
    name: &'static str,
    kind: Kind,
    mode: Mode,
}

/// What one run gave.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// Server CPU per message in ns.
    cpu: f64,
    /// Messages per second of wall time.
    rate: f64,
    /// Round trip in ns: p50, p99, p99.9.
    latency: Option<[f64; 3]>,
}

/// All rounds of one subject, each with the mean of the two limits around it.
struct Series {
    subject: Subject,
    samples: Vec<(Sample, Sample)>,
    syscalls: Option<f64>,
    gone: bool,
}

impl Series {
    const fn new(subject: Subject) -> Self {
        Self { subject, samples: Vec::new(), syscalls: None, gone: false }
    }

    fn spread(&self, of: impl Fn(&Sample, &Sample) -> f64) -> Option<Spread> {
        Spread::of(self.samples.iter().map(|(own, limit)| of(own, limit)))
    }

    fn latency(&self, index: usize) -> Option<Spread> {
        Spread::of(self.samples.iter().filter_map(|(own, _)| Some(own.latency?[index])))
    }

    fn latency_ratio(&self, index: usize) -> Option<Spread> {
        let ratios = self.samples.iter();
        Spread::of(
            ratios.filter_map(|(own, limit)| Some(own.latency?[index] / limit.latency?[index])),
        )
    }
}

pub(super) fn one_way(options: &Options, report: &mut Report) -> io::Result<()> {
    for &size in &options.sizes {
        let mut subjects = subjects(options, Mode::Sink);
        if size > 16_383 && options.wants(Kind::Outlast) && Kind::Outlast.supports(Mode::Chunks) {
            let (name, mode) = ("outlast-chunks", Mode::Chunks);
            subjects.push(Subject { name, kind: Kind::Outlast, mode });
        }
        let title = format!("one-way, {size}-byte messages, 1 connection");
        measure(
            options,
            report,
            &title,
            &format!("oneway.{size}"),
            Load::OneWay { size },
            &subjects,
        )?;
    }
    Ok(())
}

pub(super) fn echo(options: &Options, report: &mut Report) -> io::Result<()> {
    let subjects = subjects(options, Mode::Echo);
    for (connections, depth) in [(64, 1), (1, 1), (1, 128)] {
        let load = Load::Echo { connections, depth };
        let title = format!("echo, 64 bytes, {connections} connections x {depth} open");
        measure(options, report, &title, &format!("echo.{connections}x{depth}"), load, &subjects)?;
    }
    Ok(())
}

pub(super) fn fan_out(options: &Options, report: &mut Report) -> io::Result<()> {
    let subjects = subjects(options, Mode::FanOut);
    for window in [1, 32] {
        let connections = 1000;
        let load = Load::FanOut { connections, window };
        let title = format!("fan-out, 64 bytes to {connections} connections, {window} under way");
        measure(
            options,
            report,
            &title,
            &format!("fanout.{connections}x{window}"),
            load,
            &subjects,
        )?;
    }
    Ok(())
}

fn subjects(options: &Options, mode: Mode) -> Vec<Subject> {
    let kinds = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::EpollRaw && kind.dialect().is_some() && kind.supports(mode));
    kinds
        .filter(|kind| options.wants(*kind))
        .map(|kind| Subject { name: kind.name(), kind, mode })
        .collect()
}

/// CPU per message of the same runtime's raw bytes divided by ours, round by round.
fn against_raw(own: &Series, all: &[Series]) -> Option<Spread> {
    let raw = own.subject.kind.raw()?;
    let raw = all.iter().find(|series| series.subject.kind == raw)?;
    let rounds = raw.samples.iter().zip(&own.samples);
    Spread::of(rounds.map(|((raw, _), (own, _))| raw.cpu / own.cpu))
}

/// CPU per message without a router against that with one, round by round.
fn against_unrouted(own: &Series, all: &[Series], compare: fn(f64, f64) -> f64) -> Option<Spread> {
    let routed = own.subject.kind == Kind::OutlastRouted;
    let plain = all.iter().find(|series| series.subject.name == Kind::Outlast.name());
    let plain = plain.filter(|_| routed)?;
    let rounds = plain.samples.iter().zip(&own.samples);
    Spread::of(rounds.map(|((plain, _), (own, _))| compare(plain.cpu, own.cpu)))
}

/// Messages per second divided by those of the same runtime's raw bytes, round by round.
fn rate_against_raw(own: &Series, all: &[Series]) -> Option<Spread> {
    let raw = own.subject.kind.raw()?;
    let raw = all.iter().find(|series| series.subject.kind == raw)?;
    let rounds = raw.samples.iter().zip(&own.samples);
    Spread::of(rounds.map(|((raw, _), (own, _))| own.rate / raw.rate))
}

/// Runs all rounds of one load and reports them.
fn measure(
    options: &Options,
    report: &mut Report,
    title: &str,
    prefix: &str,
    load: Load,
    subjects: &[Subject],
) -> io::Result<()> {
    let mode = subjects.first().map_or(Mode::Sink, |first| first.mode);
    let limit = Subject { name: Kind::EpollRaw.name(), kind: Kind::EpollRaw, mode };
    let mut limits = Series::new(limit);
    let mut all: Vec<Series> = subjects.iter().copied().map(Series::new).collect();
    for _ in 0..options.rounds {
        let mut before = run(limit, options.echo, load, options.run)?;
        limits.samples.push((before, before));
        for chunk in all.chunks_mut(PEERS_BETWEEN) {
            let mut own = Vec::new();
            for series in chunk.iter_mut().filter(|series| !series.gone) {
                match run(series.subject, options.echo, load, options.run) {
                    Ok(sample) => own.push((series, sample)),
                    Err(error) => {
                        series.gone = true;
                        report.note(format!("{prefix}: {}: {error}", series.subject.name));
                    }
                }
            }
            let after = run(limit, options.echo, load, options.run)?;
            limits.samples.push((after, after));
            for (series, sample) in own {
                series.samples.push((sample, mean(before, after)));
            }
            before = after;
        }
    }
    if options.syscalls && counts_matter(load) {
        count_syscalls(options, report, prefix, load, &mut limits, &mut all);
    }
    print(report, title, prefix, &limits, &all);
    Ok(())
}

/// One-way calls are spread over so many messages that one size tells all.
const fn counts_matter(load: Load) -> bool {
    match load {
        Load::OneWay { size } => size <= 16,
        Load::Echo { .. } | Load::FanOut { .. } => true,
    }
}

fn mean(a: Sample, b: Sample) -> Sample {
    let mid = |x: f64, y: f64| f64::midpoint(x, y);
    let latency = match (a.latency, b.latency) {
        (Some(a), Some(b)) => Some([mid(a[0], b[0]), mid(a[1], b[1]), mid(a[2], b[2])]),
        _ => None,
    };
    Sample { cpu: mid(a.cpu, b.cpu), rate: mid(a.rate, b.rate), latency }
}

/// CPU per message of one run, in ns.
pub(super) fn cpu_of(
    kind: Kind,
    mode: Mode,
    echo: EchoWith,
    load: Load,
    duration: Duration,
) -> io::Result<f64> {
    Ok(run(Subject { name: kind.name(), kind, mode }, echo, load, duration)?.cpu)
}

/// A fresh server, a short warm-up, one measured run.
fn run(subject: Subject, echo: EchoWith, load: Load, duration: Duration) -> io::Result<Sample> {
    let (server, mut session) = connect(subject, echo, load)?;
    let warm_up = session.drive(duration / 5)?;
    let before = server.cpu()?;
    let mut tally = session.drive(duration)?;
    let cpu = server.cpu()?.saturating_sub(before);
    if servers::is_profiled() {
        let (name, all) = (subject.name, warm_up.messages + tally.messages);
        println!("{name}, process {}: {all} messages", server.pid());
    }
    let latency = match [0.5, 0.99, 0.999].map(|share| percentile(&mut tally.latencies, share)) {
        [Some(p50), Some(p99), Some(p999)] => Some([p50, p99, p999]),
        _ => None,
    };
    let messages = tally.messages as f64;
    Ok(Sample {
        cpu: cpu.as_secs_f64() * 1e9 / messages,
        rate: messages / tally.wall.as_secs_f64(),
        latency,
    })
}

fn connect(subject: Subject, echo: EchoWith, load: Load) -> io::Result<(Server, Session)> {
    let Some(dialect) = subject.kind.dialect() else {
        return Err(io::Error::other("only its own client can talk to it"));
    };
    let server = Server::start(subject.kind, subject.mode)?;
    let session = Session::connect(server.address, dialect, echo, load)?;
    Ok((server, session))
}

fn count_syscalls(
    options: &Options,
    report: &mut Report,
    prefix: &str,
    load: Load,
    limits: &mut Series,
    all: &mut [Series],
) {
    let Some(tool) = Tool::find() else {
        report.note(format!("{prefix}: system calls NOT MEASURED, neither perf nor strace works"));
        return;
    };
    for series in core::iter::once(limits).chain(all).filter(|series| !series.gone) {
        let counted = || -> io::Result<f64> {
            let (server, mut session) = connect(series.subject, options.echo, load)?;
            session.drive(options.run / 10)?;
            let counter = Counter::attach(tool, server.pid())?;
            let tally = session.drive(options.run / 2)?;
            Ok(counter.finish()? as f64 / tally.messages as f64)
        };
        match counted() {
            Ok(count) => series.syscalls = Some(count),
            Err(error) => report.note(format!(
                "{prefix}: system calls of {} NOT MEASURED: {error}",
                series.subject.name
            )),
        }
    }
}

fn print(report: &mut Report, title: &str, prefix: &str, limits: &Series, all: &[Series]) {
    let columns = ["", "CPU/msg", "cap (min-max)", "rate", "p50", "p99", "p99.9", "syscalls/msg"];
    let mut table = Table::new(title, &columns);
    for series in core::iter::once(limits).chain(all) {
        let Some(cpu) = series.spread(|own, _| own.cpu) else {
            continue;
        };
        let name = series.subject.name;
        let is_limit = series.subject.kind == Kind::EpollRaw;
        let cap = series.spread(|own, limit| limit.cpu / own.cpu);
        let cell = |value: Option<Spread>| value.map_or_else(|| "-".to_owned(), |s| time(s.median));
        table.row(vec![
            name.to_owned(),
            time(cpu.median),
            if is_limit { "1".to_owned() } else { spread(cap) },
            series.spread(|own, _| own.rate).map_or_else(String::new, |s| rate(s.median)),
            cell(series.latency(0)),
            cell(series.latency(1)),
            cell(series.latency(2)),
            series.syscalls.map_or_else(|| "-".to_owned(), digits),
        ]);
        let mut ratio = |what: &str, value: Option<f64>| {
            if let Some(value) = value {
                report.ratio(format!("{prefix}.{name}.{what}"), value);
            }
        };
        ratio("cpu_ns", Some(cpu.median));
        ratio("syscalls", series.syscalls);
        if !is_limit {
            ratio("cap", cap.map(|s| s.median));
            ratio("p50_vs_limit", series.latency_ratio(0).map(|s| s.median));
            ratio("p999_vs_limit", series.latency_ratio(2).map(|s| s.median));
            ratio("vs_raw", against_raw(series, all).map(|s| s.median));
            ratio("vs_outlast", against_unrouted(series, all, |a, b| a / b).map(|s| s.median));
            let over = against_unrouted(series, all, |plain, own| own - plain);
            ratio("ns_over_outlast", over.map(|s| s.median));
            ratio("rate_vs_raw", rate_against_raw(series, all).map(|s| s.median));
        }
    }
    report.table(table);
}
