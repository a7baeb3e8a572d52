//! The Wireshark dissector, with tshark.

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

/// Runs its tests: whole, split, coalesced and bad frames, and what `--pcap` writes.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    if let Err(missing) = tools::tshark() {
        return Ok(Outcome::Skipped(missing));
    }
    let folder = workspace.root().join("docs").join("wireshark");
    Process::new("python3").words("-B -m unittest -v test_dissector").dir(&folder).run()?;
    Process::cargo(workspace.root(), "test --package outlast --test pcap")
        .env("OUTLAST_TSHARK", "tshark")
        .run()?;
    Ok(Outcome::Passed(
        "every example of the specification, in every cut; captures of the command".to_owned(),
    ))
}
