//! What the audience sees: bars while it runs, a table at the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::Plan;
use super::client::{Client, Finished};
use super::server;
use super::stream::Tally;
use crate::progress::{Board, Unit};
use crate::proxy::Counts;
use crate::text::{Table, bytes, grouped, per_second, span};
use crate::transfer::Source;

/// The picture while it runs.
pub(super) struct View<'a> {
    board: &'a Board,
    cuts: u64,
    total: u64,
    start: Instant,
    resumes: ProgressBar,
    files: ProgressBar,
    messages: ProgressBar,
    trouble: ProgressBar,
}

impl<'a> View<'a> {
    pub(super) fn new(board: &'a Board, plan: &Plan, total: u64) -> Self {
        Self {
            board,
            cuts: plan.cuts,
            total,
            start: Instant::now(),
            resumes: board.bar("resumed", plan.cuts, Unit::Things),
            files: board.bar("files", total, Unit::Bytes),
            messages: board.ticker(),
            trouble: board.ticker(),
        }
    }

    pub(super) fn show(&self, clients: &[Arc<Client>], counts: &Counts, resumes: u64) {
        let sum = |what: fn(&Client) -> u64| clients.iter().map(|client| what(client)).sum::<u64>();
        let up = sum(|client| client.sent.load(Ordering::Relaxed));
        let down = sum(|client| client.down.checker().received());
        let answered = sum(|client| client.answered.load(Ordering::Relaxed));
        let carried = sum(|client| client.progress.bytes.load(Ordering::Relaxed));
        let rate = per_second(counts.bytes, self.start.elapsed());
        let traffic = format!(
            "messages {} up, {} down, {} requests, {}/s",
            grouped(up),
            grouped(down),
            grouped(answered),
            bytes(rate)
        );
        let trouble = format!(
            "{} connections cut ({} half-open), {} stalls",
            counts.cuts, counts.half_open, counts.stalls
        );
        self.resumes.set_position(resumes.min(self.cuts));
        self.resumes.set_message(format!("{resumes} in all"));
        let round = carried / self.total.max(1);
        self.files.set_position(carried - round * self.total);
        self.files.set_message(format!("round {}", round + 1));
        self.messages.set_message(traffic.clone());
        self.messages.tick();
        self.trouble.set_message(trouble.clone());
        self.trouble.tick();
        self.board.line(|| {
            format!(
                "{resumes} resumes of {}; {trouble}; {traffic}; files {}",
                self.cuts,
                bytes(carried)
            )
        });
    }

    pub(super) fn clear(&self) {
        for bar in [&self.resumes, &self.files, &self.messages, &self.trouble] {
            bar.finish_and_clear();
        }
        self.board.clear();
    }
}

/// What was seen, and whether it is what was promised.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u64,
    promised: u64,
    time: Duration,
    troubles: Vec<String>,
    up: Tally,
    down: Tally,
    asked: u64,
    answered: u64,
    wrong: u64,
    repeated: u64,
    files: usize,
    files_sent: u64,
    file_bytes: u64,
    network: Counts,
    resumes: u64,
    resent: u64,
    worst: Duration,
}

impl Report {
    pub(super) fn new(plan: &Plan, time: Duration, in_time: bool) -> Self {
        let mut troubles = Vec::new();
        if !in_time && time >= plan.most {
            troubles.push(format!("not everything was seen within {}", span(plan.most)));
        }
        Self {
            seed: plan.seed,
            promised: plan.cuts,
            time,
            troubles,
            up: Tally::default(),
            down: Tally::default(),
            asked: 0,
            answered: 0,
            wrong: 0,
            repeated: 0,
            files: 0,
            files_sent: 0,
            file_bytes: 0,
            network: Counts::default(),
            resumes: 0,
            resent: 0,
            worst: Duration::ZERO,
        }
    }

