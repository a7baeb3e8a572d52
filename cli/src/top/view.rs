//! What is drawn: figures, how messages came lately, and sessions as far as there is room.

use std::collections::VecDeque;
use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Row, Sparkline, Table};
use serde_json::Value;

use super::Shown;
use crate::text;

/// Looks that are remembered.
const PAST: usize = 300;
/// Columns of a terminal below which only what matters is listed.
const NARROW: u16 = 94;

/// What is on the screen.
pub(crate) struct View {
    shown: Shown,
    past: VecDeque<u64>,
    /// Why there is nothing newer.
    trouble: Option<String>,
}

/// A name, and what is said of it.
type Figure = (&'static str, String);

impl View {
    pub(crate) fn new(shown: Shown) -> Self {
        Self { shown, past: VecDeque::new(), trouble: None }
    }

    pub(crate) fn renew(&mut self, news: Result<Shown, String>) {
        match news {
            Ok(shown) => {
                self.past.push_front(number(&shown.stats, "/rates/messages_in") as u64);
                self.past.truncate(PAST);
                (self.shown, self.trouble) = (shown, None);
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    pub(crate) fn draw(&self, frame: &mut Frame<'_>) {
        let figures = figures(&self.shown.stats);
        let across = (frame.area().width / 36).clamp(1, 4) as usize;
        let rows = figures.len().div_ceil(across) as u16;
        let parts = [
            Constraint::Length(1),
            Constraint::Length(rows + 2),
            Constraint::Length(6),
            Constraint::Min(3),
            Constraint::Length(1),
        ];
        let [head, top, middle, list, foot] = Layout::vertical(parts).areas(frame.area());
        frame.render_widget(self.head(), head);
        draw_figures(frame, top, &figures, across);
        let past: Vec<u64> = self.past.iter().copied().collect();
        let lately = Sparkline::default()
            .block(Block::bordered().title(" messages in per second, newest first "))
            .style(Style::new().fg(Color::Cyan))
            .data(&past);
        frame.render_widget(lately, middle);
        self.draw_sessions(frame, list);
        let keys = Span::styled("q ends", Style::new().add_modifier(Modifier::DIM));
        frame.render_widget(Line::from(keys), foot);
    }

    fn head(&self) -> Line<'static> {
        let stats = &self.shown.stats;
        let (state, color) = match (&self.trouble, stats["draining"] == true) {
            (Some(why), _) => (format!("no answer: {}", plain(why)), Color::Red),
            (None, true) => ("draining".to_owned(), Color::Yellow),
            (None, false) => ("ready".to_owned(), Color::Green),
        };
        Line::from(vec![
            Span::styled("outlast ", Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(state, Style::new().fg(color).add_modifier(Modifier::BOLD)),
            Span::raw(format!("  up {}", age(number(stats, "/uptime")))),
        ])
    }

    fn draw_sessions(&self, frame: &mut Frame<'_>, area: Rect) {
        let wide = area.width >= NARROW;
        let cells = |all: [String; 8]| -> Row<'static> {
            let kept =
                all.into_iter().enumerate().filter(|(at, _)| wide || ![3, 5, 6, 7].contains(at));
            Row::new(kept.map(|(_, cell)| cell))
        };
        let names = ["number", "from", "state", "age", "in", "out", "round trip", "resumes"];
        let head = cells(names.map(str::to_owned)).style(Style::new().add_modifier(Modifier::BOLD));
        let rows = self.shown.sessions.iter().map(|session| {
            let count = |path| text::grouped(number(session, path) as u64);
            cells([
                word(session, "/id").chars().take(8).collect(),
                word(session, "/remote"),
                word(session, "/state"),
                age(number(session, "/age")),
                count("/messages/in"),
                count("/messages/out"),
                time(number(session, "/rtt")),
                count("/resumes"),
            ])
        });
        let widths: &[u16] = if wide { &[8, 21, 9, 10, 9, 9, 10, 7] } else { &[8, 0, 9, 6] };
        let width = |width: &u16| match width {
            0 => Constraint::Fill(1),
            width => Constraint::Length(*width),
        };
        let title = format!(" sessions or connections: {} shown ", self.shown.sessions.len());
        let table = Table::new(rows, widths.iter().map(width));
        frame.render_widget(table.header(head).block(Block::bordered().title(title)), area);
    }
}

fn draw_figures(frame: &mut Frame<'_>, area: Rect, figures: &[Figure], across: usize) {
    let block = Block::bordered();
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let columns = Layout::horizontal(vec![Constraint::Fill(1); across]).split(inside);
    let deep = figures.len().div_ceil(across);
    for (column, figures) in columns.iter().zip(figures.chunks(deep.max(1))) {
        let lines = figures.iter().map(|(name, value)| {
            let dim = Style::new().add_modifier(Modifier::DIM);
            Line::from(vec![Span::styled(format!("{name:<12} "), dim), Span::raw(value.clone())])
        });
        frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), *column);
    }
}

/// The same as text: for those who have no terminal, and for programs.
pub(crate) fn text(shown: &Shown) -> String {
    let mut table = text::Table::default();
    let state = if shown.stats["draining"] == true { "draining" } else { "ready" };
    table.row(["state", state]);
    for (name, value) in figures(&shown.stats) {
        table.row([name, &value]);
    }
    table.render()
}

fn figures(stats: &Value) -> Vec<Figure> {
    let n = |path: &str| number(stats, path);
    let count = |path: &str| text::grouped(n(path) as u64);
    let bytes = |path: &str| text::bytes(n(path) as u64);
    let level = |name: &str| {
        let [now, peak] = ["now", "peak"].map(|part| count(&format!("/{name}/{part}")));
        format!("{now} (peak {peak})")
    };
    let both = |name: &str| {
        let [half, most] = ["p50", "p99"].map(|part| time(n(&format!("/{name}/{part}"))));
        format!("{half} (99 %: {most})")
    };
    let way = |way: &str| {
        let (rate, size) =
            (n(&format!("/rates/messages_{way}")), n(&format!("/rates/bytes_{way}")));
        format!("{} ({}/s)", text::grouped(rate.round() as u64), text::bytes(size as u64))
    };
    vec![
        ("sessions", level("sessions")),
        ("connections", level("connections")),
        ("in /s", way("in")),
        ("out /s", way("out")),
        ("messages in", count("/messages/in")),
        ("messages out", count("/messages/out")),
        ("round trip", both("rtt")),
        ("handler", both("handler")),
        ("resumes", format!("{} ({} again)", count("/resumes"), bytes("/replayed"))),
        ("refused", count("/refused")),
        ("errors", count("/failed")),
        ("memory", bytes("/process/memory")),
        ("processors", format!("{:.2}", n("/rates/cpu"))),
    ]
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or(0.0)
}

fn word(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).map_or_else(|| "-".to_owned(), plain)
}

