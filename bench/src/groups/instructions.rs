//! Exact instruction counts, from valgrind: two runs that differ only in their rounds.

use std::io;
use std::process::{Command, Stdio};

use crate::report::{Report, Table, digits};

/// Rounds of the two runs; the difference leaves start-up out.
const ROUNDS: (u64, u64) = (4, 12);

/// Counts every named case; `names` come with the messages in one round.
pub(super) fn count(names: &[(String, usize)], report: &mut Report) -> io::Result<()> {
    let mut table = Table::new("core, instructions (valgrind)", &["", "instructions/msg"]);
    for (name, batch) in names {
        let (Some(few), Some(many)) = (collect(name, ROUNDS.0)?, collect(name, ROUNDS.1)?) else {
            report.note("instructions: not measured, valgrind is missing or failed");
            return Ok(());
        };
        let messages = (ROUNDS.1 - ROUNDS.0) as f64 * *batch as f64;
        let each = many.saturating_sub(few) as f64 / messages;
        table.row(vec![name.clone(), digits(each)]);
        report.ratio(format!("core.{name}_instructions"), each);
    }
    report.table(table);
    Ok(())
}

/// Instructions of one whole run; `None` = the tool is missing or failed.
fn collect(name: &str, rounds: u64) -> io::Result<Option<u64>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["exact", name, &rounds.to_string()])
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stderr);
    Ok(if output.status.success() { parse(&text) } else { None })
}

/// `==123== Collected : 4567`
pub(super) fn parse(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn reads_the_summary() {
        assert_eq!(super::parse("==1== Events    : Ir\n==1== Collected : 4567\n"), Some(4567));
        assert_eq!(super::parse("no such line"), None);
    }
}