    pub(super) fn add_network(&mut self, network: &Counts, server: &server::Counts) {
        self.network = *network;
        self.resent += server.resent.load(Ordering::Relaxed);
        self.repeated = server.repeated.load(Ordering::Relaxed);
        let lost = server.lost.load(Ordering::Relaxed);
        if lost > 0 {
            self.troubles.push(format!("the server lost {lost} sessions"));
        }
    }

    pub(super) fn add_client(&mut self, client: &Client, finished: Finished) {
        let get = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        self.up.add(&finished.up);
        self.down.add(&finished.down);
        self.troubles.extend(finished.trouble);
        self.asked += get(&client.asked);
        self.answered += get(&client.answered);
        self.wrong += get(&client.wrong);
        self.files_sent += get(&client.progress.files);
        self.file_bytes += get(&client.progress.bytes);
        let facts = client.health.facts();
        self.resumes += facts.resumes;
        self.resent += facts.resent + facts.resent_before;
        self.worst = self.worst.max(facts.worst);
    }

    pub(super) fn set_files(&mut self, files: &[Source]) {
        self.files = files.len();
    }

    /// Everything that is not as promised, in sentences; nothing if all went well.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = self.troubles.clone();
        let mut expect = |good: bool, text: &str| {
            if !good {
                failures.push(text.to_owned());
            }
        };
        expect(self.up.is_clean(), "the stream to the server is not what was sent");
        expect(self.down.is_clean(), "the stream to the clients is not what was sent");
        expect(self.up.sent > 0 && self.down.sent > 0, "a stream was empty");
        expect(self.asked == self.answered, "requests were not answered");
        expect(self.wrong == 0, "answers were wrong");
        expect(self.repeated == 0, "requests ran twice");
        expect(self.files_sent >= self.files as u64, "files did not arrive");
        expect(self.resumes >= self.promised, "there were fewer resumes than promised");
        failures
    }

    /// Everything in numbers.
    pub(crate) fn table(&self) -> String {
        let mut messages = Table::default();
        messages.row(["", "client to server", "server to client", "requests"]);
        let tallies = [&self.up, &self.down];
        let mut row = |name: &str, pick: fn(&Tally) -> u64, requests: u64| {
            let [up, down] = tallies.map(|tally| grouped(pick(tally)));
            messages.row([name, &up, &down, &grouped(requests)]);
        };
        row("messages sent", |tally| tally.sent, self.asked);
        row("received", |tally| tally.received, self.answered);
        row("lost", |tally| tally.lost, self.asked - self.answered.min(self.asked));
        row("duplicated", |tally| tally.duplicated, self.repeated);
        row("out of order", |tally| tally.disordered, 0);
        row("damaged", |tally| tally.damaged, self.wrong);
        let moved = self.up.bytes + self.down.bytes + self.file_bytes;
        let share = self.resent as f64 * 100.0 / moved.max(1) as f64;
        let files = format!(
            "{} files sent ({} different ones, {})",
            grouped(self.files_sent),
            self.files,
            bytes(self.file_bytes)
        );
        let equal =
            if self.files_sent >= self.files as u64 { "every SHA-256 equal" } else { "NOT ALL" };
        let Counts { cuts, half_open, stalls, .. } = self.network;
        let rows = [
            ("checksums", format!("{files}, {equal}")),
            ("connections cut", format!("{cuts} ({half_open} half-open), {stalls} more stalled")),
            ("sessions resumed", format!("{} times", grouped(self.resumes))),
            ("bytes sent again", format!("{} ({share:.1} % of the payload)", bytes(self.resent))),
            ("throughput", format!("{}/s of payload", bytes(per_second(moved, self.time)))),
            ("worst interruption", span(self.worst)),
            ("time", format!("{}, repeat with --seed {}", span(self.time), self.seed)),
        ];
        let mut text = messages.render();
        text.push('\n');
        for (name, value) in rows {
            text += &format!("  {name:<20} {value}\n");
        }
        text
    }
}
