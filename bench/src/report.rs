//! What the groups found: tables for people, `ratio NAME VALUE` lines for machines.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::measure::Spread;

/// Everything a run of the benchmark found, printed as it comes.
#[derive(Default)]
pub(crate) struct Report {
    tables: Vec<Table>,
    ratios: BTreeMap<String, f64>,
    notes: Vec<String>,
}

/// One table; the first column is a name.
pub(crate) struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self { title: title.into(), columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    fn print(&self) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or(0);
            widest.max(self.columns.get(column).map_or(0, |name| name.chars().count()))
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut text = String::new();
            for (index, (cell, width)) in cells.zip(&widths).enumerate() {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (left, right) = if index == 0 { ("", &*pad) } else { (&*pad, "") };
                text.push_str(&format!("  {left}{cell}{right}"));
            }
            println!("{}", text.trim_end());
        };
        println!("\n{}", self.title);
        line(&mut self.columns.iter().copied());
        for row in &self.rows {
            line(&mut row.iter().map(String::as_str));
        }
    }
}

impl Report {
    /// Prints and keeps a table; an empty one is left out.
    pub(crate) fn table(&mut self, table: Table) {
        if !table.rows.is_empty() {
            table.print();
            self.tables.push(table);
        }
    }

    /// Keeps a figure a gate may look at. Names are lower case with dots.
    pub(crate) fn ratio(&mut self, name: impl Into<String>, value: f64) {
        self.ratios.insert(name.into(), value);
    }

    /// Prints and keeps something a reader must know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        println!("note: {text}");
        self.notes.push(text);
    }

    pub(crate) const fn ratios(&self) -> &BTreeMap<String, f64> {
        &self.ratios
    }

    /// The machine-readable end of the output.
    pub(crate) fn print_ratios(&self) {
        println!();
        for (name, value) in &self.ratios {
            println!("ratio {name} {value:.4}");
        }
    }

    pub(crate) fn write_json(&self, path: &Path) -> io::Result<()> {
        let tables: Vec<Value> = self
            .tables
            .iter()
            .map(|table| {
                let rows = table.rows.iter().map(|row| {
                    let cells = table.columns.iter().zip(row);
                    let cells = cells.map(|(name, cell)| ((*name).to_owned(), json!(cell)));
                    Value::Object(cells.collect::<Map<_, _>>())
                });
                json!({ "title": table.title, "rows": rows.collect::<Vec<_>>() })
            })
            .collect();
        let all = json!({ "tables": tables, "ratios": self.ratios, "notes": self.notes });
        std::fs::write(path, serde_json::to_string_pretty(&all)?)
    }
}

/// Three significant digits.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        x if x < 0.001 => format!("{value:.1e}"),
        x if x < 0.1 => format!("{value:.4}"),
        x if x < 1.0 => format!("{value:.3}"),
        x if x < 10.0 => format!("{value:.2}"),
        x if x < 100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `0.39 (0.37-0.44)`
pub(crate) fn spread(value: Option<Spread>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |s| format!("{} ({}-{})", digits(s.median), digits(s.min), digits(s.max)),
    )
}

/// A rate with a unit prefix.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        x if x >= 1e6 => format!("{} M/s", digits(x / 1e6)),
        x if x >= 1e3 => format!("{} k/s", digits(x / 1e3)),
        x => format!("{} /s", digits(x)),
    }
}

/// Nanoseconds, or microseconds from 1,000 on.
pub(crate) fn time(nanos: f64) -> String {
    if nanos >= 1e6 {
        format!("{} ms", digits(nanos / 1e6))
    } else if nanos >= 1e3 {
        format!("{} us", digits(nanos / 1e3))
    } else {
        format!("{} ns", digits(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        assert_eq!(digits(0.0004), "4.0e-4");
        assert_eq!(digits(0.394), "0.394");
        assert_eq!(digits(61.72), "61.7");
        assert_eq!(rate(2_040_000.0), "2.04 M/s");
        assert_eq!(time(4050.0), "4.05 us");
        assert_eq!(spread(Spread::of([1.0])), "1.00 (1.00-1.00)");
    }
}
