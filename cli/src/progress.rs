//! What a waiting person sees: bars on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Where progress is shown: standard error, so that results can be piped.
#[derive(Debug)]
pub(crate) struct Board {
    bars: Option<MultiProgress>,
    start: Instant,
    last_line: Mutex<Option<Instant>>,
    quiet: bool,
}

/// What a bar counts.
#[derive(Debug, Copy, Clone)]
pub(crate) enum Unit {
    Things,
    Bytes,
}

impl Board {
    pub(crate) fn new(quiet: bool) -> Self {
        let bars = (!quiet && std::io::stderr().is_terminal()).then(MultiProgress::new);
        Self { bars, start: Instant::now(), last_line: Mutex::new(None), quiet }
    }

    /// A bar that fills up to `total`; nothing is drawn where there is no terminal.
    pub(crate) fn bar(&self, label: &str, total: u64, unit: Unit) -> ProgressBar {
        let Some(bars) = &self.bars else {
            return ProgressBar::hidden();
        };
        let counts = match unit {
            Unit::Things => "{human_pos}/{human_len}",
            Unit::Bytes => "{binary_bytes}/{binary_total_bytes}",
        };
        let template = format!("  {{prefix:<10}} {{wide_bar}} {counts} {{msg}}");
        let style = ProgressStyle::with_template(&template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─");
        bars.add(ProgressBar::new(total)).with_style(style).with_prefix(label.to_owned())
    }

    /// A line of changing text below the bars.
    pub(crate) fn ticker(&self) -> ProgressBar {
        let Some(bars) = &self.bars else {
            return ProgressBar::hidden();
        };
        let style = ProgressStyle::with_template("  {spinner} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        bars.add(ProgressBar::new_spinner()).with_style(style)
    }

    /// Where there is no terminal: a line with the time and this text, once a second.
    pub(crate) fn line(&self, text: impl FnOnce() -> String) {
        if self.bars.is_some() || self.quiet {
            return;
        }
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            *last = Some(Instant::now());
            eprintln!("{:>6.1} s  {}", self.start.elapsed().as_secs_f64(), text());
        }
    }

    /// A line that stays, whatever the bars do.
    pub(crate) fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                // It fails if the terminal has gone; then nobody reads it.
                let _ = bars.println(text);
            }
            None if self.quiet => {}
            None => eprintln!("{text}"),
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }
}
