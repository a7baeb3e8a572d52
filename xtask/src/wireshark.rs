//! The Wireshark dissector, with tshark.

use crate::process::Process;
use crate::steps::{Outcome, Verdict};
use crate::tools;
use crate::workspace::Workspace;

/// Runs its tests: whole, split, coalesced and bad frames.
pub(crate) fn step(workspace: &Workspace) -> Verdict {
    if let Err(missing) = tools::tshark() {
        return Ok(Outcome::Skipped(missing));
    }
    let folder = workspace.root().join("docs").join("wireshark");
    Process::new("python3").words("-B -m unittest -v test_dissector").dir(&folder).run()?;
    Ok(Outcome::Passed("every example of the specification, in every cut".to_owned()))
}
