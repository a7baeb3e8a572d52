//! TLS: sessions over it, beside rustls over tokio that moves the same bytes without any, and both
//! without TLS, so that it can be told what of the difference is TLS's.
//!
//! Client and server are threads of this process with a core and a tokio runtime each.

mod bare;
mod session;

use core::future::Future;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use outlast_core::wire::MAX_BODY;

use crate::generator::GENERATOR_CORE;
use crate::measure::Spread;
use crate::options::Options;
use crate::report::{Report, Table, digits, spread, time as nanos};
use crate::servers::SERVER_CORE;
use crate::sys;

/// Bytes that those without messages are given and ask for at once.
const CHUNK: usize = 64 << 10;
/// Connections of the echo, each with one message under way.
const CONNECTIONS: usize = 64;
/// Bytes of an echo.
const PING: usize = 64;

/// A certificate and its key in PEM. It is its own authority.
struct Signed {
    chain: String,
    key: String,
}

fn sign() -> io::Result<Signed> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]);
    let made = made.map_err(io::Error::other)?;
    Ok(Signed { chain: made.cert.pem(), key: made.signing_key.serialize_pem() })
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Load {
    /// Messages of so many bytes one way; 0 is bytes without messages.
    OneWay(usize),
    /// The same, sent by the client's handler.
    FromHandler(usize),
    Echo,
}

/// One row.
#[derive(Clone)]
struct Subject {
    name: String,
    tls: bool,
    /// Whether it is this project.
    own: bool,
    load: Load,
}

impl Subject {
    fn run(&self, signed: &Arc<Signed>, time: Duration) -> io::Result<Run> {
        let signed = self.tls.then(|| Arc::clone(signed));
        match (self.own, self.load) {
            (true, Load::OneWay(size)) => session::one_way(signed, size, time),
            (_, Load::FromHandler(size)) => session::from_handler(signed, size, time),
            (true, Load::Echo) => session::echo(signed, time),
            (false, Load::OneWay(_)) => bare::one_way(signed.as_deref(), time),
            (false, Load::Echo) => bare::echo(signed.as_deref(), time),
        }
    }
}

fn subject(own: bool, tls: bool, load: Load) -> Subject {
    let who = match (own, tls) {
        (true, true) => "outlast-tls",
        (true, false) => "outlast",
        (false, true) => "rustls-tokio",
        (false, false) => "tokio",
    };
    let size = match load {
        Load::OneWay(0) | Load::Echo => String::new(),
        Load::OneWay(size) => format!(" {size}"),
        Load::FromHandler(size) => format!(" {size} of a handler"),
    };
    Subject { name: format!("{who}{size}"), tls, own, load }
}

/// Everything once in each round; what it took, by subject.
fn rounds(
    subjects: &[Subject],
    options: &Options,
    signed: &Arc<Signed>,
) -> io::Result<Vec<Vec<Run>>> {
    let time = options.run.max(Duration::from_millis(100)) * 2;
    let mut all = vec![Vec::new(); subjects.len()];
    for _ in 0..options.rounds {
        for (subject, runs) in subjects.iter().zip(&mut all) {
            runs.push(subject.run(signed, time)?);
        }
    }
    Ok(all)
}

pub(super) fn run(options: &Options, report: &mut Report) -> io::Result<()> {
    let signed = Arc::new(sign()?);
    one_way(options, &signed, report)?;
    echo(options, &signed, report)
}

fn one_way(options: &Options, signed: &Arc<Signed>, report: &mut Report) -> io::Result<()> {
    let sizes = options.sizes.iter().rev().filter(|size| **size >= 64);
    // What fits no frame is sent through handles alone.
    let loads = sizes.flat_map(|size| {
        let handler = (*size <= MAX_BODY.into()).then_some(Load::FromHandler(*size));
        core::iter::once(Load::OneWay(*size)).chain(handler)
    });
    let mut subjects = Vec::new();
    for tls in [true, false] {
        subjects.push(subject(false, tls, Load::OneWay(0)));
        subjects.extend(loads.clone().map(|load| subject(true, tls, load)));
    }
    let all = rounds(&subjects, options, signed)?;
    let title = "TLS 1.3, one connection, one way, a core for each end";
    let columns = ["", "MB/s (min-max)", "x bare (min-max)", "per CPU second (min-max)"];
    let mut table = Table::new(title, &columns);
    for (subject, own) in subjects.iter().zip(&all) {
        let (of, size) = match subject.load {
            Load::OneWay(size) => ("", size),
            Load::FromHandler(size) => ("handler.", size),
            Load::Echo => continue,
        };
        let [rate, ratio, frugal] = against(subject, own, &subjects, &all);
        let mega = |of: f64| digits(of / 1e6);
        let range = rate.map_or_else(String::new, |all| {
            format!("{} ({}-{})", mega(all.median), mega(all.min), mega(all.max))
        });
        table.row(vec![subject.name.clone(), range, spread(ratio), spread(frugal)]);
        if subject.own {
            let (over, bare) = if subject.tls { ("", "rustls_tokio") } else { ("plain.", "tokio") };
            let name = |what: &str| format!("tls.oneway.{over}{of}{size}.{what}vs_{bare}");
            ratio.iter().for_each(|all| report.ratio(name(""), all.median));
            frugal.iter().for_each(|all| report.ratio(name("per_cpu_"), all.median));
        }
    }
    report.table(table);
    Ok(())
}

