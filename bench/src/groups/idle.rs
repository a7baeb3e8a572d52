//! Many idle connections: memory, acceptance, heartbeats.

use core::time::Duration;
use std::io;
use std::time::Instant;

use crate::generator::{Crowd, EchoWith, Greeting, SILENCE_LIMIT_MS};
use crate::measure::Server;
use crate::options::Options;
use crate::report::{Report, Table, digits};
use crate::servers::{Kind, Mode};

/// Handshakes under way at a time.
const IN_FLIGHT: usize = 512;
/// A server that used no CPU for so long has done its work.
const QUIET: Duration = Duration::from_millis(10);
/// The short limit on the server's silence with which its own beats are measured, in ms.
const BEATING_MS: u32 = 1500;

/// What a crowd cost a server.
struct Cost {
    connections: f64,
    refused: usize,
    accept_seconds: f64,
    /// CPU per accepted connection, and per answered heartbeat, in us.
    accept_cpu: f64,
    beat_cpu: f64,
    /// Resident KiB per connection.
    idle_kib: f64,
    echoed_kib: f64,
    /// Share of a core while nothing happens.
    idle_share: f64,
}

/// The one whose figures the others are set against.
const LIMIT: &str = "epoll-raw";

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let title =
        format!("{} idle connections, {IN_FLIGHT} handshakes in flight", options.connections);
    let columns = [
        "",
        "KiB/conn idle",
        "after 1 echo",
        "accept all",
        "CPU/accept us",
        "refused",
        "CPU/heartbeat us",
        "idle CPU",
    ];
    let mut table = Table::new(title, &columns);
    let mut limit = None;
    if options.quick && options.wants(Kind::Msgtrans) && options.peers == Kind::ALL {
        report.note("idle: msgtrans is left out of --quick, it needs many seconds to accept");
    }
    for (name, kind, greeting) in plan(options) {
        let cost = match measure_often(kind, greeting, options) {
            Ok(cost) => cost,
            Err(error) => {
                report.note(format!("idle: {name}: {error}"));
                continue;
            }
        };
        table.row(vec![
            name.to_owned(),
            digits(cost.idle_kib),
            digits(cost.echoed_kib),
            format!("{} s", digits(cost.accept_seconds)),
            digits(cost.accept_cpu),
            format!("{} of {}", cost.refused, cost.connections),
            digits(cost.beat_cpu),
            format!("{} %", digits(cost.idle_share * 100.0)),
        ]);
        note_ratios(report, name, &cost, limit.as_ref());
        if name == LIMIT {
            limit = Some(cost);
        }
    }
    report.table(table);
    if options.wants(Kind::Outlast) && Kind::Outlast.supports(Mode::Echo) {
        own_beats(options, report)?;
    }
    Ok(())
}

fn plan(options: &Options) -> Vec<(&'static str, Kind, Greeting)> {
    let mut plan = vec![
        (LIMIT, Kind::EpollRaw, Greeting::Own),
        ("epoll-raw, echo first", Kind::EpollRaw, Greeting::Echo),
    ];
    // It needs most of ten seconds to accept so many.
    let slow = |kind: Kind| options.quick && kind == Kind::Msgtrans && options.peers == Kind::ALL;
    let peers = Kind::ALL.into_iter().filter(|kind| {
        *kind != Kind::EpollRaw
            && kind.dialect().is_some()
            && kind.supports(Mode::Echo)
            // What is idle costs a runtime next to nothing; tokio alone is looked at so closely.
            && kind.supports(Mode::Sink)
            && options.wants(*kind)
            && !slow(*kind)
    });
    plan.extend(peers.map(|kind| (kind.name(), kind, Greeting::Own)));
    plan
}

/// The least of a few runs where a gate looks at the figures: a connection that has to knock
/// twice at a full backlog costs a second, which says nothing about the server.
fn measure_often(kind: Kind, greeting: Greeting, options: &Options) -> io::Result<Cost> {
    let gated = matches!(kind, Kind::EpollRaw | Kind::Outlast) && greeting == Greeting::Own;
    let times = match (gated, options.quick) {
        (true, true) => 2,
        (true, false) => 3,
        (false, _) => 1,
    };
    let mut best = measure(kind, greeting, options)?;
    for _ in 1..times {
        let next = measure(kind, greeting, options)?;
        best = Cost {
            connections: best.connections.min(next.connections),
            refused: best.refused.max(next.refused),
            accept_seconds: best.accept_seconds.min(next.accept_seconds),
            accept_cpu: best.accept_cpu.min(next.accept_cpu),
            beat_cpu: best.beat_cpu.min(next.beat_cpu),
            idle_kib: best.idle_kib.max(next.idle_kib),
            echoed_kib: best.echoed_kib.max(next.echoed_kib),
            idle_share: best.idle_share.min(next.idle_share),
        };
    }
    Ok(best)
}

