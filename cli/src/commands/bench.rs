//! `outlast bench`: how fast it is here, in a few seconds.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use outlast_tokio::{Config, Handle, Handler, Incoming, Peer, Route, Server, SessionInfo, Status};
use tokio::task::JoinSet;

use super::common::{Dialing, Notices, stopped};
use super::{Outcome, block_on, print};
use crate::histogram::Histogram;
use crate::progress::Board;
use crate::text::{Table, bytes, grouped, per_second, span};
use outlast_config::Address;

/// Where messages and requests go.
const ROUTE: Route = Route::new(1);
/// Requests that are made before anything is measured.
const WARM_UP: u32 = 200;
/// Messages between two looks at the clock.
const BATCH: u32 = 64;
/// Shares of all requests that stay within a time.
const SHARES: [(&str, f64); 5] =
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("p99.99", 0.9999)];

/// Measure latency and throughput, here or against a server
///
/// Without ADDR a server of its own runs in the same process and both share the machine. A server
/// elsewhere must answer requests, as `outlast serve --quiet` does. Three things are measured: one
/// request at a time, many at once, and one-way messages until the server has taken them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A server to measure, host:port; either part may be left out
    #[arg(value_name = "ADDR")]
    address: Option<Address>,
    /// Bytes of each message and request
    #[arg(long, value_name = "BYTES", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    size: u32,
    /// Seconds for each of the three
    #[arg(long, default_value_t = 2.0, value_parser = positive)]
    seconds: f64,
    /// Connections, each with a session of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    connections: u32,
    /// Requests at once, over all connections
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    callers: u32,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    dialing: Dialing,
}

const EXAMPLES: &str = "\
Examples:
  outlast bench
  outlast bench --size 4096 --connections 4
  outlast bench --json example.org:7411 > results.json";

fn positive(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.01..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.01 to 3600 seconds make sense".to_owned())
    }
}

/// What was measured.
struct Results {
    address: String,
    alone: (Histogram, Duration),
    many: (Histogram, Duration),
    one_way: (u64, Duration),
}

pub(crate) fn run(args: &Args) -> Outcome {
    block_on(async {
        let own = if args.address.is_none() { Some(own_server().await?) } else { None };
        let address = match (&args.address, &own) {
            (Some(address), _) => address.clone(),
            (None, Some(own)) => own.local_addr().to_string().parse()?,
            (None, None) => return Err("no server".to_owned()),
        };
        let handles = connect(args, &address).await?;
        let span = Duration::from_secs_f64(args.seconds);
        let payload: Arc<[u8]> = vec![b'x'; args.size as usize].into();
        let first = handles.first().cloned().ok_or("no connection")?;
        for _ in 0..WARM_UP {
            first.request(ROUTE, &payload).await.map_err(|error| error.to_string())?;
        }
        let results = Results {
            address: address.to_string(),
            alone: requests(std::slice::from_ref(&first), 1, span, &payload).await?,
            many: requests(&handles, args.callers, span, &payload).await?,
            one_way: one_way(&handles, span, &payload).await?,
        };
        let text = if args.json { json(args, &results) } else { table(args, &results) };
        print(&text);
        Ok(ExitCode::SUCCESS)
    })
}

async fn own_server() -> Result<outlast_tokio::Running, String> {
    let server = Server::builder()
        .config(Config::SERVER)
        .limits(outlast_tokio::Limits::one_source())
        .bind("127.0.0.1:0")
        .await;
    let server = server.map_err(|error| format!("no port on this machine: {error}"))?;
    let answer = |_: &SessionInfo| {
        |peer: &mut Peer<'_>, event: Incoming<'_>| match event {
            Incoming::Request { id, payload, .. } => {
                // It fails only if the session is over, which the client notices.
                let _ = peer.respond(id, Status::OK, payload);
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    };
    server.start(answer).map_err(|error| error.to_string())
}

/// Notes whether there is a connection, and nothing else.
struct Quiet(Notices);

impl Handler for Quiet {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        self.0.note(peer, &event);
    }
}

async fn connect(args: &Args, address: &Address) -> Result<Vec<Handle>, String> {
    let board = Arc::new(Board::new(true));
    let mut handles = Vec::new();
    for _ in 0..args.connections {
        let client = args.dialing.client(address)?;
        let notices = Notices::new(&board, address);
        let health = Arc::clone(&notices.health);
        let connected = client.connect(Quiet(notices));
        let (handle, runner) = connected.map_err(|error| error.to_string())?;
        let runner = tokio::spawn(runner);
        let hint = format!("no answer from {address}: is `outlast serve` running there");
        let complain = Notices::complain(Arc::clone(&health), Arc::new(Board::new(false)), hint);
        tokio::select! {
            asked = handle.request(ROUTE, b"") => {
                asked.map_err(|error| format!("{address}: {error}"))?;
            }
            closed = runner => {
                let closed = closed.map_err(|error| error.to_string())?;
                return Err(stopped(&closed, address));
            }
            () = async { complain.await; std::future::pending().await } => {}
        }
        handles.push(handle);
    }
    Ok(handles)
}

/// Requests by so many callers, each with one at a time.
async fn requests(
    handles: &[Handle],
    callers: u32,
    time: Duration,
    payload: &Arc<[u8]>,
) -> Result<(Histogram, Duration), String> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for handle in handles.iter().cycle().take(callers as usize) {
        let (handle, payload) = (handle.clone(), Arc::clone(payload));
        tasks.spawn(async move {
            let mut histogram = Histogram::new();
            let mut now = start;
            while now.duration_since(start) < time {
                let answer = handle.request(ROUTE, &payload).await;
                let answer = answer.map_err(|error| error.to_string())?;
                if !answer.status.is_ok() || answer.payload.len() != payload.len() {
                    return Err(format!(
                        "the server does not echo requests (status {}): measure `outlast serve`",
                        answer.status.0
                    ));
                }
                let then = Instant::now();
                histogram.record(then.duration_since(now));
                now = then;
            }
            Ok(histogram)
        });
    }
    let mut total = Histogram::new();
    while let Some(done) = tasks.join_next().await {
        total.merge(&done.map_err(|error| error.to_string())??);
    }
    Ok((total, start.elapsed()))
}

