//! Sizes of clients of other protocols, built and measured as the core's is. Only who asks for it
//! builds them; `docs/embedded.md` keeps what was measured last.

use std::fs;

use crate::firmware::{self, M4};
use crate::footprint;
use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::workspace::Workspace;

const BEGIN: &str = "<!-- peers: written by `cargo xtask footprint --peers yes` -->";
const END: &str = "<!-- end of peers -->";

/// What each program is, and its name.
const PEERS: [(&str, &str); 2] =
    [("minimq 0.13.5", "size_minimq"), ("rust-mqtt 0.6.0 (`v5`, `bump`)", "size_rust_mqtt")];

/// Measures, and writes the table.
pub(crate) fn bless(workspace: &Workspace) -> Verdict {
    if let Some(why) = firmware::needs(workspace)? {
        return Err(why);
    }
    let own = firmware::build(workspace, "-p bare", M4)?;
    let base = footprint::flash(workspace, &own.join("size_base"))?;
    let client = footprint::flash(workspace, &own.join("size_client"))?;
    let dir = workspace.target_dir().join("peers");
    Process::cargo(&workspace.root().join("firmware/peers"), "build --release --locked")
        .words(&format!("--target {M4} --target-dir"))
        .arg(&dir)
        .run()?;
    let mut rows = vec![("this repository's client core".to_owned(), client)];
    for (name, program) in PEERS {
        let elf = dir.join(M4).join("release").join(program);
        rows.push((name.to_owned(), footprint::flash(workspace, &elf)?));
    }
    let table = render(&rows, base, &footprint::rustc()?);
    println!("{table}");
    let path = footprint::document(workspace);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let text = replace(&text, &table).ok_or("docs/embedded.md has no table of peers")?;
    fs::write(&path, text).map_err(|e| e.to_string())?;
    Ok(Outcome::Passed(format!("wrote {} sizes", rows.len())))
}

fn render(rows: &[(String, u64)], base: u64, rustc: &str) -> String {
    let mut text = format!("{BEGIN}\nMeasured with {rustc}.\n\n");
    text.push_str("| client | flash over the bare firmware |\n|---|---:|\n");
    for (name, flash) in rows {
        text.push_str(&format!("| {name} | {} B |\n", flash.saturating_sub(base)));
    }
    text.push_str(END);
    text
}

/// The document with this table instead of the one there was.
fn replace(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{table}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let rows = |size| [("a client".to_owned(), size)];
        let old = format!("# Title\n{}\nmore", render(&rows(300), 100, "rustc 1"));
        let new = replace(&old, &render(&rows(350), 100, "rustc 2")).expect("there is a table");
        assert!(new.contains("| a client | 250 B |") && new.ends_with("\nmore"));
        assert!(!new.contains("200 B") && !new.contains("rustc 1"));
        assert_eq!(replace("no table", "x"), None);
    }
}
