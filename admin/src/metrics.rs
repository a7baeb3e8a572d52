//! Statistics as the text that Prometheus reads.
//!
//! Every series is there from the first scrape on, and no label has a value that a peer could
//! choose: what a scrape costs and what is stored of it does not depend on who connects.

use std::fmt::{Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use outlast_service::{Distribution, Statistics};

use crate::Routed;

/// What the text is, as `Content-Type`.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Upper bounds of histograms are two to these powers, in nanoseconds: 1 µs to 69 s.
const POWERS: [u32; 14] = [10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36];

/// Everything, in a fixed order.
pub(crate) fn encode(all: &Statistics, draining: bool, routed: Option<Routed>) -> String {
    let mut text = Text(String::with_capacity(16 << 10));
    let version = env!("CARGO_PKG_VERSION");
    text.one("outlast_build_info", "gauge", "Version of this library.", &[("version", version)], 1);
    let started = all.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    text.gauge("outlast_start_time_seconds", "When the server was made.", seconds(started));
    text.gauge("outlast_draining", "1 while nobody is taken any more.", u8::from(draining));
    levels(&mut text, all);
    traffic(&mut text, all);
    let name = "outlast_refusals_total";
    text.head(name, "counter", "Connections turned away before a byte of theirs was read.");
    for (why, count) in all.refusals.all() {
        text.line(name, &[("reason", &why.name().replace(' ', "_"))], count);
    }
    let name = "outlast_errors_total";
    text.head(name, "counter", "What went wrong, by stage and kind.");
    for error in &all.errors {
        text.line(name, &[("stage", error.stage.name()), ("kind", error.kind)], error.count);
    }
    text.histogram("outlast_rtt_seconds", "Smoothed round trips of sessions.", &all.rtt);
    text.histogram(
        "outlast_handler_seconds",
        "Time that handlers take for a message or request; one in some dozens of reads.",
        &all.handler,
    );
    if let Some(routed) = routed {
        let name = "outlast_routed_total";
        text.head(name, "counter", "Messages and requests of the router, by what became of them.");
        for (result, count) in routed {
            text.line(name, &[("result", result)], count);
        }
    }
    process(&mut text, all);
    text.0
}

/// What comes and goes.
fn levels(text: &mut Text, all: &Statistics) {
    let (connections, sessions) = (&all.connections, &all.sessions);
    text.gauge("outlast_connections", "Connections.", connections.now);
    text.gauge("outlast_connections_peak", "The most there were.", connections.peak);
    text.counter("outlast_connections_accepted_total", "Connections let in.", connections.total);
    text.counter("outlast_connections_ended_total", "Connections that ended.", all.disconnections);
    text.gauge("outlast_handshakes", "Connections in their handshake.", all.handshakes);
    text.gauge("outlast_sessions", "Sessions, with and without connection.", sessions.now);
    text.gauge("outlast_sessions_peak", "The most there were.", sessions.peak);
    text.counter("outlast_sessions_opened_total", "Sessions begun.", sessions.total);
}

/// What goes by.
fn traffic(text: &mut Text, all: &Statistics) {
    let both = |text: &mut Text, name: &str, help: &str, [incoming, outgoing]: [u64; 2]| {
        text.head(name, "counter", help);
        text.line(name, &[("direction", "in")], incoming);
        text.line(name, &[("direction", "out")], outgoing);
    };
    let help = "Messages, requests and responses, or packets.";
    both(text, "outlast_messages_total", help, [all.messages_in, all.messages_out]);
    let help = "Bytes of them, each once however often it went.";
    both(text, "outlast_bytes_total", help, [all.bytes_in, all.bytes_out]);
    text.counter("outlast_resumes_total", "Sessions resumed.", all.resumes);
    text.counter("outlast_replayed_bytes_total", "Bytes transmitted again.", all.replayed);
    text.counter("outlast_throttled_total", "Connections that sent too fast.", all.throttled);
    text.gauge("outlast_held_bytes", "Memory for what is under way.", all.memory);
}

fn process(text: &mut Text, all: &Statistics) {
    let Some(process) = &all.process else {
        return;
    };
    let cpu = seconds(process.cpu);
    text.counter("process_cpu_seconds_total", "Time of processors.", cpu);
    text.gauge("process_resident_memory_bytes", "Memory that is present.", process.memory);
    text.gauge("process_resident_memory_peak_bytes", "The most there was.", process.memory_peak);
    text.gauge("process_threads", "Threads.", process.threads);
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// The text as it grows.
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One series. Values of labels are constants of this project: nothing in them is escaped.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    fn one(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.head(name, kind, help);
        self.line(name, labels, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.one(name, "gauge", help, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.one(name, "counter", help, &[], value);
    }

    fn histogram(&mut self, name: &str, help: &str, all: &Distribution) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for power in POWERS {
            let bound = ((1u64 << power) as f64 / 1e9).to_string();
            self.line(&bucket, &[("le", &bound)], all.below(power));
        }
        let count = all.count();
        self.line(&bucket, &[("le", "+Inf")], count);
        self.line(&format!("{name}_sum"), &[], seconds(all.sum()));
        self.line(&format!("{name}_count"), &[], count);
    }
}