fn echo(options: &Options, signed: &Arc<Signed>, report: &mut Report) -> io::Result<()> {
    let which = [(false, true), (true, true), (false, false), (true, false)];
    let subjects = which.map(|(own, tls)| subject(own, tls, Load::Echo));
    let all = rounds(&subjects, options, signed)?;
    let title =
        format!("TLS 1.3, echo, {PING} bytes, {CONNECTIONS} connections, one under way on each");
    let columns = ["", "CPU/request, both ends", "x bare (min-max)", "per CPU second (min-max)"];
    let mut table = Table::new(title, &columns);
    for (subject, own) in subjects.iter().zip(&all) {
        let [_, ratio, frugal] = against(subject, own, &subjects, &all);
        let each = Spread::of(own.iter().map(|run| 1e9 / run.per_cpu));
        let each = each.map_or_else(String::new, |all| nanos(all.median));
        table.row(vec![subject.name.clone(), each, spread(ratio), spread(frugal)]);
        if subject.own {
            let (over, bare) = if subject.tls { ("", "rustls_tokio") } else { ("plain.", "tokio") };
            let name = |what: &str| format!("tls.echo.{over}64x1.{what}vs_{bare}");
            ratio.iter().for_each(|all| report.ratio(name(""), all.median));
            frugal.iter().for_each(|all| report.ratio(name("per_cpu_"), all.median));
        }
    }
    report.table(table);
    Ok(())
}

/// The rate, and the rate and the thrift as multiples of those of whoever does without a session.
fn against(
    subject: &Subject,
    own: &[Run],
    subjects: &[Subject],
    all: &[Vec<Run>],
) -> [Option<Spread>; 3] {
    let is_bare = |other: &Subject| !other.own && other.tls == subject.tls;
    let bare = subjects.iter().position(is_bare).map_or(own, |at| &all[at][..]);
    let pairs = || own.iter().zip(bare);
    [
        Spread::of(own.iter().map(|run| run.rate)),
        Spread::of(pairs().map(|(own, bare)| own.rate / bare.rate)),
        Spread::of(pairs().map(|(own, bare)| own.per_cpu / bare.per_cpu)),
    ]
}

/// Bytes or requests per second of the clock, and of the processor for both ends together.
#[derive(Clone, Copy)]
struct Run {
    rate: f64,
    per_cpu: f64,
}

/// What a client has done since it began.
struct Done {
    count: u64,
    time: Duration,
    /// Of the processor, for both ends, when it began.
    cpu_before: Duration,
}

/// When a client began, connected and all.
struct Begin {
    at: Instant,
    cpu: Duration,
}

impl Begin {
    fn now() -> io::Result<Self> {
        Ok(Self { cpu: sys::cpu_time(std::process::id())?, at: Instant::now() })
    }

    fn done(self, count: u64) -> Done {
        Done { count, time: self.at.elapsed(), cpu_before: self.cpu }
    }
}

/// Runs a server on a thread and core of its own, and a client here.
fn measure<S, C>(
    server: impl FnOnce(mpsc::SyncSender<SocketAddr>) -> S + Send + 'static,
    client: impl FnOnce(SocketAddr) -> C,
) -> io::Result<Run>
where
    S: Future<Output = io::Result<()>>,
    C: Future<Output = io::Result<Done>>,
{
    let (tell, told) = mpsc::sync_channel(1);
    let serving = std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        sys::pin_to_core(SERVER_CORE)?;
        runtime()?.block_on(server(tell))
    })?;
    sys::pin_to_core(GENERATOR_CORE)?;
    let address = told.recv().map_err(io::Error::other)?;
    let Done { count, time, cpu_before } = runtime()?.block_on(client(address))?;
    serving.join().map_err(|_| io::Error::other("the server panicked"))??;
    let cpu = sys::cpu_time(std::process::id())?.saturating_sub(cpu_before);
    let rate = count as f64 / time.as_secs_f64();
    Ok(Run { rate, per_cpu: count as f64 / cpu.as_secs_f64().max(0.01) })
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
