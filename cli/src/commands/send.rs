//! `outlast send`: files to elsewhere.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use outlast_tokio::{Handler, Incoming, Peer};

use super::common::{Dialing, Notices, lost_words, stopped};
use super::{Outcome, block_on};
use crate::progress::{Board, Unit};
use crate::text::{bytes, per_second, span};
use crate::transfer::{Progress, send_all, sources};
use outlast_config::Address;

/// Between two looks at the progress.
const TICK: Duration = Duration::from_millis(100);

/// Send files to `outlast receive`
///
/// Folders are sent with everything below them. A broken connection is mended and what arrived is
/// not sent again; if the receiver was restarted, files go on where it has them. Every file is
/// compared by its SHA-256 at the end.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Files and folders
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where `outlast receive` listens, host:port; either part may be left out
    #[arg(required = true, value_name = "ADDR")]
    address: Address,
    #[command(flatten)]
    dialing: Dialing,
    /// Say nothing unless something goes wrong
    #[arg(long, short)]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  outlast send photo.jpg 127.0.0.1
  outlast send notes/ report.pdf example.org:7411

Pull the cable while it runs: it waits, and goes on.";

pub(crate) fn run(args: &Args) -> Outcome {
    let sources = sources(&args.files)?;
    let total = sources.iter().map(|source| source.size).sum();
    let client = args.dialing.client(&args.address)?;
    let board = Arc::new(Board::new(args.quiet));
    block_on(async {
        let notices = Notices::new(&board, &args.address);
        let health = Arc::clone(&notices.health);
        let connected = client.connect(Outbox { notices, board: Arc::clone(&board) });
        let (handle, runner) = connected.map_err(|error| error.to_string())?;
        let mut runner = tokio::spawn(runner);
        let hint = format!("no answer from {}: is `outlast receive` running there", args.address);
        tokio::spawn(Notices::complain(Arc::clone(&health), Arc::clone(&board), hint));
        let progress = Progress::default();
        let start = Instant::now();
        let failed = {
            let sending = send_all(&handle, &sources, &progress);
            tokio::select! {
                failed = sending => match failed {
                    Ok(failed) => failed,
                    // The runner knows better than any one file why nothing can be sent.
                    Err(reason) => match tokio::time::timeout(TICK, runner).await {
                        Ok(Ok(closed)) => return Err(stopped(&closed, &args.address)),
                        Ok(Err(_)) | Err(_) => return Err(reason),
                    },
                },
                never = watch(&board, &progress, sources.len(), total) => match never {},
                closed = &mut runner => {
                    let closed = closed.map_err(|error| error.to_string())?;
                    return Err(stopped(&closed, &args.address));
                }
            }
        };
        handle.finish();
        // Every file was confirmed; the farewell is a courtesy that must not hang.
        let _ = tokio::time::timeout(Duration::from_secs(5), runner).await;
        board.clear();
        board.say(&summary(&progress, start.elapsed(), health.facts().resumes));
        for (name, reason) in &failed {
            eprintln!("outlast: {name}: {reason}");
        }
        Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Shows the progress for ever.
async fn watch(
    board: &Board,
    progress: &Progress,
    files: usize,
    total: u64,
) -> std::convert::Infallible {
    let bar = board.bar("sent", total, Unit::Bytes);
    loop {
        let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let (done, sent) = (count(&progress.files), count(&progress.bytes));
        let place = sent + count(&progress.spared);
        bar.set_position(place);
        bar.set_message(format!("{done}/{files} files"));
        board.line(|| format!("{} of {}, {done}/{files} files", bytes(place), bytes(total)));
        tokio::time::sleep(TICK).await;
    }
}

fn summary(progress: &Progress, time: Duration, resumes: u64) -> String {
    let files = progress.files.load(Ordering::Relaxed);
    let sent = progress.bytes.load(Ordering::Relaxed);
    let mut text = format!(
        "{files} files, {} in {} ({}/s), every SHA-256 equal",
        bytes(sent),
        span(time),
        bytes(per_second(sent, time))
    );
    let known = progress.known.load(Ordering::Relaxed);
    let spared = progress.spared.load(Ordering::Relaxed);
    if spared > 0 || known > 0 {
        text += &format!("; {} were there already ({known} whole files)", bytes(spared));
    }
    if resumes > 0 {
        text += &format!("; resumed {resumes} times");
    }
    text
}

/// The sender's side of the session.
struct Outbox {
    notices: Notices,
    board: Arc<Board>,
}

impl Handler for Outbox {
    fn handle(&mut self, peer: &mut Peer<'_>, event: Incoming<'_>) {
        self.notices.note(peer, &event);
        match event {
            Incoming::Lost { code, peer_received, .. } if self.notices.has_begun() => {
                let lost = lost_words(code, peer_received);
                self.board.say(&format!("* {lost}; the file begins anew where it was left"));
            }
            Incoming::Finished => peer.finish(),
            _ => {}
        }
    }
}