fn measure(kind: Kind, greeting: Greeting, options: &Options) -> io::Result<Cost> {
    let Some(dialect) = kind.dialect() else {
        return Err(io::Error::other("no dialect"));
    };
    let server = Server::start(kind, Mode::Echo)?;
    warm_up(&server, dialect, options.echo)?;
    let resident = server.resident()?;
    let cpu = server.cpu()?;
    let files = server.open_files()?;

    let begin = Instant::now();
    let size = (options.connections, IN_FLIGHT);
    let (address, silence) = (server.address, SILENCE_LIMIT_MS);
    let mut crowd = Crowd::gather(address, dialect, options.echo, greeting, silence, size)?;
    server.await_files(files + crowd.len())?;
    let accept_seconds = (server.settle(QUIET)? - begin).as_secs_f64();
    let accepted = server.cpu()?;
    let connections = crowd.len() as f64;
    let idle_kib = (server.resident()?.saturating_sub(resident)) as f64 / 1024.0 / connections;

    let still = Duration::from_millis(if options.quick { 300 } else { 2000 });
    let before = server.cpu()?;
    crowd.listen(still)?;
    let idle_share = (server.cpu()? - before).as_secs_f64() / still.as_secs_f64();

    crowd.echo_each(IN_FLIGHT)?;
    server.settle(QUIET)?;
    let echoed_kib = (server.resident()?.saturating_sub(resident)) as f64 / 1024.0 / connections;

    let before = server.cpu()?;
    crowd.beat_each()?;
    let beats = server.cpu()? - before;
    Ok(Cost {
        connections,
        refused: crowd.refused,
        accept_seconds,
        accept_cpu: (accepted - cpu).as_secs_f64() * 1e6 / connections,
        beat_cpu: beats.as_secs_f64() * 1e6 / connections,
        idle_kib,
        echoed_kib,
        idle_share,
    })
}

/// One connection, used once, so that what is made only once is not counted.
fn warm_up(server: &Server, dialect: crate::generator::Dialect, echo: EchoWith) -> io::Result<()> {
    let (address, silence) = (server.address, SILENCE_LIMIT_MS);
    let mut one = Crowd::gather(address, dialect, echo, Greeting::Own, silence, (1, 1))?;
    one.echo_each(1)?;
    server.settle(QUIET)?;
    Ok(())
}

fn note_ratios(report: &mut Report, name: &str, cost: &Cost, limit: Option<&Cost>) {
    let name = name.replace(", ", "-").replace(' ', "-");
    let mut ratio = |what: &str, value: f64| report.ratio(format!("idle.{name}.{what}"), value);
    ratio("kib_idle", cost.idle_kib);
    ratio("kib_after_echo", cost.echoed_kib);
    ratio("accept_s", cost.accept_seconds);
    ratio("accept_us", cost.accept_cpu);
    ratio("beat_us", cost.beat_cpu);
    ratio("refused", cost.refused as f64);
    ratio("idle_cpu_share", cost.idle_share);
    if let Some(limit) = limit {
        ratio("accept_vs_limit", cost.accept_seconds / limit.accept_seconds);
        ratio("beat_us_over_limit", cost.beat_cpu - limit.beat_cpu);
    }
}

/// What the beats cost that a server sends by itself because clients asked for a short limit.
fn own_beats(options: &Options, report: &mut Report) -> io::Result<()> {
    let kind = Kind::Outlast;
    let Some(dialect) = kind.dialect() else {
        return Ok(());
    };
    let server = Server::start(kind, Mode::Echo)?;
    let size = (options.connections, IN_FLIGHT);
    let (address, greeting) = (server.address, Greeting::Own);
    let mut crowd = Crowd::gather(address, dialect, options.echo, greeting, BEATING_MS, size)?;
    let before = server.cpu()?;
    let beats = crowd.listen(Duration::from_secs(2))?;
    let each = (server.cpu()? - before).as_secs_f64() * 1e6 / beats as f64;
    let mut table = Table::new("beats a server sends by itself", &["", "beats", "CPU/beat us"]);
    table.row(vec![kind.name().to_owned(), beats.to_string(), digits(each)]);
    report.table(table);
    report.ratio("idle.outlast.own_beat_us", each);
    Ok(())
}