/// Without what a terminal would take for an order.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

fn time(seconds: f64) -> String {
    if seconds > 0.0 {
        text::span(Duration::from_secs_f64(seconds.min(1e9)))
    } else {
        "-".to_owned()
    }
}

fn age(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn shown() -> Shown {
        let stats = json!({
            "uptime": 3_700.0, "draining": false, "sessions": { "now": 2, "peak": 7 },
            "rates": { "messages_in": 1234.0, "bytes_in": 4096.0 },
            "rtt": { "p50": 0.001, "p99": 0.02 },
        });
        let session = json!({
            "id": "0123456789abcdef", "remote": "192.0.2.1:7", "state": "conn\u{1b}ected",
            "age": 61.0, "messages": { "in": 5, "out": 6 }, "rtt": 0.0, "resumes": 3,
        });
        Shown { stats, sessions: vec![session] }
    }

    fn drawn(view: &View, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn what_matters_is_on_the_screen_however_narrow_it_is() {
        let mut view = View::new(shown());
        for (width, height) in [(120, 40), (80, 30), (44, 50)] {
            let text = drawn(&view, width, height);
            for part in ["ready", "up 1 h 1 min", "2 (peak 7)", "1 234", "01234567", "192.0.2.1:7"]
            {
                assert!(text.contains(part), "{part} at {width}:\n{text}");
            }
            assert!(text.contains("connected") && !text.contains('\u{1b}'));
            assert_eq!(text.contains("round trip resumes"), width >= NARROW, "{text}");
        }
        // A screen that is much too small is no reason to fail.
        drawn(&view, 5, 2);
        view.renew(Err("connection refused".to_owned()));
        assert!(drawn(&view, 80, 30).contains("no answer: connection refused"));
        let drains = Shown { stats: json!({ "draining": true }), sessions: Vec::new() };
        view.renew(Ok(drains));
        assert!(drawn(&view, 80, 30).contains("draining"));
    }

    #[test]
    fn programs_get_lines() {
        let text = text(&shown());
        let line = |name: &str| text.lines().find(|line| line.trim().starts_with(name)).unwrap();
        assert!(line("state").ends_with("ready"));
        assert!(line("round trip").ends_with("1.0 ms (99 %: 20.0 ms)"), "{text}");
    }
}
