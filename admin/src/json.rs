//! Statistics and sessions as JSON: what the page and `outlast top` read.

use std::time::{Duration, UNIX_EPOCH};

use outlast_service::{Distribution, Level, Statistics};
use serde_json::{Map, Value, json};

use crate::{Routed, Row};

/// Everything that was counted. Times are in seconds.
pub(crate) fn statistics(all: &Statistics, draining: bool, routed: Option<Routed>) -> Value {
    let refusals: Map<String, Value> =
        all.refusals.all().iter().map(|(why, n)| (why.name().to_owned(), json!(n))).collect();
    let errors: Vec<Value> = all
        .errors
        .iter()
        .filter(|error| error.count > 0)
        .map(|error| {
            json!({
                "stage": error.stage.name(), "kind": error.kind, "count": error.count,
            })
        })
        .collect();
    let routed = routed.map(|all| {
        all.into_iter().map(|(name, n)| (name.to_owned(), json!(n))).collect::<Map<_, _>>()
    });
    let rates = &all.rates;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started": all.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        "uptime": seconds(all.uptime),
        "draining": draining,
        "connections": level(&all.connections),
        "handshakes": all.handshakes,
        "sessions": level(&all.sessions),
        "disconnections": all.disconnections,
        "messages": { "in": all.messages_in, "out": all.messages_out },
        "bytes": { "in": all.bytes_in, "out": all.bytes_out },
        "resumes": all.resumes,
        "replayed": all.replayed,
        "throttled": all.throttled,
        "held": all.memory,
        "refused": all.refusals.all().iter().map(|(_, n)| n).sum::<u64>(),
        "refusals": refusals,
        "failed": all.error_count(),
        "errors": errors,
        "rtt": distribution(&all.rtt),
        "handler": distribution(&all.handler),
        "routed": routed,
        "rates": {
            "window": seconds(rates.window),
            "connections": rates.connections,
            "disconnections": rates.disconnections,
            "messages_in": rates.messages_in,
            "messages_out": rates.messages_out,
            "bytes_in": rates.bytes_in,
            "bytes_out": rates.bytes_out,
            "cpu": rates.cpu,
        },
        "process": all.process.map(|process| json!({
            "cpu": seconds(process.cpu),
            "memory": process.memory,
            "memory_peak": process.memory_peak,
            "threads": process.threads,
        })),
    })
}

/// Sessions, in the order of their numbers.
pub(crate) fn rows(mut rows: Vec<Row>) -> Value {
    rows.sort_unstable_by_key(|row| row.id);
    let rows = rows.into_iter().map(|row| {
        json!({
            // More than numbers in JSON hold exactly everywhere.
            "id": format!("{:016x}", row.id),
            "remote": row.remote.map(|remote| remote.to_string()),
            "state": row.state,
            "age": seconds(row.age),
            "quiet": seconds(row.quiet),
            "messages": { "in": row.messages_in, "out": row.messages_out },
            "bytes": { "in": row.bytes_in, "out": row.bytes_out },
            "rtt": seconds(row.rtt),
            "resumes": row.resumes,
            "waiting": row.waiting,
        })
    });
    rows.collect()
}

fn level(level: &Level) -> Value {
    json!({ "total": level.total, "now": level.now, "peak": level.peak })
}

fn distribution(all: &Distribution) -> Value {
    let at = |share| seconds(all.quantile(share));
    json!({
        "count": all.count(),
        "mean": seconds(all.mean()),
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "max": at(1.0),
    })
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}