/// One-way messages; the clock stops when the server has answered a request behind the last.
async fn one_way(
    handles: &[Handle],
    time: Duration,
    payload: &Arc<[u8]>,
) -> Result<(u64, Duration), String> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for handle in handles {
        let (handle, payload) = (handle.clone(), Arc::clone(payload));
        tasks.spawn(async move {
            let mut sent = 0;
            while start.elapsed() < time {
                for _ in 0..BATCH {
                    handle.send(ROUTE, &payload).await.map_err(|error| error.to_string())?;
                }
                sent += u64::from(BATCH);
            }
            handle.request(ROUTE, b"").await.map_err(|error| error.to_string())?;
            Ok::<u64, String>(sent)
        });
    }
    let mut total = 0;
    while let Some(done) = tasks.join_next().await {
        total += done.map_err(|error| error.to_string())??;
    }
    Ok((total, start.elapsed()))
}

fn table(args: &Args, results: &Results) -> String {
    let own = if args.address.is_none() { " (own server, same machine)" } else { "" };
    let mut text = format!(
        "outlast bench: {}{own}, {} B payloads, {}\n\n",
        results.address,
        args.size,
        if args.connections == 1 {
            "1 connection".to_owned()
        } else {
            format!("{} connections", args.connections)
        },
    );
    let mut rates = Table::default();
    rates.row(["", "count", "per second", "payload per second"]);
    let size = u64::from(args.size);
    let callers = format!("requests, {} at once", args.callers);
    for (name, count, time) in [
        ("requests, one at a time", results.alone.0.total(), results.alone.1),
        (callers.as_str(), results.many.0.total(), results.many.1),
        ("one-way messages", results.one_way.0, results.one_way.1),
    ] {
        let rate = per_second(count, time);
        rates.row([name, &grouped(count), &grouped(rate), &bytes(rate * size)]);
    }
    text += &rates.render();
    text.push('\n');
    let mut times = Table::default();
    let heads = SHARES.map(|(name, _)| name);
    times.row([
        "time of a request",
        "min",
        heads[0],
        heads[1],
        heads[2],
        heads[3],
        heads[4],
        "max",
    ]);
    for (name, histogram) in
        [("one at a time", &results.alone.0), (callers.as_str(), &results.many.0)]
    {
        let at = SHARES.map(|(_, share)| span(histogram.quantile(share)));
        let (min, max) = (span(histogram.min()), span(histogram.max()));
        times.row([name, &min, &at[0], &at[1], &at[2], &at[3], &at[4], &max]);
    }
    text + &times.render()
}

fn json(args: &Args, results: &Results) -> String {
    let size = u64::from(args.size);
    let mut text = format!(
        "{{\n  \"address\": \"{}\",\n  \"own_server\": {},\n  \"payload_bytes\": {size},\n  \
         \"connections\": {},\n  \"callers\": {},\n",
        results.address,
        args.address.is_none(),
        args.connections,
        args.callers
    );
    for (name, (histogram, time)) in
        [("request_alone", &results.alone), ("request_many", &results.many)]
    {
        let _ = write!(
            text,
            "  \"{name}\": {{ \"count\": {}, \"seconds\": {:.6}, \"per_second\": {}",
            histogram.total(),
            time.as_secs_f64(),
            per_second(histogram.total(), *time)
        );
        let fixed =
            [("min", histogram.min()), ("mean", histogram.mean()), ("max", histogram.max())];
        let shares = SHARES.map(|(name, share)| (name, histogram.quantile(share)));
        for (name, time) in fixed.iter().chain(&shares) {
            let _ = write!(text, ", \"{name}_ns\": {}", time.as_nanos());
        }
        text += " },\n";
    }
    let (count, time) = results.one_way;
    let rate = per_second(count, time);
    let _ = writeln!(
        text,
        "  \"one_way\": {{ \"count\": {count}, \"seconds\": {:.6}, \"per_second\": {rate}, \
         \"bytes_per_second\": {} }}\n}}",
        time.as_secs_f64(),
        rate * size
    );
    text
}
